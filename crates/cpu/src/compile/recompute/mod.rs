//! Recomputation of intermediate values: time for memory, at exactly equal results.
//!
//! Backpropagation reads what the forward pass computed, so nearly all of it is alive where the gradient begins, and that
//! is where the arena is largest. A value that is idle there can be forgotten after its last use before and computed
//! again before its next one (Griewank and Walther 2000, "Revolve"; Chen et al. 2016, "Training deep nets with sublinear
//! memory cost"). Here that is done to the finished list of kernel calls: a call that is repeated is the same kernel on
//! the same words, or the part of the same pass that writes the value, so every result keeps its bits. Doing it to the
//! graph would not promise that: other passes would be fused with other contractions, and sums taken in another order.
//!
//! [`order`] offers another order of the calls, [`facts`] says what they read, write and cost, [`schedule`] what a set of
//! forgotten values makes of the list and how much memory that takes, [`search`] chooses the set.

mod facts;
mod order;
mod schedule;
mod search;

#[cfg(test)]
mod tests;

use super::ir::{Call, Place, Slice, Value, ValueId, Work};
use facts::Facts;
use schedule::{Drop, Schedule};
use search::Found;

/// Work that recomputation may add, as a share of the whole program's: one forward pass over a forward pass, the
/// gradient's two, and what an optimizer takes.
const MOST_WORK: f64 = 1.0 / 3.0;

/// An order of the calls, and what to forget in it.
#[derive(Debug)]
pub struct Plan {
    order: Vec<usize>,
    facts: Facts,
    found: Found,
}

impl Plan {
    /// What makes the arena as small as pays within [`MOST_WORK`], though not smaller than `enough` words: the better of
    /// two orders, as the calls stand and with those early that make room. `gate` is read before call `commit`.
    pub fn of(calls: &[Call], commit: usize, values: &[Value], gate: Option<ValueId>, enough: usize) -> Plan {
        let plan = |order: Vec<usize>| {
            let facts = Facts::of(calls, &order, commit, values, gate);
            let most = (MOST_WORK * facts.work() as f64) as u64;
            let found = search::search(&facts, most, enough);
            Plan { order, facts, found }
        };
        let as_given = plan((0..calls.len()).collect());
        let early = order::room_first(calls, commit, values);
        if early == as_given.order {
            return as_given;
        }
        let early = plan(early);
        if early.found.cost < as_given.found.cost { early } else { as_given }
    }

    /// Most words of the arena in use at once.
    pub fn words(&self) -> usize {
        self.found.peak
    }
}

/// The calls with recomputation as planned, and the number of the first call of the commit.
pub fn recompute(calls: Vec<Call>, plan: Plan, values: &mut Vec<Value>) -> (Vec<Call>, usize) {
    let Plan { order, facts, found } = plan;
    let mut calls: Vec<Option<Call>> = calls.into_iter().map(Some).collect();
    let calls: Vec<Call> = order.into_iter().filter_map(|i| calls[i].take()).collect();
    write(calls, &facts, &found.drops, values)
}

/// Carries out what `drops` says.
fn write(calls: Vec<Call>, facts: &Facts, drops: &[Drop], values: &mut Vec<Value>) -> (Vec<Call>, usize) {
    let schedule = Schedule::of(facts, drops);
    // Versions behind the values' own are new values.
    for &value in &schedule.values[values.len()..] {
        values.push(Value { words: values[value].words, place: Place::Scratch });
    }
    // Where each call stands in the new list, once it does.
    let mut place: Vec<Option<usize>> = vec![None; calls.len()];
    let mut originals: Vec<Option<Call>> = calls.into_iter().map(Some).collect();
    let mut out: Vec<Call> = Vec::with_capacity(schedule.steps.len());
    for step in &schedule.steps {
        let mut call = match (step.again, place[step.call]) {
            (None, _) => {
                place[step.call] = Some(out.len());
                let Some(call) = originals[step.call].take() else { unreachable!("a call is moved once") };
                call
            }
            (Some(value), Some(first)) => repetition(&out[first], first, value, &schedule.values),
            (Some(_), None) => unreachable!("a value is computed before it is computed again"),
        };
        let touched = schedule.touched(step);
        for operand in &mut call.operands {
            if let Some(&version) = touched.iter().find(|&&v| schedule.values[v] == operand.value) {
                operand.value = version;
            }
        }
        out.push(call);
    }
    (out, schedule.commit)
}

/// What computes `value` again: call `number` of the new list, `original`, or its part. Operands are values, not yet
/// versions.
fn repetition(original: &Call, number: usize, value: ValueId, values: &[ValueId]) -> Call {
    let of_values = |operand: &Slice<ValueId>| Slice { value: values[operand.value], ..*operand };
    let operands: Vec<Slice<ValueId>> = original.operands.iter().map(of_values).collect();
    let label = format!("{} again", original.label);
    let (work, operands) = match &original.work {
        Work::Pass(spec) => {
            let (part, operands) = facts::part(spec, &operands, value);
            (Work::Pass(part), operands)
        }
        Work::Contraction(_) | Work::Kernel(_) | Work::Again(_) => (Work::Again(number), operands),
    };
    Call { work, operands, label }
}
