//! Transforming the weights: G g G' for every pair of channels, phase by phase, into the order in which the register
//! tiles read them, `[job][point][phase of the outputs][panel][phase of the source, channel][channel of the panel]`.

use super::super::gather::{PACKED, WEIGHTS, share};
use super::axis::Phase;
use super::transform::{MAX_POINTS, MAX_TAPS, Points, WithPoints, run_with_points};
use super::{CHANNELS, Job, Winograd};
use crate::kernel::Operands;
use crate::simd::Simd;

/// Tasks of the stage.
const TASKS: usize = 64;

/// A piece that can be transformed apart: a job, phases of source and outputs, some source channels, a panel.
fn pieces(plan: &Winograd) -> usize {
    plan.jobs.iter().map(filters).sum::<usize>() * (plan.src.c / CHANNELS) * plan.panels()
}

/// Filters between phases of the source and of the outputs.
fn filters(job: &Job) -> usize {
    job.pairs.len() * job.results.len()
}

pub(super) fn tasks(plan: &Winograd) -> usize {
    pieces(plan).min(TASKS)
}

/// Squares of channels at every point, where source channels are neighbours in memory and outputs must become so.
pub(super) fn local_words(plan: &Winograd) -> usize {
    if plan.weight_steps[1] == 1 { 0 } else { MAX_POINTS * MAX_POINTS * CHANNELS * CHANNELS }
}

/// Runs one task.
///
/// # Safety
/// As [`Winograd::run`].
pub(super) unsafe fn run(plan: &Winograd, task: usize, operands: &Operands<'_>, local: &mut [f32]) {
    let (groups, panels) = (plan.src.c / CHANNELS, plan.panels());
    for piece in share(pieces(plan), task, tasks(plan)) {
        let (panel, rest) = (piece % panels, piece / panels);
        let (group, mut filter) = (rest % groups, rest / groups);
        let mut jobs = plan.jobs.iter();
        let job = loop {
            let job = jobs.next().expect("pieces are counted over these jobs");
            if filter < filters(job) {
                break job;
            }
            filter -= filters(job);
        };
        let body = Piece {
            plan,
            job,
            pair: filter % job.pairs.len(),
            result: filter / job.pairs.len(),
            first: group * CHANNELS,
            panel,
            operands,
            local: local.as_mut_ptr(),
        };
        // SAFETY: the caller's promises.
        unsafe { run_with_points(plan.isa, job.axes.each_ref().map(Phase::points), body) }
    }
}

/// `CHANNELS` source channels from `first` on of one phase, by one panel of a phase of the outputs.
#[derive(Clone, Copy)]
struct Piece<'a> {
    plan: &'a Winograd,
    job: &'a Job,
    pair: usize,
    result: usize,
    first: usize,
    panel: usize,
    operands: &'a Operands<'a>,
    local: *mut f32,
}

impl WithPoints for Piece<'_> {
    #[inline(always)]
    unsafe fn call<S: Simd, Y: Points, X: Points>(self, s: S) {
        let Piece { plan, job, pair, result, first, panel, operands, local } = self;
        let width = plan.panel_width();
        let columns = width.min(plan.out.c - panel * width);
        let [src_step, out_step] = plan.weight_steps;
        let (pair, result) = (&job.pairs[pair], &job.results[result]);
        let slots = || pair.slots.iter().zip(&result.slots).map(|(row, column)| row.zip(*column)).enumerate();
        let taps = [0, 1].map(|axis| job.axes[axis].taps(pair.of[axis], result.of[axis]));
        // SAFETY: channels lie inside the weights, slots and panels inside the packed ones, where a piece has words of
        // its own; the local buffer holds a square of channels for every point.
        unsafe {
            let weights = operands.ptr(WEIGHTS).cast_const();
            let packed = |point: usize, (row, column): (usize, usize)| {
                let (row, column) = (row * plan.src.c + first, column * plan.out.c + panel * width);
                let at = job.weights_at[point] + column * job.depths[point] + row * columns;
                operands.ptr(PACKED).add(at)
            };
            for column in (0..columns).step_by(S::LANES) {
                let output = (panel * width + column) * out_step;
                if out_step == 1 {
                    for c in 0..CHANNELS {
                        let from = weights.add((first + c) * src_step + output);
                        let out = transformed::<S, Y, X>(s, from, plan, taps);
                        for (point, slot) in slots() {
                            let Some(slot) = slot else { continue };
                            let value = out[point / X::N][point % X::N];
                            s.store(packed(point, slot).add(c * columns + column), value);
                        }
                    }
                    continue;
                }
                for c in (0..CHANNELS).step_by(S::LANES) {
                    for lane in 0..S::LANES {
                        let from = weights.add((first + c) * src_step + output + lane * out_step);
                        let out = transformed::<S, Y, X>(s, from, plan, taps);
                        for point in 0..Y::N * X::N {
                            let value = out[point / X::N][point % X::N];
                            s.store(local.add((point * S::LANES + lane) * S::LANES), value);
                        }
                    }
                    for (point, slot) in slots() {
                        let Some(slot) = slot else { continue };
                        let square = local.add(point * S::LANES * S::LANES);
                        let to = packed(point, slot).add(c * columns + column);
                        s.transpose(square, S::LANES, S::LANES, S::LANES, to, columns);
                    }
                }
            }
        }
    }
}

/// The transform of the filters that begin at `from`, one in each lane.
///
/// # Safety
/// The CPU supports `S::ISA`, and a vector can be read at every tap of `from`.
#[inline(always)]
unsafe fn transformed<S: Simd, Y: Points, X: Points>(
    s: S,
    from: *const f32,
    plan: &Winograd,
    taps: [&[usize]; 2],
) -> [[S::F; MAX_POINTS]; MAX_POINTS] {
    // SAFETY: the caller's promise.
    unsafe {
        let mut g = [[s.zero(); MAX_TAPS]; MAX_TAPS];
        for (row, &ty) in g.iter_mut().zip(taps[0]) {
            for (value, &tx) in row.iter_mut().zip(taps[1]) {
                *value = s.load(from.add((ty * plan.kernel_width + tx) * plan.tap_words));
            }
        }
        // Rows first: G g.
        let mut rows = [[s.zero(); MAX_TAPS]; MAX_POINTS];
        for (i, row) in rows.iter_mut().enumerate().take(Y::N) {
            for (x, value) in row.iter_mut().enumerate() {
                *value = combined(s, Y::G[i], [g[0][x], g[1][x], g[2][x]]);
            }
        }
        let mut out = [[s.zero(); MAX_POINTS]; MAX_POINTS];
        for (out, row) in out.iter_mut().zip(&rows).take(Y::N) {
            for (j, value) in out.iter_mut().enumerate().take(X::N) {
                *value = combined(s, X::G[j], *row);
            }
        }
        out
    }
}

/// Sum of three values by three factors, most of which the compiler knows.
///
/// # Safety
/// The CPU supports `S::ISA`.
#[inline(always)]
unsafe fn combined<S: Simd>(s: S, factors: [f32; MAX_TAPS], values: [S::F; MAX_TAPS]) -> S::F {
    // SAFETY: the caller's promise.
    unsafe {
        let mut sum = s.mul(s.splat(factors[0]), values[0]);
        for t in 1..MAX_TAPS {
            sum = s.mul_add(s.splat(factors[t]), values[t], sum);
        }
        sum
    }
}
