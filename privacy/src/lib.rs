//! # The claim
//!
//! *Whatever anyone learns from the shared models and the messages of a job, they could have learned almost as well
//! had shopper X's behaviour at merchant M been left out: any event becomes at most e^ε times more likely, plus δ.*
//! This counts everything that merchant ever released, over all jobs. The unit is one shopper's whole history at one
//! merchant; adjacency is that it is there, or empty.
//!
//! Against whom:
//! * **Masked mode** (the default): against the server plus up to C colluding merchants, whatever they do. If all other
//!   merchants collude with the server it is ε_local, which is large in large federations. That the server sees no more
//!   than sums is computational; what the sums reveal is not.
//! * **Plain mode**: against everybody but the merchant itself, without any assumption: each merchant's own full noise
//!   carries it, whoever else colludes.
//!
//! # The argument, link by link
//!
//! 1. **Sensitivity is a fact about integers.** [`ShopperSum::add`](clip::ShopperSum::add) turns one shopper's
//!    contribution into an integer vector z with Σz² ≤ B², checked exactly on the integers themselves, or into zero
//!    (so NaN and infinities end as zero, and whatever the floats got wrong does too), and reads nobody else's.
//!    [`ShopperSum::add_outer`](clip::ShopperSum::add_outer) does the same for a gradient in factors, behind the same
//!    check. Emptying one shopper therefore moves x = Σz by at most B in L2 norm. The floats only decide how much of
//!    a contribution is kept. Where a job's clip adapts, z has one more coordinate, which says whether this shopper's
//!    contribution was within the clip; it is noised like the others, and the check is over all of them together.
//! 2. **The grid is public.** [`ClippingParameters`](parameter::ClippingParameters) come from the job alone, before
//!    any row is read, or where the clip adapts from the job and the released model version, whose clip is a function of
//!    noised sums.
//! 3. **The noise is exact.** [`NoiseShare::draw`](noise::NoiseShare::draw) takes for each word one fresh sample of
//!    the discrete Gaussian N_Z(0, σ_local²), σ_local a whole number in [2^10, 2^53), from [`BulkNoise`](noise::BulkNoise): whole
//!    numbers only, no floats, no clamping; the proof that the distribution is exact is in [`guildhall_sampler`], and its
//!    bits are ChaCha20's under a fresh seed of the operating system. [`OpenDpNoise`](noise::OpenDpNoise) is the oracle it
//!    is tested against, and may stand in for it.
//!    [`ClippedSum::add_noise`](update::ClippedSum::add_noise) consumes it, so it serves once.
//!    In plain mode σ_local is σ, all the noise there is. In masked mode it is a share of it: the smallest whole number
//!    with h·σ_local² ≥ σ² ([`RoundParameters::derive`]), h the honest shares that are surely in whatever the server can
//!    unmask ([`SecaggParameters::noise_shares`]).
//! 4. **The server sees only the noised sum.** Plain mode needs no such link: h = 1. In masked mode
//!    [`NoisedUpdate::mask`](update::NoisedUpdate::mask) covers the update with the [`MaskSet`] that [`Masking::masks`]
//!    made, uniform on the ring for whoever lacks one of its keys. The keys were agreed in [`Advertised::share`] and
//!    [`Sharing::receive`] with peers whose signatures verify under the pinned roster, or dealt to them in shares of
//!    which t are needed. [`Uploaded::certify`] signs one survivor set, of at least m_min;
//!    [`Certified::unmask`] answers once, only for the set that t merchants signed. So what can be unmasked is one
//!    sum, with at least h honest shares of noise in it.
//!
//!    *Computational*: that agreed keys look random (X25519, HKDF-SHA256), masks look uniform (AES-256 in counter mode
//!    or ChaCha20), shares on their way stay closed (ChaCha20-Poly1305), signatures and hashes are not forged (Ed25519,
//!    SHA-256). Recorded traffic and a later break of X25519 leave the merchant's own share: ε_local. *Not
//!    computational*: the secret sharing, the masks given uniform key streams, and all the other links here. In
//!    federations with a sparse graph this link also fails with the probability that
//!    [`SecaggParameters::delta_addition`] adds to δ.
//! 5. **One release costs ρ = B²/(2·h·σ_local²)** of zero-concentrated differential privacy (Canonne, Kamath, Steinke 2020,
//!    Theorem 14, for h = 1; for sums of h > 1 shares Kairouz, Liu, Steinke 2021).
//!    [`charge`](accountant::zcdp::charge) computes it in whole 10⁻¹² ρ, rounded up.
//!    [`observer`](accountant::observer) has what the same release costs against others; that is reported, never charged.
//! 6. **Nothing later adds to it.** Reduction into the ring, sums, optimiser steps and averages are functions of the
//!    noised integers and of public numbers. A wrap around the ring costs utility, never privacy.
//! 7. **What was charged is what is sent, and it is charged first.** [`Ledger::reserve`](ledger::Ledger::reserve)
//!    makes the debit durable before training; [`Ledger::commit`](ledger::Ledger::commit) compares the update's own B,
//!    σ_local and masks with the debit, makes the update's hash durable, and only then hands out a
//!    [`CommittedUpdate`](update::CommittedUpdate), the only type whose bytes can be read. A share of the noise that is
//!    not masked, or masked for another session, is refused there. A retry is these same bytes, or a new reservation
//!    with new noise and new masks. The order of types is in [`update`].
//! 8. **Losses add up, and the sum is bounded.** zCDP composes by addition, also when later rounds depend on earlier
//!    ones (Bun and Steinke 2016, Lemma 2.3). [`LedgerState::decide`](ledger::LedgerState::decide) refuses what would
//!    lift the sum over [`rho_lower_bound`](accountant::zcdp::rho_lower_bound) of the merchant's ε and δ.
//!    Reservations count as spent; a crash never forgets a commit (the rule is in [`ledger`]). The entries are chained, leaves
//!    of a Merkle log and signed, so a rewritten ledger is noticed by whoever saw it before, and
//!    [`verify`](guildhall_ledger::verify::verify) computes every charge and every sum again from an export alone.
//! 9. **The sum means (ε, δ)** by [`epsilon_upper_bound`](accountant::zcdp::epsilon_upper_bound), rounded up. No other
//!    accountant decides on a budget: [`gaussian`](accountant::gaussian), [`rdp`](accountant::rdp) and
//!    [`pld`](accountant::pld) give ε of a composition whose numbers were fixed beforehand, for [`plan`] and for comparison.
//!
//! # What the compiler does not prove
//!
//! The callers must keep, and test:
//! * A contribution is a function of public parameters, released models, this shopper's own rows and randomness
//!   private to this shopper; its bits do not depend on who shares its batch. Nothing learnt from several shoppers
//!   enters it: no local normalisers, vocabularies, early stopping or optimiser state.
//! * [`ShopperSum::add`](clip::ShopperSum::add) is called at most once for each shopper and round, for every shopper
//!   whose public-rate coin says so, and never stops at a count.
//! * The noise source is [`BulkNoise`](noise::BulkNoise) wherever rows are real, and noise is drawn before training.
//! * Counts such as [`ClipTally`](clip::ClipTally), losses and durations stay at the merchant. Every divisor is public.
//! * After a reservation nothing that depends on rows decides whether an update is sent: a training error sends
//!   [`ClippedSum::zero`](update::ClippedSum::zero), noised.
//! * The [`MaskSet`] is the one that this attempt's own [`client::Masking`] made, from a seed that was drawn from the
//!   operating system and used for nothing else. The ledger compares its session with the reservation's and counts its
//!   masks; where the keys in it come from it cannot see.
//! * The reservation's σ_local, h and C are those of [`RoundParameters::derive`] for the pinned roster's length, never
//!   the server's: [`Protection::of`](parameter::Protection::of), [`Travel::of`](parameter::Travel::of).
//! * The merchant follows one attempt at a time, and drops its keys with it.
//! * The folder of the ledger is not restored from an older copy: that would refund what was spent.
//!
//! # What is not claimed
//!
//! * One ε is for one merchant. A shopper known to k merchants has k·ρ in plain mode, k²·ρ inside one masked sum:
//!   [`plan`] prints ε for k = 1, 2, 5.
//! * Honest merchants add their noise. A merchant that leaves its own share out is one of the C.
//! * Secure aggregation alone protects nobody from whoever reads the model: in a masked job with `privacy = "none"` the
//!   server reads only sums, but exact ones.
//! * A job with `privacy = "none"` has no formal protection. It needs an [`UnprotectedPermit`](update::UnprotectedPermit)
//!   from the merchant's own policy, has its own type, and is recorded as such.
//! * Personal parameters served inside their own merchant, the merchant's disks and the timing of the sampler are
//!   outside. So is poisoning: this crate bounds what leaks, not what is learnt.
//!
//! [`Advertised::share`]: guildhall_shared::secagg::client::Advertised::share
//! [`Certified::unmask`]: guildhall_shared::secagg::client::Certified::unmask
//! [`Masking::masks`]: guildhall_shared::secagg::client::Masking::masks
//! [`Sharing::receive`]: guildhall_shared::secagg::client::Sharing::receive
//! [`Uploaded::certify`]: guildhall_shared::secagg::client::Uploaded::certify
//! [`MaskSet`]: guildhall_shared::secagg::mask::MaskSet
//! [`RoundParameters::derive`]: guildhall_shared::round_parameters::RoundParameters::derive
//! [`SecaggParameters::delta_addition`]: guildhall_shared::secagg::SecaggParameters::delta_addition
//! [`SecaggParameters::noise_shares`]: guildhall_shared::secagg::SecaggParameters::noise_shares
//! [`client::Masking`]: guildhall_shared::secagg::client::Masking

pub mod accountant;
pub mod audit;
pub mod clip;
pub mod ledger;
pub mod noise;
pub mod parameter;
pub mod plan;
pub mod update;

#[cfg(test)]
mod test_environment;
