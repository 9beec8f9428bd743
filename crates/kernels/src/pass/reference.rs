//! The scalar twin: a pass element by element, as its definition reads.

use super::code::Instr;
use super::kernel::PassSpec;
use super::ops::{Lane, ReduceOp, UnaryOp};
use crate::kernel::Element;

/// The value of every instruction for one element, given its index and what loads give there.
pub(super) fn eval(code: &[Instr], index: &[usize], load: impl Fn(usize) -> u32) -> Vec<u32> {
    let mut values: Vec<u32> = Vec::with_capacity(code.len());
    for instr in code {
        let v = |k: usize| values[k];
        let float = |k: usize| f32::from_bits(values[k]);
        values.push(match *instr {
            Instr::Load(i) => load(i),
            Instr::Const(word) => word,
            Instr::Iota(d) => index[d] as u32,
            Instr::Unary(op, a) => op.eval(v(a)),
            Instr::Binary(op, a, b) => op.eval(v(a), v(b)),
            Instr::MulAdd(a, b, c) => float(a).mul_add(float(b), float(c)).to_bits(),
            Instr::Compare(op, lane, a, b) => op.eval(lane, v(a), v(b)),
            Instr::Select(c, a, b) => {
                if v(c) != 0 {
                    v(a)
                } else {
                    v(b)
                }
            }
        });
    }
    values
}

/// Combines words in order, floats in f64.
pub fn reduce(op: ReduceOp, lane: Lane, words: impl Iterator<Item = u32>) -> u32 {
    match lane {
        Lane::F32 => {
            let start = f64::from(f32::from_bits(op.identity(lane)));
            let end = words.fold(start, |a, b| super::fold::join_float(a, f64::from(f32::from_bits(b)), op));
            (end as f32).to_bits()
        }
        Lane::I32 => words.fold(op.identity(lane), |a, b| match op {
            ReduceOp::Sum => a.wrapping_add(b),
            ReduceOp::Max => (a as i32).max(b as i32) as u32,
            ReduceOp::Min => (a as i32).min(b as i32) as u32,
        }),
        Lane::U32 => words.fold(op.identity(lane), |a, b| match op {
            ReduceOp::Sum => a.wrapping_add(b),
            ReduceOp::Max => a.max(b),
            ReduceOp::Min => a.min(b),
        }),
    }
}

/// All outputs of a pass (stores, then reductions) for inputs given as words.
pub fn run(spec: &PassSpec, inputs: &[Vec<u32>]) -> Vec<Vec<u32>> {
    let words: usize = spec.dims.iter().product();
    let mut stores = vec![Vec::with_capacity(words); spec.stores.len()];
    let kept: usize = (0..spec.dims.len())
        .filter(|&d| !spec.reduces.is_empty() && spec.keep[d])
        .map(|d| spec.dims[d])
        .product();
    let mut reduced = vec![vec![Vec::new(); kept]; spec.reduces.len()];
    let mut index = vec![0; spec.dims.len()];
    for element in 0..words {
        let mut rest = element;
        for d in (0..spec.dims.len()).rev() {
            index[d] = rest % spec.dims[d];
            rest /= spec.dims[d];
        }
        let values = eval(&spec.code, &index, |i| {
            let load = &spec.loads[i];
            let steps: isize = index.iter().zip(&load.strides).map(|(&i, &s)| i as isize * s).sum();
            let at = (load.offset as isize + steps) as usize;
            match load.element {
                Element::F32 => inputs[i][at],
                Element::Bf16 => inputs[i][at / 2] >> (at % 2 * 16) << 16,
            }
        });
        for (out, store) in stores.iter_mut().zip(&spec.stores) {
            out.push(values[store.value]);
        }
        for (out, reduce) in reduced.iter_mut().zip(&spec.reduces) {
            let at =
                (0..spec.dims.len()).filter(|&d| spec.keep[d]).fold(0, |at, d| at * spec.dims[d] + index[d]);
            out[at].push(values[reduce.value]);
        }
    }
    for (out, store) in stores.iter_mut().zip(&spec.stores) {
        if store.element == Element::Bf16 {
            let half = |value: u32| UnaryOp::RoundBf16.eval(value) >> 16;
            let pair = |two: &[u32]| half(two[0]) | two.get(1).map_or(0, |&value| half(value)) << 16;
            *out = out.chunks(2).map(pair).collect();
        }
    }
    for (out, spec) in reduced.into_iter().zip(&spec.reduces) {
        stores.push(out.into_iter().map(|list| reduce(spec.op, spec.lane, list.into_iter())).collect());
    }
    stores
}
