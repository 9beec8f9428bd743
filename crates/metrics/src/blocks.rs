//! Work cut into blocks by size alone and shared among threads: results do not depend on how many there are.

use crate::features::Features;
use ganymede_kernels::double::{Strided, product};
use ganymede_kernels::isa::Isa;
use nalgebra::{DMatrix, DMatrixView};
use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::channel;
use std::thread::{available_parallelism, scope};

/// Threads at most; 0 for as many as there are cores.
static THREADS: AtomicUsize = AtomicUsize::new(0);

/// Lets everything in this crate share its work among at most so many threads from now on, 0 for as many as there are cores, as
/// at first. Results are the same for any number.
pub fn limit_threads(threads: usize) {
    THREADS.store(threads, Ordering::Relaxed);
}

/// `work` on each of `0..total` cut into blocks of `block`, the results in order.
pub(crate) fn map_blocks<T: Send>(
    total: usize,
    block: usize,
    work: impl Fn(Range<usize>) -> T + Sync,
) -> Vec<T> {
    let blocks = total.div_ceil(block.max(1));
    let range = |i: usize| i * block..((i + 1) * block).min(total);
    let workers = match THREADS.load(Ordering::Relaxed) {
        0 => available_parallelism().map_or(1, usize::from),
        threads => threads,
    };
    let workers = workers.min(blocks);
    if workers <= 1 {
        return (0..blocks).map(|i| work(range(i))).collect();
    }
    let (next, (sender, receiver)) = (AtomicUsize::new(0), channel());
    let mut found: Vec<(usize, T)> = scope(|threads| {
        for _ in 0..workers {
            let (sender, next, work) = (sender.clone(), &next, &work);
            threads.spawn(move || {
                loop {
                    let i = next.fetch_add(1, Ordering::Relaxed);
                    if i >= blocks || sender.send((i, work(range(i)))).is_err() {
                        return;
                    }
                }
            });
        }
        drop(sender);
        receiver.iter().collect()
    });
    found.sort_by_key(|(i, _)| *i);
    found.into_iter().map(|(_, result)| result).collect()
}

/// The rows of `features` in a range as the columns of a matrix, `[dimensions, rows]`: row-major here is column-major
/// there.
pub(crate) fn columns(features: &Features, rows: Range<usize>) -> DMatrixView<'_, f64> {
    let d = features.dimensions();
    DMatrixView::from_slice(&features.values()[rows.start * d..rows.end * d], d, rows.len())
}

/// Inner products of the rows of `a` in a range with those of `b` in another, `[range of a, range of b]`.
pub(crate) fn products(a: &Features, of: Range<usize>, b: &Features, with: Range<usize>) -> DMatrix<f64> {
    let d = a.dimensions();
    let (height, width) = (of.len(), with.len());
    let left = Strided { words: &a.values()[of.start * d..of.end * d], size: [height, d], row: d, column: 1 };
    let right =
        Strided { words: &b.values()[with.start * d..with.end * d], size: [d, width], row: 1, column: d };
    DMatrix::from_vec(height, width, product(Isa::best(), left, right))
}
