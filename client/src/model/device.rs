//! The device that computes: `auto`, `cpu` or `cuda:N`.

use std::fmt;
use std::str::FromStr;

use candle_core::Device;
use serde::{Deserialize, Serialize};

/// Which device computes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum DeviceChoice {
    /// The first CUDA device where the binary was built with the `cuda` feature and one is present, else the CPU.
    #[default]
    Auto,
    /// The CPU.
    Cpu,
    /// This CUDA device, counted from 0. An error where it cannot be used.
    Cuda(usize),
}

/// A text that names no device.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("expected a device \"auto\", \"cpu\" or \"cuda:N\" (N from 0), found {found:?}")]
pub struct ParseDeviceError {
    found: String,
}

/// A device that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DeviceError {
    /// A CUDA device was asked of a binary without CUDA.
    #[error(
        "device cuda:{index} was asked for, but this binary was built without CUDA: \
         build it with `--features cuda`, or set device = \"cpu\""
    )]
    BuiltWithoutCuda {
        /// The device asked for.
        index: usize,
    },
    /// A CUDA device cannot be opened.
    #[error(
        "device cuda:{index} cannot be used ({reason}): check `nvidia-smi` and CUDA_VISIBLE_DEVICES, \
         or set device = \"cpu\""
    )]
    Unavailable {
        /// The device asked for.
        index: usize,
        /// What the driver says.
        reason: String,
    },
}

impl DeviceChoice {
    /// Opens the device.
    pub(crate) fn open(self) -> Result<Device, DeviceError> {
        match self {
            DeviceChoice::Cpu => Ok(Device::Cpu),
            DeviceChoice::Auto if cfg!(feature = "cuda") => Ok(open_cuda(0).unwrap_or(Device::Cpu)),
            DeviceChoice::Auto => Ok(Device::Cpu),
            DeviceChoice::Cuda(index) if cfg!(feature = "cuda") => open_cuda(index),
            DeviceChoice::Cuda(index) => Err(DeviceError::BuiltWithoutCuda { index }),
        }
    }
}

fn open_cuda(index: usize) -> Result<Device, DeviceError> {
    Device::new_cuda(index).map_err(|error| {
        let text = error.to_string();
        DeviceError::Unavailable { index, reason: text.lines().next().unwrap_or_default().to_owned() }
    })
}

impl fmt::Display for DeviceChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DeviceChoice::Auto => f.write_str("auto"),
            DeviceChoice::Cpu => f.write_str("cpu"),
            DeviceChoice::Cuda(index) => write!(f, "cuda:{index}"),
        }
    }
}

impl FromStr for DeviceChoice {
    type Err = ParseDeviceError;

    fn from_str(text: &str) -> Result<Self, ParseDeviceError> {
        let wrong = || ParseDeviceError { found: text.chars().take(80).collect() };
        match text {
            "auto" => Ok(DeviceChoice::Auto),
            "cpu" => Ok(DeviceChoice::Cpu),
            _ => {
                let digits = text.strip_prefix("cuda:").ok_or_else(wrong)?;
                if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
                    return Err(wrong());
                }
                digits.parse().map(DeviceChoice::Cuda).map_err(|_| wrong())
            }
        }
    }
}

impl TryFrom<String> for DeviceChoice {
    type Error = ParseDeviceError;

    fn try_from(text: String) -> Result<Self, ParseDeviceError> {
        text.parse()
    }
}

impl From<DeviceChoice> for String {
    fn from(choice: DeviceChoice) -> String {
        choice.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_round_trip() {
        for text in ["auto", "cpu", "cuda:0", "cuda:13"] {
            assert_eq!(text.parse::<DeviceChoice>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn other_texts_are_refused_and_told_what_to_write() {
        for text in
            ["", "gpu", "cuda", "cuda:", "cuda:x", "cuda:+1", "cuda:-1", "CPU", "cuda:99999999999999999999"]
        {
            let error = text.parse::<DeviceChoice>().unwrap_err().to_string();
            assert!(error.contains("\"cuda:N\""), "{error}");
        }
    }

    #[test]
    fn cpu_always_opens_and_auto_never_fails() {
        assert!(DeviceChoice::Cpu.open().unwrap().is_cpu());
        assert!(DeviceChoice::Auto.open().is_ok());
    }

    #[cfg(not(feature = "cuda"))]
    #[test]
    fn cuda_without_cuda_says_what_to_do() {
        let error = DeviceChoice::Cuda(0).open().unwrap_err().to_string();
        assert!(error.contains("--features cuda") && error.contains("device = \"cpu\""), "{error}");
    }
}
