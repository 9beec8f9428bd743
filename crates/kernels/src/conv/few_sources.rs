//! Forward passes and input gradients from few channels: one product of the pixels' filter windows, which a [`Strip`]
//! holds, with the weights of up to four vectors of channels.

use super::gather::{OUT, PACKED, SRC, WEIGHTS, share};
use super::shape::ConvShape;
use super::strip::{Strip, tile_size, with_size};
use super::tile::{lanes, strip};
use crate::fused::Sink;
use crate::isa::Isa;
use crate::kernel::{OperandSpec, Operands};
use crate::simd::{Simd, WithSimd, run_on};
use std::ops::Range;

/// Pixels of a band: few enough that images of a small batch make tasks enough.
const PIXELS: usize = 112;
/// Most tasks of a stage.
const TASKS: usize = 64;

/// A product of windows and weights at fixed shapes.
#[derive(Clone, Debug)]
pub(super) struct FewSources {
    pub isa: Isa,
    strip: Strip,
    /// Words between neighbouring source channels and result channels in the unpacked weights.
    weight_steps: [usize; 2],
    weight_words: usize,
}

impl FewSources {
    /// `y = conv(x, w)`, if the method fits the shape, which is valid.
    pub fn forward(isa: Isa, shape: &ConvShape) -> Option<FewSources> {
        let strip = Strip::of_input(shape, PIXELS)?;
        FewSources::new(isa, shape, strip, [shape.out_c, 1])
    }

    /// `dx = conv_input_grad(dy, w)`, if the method fits the shape, which is valid.
    pub fn input_grad(isa: Isa, shape: &ConvShape) -> Option<FewSources> {
        let strip = Strip::of_output(shape, PIXELS)?;
        FewSources::new(isa, shape, strip, [1, shape.out_c])
    }

    fn new(isa: Isa, shape: &ConvShape, strip: Strip, weight_steps: [usize; 2]) -> Option<FewSources> {
        // Lanes would be empty.
        let fits = strip.seen_by.c >= lanes(isa) && strip.src.c < strip.seen_by.c;
        fits.then(|| FewSources { isa, strip, weight_steps, weight_words: shape.weight_words() })
    }

    /// Result channels of a full panel.
    fn width(&self) -> usize {
        tile_size(self.isa).1 * lanes(self.isa)
    }

    fn panels(&self) -> usize {
        self.strip.seen_by.c.div_ceil(self.width())
    }

    pub fn operands(&self) -> Vec<OperandSpec> {
        let Strip { src, seen_by, batch, .. } = self.strip;
        vec![
            OperandSpec::read(batch * src.h * src.w * src.c),
            OperandSpec::read(self.weight_words),
            OperandSpec::write(batch * seen_by.h * seen_by.w * seen_by.c),
            OperandSpec::workspace(self.strip.depth() * seen_by.c.next_multiple_of(lanes(self.isa))),
        ]
    }

    pub fn stages(&self) -> usize {
        2
    }

    pub fn tasks(&self, stage: usize) -> usize {
        if stage == 0 { self.panels().min(TASKS) } else { self.strip.bands().min(TASKS) }
    }

    pub fn local_words(&self) -> usize {
        self.strip.local_words()
    }

    /// Words of a row.
    pub fn run_words(&self) -> usize {
        self.strip.seen_by.w * self.strip.seen_by.c
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
            return unsafe { self.pack(share(self.panels(), task, self.tasks(0)), operands) };
        }
        assert!(local.len() >= self.local_words(), "too little local scratch");
        let bands = share(self.strip.bands(), task, self.tasks(1));
        let body = BandRun { plan: self, bands, operands, local: local.as_mut_ptr(), sink };
        // SAFETY: the caller's promises.
        unsafe { run_on(self.isa, body) }
    }

    /// Packs the weights of some panels: `[panel][filter row][column][source channel][channel of the panel]`, zeros past
    /// the last channel.
    ///
    /// # Safety
    /// As [`FewSources::run`].
    unsafe fn pack(&self, panels: Range<usize>, operands: &Operands<'_>) {
        let strip = &self.strip;
        let ([kh, kw], channels, depth) = (strip.kernel, strip.src.c, strip.depth());
        let tap_words = channels * strip.seen_by.c;
        // SAFETY: weights are only read.
        let weights = unsafe { operands.read(WEIGHTS) };
        for panel in panels {
            let first = panel * self.width();
            let columns = self.width().min(strip.seen_by.c - first);
            let padded = columns.next_multiple_of(lanes(self.isa));
            // SAFETY: panels are disjoint ranges of the workspace, in the order of their index.
            let packed = unsafe { operands.write(PACKED, first * depth..(first + padded) * depth) };
            for (k, packed) in packed.chunks_exact_mut(padded).enumerate() {
                let (place, channel) = (k / channels, k % channels);
                let tap = if strip.flipped { kh * kw - 1 - place } else { place };
                let from = tap * tap_words + channel * self.weight_steps[0];
                for (j, packed) in packed.iter_mut().enumerate() {
                    let at = from + (first + j) * self.weight_steps[1];
                    *packed = if j < columns { weights[at] } else { 0.0 };
                }
            }
        }
    }
}

/// A task of the second stage.
struct BandRun<'a> {
    plan: &'a FewSources,
    bands: Range<usize>,
    operands: &'a Operands<'a>,
    /// Room for a strip.
    local: *mut f32,
    sink: Option<&'a dyn Sink>,
}

impl WithSimd for BandRun<'_> {
    type Output = ();

    #[inline(always)]
    unsafe fn call<S: Simd>(self, simd: S) {
        let BandRun { plan, bands, operands, local, sink } = self;
        let geometry = &plan.strip;
        let (src, to) = (geometry.src, geometry.seen_by);
        let (tallest, _) = tile_size(S::ISA);
        for (image, rows) in bands.map(|band| geometry.band(band)) {
            // SAFETY: the scratch holds a band's strip; result rows are this task's alone, and weights were packed
            // in the stage before.
            unsafe {
                let from = operands.ptr(SRC).cast_const().add(image * src.h * src.w * src.c);
                geometry.copy(from, rows.clone(), local);
                for row in rows.clone() {
                    let at = (image * to.h + row) * to.w * to.c;
                    for first in (0..to.c).step_by(plan.width()) {
                        let columns = plan.width().min(to.c - first);
                        for i in 0..to.w.div_ceil(tallest) {
                            let pixels = strip(to.w, tallest, i);
                            let seen = (row - rows.start) * geometry.row_step();
                            let args = TileArgs {
                                src: local.cast_const().add(seen + pixels.start * geometry.step()),
                                step: geometry.step(),
                                pitch: geometry.pitch(),
                                filter: [geometry.kernel[0], geometry.run()],
                                weights: operands.ptr(PACKED).cast_const().add(first * geometry.depth()),
                                out: operands.ptr(OUT).add(at + pixels.start * to.c + first),
                                out_step: to.c,
                                columns,
                            };
                            with_size!(S, pixels.len(), columns.div_ceil(S::LANES), tile, (simd, &args));
                        }
                    }
                }
                if let Some(sink) = sink {
                    let row_words = to.w * to.c;
                    sink.done((image * to.h + rows.start) * row_words, rows.len() * row_words);
                }
            }
        }
    }
}

/// Neighbouring pixels of a row by one panel.
struct TileArgs {
    /// The first pixel's window, and the words to the next pixel's and to the next row.
    src: *const f32,
    step: usize,
    pitch: usize,
    /// Rows of the window and words of each.
    filter: [usize; 2],
    weights: *const f32,
    out: *mut f32,
    out_step: usize,
    /// Channels that exist.
    columns: usize,
}

/// # Safety
/// The CPU supports `S::ISA`; `MR` windows and `NV` vectors of weights for each of their words can be read; the results'
/// words are the caller's.
#[inline(always)]
unsafe fn tile<S: Simd, const MR: usize, const NV: usize>(simd: S, args: &TileArgs) {
    // SAFETY: the caller's promises.
    unsafe {
        let mut acc = [[simd.zero(); NV]; MR];
        let (mut row, mut w) = (args.src, args.weights);
        for _ in 0..args.filter[0] {
            for k in 0..args.filter[1] {
                let mut b = [simd.zero(); NV];
                for (v, b) in b.iter_mut().enumerate() {
                    *b = simd.load(w.add(v * S::LANES));
                }
                w = w.wrapping_add(NV * S::LANES);
                for (m, acc) in acc.iter_mut().enumerate() {
                    let x = simd.splat(*row.add(k + m * args.step));
                    for v in 0..NV {
                        acc[v] = simd.mul_add(x, b[v], acc[v]);
                    }
                }
            }
            row = row.wrapping_add(args.pitch);
        }
        for (m, acc) in acc.iter().enumerate() {
            let out = args.out.add(m * args.out_step);
            for (v, &acc) in acc.iter().enumerate() {
                let first = v * S::LANES;
                if first + S::LANES <= args.columns {
                    simd.store(out.add(first), acc);
                } else {
                    simd.store_first(out.add(first), acc, args.columns - first);
                }
            }
        }
    }
}
