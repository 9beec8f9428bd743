//! The gather with very few output channels: vectors run along the source channels (and along taps that are
//! neighbours in memory), and their lanes are summed at the end.

use super::gather::{GatherTask, PACKED, Row, TapWalk};
use crate::simd::{Simd, WithSimd};

/// The most output channels a group may have.
pub(super) const MAX_OUTPUTS: usize = 4;

/// A [`GatherTask`] with dot products.
pub(super) struct DotRun<'a>(pub GatherTask<'a>);

impl WithSimd for DotRun<'_> {
    type Output = ();

    #[inline(always)]
    unsafe fn call<S: Simd>(self, simd: S) {
        let (task, plan) = (&self.0, self.0.plan);
        let taps = plan.kernel[0] * plan.kernel[1];
        let (src_group, out_group) = (plan.src_group(), plan.out_group());
        for block in task.blocks {
            // SAFETY: this task's scratch and the plan's operands.
            unsafe { task.list_rows(block) };
            let walk = plan.walk(block);
            for group in task.units.clone() {
                let first = (group * out_group * taps + walk.tap_first) * src_group;
                // SAFETY: inside the packed weights, since `tap_first < taps`; rows, walk and outputs as in the
                // dense gather.
                unsafe {
                    let args = DotArgs {
                        walk: &walk,
                        src_shift: group * src_group,
                        out_shift: group * out_group,
                        weights: task.operands.ptr(PACKED).cast_const().add(first),
                        output_step: taps * src_group,
                    };
                    match out_group {
                        1 => rows::<S, 8, 1>(simd, &args, task.rows, block.count),
                        2 => rows::<S, 4, 2>(simd, &args, task.rows, block.count),
                        3 => rows::<S, 3, 3>(simd, &args, task.rows, block.count),
                        _ => rows::<S, 2, 4>(simd, &args, task.rows, block.count),
                    }
                }
            }
            // SAFETY: all units of the block are written.
            unsafe { task.announce(block) };
        }
    }
}

struct DotArgs<'a> {
    walk: &'a TapWalk,
    src_shift: usize,
    out_shift: usize,
    weights: *const f32,
    /// Packed words between output channels.
    output_step: usize,
}

/// # Safety
/// As the dense gather's `panel`, with `MR <= MAX_HEIGHT` and `NC` output channels.
#[inline(always)]
unsafe fn rows<S: Simd, const MR: usize, const NC: usize>(
    simd: S,
    args: &DotArgs<'_>,
    rows: *const Row,
    count: usize,
) {
    let walk = args.walk;
    for done in (0..count).step_by(MR) {
        // SAFETY: at most MAX_HEIGHT rows past `count` are read, which repeat the last one.
        unsafe {
            let rows = rows.add(done);
            let mut acc = [[simd.zero(); NC]; MR];
            for ty in 0..walk.rows {
                let mut w = args.weights.add(ty * walk.row_taps * walk.channels);
                for run in 0..walk.runs {
                    let shift = args.src_shift + ty * walk.row_step + run * walk.run_step;
                    let mut src = [std::ptr::null::<f32>(); MR];
                    for (m, p) in src.iter_mut().enumerate() {
                        *p = (*rows.add(m)).src.add(shift);
                    }
                    let full = walk.run_words / S::LANES * S::LANES;
                    let mut k = 0;
                    while k < full {
                        let mut b = [simd.zero(); NC];
                        for (c, b) in b.iter_mut().enumerate() {
                            *b = simd.load(w.add(c * args.output_step + k));
                        }
                        for m in 0..MR {
                            let x = simd.load(src[m].add(k));
                            for c in 0..NC {
                                acc[m][c] = simd.mul_add(x, b[c], acc[m][c]);
                            }
                        }
                        k += S::LANES;
                    }
                    if full < walk.run_words {
                        let left = walk.run_words - full;
                        for (m, acc) in acc.iter_mut().enumerate() {
                            let x = simd.load_first(src[m].add(full), left);
                            for (c, acc) in acc.iter_mut().enumerate() {
                                let b = simd.load_first(w.add(c * args.output_step + full), left);
                                *acc = simd.mul_add(x, b, *acc);
                            }
                        }
                    }
                    w = w.add(walk.run_words);
                }
            }
            for (m, acc) in acc.iter().enumerate() {
                if done + m < count {
                    let out = (*rows.add(m)).out.add(args.out_shift);
                    for (c, acc) in acc.iter().enumerate() {
                        *out.add(c) = sum_lanes(simd, *acc);
                    }
                }
            }
        }
    }
}

/// The sum of a vector's lanes, in a fixed order.
///
/// # Safety
/// The CPU supports `S::ISA`.
#[inline(always)]
unsafe fn sum_lanes<S: Simd>(simd: S, v: S::F) -> f32 {
    const { assert!(S::LANES == 8 || S::LANES == 16) }
    let mut lanes = [0.0f32; 16];
    // SAFETY: at most 16 lanes are stored.
    unsafe { simd.store(lanes.as_mut_ptr(), v) };
    // Halves, with literal lengths, which compilers turn into vector additions.
    let (mut eight, mut four) = ([0.0f32; 8], [0.0f32; 4]);
    for i in 0..8 {
        eight[i] = lanes[i] + lanes[i + 8];
    }
    for i in 0..4 {
        four[i] = eight[i] + eight[i + 4];
    }
    (four[0] + four[2]) + (four[1] + four[3])
}
