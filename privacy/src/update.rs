//! A round's update as a sequence of types, each the only way to the next:
//!
//! ```text
//! ShopperSum ─finish→ ClippedSum ─add_noise(NoiseShare)→ NoisedUpdate ─┬─mask(MaskSet)─┬→ SealedUpdate ─Ledger::commit→ CommittedUpdate ─bytes→ network
//!                                                                      └─seal──────────┤
//!     └─leave_unprotected(&UnprotectedPermit)→ ExplicitlyUnprotectedUpdate ─mask or seal─┘
//! ```
//! `mask` is for rounds with secure aggregation, `seal` for plain ones. So an unclipped update cannot be quantised, an
//! un-noised one can be neither sealed nor masked, and nothing can be sent whose debit is not durable. Which of the two
//! was right, and for which session, [`Ledger::commit`](crate::ledger::Ledger::commit) compares with the reservation:
//! a share of the noise sealed in plain, or masked for another session, is refused. This compiles:
//! ```
//! # use guildhall_privacy::{clip::ShopperSum, ledger::{Ledger, LedgerError, Reserved}, noise::NoiseShare};
//! # use guildhall_shared::{ring::RingWidth, secagg::mask::MaskSet};
//! fn send_masked(
//!     sum: ShopperSum, noise: NoiseShare, masks: MaskSet, ledger: &mut Ledger, reserved: Reserved,
//! ) -> Result<Vec<u8>, LedgerError> {
//!     let (clipped, _) = sum.finish();
//!     let sealed = clipped.add_noise(noise).mask(masks, RingWidth::Bits64);
//!     Ok(ledger.commit(reserved, sealed)?.bytes().to_vec())
//! }
//! fn send_plain(sum: ShopperSum, noise: NoiseShare, ledger: &mut Ledger, reserved: Reserved) -> Result<Vec<u8>, LedgerError> {
//!     let (clipped, _) = sum.finish();
//!     let sealed = clipped.add_noise(noise).seal(RingWidth::Bits64);
//!     Ok(ledger.commit(reserved, sealed)?.bytes().to_vec())
//! }
//! ```
//! These do not. Sealing without noise:
//! ```compile_fail,E0599
//! # use guildhall_privacy::{clip::ShopperSum, update::SealedUpdate};
//! # use guildhall_shared::ring::RingWidth;
//! fn without_noise(sum: ShopperSum) -> SealedUpdate {
//!     sum.finish().0.seal(RingWidth::Bits64)
//! }
//! ```
//! Masking without noise:
//! ```compile_fail,E0599
//! # use guildhall_privacy::{clip::ShopperSum, update::SealedUpdate};
//! # use guildhall_shared::{ring::RingWidth, secagg::mask::MaskSet};
//! fn masked_without_noise(sum: ShopperSum, masks: MaskSet) -> SealedUpdate {
//!     sum.finish().0.mask(masks, RingWidth::Bits64)
//! }
//! ```
//! Masking two updates with the same masks, whose difference would then lie open:
//! ```compile_fail,E0382
//! # use guildhall_privacy::update::NoisedUpdate;
//! # use guildhall_shared::{ring::RingWidth, secagg::mask::MaskSet};
//! fn two_time_pad(first: NoisedUpdate, second: NoisedUpdate, masks: MaskSet) {
//!     let _ = first.mask(masks, RingWidth::Bits64);
//!     let _ = second.mask(masks, RingWidth::Bits64);
//! }
//! ```
//! Sending an update masked as well as in plain:
//! ```compile_fail,E0382
//! # use guildhall_privacy::update::NoisedUpdate;
//! # use guildhall_shared::{ring::RingWidth, secagg::mask::MaskSet};
//! fn masked_and_plain(noised: NoisedUpdate, masks: MaskSet) {
//!     let _ = noised.mask(masks, RingWidth::Bits64);
//!     let _ = noised.seal(RingWidth::Bits64);
//! }
//! ```
//! Reading the bytes before the debit:
//! ```compile_fail,E0599
//! # use guildhall_privacy::update::SealedUpdate;
//! fn without_commit(sealed: &SealedUpdate) -> &[u8] {
//!     sealed.bytes()
//! }
//! ```
//! Taking them from the private field:
//! ```compile_fail,E0616
//! # use guildhall_privacy::update::SealedUpdate;
//! fn by_field(sealed: SealedUpdate) -> Vec<u8> {
//!     sealed.bytes
//! }
//! ```
//! or from the update before it is masked:
//! ```compile_fail,E0616
//! # use guildhall_privacy::update::NoisedUpdate;
//! fn unmasked(noised: &NoisedUpdate) -> &[i64] {
//!     &noised.integers
//! }
//! ```
//! Making a noised update by hand:
//! ```compile_fail,E0451
//! # use guildhall_privacy::update::NoisedUpdate;
//! fn by_hand(integers: zeroize::Zeroizing<Vec<i64>>) -> NoisedUpdate {
//!     NoisedUpdate { integers, bound: 1, noise_standard_deviation: 1 }
//! }
//! ```
//! Committing what was not sealed:
//! ```compile_fail,E0308
//! # use guildhall_privacy::{clip::ShopperSum, ledger::{Ledger, Reserved}};
//! fn unsealed(sum: ShopperSum, ledger: &mut Ledger, reserved: Reserved) {
//!     let _ = ledger.commit(reserved, sum.finish().0);
//! }
//! ```
//! Spending one reservation twice:
//! ```compile_fail,E0382
//! # use guildhall_privacy::{ledger::{Ledger, Reserved}, update::SealedUpdate};
//! fn reuse(ledger: &mut Ledger, reserved: Reserved, first: SealedUpdate, second: SealedUpdate) {
//!     let _ = ledger.commit(reserved, first);
//!     let _ = ledger.commit(reserved, second);
//! }
//! ```
//! Refunding what was committed:
//! ```compile_fail,E0382
//! # use guildhall_privacy::{ledger::{Ledger, Reserved}, update::SealedUpdate};
//! fn refund_after_commit(ledger: &mut Ledger, reserved: Reserved, sealed: SealedUpdate) {
//!     let _ = ledger.commit(reserved, sealed);
//!     let _ = ledger.refund(reserved);
//! }
//! ```
//! Copying a permit to send:
//! ```compile_fail,E0277
//! # use guildhall_privacy::update::CommittedUpdate;
//! fn copy<T: Clone>(_: &T) {}
//! fn copy_committed(committed: &CommittedUpdate) {
//!     copy(committed)
//! }
//! ```
//! Leaving out the noise without a permit, or forging one:
//! ```compile_fail,E0061
//! # use guildhall_privacy::{clip::ShopperSum, update::ExplicitlyUnprotectedUpdate};
//! fn without_permit(sum: ShopperSum) -> ExplicitlyUnprotectedUpdate {
//!     sum.finish().0.leave_unprotected()
//! }
//! ```
//! ```compile_fail,E0423
//! # use guildhall_privacy::update::UnprotectedPermit;
//! fn forged() -> UnprotectedPermit {
//!     UnprotectedPermit(())
//! }
//! ```

mod applied;
#[cfg(test)]
mod tests;

use guildhall_shared::digest::Digest;
use guildhall_shared::ring::{RingVector, RingWidth};
use guildhall_shared::secagg::mask::MaskSet;
use zeroize::Zeroizing;

use crate::clip::add_wrapping;
use crate::noise::NoiseShare;
use crate::parameter::ClippingParameters;

pub(crate) use applied::{Applied, AppliedMasks, AppliedNoise};

/// The integer-clipped sum over one merchant's shoppers. Private: it can be noised or dropped (which wipes it).
///
/// # Privacy
/// Emptying one shopper changes it by a vector of L2 norm at most B.
pub struct ClippedSum {
    integers: Zeroizing<Vec<i64>>,
    bound: u64,
}

impl ClippedSum {
    pub(crate) fn of_shoppers(integers: Zeroizing<Vec<i64>>, bound: u64) -> Self {
        ClippedSum { integers, bound }
    }

    /// The sum over nobody: what is noised and sent when training fails, so that the failure says nothing.
    pub fn zero(parameters: &ClippingParameters) -> Self {
        ClippedSum { integers: Zeroizing::new(vec![0; parameters.words()]), bound: parameters.bound() }
    }

    /// y = x + e.
    ///
    /// # Panics
    /// When the noise was drawn for another number of parameters; both numbers are public.
    pub fn add_noise(mut self, noise: NoiseShare) -> NoisedUpdate {
        assert_eq!(self.integers.len(), noise.samples().len(), "noise is drawn for as many parameters");
        add_wrapping(&mut self.integers, noise.samples());
        NoisedUpdate {
            integers: self.integers,
            bound: self.bound,
            noise_standard_deviation: noise.standard_deviation(),
        }
    }

    /// Goes on without noise, under a permit from the merchant's own policy.
    pub fn leave_unprotected(self, _permit: &UnprotectedPermit) -> ExplicitlyUnprotectedUpdate {
        ExplicitlyUnprotectedUpdate { integers: self.integers }
    }

    #[cfg(test)]
    pub(crate) fn integers(&self) -> &[i64] {
        &self.integers
    }
}

/// Clipped and noised, ready to be masked or sealed: x + e. Wiped when dropped.
///
/// # Privacy
/// Its noise is all that was charged for in plain mode (h = 1), and only one of h shares of it in a masked round: then it
/// must reach nobody but through [`NoisedUpdate::mask`].
pub struct NoisedUpdate {
    integers: Zeroizing<Vec<i64>>,
    bound: u64,
    noise_standard_deviation: u64,
}

impl NoisedUpdate {
    /// Plain mode: writes the ring words and their digest.
    pub fn seal(self, width: RingWidth) -> SealedUpdate {
        SealedUpdate::plain(&self.integers, width, self.noise())
    }

    /// Secure aggregation: adds all masks of one session, and writes the ring words and their digest. The masks are
    /// spent, the integers wiped.
    pub fn mask(self, masks: MaskSet, width: RingWidth) -> SealedUpdate {
        let noise = self.noise();
        SealedUpdate::masked(self.integers, masks, width, noise)
    }

    fn noise(&self) -> AppliedNoise {
        let NoisedUpdate { bound, noise_standard_deviation, .. } = *self;
        AppliedNoise::Gaussian { bound, noise_standard_deviation }
    }
}

/// The `[dangerous]` part of a merchant's policy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DangerousPolicy {
    /// Whether jobs with `privacy = "none"` may be joined.
    pub allow_privacy_none: bool,
}

/// The merchant's policy allows updates without noise. Made from the policy and nothing else.
#[derive(Debug)]
pub struct UnprotectedPermit(());

/// The merchant's policy does not allow `privacy = "none"`.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error(
    "this job declares privacy = \"none\", which this merchant's policy does not allow; whoever means it sets allow_privacy_none = true under [dangerous]"
)]
pub struct PermitRefused;

impl UnprotectedPermit {
    /// A permit, if the policy gives one.
    ///
    /// # Errors
    /// [`PermitRefused`] unless `allow_privacy_none` is set.
    pub fn from_policy(policy: DangerousPolicy) -> Result<Self, PermitRefused> {
        if policy.allow_privacy_none { Ok(UnprotectedPermit(())) } else { Err(PermitRefused) }
    }
}

/// Clipped, without noise, and labelled so in its type and in the ledger. Wiped when dropped.
pub struct ExplicitlyUnprotectedUpdate {
    integers: Zeroizing<Vec<i64>>,
}

impl ExplicitlyUnprotectedUpdate {
    /// Plain mode: writes the ring words and their digest.
    pub fn seal(self, width: RingWidth) -> SealedUpdate {
        SealedUpdate::plain(&self.integers, width, AppliedNoise::Nothing)
    }

    /// Secure aggregation: adds all masks of one session, and writes the ring words and their digest. The server reads
    /// the sum only, but that sum protects nobody.
    pub fn mask(self, masks: MaskSet, width: RingWidth) -> SealedUpdate {
        SealedUpdate::masked(self.integers, masks, width, AppliedNoise::Nothing)
    }
}

/// Encoded and hashed; its bytes stay out of reach until the ledger has committed the hash.
pub struct SealedUpdate {
    bytes: Vec<u8>,
    hash: Digest,
    applied: Applied,
}

impl SealedUpdate {
    fn plain(integers: &[i64], width: RingWidth, noise: AppliedNoise) -> Self {
        let mut bytes = Vec::new();
        width.write(integers, &mut bytes);
        Self::new(bytes, Applied { noise, masks: AppliedMasks::None })
    }

    fn masked(integers: Zeroizing<Vec<i64>>, masks: MaskSet, width: RingWidth, noise: AppliedNoise) -> Self {
        let applied_masks = AppliedMasks::Of { sid: masks.sid(), count: masks.len() };
        let mut words = RingVector::from_integers(width, &integers);
        // Wiped first; the copy in `words` is masked in place, so no memory is left that holds what was not masked.
        drop(integers);
        masks.apply(&mut words);
        Self::new(words.into_bytes(), Applied { noise, masks: applied_masks })
    }

    fn new(bytes: Vec<u8>, applied: Applied) -> Self {
        let hash = Digest::of_bytes(&bytes);
        SealedUpdate { bytes, hash, applied }
    }

    /// H(y), the SHA-256 of the ring words.
    pub fn hash(&self) -> Digest {
        self.hash
    }

    pub(crate) fn applied(&self) -> Applied {
        self.applied
    }
}

/// An update whose debit is durable: only [`Ledger::commit`](crate::ledger::Ledger::commit) makes one.
///
/// Keep it for a resend of identical bytes; it cannot be made again.
pub struct CommittedUpdate {
    sealed: SealedUpdate,
    sid: Digest,
}

impl CommittedUpdate {
    /// Called by the ledger after the COMMIT is durable, and by nobody else.
    pub(crate) fn after_durable_commit(sealed: SealedUpdate, sid: Digest) -> Self {
        CommittedUpdate { sealed, sid }
    }

    /// The ring words to send.
    pub fn bytes(&self) -> &[u8] {
        &self.sealed.bytes
    }

    /// H(y), as committed.
    pub fn hash(&self) -> Digest {
        self.sealed.hash
    }

    /// The session this was committed for.
    pub fn sid(&self) -> Digest {
        self.sid
    }
}
