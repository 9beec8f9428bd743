//! What changes after a rollback: doing the same again would diverge again, and doing a little less of it may.

use super::{Observer, Run};
use crate::checkpoint::{self, Progress};
use crate::error::Error;

/// Steps with values that are not finite, one after the other, before rolling back.
pub(super) const MAX_SKIPS: u32 = 5;
/// Rollbacks before giving up.
pub(super) const MAX_ROLLBACKS: u32 = 3;
/// Factor on the learning rates after a rollback.
const ROLLBACK_LR: f64 = 0.5;
/// Factor on bounds of the gradients' norms that are set already.
const TIGHTER: f64 = 0.5;

/// Changes what the next attempt does, more with each rollback, and says what:
///
/// 1. the learning rates are halved;
/// 2. they are halved again, and gradients are clipped at the norm that nine of ten steps stayed below up to the checkpoint:
///    what makes values run away is the long tail of the norms, which a bound inside it cuts and most steps do not meet
///    (Pascanu, Mikolov, Bengio 2013; a quantile of the norms as the bound: Seetharaman et al. 2020);
/// 3. both once more: rates halved, bounds halved.
///
/// Weights, moments and average are those of the checkpoint.
pub(super) fn escalate(progress: &mut Progress) -> String {
    progress.rollbacks += 1;
    progress.lr_scale *= ROLLBACK_LR;
    let mut said = format!("lowered the learning rates to {} of the recipe's", progress.lr_scale);
    if progress.rollbacks < 2 {
        return said;
    }
    for (bound, usual) in progress.norm_bounds.iter_mut().zip(progress.usual_norms) {
        *bound = if *bound > 0.0 { *bound * TIGHTER } else { usual };
    }
    match progress.norm_bounds {
        [0.0, 0.0] => {
            said.push_str(", but bounded no gradients: no step has shown yet how long they usually are")
        }
        [d, g] => {
            let of = |what: &str, bound: f64| format!("{bound:.3e} ({what})");
            let bounds = [("discriminator", d), ("generator", g)];
            let set: Vec<String> =
                bounds.iter().filter(|b| b.1 > 0.0).map(|(what, b)| of(what, *b)).collect();
            said.push_str(&format!(" and clipped gradients at a norm of {}", set.join(" and ")));
        }
    }
    said
}

/// What has failed so often that doing it again would be in vain: whole steps, or one phase each time that it was due.
pub(super) fn stuck(progress: &Progress) -> Option<String> {
    if progress.skipped_in_a_row >= MAX_SKIPS {
        return Some(format!("{MAX_SKIPS} steps in a row"));
    }
    let (name, _) = progress.failing.iter().find(|(_, count)| **count >= MAX_SKIPS)?;
    Some(format!("{MAX_SKIPS} steps of {name} in a row"))
}

/// Takes all of it back.
pub(super) fn relax(progress: &mut Progress) {
    (progress.rollbacks, progress.lr_scale, progress.rolled_back_to) = (0, 1.0, None);
    (progress.norm_bounds, progress.skipped_in_a_row) = ([0.0; 2], 0);
    progress.failing.clear();
}

impl Run {
    /// Puts the newest sound checkpoint back, and changes what is done from there ([`escalate`]).
    pub(super) fn roll_back(&mut self, stuck: &str, observer: &mut dyn Observer) -> Result<(), Error> {
        let progress = self.trainer.progress();
        let (step, rollbacks) = (progress.step, progress.rollbacks);
        // No good step since the last rollback: the checkpoint itself may hold the seed of it. An older one is tried.
        let barren = progress.rolled_back_to.filter(|at| step <= at + u64::from(MAX_SKIPS));
        let older = barren.and_then(|at| checkpoint::open_before(&self.folder.checkpoints(), at));
        let (checkpoint, warnings) = match older {
            Some(found) => found,
            None => checkpoint::open(&self.folder.root)?,
        };
        for warning in warnings {
            observer.note(&warning);
        }
        let path = checkpoint.path.display().to_string();
        if rollbacks >= MAX_ROLLBACKS {
            return Err(Error::Diverged { rollbacks, step, checkpoint: path });
        }
        let to = checkpoint.progress.step;
        self.set_aside(to)?;
        self.tell_notes(observer);
        let usual = self.trainer.progress().usual_norms;
        self.trainer.restore(checkpoint, self.dataset.clone(), self.seed)?;
        let progress = self.trainer.progress_mut();
        // A checkpoint from before the first step knows no norms: those of the attempt that failed say more than nothing.
        for (kept, was) in progress.usual_norms.iter_mut().zip(usual) {
            *kept = if *kept > 0.0 { *kept } else { was };
        }
        progress.rolled_back_to = Some(to);
        let changed = escalate(progress);
        let message = format!(
            "{stuck} gave values that are not finite: rolled back from step {step} to {path} and \
             {changed} (rollback {} of {MAX_ROLLBACKS})",
            progress.rollbacks
        );
        let event = serde_json::json!({
            "event": "rollback", "from_step": step, "to_step": progress.step,
            "lr_scale": progress.lr_scale, "norm_bounds": progress.norm_bounds, "rollbacks": progress.rollbacks,
        });
        // A run that is killed now must not come back with the rates that made it diverge.
        self.save()?;
        self.append_log(&event)?;
        observer.note(&message);
        Ok(())
    }
}
