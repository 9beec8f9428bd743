//! Forward passes of stride 1 and input gradients with up to four result channels: lanes are neighbouring pixels of a row.
//!
//! A task copies the source rows that its band sees as one plane a channel, pixels side by side and zeros around them, so
//! that a vector of results is the sum over channels and taps of a weight times a vector of the plane, one word further
//! right for each column of the filter. A tile is a column of such vectors: each one loaded serves all filter rows and
//! all result channels. An input gradient of stride s has s x s phases of results, each a correlation of stride 1.

use super::axis::seen_by;
use super::gather::{Image, OUT, PACKED, SRC, WEIGHTS, share};
use super::shape::ConvShape;
use super::tile::lanes;
use crate::fused::Sink;
use crate::isa::Isa;
use crate::kernel::{OperandSpec, Operands};
use crate::simd::{Simd, WithSimd, prefetch, run_on};
use std::ops::Range;

/// Most result channels.
const MAX_OUTPUTS: usize = 4;
/// Most filter rows of a phase.
const MAX_ROWS: usize = 5;
/// Fewest source channels, whose transposition must be worth it.
const MIN_CHANNELS: usize = 8;
/// Words of a band's planes, which should stay in L2.
const BAND_WORDS: usize = 112 << 10;
/// Most tasks, and the fewest that bands are made smaller for.
const TASKS: usize = 64;
const MIN_TASKS: usize = 16;
/// Words of a cache line.
const LINE: usize = 16;

/// Results `first + step * j`, `j < count`, along an axis: each the sum over `t` of source `origin + j + t` by `taps[t]`.
#[derive(Clone, Debug)]
struct Phase {
    first: usize,
    step: usize,
    count: usize,
    origin: isize,
    taps: Vec<usize>,
}

impl Phase {
    fn forward(shape: &ConvShape, axis: usize) -> Option<Vec<Phase>> {
        let phase = Phase {
            first: 0,
            step: 1,
            count: [shape.out_h(), shape.out_w()][axis],
            origin: -(shape.pad_low[axis] as isize),
            taps: (0..shape.kernel[axis]).collect(),
        };
        (shape.stride[axis] == 1).then(|| vec![phase])
    }

    /// Each input `s j + q` is a phase of its own.
    fn input_grad(shape: &ConvShape, axis: usize) -> Option<Vec<Phase>> {
        let stride = shape.stride[axis];
        let size = [shape.in_h, shape.in_w][axis];
        (0..stride.min(size))
            .map(|q| {
                let (origin, taps) = seen_by(shape, axis, q);
                (!taps.is_empty()).then(|| Phase {
                    first: q,
                    step: stride,
                    count: (size - q).div_ceil(stride),
                    origin,
                    taps,
                })
            })
            .collect()
    }

    /// The source after the last one that the result after `j` results sees.
    fn reach(&self, j: usize) -> isize {
        self.origin + (j + self.taps.len()) as isize - 1
    }
}

/// A gather at fixed shapes.
#[derive(Clone, Debug)]
pub(super) struct FewOutputs {
    pub isa: Isa,
    src: Image,
    out: Image,
    batch: usize,
    axes: [Vec<Phase>; 2],
    kernel_width: usize,
    /// Words between neighbouring source channels and result channels in the unpacked weights.
    weight_steps: [usize; 2],
    weight_words: usize,
    /// Rows of a tile.
    rows: usize,
    /// Rows of each phase in a band.
    band: usize,
    /// The first source row that the first band sees.
    low: isize,
    /// Source rows that a band sees beyond its own.
    more: usize,
    /// Words of a row of a plane.
    pitch: usize,
}

impl FewOutputs {
    /// `y = conv(x, w)`, if the method fits the shape, which is valid.
    pub fn forward(isa: Isa, shape: &ConvShape) -> Option<FewOutputs> {
        let src = Image::input(shape);
        let out = Image::output(shape);
        let axes = [Phase::forward(shape, 0)?, Phase::forward(shape, 1)?];
        FewOutputs::new(isa, shape, axes, src, out, [shape.out_c, 1])
    }

    /// `dx = conv_input_grad(dy, w)`, if the method fits the shape, which is valid.
    pub fn input_grad(isa: Isa, shape: &ConvShape) -> Option<FewOutputs> {
        let src = Image::output(shape);
        let out = Image::input(shape);
        let axes = [Phase::input_grad(shape, 0)?, Phase::input_grad(shape, 1)?];
        FewOutputs::new(isa, shape, axes, src, out, [1, shape.out_c])
    }

    fn new(
        isa: Isa,
        shape: &ConvShape,
        axes: [Vec<Phase>; 2],
        src: Image,
        out: Image,
        weight_steps: [usize; 2],
    ) -> Option<FewOutputs> {
        let lanes = lanes(isa);
        let [ys, xs] = &axes;
        // At least half of the lanes are to be results.
        let half = xs.iter().all(|x| 2 * x.count >= x.count.next_multiple_of(lanes));
        let fits = shape.groups == 1
            && shape.dilation == [1, 1]
            && out.c <= MAX_OUTPUTS
            && src.c >= MIN_CHANNELS
            && ys.iter().all(|y| y.taps.len() <= MAX_ROWS)
            && half
            && xs.len() * out.c <= lanes;
        if !fits {
            return None;
        }
        let least = |phases: &[Phase]| phases.iter().map(|p| p.origin).min();
        let furthest = |phases: &[Phase], j: fn(&Phase) -> usize| phases.iter().map(|p| p.reach(j(p))).max();
        let low = least(ys)?;
        let more = (furthest(ys, |_| 0)? - low).try_into().ok()?;
        // Zeros between rows serve the end of one and the start of the next.
        let left = (-least(xs)?).max(0);
        let right = (furthest(xs, |x| x.count)? - src.w as isize).max(0);
        let zeros = left.max(right) as usize;
        let pitch = (src.w + zeros).next_multiple_of(lanes);
        let most = ys.iter().map(|y| y.count).max()?;
        let rows = tile_rows(isa, out.c, most);
        let mut plan = FewOutputs {
            isa,
            src,
            out,
            batch: shape.batch,
            axes,
            kernel_width: shape.kernel[1],
            weight_steps,
            weight_words: shape.weight_words(),
            rows,
            band: most.next_multiple_of(rows),
            low,
            more,
            pitch,
        };
        while plan.band > rows
            && (plan.local_words() > BAND_WORDS || plan.batch * most.div_ceil(plan.band) < MIN_TASKS)
        {
            plan.band -= rows;
        }
        // The first row of a plane has a vector of zeros before it.
        let bordered = zeros <= src.w && left <= lanes as isize;
        (bordered && plan.local_words() <= BAND_WORDS).then_some(plan)
    }

    /// Words of a channel's plane: zeros before the first row, then the rows. Planes a multiple of 4 KiB apart would fall
    /// into the same lines of L1.
    fn plane(&self) -> usize {
        let lanes = lanes(self.isa);
        let words = (self.band + self.more).saturating_mul(self.pitch).saturating_add(lanes);
        if words.is_multiple_of(512) { words.saturating_add(lanes) } else { words }
    }

    fn bands(&self) -> usize {
        self.axes[0].iter().map(|y| y.count).max().unwrap_or(0).div_ceil(self.band)
    }

    pub fn operands(&self) -> Vec<OperandSpec> {
        let words = |image: Image| self.batch * image.h * image.w * image.c;
        vec![
            OperandSpec::read(words(self.src)),
            OperandSpec::read(self.weight_words),
            OperandSpec::write(words(self.out)),
            OperandSpec::workspace(self.weight_words),
        ]
    }

    pub fn stages(&self) -> usize {
        2
    }

    pub fn tasks(&self, stage: usize) -> usize {
        if stage == 0 { 1 } else { (self.batch * self.bands()).min(TASKS) }
    }

    /// Words of all planes, and of what a tile's last vectors read past the last one.
    fn planes_words(&self) -> usize {
        let lanes = lanes(self.isa);
        let beyond = (self.rows + 2).saturating_mul(self.pitch).saturating_add(2 * lanes);
        let words = self.src.c.saturating_mul(self.plane()).saturating_add(beyond);
        words.checked_next_multiple_of(lanes).unwrap_or(usize::MAX)
    }

    /// Results of a row that stand side by side: those of each horizontal phase and channel.
    fn row_results(&self) -> usize {
        self.axes[1].len() * self.out.c
    }

    /// Results of a row for each of these, in whole vectors.
    fn columns(&self, lanes: usize) -> usize {
        self.axes[1].iter().map(|x| x.count).max().unwrap_or(0).next_multiple_of(lanes)
    }

    /// Words of the results of a row of tiles.
    fn results_words(&self) -> usize {
        self.rows * self.row_results() * self.columns(lanes(self.isa))
    }

    /// Planes, results of a row of tiles, a row of the result.
    pub fn local_words(&self) -> usize {
        let lanes = lanes(self.isa);
        let results = self.results_words() + self.row_results() * self.columns(lanes) + lanes;
        self.planes_words().saturating_add(results)
    }

    /// Words of a row.
    pub fn run_words(&self) -> usize {
        self.out.w * self.out.c
    }

    /// Runs one task, announcing finished words of the result to `sink`.
    ///
    /// # Safety
    /// As [`Kernel::run`](crate::kernel::Kernel::run).
    pub unsafe fn run(
        &self,
        stage: usize,
        task: usize,
        operands: &Operands<'_>,
        local: &mut [f32],
        sink: Option<&dyn Sink>,
    ) {
        if stage == 0 {
            // SAFETY: the caller's promises.
            return unsafe { self.pack(operands) };
        }
        assert!(local.len() >= self.local_words(), "too little local scratch");
        let units = share(self.batch * self.bands(), task, self.tasks(1));
        let body = BandRun { plan: self, units, operands, local, sink };
        // SAFETY: the caller's promises.
        unsafe { run_on(self.isa, body) }
    }

    /// Packs the weights: `[vertical phase][horizontal phase][source channel][column][result channel][row]`.
    ///
    /// # Safety
    /// As [`FewOutputs::run`].
    unsafe fn pack(&self, operands: &Operands<'_>) {
        // SAFETY: weights are only read, and one task packs all.
        let (weights, packed) =
            unsafe { (operands.read(WEIGHTS), operands.write(PACKED, 0..self.weight_words)) };
        let tap_words = self.src.c * self.out.c;
        let mut packed = packed.iter_mut();
        for (y, x) in self.axes[0].iter().flat_map(|y| self.axes[1].iter().map(move |x| (y, x))) {
            for c in 0..self.src.c {
                for (kx, o) in x.taps.iter().flat_map(|kx| (0..self.out.c).map(move |o| (kx, o))) {
                    for (ky, packed) in y.taps.iter().zip(&mut packed) {
                        let tap = ky * self.kernel_width + kx;
                        *packed =
                            weights[tap * tap_words + c * self.weight_steps[0] + o * self.weight_steps[1]];
                    }
                }
            }
        }
    }
}

/// Rows of a tile, for which registers hold the results, a vector of the plane and some weights.
fn tile_rows(isa: Isa, outputs: usize, rows: usize) -> usize {
    match (outputs, isa) {
        // Whichever leaves fewer rows over.
        (1, _) => {
            if rows.next_multiple_of(7) < rows.next_multiple_of(8) {
                7
            } else {
                8
            }
        }
        (2, Isa::Avx512) | (3, Isa::Avx512) => 8,
        (_, Isa::Avx512) => 6,
        (2, Isa::Avx2 | Isa::Portable) => 5,
        (3, Isa::Avx2 | Isa::Portable) => 4,
        (_, Isa::Avx2 | Isa::Portable) => 3,
    }
}

/// A task of the second stage.
struct BandRun<'a> {
    plan: &'a FewOutputs,
    /// Bands of images.
    units: Range<usize>,
    operands: &'a Operands<'a>,
    local: &'a mut [f32],
    sink: Option<&'a dyn Sink>,
}

impl WithSimd for BandRun<'_> {
    type Output = ();

    #[inline(always)]
    unsafe fn call<S: Simd>(self, simd: S) {
        let BandRun { plan, units, operands, local, sink } = self;
        let (src, out) = (plan.src, plan.out);
        let (planes, rest) = local.split_at_mut(plan.planes_words());
        let (results, line) = rest.split_at_mut(plan.results_words());
        let columns = plan.columns(S::LANES);
        let row_results = plan.row_results();
        for unit in units.clone() {
            let (image, band) = (unit / plan.bands(), unit % plan.bands() * plan.band);
            // SAFETY: the scratch has room for the planes.
            unsafe { copy(simd, plan, image, band, operands, planes.as_mut_ptr()) };
            let mut ahead = Ahead::nothing();
            if unit + 1 < units.end {
                let (image, band) = ((unit + 1) / plan.bands(), (unit + 1) % plan.bands() * plan.band);
                let rows =
                    [band, band + plan.band].map(|row| (image * src.h + row.min(src.h)) * src.w * src.c);
                let tiles =
                    plan.axes[0].len() * (plan.band / plan.rows) * plan.axes[1].len() * columns / S::LANES;
                ahead = Ahead::new(
                    operands.ptr(SRC).cast_const().wrapping_add(rows[0]),
                    rows[1] - rows[0],
                    tiles,
                );
            }
            let mut y_weights = operands.ptr(PACKED).cast_const();
            for y in &plan.axes[0] {
                let rows = band.min(y.count)..(band + plan.band).min(y.count);
                for row in rows.clone().step_by(plan.rows) {
                    let mut weights = y_weights;
                    for (xi, x) in plan.axes[1].iter().enumerate() {
                        for column in (0..x.count).step_by(S::LANES) {
                            ahead.fetch();
                            // The word of the first plane that the first result sees at its first tap.
                            let above = (row - band) + (y.origin - plan.low) as usize;
                            let at = (S::LANES + above * plan.pitch + column) as isize + x.origin;
                            let args = TileArgs {
                                // SAFETY: rows of a plane begin behind zeros, at least as many as the origin is left of.
                                src: unsafe { planes.as_ptr().offset(at) },
                                pitch: plan.pitch,
                                plane: plan.plane(),
                                channels: src.c,
                                columns: x.taps.len(),
                                weights,
                                to: results[xi * out.c * columns + column..].as_mut_ptr(),
                                to_steps: [row_results * columns, columns],
                            };
                            // SAFETY: vectors of results past the band or the row's end read what lies behind in the
                            // scratch; there are weights for every channel, column, result channel and row.
                            unsafe { tile_of(simd, plan.rows, y.taps.len(), out.c, &args) };
                        }
                        weights = weights.wrapping_add(x.taps.len() * y.taps.len() * src.c * out.c);
                    }
                    for r in 0..plan.rows.min(rows.end - row) {
                        let at = (image * out.h + y.first + y.step * (row + r)) * out.w * out.c;
                        let from = results[r * row_results * columns..].as_ptr();
                        // SAFETY: the row is this task's; its results are in the scratch, for each phase and channel
                        // `columns` of them, of which whole vectors fit the line.
                        unsafe {
                            let to = operands.ptr(OUT).add(at);
                            if row_results == 1 {
                                to.copy_from_nonoverlapping(from, out.w);
                            } else {
                                let line = line.as_mut_ptr();
                                for column in (0..columns).step_by(S::LANES) {
                                    let to = line.add(column * row_results);
                                    simd.transpose(
                                        from.add(column),
                                        columns,
                                        row_results,
                                        S::LANES,
                                        to,
                                        row_results,
                                    );
                                }
                                to.copy_from_nonoverlapping(line, out.w * out.c);
                            }
                            if let Some(sink) = sink {
                                sink.done(at, out.w * out.c);
                            }
                        }
                    }
                }
                let taps: usize = plan.axes[1].iter().map(|x| x.taps.len()).sum();
                y_weights = y_weights.wrapping_add(taps * y.taps.len() * src.c * out.c);
            }
        }
    }
}

/// Memory to be fetched a little with every tile.
struct Ahead {
    at: *const f32,
    lines: usize,
    each: usize,
}

impl Ahead {
    fn nothing() -> Ahead {
        Ahead { at: std::ptr::null(), lines: 0, each: 0 }
    }

    /// `words` from `at` on, with so many tiles.
    fn new(at: *const f32, words: usize, tiles: usize) -> Ahead {
        let lines = words.div_ceil(LINE);
        Ahead { at, lines, each: lines.div_ceil(tiles.max(1)) }
    }

    #[inline(always)]
    fn fetch(&mut self) {
        for _ in 0..self.each.min(self.lines) {
            prefetch(self.at);
            self.at = self.at.wrapping_add(LINE);
            self.lines -= 1;
        }
    }
}

/// Copies the source rows that a band sees, a plane for each channel.
///
/// # Safety
/// The CPU supports `S::ISA`, the operands are the plan's, `planes` has room for all.
#[inline(always)]
unsafe fn copy<S: Simd>(
    simd: S,
    plan: &FewOutputs,
    image: usize,
    band: usize,
    operands: &Operands<'_>,
    planes: *mut f32,
) {
    let (src, plane) = (plan.src, plan.plane());
    let channels = |to: *mut f32, words: Range<usize>| {
        for (c, at) in (0..src.c).flat_map(|c| words.clone().step_by(S::LANES).map(move |at| (c, at))) {
            // SAFETY: whole vectors of a row, or of what precedes the first one, of every plane.
            unsafe { simd.store(to.add(c * plane + at), simd.zero()) };
        }
    };
    channels(planes, 0..S::LANES);
    for row in 0..plan.band + plan.more {
        // SAFETY: the row of the first plane.
        let to = unsafe { planes.add(S::LANES + row * plan.pitch) };
        let y = (band + row) as isize + plan.low;
        if y < 0 || y as usize >= src.h {
            channels(to, 0..plan.pitch);
            continue;
        }
        let from = (image * src.h + y as usize) * src.w * src.c;
        for x in (0..src.w).step_by(S::LANES) {
            let pixels = S::LANES.min(src.w - x);
            for c in (0..src.c).step_by(S::LANES) {
                // SAFETY: pixels and channels of the row; the pitch has room for whole vectors.
                unsafe {
                    let from = operands.ptr(SRC).cast_const().add(from + x * src.c + c);
                    let count = S::LANES.min(src.c - c);
                    let to = to.add(c * plane + x);
                    if pixels == S::LANES && count == S::LANES {
                        simd.transpose(from, src.c, S::LANES, S::LANES, to, plane);
                    } else {
                        simd.transpose(from, src.c, pixels, count, to, plane);
                    }
                }
            }
        }
        channels(to, src.w.next_multiple_of(S::LANES)..plan.pitch);
    }
}

/// A column of vectors of results.
struct TileArgs {
    /// The first word that the first result sees.
    src: *const f32,
    /// Words between rows and between planes.
    pitch: usize,
    plane: usize,
    channels: usize,
    /// Filter columns.
    columns: usize,
    weights: *const f32,
    /// Where results go, and the words between rows and between channels.
    to: *mut f32,
    to_steps: [usize; 2],
}

/// [`tile`] for values known at run time.
///
/// # Safety
/// As [`tile`].
#[inline(always)]
unsafe fn tile_of<S: Simd>(simd: S, rows: usize, filter_rows: usize, outputs: usize, args: &TileArgs) {
    macro_rules! of {
        ($rows:literal, $outputs:literal) => {
            match filter_rows {
                1 => tile::<S, $rows, 1, $outputs>(simd, args),
                2 => tile::<S, $rows, 2, $outputs>(simd, args),
                3 => tile::<S, $rows, 3, $outputs>(simd, args),
                4 => tile::<S, $rows, 4, $outputs>(simd, args),
                _ => tile::<S, $rows, MAX_ROWS, $outputs>(simd, args),
            }
        };
    }
    // SAFETY: forwarded from the caller; rows are those of `tile_rows`.
    unsafe {
        match (outputs, S::ISA) {
            (1, _) if rows == 7 => of!(7, 1),
            (1, _) => of!(8, 1),
            (2, Isa::Avx512) => of!(8, 2),
            (2, Isa::Avx2 | Isa::Portable) => of!(5, 2),
            (3, Isa::Avx512) => of!(8, 3),
            (3, Isa::Avx2 | Isa::Portable) => of!(4, 3),
            (_, Isa::Avx512) => of!(6, 4),
            (_, Isa::Avx2 | Isa::Portable) => of!(3, 4),
        }
    }
}

/// `R` rows by `NC` channels of results, for a filter of `KH` rows.
///
/// # Safety
/// The CPU supports `S::ISA`; in every plane, from every column on, `R + KH - 1` vectors can be read, and weights for
/// them; the results have room.
#[inline(always)]
unsafe fn tile<S: Simd, const R: usize, const KH: usize, const NC: usize>(simd: S, args: &TileArgs) {
    // SAFETY: the caller's promises.
    unsafe {
        let mut acc = [[simd.zero(); NC]; R];
        let (mut plane, mut w) = (args.src, args.weights);
        for _ in 0..args.channels {
            for column in 0..args.columns {
                let mut weights = [[simd.zero(); KH]; NC];
                for (o, weights) in weights.iter_mut().enumerate() {
                    for (ky, weight) in weights.iter_mut().enumerate() {
                        *weight = simd.splat(*w.add(o * KH + ky));
                    }
                }
                w = w.wrapping_add(NC * KH);
                let from = plane.add(column);
                for row in 0..R + KH - 1 {
                    let x = simd.load(from.add(row * args.pitch));
                    for ky in 0..KH {
                        // The result that meets this row at filter row `ky`.
                        if row >= ky && row - ky < R {
                            for o in 0..NC {
                                acc[row - ky][o] = simd.mul_add(weights[o][ky], x, acc[row - ky][o]);
                            }
                        }
                    }
                }
            }
            plane = plane.wrapping_add(args.plane);
        }
        for (r, acc) in acc.iter().enumerate() {
            for (o, &acc) in acc.iter().enumerate() {
                simd.store(args.to.add(r * args.to_steps[0] + o * args.to_steps[1]), acc);
            }
        }
    }
}
