//! Which phases keep failing. A network's step with one set of lazy regularizers may fail each time while its other steps go
//! through: then no two steps in a row fail, and yet what falls due there never happens.

use super::Trainer;
use crate::networks::Side;
use std::collections::BTreeSet;

impl Trainer {
    /// What a phase of this step came to. Kept where it can matter alone: names are made of no step that goes well.
    pub(super) fn note_outcome(&mut self, side: Side, due: &[bool], committed: bool) {
        if !committed || !self.progress.failing.is_empty() {
            self.outcomes.push((self.objective.phase_name(side, due), committed));
        }
    }

    /// Counts, at the end of a step, for each phase that ran in it, the steps in a row in which an update of it was dropped.
    pub(super) fn count_failures(&mut self) {
        let outcomes = std::mem::take(&mut self.outcomes);
        let dropped: BTreeSet<&String> = outcomes.iter().filter(|o| !o.1).map(|o| &o.0).collect();
        let failing = &mut self.progress.failing;
        for (name, _) in outcomes.iter().filter(|(name, _)| !dropped.contains(name)) {
            failing.remove(name);
        }
        for name in dropped {
            let count = failing.entry(name.clone()).or_insert(0);
            *count = count.saturating_add(1);
        }
    }
}
