//! Which values to forget.
//!
//! Greedy, on the list itself: at the step where most memory is in use, each value that is idle there is a candidate, with
//! what must be forgotten beside it so that it can be computed again without keeping something else as large. Candidates
//! are tried by words saved for the work added; one that makes the peak no smaller is taken back. Of all that was reached
//! on the way, that with the least product of time and the square of memory is chosen: memory counts twice, since it is
//! what whoever asks for this lacks. At last every value whose recomputation does not lower the peak after all is kept
//! again.

use super::facts::Facts;
use super::schedule::{Drop, Schedule, Step, Version};
use crate::compile::ir::ValueId;
use std::collections::HashSet;

/// Touches of values, over all schedules that are tried: a few hundred milliseconds.
const EFFORT: usize = 15_000_000;
/// Values smaller than this share of the peak are not worth a step.
const LEAST_SHARE: usize = 1 << 14;
/// Calls that computing one value again may take.
const MOST_CALLS: usize = 32;
/// Words in use at other steps than that of the peak count from this share of it on, in eighths.
const NEAR: usize = 7;

/// What a search came to.
#[derive(Debug)]
pub struct Found {
    /// The values to forget.
    pub drops: Vec<Drop>,
    /// Most words in use then.
    pub peak: usize,
    /// Time times the square of memory.
    pub cost: f64,
}

/// The values to forget within `most` work, to have no more than `enough` words in use.
pub fn search(facts: &Facts, most: u64, enough: usize) -> Found {
    let mut search = Search::new(facts, most);
    let work = facts.work() as f64;
    let cost = |s: &Schedule| (s.peak().max(enough) as f64).powi(2) * (work + s.work as f64);
    let (mut best, mut least) = (Vec::new(), cost(&search.now));
    while search.now.peak() > enough && search.improve() {
        if cost(&search.now) < least {
            (best, least) = (search.drops.clone(), cost(&search.now));
        }
    }
    // What is enough is taken where it was reached, at whatever cost is left.
    if search.now.peak() > enough {
        search.take(best);
    }
    search.prune(enough);
    Found { peak: search.now.peak(), cost: cost(&search.now), drops: search.drops }
}

/// Something to forget.
#[derive(Clone, Debug)]
struct Candidate {
    drops: Vec<Drop>,
    saved: usize,
    work: u64,
}

struct Search<'f> {
    facts: &'f Facts,
    most: u64,
    drops: Vec<Drop>,
    now: Schedule,
    /// Touches left to try.
    effort: usize,
}

/// Smaller is better: words at the peak, then the words above a share of `peak` over all steps.
fn burden(schedule: &Schedule, peak: usize) -> (usize, usize) {
    let near = peak / 8 * NEAR;
    (schedule.peak(), schedule.live.iter().map(|words| words.saturating_sub(near)).sum())
}

impl<'f> Search<'f> {
    fn new(facts: &'f Facts, most: u64) -> Self {
        Search { facts, most, drops: Vec::new(), now: Schedule::of(facts, &[]), effort: EFFORT }
    }

    fn take(&mut self, drops: Vec<Drop>) {
        self.now = Schedule::of(self.facts, &drops);
        self.drops = drops;
    }

    /// The schedule with other drops; `None` once the effort is spent.
    fn tried(&mut self, drops: &[Drop]) -> Option<Schedule> {
        let touches = self.facts.calls.iter().map(|c| 4 + c.reads.len() + c.writes.len()).sum::<usize>();
        self.effort = self.effort.checked_sub(touches)?;
        Some(Schedule::of(self.facts, drops))
    }

    /// Takes the candidates of the present peak that make it smaller; whether there was one.
    fn improve(&mut self) -> bool {
        let mut candidates = self.candidates();
        candidates.sort_by(|a, b| {
            let rate = |c: &Candidate| c.saved as f64 / c.work.max(1) as f64;
            rate(b).total_cmp(&rate(a)).then_with(|| a.drops.cmp(&b.drops))
        });
        let mut at = 0;
        // Many at once where there are many.
        let mut count = (candidates.len() / 16).max(1);
        while at < candidates.len() {
            count = count.min(candidates.len() - at);
            let more = candidates[at..at + count].iter().flat_map(|c| &c.drops);
            let mut drops: Vec<Drop> = self.drops.iter().chain(more).copied().collect();
            drops.sort_unstable();
            drops.dedup();
            let Some(then) = self.tried(&drops) else { return false };
            let peak = self.now.peak();
            if then.work <= self.most && burden(&then, peak) < burden(&self.now, peak) {
                (self.now, self.drops) = (then, drops);
                // The estimates hold for the step that was the peak: on to the new one.
                return true;
            }
            if count > 1 {
                count = count.div_ceil(2).min(count - 1);
            } else {
                at += 1;
            }
        }
        false
    }

    /// What can be forgotten across the step where most is in use.
    fn candidates(&self) -> Vec<Candidate> {
        let s = &self.now;
        let peak = s.peak();
        let Some(top) = s.live.iter().position(|&words| words == peak) else { return Vec::new() };
        // Last touch of each version before the peak and first one after it.
        let mut before: Vec<Option<usize>> = vec![None; s.values.len()];
        let mut after: Vec<Option<usize>> = vec![None; s.values.len()];
        for (t, step) in s.steps.iter().enumerate() {
            for &version in s.touched(step) {
                if t <= top {
                    before[version] = Some(t);
                } else {
                    after[version].get_or_insert(t);
                }
            }
        }
        let mut first_time = vec![0; self.facts.calls.len()];
        for (t, step) in s.steps.iter().enumerate() {
            if step.again.is_none() {
                first_time[step.call] = t;
            }
        }
        // The newest version of each value by then.
        let mut newest: Vec<Option<Version>> = vec![None; self.facts.words.len()];
        for version in 0..s.values.len() {
            if before[version].is_some() {
                newest[s.values[version]] = Some(version);
            }
        }
        let view = View { search: self, top, before: &before, first_time: &first_time, newest: &newest };
        (0..s.values.len())
            .filter(|&v| self.facts.words[s.values[v]].saturating_mul(LEAST_SHARE) >= peak)
            .filter_map(|version| {
                let next = after[version]?;
                view.candidate(version, next)
            })
            .collect()
    }

    /// Keeps every value again that the peak does not depend on, the dearest first.
    fn prune(&mut self, enough: usize) {
        let work = |drop: &Drop| self.facts.recipes[drop.value].as_ref().map_or(0, |r| r.fact.work);
        let mut order = self.drops.clone();
        order.sort_by_key(|drop| (std::cmp::Reverse(work(drop)), *drop));
        let mut count = (order.len() / 16).max(1);
        let mut at = 0;
        while at < order.len() {
            count = count.min(order.len() - at);
            let kept = &order[at..at + count];
            let drops: Vec<Drop> = self.drops.iter().copied().filter(|d| !kept.contains(d)).collect();
            let Some(then) = self.tried(&drops) else { return };
            if then.peak() <= self.now.peak().max(enough) && then.work <= self.now.work {
                (self.now, self.drops) = (then, drops);
                at += count;
            } else if count > 1 {
                count = count.div_ceil(2).min(count - 1);
            } else {
                at += 1;
            }
        }
    }
}

/// The schedule as seen from its peak.
struct View<'a, 'f> {
    search: &'a Search<'f>,
    top: usize,
    before: &'a [Option<usize>],
    first_time: &'a [usize],
    newest: &'a [Option<Version>],
}

impl View<'_, '_> {
    /// What saves the memory of a version that is next read at step `next`.
    fn candidate(&self, version: Version, next: usize) -> Option<Candidate> {
        let facts = self.search.facts;
        let s = &self.search.now;
        let value = s.values[version];
        facts.recipes[value].as_ref()?;
        let drop = self.drop_after(version)?;
        if s.steps[next].at >= facts.commit || self.first_time[drop.after] >= next {
            return None;
        }
        let mut found = Candidate { drops: vec![drop], saved: 0, work: 0 };
        let mut kept: HashSet<ValueId> = HashSet::new();
        let mut seen: HashSet<ValueId> = HashSet::from([value]);
        let mut calls = 0;
        let mut waiting = vec![value];
        let mut words = 0;
        while let Some(value) = waiting.pop() {
            let recipe = facts.recipes[value].as_ref()?;
            calls += 1;
            if calls > MOST_CALLS {
                return None;
            }
            found.work += recipe.fact.work;
            for &read in &recipe.fact.reads {
                if !seen.insert(read) {
                    continue;
                }
                let there = self.newest[read]?;
                let alive = s.span[there].is_some_and(|(_, last)| last >= self.top);
                if alive {
                    continue;
                }
                // It is gone by then: computed again as well, or kept all the time.
                match self.drop_after(there).filter(|_| facts.recipes[read].is_some()) {
                    Some(drop) if facts.words[read] * 64 >= facts.words[s.values[version]] => {
                        found.drops.push(drop);
                        waiting.push(read);
                    }
                    Some(_) | None => {
                        kept.insert(read);
                        words += facts.words[read];
                    }
                }
            }
        }
        found.saved = facts.words[s.values[version]].checked_sub(words).filter(|&saved| saved > 0)?;
        Some(found)
    }

    /// Forgetting a version after its last touch before the peak, if the peak is not that touch itself.
    fn drop_after(&self, version: Version) -> Option<Drop> {
        let s = &self.search.now;
        let Step { at, .. } = s.steps[self.before[version]?];
        let after = at.min(self.search.facts.calls.len() - 1);
        (self.first_time[after] < self.top).then_some(Drop { after, value: s.values[version] })
    }
}
