//! Transforming the weights: G g G' for every pair of channels, phase by phase, into the order in which the register
//! tiles read them, `[job][point][phase of the outputs][panel][phase of the source, channel][channel of the panel]`.

use super::super::gather::{PACKED, WEIGHTS, share};
use super::axis::Phase;
use super::transform::{MAX_POINTS, MAX_TAPS, Points, WithPoints, run_with_points};
use super::{CHANNELS, Job, Problem};
use crate::kernel::Operands;
use crate::simd::Simd;
use std::ops::Range;

/// Tasks of the stage.
const TASKS: usize = 64;

/// A piece that can be transformed apart: a job, phases of source and outputs, some source channels, a panel.
fn pieces(problem: &Problem) -> usize {
    problem.jobs.iter().map(filters).sum::<usize>() * (problem.src.c / CHANNELS) * problem.panels()
}

/// Filters between phases of the source and of the outputs.
fn filters(job: &Job) -> usize {
    job.pairs.len() * job.results.len()
}

pub(super) fn tasks(problem: &Problem) -> usize {
    pieces(problem).min(TASKS)
}

/// Squares of channels at every point, where source channels are neighbours in memory and outputs must become so.
pub(super) fn local_words(problem: &Problem) -> usize {
    if problem.weight_steps[1] == 1 { 0 } else { MAX_POINTS * MAX_POINTS * CHANNELS * CHANNELS }
}

/// Runs one task.
///
/// # Safety
/// As [`Winograd::run`](super::Winograd::run).
pub(super) unsafe fn run(problem: &Problem, task: usize, operands: &Operands<'_>, local: &mut [f32]) {
    let (groups, panels) = (problem.src.c / CHANNELS, problem.panels());
    for piece in share(pieces(problem), task, tasks(problem)) {
        let (panel, rest) = (piece % panels, piece / panels);
        let (group, mut filter) = (rest % groups, rest / groups);
        let mut jobs = problem.jobs.iter();
        let job = loop {
            let job = jobs.next().expect("pieces are counted over these jobs");
            if filter < filters(job) {
                break job;
            }
            filter -= filters(job);
        };
        let filters = Filters {
            problem,
            job,
            pair: filter % job.pairs.len(),
            result: filter / job.pairs.len(),
            first: group * CHANNELS,
            panel,
        };
        let body = Piece { filters, operands, square: local.as_mut_ptr() };
        // SAFETY: the caller's promises.
        unsafe { run_with_points(problem.isa, job.axes.each_ref().map(Phase::points), body) }
    }
}

/// Filters from `CHANNELS` source channels of one phase to one panel of a phase of the outputs.
#[derive(Clone, Copy)]
pub(super) struct Filters<'a> {
    pub problem: &'a Problem,
    pub job: &'a Job,
    /// Numbers of the phases of source and outputs.
    pub pair: usize,
    pub result: usize,
    /// The first source channel.
    pub first: usize,
    pub panel: usize,
}

impl Filters<'_> {
    /// The panel's output channels.
    pub fn columns(&self) -> Range<usize> {
        let width = self.problem.panel_width();
        self.panel * width..self.problem.out.c.min((self.panel + 1) * width)
    }

    /// G g G' at every point, a row of columns for each channel. `to` tells where the first row belongs, from the
    /// point and the positions of the two phases among those with a part there.
    ///
    /// # Safety
    /// The CPU supports `S::ISA`; the weights are those of the problem, the rows at `to` have room; `square` has
    /// [`local_words`].
    #[inline(always)]
    pub unsafe fn transform<S: Simd, Y: Points, X: Points>(
        &self,
        s: S,
        operands: &Operands<'_>,
        square: *mut f32,
        to: impl Fn(usize, usize, usize) -> *mut f32,
    ) {
        let Filters { problem, job, first, .. } = *self;
        let [src_step, out_step] = problem.weight_steps;
        let (pair, result) = (&job.pairs[self.pair], &job.results[self.result]);
        let taps = [0, 1].map(|axis| job.axes[axis].taps(pair.of[axis], result.of[axis]));
        let columns = self.columns();
        // SAFETY: channels lie inside the weights, rows where `to` says; the square holds one for every point.
        unsafe {
            let mut rows = [std::ptr::null_mut::<f32>(); MAX_POINTS * MAX_POINTS];
            for (point, (row, column)) in pair.slots.iter().zip(&result.slots).enumerate() {
                if let (Some(row), Some(column)) = (row, column) {
                    rows[point] = to(point, *row, *column);
                }
            }
            let rows = || rows.iter().enumerate().take(Y::N * X::N).filter(|(_, row)| !row.is_null());
            let weights = operands.ptr(WEIGHTS).cast_const();
            for column in (0..columns.len()).step_by(S::LANES) {
                let output = (columns.start + column) * out_step;
                if out_step == 1 {
                    for c in 0..CHANNELS {
                        let from = weights.add((first + c) * src_step + output);
                        let out = transformed::<S, Y, X>(s, from, problem, taps);
                        for (point, row) in rows() {
                            let value = out[point / X::N][point % X::N];
                            s.store(row.add(c * columns.len() + column), value);
                        }
                    }
                    continue;
                }
                for c in (0..CHANNELS).step_by(S::LANES) {
                    for lane in 0..S::LANES {
                        let from = weights.add((first + c) * src_step + output + lane * out_step);
                        let out = transformed::<S, Y, X>(s, from, problem, taps);
                        for point in 0..Y::N * X::N {
                            let value = out[point / X::N][point % X::N];
                            s.store(square.add((point * S::LANES + lane) * S::LANES), value);
                        }
                    }
                    for (point, row) in rows() {
                        let square = square.add(point * S::LANES * S::LANES);
                        let to = row.add(c * columns.len() + column);
                        s.transpose(square, S::LANES, S::LANES, S::LANES, to, columns.len());
                    }
                }
            }
        }
    }
}

/// Filters that go to their place in the workspace.
struct Piece<'a> {
    filters: Filters<'a>,
    operands: &'a Operands<'a>,
    square: *mut f32,
}

impl WithPoints for Piece<'_> {
    #[inline(always)]
    unsafe fn call<S: Simd, Y: Points, X: Points>(self, s: S) {
        let Piece { filters, operands, square } = self;
        let Filters { problem, job, first, .. } = filters;
        let columns = filters.columns();
        let to = |point: usize, row: usize, column: usize| {
            let (row, column) = (row * problem.src.c + first, column * problem.out.c + columns.start);
            let at = job.weights_at[point] + column * job.depths[point] + row * columns.len();
            operands.ptr(PACKED).wrapping_add(at)
        };
        // SAFETY: slots and panels lie inside the packed weights, where a piece has words of its own.
        unsafe { filters.transform::<S, Y, X>(s, operands, square, to) }
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
    problem: &Problem,
    taps: [&[usize]; 2],
) -> [[S::F; MAX_POINTS]; MAX_POINTS] {
    // SAFETY: the caller's promise.
    unsafe {
        let mut g = [[s.zero(); MAX_TAPS]; MAX_TAPS];
        for (row, &ty) in g.iter_mut().zip(taps[0]) {
            for (value, &tx) in row.iter_mut().zip(taps[1]) {
                *value = s.load(from.add((ty * problem.kernel_width + tx) * problem.tap_words));
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
