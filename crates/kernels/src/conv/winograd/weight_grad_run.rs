//! The two stages of a weight gradient: transforming tiles, then multiplying at every point and transforming back.

use super::super::tile::strip;
use super::CHANNELS;
use super::run::{Tile, clear, pixels, transform_pixels};
use super::transform::{MAX_POINTS, MAX_TAPS, Points, TILE, WithPoints};
use super::weight_grad::{DEPTH, DW, DY, WORKSPACE, WinogradWeightGrad, X as INPUT};
use crate::conv::gather::Image;
use crate::gemm::product::{self, Ahead, STRETCH};
use crate::kernel::Operands;
use crate::simd::Simd;
use std::ops::Range;

/// Transforms some tiles of a chunk.
pub(super) struct TransformRun<'a> {
    pub plan: &'a WinogradWeightGrad,
    /// The chunk's first tile.
    pub chunk: usize,
    /// Tiles, counted from there.
    pub part: Range<usize>,
    pub operands: &'a Operands<'a>,
    /// Room for a pixel's channels.
    pub zeros: *mut f32,
}

impl WithPoints for TransformRun<'_> {
    #[inline(always)]
    unsafe fn call<S: Simd, Y: Points, X: Points>(self, s: S) {
        let TransformRun { plan, chunk, ref part, operands, zeros } = self;
        let (shape, job) = (&plan.shape, &plan.job);
        let image = Image::input(shape);
        // SAFETY: every tile has words of its own in the workspace; pixels outside the image are read from the zeros.
        unsafe {
            clear(s, zeros, shape.in_c.max(shape.out_c));
            let workspace = operands.ptr(WORKSPACE);
            for tile in part.clone() {
                let Tile { image: n, place } = Tile::new(job, chunk + tile);
                let src = operands.ptr(INPUT).cast_const().add(n * image.h * image.w * image.c);
                for pair in &job.pairs {
                    let pixels = pixels::<Y, X>(src, image, job, pair, place, zeros);
                    let mut to = [std::ptr::null_mut::<f32>(); MAX_POINTS * MAX_POINTS];
                    let mut at = 0;
                    for (point, to) in to.iter_mut().enumerate().take(Y::N * X::N) {
                        if let Some(slot) = pair.slots[point] {
                            *to = workspace.add(at + tile * job.depths[point] + slot * plan.block[0]);
                        }
                        at += plan.x_region(point);
                    }
                    // Blocks are as far apart at every point, and their channels are neighbours: blocks of 16 channels
                    // are transformed all at a time.
                    let (apart, together) = (plan.x_at(1, 0), plan.block[0] > CHANNELS);
                    let (channels, step) =
                        if together { (plan.block[0], CHANNELS) } else { (shape.in_c, apart) };
                    for first in (0..shape.in_c).step_by(channels) {
                        transform_pixels::<S, Y, X>(s, &pixels, first..first + channels, &to, step);
                        for to in to.iter_mut().filter(|to| !to.is_null()) {
                            *to = to.wrapping_add(apart);
                        }
                    }
                }
                transform_grads::<S, Y, X>(s, &self, tile, n, place);
            }
        }
    }
}

/// A dy A' of one tile, zero where it reaches past the outputs.
///
/// # Safety
/// As [`WinogradWeightGrad::run`]; the zeros are stored.
#[inline(always)]
unsafe fn transform_grads<S: Simd, Y: Points, X: Points>(
    s: S,
    run: &TransformRun<'_>,
    tile: usize,
    image: usize,
    place: [usize; 2],
) {
    let plan = run.plan;
    let (h, w, channels) = (plan.shape.out_h(), plan.shape.out_w(), plan.shape.out_c);
    let first = place.map(|at| at * TILE);
    // SAFETY: gradients lie inside the image or are the zeros; the tile has words of its own at every point.
    unsafe {
        let dy = run.operands.ptr(DY).cast_const().add(image * h * w * channels);
        let mut from = [[run.zeros.cast_const(); TILE]; TILE];
        for (y, row) in from.iter_mut().enumerate().take(h - first[0]) {
            for (x, from) in row.iter_mut().enumerate().take(w - first[1]) {
                *from = dy.add(((first[0] + y) * w + first[1] + x) * channels);
            }
        }
        for c in (0..channels).step_by(S::LANES) {
            let mut t = [[s.zero(); TILE]; MAX_POINTS];
            for x in 0..TILE {
                let mut column = [s.zero(); TILE];
                for (y, value) in column.iter_mut().enumerate() {
                    *value = s.load(from[y][x].add(c));
                }
                let column = Y::output_grads(s, column);
                for a in 0..Y::N {
                    t[a][x] = column[a];
                }
            }
            let panel = c / plan.width();
            let columns = plan.width().min(channels - panel * plan.width());
            let at = plan.dy_at(panel, 0) + tile * columns + c % plan.width();
            let to = run.operands.ptr(WORKSPACE).add(at);
            for a in 0..Y::N {
                let row = X::output_grads(s, t[a]);
                for b in 0..X::N {
                    s.store(to.add((a * X::N + b) * plan.dy_region()), row[b]);
                }
            }
        }
    }
}

/// Multiplies one block of input channels with one of output channels, over all tiles of a chunk.
pub(super) struct MultiplyRun<'a> {
    pub plan: &'a WinogradWeightGrad,
    pub tiles: usize,
    /// Whether to add to the gradient of the chunks before.
    pub add: bool,
    /// Which block of input channels and of output channels.
    pub block: [usize; 2],
    pub operands: &'a Operands<'a>,
    pub sums: *mut f32,
}

impl MultiplyRun<'_> {
    /// The block's transformed input at a point, from a tile on.
    fn x(&self, point: usize, tile: usize) -> *const f32 {
        let at = self.plan.x_at(self.block[0], point) + tile * self.plan.job.depths[point];
        self.operands.ptr(WORKSPACE).cast_const().wrapping_add(at)
    }

    /// The transformed gradients of one of the block's panels at a point, from a tile on.
    fn dy(&self, point: usize, tile: usize, column: usize) -> *const f32 {
        let (plan, first) = (self.plan, self.block[1] * self.plan.block[1] + column);
        let columns = plan.width().min(plan.shape.out_c - first);
        let at = plan.dy_at(first / plan.width(), point) + tile * columns;
        self.operands.ptr(WORKSPACE).cast_const().wrapping_add(at)
    }
}

impl WithPoints for MultiplyRun<'_> {
    #[inline(always)]
    unsafe fn call<S: Simd, Y: Points, X: Points>(self, s: S) {
        let MultiplyRun { plan, add, block, operands, sums, .. } = self;
        let (shape, job) = (&plan.shape, &plan.job);
        let first = [block[0] * plan.block[0], block[1] * plan.block[1]];
        let columns = plan.block[1].min(shape.out_c - first[1]);
        // SAFETY: the scratch holds the block's sums at every point; the gradient's words for these channels are this
        // task's.
        unsafe {
            let mut sums_at = [0; MAX_POINTS * MAX_POINTS];
            let mut end = 0;
            for (point, at) in sums_at.iter_mut().enumerate().take(job.points()) {
                *at = end;
                multiply(&self, point, columns, sums.add(end));
                end += plan.sums_region(point);
            }
            for pair in &job.pairs {
                let [ty, tx] = [0, 1].map(|axis| job.axes[axis].taps(pair.of[axis], 0));
                for row in 0..plan.block[0] {
                    for c in (0..columns).step_by(S::LANES) {
                        // Columns first: G' m.
                        let mut t = [[s.zero(); MAX_POINTS]; MAX_TAPS];
                        for b in 0..X::N {
                            let mut column = [s.zero(); MAX_POINTS];
                            for a in 0..Y::N {
                                let point = a * X::N + b;
                                if let Some(slot) = pair.slots[point] {
                                    let at = (slot * plan.block[0] + row) * columns + c;
                                    column[a] = s.load(sums.add(sums_at[point] + at));
                                }
                            }
                            let column = Y::tap_grads(s, column);
                            for (t, value) in t.iter_mut().zip(column) {
                                t[b] = value;
                            }
                        }
                        for (t, &ky) in t.iter().zip(ty) {
                            for (value, &kx) in X::tap_grads(s, *t).into_iter().zip(tx) {
                                let tap = (ky * shape.kernel[1] + kx) * shape.in_c + first[0] + row;
                                let dw = operands.ptr(DW).add(tap * shape.out_c + first[1] + c);
                                s.store(dw, if add { s.add(s.load(dw), value) } else { value });
                            }
                        }
                    }
                }
            }
        }
    }
}

/// The sums at one point.
///
/// # Safety
/// As [`WinogradWeightGrad::run`]; `sums` has room for the block's.
unsafe fn multiply(run: &MultiplyRun<'_>, point: usize, columns: usize, sums: *mut f32) {
    let MultiplyRun { plan, tiles, .. } = *run;
    let (rows, width, tallest) = (plan.job.depths[point], plan.width(), product::tallest(plan.isa));
    let strips = rows.div_ceil(tallest);
    for first in (0..tiles).step_by(DEPTH) {
        let depth = DEPTH.min(tiles - first);
        // Half of the register tiles fetch the input that is multiplied next, the others its gradients.
        let (next, from) = if first + DEPTH < tiles { (point, first + DEPTH) } else { (point + 1, 0) };
        let mut ahead = [Ahead::nothing(), Ahead::nothing()];
        if next < plan.job.points() {
            let depth = DEPTH.min(tiles - from);
            let part = width.min(columns);
            let (panels, apart) = (columns.div_ceil(width), plan.dy_at(1, 0) - plan.dy_at(0, 0));
            ahead = [
                Ahead::new(run.x(next, from), 1, depth * plan.job.depths[next], 0),
                Ahead::new(run.dy(next, from, 0), panels, depth * part, apart),
            ];
        }
        let all = columns.div_ceil(width) * strips;
        let stretches = (all / 2).max(1) * depth.div_ceil(STRETCH);
        let fetches = ahead.map(|ahead| ahead.share(stretches));
        for tile in 0..all {
            let (column, strip) = (tile / strips * width, strip(rows, tallest, tile % strips));
            let part = width.min(columns - column);
            let half = usize::from(tile >= all / 2);
            // SAFETY: the rows of the workspace are the tiles', those of the sums the block's.
            unsafe {
                let a = product::Rows { start: run.x(point, first).add(strip.start), stride: rows };
                let c = product::Results { start: sums.add(strip.start * columns + column), stride: columns };
                let also =
                    product::Also { accumulate: first > 0, ahead: ahead[half], fetches: fetches[half] };
                let dy = run.dy(point, first, column);
                ahead[half] = product::run_transposed(plan.isa, strip.len(), depth, a, dy, part, c, also);
            }
        }
    }
}
