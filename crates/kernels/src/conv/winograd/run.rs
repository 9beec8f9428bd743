//! One tile: transformed, and its products transformed back.

use super::super::gather::{Image, OUT, SRC};
use super::transform::{MAX_POINTS, Points, TILE};
use super::{CHANNELS, Job, Pair, Problem, SKEW};
use crate::kernel::Operands;
use crate::simd::Simd;
use std::ops::Range;

/// For each point of a tile's data, where its pixel's channels begin.
pub(super) type Pixels = [[*const f32; MAX_POINTS]; MAX_POINTS];

/// A tile's image, and its row and column there.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tile {
    pub image: usize,
    pub place: [usize; 2],
}

impl Tile {
    /// The `i`-th tile of a job, batch-major.
    #[inline(always)]
    pub fn new(job: &Job, i: usize) -> Tile {
        let (tiles, across) = (job.tiles(), job.axes[1].tiles());
        Tile { image: i / tiles, place: [i % tiles / across, i % across] }
    }

    /// Names the first words of a phase's pixels in the result.
    pub fn pixels(self, problem: &Problem, job: &Job, result: &Pair, mut each: impl FnMut(usize)) {
        let [y, x] = [0, 1].map(|axis| &job.axes[axis].outputs[result.of[axis]]);
        for a in y.of_tile(self.place[0]) {
            let row = (self.image * problem.out.h + y.at(self.place[0], a)) * problem.out.w;
            for b in x.of_tile(self.place[1]) {
                each((row + x.at(self.place[1], b)) * problem.out.c);
            }
        }
    }
}

/// Stores a row of zeros, which is read in place of what does not exist.
///
/// # Safety
/// The CPU supports `S::ISA`; `words`, a number of whole vectors, can be written from `row` on.
#[inline(always)]
pub(super) unsafe fn clear<S: Simd>(s: S, row: *mut f32, words: usize) {
    for c in (0..words).step_by(S::LANES) {
        // SAFETY: the caller's promise.
        unsafe { s.store(row.add(c), s.zero()) };
    }
}

/// B' d B of a tile, for every pair of phases, as the `i`-th of `count` tiles that lie together: at each point
/// `[phase of the source, 16 channels][tile][channel of the 16]`.
///
/// # Safety
/// The CPU supports `S::ISA`; the source is that of the problem and the tile one of the job; `zeros` holds a row of
/// channels, `data` has room for the tiles and [`SKEW`] words a point.
#[allow(clippy::too_many_arguments)]
#[inline(always)]
pub(super) unsafe fn transform<S: Simd, Y: Points, X: Points>(
    s: S,
    problem: &Problem,
    job: &Job,
    tile: Tile,
    operands: &Operands<'_>,
    zeros: *const f32,
    count: usize,
    i: usize,
    data: *mut f32,
) {
    let Image { h, w, c: channels } = problem.src;
    // SAFETY: pixels outside the image are read from the zeros, and a tile has words of its own at every point.
    unsafe {
        let src = operands.ptr(SRC).cast_const().add(tile.image * h * w * channels);
        for pair in &job.pairs {
            let pixels = pixels::<Y, X>(src, problem.src, job, pair, tile.place, zeros);
            let mut to = [std::ptr::null_mut::<f32>(); MAX_POINTS * MAX_POINTS];
            for (point, to) in to.iter_mut().enumerate().take(Y::N * X::N) {
                if let Some(slot) = pair.slots[point] {
                    let at = (job.data_at[point] + slot * channels) * count + point * SKEW;
                    *to = data.add(at + i * CHANNELS);
                }
            }
            transform_pixels::<S, Y, X>(s, &pixels, 0..channels, &to, count * CHANNELS);
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

/// B' d B of some channels, stored at the points whose place is not null, [`CHANNELS`] in turn, `step` words apart.
///
/// # Safety
/// The CPU supports `S::ISA`; the channels are a multiple of [`CHANNELS`] and can be read at every pixel, and written at
/// every place.
#[inline(always)]
pub(super) unsafe fn transform_pixels<S: Simd, Y: Points, X: Points>(
    s: S,
    pixels: &Pixels,
    channels: Range<usize>,
    to: &[*mut f32; MAX_POINTS * MAX_POINTS],
    step: usize,
) {
    for c in channels.clone().step_by(S::LANES) {
        let (chunk, within) = ((c - channels.start) / CHANNELS, (c - channels.start) % CHANNELS);
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
                        s.store(to.add(chunk * step + within), row[b]);
                    }
                }
            }
        }
    }
}

/// A' m A of a tile: some channels of its pixels of one phase, from its products at every point.
///
/// # Safety
/// The CPU supports `S::ISA`; the output is that of the problem, the tile and the phase are of the job; the channels are
/// whole vectors and can be read at every point.
#[allow(clippy::too_many_arguments)]
#[inline(always)]
pub(super) unsafe fn finish<S: Simd, Y: Points, X: Points>(
    s: S,
    problem: &Problem,
    job: &Job,
    result: &Pair,
    tile: Tile,
    from: &[*const f32; MAX_POINTS * MAX_POINTS],
    channels: Range<usize>,
    operands: &Operands<'_>,
) {
    let Image { h, w, c: outputs } = problem.out;
    let place = tile.place;
    let [y, x] = [0, 1].map(|axis| &job.axes[axis].outputs[result.of[axis]]);
    let (rows, columns) = (y.of_tile(place[0]), x.of_tile(place[1]));
    // SAFETY: outputs are the tile's own, inside the image.
    unsafe {
        let out = operands.ptr(OUT).add(tile.image * h * w * outputs + channels.start);
        for c in (0..channels.len()).step_by(S::LANES) {
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
                let at_y = y.at(place[0], a) * w;
                for (b, value) in row.iter().enumerate() {
                    if columns.contains(&b) {
                        s.store(out.add((at_y + x.at(place[1], b)) * outputs + c), *value);
                    }
                }
            }
        }
    }
}
