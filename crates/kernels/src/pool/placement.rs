//! Getting out of each other's way.
//!
//! Where a hypervisor reports halted virtual cores as taken away, Linux wakes a thread on the core of its waker
//! even though another one idles, and workers that wait for each other there do not look busy enough to be
//! parted: two workers on two cores were measured at half their speed for seconds on end, seven at 100 instead
//! of 180 GFLOP/s. So a worker that finds more than a fair share of them on its core moves away. It is not
//! pinned: afterwards its mask is what it was before.

/// Stands for a core that is not known.
pub(super) const NOWHERE: u32 = u32::MAX;

/// The core this thread runs on.
#[cfg(target_os = "linux")]
pub(super) fn core() -> u32 {
    // SAFETY: takes nothing and touches nothing.
    u32::try_from(unsafe { libc::sched_getcpu() }).unwrap_or(NOWHERE)
}

/// Moves this thread to another core that it may use, if there is one.
#[cfg(target_os = "linux")]
pub(super) fn leave(core: u32) {
    let size = size_of::<libc::cpu_set_t>();
    // SAFETY: an all-zero `cpu_set_t` is the empty set; the calls read or write one of `size` bytes and
    // concern this thread (0) alone. Failure is ignored: then the thread stays where it is.
    unsafe {
        let mut usual: libc::cpu_set_t = std::mem::zeroed();
        if core as usize >= 8 * size || libc::sched_getaffinity(0, size, &mut usual) != 0 {
            return;
        }
        let mut others = usual;
        libc::CPU_CLR(core as usize, &mut others);
        // The empty set is refused by the system.
        if libc::sched_setaffinity(0, size, &others) == 0 {
            libc::sched_setaffinity(0, size, &usual);
        }
    }
}

/// The core this thread runs on: not known here.
#[cfg(not(target_os = "linux"))]
pub(super) fn core() -> u32 {
    NOWHERE
}

/// Nothing to be done here.
#[cfg(not(target_os = "linux"))]
pub(super) fn leave(_: u32) {}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn leaving_a_core_moves_and_does_not_pin() {
        let before = std::thread::available_parallelism().unwrap();
        for _ in 0..20 {
            leave(core());
            assert_eq!(std::thread::available_parallelism().unwrap(), before);
        }
        leave(NOWHERE);
    }
}
