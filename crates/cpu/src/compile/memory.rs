//! Finishes kernels and lays scratch values into one arena by their lifetimes.

use super::ir::{Call, Place, Slice, Value, ValueId, Work};
use crate::executor::MemoryMode;
use ganymede_kernels::kernel::Kernel;
use ganymede_kernels::machine::{Commit, SpaceId, Turn, View, turns};
use ganymede_kernels::pass::{Pass, PassError, PassSpec};
use std::sync::Arc;

/// Words of all memory of a program from which on its kernels find their operands outside the caches, or in the last
/// one at best: 8 MiB.
const FAR: usize = 2 << 20;

/// Words that arena offsets are multiples of: one cache line.
const LINE: usize = 16;

/// A kernel call with all operands.
#[derive(Debug)]
pub struct Finished {
    /// The kernel.
    pub kernel: Arc<dyn Kernel>,
    /// Every operand, workspaces included.
    pub operands: Vec<Slice<ValueId>>,
    /// Scope path and op.
    pub label: String,
}

/// The arena.
#[derive(Debug)]
pub struct Layout {
    /// First word of each scratch value (0 for others).
    pub offset: Vec<usize>,
    /// Length of the arena in words.
    pub words: usize,
}

/// First and last call, of those that touch a value or of those among which its memory may not be shared.
#[derive(Clone, Copy, Debug)]
struct Span {
    first: usize,
    last: usize,
}

/// Turns calls into kernels: workspaces are added, passes take over the memory of operands that end with them.
/// `gate` is read before call `commit`. In low memory values share memory although calls that might run at the same time
/// then need a barrier between them.
pub fn finish(
    calls: Vec<Call>,
    values: &mut Vec<Value>,
    gate: Option<(usize, ValueId)>,
    memory: MemoryMode,
) -> Result<(Vec<Finished>, Layout), (String, PassError)> {
    let mut kernels: Vec<Box<dyn Kernel>> = Vec::with_capacity(calls.len());
    let mut bound: Vec<Bound> = Vec::with_capacity(calls.len());
    for call in calls {
        let Call { work, mut operands, label } = call;
        let (mut kernel, mut pass) = (kernels.len(), None);
        match work {
            Work::Again(call) => kernel = bound[call].kernel,
            Work::Kernel(kernel) => kernels.push(kernel),
            Work::Contraction(kernel) => kernels.push(kernel),
            Work::Pass(spec) => {
                kernels.push(Box::new(Pass::new(spec.clone()).map_err(|e| (label.clone(), e))?));
                pass = Some(spec);
            }
        }
        for spec in &kernels[kernel].operands()[operands.len()..] {
            values.push(Value { words: spec.words, place: Place::Scratch });
            operands.push(Slice { value: values.len() - 1, offset: 0, words: spec.words });
        }
        bound.push(Bound { kernel, pass, operands, label });
    }
    let uses = Uses::of(&kernels, &bound, values.len(), gate, memory);
    // Values that took over another's memory point to it.
    let mut shares: Vec<ValueId> = (0..values.len()).collect();
    for (i, call) in bound.iter_mut().enumerate() {
        let Some(spec) = call.pass.take() else { continue };
        let taken = takeovers(&spec, &call.operands, values, &uses, i);
        if taken.iter().all(Option::is_none) {
            continue;
        }
        let pass = pass_with(spec, &taken).map_err(|e| (call.label.clone(), e))?;
        let (specs, loads) = (pass.operands(), pass.spec().loads.len());
        for (j, load) in taken.into_iter().enumerate() {
            if let Some(load) = load
                && specs[loads + j].may_alias == Some(load)
            {
                let (to, from) = (call.operands[loads + j].value, call.operands[load].value);
                shares[to] = shares[from];
            }
        }
        kernels[call.kernel] = Box::new(pass);
    }
    let layout = lay_out(values, &uses.life, &shares);
    let outside = values.iter().filter(|v| v.place != Place::Scratch).map(|v| v.words).sum::<usize>();
    if layout.words + outside >= FAR {
        kernels.iter_mut().for_each(|kernel| kernel.operands_are_far());
    }
    let kernels: Vec<Arc<dyn Kernel>> = kernels.into_iter().map(Arc::from).collect();
    let finished = bound.into_iter().map(|Bound { kernel, operands, label, .. }| Finished {
        kernel: kernels[kernel].clone(),
        operands,
        label,
    });
    Ok((finished.collect(), layout))
}

/// A call with all operands.
struct Bound {
    /// Which kernel.
    kernel: usize,
    /// What a pass does that may yet take over memory.
    pass: Option<PassSpec>,
    operands: Vec<Slice<ValueId>>,
    label: String,
}

/// When values are touched.
struct Uses {
    /// First and last call.
    calls: Vec<Option<Span>>,
    /// The same with all calls that may run at the same time as those: what ends before another begins here does so in
    /// the list, whose order is that of the results, and on the machine.
    life: Vec<Option<Span>>,
    /// All calls that touch a value.
    touching: Vec<Vec<usize>>,
    /// Where the first and the last stage of each call run.
    turns: Vec<[Turn; 2]>,
}

impl Uses {
    fn of(
        kernels: &[Box<dyn Kernel>],
        calls: &[Bound],
        values: usize,
        gate: Option<(usize, ValueId)>,
        memory: MemoryMode,
    ) -> Uses {
        let turns = match memory {
            MemoryMode::Normal => turns_of(kernels, calls, gate),
            // As if one ran after the other: the machine finds where they need not.
            MemoryMode::Low => (0..calls.len()).map(|i| [Turn { group: i, chain: 0 }; 2]).collect(),
        };
        let mut touching = vec![Vec::new(); values];
        let mut spans: Vec<Option<Span>> = vec![None; values];
        let mut groups: Vec<Option<Span>> = vec![None; values];
        // First and last call of each group.
        let count = turns.iter().map(|[_, last]| last.group + 1).max().unwrap_or(0);
        let mut of_group: Vec<Option<Span>> = vec![None; count];
        for (i, call) in calls.iter().enumerate() {
            let [first, last] = turns[i];
            for group in [first.group, last.group] {
                touch(&mut of_group[group], i);
            }
            for value in call.operands.iter().map(|o| o.value) {
                touch(&mut spans[value], i);
                touch(&mut groups[value], first.group);
                touch(&mut groups[value], last.group);
                if touching[value].last() != Some(&i) {
                    touching[value].push(i);
                }
            }
        }
        if let Some((commit, value)) = gate {
            touch(&mut spans[value], commit);
        }
        // The first call of any later group, the last one of any earlier group.
        let (mut first, mut last) = (vec![calls.len(); count + 1], vec![0; count + 1]);
        for g in (0..count).rev() {
            first[g] = of_group[g].map_or(first[g + 1], |s| s.first.min(first[g + 1]));
        }
        for g in 0..count {
            let before = if g == 0 { 0 } else { last[g - 1] };
            last[g] = of_group[g].map_or(before, |s| s.last.max(before));
        }
        let whole = |(span, groups): (&Option<Span>, &Option<Span>)| {
            let (span, groups) = ((*span)?, groups.unwrap_or(Span { first: count, last: count }));
            Some(Span { first: span.first.min(first[groups.first]), last: span.last.max(last[groups.last]) })
        };
        let life = spans.iter().zip(&groups).map(whole).collect();
        Uses { calls: spans, life, touching, turns }
    }

    /// Whether everything else that touches a value has ended where the first stage of a call runs, or comes before it
    /// task by task.
    fn settled(&self, value: ValueId, call: usize) -> bool {
        let here = self.turns[call][0];
        self.touching[value].iter().filter(|&&other| other != call).all(|&other| {
            let [first, last] = self.turns[other];
            last.group < here.group || (first == here && last == here)
        })
    }
}

/// Where calls would run whose values share no memory: each value is a space of its own.
fn turns_of(kernels: &[Box<dyn Kernel>], calls: &[Bound], gate: Option<(usize, ValueId)>) -> Vec<[Turn; 2]> {
    let view = |slice: &Slice<ValueId>| View {
        space: SpaceId(slice.value as u32),
        offset: slice.offset,
        words: slice.words,
    };
    let views: Vec<Vec<View>> = calls.iter().map(|c| c.operands.iter().map(view).collect()).collect();
    let commit = gate.map(|(step, value)| Commit { step, word: view(&Slice { value, offset: 0, words: 1 }) });
    let steps = calls.iter().zip(&views).map(|(c, views)| (kernels[c.kernel].as_ref(), views.as_slice()));
    turns(steps, commit)
}

fn touch(span: &mut Option<Span>, at: usize) {
    match span {
        Some(span) => *span = Span { first: span.first.min(at), last: span.last.max(at) },
        None => *span = Some(Span { first: at, last: at }),
    }
}

/// For each store, the load whose memory it can take over: one that nothing reads afterwards.
fn takeovers(
    spec: &PassSpec,
    operands: &[Slice<ValueId>],
    values: &[Value],
    uses: &Uses,
    call: usize,
) -> Vec<Option<usize>> {
    let words: usize = spec.dims.iter().product();
    let loads = spec.loads.len();
    let mut taken: Vec<Option<usize>> = Vec::with_capacity(spec.stores.len());
    for j in 0..spec.stores.len() {
        let to = operands[loads + j].value;
        let free = |&i: &usize| {
            let from = operands[i].value;
            let ends = uses.calls[from].is_some_and(|s| s.last == call && s.first < call);
            let once = operands[..loads].iter().filter(|o| o.value == from).count() == 1;
            ends && once
                && uses.settled(from, call)
                && values[from].place == Place::Scratch
                && values[from].words == spec.loads[i].words
                && spec.loads[i].element == spec.stores[j].element
                && spec.loads[i].is_contiguous(&spec.dims)
                && !taken.contains(&Some(i))
        };
        let own = uses.calls[to].is_some_and(|s| s.first == call);
        let open = spec.stores[j].alias.is_none() && own && values[to].place == Place::Scratch && words > 0;
        taken.push(if open { (0..loads).find(free) } else { None });
    }
    taken
}

/// Builds a pass with the given takeovers beside those it asks for itself.
fn pass_with(mut spec: PassSpec, taken: &[Option<usize>]) -> Result<Pass, PassError> {
    for (store, load) in spec.stores.iter_mut().zip(taken) {
        store.alias = store.alias.or(*load);
    }
    Pass::new(spec)
}

/// A stretch of the arena to be placed.
#[derive(Clone, Copy, Debug)]
struct Item {
    value: ValueId,
    /// Length in words, up to a line.
    size: usize,
    life: Span,
}

/// Share of the words in use at once, in this many parts, by which the arena may exceed them before other orders are
/// tried.
const GAPS: usize = 64;

/// Gives all that lie in the arena their offsets. Greedy: in some order each takes the lowest offset that is free for
/// its whole life. By size, the largest first, leaves next to no gaps in most programs; where it does, other orders are
/// tried and the best is taken.
fn lay_out(values: &[Value], spans: &[Option<Span>], shares: &[ValueId]) -> Layout {
    let root = |mut v: ValueId| {
        while shares[v] != v {
            v = shares[v];
        }
        v
    };
    let mut life: Vec<Option<Span>> = vec![None; values.len()];
    for v in 0..values.len() {
        let (Some(span), Place::Scratch) = (spans[v], values[v].place) else { continue };
        let whole = &mut life[root(v)];
        touch(whole, span.first);
        touch(whole, span.last);
    }
    let mut items: Vec<Item> = (0..values.len())
        .filter(|&v| values[v].words > 0)
        .filter_map(|v| Some(Item { value: v, size: values[v].words.next_multiple_of(LINE), life: life[v]? }))
        .collect();
    let calls = items.iter().map(|item| item.life.last + 1).max().unwrap_or(0);
    let (least, top) = most_in_use(&items, calls);
    let mut offset = vec![0; values.len()];
    let mut total = usize::MAX;
    let area = |item: &Item| item.size * (item.life.last - item.life.first + 1);
    let at_top = |item: &Item| item.life.first <= top && top <= item.life.last;
    for order in 0..4 {
        items.sort_by_key(|item| {
            let size = std::cmp::Reverse((values[item.value].words, 0));
            let key = match order {
                0 => (0, size),
                // What is there at the peak, the longest-lived at the bottom, then the rest by size.
                1 if at_top(item) => (0, std::cmp::Reverse((item.life.last - item.life.first, item.size))),
                1 => (1, size),
                2 => (0, std::cmp::Reverse((area(item), 0))),
                _ if at_top(item) => (0, size),
                _ => (1, std::cmp::Reverse((area(item), 0))),
            };
            (key, item.life.first, item.value)
        });
        if let Some((offsets, words)) = place(&items, total) {
            for (item, at) in items.iter().zip(offsets) {
                offset[item.value] = at;
            }
            total = words;
        }
        if total <= least + least / GAPS {
            break;
        }
    }
    for v in 0..values.len() {
        offset[v] = offset[root(v)];
    }
    Layout { offset, words: total }
}

/// Most words in use at once, and the call where that is.
fn most_in_use(items: &[Item], calls: usize) -> (usize, usize) {
    let (mut born, mut gone) = (vec![0; calls + 1], vec![0; calls + 1]);
    for item in items {
        born[item.life.first] += item.size;
        gone[item.life.last] += item.size;
    }
    let (mut now, mut most) = (0, (0, 0));
    for call in 0..calls {
        now += born[call];
        if now > most.0 {
            most = (now, call);
        }
        now -= gone[call];
    }
    most
}

/// Offsets in the order of `items`, and the words they take in all; `None` where that is `limit` or more.
fn place(items: &[Item], limit: usize) -> Option<(Vec<usize>, usize)> {
    // Placed items by offset.
    let mut placed: Vec<(usize, usize, Span)> = Vec::with_capacity(items.len());
    let mut offsets = Vec::with_capacity(items.len());
    let mut total = 0;
    for &Item { size, life, .. } in items {
        let mut at = 0;
        for &(start, end, other) in &placed {
            if other.first > life.last || life.first > other.last {
                continue;
            }
            if start >= at + size {
                break;
            }
            at = at.max(end);
        }
        total = total.max(at + size);
        if total >= limit {
            return None;
        }
        offsets.push(at);
        let position = placed.partition_point(|p| p.0 <= at);
        placed.insert(position, (at, at + size, life));
    }
    Some((offsets, total))
}
