//! Where and how a model is computed: the device, and the forward pass at one fixed batch shape.

mod device;
pub mod exchange;
pub(crate) mod network;
pub(crate) mod sequence;

pub use device::{DeviceChoice, DeviceError, ParseDeviceError};
