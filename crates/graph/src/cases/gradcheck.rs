//! Gradients against central differences, to order two.
//!
//! With results f_k(x) and fixed random tensors r_k of their shapes, L(x, r) = sum_k <f_k(x), r_k> is a scalar. Its
//! gradient by x is compared with differences of L. With fixed random u, S(x, r) = <grad_x L, u> is a scalar again, whose
//! gradient by x holds every second derivative and whose gradient by r the first derivatives once more, transposed;
//! it is compared with differences of S. All in f64, along random directions, which an error in any element of a
//! gradient changes with probability one.

use super::{Case, Smoothness, Values};
use crate::array::Array;
use crate::function::Function;
use crate::grad::{grad, grad_with};
use crate::graph::Graph;
use crate::interpret::{Precision, interpret};
use crate::passes::dce;
use crate::tensor::Tensor;
use std::collections::HashMap;

/// The two scalars and all their gradients.
pub struct Derivatives {
    /// Outputs `L`, `S`, `grad i` (of L by the i-th variable) and `second i` (of S by the i-th variable, then by
    /// the r_k).
    pub function: Function,
    /// Operands of the case, `r k` and `u i`.
    pub feeds: HashMap<String, Array>,
    /// Names of the feeds that L is differentiated by.
    pub variables: Vec<String>,
    /// Names of the feeds that S is differentiated by: the variables, then the r_k.
    pub all: Vec<String>,
}

/// Builds L, S and their gradients for a case with float operands and results.
///
/// # Panics
/// If the case does not build or has no derivative: that is a mistake in the case.
pub fn derivatives(case: &Case) -> Derivatives {
    let graph = Graph::new();
    let (operands, results) = case.instantiate(&graph);
    let mut feeds = case.feeds();
    let mut values = Values::new(0xd1ff);
    let mut fresh = |name: String, like: &Tensor| {
        let tensor = graph.feed(&name, like.ty());
        let mut array = values.uniform(&like.shape(), -1.0, 1.0);
        array.ty = like.ty();
        feeds.insert(name.clone(), array);
        (name, tensor)
    };
    let results: Vec<&Tensor> = results.iter().filter(|t| t.dtype().is_float()).collect();
    let (r_names, r): (Vec<String>, Vec<Tensor>) =
        results.iter().enumerate().map(|(k, t)| fresh(format!("r {k}"), t)).unzip();
    let mut variables = Vec::new();
    let mut by: Vec<&Tensor> = Vec::new();
    for (i, operand) in operands.iter().enumerate() {
        if operand.dtype().is_float() {
            variables.push(super::input_name(i));
            by.push(operand);
        }
    }
    assert!(!by.is_empty() && !results.is_empty(), "case `{}` has no derivative", case.name);
    let total =
        |terms: Vec<Tensor>| terms.into_iter().reduce(|a, b| a + b).unwrap_or_else(|| graph.scalar(0.0));
    let loss = total(results.iter().zip(&r).map(|(t, r)| (*t * r).sum_all()).collect());
    let first = grad(&loss, &by);
    let u: Vec<Tensor> = by.iter().enumerate().map(|(i, t)| fresh(format!("u {i}"), t).1).collect();
    let second_loss = total(first.iter().zip(&u).map(|(g, u)| (g * u).sum_all()).collect());
    let mut everything = by.clone();
    everything.extend(r.iter());
    let second = grad(&second_loss, &everything);
    graph.output("L", &loss);
    graph.output("S", &second_loss);
    for (i, g) in first.iter().enumerate() {
        graph.output(&format!("grad {i}"), g);
    }
    for (i, g) in second.iter().enumerate() {
        graph.output(&format!("second {i}"), g);
    }
    let function =
        graph.finish().unwrap_or_else(|e| panic!("case `{}` does not differentiate: {e}", case.name));
    let mut all = variables.clone();
    all.extend(r_names);
    Derivatives { function, feeds, variables, all }
}

/// As one output of the function alone.
fn only(function: &Function, output: &str) -> Function {
    let mut one = function.clone();
    one.outputs.retain(|(name, _)| name == output);
    dce::eliminate(one)
}

fn scalar(function: &Function, feeds: &HashMap<String, Array>, output: &str) -> Result<f64, String> {
    let outcome = interpret(function, feeds, Precision::F64).map_err(|e| e.to_string())?;
    Ok(outcome.outputs[output].floats()[0])
}

/// The derivative of the scalar `output` along `direction` (by feed name), by fourth-order central differences:
/// (8 (f(h) - f(-h)) - (f(2h) - f(-2h))) / 12h, whose error is of order h^4.
fn difference(
    function: &Function,
    feeds: &HashMap<String, Array>,
    direction: &HashMap<String, Array>,
    output: &str,
    step: f64,
) -> Result<f64, String> {
    let at = |t: f64| {
        let mut moved = feeds.clone();
        for (name, d) in direction {
            let x = &feeds[name];
            let values: Vec<f64> = x.floats().iter().zip(d.floats()).map(|(x, d)| x + t * d).collect();
            moved.insert(name.clone(), Array::new(x.ty.clone(), crate::array::Data::Float(values)));
        }
        scalar(function, &moved, output)
    };
    let near = at(step)? - at(-step)?;
    let far = at(2.0 * step)? - at(-2.0 * step)?;
    Ok((8.0 * near - far) / (12.0 * step))
}

/// Compares the gradients of both orders with differences along `directions` random directions, to the relative
/// error `tolerance` (of the sum of magnitudes, so that cancellation between elements is no excuse and no fault).
///
/// Cases that are not [`Smoothness::Step`] pass unchecked.
pub fn check(case: &Case, directions: u32, tolerance: f64) -> Result<(), String> {
    compare(case, &[FIRST, SECOND], directions, tolerance)
}

/// As [`check`], first derivatives alone: at a kink central differences give the mean of the one-sided slopes.
pub fn check_first(case: &Case, directions: u32, tolerance: f64) -> Result<(), String> {
    compare(case, &[FIRST], directions, tolerance)
}

/// A scalar and the prefix of the outputs that hold its gradient.
type Order = (&'static str, &'static str);
const FIRST: Order = ("L", "grad");
const SECOND: Order = ("S", "second");

fn compare(case: &Case, orders: &[Order], directions: u32, tolerance: f64) -> Result<(), String> {
    let Smoothness::Step(step) = case.smoothness else { return Ok(()) };
    let derivatives = derivatives(case);
    let outcome = interpret(&derivatives.function, &derivatives.feeds, Precision::F64)
        .map_err(|e| format!("{}: {e}", case.name))?;
    for &(output, prefix) in orders {
        let names = if prefix == FIRST.1 { &derivatives.variables } else { &derivatives.all };
        let value = outcome.outputs[output].floats()[0];
        let function = only(&derivatives.function, output);
        for seed in 0..directions {
            let mut values = Values::new(0xd12ec + seed);
            let mut direction = HashMap::new();
            let (mut analytic, mut magnitude) = (0.0, 0.0);
            for (i, name) in names.iter().enumerate() {
                let d = values.uniform(&derivatives.feeds[name].ty.shape, -1.0, 1.0);
                let gradient = outcome.outputs[&format!("{prefix} {i}")].floats();
                for (g, d) in gradient.iter().zip(d.floats()) {
                    analytic += g * d;
                    magnitude += (g * d).abs();
                }
                direction.insert(name.clone(), d);
            }
            let numeric = difference(&function, &derivatives.feeds, &direction, output, step)
                .map_err(|e| format!("{}: {e}", case.name))?;
            // Rounding of the scalar itself, divided by the step.
            let noise = 64.0 * f64::EPSILON * value.abs().max(1.0) / step;
            let agree = (analytic - numeric).abs() <= tolerance * magnitude + noise;
            if !agree {
                return Err(format!(
                    "{}: {prefix} of {output} along direction {seed}: rule {analytic}, differences {numeric}",
                    case.name
                ));
            }
        }
    }
    Ok(())
}

/// Gradients of the sum of `f` of constants by those constants, in f64: a plain look at first derivatives, for
/// conventions at ties and zeros.
pub fn gradients_at(inputs: &[Array], f: impl Fn(&Graph, &[Tensor]) -> Tensor) -> Vec<Vec<f64>> {
    derivatives_at(inputs, 1, f)
}

/// As [`gradients_at`], for the gradient of the sum of all gradients when `order` is 2, and so on.
pub fn derivatives_at(
    inputs: &[Array],
    order: usize,
    f: impl Fn(&Graph, &[Tensor]) -> Tensor,
) -> Vec<Vec<f64>> {
    let graph = Graph::new();
    let operands: Vec<Tensor> =
        inputs.iter().enumerate().map(|(i, a)| graph.feed(&super::input_name(i), a.ty.clone())).collect();
    let by: Vec<&Tensor> = operands.iter().filter(|t| t.dtype().is_float()).collect();
    let value = f(&graph, &operands);
    let mut gradients = grad_with(&[(&value, &value.ones_like())], &by);
    for _ in 1..order {
        let seeds: Vec<Tensor> = gradients.iter().map(Tensor::ones_like).collect();
        let pairs: Vec<(&Tensor, &Tensor)> = gradients.iter().zip(&seeds).collect();
        gradients = grad_with(&pairs, &by);
    }
    for (i, g) in gradients.iter().enumerate() {
        graph.output(&super::output_name(i), g);
    }
    let function = graph.finish().unwrap_or_else(|e| panic!("the function does not differentiate: {e}"));
    let feeds = inputs.iter().enumerate().map(|(i, a)| (super::input_name(i), a.clone())).collect();
    let outcome = interpret(&function, &feeds, Precision::F64).unwrap_or_else(|e| panic!("{e}"));
    (0..gradients.len()).map(|i| outcome.outputs[&super::output_name(i)].floats().to_vec()).collect()
}
