//! A round's update as a sequence of types, each the only way to the next:
//!
//! ```text
//! ShopperSum ─finish→ ClippedSum ─add_noise(NoiseShare)→ LocallyNoisedUpdate ─seal→ SealedUpdate ─Ledger::commit→ CommittedUpdate ─bytes→ network
//!                               └─leave_unprotected(&UnprotectedPermit)→ ExplicitlyUnprotectedUpdate ─seal─┘
//! ```
//! So an unclipped update cannot be quantised, an un-noised one cannot be sealed, and nothing can be sent whose
//! debit is not durable. This compiles:
//! ```
//! # use guildhall_privacy::{clip::ShopperSum, ledger::{Ledger, LedgerError, Reserved}, noise::NoiseShare};
//! # use guildhall_shared::ring::RingWidth;
//! fn send(sum: ShopperSum, noise: NoiseShare, ledger: &mut Ledger, reserved: Reserved) -> Result<Vec<u8>, LedgerError> {
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
//! Making a noised update by hand:
//! ```compile_fail,E0451
//! # use guildhall_privacy::update::LocallyNoisedUpdate;
//! fn by_hand(integers: Vec<i64>) -> LocallyNoisedUpdate {
//!     LocallyNoisedUpdate { integers, bound: 1, noise_standard_deviation: 1 }
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

use guildhall_shared::digest::Digest;
use guildhall_shared::ring::RingWidth;
use zeroize::Zeroizing;

use crate::clip::add_wrapping;
use crate::noise::NoiseShare;
use crate::parameter::{ClippingParameters, Protection};

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
        ClippedSum { integers: Zeroizing::new(vec![0; parameters.parameters()]), bound: parameters.bound() }
    }

    /// y = x + e.
    ///
    /// # Panics
    /// When the noise was drawn for another number of parameters; both numbers are public.
    pub fn add_noise(mut self, noise: NoiseShare) -> LocallyNoisedUpdate {
        assert_eq!(self.integers.len(), noise.samples().len(), "noise is drawn for as many parameters");
        add_wrapping(&mut self.integers, noise.samples());
        LocallyNoisedUpdate {
            integers: std::mem::take(&mut *self.integers),
            bound: self.bound,
            noise_standard_deviation: noise.standard_deviation(),
        }
    }

    /// Goes on without noise, under a permit from the merchant's own policy.
    pub fn leave_unprotected(mut self, _permit: &UnprotectedPermit) -> ExplicitlyUnprotectedUpdate {
        ExplicitlyUnprotectedUpdate { integers: std::mem::take(&mut *self.integers) }
    }

    #[cfg(test)]
    pub(crate) fn integers(&self) -> &[i64] {
        &self.integers
    }
}

/// Clipped and noised: y = x + e, ready to be sealed.
pub struct LocallyNoisedUpdate {
    integers: Vec<i64>,
    bound: u64,
    noise_standard_deviation: u64,
}

impl LocallyNoisedUpdate {
    /// Writes the ring words and their digest.
    pub fn seal(self, width: RingWidth) -> SealedUpdate {
        let applied =
            Applied::Noise { bound: self.bound, noise_standard_deviation: self.noise_standard_deviation };
        SealedUpdate::new(&self.integers, width, applied)
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

/// Clipped, without noise, and labelled so in its type and in the ledger.
pub struct ExplicitlyUnprotectedUpdate {
    integers: Vec<i64>,
}

impl ExplicitlyUnprotectedUpdate {
    /// Writes the ring words and their digest.
    pub fn seal(self, width: RingWidth) -> SealedUpdate {
        SealedUpdate::new(&self.integers, width, Applied::Nothing)
    }
}

/// What was really done to an update, to be compared with what was reserved for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Applied {
    Noise { bound: u64, noise_standard_deviation: u64 },
    Nothing,
}

impl Applied {
    /// Whether the reservation charged for exactly this.
    pub(crate) fn is_what_was_charged(self, protection: &Protection) -> bool {
        match (self, *protection) {
            (
                Applied::Noise { bound, noise_standard_deviation },
                Protection::Gaussian { bound: charged_bound, noise_standard_deviation_local, .. },
            ) => bound == charged_bound && noise_standard_deviation == noise_standard_deviation_local,
            (Applied::Nothing, Protection::None) => true,
            _ => false,
        }
    }

    pub(crate) fn describe(self) -> String {
        match self {
            Applied::Noise { bound, noise_standard_deviation } => {
                format!("clip {bound} and noise {noise_standard_deviation}")
            }
            Applied::Nothing => "no noise".into(),
        }
    }
}

/// Encoded and hashed; its bytes stay out of reach until the ledger has committed the hash.
pub struct SealedUpdate {
    bytes: Vec<u8>,
    hash: Digest,
    applied: Applied,
}

impl SealedUpdate {
    fn new(integers: &[i64], width: RingWidth, applied: Applied) -> Self {
        let mut bytes = Vec::new();
        width.write(integers, &mut bytes);
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clip::ShopperSum;
    use crate::noise::{NoiseError, NoiseSource};
    use guildhall_shared::job::ClippingSpec;

    struct Scripted(i64);
    impl NoiseSource for Scripted {
        fn fill(&mut self, _: u64, out: &mut [i64]) -> Result<(), NoiseError> {
            out.fill(self.0);
            Ok(())
        }
    }

    fn clipping() -> ClippingParameters {
        ClippingParameters::new(&ClippingSpec { norm_l2: 1.0, bound: 1 << 10 }, 2).expect("legal")
    }

    #[test]
    fn the_noise_that_was_drawn_is_the_noise_that_is_sealed() {
        let mut sum = ShopperSum::new(&clipping());
        sum.add(&[0.5, -0.25]);
        let noise = NoiseShare::draw(&mut Scripted(i64::MAX), 4096, 2).expect("in range");
        let sealed = sum.finish().0.add_noise(noise).seal(RingWidth::Bits64);
        let expected: Vec<u8> =
            [512i64, -256].iter().flat_map(|x| x.wrapping_add(i64::MAX).to_le_bytes()).collect();
        assert_eq!(sealed.bytes, expected);
        assert_eq!(sealed.hash(), Digest::of_bytes(&expected));
        assert_eq!(sealed.applied, Applied::Noise { bound: 1 << 10, noise_standard_deviation: 4096 });
    }

    #[test]
    fn a_failed_training_sends_bare_noise() {
        let noise = NoiseShare::draw(&mut Scripted(-3), 4096, 2).expect("in range");
        let sealed = ClippedSum::zero(&clipping()).add_noise(noise).seal(RingWidth::Bits32);
        assert_eq!(sealed.bytes, [253, 255, 255, 255, 253, 255, 255, 255]);
    }

    #[test]
    fn only_the_policy_gives_a_permit() {
        assert_eq!(UnprotectedPermit::from_policy(DangerousPolicy::default()).err(), Some(PermitRefused));
        let permit =
            UnprotectedPermit::from_policy(DangerousPolicy { allow_privacy_none: true }).expect("allowed");
        let sealed = ClippedSum::zero(&clipping()).leave_unprotected(&permit).seal(RingWidth::Bits64);
        assert_eq!(sealed.applied, Applied::Nothing);
    }

    #[test]
    fn an_update_stands_only_for_the_charge_it_was_made_for() {
        let charged = Protection::Gaussian {
            bound: 1 << 10,
            noise_standard_deviation_local: 4096,
            honest_shares: 1,
            delta: 1e-6,
        };
        let applied = |bound, noise_standard_deviation| Applied::Noise { bound, noise_standard_deviation };
        assert!(applied(1 << 10, 4096).is_what_was_charged(&charged));
        assert!(!applied(1 << 11, 4096).is_what_was_charged(&charged));
        assert!(!applied(1 << 10, 4095).is_what_was_charged(&charged));
        assert!(!Applied::Nothing.is_what_was_charged(&charged));
        assert!(!applied(1 << 10, 4096).is_what_was_charged(&Protection::None));
        assert!(Applied::Nothing.is_what_was_charged(&Protection::None));
    }
}
