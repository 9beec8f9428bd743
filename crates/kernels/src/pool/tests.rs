use super::*;
use std::sync::atomic::AtomicU64;
use std::time::{Duration, Instant};

const SIZES: [usize; 4] = [1, 2, 3, 7];

#[test]
fn zero_threads_is_an_error() {
    assert!(matches!(Pool::new(0), Err(PoolError::NoThreads)));
}

#[test]
fn every_worker_enters_every_region_once() {
    for threads in SIZES {
        let pool = Pool::new(threads).unwrap();
        for _ in 0..200 {
            let entered: Vec<AtomicUsize> = (0..threads).map(|_| AtomicUsize::new(0)).collect();
            pool.run(&|w| {
                assert_eq!(w.threads(), threads);
                entered[w.index()].fetch_add(1, Ordering::Relaxed);
            })
            .unwrap();
            assert!(entered.iter().all(|e| e.load(Ordering::Relaxed) == 1));
        }
    }
}

#[test]
fn stages_run_each_task_once_and_in_order_of_stages() {
    for threads in SIZES {
        let pool = Pool::new(threads).unwrap();
        let sizes = [5usize, 0, 1, 100, 3];
        let counts: Vec<Vec<AtomicUsize>> =
            sizes.iter().map(|&n| (0..n).map(|_| AtomicUsize::new(0)).collect()).collect();
        for round in 1..=50 {
            pool.run(&|w| {
                for (s, &n) in sizes.iter().enumerate() {
                    w.stage(n, |t| {
                        assert!(counts[..s].iter().flatten().all(|c| c.load(Ordering::Relaxed) == round));
                        counts[s][t].fetch_add(1, Ordering::Relaxed);
                    });
                }
            })
            .unwrap();
        }
    }
}

#[test]
fn a_panic_frees_the_others_and_the_pool_lives_on() {
    for threads in SIZES {
        let pool = Pool::new(threads).unwrap();
        for culprit in 0..threads {
            let error = pool
                .run(&|w| {
                    w.barrier();
                    if w.index() == culprit {
                        panic!("bad luck {culprit}");
                    }
                    w.barrier();
                    w.barrier();
                })
                .unwrap_err();
            match error {
                PoolError::Panicked { worker, message, .. } => {
                    assert_eq!(worker, culprit);
                    assert_eq!(message, format!("bad luck {culprit}"));
                }
                other => panic!("unexpected {other}"),
            }
            let sum = AtomicU64::new(0);
            let add = |t| {
                sum.fetch_add(t as u64, Ordering::Relaxed);
            };
            pool.run(&|w| w.stage(100, add)).unwrap();
            assert_eq!(sum.into_inner(), 4950);
        }
    }
}

#[test]
fn nesting_is_an_error_not_a_deadlock() {
    for threads in SIZES {
        let pool = Pool::new(threads).unwrap();
        pool.run(&|_| assert!(matches!(pool.run(&|_| {}), Err(PoolError::Nested)))).unwrap();
    }
}

#[test]
fn callers_on_several_threads_take_turns() {
    let pool = Pool::new(3).unwrap();
    let total = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..50 {
                    let count = |_| {
                        total.fetch_add(1, Ordering::Relaxed);
                    };
                    pool.run(&|w| w.stage(10, count)).unwrap();
                }
            });
        }
    });
    assert_eq!(total.into_inner(), 4 * 50 * 10);
}

#[test]
fn more_threads_than_cores_are_not_a_catastrophe() {
    let cores = std::thread::available_parallelism().map_or(1, |n| n.get());
    let pool = Pool::new(cores * 3 + 1).unwrap();
    let begin = Instant::now();
    pool.run(&|w| (0..1000).for_each(|_| w.barrier())).unwrap();
    // Some 20 microseconds each where nothing else runs; a pool that burns its time slices needs milliseconds.
    assert!(begin.elapsed() < Duration::from_secs(5), "1000 barriers took {:?}", begin.elapsed());
}
