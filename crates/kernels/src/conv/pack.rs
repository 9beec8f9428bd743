//! Packing the weights of a `Gather` into the order in which its tiles read them.
//!
//! * Dense: `[group][panel][tap][source channel][channel of the panel]`, zeros past the last channel;
//! * Dot: `[group][output channel][tap][source channel]`.
//!
//! Taps are in the order of [`Axis::order`](super::axis::Axis).

use super::gather::{Gather, Method, PACKED, WEIGHTS, share};
use super::tile::lanes;
use crate::kernel::Operands;

/// Tasks of the packing stage.
const TASKS: usize = 32;

/// Pieces that can be packed apart: a panel (or an output channel) at one filter row.
fn pieces(plan: &Gather) -> usize {
    let columns = match plan.method {
        Method::Dense => plan.panels(),
        Method::Dot => plan.out_group(),
        Method::Depthwise => 0,
    };
    plan.groups * columns * plan.kernel[0]
}

/// Number of tasks.
pub(super) fn tasks(plan: &Gather) -> usize {
    pieces(plan).min(TASKS)
}

/// Runs one task.
///
/// # Safety
/// As [`Gather::run`].
pub(super) unsafe fn run(plan: &Gather, task: usize, operands: &Operands<'_>) {
    // SAFETY: weights are only read.
    let weights = unsafe { operands.read(WEIGHTS) };
    let width = match plan.method {
        Method::Dense => plan.panel_width(),
        Method::Dot | Method::Depthwise => 1,
    };
    let (src_group, out_group) = (plan.src_group(), plan.out_group());
    let [kh, kw] = plan.kernel;
    let columns = out_group.div_ceil(width);
    for piece in share(pieces(plan), task, tasks(plan)) {
        let (unit, ty) = (piece / kh, piece % kh);
        let (group, first) = (unit / columns, unit % columns * width);
        let cols = width.min(out_group - first);
        let (group_cols, step) = match plan.method {
            Method::Dense => {
                (out_group.next_multiple_of(lanes(plan.isa)), cols.next_multiple_of(lanes(plan.isa)))
            }
            Method::Dot | Method::Depthwise => (out_group, 1),
        };
        let begin = (group * group_cols + first) * kh * kw * src_group + ty * kw * src_group * step;
        // SAFETY: pieces are disjoint ranges of the workspace, in the order of their index.
        let packed = unsafe { operands.write(PACKED, begin..begin + kw * src_group * step) };
        for (tx, packed) in packed.chunks_exact_mut(src_group * step).enumerate() {
            let tap = plan.axes[0].order[ty] * kw + plan.axes[1].order[tx];
            let [src_step, out_step, group_step] = plan.weight_steps;
            let from = &weights[tap * plan.tap_words + group * group_step + first * out_step..];
            if out_step == 1 {
                for (s, packed) in packed.chunks_exact_mut(step).enumerate() {
                    packed[..cols].copy_from_slice(&from[s * src_step..][..cols]);
                    packed[cols..].fill(0.0);
                }
            } else {
                transpose(from, out_step, packed, step, cols);
            }
        }
    }
}

/// `packed[s * step + t] = from[t * row + s]` for `t < cols`, 0 for `cols <= t < step`.
fn transpose(from: &[f32], row: usize, packed: &mut [f32], step: usize, cols: usize) {
    const SIDE: usize = 4;
    let len = packed.len() / step;
    let (whole_len, whole_cols) = (len / SIDE * SIDE, cols / SIDE * SIDE);
    for s in (0..whole_len).step_by(SIDE) {
        for t in (0..whole_cols).step_by(SIDE) {
            // Squares of literal size, which compilers turn into shuffles.
            let mut lines = [[0.0f32; SIDE]; SIDE];
            for (i, line) in lines.iter_mut().enumerate() {
                line.copy_from_slice(&from[(t + i) * row + s..][..SIDE]);
            }
            for i in 0..SIDE {
                let column: [f32; SIDE] = [lines[0][i], lines[1][i], lines[2][i], lines[3][i]];
                packed[(s + i) * step + t..][..SIDE].copy_from_slice(&column);
            }
        }
    }
    for s in 0..len {
        let packed = &mut packed[s * step..(s + 1) * step];
        let first = if s < whole_len { whole_cols } else { 0 };
        for t in first..cols {
            packed[t] = from[t * row + s];
        }
        packed[cols..].fill(0.0);
    }
}
