//! Waiting for a counter to move: spin briefly, then yield, then sleep.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Condvar, Mutex, PoisonError};

/// How long a waiter stays awake.
#[derive(Clone, Copy, Debug)]
pub(super) struct Patience {
    spins: u32,
    yields: u32,
}

impl Patience {
    /// For `threads` workers on `cores` cores. A stage is some 10 to 1000 microseconds long and waking a
    /// sleeper costs about 50, so waiting some 50 awake wins where every worker has a core; where it has not,
    /// each spin steals time from the very worker that is waited for.
    pub(super) fn of(threads: usize, cores: usize) -> Self {
        if threads <= cores { Self { spins: 2000, yields: 100 } } else { Self { spins: 0, yields: 4 } }
    }
}

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
        // Both this pair and the one in `wait_past` are sequentially consistent: either this thread sees the
        // sleeper, or the sleeper sees the new count.
        self.epoch.fetch_add(1, Ordering::SeqCst);
        if self.sleepers.load(Ordering::SeqCst) > 0 {
            // Taken so that no sleeper is between its last look at the count and its sleep.
            drop(self.lock.lock().unwrap_or_else(PoisonError::into_inner));
            self.wake.notify_all();
        }
    }

    /// Returns once the count is no longer `seen`.
    pub(super) fn wait_past(&self, seen: u32, patience: Patience) {
        for _ in 0..patience.spins {
            if self.now() != seen {
                return;
            }
            std::hint::spin_loop();
        }
        for _ in 0..patience.yields {
            if self.now() != seen {
                return;
            }
            std::thread::yield_now();
        }
        let mut guard = self.lock.lock().unwrap_or_else(PoisonError::into_inner);
        self.sleepers.fetch_add(1, Ordering::SeqCst);
        while self.epoch.load(Ordering::SeqCst) == seen {
            guard = self.wake.wait(guard).unwrap_or_else(PoisonError::into_inner);
        }
        self.sleepers.fetch_sub(1, Ordering::SeqCst);
    }
}
