//! One thread on which matrix products cannot spread: for small models spreading is slower, and what is computed on one
//! thread is the same on every machine.

/// See the module.
pub(super) struct Lane(Option<rayon::ThreadPool>);

impl Lane {
    /// Where the process has one thread anyway, or another cannot be started, work stays where it is.
    pub(super) fn new() -> Self {
        Lane(match rayon::current_num_threads() {
            1 => None,
            _ => rayon::ThreadPoolBuilder::new().num_threads(1).build().ok(),
        })
    }

    pub(super) fn run<R: Send>(&self, work: impl FnOnce() -> R + Send) -> R {
        match &self.0 {
            Some(lane) => lane.install(work),
            None => work(),
        }
    }
}
