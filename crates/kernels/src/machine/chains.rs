//! Which stages run without a barrier between them.
//!
//! A stage needs a barrier before it because its tasks may touch what any task of the stages before writes. Small
//! steps spend much of their time there. Where kernels say what each task touches ([`Kernel::reach`]), two cases need
//! none: stages that share no word that either writes run side by side, and stages whose task `t` meets only task `t`
//! of others follow them on the same worker, task by task. What runs between two barriers is a [`Group`] of
//! [`Chain`]s. Where a step of several stages has few words, its tasks go one behind the other, so that its stages need
//! no barrier between them either. The order of operations on every word is that of the list, so results are the same.

use super::{Commit, View};
use crate::kernel::{Access, Kernel};
use std::collections::VecDeque;
use std::ops::Range;

/// Most words of all operands of a step that is grouped with others: a larger one takes tens of microseconds, beside
/// which a barrier is nothing.
const SMALL: usize = 1 << 18;

/// Most words of all operands of a step that goes before steps which wait: a larger one would hold much memory for
/// longer, and with it the caches.
const TINY: usize = 1 << 15;

/// Most words of all operands of a step of several stages whose tasks go one behind the other where that saves the
/// barrier between its stages: they take a microsecond or two together, as a barrier does.
const SERIAL: usize = 1 << 12;

/// Most tasks of a stage that follows another task by task.
const TASKS: usize = 64;

/// Most stages between two barriers, so that the time to plan stays linear in the length of the list.
const LINKS: usize = 48;

/// Stages looked at for what can join a group.
const WINDOW: usize = 32;

/// A stage within a chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Link {
    pub step: usize,
    pub stage: usize,
    /// Task `t` of the chain runs tasks `first[t]..first[t + 1]` of the stage; none: task `t` alone.
    first: Option<Vec<usize>>,
}

impl Link {
    /// The stage's tasks that task `t` of the chain runs.
    pub fn tasks(&self, t: usize) -> Range<usize> {
        match &self.first {
            None => t..t + 1,
            Some(first) => first[t]..first[t + 1],
        }
    }
}

/// Stages that one worker runs in order, task by task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Chain {
    pub tasks: usize,
    pub links: Vec<Link>,
}

impl Chain {
    /// Whether its first stage has several tasks that go one behind the other.
    fn serial(&self) -> bool {
        self.tasks == 1 && self.links.first().is_some_and(|link| link.first.is_some())
    }
}

/// What runs between two barriers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Group {
    pub chains: Vec<Chain>,
    /// First step that has a stage here.
    pub first_step: usize,
    /// Whether its steps are small, so that what they leave may be in the caches still.
    pub small: bool,
}

impl Group {
    pub fn tasks(&self) -> usize {
        self.chains.iter().map(|c| c.tasks).sum()
    }

    /// The chain of a task of the group, and its number there.
    pub fn task(&self, mut task: usize) -> (&Chain, usize) {
        let mut chains = self.chains.iter();
        loop {
            let Some(chain) = chains.next() else { unreachable!("a task of none of the chains") };
            if task < chain.tasks {
                return (chain, task);
            }
            task -= chain.tasks;
        }
    }
}

/// Where a stage runs: its group and its chain there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Turn {
    /// What runs between two barriers, counted from 0.
    pub group: usize,
    /// Stages of a group with the same number follow each other task by task; others run side by side.
    pub chain: usize,
}

/// The turns of the first and of the last stage of each step, which are given with their views, in order. A plan that
/// wants few barriers keeps apart in memory what lives in the same group; spaces may stand for values that have no
/// place yet.
pub fn turns<'a>(
    steps: impl Iterator<Item = (&'a dyn Kernel, &'a [View])>,
    commit: Option<Commit>,
) -> Vec<[Turn; 2]> {
    let (groups, steps) = groups(steps, commit);
    let mut turns: Vec<Option<[Turn; 2]>> = vec![None; steps];
    for (g, group) in groups.iter().enumerate() {
        for (c, chain) in group.chains.iter().enumerate() {
            for link in &chain.links {
                let turn = Turn { group: g, chain: c };
                turns[link.step].get_or_insert([turn; 2])[1] = turn;
            }
        }
    }
    let none = [Turn { group: groups.len(), chain: 0 }; 2];
    turns.into_iter().map(|t| t.unwrap_or(none)).collect()
}

/// Cuts the list into groups; also returns its length.
///
/// A stage that needs a barrier waits for the next group, and stages behind it that touch nothing of what it touches may
/// still join the present one: the second stages of many reductions then share a barrier.
pub(super) fn groups<'a>(
    steps: impl Iterator<Item = (&'a dyn Kernel, &'a [View])>,
    commit: Option<Commit>,
) -> (Vec<Group>, usize) {
    let mut plan = Plan { groups: Vec::new(), open: Vec::new(), group: Group::default() };
    let mut waiting: VecDeque<Item> = VecDeque::new();
    let mut count = 0;
    for (step, (kernel, views)) in steps.enumerate() {
        count += 1;
        let words = views.iter().map(|v| v.words).fold(0, usize::saturating_add);
        let (small, serial) = (words <= SMALL, words <= SERIAL && kernel.stages() > 1);
        if !small || commit.is_some_and(|c| c.step == step) {
            plan.run_all(&mut waiting);
        }
        for stage in 0..kernel.stages() {
            let tasks = kernel.tasks(stage);
            if small {
                let touched = Touched::of(kernel, views, stage, tasks);
                waiting.push_back(Item { step, stage, touched, serial });
                if waiting.len() >= WINDOW {
                    plan.run_some(&mut waiting);
                }
            } else {
                plan.begin(Link { step, stage, first: None }, tasks, None);
                plan.close();
            }
        }
    }
    plan.run_all(&mut waiting);
    (plan.groups, count)
}

/// A stage that has no place yet.
struct Item {
    step: usize,
    stage: usize,
    touched: Touched,
    /// Whether one worker may as well run all its tasks: see [`SERIAL`].
    serial: bool,
}

/// The words that tasks touch in one operand.
#[derive(Clone, Debug)]
enum Words {
    /// Every task may touch all of these.
    All(Range<usize>),
    /// Those of each task.
    Each(Vec<Range<usize>>),
}

impl Words {
    fn of_task(&self, task: usize) -> &Range<usize> {
        match self {
            Words::All(range) => range,
            Words::Each(ranges) => &ranges[task],
        }
    }
}

#[derive(Clone, Debug)]
struct Operand {
    view: View,
    writes: bool,
    /// In words of the space.
    words: Words,
}

/// What the tasks of a stage touch.
#[derive(Clone, Debug)]
struct Touched {
    tasks: usize,
    operands: Vec<Operand>,
}

impl Touched {
    fn of(kernel: &dyn Kernel, views: &[View], stage: usize, tasks: usize) -> Touched {
        let specs = kernel.operands();
        let operands = specs.iter().zip(views).enumerate().filter(|(_, (_, view))| view.words > 0);
        let operands = operands.map(|(operand, (spec, &view))| {
            let all = view.offset..view.offset + view.words;
            let each = |task: usize| {
                let range = kernel.reach(stage, task, operand)?;
                let end = range.end.min(view.words);
                Some(view.offset + range.start.min(end)..view.offset + end)
            };
            let ranges = (tasks <= TASKS).then(|| (0..tasks).map(each).collect::<Option<Vec<_>>>()).flatten();
            let words = ranges.map_or(Words::All(all), Words::Each);
            Operand { view, writes: !matches!(spec.access, Access::Read), words }
        });
        Touched { tasks, operands: operands.collect() }
    }

    fn words(&self) -> usize {
        self.operands.iter().map(|o| o.view.words).sum()
    }

    /// Whether the two touch a word in common that one of them writes.
    fn meets(&self, other: &Touched) -> bool {
        self.operands.iter().any(|a| other.operands.iter().any(|b| a.meets(b)))
    }
}

impl Operand {
    fn meets(&self, other: &Operand) -> bool {
        (self.writes || other.writes)
            && self.view.space == other.view.space
            && meet(&span(self.view), &span(other.view))
    }
}

/// Where a stage may run without a barrier.
enum Place {
    /// Beside all chains.
    Beside,
    /// Behind this chain, of whose tasks each of its own tasks meets the given one, or none.
    After(usize, Vec<Option<usize>>),
}

struct Plan {
    groups: Vec<Group>,
    /// What the stages of the group touch, with their chain and link there.
    open: Vec<(usize, usize, Touched)>,
    group: Group,
}

impl Plan {
    fn close(&mut self) {
        if !self.group.chains.is_empty() {
            let mut group = std::mem::take(&mut self.group);
            let steps = group.chains.iter().flat_map(|c| c.links.iter().map(|l| l.step));
            group.first_step = steps.min().unwrap_or(0);
            group.small = !self.open.is_empty();
            self.groups.push(group);
        }
        self.open.clear();
    }

    /// Groups all that wait.
    fn run_all(&mut self, waiting: &mut VecDeque<Item>) {
        while !waiting.is_empty() {
            self.run_some(waiting);
        }
    }

    /// Makes one group of those that wait, in their order.
    fn run_some(&mut self, waiting: &mut VecDeque<Item>) {
        let mut later: VecDeque<Item> = VecDeque::new();
        for item in std::mem::take(waiting) {
            let Item { step, stage, touched, serial } = &item;
            let free = self.open.len() < LINKS
                && (later.is_empty() || touched.words() <= TINY)
                && !later.iter().any(|before| before.touched.meets(touched));
            let place = if free { self.place(touched, *serial) } else { None };
            let mut link = Link { step: *step, stage: *stage, first: None };
            match place {
                None => later.push_back(item),
                Some(Place::Beside) if *serial => {
                    link.first = Some(vec![0, touched.tasks]);
                    self.begin(link, 1, Some(item.touched));
                }
                Some(Place::Beside) => self.begin(link, touched.tasks, Some(item.touched)),
                Some(Place::After(chain, owners)) => self.follow(chain, link, item.touched, owners),
            }
        }
        *waiting = later;
        self.close();
    }

    fn begin(&mut self, link: Link, tasks: usize, touched: Option<Touched>) {
        if let Some(touched) = touched {
            self.open.push((self.group.chains.len(), 0, touched));
        }
        self.group.chains.push(Chain { tasks, links: vec![link] });
    }

    fn follow(&mut self, chain: usize, mut link: Link, touched: Touched, owners: Vec<Option<usize>>) {
        let tasks = self.group.chains[chain].tasks;
        let identity =
            owners.len() == tasks && owners.iter().enumerate().all(|(t, o)| o.is_none_or(|o| o == t));
        if !identity {
            // Tasks that meet nothing go with the one before them.
            let mut first = vec![0; tasks + 1];
            let mut at = 0;
            for (task, owner) in owners.iter().enumerate() {
                if let Some(owner) = *owner {
                    first[at + 1..=owner].fill(task);
                    at = at.max(owner);
                }
            }
            first[at + 1..].fill(owners.len());
            link.first = Some(first);
        }
        let links = &mut self.group.chains[chain].links;
        links.push(link);
        self.open.push((chain, links.len() - 1, touched));
    }

    /// Where a stage can run in the open group, if it can.
    fn place(&self, new: &Touched, serial: bool) -> Option<Place> {
        let mut owners: Vec<Option<usize>> = vec![None; new.tasks];
        let mut after = None;
        for (chain, link, old) in &self.open {
            for a in &old.operands {
                for b in new.operands.iter().filter(|b| a.meets(b)) {
                    for (u, owner) in owners.iter_mut().enumerate() {
                        for t in 0..self.group.chains[*chain].tasks {
                            let tasks = self.group.chains[*chain].links[*link].tasks(t);
                            let met = { tasks }.any(|task| meet(a.words.of_task(task), b.words.of_task(u)));
                            if !met {
                                continue;
                            }
                            if owner.is_some_and(|o| o != t) || after.is_some_and(|c| c != *chain) {
                                return None;
                            }
                            (*owner, after) = (Some(t), Some(*chain));
                        }
                    }
                }
            }
        }
        let Some(chain) = after else { return Some(Place::Beside) };
        // Beside a chain that one worker runs for its few words others wait: nothing larger joins it.
        if self.group.chains[chain].serial() && new.words() > SERIAL {
            return None;
        }
        // More tasks than the chain has would wait for each other where threads may be free. Those of one task of the
        // chain must be neighbours.
        if new.tasks > self.group.chains[chain].tasks && !serial {
            return None;
        }
        owners.iter().flatten().is_sorted().then_some(Place::After(chain, owners))
    }
}

fn span(view: View) -> Range<usize> {
    view.offset..view.offset + view.words
}

fn meet(a: &Range<usize>, b: &Range<usize>) -> bool {
    a.start < b.end && b.start < a.end
}
