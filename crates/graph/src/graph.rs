//! The graph under construction.

use crate::error::GraphError;
use crate::function::{Function, Input, Node, NodeId, Role};
use crate::ops::{self, Op};
use crate::tensor::Tensor;
use crate::types::{DType, Literal, TensorType};
use std::cell::RefCell;
use std::panic::Location;
use std::rc::Rc;
use std::sync::Arc;

/// A graph under construction; clones are handles to the same graph.
///
/// The first error is kept, what depends on it is poisoned, and [`Graph::finish`] returns it, so that model code
/// reads without a `?` on every operator.
#[derive(Clone, Default)]
pub struct Graph {
    state: Rc<RefCell<Building>>,
}

#[derive(Default)]
struct Building {
    function: Function,
    error: Option<GraphError>,
    scope: Vec<String>,
    path: Option<Arc<str>>,
}

impl std::fmt::Debug for Graph {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let state = self.state.borrow();
        write!(f, "Graph({} nodes", state.function.nodes.len())?;
        if let Some(error) = &state.error {
            write!(f, ", error: {error}")?;
        }
        write!(f, ")")
    }
}

/// Restores the scope path when dropped; see [`Graph::scope`].
#[must_use = "the scope ends when this is dropped"]
pub struct ScopeGuard {
    graph: Graph,
    depth: usize,
}

impl Drop for ScopeGuard {
    fn drop(&mut self) {
        let mut state = self.graph.state.borrow_mut();
        state.scope.truncate(self.depth);
        state.path = None;
    }
}

/// Restores the whole scope path when dropped.
pub(crate) struct PathGuard {
    graph: Graph,
    scope: Vec<String>,
}

impl Drop for PathGuard {
    fn drop(&mut self) {
        let mut state = self.graph.state.borrow_mut();
        state.scope = std::mem::take(&mut self.scope);
        state.path = None;
    }
}

impl Graph {
    /// An empty graph.
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether both handles mean the same graph.
    pub fn same(&self, other: &Graph) -> bool {
        Rc::ptr_eq(&self.state, &other.state)
    }

    /// Nodes built while the guard lives carry `name` in their path (used by errors and dumps).
    pub fn scope(&self, name: &str) -> ScopeGuard {
        let mut state = self.state.borrow_mut();
        let depth = state.scope.len();
        state.scope.push(name.to_string());
        state.path = None;
        ScopeGuard { graph: self.clone(), depth }
    }

    /// Replaces the whole scope path while the guard lives: derivatives stand at the path of their primal.
    pub(crate) fn enter_path(&self, path: &Arc<str>) -> PathGuard {
        let mut state = self.state.borrow_mut();
        let scope = std::mem::take(&mut state.scope);
        if !path.is_empty() {
            state.scope.push(path.to_string());
        }
        state.path = Some(path.clone());
        PathGuard { graph: self.clone(), scope }
    }

    /// Reads all nodes without copying them.
    pub(crate) fn with_nodes<R>(&self, f: impl FnOnce(&[Node]) -> R) -> R {
        f(&self.state.borrow().function.nodes)
    }

    /// The current scope path, e.g. `D/block2`.
    pub fn path(&self) -> Arc<str> {
        let mut state = self.state.borrow_mut();
        if state.path.is_none() {
            state.path = Some(Arc::from(state.scope.join("/")));
        }
        state.path.clone().unwrap_or_default()
    }

    /// Number of nodes so far.
    pub fn node_count(&self) -> usize {
        self.state.borrow().function.nodes.len()
    }

    /// The first error, if any.
    pub fn error(&self) -> Option<GraphError> {
        self.state.borrow().error.clone()
    }

    /// Records `message` as an error of `op` unless an earlier one is kept, and returns a poisoned tensor.
    #[track_caller]
    pub fn fail(&self, op: &str, message: impl Into<String>) -> Tensor {
        let path = self.path();
        let mut state = self.state.borrow_mut();
        if state.error.is_none() {
            state.error = Some(GraphError {
                op: op.to_string(),
                path: path.to_string(),
                message: message.into(),
                caller: Some(Location::caller()),
            });
        }
        Tensor::poisoned(self.clone())
    }

    /// Appends a node; a wrong operand is recorded as the graph's error.
    #[track_caller]
    pub fn push(&self, op: Op, inputs: &[&Tensor]) -> Tensor {
        let mut ids = Vec::with_capacity(inputs.len());
        for input in inputs {
            if !input.graph().same(self) {
                return self.fail(&op.name(), "an operand belongs to another graph");
            }
            match input.id() {
                Some(id) => ids.push(id),
                None => return Tensor::poisoned(self.clone()),
            }
        }
        let inferred = {
            let state = self.state.borrow();
            let types: Vec<&TensorType> = ids.iter().map(|&i| state.function.ty(i)).collect();
            ops::infer(&op, &types)
        };
        match inferred {
            Ok(ty) => {
                let path = self.path();
                let mut state = self.state.borrow_mut();
                let id = NodeId(state.function.nodes.len() as u32);
                state.function.nodes.push(Node { op, inputs: ids, ty, path });
                Tensor::new(self.clone(), id)
            }
            Err(message) => self.fail(&op.name(), message),
        }
    }

    /// Reads a node.
    pub fn node(&self, id: NodeId) -> Node {
        self.state.borrow().function.node(id).clone()
    }

    /// Type of a value.
    pub fn ty(&self, id: NodeId) -> TensorType {
        self.state.borrow().function.ty(id).clone()
    }

    #[track_caller]
    fn input(&self, name: &str, ty: TensorType, role: Role) -> Tensor {
        let existing = self.state.borrow().function.inputs.iter().find(|i| i.name == name).cloned();
        if let Some(input) = existing {
            if input.ty == ty && input.role == role {
                return Tensor::new(self.clone(), input.node);
            }
            return self.fail(
                "input",
                format!(
                    "`{name}` is already declared as {} ({:?}), now as {ty} ({role:?})",
                    input.ty, input.role
                ),
            );
        }
        let index = self.state.borrow().function.inputs.len();
        let tensor = self.push(Op::Input { index, ty: ty.clone() }, &[]);
        if let Some(node) = tensor.id() {
            self.state.borrow_mut().function.inputs.push(Input { name: name.to_string(), ty, role, node });
        }
        tensor
    }

    /// A slot of the state store; asking twice for the same name gives the same tensor.
    #[track_caller]
    pub fn state(&self, name: &str, ty: TensorType) -> Tensor {
        self.input(name, ty, Role::State)
    }

    /// A value handed in at every run; asking twice for the same name gives the same tensor.
    #[track_caller]
    pub fn feed(&self, name: &str, ty: TensorType) -> Tensor {
        self.input(name, ty, Role::Feed)
    }

    /// Names a result.
    #[track_caller]
    pub fn output(&self, name: &str, value: &Tensor) {
        if let Some(id) = value.id() {
            let taken = self.state.borrow().function.outputs.iter().any(|o| o.0 == name);
            if taken {
                self.fail("output", format!("`{name}` is already an output"));
            } else {
                self.state.borrow_mut().function.outputs.push((name.to_string(), id));
            }
        }
    }

    /// The slot `name` takes `value` when the phase commits. Updating a slot twice is an error: the second update
    /// would silently drop the first.
    #[track_caller]
    pub fn update(&self, name: &str, value: &Tensor) {
        let Some(id) = value.id() else { return };
        let found = self.state.borrow().function.inputs.iter().position(|i| i.name == name);
        let Some(slot) = found else {
            self.fail("update", format!("no state slot is named `{name}`"));
            return;
        };
        let (role, ty) = {
            let state = self.state.borrow();
            (state.function.inputs[slot].role, state.function.inputs[slot].ty.clone())
        };
        if role != Role::State {
            self.fail("update", format!("`{name}` is a feed: only state can be updated"));
        } else if value.ty() != ty {
            self.fail("update", format!("slot `{name}` is {ty}, the new value is {}", value.ty()));
        } else if self.state.borrow().function.updates.iter().any(|u| u.0 == slot) {
            self.fail("update", format!("`{name}` is updated twice; chain the updates into one value"));
        } else {
            self.state.borrow_mut().function.updates.push((slot, id));
        }
    }

    /// The value a slot will take so far, if an update is recorded: to chain updates, read this.
    pub fn pending(&self, name: &str) -> Option<Tensor> {
        let state = self.state.borrow();
        let slot = state.function.inputs.iter().position(|i| i.name == name)?;
        let id = state.function.updates.iter().find(|u| u.0 == slot)?.1;
        drop(state);
        Some(Tensor::new(self.clone(), id))
    }

    /// Commits the updates only where `gate` (bool scalar) is true; gates given earlier must hold too.
    #[track_caller]
    pub fn commit_when(&self, gate: &Tensor) {
        if gate.is_poisoned() {
            return;
        }
        if gate.ty() != TensorType::new(DType::Bool, []) {
            self.fail("commit_when", format!("the gate must be bool[], got {}", gate.ty()));
            return;
        }
        let earlier = self.state.borrow().function.gate;
        let all = match earlier {
            Some(id) => gate.and(&Tensor::new(self.clone(), id)),
            None => gate.clone(),
        };
        self.state.borrow_mut().function.gate = all.id();
    }

    /// A constant tensor.
    #[track_caller]
    pub fn constant(&self, ty: TensorType, literal: Literal) -> Tensor {
        self.push(Op::Constant { ty, literal }, &[])
    }

    /// An f32 constant from its elements, row-major.
    #[track_caller]
    pub fn constant_f32(&self, shape: &[usize], values: &[f64]) -> Tensor {
        self.constant(TensorType::f32(shape), Literal::Float(values.into()))
    }

    /// An f32 scalar constant.
    #[track_caller]
    pub fn scalar(&self, value: f64) -> Tensor {
        self.constant(TensorType::f32([]), Literal::Float([value].into()))
    }

    /// An i32 scalar constant.
    #[track_caller]
    pub fn scalar_i32(&self, value: i32) -> Tensor {
        self.constant(TensorType::new(DType::I32, []), Literal::I32([value].into()))
    }

    /// A u32 scalar constant.
    #[track_caller]
    pub fn scalar_u32(&self, value: u32) -> Tensor {
        self.constant(TensorType::new(DType::U32, []), Literal::U32([value].into()))
    }

    /// `value` everywhere.
    #[track_caller]
    pub fn full(&self, shape: &[usize], value: f64) -> Tensor {
        self.scalar(value).broadcast_to(shape)
    }

    /// 0 everywhere.
    #[track_caller]
    pub fn zeros(&self, shape: &[usize]) -> Tensor {
        self.full(shape, 0.0)
    }

    /// The index along `axis`, as i32.
    #[track_caller]
    pub fn iota(&self, shape: &[usize], axis: usize) -> Tensor {
        self.push(Op::Iota { shape: shape.to_vec(), axis }, &[])
    }

    /// Random words `[rows, ...]`: row r depends on the key, the stream and the 64-bit index `first + r` alone, so a
    /// sample does not depend on the batch it is drawn in. `key` and `first` are `u32[2]`, low word first.
    /// Philox4x32-10 (Salmon, Moraes, Dror, Shaw 2011) on the counter (element / 4, index low, index high, stream).
    #[track_caller]
    pub fn random_bits(&self, key: &Tensor, first: &Tensor, stream: u32, shape: &[usize]) -> Tensor {
        let rows = shape.first().copied().unwrap_or(1);
        let words = shape.iter().skip(1).product();
        self.push(Op::PhiloxBits { stream, rows, words }, &[key, first]).reshape(shape)
    }

    /// Uniform on the open interval (0, 1): (k + 1/2) 2^-23 for k of 23 bits, bit-identical on every executor.
    #[track_caller]
    pub fn random_uniform(&self, key: &Tensor, first: &Tensor, stream: u32, shape: &[usize]) -> Tensor {
        let bits = self.random_bits(key, first, stream, shape).shr(9);
        // 23 bits and the half step fill the 24 of an f32, so nothing is rounded. With one bit more the largest
        // value would round to 1, whose normal is infinite.
        (bits.convert(DType::F32) + 0.5) * (1.0 / 8_388_608.0)
    }

    /// Standard normal by inversion, sqrt(2) erfinv(2u - 1); |x| < 5.5.
    #[track_caller]
    pub fn random_normal(&self, key: &Tensor, first: &Tensor, stream: u32, shape: &[usize]) -> Tensor {
        let u = self.random_uniform(key, first, stream, shape);
        (u * 2.0 - 1.0).erfinv() * std::f64::consts::SQRT_2
    }

    /// The finished function, verified, or the first error. The graph can go on growing afterwards.
    pub fn finish(&self) -> Result<Function, GraphError> {
        let state = self.state.borrow();
        if let Some(error) = &state.error {
            return Err(error.clone());
        }
        state.function.verify()?;
        Ok(state.function.clone())
    }
}
