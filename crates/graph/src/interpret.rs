//! The reference interpreter: evaluates a function by the definitions of its ops, slowly and plainly.

use crate::array::{Array, Data};
use crate::error::GraphError;
use crate::function::{Function, Role};
use crate::ops::{self, Op, scalar};
use crate::types::DType;
use std::collections::HashMap;

/// To what every float result is rounded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Precision {
    /// To its own type (f32 or bf16), after each op; sums within an op are exact to f64.
    F32,
    /// Not at all: every float is an f64.
    F64,
}

/// What a run produced.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The named results.
    pub outputs: HashMap<String, Array>,
    /// New values of the updated state slots; empty where the gate was false.
    pub updates: HashMap<String, Array>,
    /// Whether the updates were committed.
    pub committed: bool,
}

fn round(array: &mut Array, precision: Precision) {
    if precision == Precision::F64 {
        return;
    }
    if let Data::Float(values) = &mut array.data {
        for v in values {
            *v = match array.ty.dtype {
                DType::Bf16 => scalar::round_bf16(*v),
                DType::F32 | DType::I32 | DType::U32 | DType::Bool => f64::from(*v as f32),
            };
        }
    }
}

/// Evaluates `function` on the named inputs.
pub fn interpret(
    function: &Function,
    inputs: &HashMap<String, Array>,
    precision: Precision,
) -> Result<Outcome, GraphError> {
    let fail =
        |message: String| GraphError { op: "interpret".into(), path: String::new(), message, caller: None };
    let mut live = vec![0usize; function.nodes.len()];
    for node in &function.nodes {
        for input in &node.inputs {
            live[input.index()] += 1;
        }
    }
    for root in function.roots() {
        live[root.index()] += 1;
    }
    let mut values: Vec<Option<Array>> = vec![None; function.nodes.len()];
    for (i, node) in function.nodes.iter().enumerate() {
        let mut value = match &node.op {
            Op::Input { index, ty } => {
                let name = &function.inputs[*index].name;
                let given = inputs.get(name).ok_or_else(|| fail(format!("no value for input `{name}`")))?;
                if given.ty != *ty {
                    return Err(fail(format!("input `{name}` is {ty}, got {}", given.ty)));
                }
                given.clone()
            }
            op => {
                let operands: Vec<&Array> = node
                    .inputs
                    .iter()
                    .map(|x| {
                        values[x.index()].as_ref().ok_or_else(|| fail(format!("node %{} was dropped", x.0)))
                    })
                    .collect::<Result<_, _>>()?;
                ops::evaluate(op, &operands, &node.ty)
            }
        };
        round(&mut value, precision);
        values[i] = (live[i] > 0).then_some(value);
        for input in &node.inputs {
            live[input.index()] -= 1;
            if live[input.index()] == 0 {
                values[input.index()] = None;
            }
        }
    }
    let get = |id: crate::NodeId| {
        values[id.index()].clone().ok_or_else(|| fail(format!("node %{} was dropped", id.0)))
    };
    let mut outputs = HashMap::new();
    for (name, id) in &function.outputs {
        outputs.insert(name.clone(), get(*id)?);
    }
    let committed = match function.gate {
        Some(gate) => get(gate)?.bools()[0],
        None => true,
    };
    let mut updates = HashMap::new();
    if committed {
        for (slot, id) in &function.updates {
            debug_assert_eq!(function.inputs[*slot].role, Role::State);
            updates.insert(function.inputs[*slot].name.clone(), get(*id)?);
        }
    }
    Ok(Outcome { outputs, updates, committed })
}
