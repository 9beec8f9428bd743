//! What forgetting values makes of a list of calls, and the memory it takes.

use super::facts::{Fact, Facts};
use crate::compile::ir::ValueId;

/// A value is forgotten after a call; whoever reads it later has it computed again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Drop {
    /// Number of the call in the list without recomputation.
    pub after: usize,
    /// The value.
    pub value: ValueId,
}

/// A value, or one of its recomputations: the values' own come first, under their numbers.
pub type Version = usize;

/// A call of the new list.
#[derive(Clone, Copy, Debug)]
pub struct Step {
    /// The call that it is, or that it repeats.
    pub call: usize,
    /// The value that is computed again; `None` for the call itself.
    pub again: Option<ValueId>,
    /// The call that is the next to run for the first time, this one included.
    pub at: usize,
    touched: (usize, usize),
}

/// A list of calls with recomputation.
#[derive(Debug)]
pub struct Schedule {
    /// All calls in order.
    pub steps: Vec<Step>,
    /// The value that each version is of.
    pub values: Vec<ValueId>,
    /// Position of the first call of the commit.
    pub commit: usize,
    /// Estimated time of what is repeated.
    pub work: u64,
    /// First and last step that touch each version; none for those that nothing touches.
    pub span: Vec<Option<(usize, usize)>>,
    /// Words of the arena in use at each step.
    pub live: Vec<usize>,
    touched: Vec<Version>,
}

impl Schedule {
    /// Runs the calls of `facts` in order. What is read after it was forgotten is computed again just before, with all
    /// it needs, and is there from then on until it is forgotten again or nobody reads it.
    pub fn of(facts: &Facts, drops: &[Drop]) -> Schedule {
        let mut sorted = drops.to_vec();
        sorted.sort_unstable();
        let mut writer = Writer::new(facts);
        let mut drops = sorted.into_iter().peekable();
        for (i, fact) in facts.calls.iter().enumerate() {
            if i == facts.commit {
                writer.reach_commit(i);
            }
            for &value in &fact.reads {
                writer.ensure(i, value);
            }
            writer.first_time(i, fact);
            while let Some(drop) = drops.next_if(|drop| drop.after <= i) {
                writer.current[drop.value] = None;
            }
        }
        if facts.commit >= facts.calls.len() {
            writer.reach_commit(facts.calls.len());
        }
        writer.finish()
    }

    /// The versions that a step reads and writes.
    pub fn touched(&self, step: &Step) -> &[Version] {
        &self.touched[step.touched.0..step.touched.1]
    }

    /// Most words of the arena in use at once. The arena itself may be larger, by the gaps of its layout.
    pub fn peak(&self) -> usize {
        self.live.iter().copied().max().unwrap_or(0)
    }
}

struct Writer<'f> {
    facts: &'f Facts,
    schedule: Schedule,
    /// The version of each value that can be read.
    current: Vec<Option<Version>>,
    /// Number of the last call that reads each value for the first time.
    last_read: Vec<usize>,
}

impl<'f> Writer<'f> {
    fn new(facts: &'f Facts) -> Self {
        let count = facts.words.len();
        let mut last_read = vec![0; count];
        for (i, fact) in facts.calls.iter().enumerate() {
            fact.reads.iter().for_each(|&value| last_read[value] = i);
        }
        if let Some(gate) = facts.gate {
            last_read[gate] = last_read[gate].max(facts.commit);
        }
        let schedule = Schedule {
            steps: Vec::with_capacity(facts.calls.len()),
            values: (0..count).collect(),
            commit: 0,
            work: 0,
            span: vec![None; count],
            live: Vec::new(),
            touched: Vec::new(),
        };
        Writer { facts, schedule, current: (0..count).map(Some).collect(), last_read }
    }

    /// Nothing may be computed again once the commit has begun, which may not run at all.
    fn reach_commit(&mut self, i: usize) {
        let facts = self.facts;
        for fact in &facts.calls[facts.commit.min(facts.calls.len())..] {
            for &value in &fact.reads {
                self.ensure(i, value);
            }
        }
        if let Some(gate) = facts.gate {
            self.ensure(i, gate);
        }
        self.schedule.commit = self.schedule.steps.len();
        if let Some(version) = facts.gate.and_then(|gate| self.current[gate]) {
            self.touch(version, self.schedule.commit);
        }
    }

    fn touch(&mut self, version: Version, step: usize) {
        let span = &mut self.schedule.span[version];
        *span = Some(span.map_or((step, step), |(first, last)| (first, last.max(step))));
    }

    /// Appends a step and the versions it touches.
    fn push(&mut self, call: usize, again: Option<ValueId>, at: usize, fact: &Fact, writes: &[Version]) {
        let step = self.schedule.steps.len();
        let from = self.schedule.touched.len();
        for &value in &fact.reads {
            let Some(version) = self.current[value] else {
                unreachable!("value {value} was not computed again for call {call}")
            };
            self.schedule.touched.push(version);
        }
        self.schedule.touched.extend(writes);
        for k in from..self.schedule.touched.len() {
            self.touch(self.schedule.touched[k], step);
        }
        let touched = (from, self.schedule.touched.len());
        self.schedule.steps.push(Step { call, again, at, touched });
    }

    fn first_time(&mut self, i: usize, fact: &Fact) {
        // What a call reads and writes is one version.
        let writes: Vec<Version> = fact.writes.iter().copied().filter(|v| !fact.reads.contains(v)).collect();
        self.push(i, None, i, fact, &writes);
    }

    /// Computes a value again, before call `i`, if it is not there.
    fn ensure(&mut self, i: usize, value: ValueId) {
        let mut waiting = vec![value];
        while let Some(&value) = waiting.last() {
            if self.current[value].is_some() {
                waiting.pop();
                continue;
            }
            let Some(recipe) = &self.facts.recipes[value] else {
                unreachable!("value {value} cannot be computed again, so it is not forgotten")
            };
            let before = waiting.len();
            waiting.extend(recipe.fact.reads.iter().filter(|&&read| self.current[read].is_none()));
            if waiting.len() > before {
                continue;
            }
            waiting.pop();
            let mut writes = Vec::with_capacity(recipe.fact.writes.len());
            let mut fresh = Vec::new();
            for &written in &recipe.fact.writes {
                let version = self.schedule.values.len();
                self.schedule.values.push(written);
                self.schedule.span.push(None);
                writes.push(version);
                // Another result of the kernel is taken if it will be read; else it is only overwritten.
                if self.current[written].is_none() && (written == value || self.last_read[written] >= i) {
                    fresh.push((written, version));
                }
            }
            self.push(recipe.call, Some(value), i, &recipe.fact, &writes);
            self.schedule.work += recipe.fact.work;
            for (written, version) in fresh {
                self.current[written] = Some(version);
            }
        }
    }

    /// Counts the words in use.
    fn finish(mut self) -> Schedule {
        let facts = self.facts;
        let s = &mut self.schedule;
        let steps = s.steps.len();
        // Words that come into use with a step, and that go after it.
        let (mut born, mut gone) = (vec![0usize; steps + 1], vec![0usize; steps + 1]);
        let mut in_place = vec![false; s.values.len()];
        let mut took: Vec<Version> = Vec::new();
        for (t, step) in s.steps.iter().enumerate() {
            let fact = match step.again.and_then(|value| facts.recipes[value].as_ref()) {
                Some(recipe) => &recipe.fact,
                None => &facts.calls[step.call],
            };
            born[t] += fact.workspace;
            gone[t] += fact.workspace;
            took.clear();
            let touched = &s.touched[step.touched.0..step.touched.1];
            let of = |value: ValueId| touched.iter().copied().find(|&version| s.values[version] == value);
            for (store, loads) in &fact.places {
                let Some(to) = of(*store).filter(|&to| s.span[to].is_some_and(|span| span.0 == t)) else {
                    continue;
                };
                let ends = |&from: &Version| {
                    s.span[from].is_some_and(|span| span.1 == t && span.0 < t) && !took.contains(&from)
                };
                if let Some(from) = loads.iter().filter_map(|&load| of(load)).find(ends) {
                    took.push(from);
                    in_place[to] = true;
                }
            }
        }
        for (version, span) in s.span.iter().enumerate() {
            let Some((first, last)) = *span else { continue };
            let words = facts.words[s.values[version]];
            // Until its first step ends the memory counts as that of what it takes over.
            let first = first + usize::from(in_place[version]);
            if first <= last {
                born[first] += words;
                gone[last] += words;
            }
        }
        let mut now = 0;
        s.live = (0..steps)
            .map(|t| {
                now += born[t];
                let most = now;
                now -= gone[t];
                most
            })
            .collect();
        self.schedule
    }
}
