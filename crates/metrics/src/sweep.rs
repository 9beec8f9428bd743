//! All pairs of rows of two sets in one pass: every inner product is computed once and used for everything that is asked
//! of it, nearest neighbours, balls and kernel sums.
//!
//! Products are made tile by tile on as many threads as there are. What a tile finds does not depend on the order of
//! tiles, or is added up in their order, so that results are the same for any number of threads.
//!
//! A squared distance |a|^2 + |b|^2 - 2 a.b is off by rounding, at most by its *slack*. Whatever the slack leaves open is
//! decided by the sum of squared differences, so that ties are ties. Rows that are copies of each other have distance 0
//! without computing, which keeps collapsed sets from being measured pair by pair.

use crate::blocks::{against, map_blocks, workers};
use crate::features::{Features, squared_distance};
use crate::neighbours::Ball;
use foldhash::fast::FixedState;
use std::collections::HashMap;
use std::hash::{Hash, Hasher};
use std::ops::Range;

/// Rows of a small set in a tile, or that are measured by a thread at once.
const BLOCK: usize = 512;

/// Rows of a set in a tile: twice as many where that leaves enough tiles for threads, which halves the packing of products. By
/// the number of rows alone, so that results are the same for any number of threads.
fn height(rows: usize) -> usize {
    if rows < 16 * BLOCK { BLOCK } else { 2 * BLOCK }
}

/// Tiles of a column, of rows i and columns j, that a thread makes one after another with the column's rows packed once, at most.
const RUN: usize = 5;

/// Runs of tiles with rows from 0 up to what `most` says of a column: some for every thread, and the longest first, so that threads
/// end together.
fn runs(columns: usize, most: impl Fn(usize) -> usize) -> Vec<(usize, Range<usize>)> {
    let tiles: usize = (0..columns).map(&most).sum();
    let run = (tiles / (4 * workers(tiles).max(1))).clamp(1, RUN);
    let cut = |j: usize| {
        let rows = most(j);
        (0..rows).step_by(run).map(move |first| (j, first..(first + run).min(rows)))
    };
    let mut runs: Vec<_> = (0..columns).flat_map(cut).collect();
    runs.sort_by_key(|(_, rows)| std::cmp::Reverse(rows.len()));
    runs
}

/// `work` on tiles of the products of rows of one set with those of another, shared among threads: by number, rows and products of
/// each. Of a column there are as many tiles as `most` says. What it finds comes by rows and columns, in their order, so that what is
/// added up does not depend on how threads share it.
fn on_tiles<T: Send>(
    [of, with]: [&Features; 2],
    most: impl Fn(usize) -> usize,
    work: impl Fn([usize; 2], [&Range<usize>; 2], &mut [f64]) -> T + Sync,
) -> Vec<([usize; 2], T)> {
    let runs = runs(with.rows().div_ceil(height(with.rows())), most);
    let found = map_blocks(runs.len(), 1, |run| {
        let (j, ref of_run) = runs[run.start];
        let columns = block(j, with.rows());
        against(with, columns.clone(), |column| {
            let tile = |i: usize| {
                let rows = block(i, of.rows());
                let found = column.products(of, rows.clone(), |all| work([i, j], [&rows, &columns], all));
                ([i, j], found)
            };
            of_run.clone().map(tile).collect::<Vec<_>>()
        })
    });
    let mut all = found.into_iter().flatten().collect::<Vec<_>>();
    all.sort_by_key(|(tile, _)| *tile);
    all
}

/// A set with what every pass over it needs.
pub(crate) struct Side<'a> {
    pub(crate) set: &'a Features,
    /// Squared norms.
    squares: Vec<f64>,
    /// Equal for equal rows alone, of this set and of the one that it is compared with.
    identity: Vec<u32>,
}

/// A row by its values, for equal ones to be found.
struct Row<'a>(&'a [f64]);

impl Row<'_> {
    /// Bits of the values; adding 0 makes -0 the 0 that it equals.
    fn bits(&self) -> impl Iterator<Item = u64> {
        self.0.iter().map(|value| (value + 0.0).to_bits())
    }
}

impl Hash for Row<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.bits().for_each(|bits| state.write_u64(bits));
    }
}

impl PartialEq for Row<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.bits().eq(other.bits())
    }
}

impl Eq for Row<'_> {}

/// Two sets that are compared.
pub(crate) fn sides<'a>(sets: [&'a Features; 2]) -> [Side<'a>; 2] {
    let rows = sets.iter().map(|set| set.rows()).sum();
    let mut seen = HashMap::with_capacity_and_hasher(rows, FixedState::default());
    sets.map(|set| {
        let identity = (0..set.rows()).map(|row| {
            let next = seen.len() as u32;
            *seen.entry(Row(set.row(row))).or_insert(next)
        });
        Side { set, squares: set.squares(), identity: identity.collect() }
    })
}

/// How far rounding may put a squared distance off, in units of |a|^2 + |b|^2: sums of d products are off by at most d
/// units in the last place of sum |a b| <= (|a|^2 + |b|^2) / 2 each, and a few more are lost in adding up.
fn error(dimensions: usize) -> f64 {
    (2 * dimensions + 8) as f64 * f64::EPSILON
}

fn block(index: usize, rows: usize) -> Range<usize> {
    index * height(rows)..((index + 1) * height(rows)).min(rows)
}

/// Rows that subsets take of a set, by block.
pub(crate) struct Members {
    /// For each block and subset the rows of the block that it takes, counted from the block's first.
    taken: Vec<Vec<Vec<usize>>>,
}

impl Members {
    /// Of subsets given by row.
    pub(crate) fn new(rows: usize, subsets: &[Vec<usize>]) -> Self {
        let height = height(rows);
        let mut taken = vec![vec![Vec::new(); subsets.len()]; rows.div_ceil(height)];
        for (subset, of) in subsets.iter().enumerate() {
            of.iter().for_each(|&row| taken[row / height][subset].push(row % height));
        }
        // In order, so that a tile is read front to back.
        taken.iter_mut().flatten().for_each(|rows| rows.sort_unstable());
        Self { taken }
    }

    fn subsets(&self) -> usize {
        self.taken.first().map_or(0, Vec::len)
    }
}

/// The cubic kernel of an inner product in so many dimensions (Binkowski et al. 2018, section 4).
pub(crate) fn kernel(product: f64, dimensions: f64) -> f64 {
    let x = product / dimensions + 1.0;
    x * x * x
}

/// For each subset the sum of the kernel over pairs of its rows in a tile of products, column-major, which it turns into
/// kernels.
fn kernel_sums(
    tile: &mut [f64],
    height: usize,
    dimensions: usize,
    rows: &[Vec<usize>],
    columns: &[Vec<usize>],
) -> Vec<f64> {
    tile.iter_mut().for_each(|p| *p = kernel(*p, dimensions as f64));
    let pairs = rows.iter().zip(columns);
    pairs
        .map(|(rows, columns)| {
            let column = |&j: &usize| &tile[j * height..][..height];
            columns.iter().map(column).map(|column| rows.iter().map(|&i| column[i]).sum::<f64>()).sum()
        })
        .collect()
}

/// The nearest others of some rows, as far as rounding lets them be told.
struct Nearest {
    k: usize,
    /// For each row upper bounds of its k smallest squared distances, ascending.
    bounds: Vec<f64>,
    /// Row, other and lower bound of the squared distance, of all that may be among the k nearest.
    kept: Vec<(u32, u32, f64)>,
}

impl Nearest {
    fn new(rows: usize, k: usize) -> Self {
        Self { k, bounds: vec![f64::INFINITY; rows * k], kept: Vec::new() }
    }

    /// What the lower bound of another must not exceed to be among the k nearest.
    fn limit(&self, row: usize) -> f64 {
        self.bounds[row * self.k + self.k - 1]
    }

    fn bound(&mut self, row: usize, most: f64) {
        let bounds = &mut self.bounds[row * self.k..][..self.k];
        let place = bounds.partition_point(|&bound| bound <= most);
        if place < bounds.len() {
            bounds[place..].rotate_right(1);
            bounds[place] = most;
        }
    }

    /// Takes another into account. With k copies of a row all is known: its k-th distance is 0.
    fn meet(&mut self, row: usize, other: usize, square: f64, slack: f64) {
        let (least, limit) = (square - slack, self.limit(row));
        if limit > 0.0 && least <= limit {
            self.bound(row, square + slack);
            self.kept.push((row as u32, other as u32, least));
        }
    }

    fn prune(mut self) -> Self {
        let limits: Vec<f64> = (0..self.bounds.len() / self.k).map(|row| self.limit(row)).collect();
        self.kept.retain(|&(row, _, least)| least <= limits[row as usize]);
        self
    }
}

/// What a pass over a set with itself finds.
pub(crate) struct Within {
    /// For each k asked for the squared distance of every row to its k-th nearest other row.
    pub(crate) radii: Vec<Vec<f64>>,
    /// For each subset the sum of the kernel over ordered pairs of two of its rows.
    pub(crate) sums: Vec<f64>,
}

/// Passes over all pairs of a set. `ks` are smaller than its rows.
pub(crate) fn within(side: &Side<'_>, ks: &[usize], members: Option<&Members>) -> Within {
    let (rows, k) = (side.set.rows(), ks.iter().copied().max().unwrap_or(0));
    let found = on_tiles(
        [side.set; 2],
        |j| j + 1,
        |[i, j], [of, with], all| {
            let near = (k > 0).then(|| near(side, of, with, all, k));
            let sums = members.map_or_else(Vec::new, |members| {
                let (height, d) = (of.len(), side.set.dimensions());
                let mut sums = kernel_sums(all, height, d, &members.taken[i], &members.taken[j]);
                if i == j {
                    let own = |rows: &Vec<usize>| rows.iter().map(|&r| all[r * height + r]).sum::<f64>();
                    sums.iter_mut().zip(&members.taken[i]).for_each(|(sum, rows)| *sum -= own(rows));
                } else {
                    // Pairs in the other order lie in a tile that is not made.
                    sums.iter_mut().for_each(|sum| *sum *= 2.0);
                }
                sums
            });
            (near, sums)
        },
    );
    let mut sums = vec![0.0; members.map_or(0, Members::subsets)];
    let mut nearest = Nearest::new(if k > 0 { rows } else { 0 }, k.max(1));
    for ([i, j], (near, of_tile)) in found {
        sums.iter_mut().zip(of_tile).for_each(|(sum, more)| *sum += more);
        for (near, first) in near.into_iter().flatten().zip([i, j].map(|at| at * height(rows))) {
            for (at, &most) in near.bounds.iter().enumerate().filter(|(_, most)| most.is_finite()) {
                nearest.bound(first + at / k, most);
            }
            nearest
                .kept
                .extend(near.kept.iter().map(|&(row, other, least)| (row + first as u32, other, least)));
        }
    }
    Within { radii: if k > 0 { radii(side, nearest.prune(), ks) } else { Vec::new() }, sums }
}

/// The nearest of a tile: to its rows and, off the diagonal, to its columns.
fn near(side: &Side<'_>, of: &Range<usize>, with: &Range<usize>, products: &[f64], k: usize) -> Vec<Nearest> {
    let (error, height) = (error(side.set.dimensions()), of.len());
    let same = of.start == with.start;
    let mut to_rows = Nearest::new(height, k);
    let mut to_columns = Nearest::new(if same { 0 } else { with.len() }, k);
    let (of_rows, row_ids) = (&side.squares[of.clone()], &side.identity[of.clone()]);
    // Rows' limits beside each other, for a scan that rarely finds anything.
    let mut limits = vec![f64::INFINITY; height];
    for (j, column) in products.chunks_exact(height).enumerate() {
        let other = with.start + j;
        let (square_j, id) = (side.squares[other], side.identity[other]);
        let mut limit_j = f64::NEG_INFINITY;
        if !same {
            limit_j = to_columns.limit(j);
        }
        for i in 0..height {
            let sum = of_rows[i] + square_j;
            let square = sum - 2.0 * column[i];
            if square - error * sum > limits[i].max(limit_j) {
                continue;
            }
            let row = of.start + i;
            if row == other {
                continue;
            }
            let (square, slack) = if row_ids[i] == id { (0.0, 0.0) } else { (square, error * sum) };
            to_rows.meet(i, other, square, slack);
            limits[i] = to_rows.limit(i);
            if !same {
                to_columns.meet(j, row, square, slack);
                limit_j = to_columns.limit(j);
            }
        }
    }
    if same { vec![to_rows.prune()] } else { vec![to_rows.prune(), to_columns.prune()] }
}

/// Measures what may be among the nearest.
fn radii(side: &Side<'_>, nearest: Nearest, ks: &[usize]) -> Vec<Vec<f64>> {
    let rows = side.set.rows();
    let mut others = vec![Vec::new(); rows];
    nearest.kept.iter().for_each(|&(row, other, _)| others[row as usize].push(other as usize));
    let found = map_blocks(rows, BLOCK, |range| {
        let of_row = |row: usize| {
            let square = |&other: &usize| squared_distance(side.set.row(row), side.set.row(other));
            let mut squares: Vec<f64> = others[row].iter().map(square).collect();
            squares.sort_by(f64::total_cmp);
            ks.iter().map(|k| squares[k - 1]).collect::<Vec<f64>>()
        };
        range.map(of_row).collect::<Vec<_>>()
    });
    let found = found.concat();
    (0..ks.len()).map(|k| found.iter().map(|squares| squares[k]).collect()).collect()
}

/// Which samples of two sets lie in whose balls, for one k; in the order of [`Ball::ALL`].
#[derive(Clone, Debug)]
pub(crate) struct Inside {
    /// For each generated sample the balls of real ones that it lies in.
    pub(crate) balls: Vec<[u32; 2]>,
    /// For each real sample whether a generated one lies in its ball.
    pub(crate) covered: Vec<[bool; 2]>,
    /// For each real sample whether it lies in the ball of a generated one.
    pub(crate) recalled: Vec<[bool; 2]>,
}

impl Inside {
    fn new(real: usize, generated: usize) -> Self {
        let (balls, covered) = (vec![[0; 2]; generated], vec![[false; 2]; real]);
        Self { balls, recalled: covered.clone(), covered }
    }
}

/// What a pass over the pairs of two sets finds.
pub(crate) struct Across {
    /// For each k.
    pub(crate) inside: Vec<Inside>,
    /// For each subset the sum of the kernel over pairs of a row of either set.
    pub(crate) sums: Vec<f64>,
}

/// Passes over the pairs of a real and a generated sample. `radii` are squared, for each k those of either set, which
/// have no ball where there are none.
pub(crate) fn across(
    sides: [&Side<'_>; 2],
    radii: [&[Vec<f64>]; 2],
    members: Option<[&Members; 2]>,
) -> Across {
    let [real, generated] = sides;
    let (n, m) = (real.set.rows(), generated.set.rows());
    let ks = radii[0].len();
    let found = on_tiles(
        [real.set, generated.set],
        |_| n.div_ceil(height(n)),
        |[i, j], [of, with], all| {
            let inside = if ks == 0 { Vec::new() } else { balls(sides, radii, of, with, all) };
            let sums = members.map_or_else(Vec::new, |[of_real, of_generated]| {
                let (height, d) = (of.len(), real.set.dimensions());
                kernel_sums(all, height, d, &of_real.taken[i], &of_generated.taken[j])
            });
            (inside, sums)
        },
    );
    let mut sums = vec![0.0; members.map_or(0, |[members, _]| members.subsets())];
    let mut inside = vec![Inside::new(n, m); ks];
    for ([i, j], (of_tile, more)) in found {
        sums.iter_mut().zip(more).for_each(|(sum, more)| *sum += more);
        let (i, j) = (i * height(n), j * height(m));
        for (all, tile) in inside.iter_mut().zip(of_tile) {
            for (count, more) in all.balls[j..].iter_mut().zip(tile.balls) {
                count.iter_mut().zip(more).for_each(|(count, more)| *count += more);
            }
            let either = [(&mut all.covered, tile.covered), (&mut all.recalled, tile.recalled)];
            for (all, tile) in either {
                for (any, more) in all[i..].iter_mut().zip(tile) {
                    any.iter_mut().zip(more).for_each(|(any, more)| *any |= more);
                }
            }
        }
    }
    Across { inside, sums }
}

/// A squared distance that may still be measured.
struct Doubtful<'a> {
    square: f64,
    slack: f64,
    pair: [&'a [f64]; 2],
}

impl Doubtful<'_> {
    /// How it compares with a squared radius.
    fn lies_in(&mut self, radius: f64) -> [bool; 2] {
        if (self.square - radius).abs() <= self.slack {
            (self.square, self.slack) = (squared_distance(self.pair[0], self.pair[1]), 0.0);
        }
        Ball::ALL.map(|ball| ball.holds(self.square, radius))
    }
}

fn balls(
    [real, generated]: [&Side<'_>; 2],
    [of_real, of_generated]: [&[Vec<f64>]; 2],
    of: &Range<usize>,
    with: &Range<usize>,
    products: &[f64],
) -> Vec<Inside> {
    let (error, height) = (error(real.set.dimensions()), of.len());
    let mut inside = vec![Inside::new(height, with.len()); of_real.len()];
    let largest = |radii: &[Vec<f64>], row: usize| {
        radii.iter().filter_map(|of_k| of_k.get(row).copied()).fold(f64::NEG_INFINITY, f64::max)
    };
    let reach: Vec<f64> = of.clone().map(|row| largest(of_real, row)).collect();
    let squares = &real.squares[of.clone()];
    for (j, column) in products.chunks_exact(height).enumerate() {
        let other = with.start + j;
        let (square_j, reach_j) = (generated.squares[other], largest(of_generated, other));
        for i in 0..height {
            let sum = squares[i] + square_j;
            let square = sum - 2.0 * column[i];
            if square - error * sum > reach[i].max(reach_j) {
                continue;
            }
            let row = of.start + i;
            let copies = real.identity[row] == generated.identity[other];
            let (square, slack) = if copies { (0.0, 0.0) } else { (square, error * sum) };
            let pair = [real.set.row(row), generated.set.row(other)];
            let mut distance = Doubtful { square, slack, pair };
            for (k, found) in inside.iter_mut().enumerate() {
                let in_real = distance.lies_in(of_real[k][row]);
                for ball in 0..2 {
                    found.balls[j][ball] += u32::from(in_real[ball]);
                    found.covered[i][ball] |= in_real[ball];
                }
                if let Some(&radius) = of_generated[k].get(other) {
                    let in_generated = distance.lies_in(radius);
                    for ball in 0..2 {
                        found.recalled[i][ball] |= in_generated[ball];
                    }
                }
            }
        }
    }
    inside
}
