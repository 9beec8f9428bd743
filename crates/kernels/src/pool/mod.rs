//! A persistent pool of threads that run one parallel region at a time.

mod denormals;
mod placement;
mod turnstile;

#[cfg(test)]
mod tests;

use denormals::Flushed;
use std::any::Any;
use std::cell::{Cell, UnsafeCell};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use turnstile::Turnstile;

/// Why a pool could not be made, or a region did not end well.
#[derive(Debug, thiserror::Error)]
pub enum PoolError {
    /// A pool without threads was asked for.
    #[error("a thread pool needs at least 1 thread, got 0")]
    NoThreads,
    /// The system refused a thread.
    #[error("cannot start thread {index} of {threads}: {source}; ask for fewer threads")]
    Spawn {
        /// Which thread, counted from 1.
        index: usize,
        /// How many were asked for.
        threads: usize,
        /// What the system said.
        source: std::io::Error,
    },
    /// A region was started from inside a region, where it would wait for itself.
    #[error("a parallel region cannot be started from inside another one")]
    Nested,
    /// The body panicked; all other workers left the region, and the pool can be used again.
    #[error("worker {worker} of {threads} panicked: {message}")]
    Panicked {
        /// The worker that panicked first.
        worker: usize,
        /// Size of the pool.
        threads: usize,
        /// The panic's message.
        message: String,
    },
}

/// A body as the workers see it: the lifetime is erased, `Pool::run` outlasts every use.
type Body = *const (dyn Fn(&Worker<'_>) + Sync);

/// A counter on cache lines of its own (two: x86 prefetches them in pairs).
#[derive(Debug, Default)]
#[repr(align(128))]
struct Claims(AtomicUsize);

impl Claims {
    /// The next of `tasks` tasks that nobody has claimed.
    fn next(&self, tasks: usize) -> Option<usize> {
        // Looked at first: a claim takes the line from the others.
        let left = self.0.load(Ordering::Relaxed) < tasks;
        left.then(|| self.0.fetch_add(1, Ordering::Relaxed)).filter(|&task| task < tasks)
    }
}

/// The core a worker was last seen on.
#[derive(Debug)]
#[repr(align(128))]
struct Seat(AtomicU32);

/// How often a waiter looks before it sleeps, some 50 microseconds in all. A stage takes 10 to 1000 and waking a
/// sleeper costs some 50, so waiting awake wins where every worker has a core. Where it has not, each look
/// steals time from the very worker that is waited for.
const LOOKS: u32 = 2000;

struct Shared {
    threads: usize,
    /// [`LOOKS`], or 0 where there are more workers than cores.
    looks: u32,
    seats: Vec<Seat>,
    /// Workers a core has where all cores have about the same number.
    share: usize,
    /// Moves when a region starts or the pool stops.
    start: Turnstile,
    /// Moves when the last worker but the caller has left a region.
    end: Turnstile,
    /// Moves when all workers have arrived at the barrier, or one of them panicked. Its parity is the sense of
    /// the classical sense-reversing barrier.
    barrier: Turnstile,
    arrived: AtomicUsize,
    /// A worker panicked in this region: nobody may wait for it.
    poisoned: AtomicBool,
    /// Workers other than the caller that are still in the region.
    inside: AtomicUsize,
    stop: AtomicBool,
    /// Next task of even and of odd stages: of the whole stage, then of each worker's stretch.
    claims: [Vec<Claims>; 2],
    /// First panic of the region.
    panic: Mutex<Option<(usize, String)>>,
    body: UnsafeCell<Option<Body>>,
}

// SAFETY: `body` is written only by the thread that holds `Pool::region`, while no worker is inside a region, and
// read by workers after `start` moved; everything else is Sync by itself. The body it points to is Sync.
unsafe impl Sync for Shared {}
// SAFETY: as above; the pointer is not tied to a thread.
unsafe impl Send for Shared {}

/// What a worker unwinds with when another one panicked: not a panic of its own.
struct Left;

thread_local! {
    static INSIDE: Cell<bool> = const { Cell::new(false) };
}

/// Threads that wait for parallel regions. Dropping it joins them.
#[derive(Debug)]
pub struct Pool {
    shared: Arc<Shared>,
    handles: Vec<JoinHandle<()>>,
    /// Held while a region runs: callers on several threads take turns.
    region: Mutex<()>,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").field("threads", &self.threads).finish_non_exhaustive()
    }
}

impl Pool {
    /// A pool of `threads` workers, of which the caller of [`Pool::run`] is one: `threads - 1` are spawned.
    pub fn new(threads: usize) -> Result<Self, PoolError> {
        if threads == 0 {
            return Err(PoolError::NoThreads);
        }
        let cores = std::thread::available_parallelism().map_or(1, |n| n.get());
        let shared = Arc::new(Shared {
            threads,
            looks: if threads <= cores { LOOKS } else { 0 },
            share: threads.div_ceil(cores),
            seats: (0..threads).map(|_| Seat(AtomicU32::new(placement::NOWHERE))).collect(),
            start: Turnstile::default(),
            end: Turnstile::default(),
            barrier: Turnstile::default(),
            arrived: AtomicUsize::new(0),
            poisoned: AtomicBool::new(false),
            inside: AtomicUsize::new(0),
            stop: AtomicBool::new(false),
            claims: [(); 2].map(|()| (0..=threads).map(|_| Claims::default()).collect()),
            panic: Mutex::new(None),
            body: UnsafeCell::new(None),
        });
        // Made first, so that an error below drops it and joins the threads already started.
        let mut pool = Self { shared, handles: Vec::new(), region: Mutex::new(()) };
        for index in 1..threads {
            let shared = Arc::clone(&pool.shared);
            let spawned = std::thread::Builder::new()
                .name(format!("ganymede-{index}"))
                .spawn(move || shared.serve(index))
                .map_err(|source| PoolError::Spawn { index, threads, source })?;
            pool.handles.push(spawned);
        }
        Ok(pool)
    }

    /// Number of workers.
    pub fn threads(&self) -> usize {
        self.shared.threads
    }

    /// Runs `body` once on every worker at the same time and returns when all have left it. The caller is
    /// worker 0. A panic in any of them makes the others leave at their next barrier and becomes an error.
    pub fn run(&self, body: &(dyn Fn(&Worker<'_>) + Sync)) -> Result<(), PoolError> {
        if INSIDE.get() {
            return Err(PoolError::Nested);
        }
        let _turn = self.region.lock().unwrap_or_else(PoisonError::into_inner);
        let shared = &*self.shared;
        // The previous region is over, so no worker looks at these.
        shared.arrived.store(0, Ordering::Relaxed);
        shared.poisoned.store(false, Ordering::Relaxed);
        for claims in shared.claims.iter().flatten() {
            claims.0.store(0, Ordering::Relaxed);
        }
        if shared.threads > 1 {
            let ended = shared.end.now();
            shared.inside.store(shared.threads - 1, Ordering::Relaxed);
            // SAFETY: workers read this only between `start` below and their decrement of `inside`, for which
            // this function waits before it returns; so the reference outlives the erased lifetime's uses.
            let erased = unsafe {
                std::mem::transmute::<*const (dyn Fn(&Worker<'_>) + Sync + '_), Body>(std::ptr::from_ref(
                    body,
                ))
            };
            // SAFETY: no worker is inside a region, and this thread holds `region`.
            unsafe { *shared.body.get() = Some(erased) };
            shared.start.advance();
            shared.enter(0, body);
            shared.wait(0, &shared.end, ended);
        } else {
            shared.enter(0, body);
        }
        match shared.panic.lock().unwrap_or_else(PoisonError::into_inner).take() {
            None => Ok(()),
            Some((worker, message)) => Err(PoolError::Panicked { worker, threads: shared.threads, message }),
        }
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Release);
        self.shared.start.advance();
        for handle in self.handles.drain(..) {
            // A worker catches every panic of a body, so there is nothing to report.
            let _ = handle.join();
        }
    }
}

impl Shared {
    /// The life of a spawned worker.
    fn serve(&self, index: usize) {
        // The pool's first region may already have started, so the count that was never passed is 0.
        let mut seen = 0;
        loop {
            self.wait(index, &self.start, seen);
            // One region at a time, and it ends only when this worker has left it: exactly one step.
            seen = seen.wrapping_add(1);
            if self.stop.load(Ordering::Acquire) {
                return;
            }
            // SAFETY: written before `start` moved and not written again before this worker leaves.
            if let Some(body) = unsafe { *self.body.get() } {
                // SAFETY: `Pool::run` keeps the body alive until this worker has left.
                self.enter(index, unsafe { &*body });
            }
            if self.inside.fetch_sub(1, Ordering::AcqRel) == 1 {
                self.end.advance();
            }
        }
    }

    /// Waits as worker `index`.
    fn wait(&self, index: usize, turnstile: &Turnstile, seen: u32) {
        if turnstile.spin_past(seen, self.looks) {
            return;
        }
        // A worker that is waited for may be unable to run because this one looks on.
        if self.settle(index) && turnstile.spin_past(seen, self.looks) {
            return;
        }
        turnstile.sleep_past(seen);
        // Woken, perhaps, on the core of the waker, which is at work there.
        self.settle(index);
    }

    /// Moves worker `index` if its core has more than its share of workers; whether it did.
    fn settle(&self, index: usize) -> bool {
        let here = self.sit(index);
        let together = self.seats.iter().filter(|s| s.0.load(Ordering::Relaxed) == here).count();
        let crowded = here != placement::NOWHERE && together > self.share;
        if crowded {
            placement::leave(here);
            self.sit(index);
        }
        crowded
    }

    /// Notes the core of worker `index`.
    fn sit(&self, index: usize) -> u32 {
        let here = placement::core();
        self.seats[index].0.store(here, Ordering::Relaxed);
        here
    }

    /// Runs the body as worker `index` and records its panic.
    fn enter(&self, index: usize, body: &(dyn Fn(&Worker<'_>) + Sync)) {
        let worker = Worker { index, shared: self, stage: Cell::new(0) };
        self.sit(index);
        INSIDE.set(true);
        let flushed = Flushed::new();
        let outcome = catch_unwind(AssertUnwindSafe(|| body(&worker)));
        drop(flushed);
        INSIDE.set(false);
        let Err(payload) = outcome else { return };
        if payload.is::<Left>() {
            return;
        }
        let message = message(payload.as_ref());
        self.panic.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert((index, message));
        self.poisoned.store(true, Ordering::SeqCst);
        self.barrier.advance();
        // Dropping a payload can itself panic; leaking the few bytes of a panic that ends a program is safer.
        std::mem::forget(payload);
    }
}

/// The text of a panic.
fn message(payload: &(dyn Any + Send)) -> String {
    if let Some(text) = payload.downcast_ref::<&'static str>() {
        (*text).to_string()
    } else if let Some(text) = payload.downcast_ref::<String>() {
        text.clone()
    } else {
        "a panic without a message".to_string()
    }
}

/// One of the threads inside a region. All workers of a region must call [`Worker::barrier`] and
/// [`Worker::stage`] the same number of times in the same order.
#[derive(Debug)]
pub struct Worker<'p> {
    index: usize,
    shared: &'p Shared,
    stage: Cell<usize>,
}

impl Worker<'_> {
    /// 0 for the caller of [`Pool::run`], up to `threads - 1`.
    pub fn index(&self) -> usize {
        self.index
    }

    /// Number of workers in the region.
    pub fn threads(&self) -> usize {
        self.shared.threads
    }

    /// Waits until all workers are here; what each wrote before is visible to all after. If a worker has
    /// panicked, unwinds out of the region instead.
    pub fn barrier(&self) {
        let shared = self.shared;
        if shared.threads == 1 {
            return;
        }
        shared.sit(self.index);
        // Read before arriving: the count cannot move until this worker has arrived, unless by poison.
        let seen = shared.barrier.now();
        if shared.poisoned.load(Ordering::SeqCst) {
            resume_unwind(Box::new(Left));
        }
        if shared.arrived.fetch_add(1, Ordering::AcqRel) + 1 == shared.threads {
            shared.arrived.store(0, Ordering::Relaxed);
            shared.barrier.advance();
        } else {
            shared.wait(self.index, &shared.barrier, seen);
        }
        if shared.poisoned.load(Ordering::SeqCst) {
            resume_unwind(Box::new(Left));
        }
    }

    /// Shares the tasks `0..tasks` among the workers, each claimed by whoever is free, then waits as
    /// [`Worker::barrier`] does. Every task runs exactly once.
    pub fn stage(&self, tasks: usize, mut run: impl FnMut(usize)) {
        self.share(tasks, |claims| {
            while let Some(task) = claims[0].next(tasks) {
                run(task);
            }
        });
    }

    /// As [`Worker::stage`], but each worker begins with a stretch of its own, the same one in all stages of as many
    /// tasks, so that it finds in its cache what it left there, and then takes over what others have not begun.
    pub fn stage_near(&self, tasks: usize, mut run: impl FnMut(usize)) {
        let threads = self.shared.threads;
        self.share(tasks, |claims| {
            for other in 0..threads {
                let owner = (self.index + other) % threads;
                let (first, end) = (tasks * owner / threads, tasks * (owner + 1) / threads);
                while let Some(task) = claims[1 + owner].next(end - first) {
                    run(first + task);
                }
            }
        });
    }

    fn share(&self, tasks: usize, claim: impl FnOnce(&[Claims])) {
        let parity = self.stage.get() & 1;
        self.stage.set(self.stage.get().wrapping_add(1));
        let [now, next] = [parity, 1 - parity].map(|p| &self.shared.claims[p]);
        // All have left the previous stage, or this worker would not have passed its barrier; none enters the next one
        // before this worker has arrived at the end of this one.
        next[1 + self.index].0.store(0, Ordering::Relaxed);
        if self.index == 0 {
            next[0].0.store(0, Ordering::Relaxed);
        }
        if tasks > 0 {
            claim(now);
        }
        self.barrier();
    }
}
