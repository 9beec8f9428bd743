//! One block of tiles: transform, multiply at every point, transform back.

use super::super::gather::{Image, OUT, PACKED, SRC};
use super::super::tile::strip;
use super::transform::{MAX_POINTS, Points, TILE, WithPoints};
use super::{Block, Job, Pair, SKEW, Winograd};
use crate::fused::Sink;
use crate::gemm::product;
use crate::isa::Isa;
use crate::kernel::Operands;
use crate::simd::Simd;
use std::ops::Range;

/// For each point of a tile's data, where its pixel's channels begin.
pub(super) type Pixels = [[*const f32; MAX_POINTS]; MAX_POINTS];

/// What a block's task works on.
#[derive(Clone, Copy)]
pub(super) struct BlockRun<'a> {
    pub plan: &'a Winograd,
    pub job: &'a Job,
    pub block: &'a Block,
    pub operands: &'a Operands<'a>,
    /// A row of zeros, transformed tiles, products.
    pub local: *mut f32,
    /// Where finished pixels are announced.
    pub sink: Option<&'a dyn Sink>,
}

impl BlockRun<'_> {
    /// Image and place of the `i`-th tile.
    #[inline(always)]
    fn tile(&self, i: usize) -> (usize, [usize; 2]) {
        let (tiles, across) = (self.job.tiles(), self.job.axes[1].tiles());
        let at = self.block.first + i;
        (at / tiles, [at % tiles / across, at % across])
    }

    /// Names the pixels of the `i`-th tile: first word, words.
    fn pixels(&self, i: usize, mut each: impl FnMut(usize, usize)) {
        let BlockRun { plan, job, .. } = self;
        let (image, place) = self.tile(i);
        for result in &job.results {
            let [y, x] = [0, 1].map(|axis| &job.axes[axis].outputs[result.of[axis]]);
            for a in y.of_tile(place[0]) {
                let row = (image * plan.out.h + y.at(place[0], a)) * plan.out.w;
                for b in x.of_tile(place[1]) {
                    each((row + x.at(place[1], b)) * plan.out.c, plan.out.c);
                }
            }
        }
    }
}

impl WithPoints for BlockRun<'_> {
    #[inline(always)]
    unsafe fn call<S: Simd, Y: Points, X: Points>(self, s: S) {
        let run = self;
        let BlockRun { plan, job, block, local, .. } = run;
        // SAFETY: scratch is laid out as `local_words` counts it: zeros, `count` tiles at every point, products.
        unsafe {
            let zeros = local;
            let data = zeros.add(plan.zeros());
            let products = data.add(block.count * job.data_words() + job.points() * SKEW);
            for c in (0..plan.zeros()).step_by(S::LANES) {
                s.store(zeros.add(c), s.zero());
            }
            for i in 0..block.count {
                transform_data::<S, Y, X>(s, &run, i, zeros, data);
            }
            for point in 0..job.points() {
                let weights = run.operands.ptr(PACKED).add(job.weights_at[point]);
                multiply(
                    &run,
                    point,
                    data.add(job.data_at[point] * block.count + point * SKEW),
                    weights,
                    products.add(job.products_at[point] * block.count + point * SKEW),
                );
            }
            for i in 0..block.count {
                if let Some(sink) = run.sink
                    && i + 1 < block.count
                {
                    run.pixels(i + 1, |at, words| sink.soon(at, words));
                }
                transform_products::<S, Y, X>(s, &run, i, zeros, products);
                if let Some(sink) = run.sink {
                    run.pixels(i, |at, words| sink.done(at, words));
                }
            }
        }
    }
}

/// B' d B of tile `i`, for every pair of phases.
///
/// # Safety
/// As [`Winograd::run`]; `zeros` holds a row of channels, `data` the block's tiles.
#[inline(always)]
unsafe fn transform_data<S: Simd, Y: Points, X: Points>(
    s: S,
    run: &BlockRun<'_>,
    i: usize,
    zeros: *const f32,
    data: *mut f32,
) {
    let BlockRun { plan, job, block, .. } = *run;
    let (image, place) = run.tile(i);
    let channels = plan.src.c;
    // SAFETY: pixels outside the image are read from the zeros, and a tile has words of its own at every point.
    unsafe {
        let src = run.operands.ptr(SRC).cast_const().add(image * plan.src.h * plan.src.w * channels);
        for pair in &job.pairs {
            let pixels = pixels::<Y, X>(src, plan.src, job, pair, place, zeros);
            let mut to = [std::ptr::null_mut::<f32>(); MAX_POINTS * MAX_POINTS];
            for (point, to) in to.iter_mut().enumerate().take(Y::N * X::N) {
                if let Some(slot) = pair.slots[point] {
                    let row = job.data_at[point] * block.count + point * SKEW + i * job.strides[point];
                    *to = data.add(row + slot * channels);
                }
            }
            transform_pixels::<S, Y, X>(s, &pixels, 0..channels, &to);
        }
    }
}

/// The source pixels of one pair that the tile at `place` reads; those outside the image are the zeros.
#[inline(always)]
pub(super) fn pixels<Y: Points, X: Points>(
    src: *const f32,
    image: Image,
    job: &Job,
    pair: &Pair,
    place: [usize; 2],
    zeros: *const f32,
) -> Pixels {
    let [y, x] = [0, 1].map(|axis| &job.axes[axis].sources[pair.of[axis]]);
    let mut pixels = [[zeros; MAX_POINTS]; MAX_POINTS];
    for (a, row) in pixels.iter_mut().enumerate().take(Y::N) {
        let at_y = y.first + (y.step * (place[0] * TILE + a)) as isize;
        if at_y < 0 || at_y as usize >= image.h {
            continue;
        }
        for (b, pixel) in row.iter_mut().enumerate().take(X::N) {
            let at_x = x.first + (x.step * (place[1] * TILE + b)) as isize;
            if at_x >= 0 && (at_x as usize) < image.w {
                *pixel = src.wrapping_add((at_y as usize * image.w + at_x as usize) * image.c);
            }
        }
    }
    pixels
}

/// B' d B of some channels, stored at the points whose place is not null, the first channel first.
///
/// # Safety
/// The CPU supports `S::ISA`; the channels are whole vectors and can be read at every pixel, and written at every
/// place.
#[inline(always)]
pub(super) unsafe fn transform_pixels<S: Simd, Y: Points, X: Points>(
    s: S,
    pixels: &Pixels,
    channels: Range<usize>,
    to: &[*mut f32; MAX_POINTS * MAX_POINTS],
) {
    for c in channels.clone().step_by(S::LANES) {
        // SAFETY: the caller's promise.
        unsafe {
            let mut t = [[s.zero(); MAX_POINTS]; MAX_POINTS];
            for b in 0..X::N {
                let mut column = [s.zero(); MAX_POINTS];
                for a in 0..Y::N {
                    column[a] = s.load(pixels[a][b].add(c));
                }
                let column = Y::data(s, column);
                for a in 0..Y::N {
                    t[a][b] = column[a];
                }
            }
            for a in 0..Y::N {
                let row = X::data(s, t[a]);
                for b in 0..X::N {
                    let to = to[a * X::N + b];
                    if !to.is_null() {
                        s.store(to.add(c - channels.start), row[b]);
                    }
                }
            }
        }
    }
}

/// The products of all tiles at one point.
///
/// # Safety
/// As [`Winograd::run`]; `data` holds the block's tiles at the point, `products` has room for its results.
unsafe fn multiply(
    run: &BlockRun<'_>,
    point: usize,
    data: *const f32,
    weights: *const f32,
    products: *mut f32,
) {
    let BlockRun { plan, job, block, .. } = *run;
    let (depth, stride, results) = (job.depths[point], job.strides[point], job.widths[point]);
    let (width, outputs) = (plan.panel_width(), plan.out.c);
    let (tallest, terms) = (product::tallest(plan.isa), terms(plan.isa));
    let strips = block.count.div_ceil(tallest);
    // Panels end with a phase of the outputs.
    for phase in (0..results).step_by(outputs) {
        for panel in (0..outputs).step_by(width) {
            let (first, columns) = (phase + panel, width.min(outputs - panel));
            for k in (0..depth).step_by(terms) {
                let part = terms.min(depth - k);
                // SAFETY: `part` rows of `columns` words, from the panel's k-th row on.
                let weights = unsafe { weights.add(first * depth + k * columns) };
                let words = part * columns / strips;
                for i in 0..strips {
                    let rows = strip(block.count, tallest, i);
                    // What follows in memory is the next part, panel or point.
                    let also = product::Also {
                        accumulate: k > 0,
                        soon: weights.wrapping_add(part * columns + i * words),
                        words: if depth > terms { words } else { 0 },
                    };
                    // SAFETY: rows are the block's, with words for every term.
                    unsafe {
                        let a = product::Rows { start: data.add(rows.start * stride + k), stride };
                        let c = product::Results {
                            start: products.add(rows.start * results + first),
                            stride: results,
                        };
                        product::run(plan.isa, rows.len(), part, a, weights, columns, c, also);
                    }
                }
            }
        }
    }
}

/// Terms of a sum that are taken at a time. On 16 columns their weights, 16 KiB, stay in an L1 of 32 KiB beside the tile's
/// rows while all tiles of the block pass; panels of 32 columns are taken whole.
fn terms(isa: Isa) -> usize {
    match isa {
        Isa::Avx512 => usize::MAX,
        Isa::Avx2 | Isa::Portable => 256,
    }
}

/// A' m A of tile `i`, into the output.
///
/// # Safety
/// As [`Winograd::run`]; `products` holds the block's results, `zeros` a pixel of zeros.
#[inline(always)]
unsafe fn transform_products<S: Simd, Y: Points, X: Points>(
    s: S,
    run: &BlockRun<'_>,
    i: usize,
    zeros: *const f32,
    products: *const f32,
) {
    let BlockRun { plan, job, block, .. } = *run;
    let (image, place) = run.tile(i);
    let outputs = plan.out.c;
    for result in &job.results {
        let [y, x] = [0, 1].map(|axis| &job.axes[axis].outputs[result.of[axis]]);
        let mut from = [zeros; MAX_POINTS * MAX_POINTS];
        for (point, from) in from.iter_mut().enumerate().take(Y::N * X::N) {
            if let Some(slot) = result.slots[point] {
                let row = job.products_at[point] * block.count + point * SKEW + i * job.widths[point];
                // SAFETY: the tile's results of the phase at the point.
                *from = unsafe { products.add(row + slot * outputs) };
            }
        }
        let (rows, columns) = (y.of_tile(place[0]), x.of_tile(place[1]));
        // SAFETY: outputs are the tile's own, inside the image.
        unsafe {
            let out = run.operands.ptr(OUT).add(image * plan.out.h * plan.out.w * outputs);
            for c in (0..outputs).step_by(S::LANES) {
                let mut t = [[s.zero(); MAX_POINTS]; TILE];
                for b in 0..X::N {
                    let mut column = [s.zero(); MAX_POINTS];
                    for a in 0..Y::N {
                        column[a] = s.load(from[a * X::N + b].add(c));
                    }
                    let column = Y::outputs(s, column);
                    for a in 0..TILE {
                        t[a][b] = column[a];
                    }
                }
                for (a, t) in t.iter().enumerate() {
                    let row = X::outputs(s, *t);
                    if !rows.contains(&a) {
                        continue;
                    }
                    let at_y = y.at(place[0], a) * plan.out.w;
                    for (b, value) in row.iter().enumerate() {
                        if columns.contains(&b) {
                            s.store(out.add((at_y + x.at(place[1], b)) * outputs + c), *value);
                        }
                    }
                }
            }
        }
    }
}
