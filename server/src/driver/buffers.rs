//! A few buffers for uploads, shared by all connections. Whoever finds none waits, and flow control holds its peer.

use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The buffers.
#[derive(Debug)]
pub struct Buffers {
    places: Arc<Semaphore>,
    free: Mutex<Vec<Vec<u8>>>,
}

/// A buffer on loan; returned when dropped, whatever happened to its user.
#[derive(Debug)]
pub struct Loan {
    bytes: Vec<u8>,
    pool: Arc<Buffers>,
    _place: OwnedSemaphorePermit,
}

impl Buffers {
    /// A number of buffers, empty at first.
    pub fn new(count: usize) -> Arc<Self> {
        Arc::new(Buffers { places: Arc::new(Semaphore::new(count)), free: Mutex::new(Vec::new()) })
    }

    /// Waits for a buffer of exactly `length` bytes, whose contents are arbitrary.
    pub async fn borrow(self: &Arc<Self>, length: usize) -> Option<Loan> {
        let place = Arc::clone(&self.places).acquire_owned().await.ok()?;
        let mut bytes = self.free.lock().unwrap_or_else(PoisonError::into_inner).pop().unwrap_or_default();
        // A buffer of an earlier, larger job is given back to the system.
        if bytes.capacity() / 2 > length {
            bytes = Vec::new();
        }
        bytes.resize(length, 0);
        Some(Loan { bytes, pool: Arc::clone(self), _place: place })
    }

    /// Buffers nobody uses.
    #[cfg(test)]
    pub fn available(&self) -> usize {
        self.places.available_permits()
    }
}

impl Deref for Loan {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        &self.bytes
    }
}

impl DerefMut for Loan {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.bytes
    }
}

impl Drop for Loan {
    fn drop(&mut self) {
        let bytes = std::mem::take(&mut self.bytes);
        self.pool.free.lock().unwrap_or_else(PoisonError::into_inner).push(bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn buffers_are_reused_and_never_more_than_their_number() {
        let pool = Buffers::new(2);
        let (first, second) = (pool.borrow(8).await.expect("free"), pool.borrow(8).await.expect("free"));
        assert_eq!(pool.available(), 0);
        let waiting = tokio::spawn({
            let pool = Arc::clone(&pool);
            async move { pool.borrow(8).await.map(|loan| loan.len()) }
        });
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished(), "a third user waits");
        drop(first);
        assert_eq!(waiting.await.expect("runs"), Some(8));
        drop(second);
        assert_eq!(pool.available(), 2);
        assert!(pool.free.lock().expect("not poisoned").len() <= 2);
    }

    #[tokio::test]
    async fn a_smaller_job_frees_the_memory_of_a_larger_one() {
        let pool = Buffers::new(1);
        drop(pool.borrow(1 << 20).await);
        let small = pool.borrow(16).await.expect("free");
        assert!(small.bytes.capacity() < 1 << 10);
    }
}
