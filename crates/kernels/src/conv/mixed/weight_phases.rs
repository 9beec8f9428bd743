//! The sums of a weight gradient on the matrix unit.
//!
//! The unit wants pairs of pixels along rows, one row an input channel, which takes a transposition. It is done once for
//! all taps: along either axis, tap k meets input `o s + k d - p` at output o, i.e. with `k d - p = s q + r`, 0 <= r < s,
//! place `o + q` of the r-th of s phases of the input. Phases and gradient are laid out in the same lines of
//! [`Places::pitch`] places, so one tap differs from another of its phase by an offset alone. Places past the image are
//! zeros, in which neighbouring lines overlap; the unit is fast enough to multiply with them. An operand that is not finite
//! may so make NaN of sums that it is no part of.
//!
//! A task takes a few lines of the batch at a time: it packs their gradients, then phase by phase and slice by slice of
//! input channels the input that they meet.

use super::super::gather::share;
use super::super::weight_plan::{Cut, WeightPlan, WeightTask};
use crate::conv::ConvShape;
use crate::pairs::amx::{self, Registers};
use crate::pairs::pair;
use crate::pairs::simd::{MAX_LANES, PairIsa, Pairs, WithPairs, run_pairs_on};
use crate::pairs::tile::{Store, VECTORS, strips};
use crate::simd::{Simd, prefetch};
use std::ops::Range;

/// Places that a task works on at a time, about: a sum is read and written once for so many products.
const PLACES: usize = 2048;
/// Most places for an output.
const MOST: usize = 3;
/// Fewest lines of the batch.
const FEWEST: usize = 8;
/// Input channels of a slice, whose rows then take some 300 KiB of L2.
const SLICE: usize = 64;
/// Pixels that are fetched before they are packed.
const AHEAD: usize = 16;

/// The first element of the pixel at a place, or [`PAST`].
type Pixel = usize;
/// Stands for places past the image.
const PAST: Pixel = usize::MAX;

fn there(pixel: Pixel) -> Option<usize> {
    (pixel != PAST).then_some(pixel)
}

/// A tap along one axis: its phase, and its offset from the lowest place that is laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Offset {
    phase: usize,
    shift: usize,
}

/// How one axis is laid out.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Places {
    outputs: usize,
    inputs: usize,
    phases: usize,
    /// By tap; none for one that never meets the image.
    taps: Vec<Option<Offset>>,
    /// Places before the first output's and behind the last's that taps reach.
    low: usize,
    high: usize,
    /// Places of an image: its outputs, then those behind that lie in the image, then zeros, enough for what taps reach
    /// behind this image and before the next.
    pitch: usize,
}

impl Places {
    fn new(shape: &ConvShape, axis: usize) -> Places {
        let (inputs, outputs) = ([shape.in_h, shape.in_w][axis], [shape.out_h(), shape.out_w()][axis]);
        let (stride, pad) = (shape.stride[axis], shape.pad_low[axis]);
        let meets: Vec<Option<(usize, isize)>> = (0..shape.kernel[axis])
            .map(|tap| {
                let at = (tap * shape.dilation[axis]) as isize - pad as isize;
                let met = |o: usize| at + (o * stride) as isize;
                let hits = (0..outputs).any(|o| (0..inputs as isize).contains(&met(o)));
                hits.then(|| (at.rem_euclid(stride as isize) as usize, at.div_euclid(stride as isize)))
            })
            .collect();
        let places = || meets.iter().flatten().map(|&(_, q)| q);
        let low = places().min().unwrap_or(0).min(0).unsigned_abs();
        let high = places().max().unwrap_or(0).max(0).unsigned_abs();
        // Phase 0 has the most places in the image.
        let inside = inputs.div_ceil(stride).saturating_sub(outputs).min(high);
        let taps = (meets.iter())
            .map(|tap| tap.map(|(phase, q)| Offset { phase, shift: (q + low as isize) as usize }))
            .collect();
        let pitch = outputs + (low + inside).max(high);
        Places { outputs, inputs, phases: stride, taps, low, high, pitch }
    }

    /// The image and its input at a place of phase `phase`, counted from the first output of the first image.
    fn input(&self, place: isize, phase: usize) -> Option<(usize, usize)> {
        let image = usize::try_from(place.div_euclid(self.pitch as isize)).ok()?;
        Some((image, self.inside(place.rem_euclid(self.pitch as isize) as usize, phase)?))
    }

    /// The input at a place of an image.
    fn inside(&self, place: usize, phase: usize) -> Option<usize> {
        let input = place * self.phases + phase;
        // Inputs behind those that a tap reaches are left out: what lies there is what the next image's taps reach before it.
        (input < self.inputs && place < self.outputs + self.high).then_some(input)
    }

    /// The image and its output at a place.
    fn output(&self, place: usize) -> Option<(usize, usize)> {
        let output = place % self.pitch;
        (output < self.outputs).then_some((place / self.pitch, output))
    }
}

/// How the sums are computed.
#[derive(Clone, Debug)]
pub(super) struct Phases {
    isa: PairIsa,
    shape: ConvShape,
    lines: Places,
    columns: Places,
    /// Places that a task works on at a time, about.
    places: usize,
}

impl Phases {
    /// `None` for shapes that are better taken tap by tap: with many more places past the images than in them, with few lines,
    /// along which tasks are cut, or with lines that are too long.
    pub fn new(isa: PairIsa, shape: ConvShape) -> Option<Phases> {
        let (lines, columns) = (Places::new(&shape, 0), Places::new(&shape, 1));
        let (whole, outputs) = (lines.pitch * columns.pitch, lines.outputs * columns.outputs);
        let fits =
            whole <= MOST * outputs && columns.pitch <= PLACES && shape.batch * lines.outputs >= FEWEST;
        fits.then_some(Phases { isa, shape, lines, columns, places: PLACES })
    }

    /// With blocks of other sizes.
    #[cfg(test)]
    pub fn in_blocks(self, places: usize) -> Phases {
        Phases { places, ..self }
    }

    /// An estimate of the time that a cut takes, in cycles of a core: to multiply, to pack an element of the input or of
    /// the gradient, to write and to add a partial sum; about what profiles show.
    pub fn cycles(&self, cut: Cut) -> f64 {
        const COSTS: [f64; 4] = [1.0 / 300.0, 0.3, 0.15, 2.0];
        let [multiply, turn, pack, partial] = COSTS;
        let s = &self.shape;
        let waste = |places: &Places| places.pitch as f64 / places.outputs as f64;
        let waste = waste(&self.lines) * waste(&self.columns);
        let products = s.output_words() as f64 * (s.in_c * s.taps()) as f64;
        let phases = if cut.filter_rows > 1 { s.kernel[0] as f64 / s.stride[0] as f64 } else { 1.0 };
        let input = s.input_words() as f64 * cut.parts as f64 * phases;
        let gradient = s.output_words() as f64 * cut.filter_rows as f64;
        let partial = if cut.chunks > 1 { partial * cut.chunks as f64 } else { 0.0 };
        waste * (products * multiply + input * turn + gradient * pack) + partial * s.weight_words() as f64
    }

    /// Lines of a chunk that are worked on at a time.
    fn block(&self) -> usize {
        (self.places / self.columns.pitch).max(1)
    }

    /// Places that a block of lines is summed over.
    fn summed(&self) -> usize {
        (self.block() * self.columns.pitch).next_multiple_of(2 * amx::DEPTH)
    }

    /// Places of the input that they meet.
    fn met(&self) -> usize {
        let halo =
            (self.lines.low + self.lines.high) * self.columns.pitch + self.columns.low + self.columns.high;
        (self.summed() + halo).next_multiple_of(2 * amx::DEPTH)
    }

    /// Words from one channel's row to the next: an odd number of cache lines, as rows a power of two apart would share
    /// few sets of the cache.
    fn row(&self) -> usize {
        ((self.met() / (2 * amx::DEPTH)) | 1) * amx::DEPTH
    }

    fn slice(&self) -> usize {
        self.shape.in_c.min(SLICE).next_multiple_of(amx::TALLEST)
    }

    fn panel(&self) -> usize {
        VECTORS * self.isa.lanes()
    }

    /// Words of the pixels' list, of the input's rows, and of `units` panels of gradients.
    fn scratch(&self, units: usize) -> [usize; 3] {
        let list = (self.met() * size_of::<Pixel>() / size_of::<f32>()).next_multiple_of(amx::DEPTH);
        [list, self.slice() * self.row(), units * self.panel() * self.summed() / 2]
    }

    pub fn local_words(&self, units: usize) -> usize {
        self.scratch(units).iter().sum()
    }

    /// Sums a task's share.
    ///
    /// # Safety
    /// The CPU has the instructions of the plan; `x` and `dy` are the input and the gradient as bf16, and the task's
    /// filter rows and channels of `sums` are its own. `local` is aligned to a cache line.
    pub unsafe fn sum(
        &self,
        plan: &WeightPlan,
        task: &WeightTask,
        [x, dy]: [*const u16; 2],
        sums: *mut f32,
        local: &mut [f32],
    ) {
        let s = &self.shape;
        let width = self.panel();
        let channels = task.units.start * width..s.out_c.min(task.units.end * width);
        let [list, rows, _] = self.scratch(task.units.len());
        let (list, packed) = local.split_at_mut(list);
        let (rows, gradients) = packed.split_at_mut(rows);
        // SAFETY: aligned and of the size, by the contract; written before it is read.
        let list = unsafe { std::slice::from_raw_parts_mut(list.as_mut_ptr().cast::<Pixel>(), self.met()) };
        // SAFETY: the unit was granted.
        let registers = unsafe { Registers::configure() };
        let all = share(s.batch * self.lines.pitch, task.chunk, plan.cut.chunks);
        let taps: Vec<[usize; 2]> =
            (task.filter_rows.clone()).flat_map(|ky| (0..s.kernel[1]).map(move |kx| [ky, kx])).collect();
        let offsets = |[ky, kx]: [usize; 2]| Some([self.lines.taps[ky]?, self.columns.taps[kx]?]);
        for &tap in &taps {
            if all.is_empty() || offsets(tap).is_none() {
                self.clear(sums, tap, &channels);
            }
        }
        for first in all.clone().step_by(self.block()) {
            let lines = first..all.end.min(first + self.block());
            let store = if first == all.start { Store::Write } else { Store::Add };
            let places = (lines.len() * self.columns.pitch).next_multiple_of(2 * amx::DEPTH);
            self.list_outputs(&lines, &mut list[..places]);
            let (pixels, to) = (&list[..places], gradients.as_mut_ptr().cast());
            let gradient = Gradient { from: dy, pixels, channels: channels.clone(), width, to };
            // SAFETY: the pixels lie in the gradient, and the panels in this task's scratch.
            unsafe { run_pairs_on(self.isa, gradient) };
            for phase in (0..self.lines.phases).flat_map(|y| (0..self.columns.phases).map(move |x| [y, x])) {
                let of_phase = |&tap: &[usize; 2]| {
                    let [y, x] = offsets(tap)?;
                    ([y.phase, x.phase] == phase).then_some((tap, y.shift * self.columns.pitch + x.shift))
                };
                if !taps.iter().any(|tap| of_phase(tap).is_some()) {
                    continue;
                }
                let met = (places + self.met() - self.summed()).next_multiple_of(2 * amx::DEPTH);
                self.list_inputs(&lines, phase, &mut list[..met]);
                for start in (0..s.in_c).step_by(SLICE) {
                    let slice = start..s.in_c.min(start + SLICE);
                    let (pixels, to) = (&list[..met], rows.as_mut_ptr().cast());
                    let input = Input { from: x, pixels, channels: slice.clone(), to, row: self.row() };
                    // SAFETY: the pixels lie in the input, and the rows in this task's scratch.
                    unsafe { run_pairs_on(self.isa, input) };
                    for (tap, shift) in taps.iter().filter_map(of_phase) {
                        let first = (tap[0] * s.kernel[1] + tap[1]) * s.in_c + start;
                        let product = Product {
                            rows: slice.len(),
                            input: rows.as_ptr().cast::<u16>().wrapping_add(shift).cast(),
                            channels: channels.clone(),
                            gradient: gradients.as_ptr().cast(),
                            places,
                            // SAFETY: a row of the result.
                            sums: unsafe { sums.add(first * s.out_c) },
                            store,
                        };
                        // SAFETY: what the taps of the phase reach is laid out, and the sums are this task's.
                        unsafe { self.multiply(&product, &registers) };
                    }
                }
            }
        }
    }

    /// Sets a tap's sums of `channels` to 0.
    fn clear(&self, sums: *mut f32, [ky, kx]: [usize; 2], channels: &Range<usize>) {
        let s = &self.shape;
        for row in 0..s.in_c {
            let row = (ky * s.kernel[1] + kx) * s.in_c + row;
            // SAFETY: sums of the task's filter rows and output channels, by the contract of `sum`.
            unsafe { sums.add(row * s.out_c + channels.start).write_bytes(0, channels.len()) };
        }
    }

    /// Lists the pixels of the gradient at the places of `lines`.
    fn list_outputs(&self, lines: &Range<usize>, list: &mut [Pixel]) {
        let s = &self.shape;
        for (line, list) in list.chunks_mut(self.columns.pitch).enumerate() {
            let line = lines.start + line;
            let row = self.lines.output(line).filter(|_| line < lines.end);
            for (column, pixel) in list.iter_mut().enumerate() {
                *pixel = row.filter(|_| column < self.columns.outputs).map_or(PAST, |(image, row)| {
                    ((image * self.lines.outputs + row) * self.columns.outputs + column) * s.out_c
                });
            }
        }
    }

    /// Lists the pixels of a phase of the input that `lines` meet, from the lowest place on.
    fn list_inputs(&self, lines: &Range<usize>, phase: [usize; 2], list: &mut [Pixel]) {
        let s = &self.shape;
        let pitch = self.columns.pitch as isize;
        let first = (lines.start as isize - self.lines.low as isize) * pitch - self.columns.low as isize;
        let (mut line, mut column) = (first.div_euclid(pitch), first.rem_euclid(pitch) as usize);
        let row_of = |line: isize| self.lines.input(line, phase[0]).filter(|&(image, _)| image < s.batch);
        let mut row = row_of(line);
        for pixel in list {
            *pixel = (row.zip(self.columns.inside(column, phase[1])))
                .map_or(PAST, |((image, row), input)| ((image * s.in_h + row) * s.in_w + input) * s.in_c);
            column += 1;
            if column == self.columns.pitch {
                (line, column) = (line + 1, 0);
                row = row_of(line);
            }
        }
    }

    /// Multiplies rows of the input with panels of the gradient.
    ///
    /// # Safety
    /// They are packed, and the product's sums are the task's own.
    unsafe fn multiply(&self, product: &Product, registers: &Registers) {
        let (width, out_c) = (self.panel(), self.shape.out_c);
        for (unit, first) in product.channels.clone().step_by(width).enumerate() {
            for strip in strips(self.isa, product.rows) {
                let mut results = [std::ptr::null_mut(); amx::TALLEST];
                // SAFETY: the caller's promise.
                unsafe {
                    for (result, row) in results.iter_mut().zip(strip.clone()) {
                        *result = product.sums.add(row * out_c + first);
                    }
                    let tile = amx::Tile {
                        rows: product.input.add(strip.start * self.row()),
                        stride: self.row(),
                        panel: product.gradient.add(unit * width * product.places / 2),
                        stretches: 1,
                        steps: product.places / (2 * amx::DEPTH),
                        gap: 0,
                        results: &results[..strip.len()],
                        columns: width.min(product.channels.end - first),
                        store: product.store,
                    };
                    registers.run(self.isa, &tile);
                }
            }
        }
    }
}

/// A product of input channels by output channels.
struct Product {
    /// Input channels.
    rows: usize,
    /// The first row, shifted to the tap.
    input: *const u32,
    /// Output channels.
    channels: Range<usize>,
    gradient: *const u32,
    places: usize,
    /// The first row of results.
    sums: *mut f32,
    store: Store,
}

/// Writes the pairs of `n <= LANES` channels of two pixels.
///
/// # Safety
/// The pixels' channels from `from` on are readable, `to` has room for a vector.
#[inline(always)]
unsafe fn line<P: Pairs>(_: P, from: *const u16, pixels: [Pixel; 2], n: usize, to: *mut u32) {
    let lanes = <P::S as Simd>::LANES;
    // SAFETY: the caller's promise.
    unsafe {
        if pixels == [PAST; 2] {
            to.write_bytes(0, lanes);
        } else if n == lanes {
            let (mut x, mut y) = ([0u16; MAX_LANES], [0u16; MAX_LANES]);
            for (values, pixel) in [&mut x, &mut y].into_iter().zip(pixels) {
                if let Some(pixel) = there(pixel) {
                    for (i, value) in values.iter_mut().take(lanes).enumerate() {
                        *value = from.add(pixel + i).read();
                    }
                }
            }
            for i in 0..lanes {
                to.add(i).write(pair(x[i], y[i]));
            }
        } else {
            let [first, second] = pixels.map(there);
            for i in 0..lanes {
                let value =
                    |pixel: Option<usize>| pixel.filter(|_| i < n).map_or(0, |p| from.add(p + i).read());
                to.add(i).write(pair(value(first), value(second)));
            }
        }
    }
}

/// Packs pairs of pixels into panels of `width` channels, one line a pair; the last panel's lines are whole vectors.
struct Gradient<'a> {
    from: *const u16,
    pixels: &'a [Pixel],
    channels: Range<usize>,
    width: usize,
    to: *mut u32,
}

impl WithPairs for Gradient<'_> {
    #[inline(always)]
    unsafe fn call<P: Pairs>(self, pairs: P) {
        let Gradient { from, pixels, channels, width, to } = self;
        let lanes = <P::S as Simd>::LANES;
        let lines = pixels.len() / 2;
        for (p, two) in pixels.chunks_exact(2).enumerate() {
            let ahead = pixels[(2 * p + AHEAD).min(pixels.len())..].iter().take(2);
            for ahead in ahead.filter_map(|&pixel| there(pixel)) {
                let ahead = from.wrapping_add(ahead + channels.start);
                (0..channels.len()).step_by(2 * lanes).for_each(|i| prefetch(ahead.wrapping_add(i).cast()));
            }
            for first in (0..channels.len()).step_by(lanes) {
                let panel = first / width;
                let columns = width.min(channels.len() - panel * width).next_multiple_of(lanes);
                let n = lanes.min(channels.len() - first);
                // SAFETY: the pixels' channels lie in the gradient; `to` has room for whole panels.
                unsafe {
                    let to = to.add(panel * width * lines + p * columns + first % width);
                    line(pairs, from.wrapping_add(channels.start + first), [two[0], two[1]], n, to);
                }
            }
        }
    }
}

/// Packs pairs of pixels into a row for each channel.
struct Input<'a> {
    from: *const u16,
    pixels: &'a [Pixel],
    channels: Range<usize>,
    to: *mut u32,
    /// Words from one row to the next.
    row: usize,
}

impl WithPairs for Input<'_> {
    #[inline(always)]
    unsafe fn call<P: Pairs>(self, pairs: P) {
        let Input { from, pixels, channels, to, row } = self;
        let lanes = <P::S as Simd>::LANES;
        let mut square = [0u32; MAX_LANES * MAX_LANES];
        for (p, group) in pixels.chunks_exact(2 * lanes).enumerate() {
            for pixel in
                pixels[2 * lanes * (p + 1)..].iter().take(2 * lanes).filter_map(|&pixel| there(pixel))
            {
                let ahead = from.wrapping_add(pixel + channels.start);
                (0..channels.len()).step_by(2 * lanes).for_each(|i| prefetch(ahead.wrapping_add(i).cast()));
            }
            for c in (0..channels.len()).step_by(lanes) {
                let n = lanes.min(channels.len() - c);
                // SAFETY: the pixels' channels lie in the input; `to` has room for the rows.
                unsafe {
                    for (two, to) in group.chunks_exact(2).zip(square.chunks_exact_mut(lanes)) {
                        let from = from.wrapping_add(channels.start + c);
                        line(pairs, from, [two[0], two[1]], n, to.as_mut_ptr());
                    }
                    let to = to.add(c * row + p * lanes).cast();
                    pairs.simd().transpose(square.as_ptr().cast(), lanes, lanes, n, to, row);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every product of the definition, and no other, is one of a place of the gradient with the place of the input that
    /// the tap's offset leads to.
    #[test]
    fn offsets_lead_from_outputs_to_the_inputs_that_taps_meet() {
        let mut met = 0;
        for stride in 1..=3 {
            for dilation in 1..=2 {
                for (k, low, high) in
                    [(1, 0, 0), (2, 0, 1), (3, 1, 1), (4, 0, 0), (4, 1, 2), (5, 4, 0), (3, 7, 5)]
                {
                    for size in [5, 8, 9] {
                        let shape = ConvShape {
                            batch: 2,
                            in_h: size,
                            in_w: size,
                            in_c: 1,
                            out_c: 1,
                            kernel: [k, k],
                            stride: [stride; 2],
                            pad_low: [low; 2],
                            pad_high: [high; 2],
                            dilation: [dilation; 2],
                            groups: 1,
                        };
                        if shape.validate().is_err() {
                            continue;
                        }
                        let places = Places::new(&shape, 0);
                        for (tap, offset) in places.taps.iter().enumerate() {
                            for place in 0..2 * places.pitch {
                                let Some((image, output)) = places.output(place) else { continue };
                                let at = (output * stride + tap * dilation).wrapping_sub(low);
                                let expected = (at < size).then_some((image, at));
                                let got = offset.and_then(|offset| {
                                    let place = (place + offset.shift) as isize - places.low as isize;
                                    places.input(place, offset.phase)
                                });
                                assert_eq!(got, expected, "tap {tap} at {place} of {shape:?}: {places:?}");
                                met += usize::from(got.is_some());
                            }
                        }
                    }
                }
            }
        }
        assert!(met > 1000, "{met}");
    }
}
