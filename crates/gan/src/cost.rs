//! What a step costs, without running it: the figures of `--dry-run` and of the committed cost snapshots.

use crate::error::Error;
use crate::networks::Side;
use crate::step::{Objective, TrainingPhase, Work};
use crate::{judge, run, sampler};
use ganymede_cpu::{PhaseId, PhaseStats, Session, Target, plan_phases, plan_within};
use ganymede_nn::{LayerRow, Params};

/// Work and memory of a training step.
#[derive(Clone, Debug)]
pub struct Cost {
    /// Floating-point operations of the contractions in one generator step and its discriminator steps, averaged over
    /// lazy regularization.
    pub flops: u64,
    /// State, scratch, constants and feeds together.
    pub peak_bytes: u64,
    /// Parameters, moments, averages and statistics: the size of a checkpoint.
    pub state_bytes: u64,
    /// Bytes of gradients that are added up over the parts of a batch: state that no checkpoint keeps.
    pub accumulated_bytes: u64,
    /// The phases by name.
    pub phases: Vec<(String, PhaseStats)>,
}

impl Objective {
    /// Parameters and layer table of one network.
    pub fn describe(&self, side: Side) -> (Params, Vec<LayerRow>) {
        let sample = &self.recipe.data.shape;
        match side {
            Side::Generator => self.generator.describe(&[self.recipe.latent.dim], sample, side),
            Side::Discriminator => self.discriminator.describe(&self.recipe.judged_shape(), sample, side),
        }
    }

    /// Bytes of the whole state.
    pub fn state_bytes(&self) -> u64 {
        let mut words = 0;
        for side in [Side::Generator, Side::Discriminator] {
            let params = self.params(side);
            words += params.iter().map(|s| s.ty.len()).sum::<usize>();
            words += self.extra_state(side, &params).iter().map(|s| s.ty.len()).sum::<usize>();
        }
        4 * words as u64
    }
}

/// Plans every phase of a step for a target, its precision and memory included, and adds up. They share an
/// arena, as those of a trainer's session do.
pub fn of_step(objective: &Objective, target: Target) -> Result<Cost, Error> {
    let (mut sets, mut names, mut functions) = (Vec::new(), Vec::new(), Vec::new());
    for TrainingPhase { side, due, work, function: (name, function) } in objective.phases()? {
        sets.push((side, work, due));
        names.push(name);
        functions.push(function);
    }
    let phases: Vec<_> = names.into_iter().zip(plan_phases(&functions, target)?).collect();
    let steps = 64u64;
    let mean = |side: Side| {
        let of_step = |n: u64| {
            let due = objective.due(side, n);
            let computes = |s: &&(Side, Work, Vec<bool>)| s.0 == side && s.1 != Work::Apply && s.2 == due;
            let at = sets.iter().position(|s| computes(&s));
            at.map_or(0, |at| phases[at].1.contraction_flops) * objective.recipe.train.accumulate as u64
        };
        (0..steps).map(of_step).sum::<u64>() / steps
    };
    let flops =
        mean(Side::Discriminator) * objective.recipe.train.critic_steps as u64 + mean(Side::Generator);
    let state_bytes = objective.state_bytes();
    let accumulated_bytes = objective.accumulators().iter().map(|(_, ty)| 4 * ty.len() as u64).sum();
    let peak_bytes = state_bytes + accumulated_bytes + held(&phases);
    Ok(Cost { flops, peak_bytes, state_bytes, accumulated_bytes, phases })
}

/// Bytes of the arena that phases share.
fn arena(phases: &[(String, PhaseStats)]) -> usize {
    phases.iter().map(|p| p.1.scratch_bytes).max().unwrap_or(0)
}

/// As [`of_step`], with the memory of the samples that a run draws at each tick.
pub fn of_run(objective: &Objective, target: Target) -> Result<Cost, Error> {
    let mut cost = of_step(objective, target)?;
    let (samples, _) = run::samples_drawn(&objective.recipe.data.shape, objective.recipe.data.classes);
    let batch = sampler::batch_for(objective, samples);
    let arena = arena(&cost.phases);
    cost.phases.push(("sample".into(), plan_within(&objective.sample_phase(batch, None)?, target, arena)?));
    if objective.recipe.data.shape.len() == 3
        && let Some(batch) = judge::batch_of_many(objective)
    {
        // Where samples are held out, the discriminator is asked about them.
        let arena = self::arena(&cost.phases);
        cost.phases.push(("judge".into(), plan_within(&objective.judge_phase(batch)?, target, arena)?));
    }
    let sample: usize = objective.recipe.data.shape.iter().product();
    // The samples themselves, as numbers and as the picture's bytes.
    let drawn = samples * sample * (size_of::<f32>() + 1);
    cost.peak_bytes = cost.state_bytes + cost.accumulated_bytes + held(&cost.phases) + drawn as u64;
    Ok(cost)
}

/// Bytes beside the state: phases share their scratch, not their feeds, outputs and constants.
fn held(phases: &[(String, PhaseStats)]) -> u64 {
    let other: usize = phases.iter().map(|p| p.1.constant_bytes + p.1.feed_bytes + p.1.output_bytes).sum();
    (arena(phases) + other) as u64
}

/// What a session's phases cost.
pub fn of_session(session: &Session, phases: &[PhaseId]) -> Cost {
    let phases: Vec<_> = phases.iter().map(|&p| (String::new(), session.stats(p).clone())).collect();
    let state_bytes = session.store().total_bytes() as u64;
    let flops = phases.iter().map(|p| p.1.contraction_flops).sum();
    Cost { flops, peak_bytes: state_bytes + held(&phases), state_bytes, accumulated_bytes: 0, phases }
}
