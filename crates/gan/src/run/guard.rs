//! What changes after a rollback: doing the same again would diverge again, and doing a little less of it may.

use super::{Observer, Run};
use crate::checkpoint::{self, Progress};
use crate::error::Error;
use crate::networks::Side;
use crate::recipe::Scheduled;
use crate::step::Applied;
use crate::trainer::StepReport;

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

/// How much larger than the loss beside it a penalty is that must be what ran away.
const DWARFS: f32 = 1e6;

/// The network whose penalty, and not whose loss, was too large in a step that dropped an update.
pub(super) fn penalty_to_blame(report: &StepReport) -> Option<Side> {
    let dwarfs = |penalty: f32, loss: f32| {
        loss.is_finite() && (!penalty.is_finite() || penalty.abs() > DWARFS * loss.abs().max(1.0))
    };
    if dwarfs(report.d_penalty, report.d_loss) {
        return Some(Side::Discriminator);
    }
    dwarfs(report.g_penalty, report.g_loss).then_some(Side::Generator)
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
    /// The penalties that are to blame, by their places in the recipe.
    fn blamed(&self) -> Vec<(usize, &Applied)> {
        let applied = self.trainer.objective().regularizers.iter().enumerate();
        applied.filter(|(_, r)| Some(r.side) == self.blamed && !r.regularizer.constrains()).collect()
    }

    fn advice(&self) -> String {
        let names: Vec<&str> = self.blamed().iter().map(|(_, r)| r.regularizer.name()).collect();
        match (self.blamed, names.is_empty()) {
            (Some(side), false) => format!(
                "What ran away is the {}'s penalty ({}): try a smaller strength",
                side.name(),
                names.join(", ")
            ),
            (Some(_) | None, _) => "Try a lower lr, a stronger gamma or clip_norm".into(),
        }
    }

    /// What to go on with after a divergence, each as `--set` takes it: a quarter of either network's learning rate, which
    /// keeps their schedules and what they are to each other; or, where a penalty is what ran away, its usual strength,
    /// or a tenth of one that is not above it.
    pub fn remedies(&self) -> Vec<String> {
        let blamed = self.blamed();
        if !blamed.is_empty() {
            let weaker = |(i, applied): (usize, &Applied)| {
                let usual = applied.regularizer.default_strength();
                let above = applied.strength.range().1 > usual;
                let strength = if above { Scheduled::constant(usual) } else { applied.strength.scaled(0.1) };
                format!("regularizers.{i}.strength={strength}")
            };
            return blamed.into_iter().map(weaker).collect();
        }
        let recipe = &self.trainer.objective().recipe;
        let slower =
            |(side, lr): (Side, &Scheduled)| format!("{}.optimizer.lr={}", side.name(), lr.scaled(0.25));
        let rates = [
            (Side::Generator, &recipe.generator.optimizer.lr),
            (Side::Discriminator, &recipe.discriminator.optimizer.lr),
        ];
        rates.map(slower).to_vec()
    }

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
            return Err(Error::Diverged { rollbacks, step, checkpoint: path, advice: self.advice() });
        }
        let to = checkpoint.progress.step;
        self.set_aside(to)?;
        self.tell_notes(observer);
        let calm = self.trainer.progress().calm_norms;
        self.trainer.restore(checkpoint, self.dataset.clone(), self.seed)?;
        let progress = self.trainer.progress_mut();
        // A checkpoint from before the first step knows no norms. Those of the attempt that failed say more than nothing, as
        // they were when it was calm: in its end they grew with what ran away, and would bound nothing.
        for (kept, was) in progress.usual_norms.iter_mut().zip(calm) {
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
