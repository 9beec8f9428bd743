//! Finishes kernels and lays scratch values into one arena by their lifetimes.

use super::ir::{Call, Place, Slice, Value, ValueId, Work};
use ganymede_kernels::kernel::Kernel;
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
    let mut finished = Vec::with_capacity(calls.len());
    for (i, call) in calls.into_iter().enumerate() {
        let Call { work, mut operands, label } = call;
        let kernel: Box<dyn Kernel> = match work {
            Work::Kernel(kernel) => kernel,
            Work::Contraction(kernel) => kernel,
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
                Box::new(pass)
            }
        };
        for spec in &kernel.operands()[operands.len()..] {
            let value = values.len();
            values.push(Value { words: spec.words, place: Place::Scratch });
            spans.push(Some(Span { first: i, last: i }));
            shares.push(value);
            operands.push(Slice { value, offset: 0, words: spec.words });
        }
        finished.push(Finished { kernel, operands, label });
    }
    let layout = lay_out(values, &spans, &shares);
    let outside = values.iter().filter(|v| v.place != Place::Scratch).map(|v| v.words).sum::<usize>();
    if layout.words + outside >= FAR {
        finished.iter_mut().for_each(|call| call.kernel.operands_are_far());
    }
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
                && values[from].words == spec.loads[i].words
                && spec.loads[i].element == spec.stores[j].element
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
        if let Some(w) = whole {
            w.first = w.first.min(span.first);
        }
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
