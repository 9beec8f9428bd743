//! Finishes kernels and lays scratch values into one arena by their lifetimes.

use super::ir::{Call, Place, Slice, Value, ValueId, Work};
use ganymede_kernels::kernel::Kernel;
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

/// First and last call that touch a value.
#[derive(Clone, Copy, Debug)]
struct Span {
    first: usize,
    last: usize,
}

/// Turns calls into kernels: passes take over the memory of operands that end with them, workspaces are added.
/// `gate` is read before call `commit`.
pub fn finish(
    calls: Vec<Call>,
    values: &mut Vec<Value>,
    gate: Option<(usize, ValueId)>,
) -> Result<(Vec<Finished>, Layout), (String, PassError)> {
    let mut spans: Vec<Option<Span>> = vec![None; values.len()];
    for (i, call) in calls.iter().enumerate() {
        for operand in &call.operands {
            touch(&mut spans[operand.value], i);
        }
    }
    if let Some((commit, value)) = gate {
        touch(&mut spans[value], commit);
    }
    // Values that took over another's memory point to it.
    let mut shares: Vec<ValueId> = (0..values.len()).collect();
    let mut kernels: Vec<Box<dyn Kernel>> = Vec::with_capacity(calls.len());
    // The kernel of each call, its operands and its label.
    let mut bound: Vec<(usize, Vec<Slice<ValueId>>, String)> = Vec::with_capacity(calls.len());
    for (i, call) in calls.into_iter().enumerate() {
        let Call { work, mut operands, label } = call;
        let number = match work {
            Work::Again(call) => bound[call].0,
            Work::Kernel(_) | Work::Contraction(_) | Work::Pass(_) => kernels.len(),
        };
        match work {
            Work::Again(_) => {}
            Work::Kernel(kernel) => kernels.push(kernel),
            Work::Contraction(kernel) => kernels.push(kernel),
            Work::Pass(spec) => {
                let taken = takeovers(&spec, &operands, values, &spans, i);
                let pass = pass_with(spec, &taken).map_err(|e| (label.clone(), e))?;
                let specs = pass.operands();
                let loads = pass.spec().loads.len();
                for (j, load) in taken.into_iter().enumerate() {
                    if let Some(load) = load
                        && specs[loads + j].may_alias == Some(load)
                    {
                        let (to, from) = (operands[loads + j].value, operands[load].value);
                        shares[to] = shares[from];
                    }
                }
                kernels.push(Box::new(pass));
            }
        }
        for spec in &kernels[number].operands()[operands.len()..] {
            let value = values.len();
            values.push(Value { words: spec.words, place: Place::Scratch });
            spans.push(Some(Span { first: i, last: i }));
            shares.push(value);
            operands.push(Slice { value, offset: 0, words: spec.words });
        }
        bound.push((number, operands, label));
    }
    let layout = lay_out(values, &spans, &shares);
    let outside = values.iter().filter(|v| v.place != Place::Scratch).map(|v| v.words).sum::<usize>();
    if layout.words + outside >= FAR {
        kernels.iter_mut().for_each(|kernel| kernel.operands_are_far());
    }
    let kernels: Vec<Arc<dyn Kernel>> = kernels.into_iter().map(Arc::from).collect();
    let finished = bound
        .into_iter()
        .map(|(kernel, operands, label)| Finished { kernel: kernels[kernel].clone(), operands, label })
        .collect();
    Ok((finished, layout))
}

fn touch(span: &mut Option<Span>, call: usize) {
    match span {
        Some(span) => span.last = span.last.max(call),
        None => *span = Some(Span { first: call, last: call }),
    }
}

/// For each store, the load whose memory it can take over: one that nothing reads afterwards.
fn takeovers(
    spec: &PassSpec,
    operands: &[Slice<ValueId>],
    values: &[Value],
    spans: &[Option<Span>],
    call: usize,
) -> Vec<Option<usize>> {
    let words: usize = spec.dims.iter().product();
    let loads = spec.loads.len();
    let mut taken: Vec<Option<usize>> = Vec::with_capacity(spec.stores.len());
    for j in 0..spec.stores.len() {
        let to = operands[loads + j].value;
        let free = |&i: &usize| {
            let from = operands[i].value;
            let ends = spans[from].is_some_and(|s| s.last == call && s.first < call);
            let once = operands[..loads].iter().filter(|o| o.value == from).count() == 1;
            ends && once
                && values[from].place == Place::Scratch
                && values[from].words == words
                && spec.loads[i].is_contiguous(&spec.dims)
                && !taken.contains(&Some(i))
        };
        let own = spans[to].is_some_and(|s| s.first == call);
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
        if let Some(w) = whole {
            w.first = w.first.min(span.first);
        }
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
