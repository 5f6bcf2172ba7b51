//! # The claim
//!
//! *Whatever anyone learns from the shared models and the messages of a job, they could have learned almost as well
//! had shopper X's behaviour at merchant M been left out: any event becomes at most e^ε times more likely, plus δ.*
//! This counts everything that merchant ever released, over all jobs. The unit is one shopper's whole history at one
//! merchant; adjacency is that it is there, or empty. It holds against everybody but the merchant itself: in plain
//! mode each merchant's own full noise carries it, whoever else colludes.
//!
//! # The argument, link by link
//!
//! 1. **Sensitivity is a fact about integers.** [`ShopperSum::add`](clip::ShopperSum::add) turns one shopper's
//!    contribution into an integer vector z with Σz² ≤ B², checked exactly on the integers themselves, or into zero
//!    (so NaN and infinities end as zero, and whatever the floats got wrong does too), and reads nobody else's.
//!    [`ShopperSum::add_outer`](clip::ShopperSum::add_outer) does the same for a gradient in factors, behind the same
//!    check. Emptying one shopper therefore moves x = Σz by at most B in L2 norm. The floats only decide how much of
//!    a contribution is kept.
//! 2. **The grid is public.** [`ClippingParameters`](parameter::ClippingParameters) come from the job alone, before
//!    any row is read.
//! 3. **The noise is exact.** [`NoiseShare::draw`](noise::NoiseShare::draw) takes d fresh samples of the discrete
//!    Gaussian N_Z(0, σ²), σ a whole number in [2^10, 2^53), from [`OpenDpNoise`](noise::OpenDpNoise): rational
//!    arithmetic over OpenSSL's private generator, no floats, no clamping.
//!    [`ClippedSum::add_noise`](update::ClippedSum::add_noise) consumes it, so it serves once.
//! 4. **One release costs ρ = B²/(2·h·σ²)** of zero-concentrated differential privacy (Canonne, Kamath, Steinke 2020,
//!    Theorem 14; h = 1 in plain mode; for h > 1 Kairouz, Liu, Steinke 2021). [`charge`](accountant::zcdp::charge)
//!    computes it in whole 10⁻¹² ρ, rounded up.
//! 5. **Nothing later adds to it.** Reduction into the ring, sums, optimiser steps and averages are functions of the
//!    noised integers and of public numbers. A wrap around the ring costs utility, never privacy.
//! 6. **What was charged is what is sent, and it is charged first.** [`Ledger::reserve`](ledger::Ledger::reserve)
//!    makes the debit durable before training; [`Ledger::commit`](ledger::Ledger::commit) compares the update's own B
//!    and σ with the debit, makes the update's hash durable, and only then hands out a
//!    [`CommittedUpdate`](update::CommittedUpdate), the only type whose bytes can be read. A retry is these same
//!    bytes, or a new reservation with new noise. The order of types is in [`update`].
//! 7. **Losses add up, and the sum is bounded.** zCDP composes by addition, also when later rounds depend on earlier
//!    ones (Bun and Steinke 2016, Lemma 2.3). [`LedgerState::decide`](ledger::LedgerState::decide) refuses what would
//!    lift the sum over [`rho_lower_bound`](accountant::zcdp::rho_lower_bound) of the merchant's ε and δ.
//!    Reservations count as spent; a crash never forgets a commit (the rule is in [`ledger`]).
//! 8. **The sum means (ε, δ)** by [`epsilon_upper_bound`](accountant::zcdp::epsilon_upper_bound), rounded up.
//!
//! # What the compiler does not prove
//!
//! The callers must keep, and test:
//! * A contribution is a function of public parameters, released models, this shopper's own rows and randomness
//!   private to this shopper; its bits do not depend on who shares its batch. Nothing learnt from several shoppers
//!   enters it: no local normalisers, vocabularies, early stopping or optimiser state.
//! * [`ShopperSum::add`](clip::ShopperSum::add) is called at most once for each shopper and round, for every shopper
//!   whose public-rate coin says so, and never stops at a count.
//! * The noise source is [`OpenDpNoise`](noise::OpenDpNoise) wherever rows are real, and noise is drawn before training.
//! * Counts such as [`ClipTally`](clip::ClipTally), losses and durations stay at the merchant. Every divisor is public.
//! * After a reservation nothing that depends on rows decides whether an update is sent: a training error sends
//!   [`ClippedSum::zero`](update::ClippedSum::zero), noised.
//! * The folder of the ledger is not restored from an older copy: that would refund what was spent.
//!
//! # What is not claimed
//!
//! * One ε is for one merchant. A shopper known to k merchants has k·ρ in plain mode, k²·ρ inside one masked sum:
//!   [`plan`] prints ε for k = 1, 2, 5.
//! * A job with `privacy = "none"` has no formal protection. It needs an [`UnprotectedPermit`](update::UnprotectedPermit)
//!   from the merchant's own policy, has its own type, and is recorded as such.
//! * Personal parameters served inside their own merchant, the merchant's disks and the timing of the sampler are
//!   outside. So is poisoning: this crate bounds what leaks, not what is learnt.

pub mod accountant;
pub mod clip;
pub mod ledger;
pub mod noise;
pub mod parameter;
pub mod plan;
pub mod update;

#[cfg(test)]
mod test_environment;
