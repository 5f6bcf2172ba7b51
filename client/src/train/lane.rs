//! One thread on which matrix products cannot spread: for small models spreading is slower, and what is computed on one
//! thread is the same on every machine.

/// See the module.
pub(super) struct Lane(Option<rayon::ThreadPool>);

impl Lane {
    /// Where products stay on their thread (see [`crate::threads`]), or no thread can be started, work stays where it is.
    pub(super) fn new() -> Self {
        let spreading = rayon::current_num_threads() > 1 && candle_core::utils::get_num_threads() > 1;
        let lane = || rayon::ThreadPoolBuilder::new().num_threads(1).build().ok();
        Lane(spreading.then(lane).flatten())
    }

    pub(super) fn run<R: Send>(&self, work: impl FnOnce() -> R + Send) -> R {
        match &self.0 {
            Some(lane) => lane.install(work),
            None => work(),
        }
    }
}
