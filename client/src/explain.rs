//! Why a model answers as it does: attributions of one answer, importance over many, reasons from a history. [core]
//!
//! ```text
//! value, gradient of one answer --integrated_gradients--> one number per input; they add up to the answer less the baseline's
//! value of part of an answer ----shapley----------------> one number per player; the same sum
//! logits of a merchant's rows ---importance-------------> what the model loses without a player
//! attention weights -------------reasons----------------> one weight per item of the history
//! ```
//! Models come as closures, so the same code explains each of them. [`mlp::Layers`] gives them for models of linear layers;
//! [`names()`] names inputs, and says which of them are one player.
//!
//! # Privacy
//! An explanation of one answer is computed from that answer's own inputs, the released model and a public baseline. It is as
//! private as its inputs and goes to whom they belong. Importance is computed on a merchant's own rows, and stays there.

pub mod importance;
pub mod integrated_gradients;
pub mod mlp;
mod names;
pub mod reasons;
pub mod shapley;

pub use names::{InputName, Player, fold, names, players};
