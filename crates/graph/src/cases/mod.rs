//! The test suite of executors: the same cases run on the reference interpreter and on every executor.
//!
//! Available under the crate feature `cases`. A crate with an executor adds to its `Cargo.toml`
//!
//! ```toml
//! [dev-dependencies]
//! ganymede-graph = { workspace = true, features = ["cases"] }
//! ```
//!
//! and hands the suite a function that runs a [`Function`] on named arrays and returns the named results:
//!
//! ```
//! use ganymede_graph::{Array, Function, Precision, cases, interpret, passes};
//! use std::collections::HashMap;
//!
//! fn run(function: &Function, inputs: &HashMap<String, Array>) -> Result<HashMap<String, Array>, String> {
//!     let function = passes::optimize(function).map_err(|e| e.to_string())?;
//!     interpret(&function, inputs, Precision::F32).map(|o| o.outputs).map_err(|e| e.to_string())
//! }
//!
//! for case in cases::all().iter().take(20) {
//!     for program in case.programs() {
//!         program.check(run).unwrap();
//!     }
//! }
//! ```
//!
//! [`all`] covers every op and variant, with two programs a case: the values, and (where there is a derivative) the
//! gradients of first and second order. [`networks::cases`] adds small networks and whole losses,
//! [`goldens::all`] the same with results computed elsewhere, [`random::graph`] grows random graphs from a seed, and
//! [`gradcheck::check`] compares gradients with differences.

mod contraction;
mod conversion;
mod elementwise;
mod indexing;
mod movement;
mod reduction;
mod values;

pub mod goldens;
pub mod gradcheck;
pub mod networks;
pub mod random;

pub use values::Values;

use crate::array::{Array, Data};
use crate::function::Function;
use crate::graph::Graph;
use crate::interpret::{Precision, interpret};
use crate::tensor::Tensor;
use std::collections::HashMap;

/// How near an executor must come to the reference interpreter in f32.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Tolerance {
    /// Every element equal; NaN where NaN is expected; -0 equals 0.
    Exact,
    /// |got - expected| <= relative |expected| + absolute, for each finite element; others exact.
    Close {
        /// Relative part.
        relative: f64,
        /// Absolute part.
        absolute: f64,
    },
    /// ||got - expected|| <= bound ||expected|| + 1e-6 sqrt(n), over the n elements of a tensor, all of them finite.
    Norm(f64),
}

/// What is known of a case's derivatives.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Smoothness {
    /// Twice differentiable around the operands; checked by central differences of this step.
    Step(f64),
    /// No float operand leads to a float result, or the operands lie on kinks or outside the domain.
    Unchecked,
}

/// Builds results of operands.
pub type Build = Box<dyn Fn(&Graph, &[Tensor]) -> Vec<Tensor> + Send + Sync>;

/// A small computation with operands.
pub struct Case {
    /// Unique, e.g. `conv2d stride 2`.
    pub name: String,
    /// Operands, fed as `in0`, `in1`, ...
    pub inputs: Vec<Array>,
    /// From operands to results, which are named `out0`, `out1`, ...
    pub build: Build,
    /// Of the values.
    pub tolerance: Tolerance,
    /// Whether gradients can be checked.
    pub smoothness: Smoothness,
}

/// A function with operands, ready for an executor.
pub struct Program {
    /// Case and what is computed, e.g. `conv2d stride 2: gradients`.
    pub name: String,
    /// The function, as built: no pass has run on it.
    pub function: Function,
    /// Operands by name.
    pub inputs: HashMap<String, Array>,
    /// Against the reference interpreter in f32.
    pub tolerance: Tolerance,
}

/// Name of operand `i` of a case.
pub fn input_name(i: usize) -> String {
    format!("in{i}")
}

/// Name of result `i` of a case.
pub fn output_name(i: usize) -> String {
    format!("out{i}")
}

impl Case {
    /// A case whose results are exact and whose derivatives are not checked.
    pub fn new(
        name: impl Into<String>,
        inputs: impl Into<Vec<Array>>,
        build: impl Fn(&Graph, &[Tensor]) -> Vec<Tensor> + Send + Sync + 'static,
    ) -> Self {
        Self {
            name: name.into(),
            inputs: inputs.into(),
            build: Box::new(build),
            tolerance: Tolerance::Exact,
            smoothness: Smoothness::Unchecked,
        }
    }

    /// Element by element within a relative error.
    pub fn close(mut self, relative: f64) -> Self {
        self.tolerance = Tolerance::Close { relative, absolute: 0.0 };
        self
    }

    /// Element by element within a relative and an absolute error.
    pub fn close_absolute(mut self, relative: f64, absolute: f64) -> Self {
        self.tolerance = Tolerance::Close { relative, absolute };
        self
    }

    /// In the Euclidean norm of each tensor.
    pub fn norm(mut self, bound: f64) -> Self {
        self.tolerance = Tolerance::Norm(bound);
        self
    }

    /// Smooth around its operands: gradients are checked to order two by differences of step 1e-4.
    pub fn smooth(self) -> Self {
        self.smooth_within(1e-4)
    }

    /// As [`Case::smooth`] with another step, for operands near kinks or poles.
    pub fn smooth_within(mut self, step: f64) -> Self {
        self.smoothness = Smoothness::Step(step);
        self
    }

    /// Declares the operands in `graph` and builds the results.
    pub fn instantiate(&self, graph: &Graph) -> (Vec<Tensor>, Vec<Tensor>) {
        let operands: Vec<Tensor> =
            self.inputs.iter().enumerate().map(|(i, a)| graph.feed(&input_name(i), a.ty.clone())).collect();
        let results = (self.build)(graph, &operands);
        (operands, results)
    }

    /// Operands by name.
    pub fn feeds(&self) -> HashMap<String, Array> {
        self.inputs.iter().enumerate().map(|(i, a)| (input_name(i), a.clone())).collect()
    }

    /// The function that computes the results.
    ///
    /// # Panics
    /// If the case does not build: that is a mistake in the case.
    pub fn function(&self) -> Function {
        let graph = Graph::new();
        let (_, results) = self.instantiate(&graph);
        for (i, result) in results.iter().enumerate() {
            graph.output(&output_name(i), result);
        }
        graph.finish().unwrap_or_else(|e| panic!("case `{}` does not build: {e}", self.name))
    }

    /// What an executor should run: the values and, for smooth cases, the gradients of both orders.
    pub fn programs(&self) -> Vec<Program> {
        let mut programs = vec![Program {
            name: self.name.clone(),
            function: self.function(),
            inputs: self.feeds(),
            tolerance: self.tolerance,
        }];
        if let Smoothness::Step(_) = self.smoothness {
            let mut derivative = gradcheck::derivatives(self);
            // The two scalars are sums of terms of either sign, which f32 may lose to cancellation.
            derivative.function.outputs.retain(|(name, _)| name != "L" && name != "S");
            programs.push(Program {
                name: format!("{}: gradients", self.name),
                function: derivative.function,
                inputs: derivative.feeds,
                tolerance: Tolerance::Norm(2e-5),
            });
        }
        programs
    }
}

impl Program {
    /// Runs the program on an executor and compares with the reference interpreter in f32.
    pub fn check(
        &self,
        mut run: impl FnMut(&Function, &HashMap<String, Array>) -> Result<HashMap<String, Array>, String>,
    ) -> Result<(), String> {
        let expected = interpret(&self.function, &self.inputs, Precision::F32)
            .map_err(|e| format!("{}: {e}", self.name))?
            .outputs;
        let got = run(&self.function, &self.inputs).map_err(|e| format!("{}: {e}", self.name))?;
        let mut names: Vec<&String> = expected.keys().collect();
        names.sort();
        for name in names {
            let got = got.get(name).ok_or_else(|| format!("{}: no output `{name}`", self.name))?;
            compare(&expected[name], got, self.tolerance)
                .map_err(|e| format!("{}: output `{name}`: {e}", self.name))?;
        }
        Ok(())
    }
}

/// Relative difference in the Euclidean norm, ||got - expected|| / ||expected||; 0 where both are 0.
pub fn relative_norm(expected: &[f64], got: &[f64]) -> f64 {
    let norm = |v: &mut dyn Iterator<Item = f64>| v.map(|x| x * x).sum::<f64>().sqrt();
    let difference = norm(&mut expected.iter().zip(got).map(|(e, g)| g - e));
    if difference == 0.0 { 0.0 } else { difference / norm(&mut expected.iter().copied()) }
}

/// Whether `got` is as near to `expected` as asked, else the worst element.
pub fn compare(expected: &Array, got: &Array, tolerance: Tolerance) -> Result<(), String> {
    if expected.ty != got.ty {
        return Err(format!("expected {}, got {}", expected.ty, got.ty));
    }
    let (Data::Float(e), Data::Float(g)) = (&expected.data, &got.data) else {
        return if expected.data == got.data {
            Ok(())
        } else {
            Err(format!("expected {:?}, got {:?}", expected.data, got.data))
        };
    };
    let (relative, absolute) = match tolerance {
        Tolerance::Exact => (0.0, 0.0),
        Tolerance::Close { relative, absolute } => (relative, absolute),
        Tolerance::Norm(bound) => {
            if let Some(i) = (0..e.len()).find(|&i| !e[i].is_finite() || !g[i].is_finite()) {
                return Err(format!("element {i} is not finite: expected {}, got {}", e[i], g[i]));
            }
            let norm = e.iter().map(|x| x * x).sum::<f64>().sqrt();
            let difference = e.iter().zip(g).map(|(a, b)| (a - b) * (a - b)).sum::<f64>().sqrt();
            return if difference <= bound * norm + 1e-6 * (e.len() as f64).sqrt() {
                Ok(())
            } else {
                Err(format!("differs by {difference:e} in norm, the tensor has {norm:e}"))
            };
        }
    };
    for i in 0..e.len() {
        let same = e[i] == g[i] || (e[i].is_nan() && g[i].is_nan());
        let near = e[i].is_finite() && (e[i] - g[i]).abs() <= relative * e[i].abs() + absolute;
        if !same && !near {
            return Err(format!("element {i}: expected {}, got {}", e[i], g[i]));
        }
    }
    Ok(())
}

/// Every op and variant.
pub fn all() -> Vec<Case> {
    let mut out = elementwise::cases();
    out.extend(conversion::cases());
    out.extend(movement::cases());
    out.extend(reduction::cases());
    out.extend(contraction::cases());
    out.extend(indexing::cases());
    out
}
