//! Weight gradients where either image has few channels: register tiles of places in a window, which a [`Strip`] holds,
//! by vectors of the other image's channels, summed over the pixels of a band.

use super::gather::share;
use super::shape::ConvShape;
use super::strip::{Strip, tile_size, with_size};
use super::tile::{lanes, strip};
use super::weight_plan::{DW, DY, PARTIAL, X};
use crate::isa::Isa;
use crate::kernel::{OperandSpec, Operands};
use crate::simd::{Simd, WithSimd, run_on};
use std::ops::Range;

/// Pixels of a band: sums are added to memory once a band, and its vectors should stay in L2.
const PIXELS: usize = 256;
/// Chunks of the batch, each with sums of its own.
const CHUNKS: usize = 32;
/// Bound on all of them.
const PARTIAL_WORDS: usize = 4 << 20;
/// Words of a combining task.
const COMBINED_WORDS: usize = 1 << 10;

/// A weight gradient at fixed shapes.
#[derive(Clone, Debug)]
pub(super) struct FewWeights {
    pub isa: Isa,
    strip: Strip,
    chunks: usize,
}

impl FewWeights {
    /// The plan, if the method fits the shape, which is valid.
    pub fn new(isa: Isa, shape: &ConvShape) -> Option<FewWeights> {
        // Vectors are read whole.
        let fits = |strip: &Strip| strip.seen_by.c.is_multiple_of(lanes(isa));
        let strip = Strip::of_input(shape, PIXELS).filter(fits);
        let strip = strip.or_else(|| Strip::of_output(shape, PIXELS).filter(fits))?;
        let most = PARTIAL_WORDS / (strip.depth() * strip.seen_by.c);
        (most > 0).then(|| FewWeights { isa, strip, chunks: strip.bands().min(CHUNKS).min(most) })
    }

    /// Words of the gradient.
    fn words(&self) -> usize {
        self.strip.depth() * self.strip.seen_by.c
    }

    pub fn operands(&self) -> Vec<OperandSpec> {
        let Strip { src, seen_by, batch, .. } = self.strip;
        let [few, many] = [src, seen_by].map(|image| OperandSpec::read(batch * image.h * image.w * image.c));
        let [x, dy] = if self.strip.flipped { [many, few] } else { [few, many] };
        vec![x, dy, OperandSpec::write(self.words()), OperandSpec::workspace(self.chunks * self.words())]
    }

    pub fn stages(&self) -> usize {
        2
    }

    pub fn tasks(&self, stage: usize) -> usize {
        let taps = self.strip.kernel[0] * self.strip.kernel[1];
        if stage == 0 { self.chunks } else { self.words().div_ceil(COMBINED_WORDS).min(CHUNKS).min(taps) }
    }

    pub fn local_words(&self) -> usize {
        self.strip.local_words()
    }

    /// Runs one task.
    ///
    /// # Safety
    /// As [`Kernel::run`](crate::kernel::Kernel::run).
    pub unsafe fn run(&self, stage: usize, task: usize, operands: &Operands<'_>, local: &mut [f32]) {
        assert!(local.len() >= self.local_words(), "too little local scratch");
        // SAFETY: the caller's promises, which are the bodies' contracts.
        unsafe {
            if stage == 0 {
                run_on(self.isa, SumRun { plan: self, chunk: task, operands, local: local.as_mut_ptr() });
            } else {
                let taps = self.strip.kernel[0] * self.strip.kernel[1];
                self.combine(share(taps, task, self.tasks(1)), operands);
            }
        }
    }

    /// Adds the chunks' sums of some taps, in order.
    ///
    /// # Safety
    /// As [`FewWeights::run`]; the taps are this task's.
    unsafe fn combine(&self, taps: Range<usize>, operands: &Operands<'_>) {
        let (few, many, words) = (self.strip.src.c, self.strip.seen_by.c, self.words());
        let last = self.strip.kernel[0] * self.strip.kernel[1] - 1;
        for tap in taps {
            let place = if self.strip.flipped { last - tap } else { tap };
            // SAFETY: the partial sums are complete, and these words of the result are this task's alone.
            let (partial, out) = unsafe {
                (operands.read(PARTIAL), operands.write(DW, tap * few * many..(tap + 1) * few * many))
            };
            for c in 0..few {
                let first = (place * few + c) * many;
                for j in 0..many {
                    let sum = (0..self.chunks).map(|chunk| partial[chunk * words + first + j]).sum();
                    // Rows are input channels, which are the few ones unless the outputs are seen.
                    out[if self.strip.flipped { j * few + c } else { c * many + j }] = sum;
                }
            }
        }
    }
}

/// A task of the summing stage.
struct SumRun<'a> {
    plan: &'a FewWeights,
    chunk: usize,
    operands: &'a Operands<'a>,
    /// Room for a strip.
    local: *mut f32,
}

impl WithSimd for SumRun<'_> {
    type Output = ();

    #[inline(always)]
    unsafe fn call<S: Simd>(self, simd: S) {
        let SumRun { plan, chunk, operands, local } = self;
        let geometry = &plan.strip;
        let (few, many) = (geometry.src, geometry.seen_by);
        let (tallest, widest) = tile_size(S::ISA);
        let [strip_from, vectors_from] = if geometry.flipped { [DY, X] } else { [X, DY] };
        let bands = share(geometry.bands(), chunk, plan.chunks);
        for index in bands.clone() {
            let (image, rows) = geometry.band(index);
            // SAFETY: the scratch holds a band's strip, and the chunk's sums in the workspace are this task's.
            unsafe {
                let from = operands.ptr(strip_from).cast_const().add(image * few.h * few.w * few.c);
                geometry.copy(from, rows.clone(), local);
                let first_row = (image * many.h + rows.start) * many.w * many.c;
                let vectors = operands.ptr(vectors_from).cast_const().add(first_row);
                let sums = operands.ptr(PARTIAL).add(chunk * plan.words());
                for column in (0..many.c).step_by(widest * S::LANES) {
                    let columns = (widest * S::LANES).min(many.c - column);
                    for ky in 0..geometry.kernel[0] {
                        for i in 0..geometry.run().div_ceil(tallest) {
                            let places = strip(geometry.run(), tallest, i);
                            let row = ky * geometry.run() + places.start;
                            let args = TileArgs {
                                seen: local.cast_const().add(ky * geometry.pitch() + places.start),
                                seen_steps: [geometry.row_step(), geometry.step()],
                                vectors: vectors.add(column),
                                pixels: [rows.len(), many.w],
                                channels: many.c,
                                out: sums.add(row * many.c + column),
                                fresh: index == bands.start,
                            };
                            with_size!(S, places.len(), columns / S::LANES, tile, (simd, &args));
                        }
                    }
                }
            }
        }
    }
}

/// Some places of a window by some vectors, over all pixels of a band.
struct TileArgs {
    /// The first place as the first pixel sees it, and the words to what the next row and the next pixel see.
    seen: *const f32,
    seen_steps: [usize; 2],
    vectors: *const f32,
    /// Rows and columns of pixels.
    pixels: [usize; 2],
    /// Words from pixel to pixel of the vectors, and from row to row of the sums.
    channels: usize,
    out: *mut f32,
    /// Whether what the sums held is to be forgotten.
    fresh: bool,
}

/// # Safety
/// The CPU supports `S::ISA`; at every pixel `MR` words of the window and `NV` vectors can be read; the sums are the
/// caller's.
#[inline(always)]
unsafe fn tile<S: Simd, const MR: usize, const NV: usize>(simd: S, args: &TileArgs) {
    // SAFETY: the caller's promises.
    unsafe {
        let mut acc = [[simd.zero(); NV]; MR];
        let (mut row, mut vectors) = (args.seen, args.vectors);
        for _ in 0..args.pixels[0] {
            let mut x = row;
            for _ in 0..args.pixels[1] {
                let mut b = [simd.zero(); NV];
                for (v, b) in b.iter_mut().enumerate() {
                    *b = simd.load(vectors.add(v * S::LANES));
                }
                for (m, acc) in acc.iter_mut().enumerate() {
                    let x = simd.splat(*x.add(m));
                    for v in 0..NV {
                        acc[v] = simd.mul_add(x, b[v], acc[v]);
                    }
                }
                x = x.wrapping_add(args.seen_steps[1]);
                vectors = vectors.wrapping_add(args.channels);
            }
            row = row.wrapping_add(args.seen_steps[0]);
        }
        for (m, acc) in acc.iter().enumerate() {
            let out = args.out.add(m * args.channels);
            for (v, &acc) in acc.iter().enumerate() {
                let out = out.add(v * S::LANES);
                simd.store(out, if args.fresh { acc } else { simd.add(acc, simd.load(out)) });
            }
        }
    }
}
