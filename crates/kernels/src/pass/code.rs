//! What a pass is made of, and its check.

use super::ops::{BinaryOp, CompareOp, Lane, ReduceOp, UnaryOp};
use crate::kernel::Element;
use std::fmt;

/// Most instructions of one pass; longer chains are split by whoever builds them.
pub const MAX_CODE: usize = 256;

/// One instruction; instruction `k` produces value `k` and uses values below `k`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Instr {
    /// The element of input `i`.
    Load(usize),
    /// The same word everywhere.
    Const(u32),
    /// The index along a dimension of the domain, as i32.
    Iota(usize),
    /// An operation on one value.
    Unary(UnaryOp, usize),
    /// An operation on two values.
    Binary(BinaryOp, usize, usize),
    /// f32 `a * b + c`, with one rounding where the instruction set has it.
    MulAdd(usize, usize, usize),
    /// A comparison, giving a truth value.
    Compare(CompareOp, Lane, usize, usize),
    /// The second value where the first is not the word 0, else the third.
    Select(usize, usize, usize),
}

impl Instr {
    /// The values it uses; unused places repeat the first.
    pub fn uses(self) -> impl Iterator<Item = usize> {
        let (list, n) = match self {
            Instr::Load(_) | Instr::Const(_) | Instr::Iota(_) => ([0; 3], 0),
            Instr::Unary(_, a) => ([a; 3], 1),
            Instr::Binary(_, a, b) | Instr::Compare(_, _, a, b) => ([a, b, a], 2),
            Instr::MulAdd(a, b, c) | Instr::Select(a, b, c) => ([a, b, c], 3),
        };
        list.into_iter().take(n)
    }

    /// The same instruction on other values: `place` says what stands for each.
    pub fn renumbered(self, place: impl Fn(usize) -> usize) -> Instr {
        match self {
            Instr::Load(_) | Instr::Const(_) | Instr::Iota(_) => self,
            Instr::Unary(op, a) => Instr::Unary(op, place(a)),
            Instr::Binary(op, a, b) => Instr::Binary(op, place(a), place(b)),
            Instr::MulAdd(a, b, c) => Instr::MulAdd(place(a), place(b), place(c)),
            Instr::Compare(op, lane, a, b) => Instr::Compare(op, lane, place(a), place(b)),
            Instr::Select(a, b, c) => Instr::Select(place(a), place(b), place(c)),
        }
    }

    /// Operations an element.
    pub(super) fn flops(self) -> u64 {
        match self {
            Instr::Load(_) | Instr::Const(_) | Instr::Iota(_) => 0,
            Instr::Unary(..) | Instr::Binary(..) | Instr::Compare(..) | Instr::Select(..) => 1,
            Instr::MulAdd(..) => 2,
        }
    }
}

/// How an operand is laid over the domain: index `i` reads its element `offset + sum_d i_d stride_d`. Stride 0
/// broadcasts, negative strides reverse. Elements stored as bf16 are widened to f32, which is exact.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Load {
    /// The operand's element at the domain's first index.
    pub offset: usize,
    /// One a dimension of the domain, in elements.
    pub strides: Vec<isize>,
    /// Length of the operand in words.
    pub words: usize,
    /// How its elements are stored.
    pub element: Element,
}

impl Load {
    /// An f32 operand that has the domain's own shape, row-major.
    pub fn contiguous(dims: &[usize]) -> Load {
        Load::stored(dims, Element::F32)
    }

    /// An operand that has the domain's own shape, row-major, its elements stored as `element`.
    pub fn stored(dims: &[usize], element: Element) -> Load {
        Load { offset: 0, strides: row_major(dims), words: element.words(dims.iter().product()), element }
    }

    /// Whether it is what [`Load::stored`] would give, up to strides of dimensions of size 1.
    pub fn is_contiguous(&self, dims: &[usize]) -> bool {
        let wanted = row_major(dims);
        self.offset == 0
            && self.words == self.element.words(dims.iter().product())
            && (0..dims.len()).all(|d| dims[d] == 1 || self.strides[d] == wanted[d])
    }

    /// Whether every element of the domain lies inside the operand.
    pub(super) fn fits(&self, dims: &[usize]) -> bool {
        if dims.contains(&0) {
            return true;
        }
        let (mut low, mut high) = (self.offset as i128, self.offset as i128);
        for (&size, &stride) in dims.iter().zip(&self.strides) {
            let reach = (size as i128 - 1) * stride as i128;
            low += reach.min(0);
            high += reach.max(0);
        }
        let elements = match self.element {
            Element::F32 => self.words as i128,
            Element::Bf16 => 2 * self.words as i128,
        };
        low >= 0 && high < elements
    }
}

/// Row-major strides of `dims`, in elements.
pub fn row_major(dims: &[usize]) -> Vec<isize> {
    let mut strides = vec![1; dims.len()];
    for d in (1..dims.len()).rev() {
        strides[d - 1] = strides[d] * dims[d] as isize;
    }
    strides
}

/// An output of the domain's shape, row-major.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Store {
    /// What is written.
    pub value: usize,
    /// A load, contiguous in the domain, whose memory the output may take over. The operand bound to that load
    /// must then be bound to no other load. Both must store their elements alike.
    pub alias: Option<usize>,
    /// How its elements are stored: as bf16, values are read as f32 and rounded to nearest, ties to even, and the
    /// half that an odd number of elements leaves over is 0.
    pub element: Element,
}

impl Store {
    /// An f32 output with memory of its own.
    pub fn new(value: usize) -> Store {
        Store { value, alias: None, element: Element::F32 }
    }
}

/// An output that combines values over the dimensions that are not kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Reduce {
    /// What is combined.
    pub value: usize,
    /// How.
    pub op: ReduceOp,
    /// How its words are read.
    pub lane: Lane,
}

/// Why a pass cannot be built. Each is a mistake of the program that builds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PassError {
    /// More than [`MAX_CODE`] instructions.
    TooLong(usize),
    /// An instruction, store or reduction uses a value that is not defined before it.
    Undefined {
        /// What uses it, e.g. `instruction 3`.
        user: String,
        /// The value.
        value: usize,
    },
    /// An instruction names a load or a dimension that does not exist.
    NoSuch {
        /// `load` or `dimension`.
        what: &'static str,
        /// Its number.
        index: usize,
        /// How many there are.
        count: usize,
    },
    /// A list has the wrong length: strides of a load, or the flags of kept dimensions.
    Rank {
        /// Which list.
        what: String,
        /// Dimensions of the domain.
        expected: usize,
        /// Its length.
        got: usize,
    },
    /// A load reaches outside its operand.
    Outside {
        /// The load.
        load: usize,
    },
    /// A store may take over a load that is not contiguous in the domain, that stores its elements otherwise, or that
    /// another store took.
    Alias {
        /// The store.
        store: usize,
        /// The load.
        load: usize,
    },
    /// A store of a pass over segments is not f32.
    NotF32 {
        /// The store.
        store: usize,
    },
}

impl fmt::Display for PassError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PassError::TooLong(n) => {
                write!(f, "pass: {n} instructions, at most {MAX_CODE} allowed: split it")
            }
            PassError::Undefined { user, value } => {
                write!(f, "pass: {user} uses value {value}, which is not defined before it")
            }
            PassError::NoSuch { what, index, count } => {
                write!(f, "pass: {what} {index} does not exist, there are {count}")
            }
            PassError::Rank { what, expected, got } => {
                write!(f, "pass: {what}: the domain has {expected} dimensions, the list {got}")
            }
            PassError::Outside { load } => write!(f, "pass: load {load} reaches outside its operand"),
            PassError::NotF32 { store } => {
                write!(f, "pass: store {store} of a pass over segments must be f32")
            }
            PassError::Alias { store, load } => write!(
                f,
                "pass: store {store} cannot take over load {load}: it is not contiguous in the domain, stored otherwise, \
                 or taken"
            ),
        }
    }
}

impl std::error::Error for PassError {}

/// Checks code against the number of loads and dimensions it may name.
pub(super) fn check_code(
    code: &[Instr],
    loads: usize,
    dims: usize,
    stores: &[Store],
    reduces: &[Reduce],
) -> Result<(), PassError> {
    if code.len() > MAX_CODE {
        return Err(PassError::TooLong(code.len()));
    }
    for (k, &instr) in code.iter().enumerate() {
        if let Some(value) = instr.uses().find(|&v| v >= k) {
            return Err(PassError::Undefined { user: format!("instruction {k}"), value });
        }
        match instr {
            Instr::Load(i) if i >= loads => {
                return Err(PassError::NoSuch { what: "load", index: i, count: loads });
            }
            Instr::Iota(d) if d >= dims => {
                return Err(PassError::NoSuch { what: "dimension", index: d, count: dims });
            }
            Instr::Load(_)
            | Instr::Iota(_)
            | Instr::Const(_)
            | Instr::Unary(..)
            | Instr::Binary(..)
            | Instr::MulAdd(..)
            | Instr::Compare(..)
            | Instr::Select(..) => {}
        }
    }
    for (j, store) in stores.iter().enumerate() {
        if store.value >= code.len() {
            return Err(PassError::Undefined { user: format!("store {j}"), value: store.value });
        }
        if let Some(load) = store.alias {
            if load >= loads {
                return Err(PassError::NoSuch { what: "load", index: load, count: loads });
            }
            if stores[..j].iter().any(|s| s.alias == Some(load)) {
                return Err(PassError::Alias { store: j, load });
            }
        }
    }
    for (j, reduce) in reduces.iter().enumerate() {
        if reduce.value >= code.len() {
            return Err(PassError::Undefined { user: format!("reduction {j}"), value: reduce.value });
        }
    }
    Ok(())
}
