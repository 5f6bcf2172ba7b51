//! The threads that train, and that candle's own stay out of their way. (shell)
//!
//! Shoppers and merchants are spread over threads, and each thread computes its products by itself. candle would spread every
//! product and every element-wise operation besides, over threads that spin while they wait for each other, and it counts the
//! cores anew for each product: on Linux by reading /proc/cpuinfo. Two environment variables are the only way to tell it not
//! to, and a program can set none of its own without `unsafe`: so it starts itself over with them, as the same process.

use std::env;
use std::num::NonZeroUsize;
use std::process::Command;
use std::thread;

/// The environment variable with the number of threads that train. Unset: RAYON_NUM_THREADS, else one for each core.
pub const THREADS: &str = "GUILDHALL_THREADS";

/// What candle reads, and what it is told.
const CANDLE: [(&str, &str); 2] = [("RAYON_NUM_THREADS", "1"), ("CANDLE_NUM_THREADS", "1")];

/// No number of threads.
#[derive(Debug, thiserror::Error)]
#[error("{THREADS}: expected a number of threads from 1 to {THREADS_MAX}, found {found:?}")]
pub struct ThreadsError {
    found: String,
}

/// More are a slip of the pen.
const THREADS_MAX: usize = 1_024;

/// Starts the threads that train: as many as are asked for, else as [`THREADS`] says. To be called once, before any work: on
/// Unix it may start the program over, with the same arguments and process id.
///
/// # Errors
/// [`ThreadsError`]. Where the program cannot be started over it goes on as it is, only slower.
pub fn start(asked: Option<NonZeroUsize>) -> Result<(), ThreadsError> {
    let threads = match asked {
        Some(threads) => threads,
        None => match env::var_os(THREADS) {
            Some(text) => parse(&text.to_string_lossy())?,
            None => of_machine(),
        },
    };
    let told = |(name, value): &(&str, &str)| env::var(name).is_ok_and(|found| found == *value);
    if !CANDLE.iter().all(told) {
        start_over(threads);
    }
    // Where there is a pool already, it stays.
    let _ = rayon::ThreadPoolBuilder::new().num_threads(threads.get()).build_global();
    Ok(())
}

fn of_machine() -> NonZeroUsize {
    let rayon = env::var("RAYON_NUM_THREADS").ok().and_then(|text| parse(&text).ok());
    rayon.or_else(|| thread::available_parallelism().ok()).unwrap_or(NonZeroUsize::MIN)
}

fn parse(text: &str) -> Result<NonZeroUsize, ThreadsError> {
    let threads = text.trim().parse::<NonZeroUsize>().ok().filter(|threads| threads.get() <= THREADS_MAX);
    threads.ok_or_else(|| ThreadsError { found: text.to_owned() })
}

/// Comes back only where the program could not be started over.
#[cfg(unix)]
fn start_over(threads: NonZeroUsize) {
    use std::os::unix::process::CommandExt as _;

    let Ok(program) = env::current_exe() else { return };
    let mut arguments = env::args_os();
    let mut command = Command::new(program);
    if let Some(name) = arguments.next() {
        command.arg0(name);
    }
    let failed = command.args(arguments).envs(CANDLE).env(THREADS, threads.to_string()).exec();
    tracing::debug!(%failed, "training goes on with candle's own threads");
}

#[cfg(not(unix))]
fn start_over(_: NonZeroUsize) {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_threads() {
        for (text, threads) in [("1", 1), (" 16\n", 16), ("1024", 1_024)] {
            assert_eq!(parse(text).unwrap().get(), threads);
        }
        for text in ["", "0", "-1", "1025", "two", "1.5", "99999999999999999999"] {
            let error = parse(text).unwrap_err().to_string();
            assert!(error.contains(THREADS) && error.contains(&format!("{text:?}")), "{error}");
        }
    }
}
