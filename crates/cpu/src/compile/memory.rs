//! Finishes kernels and lays scratch values into one arena by their lifetimes.

use super::ir::{Call, Place, Slice, Value, ValueId, Work};
use ganymede_kernels::kernel::Kernel;
use ganymede_kernels::machine::{Commit, SpaceId, Turn, View, turns};
use ganymede_kernels::pass::{Pass, PassError, PassSpec};

/// Words of all memory of a program from which on its kernels find their operands outside the caches, or in the last
/// one at best: 8 MiB.
const FAR: usize = 2 << 20;

/// Words that arena offsets are multiples of: one cache line.
const LINE: usize = 16;

/// A kernel call with all operands.
#[derive(Debug)]
pub struct Finished {
    /// The kernel.
    pub kernel: Box<dyn Kernel>,
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
/// `gate` is read before call `commit`.
pub fn finish(
    calls: Vec<Call>,
    values: &mut Vec<Value>,
    gate: Option<(usize, ValueId)>,
) -> Result<(Vec<Finished>, Layout), (String, PassError)> {
    let mut finished = Vec::with_capacity(calls.len());
    let mut passes = Vec::with_capacity(calls.len());
    for call in calls {
        let Call { work, mut operands, label } = call;
        let (kernel, pass): (Box<dyn Kernel>, _) = match work {
            Work::Kernel(kernel) => (kernel, None),
            Work::Contraction(kernel) => (kernel, None),
            Work::Pass(spec) => {
                let pass = Pass::new(spec.clone()).map_err(|e| (label.clone(), e))?;
                (Box::new(pass), Some(spec))
            }
        };
        for spec in &kernel.operands()[operands.len()..] {
            values.push(Value { words: spec.words, place: Place::Scratch });
            operands.push(Slice { value: values.len() - 1, offset: 0, words: spec.words });
        }
        finished.push(Finished { kernel, operands, label });
        passes.push(pass);
    }
    let uses = Uses::of(&finished, values.len(), gate);
    // Values that took over another's memory point to it.
    let mut shares: Vec<ValueId> = (0..values.len()).collect();
    for (i, (call, spec)) in finished.iter_mut().zip(passes).enumerate() {
        let Some(spec) = spec else { continue };
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
        call.kernel = Box::new(pass);
    }
    let layout = lay_out(values, &uses.life, &shares);
    let outside = values.iter().filter(|v| v.place != Place::Scratch).map(|v| v.words).sum::<usize>();
    if layout.words + outside >= FAR {
        finished.iter_mut().for_each(|call| call.kernel.operands_are_far());
    }
    Ok((finished, layout))
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
    fn of(calls: &[Finished], values: usize, gate: Option<(usize, ValueId)>) -> Uses {
        // Each value is a space of its own as long as it has no place.
        let view = |slice: &Slice<ValueId>| View {
            space: SpaceId(slice.value as u32),
            offset: slice.offset,
            words: slice.words,
        };
        let views: Vec<Vec<View>> = calls.iter().map(|c| c.operands.iter().map(view).collect()).collect();
        let word = |value: ValueId| View { space: SpaceId(value as u32), offset: 0, words: 1 };
        let commit = gate.map(|(step, value)| Commit { step, word: word(value) });
        let steps = calls.iter().zip(&views).map(|(c, views)| (c.kernel.as_ref(), views.as_slice()));
        let turns = turns(steps, commit);
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
                && values[from].words == words
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

/// Greedy by size: the largest buffers take the lowest offsets that are free for their whole life.
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
    let mut order: Vec<(usize, Span, ValueId)> = (0..values.len())
        .filter_map(|v| life[v].map(|span| (values[v].words, span, v)))
        .filter(|(words, ..)| *words > 0)
        .collect();
    order.sort_by_key(|&(words, span, v)| (std::cmp::Reverse(words), span.first, v));
    // Placed buffers by offset.
    let mut placed: Vec<(usize, usize, Span)> = Vec::with_capacity(order.len());
    let mut offset = vec![0; values.len()];
    let mut total = 0;
    for (words, span, v) in order {
        let size = words.next_multiple_of(LINE);
        let mut at = 0;
        for &(start, end, other) in &placed {
            if other.first > span.last || span.first > other.last {
                continue;
            }
            if start >= at + size {
                break;
            }
            at = at.max(end);
        }
        offset[v] = at;
        total = total.max(at + size);
        let position = placed.partition_point(|p| p.0 <= at);
        placed.insert(position, (at, at + size, span));
    }
    for v in 0..values.len() {
        offset[v] = offset[root(v)];
    }
    Layout { offset, words: total }
}
