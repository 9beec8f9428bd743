//! Depthwise gather: vectors of channels, nothing to reduce but the taps.

use super::gather::{GatherTask, Row, TapWalk, WEIGHTS};
use crate::simd::{Simd, WithSimd};

/// Pixels of a tile.
const HEIGHT: usize = 4;

/// A [`GatherTask`] over single-channel groups.
pub(super) struct DepthwiseRun<'a>(pub GatherTask<'a>);

impl WithSimd for DepthwiseRun<'_> {
    type Output = ();

    #[inline(always)]
    unsafe fn call<S: Simd>(self, simd: S) {
        let (task, plan) = (&self.0, self.0.plan);
        let weights = task.operands.ptr(WEIGHTS).cast_const();
        let channels = plan.out.c;
        let paired = channels / (2 * S::LANES) * (2 * S::LANES);
        for block in task.blocks {
            // SAFETY: this task's scratch and the plan's operands.
            unsafe { task.list_rows(block) };
            let walk = plan.walk(block);
            let orders = [
                &plan.axes[0].order[walk.tap_first / plan.kernel[1]..],
                &plan.axes[1].order[walk.tap_first % plan.kernel[1]..],
            ];
            for done in (0..block.count).step_by(HEIGHT) {
                // SAFETY: the list repeats its last row at least HEIGHT times; every channel range lies inside
                // the images and the weights.
                unsafe {
                    let args = Args { walk: &walk, orders, weights, channels, kernel_w: plan.kernel[1] };
                    let (rows, count) = (task.rows.add(done).cast_const(), block.count - done);
                    for c in (0..paired).step_by(2 * S::LANES) {
                        tile::<S, 2>(simd, &args, rows, count, c, 2 * S::LANES);
                    }
                    for c in (paired..channels).step_by(S::LANES) {
                        tile::<S, 1>(simd, &args, rows, count, c, channels - c);
                    }
                }
            }
            // SAFETY: all channels of the block are written.
            unsafe { task.announce(block) };
        }
    }
}

struct Args<'a> {
    walk: &'a TapWalk,
    /// Filter coordinates of the taps in use.
    orders: [&'a [usize]; 2],
    weights: *const f32,
    channels: usize,
    kernel_w: usize,
}

/// Channels `c .. c + min(left, NV vectors)` of at most `HEIGHT` rows.
///
/// # Safety
/// The CPU supports `S::ISA`; `HEIGHT` rows can be read and `count` written.
#[inline(always)]
unsafe fn tile<S: Simd, const NV: usize>(
    simd: S,
    args: &Args<'_>,
    rows: *const Row,
    count: usize,
    c: usize,
    left: usize,
) {
    let walk = args.walk;
    // With NV = 2 the caller has all lanes, and the masks below fold away.
    let lanes = if NV == 1 { left.min(S::LANES) } else { S::LANES };
    // SAFETY: the caller's promises; no word past `lanes` of the last vector is touched.
    unsafe {
        let mut acc = [[simd.zero(); NV]; HEIGHT];
        for ty in 0..walk.rows {
            for tx in 0..walk.runs {
                let tap =
                    *args.orders[0].get_unchecked(ty) * args.kernel_w + *args.orders[1].get_unchecked(tx);
                let w = args.weights.add(tap * args.channels + c);
                let shift = ty * walk.row_step + tx * walk.run_step + c;
                for v in 0..NV {
                    let b = load(simd, w.add(v * S::LANES), lanes);
                    for (m, acc) in acc.iter_mut().enumerate() {
                        let x = load(simd, (*rows.add(m)).src.add(shift + v * S::LANES), lanes);
                        acc[v] = simd.mul_add(x, b, acc[v]);
                    }
                }
            }
        }
        for (m, acc) in acc.iter().enumerate() {
            if m < count {
                for (v, acc) in acc.iter().enumerate() {
                    simd.store_first((*rows.add(m)).out.add(c + v * S::LANES), *acc, lanes);
                }
            }
        }
    }
}

/// # Safety
/// The CPU supports `S::ISA`, and `lanes <= S::LANES` words can be read.
#[inline(always)]
unsafe fn load<S: Simd>(simd: S, p: *const f32, lanes: usize) -> S::F {
    // SAFETY: the caller's promise.
    unsafe { if lanes == S::LANES { simd.load(p) } else { simd.load_first(p, lanes) } }
}
