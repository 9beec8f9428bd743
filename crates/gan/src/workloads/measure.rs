//! Timing whole training steps.

use super::profile::{KernelTime, kernel_times};
use crate::cost;
use crate::error::Error;
use crate::memory::{self, Memory};
use crate::networks::Side;
use crate::step::{Objective, feed};
use ganymede_cpu::{Executor, PhaseId, Precision, Session, has_tiles};
use ganymede_kernels::peak::Peak;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::time::{Instant, SystemTime};

/// Steps before the clock starts.
const WARM_UP: usize = 3;
/// Timed repetitions.
const REPETITIONS: usize = 5;
/// Least time of a repetition in seconds, reached by doing several steps.
const SPAN: f64 = 0.8;
/// The same where the measurement is brief.
const BRIEF: (usize, f64) = (3, 0.25);

/// Figures of a workload on this machine.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Measurement {
    /// Workload.
    pub workload: String,
    /// Samples a step.
    pub batch: usize,
    /// Trainable parameters of the generator and of the discriminator.
    pub parameters: [usize; 2],
    /// Least milliseconds a step over the repetitions.
    pub ms_min: f64,
    /// Median milliseconds a step.
    pub ms_med: f64,
    /// From the start of the process to the end of the first step, in milliseconds.
    pub first_step_ms: f64,
    /// Contraction work of a step in GFLOP.
    pub gflop: f64,
    /// That work over the median time.
    pub gflops: f64,
    /// What the machine was measured to do at best in this arithmetic, in GFLOP/s.
    pub peak_gflops: f64,
    /// `gflops` over `peak_gflops`. Fast algorithms do less than the nominal work, so it may exceed 1.
    pub peak_share: f64,
    /// Measured rate of streams through memory in GB/s.
    pub memory_gbs: f64,
    /// Largest resident set of this process so far, in MB (2^20 bytes).
    pub rss_mb: u64,
    /// What was predicted for it.
    pub predicted_mb: u64,
    /// Threads used.
    pub threads: usize,
    /// Instruction set used.
    pub isa: String,
    /// Whether bf16 is multiplied on the CPU's matrix unit.
    pub matrix_unit: bool,
    /// Arithmetic of the contractions: `f32` or `bf16`.
    pub precision: String,
    /// What was done about the memory of activations: `normal` or `low`.
    pub memory: String,
    /// Bytes of the arena for activations and gradients, in MB (2^20 bytes).
    pub arena_mb: f64,
    /// Time by kernel, where asked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub kernels: Vec<KernelTime>,
}

/// How a workload is measured.
#[derive(Clone, Copy, Debug)]
pub struct Measuring {
    /// With the time of each kernel.
    pub profile: bool,
    /// Fewer and shorter repetitions, for figures that need not be exact.
    pub brief: bool,
    /// When this process began.
    pub began: SystemTime,
    /// What the machine can do; measured after the workload where it is not known.
    pub peak: Option<Peak>,
}

/// Deterministic numbers of about unit variance: what the data are does not matter for speed.
fn noise(values: &mut [f32]) {
    let mut state = 0x2545_f491_4f6c_dd1du64;
    for v in values {
        let mut sum = 0.0;
        for _ in 0..3 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            sum += (state >> 40) as f32 / (1u32 << 24) as f32 - 0.5;
        }
        *v = 2.0 * sum;
    }
}

pub(super) struct Steps {
    objective: Objective,
    pub(super) session: Session,
    critic: PhaseId,
    generator: PhaseId,
    done: u64,
}

impl Steps {
    fn new(objective: Objective, executor: Arc<Executor>) -> Result<Self, Error> {
        let store = objective.initial_state_on(0, &executor)?;
        let mut session = Session::new(executor, store);
        session.set_precision(objective.recipe.train.precision);
        session.set_memory(objective.recipe.train.memory);
        let due = vec![true; objective.regularizers.len()];
        let functions = [
            ("discriminator".to_string(), objective.discriminator_phase(&due)?),
            ("generator".to_string(), objective.generator_phase(&due)?),
        ];
        let [critic, generator] = session.add_phases(&functions)?[..] else {
            unreachable!("a phase was added for each function")
        };
        drop(functions);
        for phase in [critic, generator] {
            let recipe = &objective.recipe;
            let optimizer = &recipe.generator.optimizer;
            for (name, schedule) in [
                (feed::LR, Some(&optimizer.lr)),
                (feed::BETA1, optimizer.beta1.as_ref()),
                (feed::BETA2, optimizer.beta2.as_ref()),
            ] {
                if let Some(schedule) = schedule {
                    session.feed_mut(phase, name)?[0] = schedule.at(0, 1) as f32;
                }
            }
            session.feed_words_mut(phase, feed::KEY)?.copy_from_slice(&[7, 0]);
        }
        for (i, applied) in objective.regularizers.iter().enumerate() {
            let phase = if applied.side == Side::Discriminator { critic } else { generator };
            session.feed_mut(phase, &feed::strength(i))?[0] = applied.strength.at(0, 1) as f32;
        }
        noise(session.feed_mut(critic, feed::REAL)?);
        Ok(Self { objective, session, critic, generator, done: 0 })
    }

    pub(super) fn phases(&self) -> [PhaseId; 2] {
        [self.critic, self.generator]
    }

    pub(super) fn step(&mut self) -> Result<(), Error> {
        let first = self.done * self.objective.recipe.train.batch as u64;
        for phase in self.phases() {
            self.session
                .feed_words_mut(phase, feed::FIRST)?
                .copy_from_slice(&[first as u32, (first >> 32) as u32]);
            if !self.session.run(phase)?.committed {
                return Err(Error::Refused(format!(
                    "workload `{}` gave values that are not finite at step {}",
                    self.objective.recipe.name, self.done
                )));
            }
        }
        self.done += 1;
        Ok(())
    }
}

/// Times a workload in this process.
///
/// # Errors
/// It cannot be compiled, memory is short, or its values are not finite.
pub fn measure(
    objective: Objective,
    executor: Arc<Executor>,
    settings: Measuring,
) -> Result<Measurement, Error> {
    let (threads, isa) = (executor.threads(), executor.isa().name().to_string());
    let workload = objective.recipe.name.clone();
    let batch = objective.recipe.train.batch;
    let parameters =
        [Side::Generator, Side::Discriminator].map(|side| objective.params(side).count_trainable());
    let mut steps = Steps::new(objective, executor.clone())?;
    steps.step()?;
    // A clock that was set back in between would say that it took no time.
    let first_step_ms = settings.began.elapsed().unwrap_or_default().as_secs_f64() * 1e3;
    for _ in 1..WARM_UP {
        steps.step()?;
    }
    let began = Instant::now();
    steps.step()?;
    let one = began.elapsed().as_secs_f64();
    let (repetitions, span) = if settings.brief { BRIEF } else { (REPETITIONS, SPAN) };
    let count = ((span / one) as usize).max(1);
    let mut times = Vec::with_capacity(repetitions);
    for _ in 0..repetitions {
        let began = Instant::now();
        for _ in 0..count {
            steps.step()?;
        }
        times.push(began.elapsed().as_secs_f64() * 1e3 / count as f64);
    }
    times.sort_by(f64::total_cmp);
    let median = times[repetitions / 2];
    let flops: u64 = steps.phases().iter().map(|&p| steps.session.stats(p).contraction_flops).sum();
    // Before anything else is done that takes memory.
    let rss_mb = memory::peak_of_this_process() >> 20;
    let cost = cost::of_session(&steps.session, &steps.phases());
    let arena = cost.phases.iter().map(|p| p.1.scratch_bytes).max().unwrap_or(0);
    let predicted_mb = Memory::of_steps(&cost, threads).total() >> 20;
    let peak = match settings.peak {
        Some(peak) => peak,
        None => executor.peak()?,
    };
    let precision = steps.session.precision();
    let peak_gflops = match peak.bf16_gflops {
        Some(rate) if precision == Precision::Bf16 => rate,
        Some(_) | None => peak.f32_gflops,
    };
    let kernels = if settings.profile { kernel_times(&mut steps, &peak, peak_gflops)? } else { Vec::new() };
    let gflops = flops as f64 / (median * 1e6);
    Ok(Measurement {
        workload,
        batch,
        parameters,
        ms_min: times[0],
        ms_med: median,
        first_step_ms,
        gflop: flops as f64 * 1e-9,
        gflops,
        peak_gflops,
        peak_share: gflops / peak_gflops,
        memory_gbs: peak.memory_gbs,
        rss_mb,
        predicted_mb,
        threads,
        isa,
        matrix_unit: has_tiles(executor.isa()),
        precision: precision.name().to_string(),
        memory: steps.session.memory().name().to_string(),
        arena_mb: arena as f64 / f64::from(1 << 20),
        kernels,
    })
}
