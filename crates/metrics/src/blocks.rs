//! Work cut into blocks by size alone and shared among threads: results do not depend on how many there are.

use crate::features::Features;
use ganymede_kernels::double::{Strided, add_product, product};
use ganymede_kernels::isa::Isa;
use nalgebra::DMatrix;
use std::cell::{Cell, RefCell};
use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::channel;
use std::sync::{Mutex, PoisonError};
use std::thread::{available_parallelism, scope};

/// Threads at most; 0 for as many as there are cores.
static THREADS: AtomicUsize = AtomicUsize::new(0);

/// Lets everything in this crate share its work among at most so many threads from now on, 0 for as many as there are cores, as
/// at first. Results are the same for any number.
pub fn limit_threads(threads: usize) {
    THREADS.store(threads, Ordering::Relaxed);
}

thread_local! {
    /// Whether this thread shares work already: what it does of it is not shared once more.
    static SHARING: Cell<bool> = const { Cell::new(false) };
}

/// `work` as a part of what threads share.
fn sharing<T>(work: impl FnOnce() -> T) -> T {
    let outer = SHARING.replace(true);
    let found = work();
    SHARING.set(outer);
    found
}

/// How many threads share so many pieces of work.
fn workers(pieces: usize) -> usize {
    if SHARING.get() {
        return 1;
    }
    let most = match THREADS.load(Ordering::Relaxed) {
        0 => available_parallelism().map_or(1, usize::from),
        threads => threads,
    };
    most.min(pieces)
}

/// `work` on each chunk of so many words, by its number.
pub(crate) fn on_chunks(words: &mut [f64], chunk: usize, work: impl Fn(usize, &mut [f64]) + Sync) {
    let chunk = chunk.max(1);
    let workers = workers(words.len().div_ceil(chunk));
    let queue = Mutex::new(words.chunks_mut(chunk).enumerate());
    let run = || {
        loop {
            // Nothing panics while it holds the queue, so that what is in it is whole.
            let next = queue.lock().unwrap_or_else(PoisonError::into_inner).next();
            let Some((number, chunk)) = next else { return };
            work(number, chunk);
        }
    };
    scope(|threads| {
        for _ in 1..workers {
            threads.spawn(|| sharing(run));
        }
        if workers > 1 { sharing(run) } else { run() }
    });
}

/// `work` on each of `0..total` cut into blocks of `block`, the results in order.
pub(crate) fn map_blocks<T: Send>(
    total: usize,
    block: usize,
    work: impl Fn(Range<usize>) -> T + Sync,
) -> Vec<T> {
    let blocks = total.div_ceil(block.max(1));
    let range = |i: usize| i * block..((i + 1) * block).min(total);
    let workers = workers(blocks);
    if workers <= 1 {
        return (0..blocks).map(|i| work(range(i))).collect();
    }
    let (next, (sender, receiver)) = (AtomicUsize::new(0), channel());
    let mut found: Vec<(usize, T)> = scope(|threads| {
        for _ in 0..workers {
            let (sender, next, work) = (sender.clone(), &next, &work);
            let run = move || {
                loop {
                    let i = next.fetch_add(1, Ordering::Relaxed);
                    if i >= blocks || sender.send((i, work(range(i)))).is_err() {
                        return;
                    }
                }
            };
            threads.spawn(|| sharing(run));
        }
        drop(sender);
        receiver.iter().collect()
    });
    found.sort_by_key(|(i, _)| *i);
    found.into_iter().map(|(_, result)| result).collect()
}

/// Features for products, `[samples, dimensions]`.
pub(crate) fn rows(features: &Features) -> Strided<'_> {
    let dimensions = features.dimensions();
    Strided { words: features.values(), size: [features.rows(), dimensions], row: dimensions, column: 1 }
}

/// A matrix for products.
pub(crate) fn strided(matrix: &DMatrix<f64>) -> Strided<'_> {
    let (rows, columns) = matrix.shape();
    Strided { words: matrix.as_slice(), size: [rows, columns], row: 1, column: rows }
}

/// `A B` on this thread.
pub(crate) fn multiply(a: Strided<'_>, b: Strided<'_>) -> DMatrix<f64> {
    DMatrix::from_vec(a.size[0], b.size[1], product(Isa::best(), a, b))
}

/// Rows of either side of a tile of products that threads share.
const TILE: usize = 512;

/// Calls `each` with the place of every tile of `A B`, of the upper ones alone where that is asked for, and the tile; they are
/// made on all threads and come in order.
fn tiles_of(a: Strided<'_>, b: Strided<'_>, upper: bool, mut each: impl FnMut([usize; 2], DMatrix<f64>)) {
    let cut = |of: usize| (0..of).step_by(TILE).map(move |first| first..(first + TILE).min(of));
    let tiles: Vec<_> = cut(a.size[0])
        .flat_map(|rows| cut(b.size[1]).map(move |columns| (rows.clone(), columns)))
        .filter(|(rows, columns)| !upper || columns.end > rows.start)
        .collect();
    let found = map_blocks(tiles.len(), 1, |tile| {
        let (rows, columns) = tiles[tile.start].clone();
        multiply(a.rows(rows), b.turned().rows(columns).turned())
    });
    for ((rows, columns), tile) in tiles.into_iter().zip(found) {
        each([rows.start, columns.start], tile);
    }
}

/// `A B` on all threads.
pub(crate) fn multiply_shared(a: Strided<'_>, b: Strided<'_>) -> DMatrix<f64> {
    let mut all = DMatrix::zeros(a.size[0], b.size[1]);
    tiles_of(a, b, false, |[row, column], tile| {
        all.view_mut((row, column), tile.shape()).copy_from(&tile);
    });
    all
}

/// Adds `X X'`, on all threads, to the upper triangle of a matrix; what is below is left in part.
pub(crate) fn add_square(to: &mut DMatrix<f64>, x: Strided<'_>) {
    tiles_of(x, x.turned(), true, |[row, column], tile| {
        let mut into = to.view_mut((row, column), tile.shape());
        into += tile;
    });
}

/// Inner products of the rows of `a` in a range with those of `b` in another, `[range of a, range of b]`.
pub(crate) fn products(a: &Features, of: Range<usize>, b: &Features, with: Range<usize>) -> DMatrix<f64> {
    multiply(rows(a).rows(of), rows(b).rows(with).turned())
}

thread_local! {
    /// A tile's products, kept from one tile to the next: to give megabytes back and take them again, while other threads run,
    /// costs a twentieth of what products do.
    static PRODUCTS: RefCell<Vec<f64>> = const { RefCell::new(Vec::new()) };
}

/// `work` on the same products, column after column.
pub(crate) fn with_products<T>(
    a: &Features,
    of: Range<usize>,
    b: &Features,
    with: Range<usize>,
    work: impl FnOnce(&mut [f64]) -> T,
) -> T {
    let mut tile = PRODUCTS.take();
    tile.clear();
    tile.resize(of.len() * with.len(), 0.0);
    add_product(Isa::best(), rows(a).rows(of), rows(b).rows(with).turned(), &mut tile);
    let found = work(&mut tile);
    PRODUCTS.set(tile);
    found
}
