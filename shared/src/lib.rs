//! What every party of a Guildhall federation agrees on: names, the canonical encoding, messages, ring arithmetic,
//! rosters, job and model specifications, and the optimiser that all parties run to the same bits.
//!
//! Everything here is a *core*: no clock, no randomness, no files, no tasks. The network is somebody else's detail.

pub mod catalogue;
pub mod digest;
pub mod frame;
pub mod id;
pub mod identity;
pub mod job;
pub mod message;
pub mod model_spec;
pub mod model_state;
pub mod optimizer;
pub mod ring;
pub mod round_parameters;
pub mod secagg;
pub mod task;
pub mod tree_head;
pub mod wire;
