//! Which phases training takes: for each network one for every set of its regularizers that falls due together.

use super::{Applied, Objective};
use crate::networks::Side;
use ganymede_graph::{Function, GraphError};

/// What a phase of training does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Work {
    /// A whole step of a network.
    Step,
    /// The gradients of one part of a batch, added to those of the others.
    Accumulate,
    /// The step along gradients that were added up.
    Apply,
}

/// A step of one network with some of its regularizers, or a part of it.
pub struct TrainingPhase {
    /// The network that it trains.
    pub side: Side,
    /// Which regularizers it applies.
    pub due: Vec<bool>,
    /// What of the step it does.
    pub work: Work,
    /// Its name and what it computes.
    pub function: (String, Function),
}

impl Objective {
    /// Which regularizers step number `n` (from 0) of a network applies: its own whose interval divides n.
    pub fn due(&self, side: Side, n: u64) -> Vec<bool> {
        let due = |r: &Applied| r.side == side && n.is_multiple_of(r.every as u64);
        self.regularizers.iter().map(due).collect()
    }

    /// The regularizers of one network that `due` names.
    pub(super) fn applied<'a>(
        &'a self,
        side: Side,
        due: &'a [bool],
    ) -> impl Iterator<Item = (usize, &'a Applied)> {
        let named = move |i: usize| due.get(i).copied().unwrap_or(false);
        self.regularizers.iter().enumerate().filter(move |(i, r)| r.side == side && named(*i))
    }

    /// Every set of a network's regularizers that falls due together at some step. Intervals repeat after their least
    /// common multiple; sets are looked for over that many steps, or 4096 if it is larger, and a set that first falls
    /// due later is compiled when it does.
    pub fn due_sets(&self, side: Side) -> Vec<Vec<bool>> {
        let gcd = |mut a: u64, mut b: u64| {
            while b != 0 {
                (a, b) = (b, a % b);
            }
            a
        };
        let period = self
            .regularizers
            .iter()
            .filter(|r| r.side == side)
            .fold(1u64, |l, r| (l / gcd(l, r.every as u64)).saturating_mul(r.every as u64))
            .min(4096);
        let mut sets: Vec<Vec<bool>> = Vec::new();
        for n in 0..period {
            let due = self.due(side, n);
            if !sets.contains(&due) {
                sets.push(due);
            }
        }
        sets
    }

    /// The step of one network with the given regularizers.
    pub fn phase(&self, side: Side, due: &[bool]) -> Result<Function, GraphError> {
        match side {
            Side::Discriminator => self.discriminator_phase(due),
            Side::Generator => self.generator_phase(due),
        }
    }

    /// Every step that training takes, for each network and each set of its regularizers that falls due together.
    pub fn phases(&self) -> Result<Vec<TrainingPhase>, GraphError> {
        let sides = [Side::Discriminator, Side::Generator];
        let whole = self.recipe.train.accumulate == 1;
        let mut phases = Vec::new();
        for side in sides {
            let sets = self.due_sets(side);
            let work = if whole { Work::Step } else { Work::Accumulate };
            for due in &sets {
                phases.push(self.training_phase(side, work, due)?);
            }
            let mut applied: Vec<Vec<bool>> = Vec::new();
            for due in sets.iter().filter(|_| !whole).map(|due| self.constraints_of(due)) {
                if !applied.contains(&due) {
                    phases.push(self.training_phase(side, Work::Apply, &due)?);
                    applied.push(due);
                }
            }
        }
        Ok(phases)
    }

    /// One of them.
    pub fn training_phase(&self, side: Side, work: Work, due: &[bool]) -> Result<TrainingPhase, GraphError> {
        let name = self.phase_name(side, due);
        let function = match work {
            Work::Step => (name, self.phase(side, due)?),
            Work::Accumulate => (format!("{name}, part"), self.phase(side, due)?),
            Work::Apply => (format!("{name}, apply"), self.apply_phase(side, due)?),
        };
        Ok(TrainingPhase { side, due: due.to_vec(), work, function })
    }

    /// Name of that step: the network, and what is applied.
    pub fn phase_name(&self, side: Side, due: &[bool]) -> String {
        let applied = self.applied(side, due).map(|(_, r)| r.regularizer.name());
        [side.name()].into_iter().chain(applied).collect::<Vec<_>>().join("+")
    }

    /// Of the regularizers that are due, those whose constraint a step along added gradients applies.
    pub(crate) fn constraints_of(&self, due: &[bool]) -> Vec<bool> {
        due.iter().zip(&self.regularizers).map(|(due, r)| *due && r.regularizer.constrains()).collect()
    }
}
