//! A readable, diffable text form of a function.

use crate::function::{Function, Role};
use crate::ops::Op;
use crate::types::Literal;
use std::fmt::Write;

fn list<T: std::fmt::Display>(values: &[T]) -> String {
    let shown: Vec<String> = values.iter().take(8).map(T::to_string).collect();
    let more = if values.len() > 8 { format!(", .. {} in all", values.len()) } else { String::new() };
    format!("{{{}{more}}}", shown.join(", "))
}

/// Attributes of an op that its type and operands do not show.
fn attributes(function: &Function, op: &Op) -> String {
    match op {
        Op::Input { index, .. } => {
            let input = &function.inputs[*index];
            let role = match input.role {
                Role::State => "state",
                Role::Feed => "feed",
            };
            format!("{role} `{}`", input.name)
        }
        Op::Constant { literal, .. } => match literal {
            Literal::Float(v) => list(v),
            Literal::I32(v) => list(v),
            Literal::U32(v) => list(v),
            Literal::Bool(v) => list(v),
        },
        Op::Iota { axis, .. } | Op::Concat { axis } | Op::ArgMax { axis } => format!("axis={axis}"),
        Op::PhiloxBits { stream, .. } => format!("stream={stream}"),
        Op::Broadcast { axes, .. } | Op::Reduce { axes, .. } | Op::Variance { axes } => {
            format!("axes={axes:?}")
        }
        Op::Transpose(perm) => format!("perm={perm:?}"),
        Op::Slice { start, stop, stride } => format!("start={start:?} stop={stop:?} stride={stride:?}"),
        Op::Pad { low, high, interior } => format!("low={low:?} high={high:?} interior={interior:?}"),
        Op::Reverse(axes) => format!("axes={axes:?}"),
        Op::MatMul { trans_a, trans_b } => match (trans_a, trans_b) {
            (false, false) => String::new(),
            (true, false) => "A^T".into(),
            (false, true) => "B^T".into(),
            (true, true) => "A^T B^T".into(),
        },
        Op::Conv(_, g) => {
            let o = &g.options;
            format!(
                "input={:?} kernel={:?} stride={:?} pad={:?}/{:?} dilation={:?} groups={}",
                g.input, g.kernel, o.stride, o.pad_low, o.pad_high, o.dilation, o.groups
            )
        }
        Op::Window(_, g) => format!(
            "input={:?} window={:?} stride={:?} pad={:?}/{:?}",
            g.input, g.window, g.stride, g.pad_low, g.pad_high
        ),
        Op::Gather { batch } => format!("batch={batch}"),
        Op::ScatterAdd { batch, rows } => format!("batch={batch} rows={rows}"),
        Op::Unary(_)
        | Op::Binary(_)
        | Op::Compare(_)
        | Op::Select
        | Op::Convert(_)
        | Op::Reshape(_)
        | Op::ArgSort
        | Op::StopGradient => String::new(),
    }
}

/// One line a node: `%3 = add(%1, %2) f32[4, 2]  # D/conv1`, then updates, outputs and the gate.
pub fn dump(function: &Function) -> String {
    let mut out = String::new();
    for (i, node) in function.nodes.iter().enumerate() {
        let operands: Vec<String> = node.inputs.iter().map(|x| format!("%{}", x.0)).collect();
        let mut inside = operands.join(", ");
        let attributes = attributes(function, &node.op);
        if !attributes.is_empty() {
            if !inside.is_empty() {
                inside.push_str("; ");
            }
            inside.push_str(&attributes);
        }
        let path = if node.path.is_empty() { String::new() } else { format!("  # {}", node.path) };
        let _ = writeln!(out, "%{i} = {}({inside}) {}{path}", node.op.name(), node.ty);
    }
    for (slot, id) in &function.updates {
        let _ = writeln!(out, "update `{}` = %{}", function.inputs[*slot].name, id.0);
    }
    for (name, id) in &function.outputs {
        let _ = writeln!(out, "output `{name}` = %{}", id.0);
    }
    if let Some(gate) = function.gate {
        let _ = writeln!(out, "commit when %{}", gate.0);
    }
    out
}
