//! Forward pass and input gradient in mixed precision.
//!
//! Stage 0 packs weights in the order of the tiles, `[panel][tap][pair of source channels][channel of the panel]`, and
//! the source image as NHWC with pairs of channels, an odd last one followed by 0, unless it is stored so. Stage 1 is
//! the gather of f32 convolutions over an image of pairs. Where the matrix unit multiplies, a task first copies what the
//! pixels of a few tiles meet into rows, as the unit wants them, which all panels then share; each tap's pairs are filled
//! up to whole steps.

use super::super::gather::{Gather, GatherTask, Image, Row, SRC, TapWalk, WEIGHTS, share};
use super::computes;
use crate::conv::ConvShape;
use crate::isa::Isa;
use crate::kernel::{Element, Kernel, Mixed, OperandSpec, Operands};
use crate::pairs::amx::{self, Registers};
use crate::pairs::pack::{self, Block, Panel, Rows, Source};
use crate::pairs::simd::{PairIsa, Pairs, WithPairs, run_pairs_on};
use crate::pairs::tile::{self, MAX_ROWS, Store, Tile, Walk};
use crate::simd::Simd;

/// Operand numbers, beside those of the gather.
const OUT: usize = 2;
const PACKED: usize = 3;
const IMAGE: usize = 4;

/// Tasks that pack the weights, and that pack the image.
const PACK_TASKS: usize = 32;

/// Words of rows that a task copies for the matrix unit at a time, at least those of a tile: half an L2 cache of 1 MiB.
/// All panels of weights pass once for them.
const ROW_WORDS: usize = 128 << 10;

/// The forward pass or the input gradient of a convolution of operands rounded to bf16, summed in f32.
///
/// Operands: the source image read, `w [KH, KW, C_in, C_out]` read, the result written, then workspaces for packed
/// weights and, unless it is stored as pairs, the image. Errors are bounded as [`mod@crate::pairs`] says, plus, where the
/// result is stored as bf16, one rounding to bf16.
#[derive(Clone, Debug)]
pub struct MixedConv {
    isa: PairIsa,
    name: &'static str,
    flops: u64,
    mixed: Mixed,
    /// The gather over words of pairs.
    gather: Gather,
    /// The source image in channels.
    source: Image,
    pixels: usize,
    weights: usize,
    results: usize,
}

impl MixedConv {
    /// The forward pass `y = conv(x, w)`; operands `x`, `w`, `y`. `None` where only
    /// [`ConvForward`](crate::conv::ConvForward) computes it: invalid shapes, groups, fewer than 16 channels, and a
    /// result stored as bf16 whose pixels would begin in the middle of a word.
    pub fn forward(isa: Isa, shape: ConvShape, mixed: Mixed) -> Option<Self> {
        Self::on(PairIsa::of(isa), shape, mixed, true)
    }

    /// The input gradient `dx` of `<conv(x, w), dy>`; operands `dy`, `w`, `dx`. `None` as for [`MixedConv::forward`].
    pub fn input_grad(isa: Isa, shape: ConvShape, mixed: Mixed) -> Option<Self> {
        Self::on(PairIsa::of(isa), shape, mixed, false)
    }

    pub(super) fn on(isa: PairIsa, shape: ConvShape, mixed: Mixed, forward: bool) -> Option<Self> {
        if !computes(&shape) {
            return None;
        }
        let mut gather =
            if forward { Gather::forward(isa.isa, &shape) } else { Gather::input_grad(isa.isa, &shape) };
        let source = gather.src;
        if mixed.out == Element::Bf16 && !gather.out.c.is_multiple_of(2) {
            return None;
        }
        gather.src.c = source.c.div_ceil(2);
        gather.out_pixel = mixed.out.words(gather.out.c);
        Some(Self {
            isa,
            name: if forward { "conv.forward.bf16" } else { "conv.input_grad.bf16" },
            flops: shape.flops(),
            mixed,
            pixels: shape.batch * source.h * source.w,
            weights: shape.weight_words(),
            results: if forward { shape.output_words() } else { shape.input_words() },
            source,
            gather,
        })
    }

    /// Whether the image is read where it lies.
    fn in_place(&self) -> bool {
        self.mixed.a == Element::Bf16 && self.source.c.is_multiple_of(2)
    }

    /// Channels of the packed weights, in whole vectors.
    fn columns(&self) -> usize {
        self.gather.out.c.next_multiple_of(self.isa.lanes())
    }

    fn taps(&self) -> usize {
        self.gather.kernel[0] * self.gather.kernel[1]
    }

    /// Lines of a tap in a panel.
    fn tap_lines(&self) -> usize {
        self.isa.padded(self.gather.src.c)
    }

    /// Words from one row to the next of those that a task copies for the matrix unit: an odd number of cache lines, as
    /// rows a power of two apart would share few sets of the cache.
    fn row_stride(&self) -> usize {
        ((self.taps() * self.tap_lines() / amx::DEPTH) | 1) * amx::DEPTH
    }

    /// Rows that a task copies at a time.
    fn copied_rows(&self) -> usize {
        (ROW_WORDS / self.row_stride() / amx::TALLEST).max(1) * amx::TALLEST
    }

    /// Pieces of the weights: a panel at one tap.
    fn pieces(&self) -> usize {
        self.gather.panels() * self.taps()
    }

    fn weight_tasks(&self) -> usize {
        self.pieces().min(PACK_TASKS)
    }

    fn image_tasks(&self) -> usize {
        if self.in_place() { 0 } else { self.pixels.min(PACK_TASKS) }
    }

    /// # Safety
    /// As [`Kernel::run`].
    unsafe fn pack_weights(&self, task: usize, operands: &Operands<'_>) {
        let (gather, taps, lines) = (&self.gather, self.taps(), self.tap_lines());
        let [src_step, out_step, _] = gather.weight_steps;
        let kw = gather.kernel[1];
        for piece in share(self.pieces(), task, self.weight_tasks()) {
            let (panel, tap) = (piece / taps, piece % taps);
            let first = panel * gather.panel_width();
            let columns = gather.panel_width().min(gather.out.c - first);
            let step = columns.next_multiple_of(self.isa.lanes());
            let from = (gather.axes[0].order[tap / kw] * kw + gather.axes[1].order[tap % kw])
                * gather.tap_words
                + first * out_step;
            // SAFETY: the tap's channels lie in the weights; pieces are disjoint ranges of the workspace.
            unsafe {
                let from = Source::new(self.mixed.b, operands.ptr(WEIGHTS)).add(from);
                let to = operands.ptr(PACKED).cast::<u32>().add((first * taps + tap * step) * lines);
                let block = Block { from, steps: [src_step, out_step], depth: self.source.c, columns };
                pack::run(self.isa, Panel { block, lines, to });
            }
        }
    }

    /// # Safety
    /// As [`Kernel::run`].
    unsafe fn pack_image(&self, task: usize, operands: &Operands<'_>) {
        let pixels = share(self.pixels, task, self.image_tasks());
        let (channels, pairs) = (self.source.c, self.gather.src.c);
        // SAFETY: the pixels lie in the image and, as pairs, in the workspace; each task owns its own.
        unsafe {
            let from = Source::new(self.mixed.a, operands.ptr(SRC)).add(pixels.start * channels);
            let to = operands.ptr(IMAGE).cast::<u32>().add(pixels.start * pairs);
            // Pixels of whole pairs are one row: whole vectors whatever the number of channels.
            let (depth, columns) = if channels.is_multiple_of(2) {
                (pixels.len() * channels, 1)
            } else {
                (channels, pixels.len())
            };
            let block = Block { from, steps: [1, depth], depth, columns };
            pack::run(self.isa, Rows { block, to, stride: pairs, words: depth.div_ceil(2) });
        }
    }

    /// # Safety
    /// As [`Kernel::run`].
    unsafe fn multiply(&self, task: usize, operands: &Operands<'_>, rows: *mut Row) {
        let gather = &self.gather;
        let image = if self.in_place() { SRC } else { IMAGE };
        let parts = [image, WEIGHTS, OUT].map(|i| (operands.ptr(i), operands.words(i)));
        let packed = operands.ptr(PACKED).cast_const().cast::<u32>();
        let operands = Operands::new(&parts);
        let task = GatherTask {
            plan: gather,
            blocks: &gather.blocks[gather.block_tasks[task / gather.parts].clone()],
            units: share(gather.panels(), task % gather.parts, gather.parts),
            operands: &operands,
            rows,
            sink: None,
        };
        if self.isa.tiles() {
            // SAFETY: this task's scratch, behind the list of rows, and the contract of this function.
            unsafe {
                let copies = rows.cast::<u32>().add(gather.local_words().next_multiple_of(amx::DEPTH));
                return self.multiply_tiles(&task, packed, copies);
            }
        }
        for block in task.blocks {
            // SAFETY: this task's scratch, the image of pairs in the place of the source, and the result.
            unsafe { task.list_rows(block) };
            let walk = gather.walk(block);
            let tile_walk = Walk {
                rows: walk.rows,
                row_step: walk.row_step,
                runs: walk.runs,
                run_step: walk.run_step,
                run_words: walk.run_words,
                gap: walk.row_taps * walk.channels - walk.runs * walk.run_words,
                step: 1,
            };
            for unit in task.units.clone() {
                let first = unit * gather.panel_width();
                let columns = gather.panel_width().min(gather.out.c - first);
                let step = columns.next_multiple_of(self.isa.lanes());
                let at = (first * self.taps() + walk.tap_first * step) * walk.channels;
                for strip in tile::strips(self.isa, block.count) {
                    let mut tile = Tile {
                        walk: tile_walk,
                        sources: [std::ptr::null(); MAX_ROWS],
                        results: [std::ptr::null_mut(); MAX_ROWS],
                        // SAFETY: `tap_first < taps`, so this is inside the panel.
                        panel: unsafe { packed.add(at) },
                        columns,
                        store: if self.mixed.out == Element::F32 { Store::Write } else { Store::Round },
                    };
                    for (r, row) in strip.clone().enumerate() {
                        // SAFETY: the block's rows were listed; a panel begins at an even channel, so at a whole word.
                        unsafe {
                            let row = rows.add(row).read();
                            tile.sources[r] = row.src.cast();
                            tile.results[r] = row.out.add(self.mixed.out.words(first));
                        }
                    }
                    // SAFETY: the walk stays in the image by the classes' construction; blocks and units cut the output
                    // into disjoint pieces.
                    unsafe { tile::run(self.isa, strip.len(), &tile) };
                }
            }
        }
    }
}

impl MixedConv {
    /// As [`MixedConv::multiply`], on the matrix unit.
    ///
    /// # Safety
    /// As for it; `copies` has room for the rows that are copied at a time.
    unsafe fn multiply_tiles(&self, task: &GatherTask<'_>, packed: *const u32, copies: *mut u32) {
        let (gather, lines, stride) = (&self.gather, self.tap_lines(), self.row_stride());
        let store = if self.mixed.out == Element::F32 { Store::Write } else { Store::Round };
        // SAFETY: the unit was granted.
        let registers = unsafe { Registers::configure() };
        for block in task.blocks {
            // SAFETY: this task's scratch, the image of pairs in the place of the source, and the result.
            unsafe { task.list_rows(block) };
            let walk = gather.walk(block);
            // SAFETY: the block's rows were listed.
            let rows = unsafe { std::slice::from_raw_parts(task.rows, block.count) };
            for rows in rows.chunks(self.copied_rows()) {
                // SAFETY: the walk stays in the image by the classes' construction, and the copies have room.
                unsafe { run_pairs_on(self.isa, CopyRows { walk: &walk, lines, rows, to: copies, stride }) };
                for unit in task.units.clone() {
                    let first = unit * gather.panel_width();
                    let columns = gather.panel_width().min(gather.out.c - first);
                    let step = columns.next_multiple_of(self.isa.lanes());
                    for (i, rows) in rows.chunks(amx::TALLEST).enumerate() {
                        let mut results = [std::ptr::null_mut(); amx::TALLEST];
                        // SAFETY: a panel begins at an even channel, so at a whole word; `tap_first < taps`, so the
                        // lines are inside the panel; blocks and units cut the output into disjoint pieces.
                        unsafe {
                            for (result, row) in results.iter_mut().zip(rows) {
                                *result = row.out.add(self.mixed.out.words(first));
                            }
                            let results = &results[..rows.len()];
                            if walk.rows == 0 {
                                // No tap meets the image.
                                let zeros = self.mixed.out.words(columns);
                                results.iter().for_each(|out| out.write_bytes(0, zeros));
                                continue;
                            }
                            let row_lines = walk.runs * walk.run_words / walk.channels * lines;
                            let tile = amx::Tile {
                                rows: copies.add(i * amx::TALLEST * stride),
                                stride,
                                panel: packed.add((first * self.taps() + walk.tap_first * step) * lines),
                                stretches: walk.rows,
                                steps: row_lines / amx::DEPTH,
                                gap: walk.row_taps * lines - row_lines,
                                results,
                                columns,
                                store,
                            };
                            registers.run(self.isa, &tile);
                        }
                    }
                }
            }
        }
    }
}

/// Copies the words that each pixel's walk visits to rows, and fills up those of a tap with zeros to `lines`.
struct CopyRows<'a> {
    walk: &'a TapWalk,
    lines: usize,
    rows: &'a [Row],
    to: *mut u32,
    /// Words from one row to the next.
    stride: usize,
}

impl WithPairs for CopyRows<'_> {
    #[inline(always)]
    unsafe fn call<P: Pairs>(self, pairs: P) {
        let (simd, walk) = (pairs.simd(), self.walk);
        let lanes = <P::S as Simd>::LANES;
        // Taps that follow each other in both are one copy.
        let words = if self.lines == walk.channels { walk.run_words } else { walk.channels };
        let lines = if self.lines == walk.channels { words } else { self.lines };
        for (i, row) in self.rows.iter().enumerate() {
            // SAFETY: the caller's promise.
            unsafe {
                let mut to = self.to.add(i * self.stride).cast::<f32>();
                for y in 0..walk.rows {
                    for run in 0..walk.runs {
                        let from = row.src.add(y * walk.row_step + run * walk.run_step);
                        for tap in (0..walk.run_words).step_by(words) {
                            for at in (0..lines).step_by(lanes) {
                                let left = words - at;
                                let v = if left >= lanes {
                                    simd.load(from.add(tap + at))
                                } else {
                                    simd.load_first(from.add(tap + at), left)
                                };
                                simd.store(to.add(at), v);
                            }
                            to = to.add(lines);
                        }
                    }
                }
            }
        }
    }
}

// SAFETY: image and weights are only read; in stage 0 a task owns pieces of the packed weights or pixels of the packed
// image, in stage 1 its blocks' pixels of the result or a share of their panels. Panels and, as channels are even then,
// pixels of a result stored as bf16 are whole words.
unsafe impl Kernel for MixedConv {
    fn name(&self) -> &'static str {
        self.name
    }

    fn flops(&self) -> u64 {
        self.flops
    }

    fn operands(&self) -> Vec<OperandSpec> {
        let pairs = self.gather.src.c;
        let mut specs = vec![
            OperandSpec::read(self.mixed.a.words(self.pixels * self.source.c)),
            OperandSpec::read(self.mixed.b.words(self.weights)),
            OperandSpec::write(self.mixed.out.words(self.results)),
            OperandSpec::workspace(self.taps() * self.tap_lines() * self.columns()),
        ];
        if !self.in_place() {
            specs.push(OperandSpec::workspace(self.pixels * pairs));
        }
        specs
    }

    fn stages(&self) -> usize {
        2
    }

    fn tasks(&self, stage: usize) -> usize {
        if stage == 0 {
            self.weight_tasks() + self.image_tasks()
        } else {
            self.gather.block_tasks.len() * self.gather.parts
        }
    }

    fn local_words(&self) -> usize {
        let list = self.gather.local_words();
        if self.isa.tiles() {
            list.next_multiple_of(amx::DEPTH) + self.copied_rows() * self.row_stride()
        } else {
            list
        }
    }

    unsafe fn run(&self, isa: Isa, stage: usize, task: usize, operands: &Operands<'_>, local: &mut [f32]) {
        assert_eq!(isa, self.isa.isa, "planned for another instruction set");
        // SAFETY: the caller's promises, which are the bodies' contracts.
        unsafe {
            if stage == 1 {
                assert!(local.len() >= self.local_words(), "too little local scratch");
                return self.multiply(task, operands, local.as_mut_ptr().cast());
            }
            match task.checked_sub(self.weight_tasks()) {
                None => self.pack_weights(task, operands),
                Some(task) => self.pack_image(task, operands),
            }
        }
    }
}
