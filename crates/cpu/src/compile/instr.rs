//! Elementwise ops of the graph as instructions of a pass.

use ganymede_graph::DType;
use ganymede_graph::ops::elementwise::{Binary, Compare, Unary};
use ganymede_graph::ops::reduce::Reduction;
use ganymede_kernels::pass::{BinaryOp, CompareOp, Instr, Lane, ReduceOp, UnaryOp};
use std::collections::HashMap;

/// Instructions without repetitions.
#[derive(Debug, Default)]
pub struct Code {
    /// Instruction `k` gives value `k`.
    pub list: Vec<Instr>,
    seen: HashMap<Instr, usize>,
}

/// How words of an element type are read.
pub fn lane(dtype: DType) -> Lane {
    match dtype {
        DType::F32 | DType::Bf16 => Lane::F32,
        DType::I32 => Lane::I32,
        DType::U32 | DType::Bool => Lane::U32,
    }
}

/// The reduction of a pass.
pub fn reduce_op(kind: Reduction) -> ReduceOp {
    match kind {
        Reduction::Sum => ReduceOp::Sum,
        Reduction::Max => ReduceOp::Max,
        Reduction::Min => ReduceOp::Min,
    }
}

impl Code {
    /// The value of an instruction, which is appended unless it is there.
    pub fn push(&mut self, instr: Instr) -> usize {
        *self.seen.entry(instr).or_insert_with(|| {
            self.list.push(instr);
            self.list.len() - 1
        })
    }

    fn unary_op(&mut self, op: UnaryOp, a: usize) -> usize {
        self.push(Instr::Unary(op, a))
    }

    fn binary_op(&mut self, op: BinaryOp, a: usize, b: usize) -> usize {
        self.push(Instr::Binary(op, a, b))
    }

    /// Rounds to the element type that a float result is kept in.
    pub fn rounded(&mut self, value: usize, dtype: DType) -> usize {
        match dtype {
            DType::Bf16 => self.unary_op(UnaryOp::RoundBf16, value),
            DType::F32 | DType::I32 | DType::U32 | DType::Bool => value,
        }
    }

    /// A graph op on one value of type `dtype`.
    pub fn unary(&mut self, op: Unary, dtype: DType, a: usize) -> usize {
        let integer = dtype == DType::I32;
        let op = match op {
            Unary::Neg if integer => UnaryOp::IntNeg,
            Unary::Abs if integer => UnaryOp::IntAbs,
            Unary::Sign if integer => UnaryOp::IntSign,
            Unary::Neg => UnaryOp::Neg,
            Unary::Abs => UnaryOp::Abs,
            Unary::Sign => UnaryOp::Sign,
            Unary::Exp => UnaryOp::Exp,
            Unary::Expm1 => UnaryOp::Expm1,
            Unary::Log => UnaryOp::Log,
            Unary::Log1p => UnaryOp::Log1p,
            Unary::Sqrt => UnaryOp::Sqrt,
            Unary::Rsqrt => UnaryOp::Rsqrt,
            Unary::Tanh => UnaryOp::Tanh,
            Unary::Sigmoid => UnaryOp::Sigmoid,
            Unary::Softplus => UnaryOp::Softplus,
            Unary::Erf => UnaryOp::Erf,
            Unary::Erfinv => UnaryOp::Erfinv,
            Unary::Sin => UnaryOp::Sin,
            Unary::Cos => UnaryOp::Cos,
            Unary::Floor => UnaryOp::Floor,
            Unary::IsFinite => UnaryOp::IsFinite,
            Unary::Not => UnaryOp::Not,
        };
        self.unary_op(op, a)
    }

    /// A graph op on two values of type `dtype`.
    pub fn binary(&mut self, op: Binary, dtype: DType, a: usize, b: usize) -> usize {
        let lane = lane(dtype);
        let pick = |float, int, uint| match lane {
            Lane::F32 => float,
            Lane::I32 => int,
            Lane::U32 => uint,
        };
        let op = match op {
            Binary::Add => pick(BinaryOp::Add, BinaryOp::IntAdd, BinaryOp::IntAdd),
            Binary::Sub => pick(BinaryOp::Sub, BinaryOp::IntSub, BinaryOp::IntSub),
            Binary::Mul => pick(BinaryOp::Mul, BinaryOp::IntMul, BinaryOp::IntMul),
            Binary::Div => pick(BinaryOp::Div, BinaryOp::IntDiv, BinaryOp::UintDiv),
            Binary::Rem => pick(BinaryOp::Rem, BinaryOp::IntRem, BinaryOp::UintRem),
            Binary::Max => pick(BinaryOp::Max, BinaryOp::IntMax, BinaryOp::UintMax),
            Binary::Min => pick(BinaryOp::Min, BinaryOp::IntMin, BinaryOp::UintMin),
            Binary::Pow => BinaryOp::Pow,
            Binary::And => BinaryOp::And,
            Binary::Or => BinaryOp::Or,
            Binary::Xor => BinaryOp::Xor,
            Binary::Shl => {
                let count = self.shift_count(b);
                return self.binary_op(BinaryOp::Shl, a, count);
            }
            Binary::Shr => {
                let count = self.shift_count(b);
                let op = pick(BinaryOp::UintShr, BinaryOp::IntShr, BinaryOp::UintShr);
                return self.binary_op(op, a, count);
            }
        };
        self.binary_op(op, a, b)
    }

    /// The graph shifts by the low five bits of the count, kernels by all of it.
    fn shift_count(&mut self, b: usize) -> usize {
        if let Instr::Const(count) = self.list[b] {
            return self.push(Instr::Const(count & 31));
        }
        let mask = self.push(Instr::Const(31));
        self.binary_op(BinaryOp::And, b, mask)
    }

    /// A comparison of two values of type `dtype`.
    pub fn compare(&mut self, op: Compare, dtype: DType, a: usize, b: usize) -> usize {
        let op = match op {
            Compare::Eq => CompareOp::Eq,
            Compare::Ne => CompareOp::Ne,
            Compare::Lt => CompareOp::Lt,
            Compare::Le => CompareOp::Le,
            Compare::Gt => CompareOp::Gt,
            Compare::Ge => CompareOp::Ge,
        };
        self.push(Instr::Compare(op, lane(dtype), a, b))
    }

    /// A conversion between element types.
    pub fn convert(&mut self, from: DType, to: DType, a: usize) -> usize {
        let op = match (lane(from), to) {
            (Lane::F32, DType::F32 | DType::Bf16) => return self.rounded(a, to),
            (Lane::F32, DType::I32) => UnaryOp::FloatToInt,
            (Lane::F32, DType::U32) => UnaryOp::FloatToUint,
            (Lane::F32, DType::Bool) => UnaryOp::FloatToBool,
            (Lane::I32, DType::F32 | DType::Bf16) => UnaryOp::IntToFloat,
            (Lane::U32, DType::F32 | DType::Bf16) => UnaryOp::UintToFloat,
            (Lane::I32 | Lane::U32, DType::Bool) if from != DType::Bool => UnaryOp::IntToBool,
            // i32, u32 and truth values keep their bits.
            (Lane::I32 | Lane::U32, DType::I32 | DType::U32 | DType::Bool) => return a,
        };
        let value = self.unary_op(op, a);
        self.rounded(value, to)
    }

    /// `offset + sum coefficient * index` along dimensions, as i32.
    pub fn index(&mut self, offset: isize, terms: &[(usize, isize)]) -> usize {
        let mut sum = None;
        for &(dim, coefficient) in terms {
            let mut term = self.push(Instr::Iota(dim));
            if coefficient != 1 {
                let factor = self.push(Instr::Const(coefficient as i32 as u32));
                term = self.binary_op(BinaryOp::IntMul, term, factor);
            }
            sum = Some(match sum {
                Some(before) => self.binary_op(BinaryOp::IntAdd, before, term),
                None => term,
            });
        }
        match sum {
            Some(sum) if offset == 0 => sum,
            Some(sum) => {
                let shift = self.push(Instr::Const(offset as i32 as u32));
                self.binary_op(BinaryOp::IntAdd, sum, shift)
            }
            None => self.push(Instr::Const(offset as i32 as u32)),
        }
    }

    /// Replaces `a * b + c` by one instruction where the product has no other use. `kept` are values used from
    /// outside; their new numbers are returned in order.
    pub fn contract(self, kept: &[usize]) -> (Vec<Instr>, Vec<usize>) {
        let old = self.list;
        let mut uses = vec![0u32; old.len()];
        for &v in kept {
            uses[v] += 1;
        }
        for instr in &old {
            for v in operands(instr).into_iter().flatten() {
                uses[v] += 1;
            }
        }
        let mut fused: Vec<Option<Instr>> = vec![None; old.len()];
        for (k, instr) in old.iter().enumerate() {
            let Instr::Binary(BinaryOp::Add, a, b) = *instr else { continue };
            for (product, other) in [(a, b), (b, a)] {
                if let Instr::Binary(BinaryOp::Mul, x, y) = old[product]
                    && uses[product] == 1
                {
                    fused[k] = Some(Instr::MulAdd(x, y, other));
                    uses[product] = 0;
                    break;
                }
            }
        }
        let mut new = Vec::with_capacity(old.len());
        let mut place = vec![0; old.len()];
        for (k, instr) in old.iter().enumerate() {
            if uses[k] == 0 {
                continue;
            }
            let at = |v: usize| place[v];
            new.push(match fused[k].unwrap_or(*instr) {
                Instr::Load(_) | Instr::Const(_) | Instr::Iota(_) => *instr,
                Instr::Unary(op, a) => Instr::Unary(op, at(a)),
                Instr::Binary(op, a, b) => Instr::Binary(op, at(a), at(b)),
                Instr::MulAdd(a, b, c) => Instr::MulAdd(at(a), at(b), at(c)),
                Instr::Compare(op, lane, a, b) => Instr::Compare(op, lane, at(a), at(b)),
                Instr::Select(c, a, b) => Instr::Select(at(c), at(a), at(b)),
            });
            place[k] = new.len() - 1;
        }
        (new, kept.iter().map(|&v| place[v]).collect())
    }
}

/// The values an instruction uses.
fn operands(instr: &Instr) -> [Option<usize>; 3] {
    match *instr {
        Instr::Load(_) | Instr::Const(_) | Instr::Iota(_) => [None; 3],
        Instr::Unary(_, a) => [Some(a), None, None],
        Instr::Binary(_, a, b) | Instr::Compare(_, _, a, b) => [Some(a), Some(b), None],
        Instr::MulAdd(a, b, c) | Instr::Select(a, b, c) => [Some(a), Some(b), Some(c)],
    }
}
