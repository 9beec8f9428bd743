//! Waiting for a counter to move: spin briefly, then sleep.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Condvar, Mutex, PoisonError};

/// A counter that threads wait on.
#[derive(Debug, Default)]
pub(super) struct Turnstile {
    epoch: AtomicU32,
    sleepers: AtomicU32,
    lock: Mutex<()>,
    wake: Condvar,
}

impl Turnstile {
    /// The present count.
    pub(super) fn now(&self) -> u32 {
        self.epoch.load(Ordering::Acquire)
    }

    /// Moves the count on and lets all waiters go; what this thread wrote before is visible to them.
    pub(super) fn advance(&self) {
        // Both this pair and the one in `sleep_past` are sequentially consistent: either this thread sees the
        // sleeper, or the sleeper sees the new count.
        self.epoch.fetch_add(1, Ordering::SeqCst);
        if self.sleepers.load(Ordering::SeqCst) > 0 {
            // Taken so that no sleeper is between its last look at the count and its sleep.
            drop(self.lock.lock().unwrap_or_else(PoisonError::into_inner));
            self.wake.notify_all();
        }
    }

    /// Looks at the count `times` times; whether it is no longer `seen`.
    pub(super) fn spin_past(&self, seen: u32, times: u32) -> bool {
        for _ in 0..times {
            if self.now() != seen {
                return true;
            }
            std::hint::spin_loop();
        }
        false
    }

    /// Sleeps until the count is no longer `seen`.
    pub(super) fn sleep_past(&self, seen: u32) {
        let mut guard = self.lock.lock().unwrap_or_else(PoisonError::into_inner);
        self.sleepers.fetch_add(1, Ordering::SeqCst);
        while self.epoch.load(Ordering::SeqCst) == seen {
            guard = self.wake.wait(guard).unwrap_or_else(PoisonError::into_inner);
        }
        self.sleepers.fetch_sub(1, Ordering::SeqCst);
    }
}
