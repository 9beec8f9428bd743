//! Gates: the comparison, choice and product that activation functions and their gradients are made of, as one step
//! over a block.
//!
//! A ReLU `x (x > 0 ? 1 : slope)`, mostly behind the sum with a bias, and its gradient `g (y > 0 ? 1 : slope)` are
//! bound by the loads and stores between their instructions, so that one step takes as long as each of the three or
//! four had. The operations are those of the instructions, and so is every bit of the result.

use super::blocks::{Source, lanes};
use super::code::Instr;
use super::ops::{BinaryOp, CompareOp, Lane};
use crate::simd::{SimdMath, WithSimdMath};

/// What runs over a block to make one value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Step {
    Plain(Instr),
    Gate(Gate<usize>),
}

/// `factor * (tested > threshold ? on : off)`, where the last three are constants.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Gate<V> {
    pub tested: Tested<V>,
    pub threshold: V,
    pub on: V,
    pub off: V,
    /// None: what is tested.
    pub factor: Option<V>,
}

/// What a gate tests.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Tested<V> {
    Value(V),
    /// `a + b`.
    Sum(V, V),
    /// `a * b + c`, as [`Instr::MulAdd`] has it.
    MulAdd(V, V, V),
}

impl<V: Copy> Gate<V> {
    fn values(&self) -> impl Iterator<Item = V> {
        let tested = match self.tested {
            Tested::Value(a) => [Some(a), None, None],
            Tested::Sum(a, b) => [Some(a), Some(b), None],
            Tested::MulAdd(a, b, c) => [Some(a), Some(b), Some(c)],
        };
        let others = [Some(self.threshold), Some(self.on), Some(self.off), self.factor];
        tested.into_iter().chain(others).flatten()
    }

    /// The same gate on what stands for each value.
    pub fn map<W>(self, f: impl Fn(V) -> W) -> Gate<W> {
        let tested = match self.tested {
            Tested::Value(a) => Tested::Value(f(a)),
            Tested::Sum(a, b) => Tested::Sum(f(a), f(b)),
            Tested::MulAdd(a, b, c) => Tested::MulAdd(f(a), f(b), f(c)),
        };
        let (threshold, on, off) = (f(self.threshold), f(self.on), f(self.off));
        Gate { tested, threshold, on, off, factor: self.factor.map(f) }
    }
}

impl Step {
    /// The values it reads.
    pub fn uses(&self) -> impl Iterator<Item = usize> {
        let (plain, gate) = match self {
            Step::Plain(instr) => (Some(instr.uses()), None),
            Step::Gate(gate) => (None, Some(gate.values())),
        };
        plain.into_iter().flatten().chain(gate.into_iter().flatten())
    }
}

/// The code as steps, of which step `k` makes value `k`; `results` are the values that stores and reductions read.
/// Values that only gates used are used by nobody now.
pub(super) fn steps(code: &[Instr], results: impl Iterator<Item = usize>) -> Vec<Step> {
    let mut steps: Vec<Step> =
        code.iter().map(|&instr| gate(code, instr).map_or(Step::Plain(instr), Step::Gate)).collect();
    let mut uses = vec![0; code.len()];
    results.for_each(|value| uses[value] += 1);
    for k in (0..code.len()).rev() {
        if uses[k] > 0 {
            steps[k].uses().for_each(|value| uses[value] += 1);
        }
    }
    for step in &mut steps {
        if let Step::Gate(Gate { tested, .. }) = step
            && let Tested::Value(value) = *tested
            && uses[value] == 1
        {
            match code[value] {
                Instr::Binary(BinaryOp::Add, a, b) => *tested = Tested::Sum(a, b),
                Instr::MulAdd(a, b, c) => *tested = Tested::MulAdd(a, b, c),
                _ => {}
            }
        }
    }
    steps
}

/// The gate that an instruction is the product of.
fn gate(code: &[Instr], instr: Instr) -> Option<Gate<usize>> {
    let Instr::Binary(BinaryOp::Mul, a, b) = instr else { return None };
    let constant = |value: usize| matches!(code[value], Instr::Const(_));
    [(a, b), (b, a)].into_iter().find_map(|(factor, chosen)| {
        let Instr::Select(positive, on, off) = code[chosen] else { return None };
        let Instr::Compare(CompareOp::Gt, Lane::F32, tested, threshold) = code[positive] else { return None };
        let factor = (factor != tested).then_some(factor);
        [threshold, on, off].into_iter().all(constant).then_some(Gate {
            tested: Tested::Value(tested),
            threshold,
            on,
            off,
            factor,
        })
    })
}

/// Runs a gate; contract as for [`Unary`](super::blocks::Unary), with 16 words behind each constant.
pub(super) struct Gated {
    pub gate: Gate<Source>,
    pub dst: *mut f32,
    pub n: usize,
}

impl WithSimdMath for Gated {
    type Output = ();

    #[inline(always)]
    unsafe fn call<S: SimdMath>(self, s: S) {
        let Gated { gate, dst, n } = self;
        // SAFETY: only words that the contract names are touched; the CPU feature is the caller's promise.
        unsafe {
            let threshold = s.load(gate.threshold.ptr);
            let (on, off) = (s.load(gate.on.ptr), s.load(gate.off.ptr));
            macro_rules! gated {
                ($x:expr, $factor:expr) => {
                    s.mul($factor, s.select(s.lt(threshold, $x), on, off))
                };
            }
            match (gate.tested, gate.factor) {
                (Tested::Value(a), None) => lanes!(s, dst, n, [x = a], gated!(x, x)),
                (Tested::Value(a), Some(f)) => lanes!(s, dst, n, [x = a, f = f], gated!(x, f)),
                (Tested::Sum(a, b), None) => lanes!(s, dst, n, [a = a, b = b], {
                    let x = s.add(a, b);
                    gated!(x, x)
                }),
                (Tested::Sum(a, b), Some(f)) => {
                    lanes!(s, dst, n, [a = a, b = b, f = f], gated!(s.add(a, b), f));
                }
                (Tested::MulAdd(a, b, c), None) => lanes!(s, dst, n, [a = a, b = b, c = c], {
                    let x = s.mul_add(a, b, c);
                    gated!(x, x)
                }),
                (Tested::MulAdd(a, b, c), Some(f)) => {
                    lanes!(s, dst, n, [a = a, b = b, c = c, f = f], gated!(s.mul_add(a, b, c), f));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::harness::{Noise, outputs};
    use super::super::tests::{pass, same, words};
    use super::super::{Load, PassSpec, Reduce, ReduceOp, Store};
    use super::*;
    use crate::isa::Isa;

    /// The pass of `code` over `loads` flat operands of `n` words, each result stored.
    fn spec(n: usize, loads: usize, code: &[Instr], results: &[usize]) -> PassSpec {
        PassSpec {
            dims: vec![n],
            loads: vec![Load::contiguous(&[n]); loads],
            code: code.to_vec(),
            stores: results.iter().map(|&value| Store::new(value)).collect(),
            reduces: vec![],
            keep: vec![],
        }
    }

    /// Codes with gates: loads, instructions, results, and the gates that are expected.
    fn codes() -> Vec<(usize, Vec<Instr>, Vec<usize>, usize)> {
        let tail = |x: usize, f: usize| {
            // Behind three loads: constants at 3..6, tested value x, factor f.
            vec![
                Instr::Const(0.0f32.to_bits()),
                Instr::Const(1.0f32.to_bits()),
                Instr::Const(0.2f32.to_bits()),
            ]
            .into_iter()
            .chain(match x {
                6 => Some(Instr::Binary(BinaryOp::Add, 0, 1)),
                7 => Some(Instr::MulAdd(0, 1, 2)),
                _ => None,
            })
            .chain({
                let (x, at) = if x >= 6 { (6, 7) } else { (x, 6) };
                let f = if f >= 6 { 6 } else { f };
                [
                    Instr::Compare(CompareOp::Gt, Lane::F32, x, 3),
                    Instr::Select(at, 4, 5),
                    Instr::Binary(BinaryOp::Mul, at + 1, f),
                ]
            })
            .collect::<Vec<Instr>>()
        };
        let mut list = Vec::new();
        for (x, f) in [(0, 0), (0, 1), (6, 6), (6, 2), (7, 7), (7, 2)] {
            let code: Vec<Instr> = (0..3).map(Instr::Load).chain(tail(x, f)).collect();
            let last = code.len() - 1;
            list.push((3, code.clone(), vec![last], 1));
            // The tested value, the comparison and the choice are wanted too.
            list.push((3, code, vec![last - 3, last - 2, last - 1, last], 1));
        }
        list
    }

    #[test]
    fn gates_give_the_bits_of_their_instructions() {
        for (loads, code, results, gates) in codes() {
            let steps = steps(&code, results.iter().copied());
            let found = steps.iter().filter(|step| matches!(step, Step::Gate(_))).count();
            assert_eq!(found, gates, "{code:?}");
            for n in [1, 7, 8, 31, 4099] {
                let inputs: Vec<Vec<u32>> = (0..loads).map(|i| words(n, i as u64 + 3)).collect();
                for isa in Isa::available() {
                    let got = outputs(&pass(spec(n, loads, &code, &results)), isa, &inputs);
                    // Each instruction alone: a pass that makes one value from those before.
                    let mut values: Vec<Vec<u32>> = Vec::new();
                    for &instr in &code {
                        let uses: Vec<usize> = instr.uses().collect();
                        let value = match instr {
                            Instr::Load(i) => inputs[i].clone(),
                            Instr::Const(word) => vec![word; n],
                            _ => {
                                let mut alone: Vec<Instr> = (0..uses.len()).map(Instr::Load).collect();
                                let place = |v: usize| uses.iter().position(|&u| u == v).unwrap_or(0);
                                alone.push(instr.renumbered(place));
                                let operands: Vec<Vec<u32>> =
                                    uses.iter().map(|&v| values[v].clone()).collect();
                                let alone = spec(n, uses.len(), &alone, &[uses.len()]);
                                outputs(&pass(alone), isa, &operands).remove(0)
                            }
                        };
                        values.push(value);
                    }
                    for (result, got) in results.iter().zip(&got) {
                        for (i, (&a, &b)) in got.iter().zip(&values[*result]).enumerate() {
                            assert!(same(a, b), "{isa:?} {code:?} value {result} at {i}: {a:#x} {b:#x}");
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn what_is_not_a_gate_stays() {
        let zero = Instr::Const(0);
        let one = Instr::Const(1.0f32.to_bits());
        let gate = |compare, off: usize| {
            vec![
                Instr::Load(0),
                Instr::Load(1),
                zero,
                one,
                compare,
                Instr::Select(4, 3, off),
                Instr::Binary(BinaryOp::Mul, 1, 5),
            ]
        };
        for (code, gates) in [
            (gate(Instr::Compare(CompareOp::Gt, Lane::F32, 0, 2), 2), 1),
            (gate(Instr::Compare(CompareOp::Ge, Lane::F32, 0, 2), 2), 0),
            (gate(Instr::Compare(CompareOp::Gt, Lane::I32, 0, 2), 2), 0),
            (gate(Instr::Compare(CompareOp::Gt, Lane::F32, 0, 1), 2), 0),
            (gate(Instr::Compare(CompareOp::Gt, Lane::F32, 0, 2), 1), 0),
        ] {
            let steps = steps(&code, std::iter::once(6));
            let found = steps.iter().filter(|step| matches!(step, Step::Gate(_))).count();
            assert_eq!(found, gates, "{code:?}");
        }
    }

    #[test]
    fn gated_sums_are_those_of_the_values() {
        // A reduction over a gate whose tested value is stored in place of an operand.
        let dims = vec![70, 33];
        let code = vec![
            Instr::Load(0),
            Instr::Load(1),
            Instr::Binary(BinaryOp::Add, 0, 1),
            Instr::Const(0),
            Instr::Const(1.0f32.to_bits()),
            Instr::Compare(CompareOp::Gt, Lane::F32, 2, 3),
            Instr::Select(5, 4, 3),
            Instr::Binary(BinaryOp::Mul, 2, 6),
        ];
        let spec = PassSpec {
            loads: vec![Load::contiguous(&dims); 2],
            dims,
            code,
            stores: vec![Store { alias: Some(0), ..Store::new(7) }],
            reduces: vec![Reduce { value: 7, op: ReduceOp::Sum, lane: Lane::F32 }],
            keep: vec![false, true],
        };
        let mut noise = Noise(5);
        let inputs = [noise.floats(70 * 33), noise.floats(70 * 33)];
        for isa in Isa::available() {
            let got = outputs(&pass(spec.clone()), isa, &inputs);
            for c in 0..33 {
                let value = |r: usize| f64::from(f32::from_bits(got[0][r * 33 + c]));
                let sum: f64 = (0..70).map(value).sum();
                let size: f64 = (0..70).map(|r| value(r).abs()).sum();
                let got = f64::from(f32::from_bits(got[1][c]));
                // 32 f32 additions a lane, then f64, then one rounding.
                assert!((got - sum).abs() <= 33.0 * 6e-8 * size, "{isa:?} column {c}: {got} {sum}");
            }
        }
    }
}
