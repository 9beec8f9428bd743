//! An order of calls in which those that make room come early.

use super::facts::specs;
use crate::compile::ir::{Call, Value};
use ganymede_kernels::kernel::Access;

/// A call makes room if it writes less than this share of what it reads: a sum, or the gradient of weights that are
/// smaller than the activations it sums over.
const LESS: usize = 4;

/// The numbers of the calls in an order in which each that makes room runs as soon as what it reads is there, and all
/// others as they stand. The backward pass of a layer then has the gradient of the weights before that of the input, and
/// the layer's activations need not wait beside the latter.
pub fn room_first(calls: &[Call], commit: usize, values: &[Value]) -> Vec<usize> {
    // Calls before each one that must be done, and those that wait for it.
    let mut missing = vec![0usize; commit];
    let mut waiting: Vec<Vec<usize>> = vec![Vec::new(); commit];
    let mut makes_room = vec![false; commit];
    let mut writers: Vec<Vec<usize>> = vec![Vec::new(); values.len()];
    let mut readers: Vec<Vec<usize>> = vec![Vec::new(); values.len()];
    for (i, call) in calls[..commit].iter().enumerate() {
        let mut before: Vec<usize> = Vec::new();
        let (mut read, mut written) = (0, 0);
        for (operand, spec) in call.operands.iter().zip(specs(&call.work)) {
            before.extend(&writers[operand.value]);
            if spec.access == Access::Read {
                read += operand.words;
            } else {
                before.extend(&readers[operand.value]);
                written += operand.words;
            }
        }
        for (operand, spec) in call.operands.iter().zip(specs(&call.work)) {
            let list = if spec.access == Access::Read { &mut readers } else { &mut writers };
            if list[operand.value].last() != Some(&i) {
                list[operand.value].push(i);
            }
        }
        before.sort_unstable();
        before.dedup();
        before.retain(|&k| k != i);
        missing[i] = before.len();
        before.iter().for_each(|&k| waiting[k].push(i));
        makes_room[i] = written * LESS <= read;
    }
    let mut order = Vec::with_capacity(calls.len());
    let mut done = vec![false; commit];
    let mut ready: Vec<usize> = Vec::new();
    for i in 0..commit {
        if done[i] {
            continue;
        }
        ready.push(i);
        // In the order in which they stand; what is pushed last is done first.
        while let Some(call) = ready.pop() {
            done[call] = true;
            order.push(call);
            for &next in waiting[call].iter().rev() {
                missing[next] -= 1;
                if missing[next] == 0 && makes_room[next] {
                    ready.push(next);
                }
            }
        }
    }
    order.extend(commit..calls.len());
    order
}
