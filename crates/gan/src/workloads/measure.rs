//! Timing whole training steps.

use crate::error::Error;
use crate::step::{Objective, feed};
use ganymede_cpu::{Executor, PhaseId, ProfileEntry, Session};
use serde::Serialize;
use std::sync::Arc;
use std::time::Instant;

/// Steps before the clock starts.
const WARM_UP: usize = 3;
/// Timed repetitions.
const REPETITIONS: usize = 5;
/// Least time of a repetition in seconds, reached by doing several steps.
const SPAN: f64 = 0.8;

/// Figures of a workload on this machine.
#[derive(Clone, Debug, Serialize)]
pub struct Measurement {
    /// Workload.
    pub workload: String,
    /// Samples a step.
    pub batch: usize,
    /// Least milliseconds a step over the repetitions.
    pub ms_min: f64,
    /// Median milliseconds a step.
    pub ms_med: f64,
    /// Contraction work of a step over the median time.
    pub gflops: f64,
    /// Largest resident set of this process so far, in MB (2^20 bytes).
    pub rss_mb: u64,
    /// What the plan predicted for state, scratch, constants and feeds, in MB.
    pub planned_mb: u64,
    /// Threads used.
    pub threads: usize,
    /// Instruction set used.
    pub isa: String,
    /// Arithmetic of the contractions: `f32` or `bf16`.
    pub precision: &'static str,
    /// Time by kernel, where asked for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub kernels: Vec<KernelTime>,
}

/// Time spent in one kind of kernel.
#[derive(Clone, Debug, Serialize)]
pub struct KernelTime {
    /// Kernel and the place in the networks it serves.
    pub label: String,
    /// Milliseconds a step.
    pub ms: f64,
    /// Its rate.
    pub gflops: f64,
}

/// Largest resident set of this process, from the operating system; 0 where it does not say.
pub fn peak_rss_mb() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:"));
    line.and_then(|l| l.split_whitespace().next()?.parse::<u64>().ok()).map_or(0, |kb| kb / 1024)
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

struct Steps {
    objective: Objective,
    session: Session,
    critic: PhaseId,
    generator: PhaseId,
    done: u64,
}

impl Steps {
    fn new(objective: Objective, executor: Arc<Executor>) -> Result<Self, Error> {
        let mut session = Session::new(executor, objective.initial_state(0)?);
        session.set_precision(objective.recipe.train.precision.into());
        let due = vec![true; objective.regularizers.len()];
        let critic = session.add_phase("discriminator", &objective.discriminator_phase(&due)?)?;
        let generator = session.add_phase("generator", &objective.generator_phase()?)?;
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
        for (i, (_, strength, _)) in objective.regularizers.iter().enumerate() {
            session.feed_mut(critic, &feed::strength(i))?[0] = strength.at(0, 1) as f32;
        }
        noise(session.feed_mut(critic, feed::REAL)?);
        Ok(Self { objective, session, critic, generator, done: 0 })
    }

    fn step(&mut self) -> Result<(), Error> {
        let first = self.done * self.objective.recipe.train.batch as u64;
        for phase in [self.critic, self.generator] {
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
pub fn measure(objective: Objective, executor: Arc<Executor>, profile: bool) -> Result<Measurement, Error> {
    let (threads, isa) = (executor.threads(), executor.isa().name().to_string());
    let workload = objective.recipe.name.clone();
    let batch = objective.recipe.train.batch;
    let mut steps = Steps::new(objective, executor)?;
    for _ in 0..WARM_UP {
        steps.step()?;
    }
    let began = Instant::now();
    steps.step()?;
    let one = began.elapsed().as_secs_f64();
    let count = ((SPAN / one) as usize).max(1);
    let mut times = Vec::with_capacity(REPETITIONS);
    for _ in 0..REPETITIONS {
        let began = Instant::now();
        for _ in 0..count {
            steps.step()?;
        }
        times.push(began.elapsed().as_secs_f64() * 1e3 / count as f64);
    }
    times.sort_by(f64::total_cmp);
    let median = times[REPETITIONS / 2];
    let flops: u64 =
        [steps.critic, steps.generator].iter().map(|&p| steps.session.stats(p).contraction_flops).sum();
    let precision = steps.session.precision().name();
    let rss_mb = peak_rss_mb();
    let planned_mb = steps.session.memory_bytes() as u64 >> 20;
    let kernels = if profile { kernel_times(&mut steps)? } else { Vec::new() };
    Ok(Measurement {
        workload,
        batch,
        ms_min: times[0],
        ms_med: median,
        gflops: flops as f64 / (median * 1e6),
        rss_mb,
        planned_mb,
        threads,
        isa,
        precision,
        kernels,
    })
}

/// Ten profiled steps after the timed ones, which the clock reads of a profile would slow down.
fn kernel_times(steps: &mut Steps) -> Result<Vec<KernelTime>, Error> {
    const STEPS: usize = 10;
    steps.session.set_profiling(true);
    let mut sums: Vec<(String, u64, u64)> = Vec::new();
    for _ in 0..STEPS {
        steps.step()?;
        for phase in [steps.critic, steps.generator] {
            for ProfileEntry { label, kernel, nanoseconds, flops } in steps.session.profile(phase) {
                let key = format!("{kernel} {label}");
                match sums.iter_mut().find(|s| s.0 == key) {
                    Some(sum) => {
                        sum.1 += nanoseconds;
                        sum.2 += flops;
                    }
                    None => sums.push((key, nanoseconds, flops)),
                }
            }
        }
    }
    steps.session.set_profiling(false);
    sums.sort_by_key(|s| std::cmp::Reverse(s.1));
    Ok(sums
        .into_iter()
        .map(|(label, ns, flops)| KernelTime {
            label,
            ms: ns as f64 / 1e6 / STEPS as f64,
            gflops: if ns > 0 { flops as f64 / ns as f64 } else { 0.0 },
        })
        .collect())
}
