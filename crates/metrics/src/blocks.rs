//! Work cut into blocks by size alone and shared among threads: results do not depend on how many there are.

use crate::features::Features;
use ganymede_kernels::double::{
    Packed, Strided, add_lower, add_packed, add_packed_lower, add_product, product,
};
use ganymede_kernels::isa::Isa;
use nalgebra::{DMatrix, DMatrixView};
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
pub(crate) fn workers(pieces: usize) -> usize {
    if SHARING.get() {
        return 1;
    }
    let most = match THREADS.load(Ordering::Relaxed) {
        0 => available_parallelism().map_or(1, usize::from),
        threads => threads,
    };
    most.min(pieces)
}

/// `work` on each of some items, by its number.
fn on_each<T: Send>(items: impl ExactSizeIterator<Item = T> + Send, work: impl Fn(usize, T) + Sync) {
    let workers = workers(items.len());
    let queue = Mutex::new(items.enumerate());
    let run = || {
        loop {
            // Nothing panics while it holds the queue, so that what is in it is whole.
            let next = queue.lock().unwrap_or_else(PoisonError::into_inner).next();
            let Some((number, item)) = next else { return };
            work(number, item);
        }
    };
    scope(|threads| {
        for _ in 1..workers {
            threads.spawn(|| sharing(run));
        }
        if workers > 1 { sharing(run) } else { run() }
    });
}

/// `work` on each chunk of so many words, by its number.
pub(crate) fn on_chunks(words: &mut [f64], chunk: usize, work: impl Fn(usize, &mut [f64]) + Sync) {
    on_each(words.chunks_mut(chunk.max(1)), work);
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

/// A part of a matrix.
#[derive(Clone, Debug)]
struct Tile {
    rows: Range<usize>,
    columns: Range<usize>,
    /// Column after column.
    words: Vec<f64>,
}

/// Tiles of zeros that make up a matrix of such a size, or what a filter of their rows and columns leaves of them.
fn tiles([rows, columns]: [usize; 2], keep: impl Fn(&Range<usize>, &Range<usize>) -> bool) -> Vec<Tile> {
    let cut = |of: usize| (0..of).step_by(TILE).map(move |first| first..(first + TILE).min(of));
    let all = cut(rows).flat_map(|rows| cut(columns).map(move |columns| (rows.clone(), columns)));
    all.filter(|(rows, columns)| keep(rows, columns))
        .map(|(rows, columns)| Tile { words: vec![0.0; rows.len() * columns.len()], rows, columns })
        .collect()
}

/// Adds to each tile what is its own of `A B`, on all threads.
fn add_tiles(tiles: &mut [Tile], a: Strided<'_>, b: Strided<'_>) {
    on_each(tiles.iter_mut(), |_, tile| {
        let (rows, columns) = (tile.rows.clone(), tile.columns.clone());
        add_product(Isa::best(), a.rows(rows), b.turned().rows(columns).turned(), &mut tile.words);
    });
}

/// The matrix that tiles make up; what they leave out is 0.
fn laid_out([rows, columns]: [usize; 2], tiles: &[Tile]) -> DMatrix<f64> {
    let mut all = DMatrix::zeros(rows, columns);
    for Tile { rows, columns, words } in tiles {
        let tile = DMatrixView::from_slice(words, rows.len(), columns.len());
        all.view_mut((rows.start, columns.start), tile.shape()).copy_from(&tile);
    }
    all
}

/// `A B` on all threads.
pub(crate) fn multiply_shared(a: Strided<'_>, b: Strided<'_>) -> DMatrix<f64> {
    let size = [a.size[0], b.size[1]];
    let mut parts = tiles(size, |_, _| true);
    add_tiles(&mut parts, a, b);
    laid_out(size, &parts)
}

/// A symmetric sum of products, its lower triangle in tiles that threads add to where they lie.
#[derive(Clone, Debug)]
pub(crate) struct Squares {
    size: usize,
    tiles: Vec<Tile>,
}

impl Squares {
    /// Zeros, of so many rows and columns.
    pub(crate) fn new(size: usize) -> Self {
        Self { size, tiles: tiles([size; 2], |rows, columns| rows.end > columns.start) }
    }

    /// Adds `X X'`, on all threads.
    pub(crate) fn add(&mut self, x: Strided<'_>) {
        on_each(self.tiles.iter_mut(), |_, tile| {
            let (rows, columns) = (tile.rows.clone(), tile.columns.clone());
            let add = if rows == columns { add_lower } else { add_product };
            add(Isa::best(), x.rows(rows), x.rows(columns).turned(), &mut tile.words);
        });
    }

    /// The whole matrix.
    pub(crate) fn whole(&self) -> DMatrix<f64> {
        let mut all = laid_out([self.size; 2], &self.tiles);
        mirror(all.as_mut_slice(), self.size);
        all
    }
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

/// Side of the squares that are turned at once: a cache line of words.
const SQUARE: usize = 8;

/// Copies what lies below the diagonal of a square matrix, column after column, above it.
fn mirror(words: &mut [f64], size: usize) {
    let squares = || (0..size).step_by(SQUARE);
    for (left, top) in
        squares().flat_map(|left| squares().filter(move |top| *top >= left).map(move |top| (left, top)))
    {
        for column in left..(left + SQUARE).min(size) {
            for row in top.max(column + 1)..(top + SQUARE).min(size) {
                words[row * size + column] = words[column * size + row];
            }
        }
    }
}

/// Words of packed rows that a thread may keep: more are packed a part at a time, for every tile anew.
const KEPT: usize = 1 << 23;

thread_local! {
    /// Packed rows, kept as [`PRODUCTS`] are.
    static PACKED: RefCell<Packed> = const { RefCell::new(Packed::new()) };
}

/// Rows of a set that those of others are multiplied with, one tile after another.
pub(crate) struct Against<'a> {
    set: &'a Features,
    rows: Range<usize>,
    packed: Option<Packed>,
}

/// `work` with some rows made ready for products.
pub(crate) fn against<T>(set: &Features, range: Range<usize>, work: impl FnOnce(&Against<'_>) -> T) -> T {
    let turned = rows(set).rows(range.clone()).turned();
    let packed = (Packed::room(turned.size) <= KEPT).then(|| {
        let mut packed = PACKED.take();
        packed.pack(Isa::best(), turned);
        packed
    });
    let against = Against { set, rows: range, packed };
    let found = work(&against);
    if let Some(packed) = against.packed {
        PACKED.set(packed);
    }
    found
}

impl Against<'_> {
    /// `work` on the inner products of rows of `a` in a range with these, column after column.
    pub(crate) fn products<T>(
        &self,
        a: &Features,
        of: Range<usize>,
        work: impl FnOnce(&mut [f64]) -> T,
    ) -> T {
        let mut tile = PRODUCTS.take();
        tile.clear();
        tile.resize(of.len() * self.rows.len(), 0.0);
        let own = std::ptr::eq(a, self.set) && of == self.rows;
        let left = rows(a).rows(of);
        let turned = || rows(self.set).rows(self.rows.clone()).turned();
        match (&self.packed, own) {
            (Some(packed), false) => add_packed(left, packed, &mut tile),
            (Some(packed), true) => add_packed_lower(left, packed, &mut tile),
            (None, false) => add_product(Isa::best(), left, turned(), &mut tile),
            (None, true) => add_lower(Isa::best(), left, turned(), &mut tile),
        }
        if own {
            mirror(&mut tile, self.rows.len());
        }
        let found = work(&mut tile);
        PRODUCTS.set(tile);
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::Random;

    #[test]
    fn tiles_are_the_same_packed_at_once_or_by_parts_and_on_the_diagonal() {
        let mut random = Random::new(4);
        let (rows, d) = (83, 300);
        let set = Features::new((0..rows * d).map(|_| random.unit() - 0.5).collect(), d).unwrap();
        for with in [0..rows, 11..40] {
            against(&set, with.clone(), |kept| {
                assert!(kept.packed.is_some());
                let parts = Against { set: &set, rows: with.clone(), packed: None };
                for of in [0..rows, 11..40, 70..83] {
                    let expected = super::products(&set, of.clone(), &set, with.clone());
                    for against in [kept, &parts] {
                        against.products(&set, of.clone(), |tile| assert_eq!(tile, expected.as_slice()));
                    }
                }
            });
        }
        // A thousand rows of a hundred thousand dimensions.
        assert!(Packed::room([100_000, 1024]) > KEPT && Packed::room([2048, 1024]) <= KEPT);
    }
}
