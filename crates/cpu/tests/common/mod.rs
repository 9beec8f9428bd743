//! Cases apart from executors: a case is a function, its inputs and how closely its results must agree with the
//! reference interpreter; whatever runs functions implements [`Runner`].
#![allow(dead_code)]

pub mod cases;
pub mod random;

use ganymede_cpu::{Executor, ExecutorOptions, Isa, Session, StateStore};
use ganymede_graph::{
    Array, DType, Data, Function, Graph, Outcome, Precision, Role, Tensor, TensorType, interpret,
};
use std::collections::HashMap;
use std::sync::Arc;

/// How closely floats must agree, element by element, with the reference in f64.
#[derive(Clone, Copy, Debug)]
pub struct Tolerance {
    /// Times the magnitude of the element.
    pub relative: f64,
    /// Times the largest finite magnitude of the tensor: what cancellation inside sums leaves.
    pub of_largest: f64,
    /// Times the largest difference that rounding each op to f32 makes in the reference: its condition.
    pub of_rounding: f64,
    /// Compared with the reference that rounds after each op; else with the one in f64.
    pub rounded: bool,
}

impl Tolerance {
    /// A few units in the last place: one op without sums.
    pub const ELEMENT: Tolerance =
        Tolerance { relative: 2e-6, of_largest: 1e-7, of_rounding: 0.0, rounded: false };
    /// Sums of a few thousand terms.
    pub const SUM: Tolerance =
        Tolerance { relative: 2e-6, of_largest: 2e-6, of_rounding: 0.0, rounded: false };
    /// Sums in f32 of products of bf16, which are exact in f32: as [`Tolerance::SUM`], of the operands as rounded.
    pub const BF16_SUM: Tolerance = Tolerance { rounded: true, ..Tolerance::SUM };
    /// Results kept in bf16, where one ulp of f32 can turn into one ulp of bf16.
    pub const BF16: Tolerance =
        Tolerance { relative: 8e-3, of_largest: 1e-6, of_rounding: 0.0, rounded: true };
    /// Many ops in a row.
    pub const GRAPH: Tolerance =
        Tolerance { relative: 1e-5, of_largest: 1e-5, of_rounding: 30.0, rounded: false };
}

/// A function with inputs.
pub struct Case {
    pub name: String,
    pub function: Function,
    pub inputs: HashMap<String, Array>,
    pub tolerance: Tolerance,
}

/// Whatever can run a function.
pub trait Runner {
    fn name(&self) -> String;
    fn run(&self, function: &Function, inputs: &HashMap<String, Array>) -> Outcome;
}

/// A small deterministic generator (Steele, Lea, Flood 2014: splitmix64).
#[derive(Clone)]
pub struct Rng(pub u64);

impl Rng {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
    pub fn below(&mut self, n: usize) -> usize {
        (self.next() % n as u64) as usize
    }
    pub fn uniform(&mut self, low: f64, high: f64) -> f64 {
        let u = (self.next() >> 11) as f64 / (1u64 << 53) as f64;
        // Inputs are exact in f32, so that both precisions of the reference see the same.
        f64::from((low + (high - low) * u) as f32)
    }
}

/// A case under construction.
pub struct Builder {
    pub g: Graph,
    pub rng: Rng,
    inputs: HashMap<String, Array>,
}

impl Builder {
    pub fn new(seed: u64) -> Builder {
        Builder { g: Graph::new(), rng: Rng(seed), inputs: HashMap::new() }
    }

    pub fn feed(&mut self, array: Array) -> Tensor {
        let name = format!("x{}", self.inputs.len());
        let tensor = self.g.feed(&name, array.ty.clone());
        self.inputs.insert(name, array);
        tensor
    }

    pub fn state(&mut self, name: &str, array: Array) -> Tensor {
        let tensor = self.g.state(name, array.ty.clone());
        self.inputs.insert(name.to_string(), array);
        tensor
    }

    pub fn values(&mut self, n: usize, low: f64, high: f64) -> Vec<f64> {
        (0..n).map(|_| self.rng.uniform(low, high)).collect()
    }

    pub fn floats(&mut self, shape: &[usize], low: f64, high: f64) -> Tensor {
        let values = self.values(shape.iter().product(), low, high);
        self.feed(Array::f32(shape, values))
    }

    pub fn normal(&mut self, shape: &[usize]) -> Tensor {
        self.floats(shape, -1.5, 1.5)
    }

    pub fn ints(&mut self, shape: &[usize], low: i32, high: i32) -> Tensor {
        let n: usize = shape.iter().product();
        let span = (i64::from(high) - i64::from(low)) as usize;
        let values: Vec<i32> =
            (0..n).map(|_| (i64::from(low) + self.rng.below(span) as i64) as i32).collect();
        self.feed(Array::i32(shape, values))
    }

    pub fn words(&mut self, shape: &[usize], below: usize) -> Tensor {
        let n: usize = shape.iter().product();
        let values: Vec<u32> = (0..n).map(|_| self.rng.below(below) as u32).collect();
        self.feed(Array::u32(shape, values))
    }

    pub fn bools(&mut self, shape: &[usize]) -> Tensor {
        let n: usize = shape.iter().product();
        let values: Vec<bool> = (0..n).map(|_| self.rng.below(2) == 1).collect();
        self.feed(Array::bool(shape, values))
    }

    /// Values of a type that any op on it takes.
    pub fn any(&mut self, dtype: DType, shape: &[usize]) -> Tensor {
        match dtype {
            DType::F32 => self.floats(shape, -2.0, 2.0),
            DType::Bf16 => self.floats(shape, -2.0, 2.0).convert(DType::Bf16),
            DType::I32 => self.ints(shape, -40, 40),
            DType::U32 => self.words(shape, 80),
            DType::Bool => self.bools(shape),
        }
    }

    pub fn finish(self, name: impl Into<String>, tolerance: Tolerance) -> Case {
        let name = name.into();
        let function = self.g.finish().unwrap_or_else(|e| panic!("{name}: {e}"));
        Case { name, function, inputs: self.inputs, tolerance }
    }
}

/// The executor on one instruction set, with poisoned scratch.
pub struct Cpu {
    pub executor: Arc<Executor>,
}

impl Cpu {
    pub fn new(isa: Isa, threads: usize) -> Cpu {
        let options =
            ExecutorOptions { threads: Some(threads), isa: Some(isa), ..ExecutorOptions::default() };
        Cpu { executor: Executor::new(options).unwrap() }
    }

    /// One for each instruction set here.
    pub fn all() -> Vec<Cpu> {
        Isa::available().into_iter().map(|isa| Cpu::new(isa, 2)).collect()
    }

    pub fn session(&self, function: &Function, inputs: &HashMap<String, Array>) -> Session {
        let mut store = StateStore::new();
        for input in function.inputs.iter().filter(|i| i.role == Role::State) {
            store.insert_words(&input.name, input.ty.clone(), &to_words(&inputs[&input.name])).unwrap();
        }
        Session::new(Arc::clone(&self.executor), store)
    }
}

pub fn to_words(array: &Array) -> Vec<u32> {
    match &array.data {
        Data::Float(v) => v.iter().map(|&x| (x as f32).to_bits()).collect(),
        Data::I32(v) => v.iter().map(|&x| x as u32).collect(),
        Data::U32(v) => v.clone(),
        Data::Bool(v) => v.iter().map(|&x| u32::from(x)).collect(),
    }
}

pub fn from_words(ty: &TensorType, words: &[u32]) -> Array {
    let data = match ty.dtype {
        DType::F32 | DType::Bf16 => {
            Data::Float(words.iter().map(|&w| f64::from(f32::from_bits(w))).collect())
        }
        DType::I32 => Data::I32(words.iter().map(|&w| w as i32).collect()),
        DType::U32 => Data::U32(words.to_vec()),
        DType::Bool => Data::Bool(
            words
                .iter()
                .map(|&w| {
                    assert!(w < 2, "a truth value is the word {w}");
                    w == 1
                })
                .collect(),
        ),
    };
    Array::new(ty.clone(), data)
}

impl Runner for Cpu {
    fn name(&self) -> String {
        format!("cpu {} x{}", self.executor.isa().name(), self.executor.threads())
    }

    fn run(&self, function: &Function, inputs: &HashMap<String, Array>) -> Outcome {
        let mut session = self.session(function, inputs);
        let phase = session.add_phase("case", function).unwrap_or_else(|e| panic!("{e}"));
        for input in function.inputs.iter().filter(|i| i.role == Role::Feed) {
            let words = to_words(&inputs[&input.name]);
            session.feed_words_mut(phase, &input.name).unwrap().copy_from_slice(&words);
        }
        session.poison_scratch();
        let report = session.run(phase).unwrap_or_else(|e| panic!("{e}"));
        let outputs = function
            .outputs
            .iter()
            .map(|(name, id)| {
                let words = session.output_words(phase, name).unwrap();
                (name.clone(), from_words(function.ty(*id), words))
            })
            .collect();
        let mut updates = HashMap::new();
        for input in function.inputs.iter().filter(|i| i.role == Role::State) {
            let words = session.store().words(&input.name).unwrap();
            let updated = function.updates.iter().any(|u| function.inputs[u.0].name == input.name);
            if updated && report.committed {
                updates.insert(input.name.clone(), from_words(&input.ty, words));
            } else {
                assert_eq!(words, to_words(&inputs[&input.name]), "`{}` changed", input.name);
            }
        }
        Outcome { outputs, updates, committed: report.committed }
    }
}

/// Runs a case and compares all results with the reference; the error names the first difference.
pub fn check(case: &Case, runner: &dyn Runner) -> Result<(), String> {
    let wide = interpret(&case.function, &case.inputs, Precision::F64).map_err(|e| e.to_string())?;
    let narrow = interpret(&case.function, &case.inputs, Precision::F32).map_err(|e| e.to_string())?;
    let got = runner.run(&case.function, &case.inputs);
    let place = format!("{} on {}", case.name, runner.name());
    if got.committed != narrow.committed {
        return Err(format!("{place}: committed {}, reference {}", got.committed, narrow.committed));
    }
    for (what, got, wide, narrow) in [
        ("output", &got.outputs, &wide.outputs, &narrow.outputs),
        ("update", &got.updates, &wide.updates, &narrow.updates),
    ] {
        if got.len() != narrow.len() {
            return Err(format!("{place}: {} {what}s, reference {}", got.len(), narrow.len()));
        }
        for (name, narrow) in narrow {
            compare(&got[name], &wide[name], narrow, case.tolerance)
                .map_err(|e| format!("{place}: {what} {name}{e}"))?;
        }
    }
    Ok(())
}

fn compare(got: &Array, wide: &Array, narrow: &Array, tolerance: Tolerance) -> Result<(), String> {
    if got.ty != narrow.ty {
        return Err(format!(": {}, reference {}", got.ty, narrow.ty));
    }
    let (Data::Float(got), Data::Float(wide), Data::Float(narrow)) = (&got.data, &wide.data, &narrow.data)
    else {
        return if got.data == narrow.data {
            Ok(())
        } else {
            Err(format!(": got {:?}, reference {:?}", got.data, narrow.data))
        };
    };
    let reference = if tolerance.rounded { narrow } else { wide };
    let largest = |v: &[f64]| v.iter().filter(|x| x.is_finite()).fold(0.0f64, |m, x| m.max(x.abs()));
    let rounding: Vec<f64> = wide.iter().zip(narrow).map(|(a, b)| (a - b).abs()).collect();
    // The smallest normal f32: below it results lose digits.
    let slack =
        tolerance.of_largest * largest(reference) + tolerance.of_rounding * largest(&rounding) + 1.2e-38;
    for (i, ((&x, &r), &n)) in got.iter().zip(reference).zip(narrow).enumerate() {
        let allowed = slack + tolerance.relative * r.abs();
        // Where f32 overflows the rounded reference decides, f64 having room.
        let same = if n.is_finite() && r.is_finite() {
            (x - r).abs() <= allowed
        } else {
            x == n || (x.is_nan() && n.is_nan())
        };
        if !same {
            return Err(format!("[{i}]: got {x:e}, reference {r:e} (in f32 {n:e}), allowed {allowed:e}"));
        }
    }
    Ok(())
}
