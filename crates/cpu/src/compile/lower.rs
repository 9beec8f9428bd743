//! From groups to calls: gives every root its memory and every group its kernels.

use super::analysis::Analysis;
use super::group::Group;
use super::ir::{Call, Place, Slice, Value, ValueId, Work};
use super::tape::{self, Refusal};
use super::{FeedRef, OutputRef, SlotRef};
use crate::error::CpuError;
use crate::executor::Target;
use ganymede_graph::{DType, Literal, Node, NodeId, Op, Role, TensorType};
use ganymede_kernels::gemm::PackedRight;
use ganymede_kernels::kernel::Element;
use ganymede_kernels::pass::{Instr, Load, PassSpec, Store, UnaryOp};
use std::collections::HashMap;

/// Words between the starts of feeds, constants and outputs: one cache line.
const LINE: usize = 16;

/// Why lowering stopped.
#[derive(Debug)]
pub enum Stop {
    /// The passes must be cut otherwise: what the pass said, and its results.
    Refused(Refusal, Vec<NodeId>),
    /// An error for the user.
    Failed(CpuError),
}

impl From<CpuError> for Stop {
    fn from(error: CpuError) -> Stop {
        Stop::Failed(error)
    }
}

/// The program being written.
#[derive(Debug)]
pub struct Lowering<'a, 'f> {
    pub(super) analysis: &'a Analysis<'f>,
    pub(super) target: Target,
    /// Memory of each root.
    pub(super) value_of: Vec<Option<ValueId>>,
    pub(super) values: Vec<Value>,
    pub(super) calls: Vec<Call>,
    /// Calls that go before all others.
    pub(super) ahead: Vec<Call>,
    /// Packed forms of matrices.
    pub(super) packed: HashMap<(Slice<ValueId>, PackedRight), Slice<ValueId>>,
    pub(super) slots: Vec<SlotRef>,
    pub(super) feeds: Vec<FeedRef>,
    pub(super) outputs: Vec<OutputRef>,
    pub(super) constants: Vec<u32>,
    pub(super) feed_words: usize,
    pub(super) output_words: usize,
    /// Position of each state input in `slots`.
    pub(super) slot_of: HashMap<NodeId, usize>,
    constant_at: HashMap<(DType, Literal), usize>,
}

impl<'a, 'f> Lowering<'a, 'f> {
    /// Gives memory to inputs, constants, roots and outputs.
    pub fn new(analysis: &'a Analysis<'f>, target: Target) -> Lowering<'a, 'f> {
        let f = analysis.function;
        let mut l = Lowering {
            analysis,
            target,
            value_of: vec![None; f.nodes.len()],
            values: Vec::new(),
            calls: Vec::new(),
            ahead: Vec::new(),
            packed: HashMap::new(),
            slots: Vec::new(),
            feeds: Vec::new(),
            outputs: Vec::new(),
            constants: Vec::new(),
            feed_words: 0,
            output_words: 0,
            slot_of: HashMap::new(),
            constant_at: HashMap::new(),
        };
        for input in &f.inputs {
            let place = match input.role {
                Role::State => {
                    l.slots.push(SlotRef { name: input.name.clone(), ty: input.ty.clone() });
                    l.slot_of.insert(input.node, l.slots.len() - 1);
                    Place::State(l.slots.len() - 1)
                }
                Role::Feed => {
                    let offset = l.feed_words;
                    l.feeds.push(FeedRef { name: input.name.clone(), ty: input.ty.clone(), offset });
                    l.feed_words += input.ty.len().next_multiple_of(LINE);
                    Place::Feed(offset)
                }
            };
            l.define(input.node, input.ty.len(), place);
        }
        for (i, node) in f.nodes.iter().enumerate() {
            let id = NodeId(i as u32);
            if !analysis.root[i] || !analysis.live[i] || l.value_of[i].is_some() {
                continue;
            }
            let place = if let Op::Constant { ty, literal } = &node.op {
                Place::Constant(l.constant(ty, literal))
            } else {
                Place::Scratch
            };
            l.define(id, analysis.element(id).words(node.ty.len()), place);
        }
        for (name, id) in &f.outputs {
            let ty = f.ty(*id).clone();
            let source = l.operand(*id);
            let value = &mut l.values[source.value];
            let value = match value.place {
                Place::Scratch if value.words == source.words => {
                    value.place = Place::Output(l.output_words);
                    l.output_words += value.words.next_multiple_of(LINE);
                    source.value
                }
                Place::Output(_) if value.words == source.words => source.value,
                Place::Scratch | Place::Output(_) | Place::State(_) | Place::Feed(_) | Place::Constant(_) => {
                    // Copied before anything is committed.
                    let place = Place::Output(l.output_words);
                    l.output_words += source.words.next_multiple_of(LINE);
                    l.values.push(Value { words: source.words, place });
                    l.values.len() - 1
                }
            };
            l.outputs.push(OutputRef { name: name.clone(), ty, value });
        }
        l
    }

    fn define(&mut self, id: NodeId, words: usize, place: Place) {
        self.value_of[id.index()] = Some(self.values.len());
        self.values.push(Value { words, place });
    }

    /// First word of a constant, shared with its equals.
    fn constant(&mut self, ty: &TensorType, literal: &Literal) -> usize {
        if let Some(&at) = self.constant_at.get(&(ty.dtype, literal.clone())) {
            return at;
        }
        let at = self.constants.len();
        self.constants.extend(literal_words(ty.dtype, literal));
        self.constants.resize(self.constants.len().next_multiple_of(LINE), 0);
        self.constant_at.insert((ty.dtype, literal.clone()), at);
        at
    }

    /// New memory in the arena.
    pub(super) fn scratch(&mut self, words: usize) -> ValueId {
        self.values.push(Value { words, place: Place::Scratch });
        self.values.len() - 1
    }

    /// All words of a root.
    pub(super) fn whole(&self, root: NodeId) -> Slice<ValueId> {
        let Some(value) = self.value_of[root.index()] else { unreachable!("%{} has no memory", root.0) };
        Slice { value, offset: 0, words: self.values[value].words }
    }

    /// The words of a value in the memory of its root.
    pub(super) fn operand(&self, id: NodeId) -> Slice<ValueId> {
        let Some(home) = self.analysis.home(id) else { unreachable!("%{} has no memory", id.0) };
        let (root, element) = (self.whole(home.root), self.analysis.element(id));
        // An operand of two bytes an element begins at a whole word: see `Analysis::element`.
        let words = element.words(self.analysis.function.ty(id).len());
        Slice { value: root.value, offset: element.words(home.offset), words }
    }

    pub(super) fn label(&self, node: &Node) -> String {
        if node.path.is_empty() { node.op.name() } else { format!("{} {}", node.path, node.op.name()) }
    }

    pub(super) fn call(&mut self, work: Work, operands: Vec<Slice<ValueId>>, label: &str) {
        self.calls.push(Call { work, operands, label: label.to_string() });
    }

    /// Writes one word everywhere.
    pub(super) fn fill(&mut self, to: Slice<ValueId>, word: u32, node: &Node) {
        let spec = PassSpec {
            dims: vec![to.words],
            loads: vec![],
            code: vec![Instr::Const(word)],
            stores: vec![Store::new(0)],
            reduces: vec![],
            keep: vec![],
        };
        self.call(Work::Pass(spec), vec![to], &self.label(node));
    }

    /// Copies words.
    pub(super) fn copy(&mut self, from: Slice<ValueId>, to: Slice<ValueId>, label: &str) {
        let spec = PassSpec {
            dims: vec![to.words],
            loads: vec![Load::contiguous(&[to.words])],
            code: vec![Instr::Load(0)],
            stores: vec![Store::new(0)],
            reduces: vec![],
            keep: vec![],
        };
        self.call(Work::Pass(spec), vec![from, to], label);
    }

    /// Rounds to bf16 in place.
    pub(super) fn round(&mut self, at: Slice<ValueId>, node: &Node) {
        let spec = PassSpec {
            dims: vec![at.words],
            loads: vec![Load::contiguous(&[at.words])],
            code: vec![Instr::Load(0), Instr::Unary(UnaryOp::RoundBf16, 0)],
            stores: vec![Store { alias: Some(0), ..Store::new(1) }],
            reduces: vec![],
            keep: vec![],
        };
        self.call(Work::Pass(spec), vec![at, at], &self.label(node));
    }

    /// Lowers all groups, then the copies of outputs that have memory elsewhere.
    pub fn groups(&mut self, groups: &[Group]) -> Result<(), Stop> {
        let f = self.analysis.function;
        for group in groups {
            match group {
                Group::Kernel(id) => self.kernel(*id)?,
                Group::Moments { variance, sum } => self.variance_and_sum(*variance, *sum)?,
                Group::Pass(results) => {
                    if results.stores.is_empty() && results.reduces.is_empty() {
                        continue;
                    }
                    let elements: Vec<Element> =
                        results.stores.iter().map(|&r| self.analysis.element(r)).collect();
                    let built = tape::build(self.analysis, results, &elements, &HashMap::new());
                    let built = built.map_err(|refusal| {
                        let all = results.inside.iter().chain(&results.reduces).copied().collect();
                        Stop::Refused(refusal, all)
                    })?;
                    let written: Vec<NodeId> =
                        results.stores.iter().chain(&results.reduces).copied().collect();
                    let mut operands: Vec<Slice<ValueId>> =
                        built.loads.iter().map(|s| self.resolve(s)).collect();
                    operands.extend(written.iter().map(|&r| self.whole(r)));
                    let label = self.label(f.node(written[0]));
                    self.call(Work::Pass(built.spec), operands, &label);
                    for &r in results.reduces.iter().filter(|&&r| f.ty(r).dtype == DType::Bf16) {
                        self.round(self.whole(r), f.node(r));
                    }
                }
            }
        }
        for (k, (name, id)) in f.outputs.iter().enumerate() {
            let (from, to) = (self.operand(*id), self.outputs[k].value);
            if from.value != to && from.words > 0 {
                let to = Slice { value: to, offset: 0, words: from.words };
                self.copy(from, to, &format!("output {name}"));
            }
        }
        self.calls.splice(0..0, std::mem::take(&mut self.ahead));
        Ok(())
    }

    /// A load of a root's memory.
    pub(super) fn resolve(&self, slice: &Slice<NodeId>) -> Slice<ValueId> {
        Slice { value: self.whole(slice.value).value, offset: slice.offset, words: slice.words }
    }
}

/// The words of a constant.
fn literal_words(dtype: DType, literal: &Literal) -> Vec<u32> {
    match literal {
        Literal::Float(v) if dtype == DType::Bf16 => {
            v.iter().map(|&x| (ganymede_graph::ops::scalar::round_bf16(x) as f32).to_bits()).collect()
        }
        Literal::Float(v) => v.iter().map(|&x| (x as f32).to_bits()).collect(),
        Literal::I32(v) => v.iter().map(|&x| x as u32).collect(),
        Literal::U32(v) => v.to_vec(),
        Literal::Bool(v) => v.iter().map(|&x| u32::from(x)).collect(),
    }
}
