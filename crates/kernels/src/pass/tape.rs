//! Code placed in a task's scratch, and its execution over one block.

use super::blocks::{Binary, Compare, MulAdd, Select, Source, Unary};
use super::code::{Instr, MAX_CODE, Reduce, Store};
use super::gate::{Gated, Step, steps};
use super::halves;
use super::plan::{BLOCK, Block, Domain, UNIFORM, View};
use crate::isa::Isa;
use crate::kernel::Element;
use crate::pairs;
use crate::simd::run_math_on;
use std::mem::MaybeUninit;

/// How the block of an input (a load, or the index along a dimension) is provided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Feed {
    /// A pointer into the operand: its words lie as the block's do.
    Direct,
    /// One word for the whole task, splat once.
    Uniform,
    /// One word for each block (of a single row), splat.
    RowUniform,
    /// Every row alike: filled once for a task.
    Periodic,
    /// Filled for each block.
    Rows,
}

impl Feed {
    /// How `view` is fed in blocks of one row or of many; `made` if its f32 words lie nowhere in memory.
    pub fn of(domain: &Domain, view: &View, many_rows: bool, made: bool) -> Feed {
        let every_row_alike =
            view.outer.iter().zip(&domain.outer).all(|(&stride, &size)| stride == 0 || size == 1);
        let constant = view.inner == 0 || domain.inner == 1;
        if every_row_alike && constant {
            Feed::Uniform
        } else if many_rows && every_row_alike {
            Feed::Periodic
        } else if !many_rows && constant {
            Feed::RowUniform
        } else if !made && view.inner == 1 && (!many_rows || domain.is_flat(view)) {
            Feed::Direct
        } else {
            Feed::Rows
        }
    }

    pub fn is_uniform(self) -> bool {
        matches!(self, Feed::Uniform | Feed::RowUniform)
    }
}

/// Where a value lives while a block runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// Nobody uses it.
    Unused,
    /// Provided by input `k`.
    Input(usize),
    /// At this word of the scratch.
    Scratch(usize),
    /// Computed in the memory of store `k`.
    Output(usize),
}

/// An input: a load, or the index along a dimension where `load` is none.
#[derive(Clone, Debug)]
pub(super) struct Input {
    pub value: usize,
    pub load: Option<usize>,
    pub view: View,
    pub feed: Feed,
    /// How the operand's elements are stored.
    pub element: Element,
    /// Its words in the scratch, if it is not direct.
    pub scratch: usize,
}

/// Code with a place for every value.
#[derive(Clone, Debug)]
pub(super) struct Tape {
    /// Step `k` makes value `k`.
    steps: Vec<Step>,
    place: Vec<Place>,
    uniform: Vec<bool>,
    pub inputs: Vec<Input>,
    /// Which load each store may take over: what was asked, less what the code does not allow.
    pub aliases: Vec<Option<usize>>,
    store_values: Vec<usize>,
    store_elements: Vec<Element>,
    /// Words of scratch.
    pub scratch: usize,
    /// Steps that run over every block.
    busy: usize,
}

impl Tape {
    /// Places every value. `view_of` gives the view, feed and storage of a load or an index instruction (none for the
    /// index along a dimension of size 1); `direct_store` says whether blocks of outputs lie in the operand as
    /// in the block.
    pub fn new(
        code: &[Instr],
        stores: &[Store],
        reduces: &[Reduce],
        view_of: impl Fn(Instr) -> Option<(View, Feed, Element)>,
        direct_store: bool,
    ) -> Tape {
        let end = code.len();
        let results = || stores.iter().map(|s| s.value).chain(reduces.iter().map(|r| r.value));
        let steps = steps(code, results());
        let mut last_use: Vec<Option<usize>> = vec![None; end];
        for value in results() {
            last_use[value] = Some(end);
        }
        for k in (0..end).rev() {
            if last_use[k].is_some() {
                for v in steps[k].uses() {
                    last_use[v] = last_use[v].max(Some(k));
                }
            }
        }
        // A load that is stored or reduced as it is, is read after other stores wrote.
        let read_late = |load: usize, store: Option<usize>| {
            let is_load = |v: usize| code[v] == Instr::Load(load);
            stores.iter().enumerate().any(|(j, s)| Some(j) != store && is_load(s.value))
                || reduces.iter().any(|r| is_load(r.value))
        };
        let aliases: Vec<Option<usize>> = stores
            .iter()
            .enumerate()
            .map(|(j, s)| s.alias.filter(|&load| !read_late(load, Some(j))))
            .collect();
        let load_last = |load: usize| {
            let reads = (0..end).filter(|&k| code[k] == Instr::Load(load));
            reads.filter_map(|k| last_use[k]).max().unwrap_or(0)
        };

        let mut tape = Tape {
            steps: Vec::new(),
            place: vec![Place::Unused; end],
            uniform: vec![false; end],
            inputs: Vec::new(),
            aliases,
            store_values: stores.iter().map(|s| s.value).collect(),
            store_elements: stores.iter().map(|s| s.element).collect(),
            scratch: 0,
            busy: 0,
        };
        // Released scratch blocks, by their first word.
        let mut free: Vec<usize> = Vec::new();
        for k in 0..end {
            if last_use[k].is_none() {
                continue;
            }
            let step = &steps[k];
            if let Step::Plain(instr) = *step
                && let Some((view, feed, element)) = view_of(instr)
            {
                tape.uniform[k] = feed.is_uniform();
                tape.place[k] = Place::Input(tape.inputs.len());
                let scratch = match feed {
                    Feed::Direct => 0,
                    Feed::Uniform | Feed::RowUniform => tape.take(UNIFORM),
                    Feed::Periodic | Feed::Rows => tape.take(BLOCK),
                };
                let load = if let Instr::Load(i) = instr { Some(i) } else { None };
                tape.inputs.push(Input { value: k, load, view, feed, element, scratch });
                continue;
            }
            tape.uniform[k] = step.uses().all(|v| tape.uniform[v]);
            // Operands that end here give their block to the result: elements are read before they are written.
            let mut ended: Vec<usize> = step.uses().filter(|&v| last_use[v] == Some(k)).collect();
            ended.sort_unstable();
            ended.dedup();
            for v in ended {
                if let Place::Scratch(at) = tape.place[v]
                    && !tape.uniform[v]
                {
                    free.push(at);
                }
            }
            let output = (0..stores.len())
                .filter(|&j| stores[j].value == k && stores[j].element == Element::F32)
                .find(|&j| tape.aliases[j].is_none_or(|load| load_last(load) <= k));
            tape.busy += usize::from(!tape.uniform[k]);
            tape.place[k] = match output {
                _ if tape.uniform[k] => Place::Scratch(tape.take(UNIFORM)),
                Some(j) if direct_store => Place::Output(j),
                _ => Place::Scratch(free.pop().unwrap_or_else(|| tape.take(BLOCK))),
            };
        }
        tape.steps = steps;
        tape
    }

    fn take(&mut self, words: usize) -> usize {
        self.scratch += words;
        self.scratch - words
    }
}

/// The running state of one task.
pub(super) struct Frame<'a> {
    tape: &'a Tape,
    domain: &'a Domain,
    isa: Isa,
    scratch: *mut f32,
    /// Where each value of the code is; what is behind them is never looked at, nor written for every task.
    values: [MaybeUninit<Source>; MAX_CODE],
    ahead: Ahead,
}

/// Streams fetched ahead at most.
const STREAMS: usize = 16;
/// Words of a cache line on every target the kernels are written for.
const LINE: usize = 16;

/// The memory behind the present block, fetched while that goes through the code. Hardware does not do it: its
/// prefetchers stop at the ends of pages, which are as long as a block, and memory would wait for the arithmetic.
struct Ahead {
    /// Where each begins, and how its elements are stored.
    streams: [(*const f32, Element); STREAMS],
    count: usize,
    /// Lines fetched so far, in the order of streams.
    done: usize,
}

impl Ahead {
    fn push(&mut self, at: *const f32, element: Element) {
        if self.count < STREAMS {
            self.streams[self.count] = (at, element);
            self.count += 1;
        }
    }

    /// Fetches up to the `share`-th of `shares` parts of all lines of blocks of `n` elements.
    fn fetch(&mut self, n: usize, share: usize, shares: usize) {
        let streams = &self.streams[..self.count];
        let all: usize = streams.iter().map(|s| lines(s.1, n)).sum();
        let end = all * share / shares.max(1);
        let mut first = 0;
        for &(start, element) in streams {
            let lines = lines(element, n);
            while self.done < end.min(first + lines) {
                crate::simd::prefetch(start.wrapping_add((self.done - first) * LINE));
                self.done += 1;
            }
            first += lines;
        }
    }
}

/// Cache lines that `n` elements take.
fn lines(element: Element, n: usize) -> usize {
    element.words(n).div_ceil(LINE)
}

impl<'a> Frame<'a> {
    /// Starts a task: constants and inputs that stay the same are filled in. `base` gives the start of a load's
    /// operand, `rows` the most rows of a block.
    ///
    /// # Safety
    /// `scratch` has `tape.scratch` words of this task alone; operands are as long as the loads say; the CPU
    /// supports `isa`.
    pub unsafe fn new(
        tape: &'a Tape,
        domain: &'a Domain,
        isa: Isa,
        scratch: *mut f32,
        rows: usize,
        base: impl Fn(usize) -> *const f32,
    ) -> Frame<'a> {
        let mut values = [const { MaybeUninit::uninit() }; MAX_CODE];
        for (k, place) in tape.place.iter().enumerate() {
            values[k].write(Source { ptr: std::ptr::null(), step: 1 });
            if let Place::Scratch(at) = *place {
                // SAFETY: the place lies inside the scratch.
                let ptr = unsafe { scratch.add(at) };
                values[k].write(Source { ptr, step: usize::from(!tape.uniform[k]) });
                // What is left of indices are those along dimensions of size 1, which are 0.
                let word = if let Step::Plain(Instr::Const(word)) = tape.steps[k] { word } else { 0 };
                if tape.uniform[k] {
                    // SAFETY: uniform values have `UNIFORM` words.
                    unsafe { splat(ptr, f32::from_bits(word), UNIFORM) };
                }
            }
        }
        for input in &tape.inputs {
            // SAFETY: as above.
            let ptr = unsafe { scratch.add(input.scratch) };
            values[input.value].write(Source { ptr, step: usize::from(!input.feed.is_uniform()) });
            let whole = Block { row: 0, rows, column: 0, words: domain.inner };
            match input.feed {
                // SAFETY: row 0 is inside the operand, as all rows are.
                Feed::Uniform => unsafe {
                    splat(ptr, first(domain, input, input.load.map(&base), whole), UNIFORM)
                },
                // SAFETY: a block of many rows has at most `BLOCK` words.
                Feed::Periodic => unsafe { fill(isa, domain, input, input.load.map(&base), whole, ptr) },
                Feed::Direct | Feed::RowUniform | Feed::Rows => {}
            }
        }
        let ahead = Ahead { streams: [(std::ptr::null(), Element::F32); STREAMS], count: 0, done: 0 };
        Frame { tape, domain, isa, scratch, values, ahead }
    }

    /// Runs the code over one block. `base` gives the start of a load's operand, `target` where the block of a
    /// store goes if that is contiguous. `next` is a block that follows, to be fetched meanwhile, and the words by
    /// which its stores lie behind those of this one.
    ///
    /// # Safety
    /// As for [`Frame::new`]; targets have the block's words, which no other task touches.
    pub unsafe fn run(
        &mut self,
        block: Block,
        next: Option<(Block, isize)>,
        base: impl Fn(usize) -> *const f32,
        target: impl Fn(usize) -> *mut f32,
    ) {
        let n = block.len();
        self.ahead.count = 0;
        for input in &self.tape.inputs {
            let from = input.load.map(&base);
            // SAFETY: the block lies in the domain, so its words lie in the operand; the scratch is ours.
            unsafe {
                let ptr = self.scratch.add(input.scratch);
                match input.feed {
                    Feed::Uniform | Feed::Periodic => {}
                    Feed::Direct => {
                        let at = self.domain.row_start(&input.view, block.row) + block.column as isize;
                        self.point(input, from.map_or(std::ptr::null(), |p| p.offset(at)));
                        if let (Some((next, _)), Some(from)) = (next, from) {
                            let at = self.domain.row_start(&input.view, next.row) + next.column as isize;
                            self.ahead.push(from.wrapping_offset(at), Element::F32);
                        }
                    }
                    Feed::RowUniform => splat(ptr, first(self.domain, input, from, block), UNIFORM),
                    Feed::Rows => {
                        fill(self.isa, self.domain, input, from, block, ptr);
                        // Rows of f32 are those that do not follow each other in memory.
                        if let (Some((next, _)), Some(from), Element::Bf16) = (next, from, input.element) {
                            let at = self.domain.row_start(&input.view, next.row) + next.column as isize;
                            let from = halves::element_beyond(Element::Bf16, from.cast_mut(), at);
                            self.ahead.push(from, Element::Bf16);
                        }
                    }
                }
            }
        }
        if let Some((_, distance)) = next {
            for j in (0..self.tape.aliases.len()).filter(|&j| self.tape.aliases[j].is_none()) {
                let element = self.tape.store_elements[j];
                self.ahead.push(halves::element_beyond(element, target(j), distance), element);
            }
        }
        // SAFETY: inputs are provided; the rest is forwarded from the caller.
        unsafe { self.compute(n, target) }
    }

    /// Provides the block of an input that is not uniform from elsewhere.
    pub fn point(&mut self, input: &Input, ptr: *const f32) {
        self.values[input.value].write(Source { ptr, step: 1 });
    }

    /// Runs the code over `n` words, whose inputs have been provided.
    ///
    /// # Safety
    /// As for [`Frame::new`]; inputs that are not uniform have `n` words, at most [`BLOCK`], and so have targets,
    /// which no other task touches.
    pub unsafe fn compute(&mut self, n: usize, target: impl Fn(usize) -> *mut f32) {
        let (tape, mut step) = (self.tape, 0);
        self.ahead.done = 0;
        for (k, made) in tape.steps.iter().enumerate() {
            let dst = match tape.place[k] {
                Place::Unused | Place::Input(_) => continue,
                // SAFETY: the place lies inside the scratch.
                Place::Scratch(at) => unsafe { self.scratch.add(at) },
                Place::Output(j) => {
                    let dst = target(j);
                    self.values[k].write(Source { ptr: dst, step: 1 });
                    dst
                }
            };
            let words = n;
            let n = if self.tape.uniform[k] { UNIFORM } else { n };
            if !self.tape.uniform[k] {
                step += 1;
                self.ahead.fetch(words, step, tape.busy);
            }
            // SAFETY: sources have n words, or UNIFORM words and step 0; dst has n; dst is an operand's own
            // memory only where that operand ends.
            unsafe { self.execute(made, dst, n) };
        }
    }

    #[inline]
    unsafe fn execute(&self, step: &Step, dst: *mut f32, n: usize) {
        let v = |value: usize| self.value(value);
        let instr = match *step {
            Step::Plain(instr) => instr,
            // SAFETY: the caller's promise is what a gate asks for; constants are uniform.
            Step::Gate(gate) => return unsafe { run_math_on(self.isa, Gated { gate: gate.map(v), dst, n }) },
        };
        // SAFETY: the caller's promise is what the blocks ask for.
        unsafe {
            match instr {
                // Filled in when the task began.
                Instr::Load(_) | Instr::Const(_) | Instr::Iota(_) => {}
                Instr::Unary(op, a) => run_math_on(self.isa, Unary { op, a: v(a), dst, n }),
                Instr::Binary(op, a, b) => run_math_on(self.isa, Binary { op, a: v(a), b: v(b), dst, n }),
                Instr::MulAdd(a, b, c) => {
                    run_math_on(self.isa, MulAdd { a: v(a), b: v(b), c: v(c), dst, n });
                }
                Instr::Compare(op, lane, a, b) => {
                    run_math_on(self.isa, Compare { op, lane, a: v(a), b: v(b), dst, n });
                }
                Instr::Select(c, a, b) => {
                    run_math_on(self.isa, Select { c: v(c), a: v(a), b: v(b), dst, n });
                }
            }
        }
    }

    /// After [`Frame::run`]: the words of a value.
    pub fn value(&self, value: usize) -> Source {
        assert!(value < self.tape.place.len(), "a value of the code");
        // SAFETY: `new` writes the places of all values of the code.
        unsafe { self.values[value].assume_init() }
    }

    /// After [`Frame::run`]: copies the value of store `j` to `dst`, unless it was computed there.
    ///
    /// # Safety
    /// `dst` has `n` words, those handed to [`Frame::run`] if the stores are direct.
    pub unsafe fn store(&self, j: usize, dst: *mut f32, n: usize) {
        let value = self.tape.store_values[j];
        if self.tape.place[value] == Place::Output(j) {
            return;
        }
        // SAFETY: the caller's promise; source and target of f32 may be the same memory, values that become bf16 lie in
        // the scratch or in another operand.
        unsafe { self.write(j, self.value(value), dst, n) };
    }

    /// Writes `n` values as store `j` has its elements.
    #[inline]
    unsafe fn write(&self, j: usize, from: Source, dst: *mut f32, n: usize) {
        // SAFETY: the caller promises n elements on either side, one value if the step is 0.
        unsafe {
            match self.tape.store_elements[j] {
                Element::F32 => put(from, dst, n),
                Element::Bf16 => halves::narrow(self.isa, from, dst.cast(), n),
            }
        }
    }

    /// After [`Frame::run`]: copies the value of store `j` row by row to where `view` has the block.
    ///
    /// # Safety
    /// `out` is the operand of the store.
    pub unsafe fn store_rows(&self, j: usize, view: &View, out: *mut f32, block: Block) {
        let from = self.value(self.tape.store_values[j]);
        for r in 0..block.rows {
            let at = self.domain.row_start(view, block.row + r) + block.column as isize;
            // SAFETY: the block lies in the domain, so its rows lie in the output.
            unsafe {
                let row = Source { ptr: from.ptr.add(r * block.words * from.step), step: from.step };
                self.write(j, row, halves::element_at(self.tape.store_elements[j], out, at), block.words);
            }
        }
    }
}

/// Copies or repeats `n` words.
pub(super) unsafe fn put(from: Source, dst: *mut f32, n: usize) {
    // SAFETY: the caller promises n words on either side, one if the step is 0.
    unsafe {
        if from.step == 0 {
            splat(dst, *from.ptr, n);
        } else {
            std::ptr::copy(from.ptr, dst, n);
        }
    }
}

#[inline]
pub(super) unsafe fn splat(dst: *mut f32, word: f32, n: usize) {
    // SAFETY: the caller promises n words.
    unsafe { std::slice::from_raw_parts_mut(dst.cast::<u32>(), n).fill(word.to_bits()) }
}

/// The word of a block's first element: from the operand, or the index itself.
unsafe fn first(domain: &Domain, input: &Input, from: Option<*const f32>, block: Block) -> f32 {
    let at = domain.row_start(&input.view, block.row) + block.column as isize * input.view.inner;
    // SAFETY: the element lies in the domain.
    unsafe { from.map_or(f32::from_bits(at as u32), |p| halves::read(input.element, p, at)) }
}

/// Lays out a block of an input row by row.
unsafe fn fill(
    isa: Isa,
    domain: &Domain,
    input: &Input,
    from: Option<*const f32>,
    block: Block,
    dst: *mut f32,
) {
    let view = &input.view;
    if let (Some(p), Element::Bf16) = (from, input.element)
        && (block.rows == 1 && view.inner == 1 || domain.inner == block.words && domain.is_flat(view))
    {
        let at = domain.row_start(view, block.row) + block.column as isize;
        // SAFETY: the block lies in the domain, and its elements follow each other in the operand.
        unsafe { halves::widen(isa, p.cast::<u16>().offset(at), dst, block.len()) };
        return;
    }
    let (last_size, last_stride) = match (domain.outer.last(), view.outer.last()) {
        (Some(&size), Some(&stride)) => (size, stride),
        _ => (1, 0),
    };
    let mut row = 0;
    while row < block.rows {
        // Rows that differ in the last outer index only.
        let index = block.row + row;
        let run = (last_size - index % last_size).min(block.rows - row);
        let start = domain.row_start(view, index) + block.column as isize * view.inner;
        for r in 0..run {
            let at = start + r as isize * last_stride;
            // SAFETY: the rows lie in the domain; dst has the block's words.
            unsafe {
                let dst = dst.add((row + r) * block.words);
                match (from, input.element) {
                    (Some(p), Element::Bf16) => {
                        widen_row(isa, dst, p.cast(), at, view.inner, block.words);
                    }
                    _ => fill_row(dst, from, at, view.inner, block.words),
                }
            }
        }
        row += run;
    }
}

/// As [`fill_row`], from bf16.
#[inline]
unsafe fn widen_row(isa: Isa, dst: *mut f32, from: *const u16, at: isize, stride: isize, n: usize) {
    // SAFETY: the caller promises n words at dst, and elements inside the operand.
    unsafe {
        match stride {
            0 => splat(dst, pairs::widen(*from.offset(at)), n),
            1 => halves::widen(isa, from.offset(at), dst, n),
            _ => {
                for i in 0..n {
                    *dst.add(i) = pairs::widen(*from.offset(at + i as isize * stride));
                }
            }
        }
    }
}

#[inline]
unsafe fn fill_row(dst: *mut f32, from: Option<*const f32>, at: isize, stride: isize, n: usize) {
    // SAFETY: the caller promises n words at dst, and elements inside the operand.
    unsafe {
        match (from, stride) {
            (None, _) => {
                for i in 0..n {
                    *dst.add(i) = f32::from_bits((at + i as isize * stride) as u32);
                }
            }
            (Some(p), 0) => splat(dst, *p.offset(at), n),
            (Some(p), 1) => std::ptr::copy_nonoverlapping(p.offset(at), dst, n),
            (Some(p), _) => {
                for i in 0..n {
                    *dst.add(i) = *p.offset(at + i as isize * stride);
                }
            }
        }
    }
}
