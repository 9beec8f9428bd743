//! Where a network declares its parameters: a place in the named tree, the mode it is built in, and the record that
//! all scopes below one root share.

use crate::init::{FanRule, Init};
use crate::layers::MAX_ELEMENTS;
use crate::params::{ParamSpec, Params};
use crate::rules::WeightRule;
use crate::summary::LayerRow;
use ganymede_graph::{DType, Graph, Tensor};
use std::cell::RefCell;
use std::collections::{HashMap, HashSet};
use std::rc::Rc;

/// Random words for dropout and noise layers.
#[derive(Clone, Debug)]
pub struct RandomSource {
    key: Tensor,
    first: Tensor,
    salt: &'static str,
    uses: Rc<RefCell<HashMap<String, u32>>>,
}

impl RandomSource {
    /// From a key (`u32[2]`) and the 64-bit global index of the batch's first sample (`u32[2]`, low word first). Clones
    /// share the count of uses.
    pub fn new(key: &Tensor, first: &Tensor) -> Self {
        Self { key: key.clone(), first: first.clone(), salt: "", uses: Rc::default() }
    }

    /// The same with streams of its own for each salt: what is built under another draws other numbers.
    pub fn salted(self, salt: &'static str) -> Self {
        Self { salt, ..self }
    }

    /// Uniform on (0, 1) of the given shape, whose first axis is the batch. The stream is a hash of the path and of how
    /// often the path has drawn before: a layer applied to two batches draws twice, and adding a layer does not
    /// change what others draw. The streams have their top bit set, so that small numbers stay free for the caller.
    #[track_caller]
    pub fn uniform(&self, graph: &Graph, path: &str, shape: &[usize]) -> Tensor {
        graph.random_uniform(&self.key, &self.first, self.stream(path), shape)
    }

    /// Standard normals of the given shape, whose first axis is the batch, from the next stream of the path, as for
    /// [`RandomSource::uniform`].
    #[track_caller]
    pub fn normal(&self, graph: &Graph, path: &str, shape: &[usize]) -> Tensor {
        graph.random_normal(&self.key, &self.first, self.stream(path), shape)
    }

    fn stream(&self, path: &str) -> u32 {
        let mut uses = self.uses.borrow_mut();
        let count = uses.entry(path.to_string()).or_insert(0);
        *count += 1;
        crate::init::hash_name(&format!("{}{path}#{count}", self.salt)) as u32 | 0x8000_0000
    }
}

/// The classes of a batch, for networks that are asked for one or judge by it.
#[derive(Clone, Debug)]
pub struct ClassLabels {
    /// Class of each sample, `i32[N]`, from 0 to `classes` - 1.
    pub index: Tensor,
    /// How many there are.
    pub classes: usize,
}

impl ClassLabels {
    /// 1 at each sample's class, 0 elsewhere: `f32[N, classes]`.
    #[track_caller]
    pub fn one_hot(&self) -> Tensor {
        if self.index.is_poisoned() {
            return self.index.clone();
        }
        let shape = [self.index.shape()[0], self.classes];
        let index = self.index.reshape(&[shape[0], 1]).broadcast_to(&shape);
        let class = self.index.graph().iota(&shape, 1);
        index.eq(&class).convert(DType::F32)
    }
}

/// How a network is built.
#[derive(Clone, Debug)]
pub struct Mode {
    /// Batch statistics and dropout (true), or running statistics and no dropout (false).
    pub training: bool,
    /// Whether this pass updates running statistics.
    pub update_statistics: bool,
    /// Batches that stand one behind the other along the first axis, equally long: batch statistics are taken over each
    /// by itself, as if the network were applied to one after the other.
    pub segments: usize,
    /// Which of them updates running statistics, where this pass does.
    pub statistics_segment: usize,
    /// Share of an old running statistic that an update keeps, an f32 scalar, in place of the layers' own: i / (i + 1) at
    /// pass i makes it the plain mean over passes.
    pub keep: Option<Tensor>,
    /// Whether this pass advances what a network keeps between steps, such as the vectors of power iteration or the mean of styles:
    /// that of the network which the phase trains.
    pub advance_rules: bool,
    /// Put before the names of state slots, e.g. `ema/` for the averaged weights; normally empty.
    pub prefix: String,
    /// For dropout and noise.
    pub random: Option<RandomSource>,
    /// Factor on the distance of styles from their mean, where a mapping network makes some and samples are drawn with
    /// less variety (Karras, Laine, Aila 2019, StyleGAN, appendix B); 1 leaves them alone.
    pub truncation: f64,
}

impl Mode {
    /// Batch statistics; running statistics are updated.
    pub fn train() -> Self {
        Self {
            training: true,
            update_statistics: true,
            advance_rules: true,
            segments: 1,
            statistics_segment: 0,
            keep: None,
            prefix: String::new(),
            random: None,
            truncation: 1.0,
        }
    }

    /// Batch statistics; running statistics stay as they are. A slot can be updated once in a phase, so of several
    /// passes of one network all but one are built like this.
    pub fn train_frozen_statistics() -> Self {
        Self { update_statistics: false, advance_rules: false, ..Self::train() }
    }

    /// Running statistics, no dropout.
    pub fn eval() -> Self {
        Self { training: false, ..Self::train_frozen_statistics() }
    }

    /// For a network that the phase trains (or not), whichever pass updates statistics.
    pub fn advancing_rules(mut self, advance: bool) -> Self {
        self.advance_rules = advance;
        self
    }

    /// For `segments` batches at once, of which the one numbered `statistics` updates running statistics, if any does.
    pub fn with_segments(mut self, segments: usize, statistics: usize) -> Self {
        (self.segments, self.statistics_segment) = (segments, statistics);
        self
    }

    /// With updates of running statistics that keep this share of the old ones.
    pub fn keeping(mut self, share: &Tensor) -> Self {
        self.keep = Some(share.clone());
        self
    }

    /// With another prefix of slot names.
    pub fn with_prefix(mut self, prefix: &str) -> Self {
        self.prefix = prefix.to_string();
        self
    }

    /// With styles drawn towards their mean.
    pub fn with_truncation(mut self, factor: f64) -> Self {
        self.truncation = factor;
        self
    }

    /// With random words.
    pub fn with_random(mut self, random: RandomSource) -> Self {
        self.random = Some(random);
        self
    }
}

/// Ends a scope's graph path when dropped.
#[must_use = "the path ends when this is dropped"]
pub struct ScopeGuard {
    _guard: Option<ganymede_graph::graph::ScopeGuard>,
}

#[derive(Debug, Default)]
struct Record {
    params: Params,
    /// Tensors by slot name.
    slots: HashMap<String, Tensor>,
    /// Weights by slot name as the network uses them, where a rule sets them apart from their parameter.
    ruled: HashMap<String, Tensor>,
    /// Names of the parameters that multiply a layer's input.
    weights: HashSet<String>,
    asked_for_labels: bool,
    features: Option<Tensor>,
    /// Parameters and buffers that were declared when features were first exposed.
    before_head: Option<usize>,
    class_logits: Option<Tensor>,
    styles: Option<Tensor>,
    reconstruction: Option<Tensor>,
    layers: Vec<LayerRow>,
}

/// A place in the parameter tree of a network under construction. Clones and children share the record of what was
/// declared.
#[derive(Clone, Debug)]
pub struct Scope {
    graph: Graph,
    path: String,
    mode: Rc<Mode>,
    rule: WeightRule,
    labels: Option<ClassLabels>,
    record: Rc<RefCell<Record>>,
}

fn join(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_string() } else { format!("{path}/{name}") }
}

impl Scope {
    /// The root of a network, e.g. `G`, with a record of its own.
    pub fn root(graph: &Graph, name: &str, mode: Mode) -> Self {
        Self {
            graph: graph.clone(),
            path: name.to_string(),
            mode: Rc::new(mode),
            rule: WeightRule::Plain,
            labels: None,
            record: Rc::default(),
        }
    }

    /// The same place and record, whose weights ([`Scope::weight`]) and those of its children follow `rule`.
    pub fn with_rule(&self, rule: WeightRule) -> Self {
        Self { rule, ..self.clone() }
    }

    /// How weights below this place follow from their parameters.
    pub fn rule(&self) -> WeightRule {
        self.rule
    }

    /// The same place and record, for a batch of these classes.
    pub fn with_labels(&self, labels: Option<ClassLabels>) -> Self {
        Self { labels, ..self.clone() }
    }

    /// The classes of the batch, where the recipe has classes.
    pub fn labels(&self) -> Option<&ClassLabels> {
        self.record.borrow_mut().asked_for_labels = true;
        self.labels.as_ref()
    }

    /// Whether anything below the root asked for them.
    pub fn asked_for_labels(&self) -> bool {
        self.record.borrow().asked_for_labels
    }

    /// A place below this one. It enters no graph path; see [`Scope::enter`].
    pub fn child(&self, name: &str) -> Self {
        Self { path: join(&self.path, name), ..self.clone() }
    }

    /// The same place and record in another mode, for a further pass of the network.
    pub fn with_mode(&self, mode: Mode) -> Self {
        Self { mode: Rc::new(mode), ..self.clone() }
    }

    /// Nodes built while the guard lives carry this scope's path. What of it the graph's path already ends with is not
    /// repeated, so that scopes can be entered one inside the other.
    pub fn enter(&self) -> ScopeGuard {
        let current = self.graph.path();
        let have: Vec<&str> = current.split('/').filter(|s| !s.is_empty()).collect();
        let want: Vec<&str> = self.path.split('/').filter(|s| !s.is_empty()).collect();
        let overlap = (0..=have.len().min(want.len()))
            .rev()
            .find(|&n| have[have.len() - n..] == want[..n])
            .unwrap_or(0);
        let rest = want[overlap..].join("/");
        ScopeGuard { _guard: (!rest.is_empty()).then(|| self.graph.scope(&rest)) }
    }

    /// A trainable parameter. Declared again it is the same tensor, so that a network can be applied twice; with
    /// another shape or initializer it is an error.
    #[track_caller]
    pub fn param(&self, name: &str, shape: &[usize], init: Init) -> Tensor {
        let spec = ParamSpec::new(join(&self.path, name), shape, init, true);
        self.declare(spec)
    }

    /// The weight of a layer that multiplies its input: the parameter `name`, as the scope's [`WeightRule`] has the network
    /// see it. `fans` is how its axes are read. The rule is applied once a phase, however often the network is.
    #[track_caller]
    pub fn weight(&self, name: &str, shape: &[usize], init: Init, fans: FanRule) -> Tensor {
        self.record.borrow_mut().weights.insert(join(&self.path, name));
        self.ruled(name, shape, init, fans)
    }

    /// A table `[count, width]` of which each sample takes the row of its class. The scope's [`WeightRule`] holds for it too:
    /// a row is the product with a one-hot vector. Its columns are no filters, though, so that [`Scope::is_weight`] does
    /// not count it.
    #[track_caller]
    pub fn table(&self, name: &str, [count, width]: [usize; 2], init: Init) -> Tensor {
        self.ruled(name, &[count, width], init, FanRule::Forward)
    }

    /// Whether the parameter of that full name was declared as a [weight](Scope::weight).
    pub fn is_weight(&self, name: &str) -> bool {
        self.record.borrow().weights.contains(name)
    }

    #[track_caller]
    fn ruled(&self, name: &str, shape: &[usize], init: Init, fans: FanRule) -> Tensor {
        let spec = ParamSpec { fans, ..ParamSpec::new(join(&self.path, name), shape, init, true) };
        let weight = self.declare(spec);
        if weight.is_poisoned() || self.rule == WeightRule::Plain {
            return weight;
        }
        let slot = self.slot(name);
        let known = self.record.borrow().ruled.get(&slot).cloned();
        known.unwrap_or_else(|| {
            let ruled = self.rule.apply(self, name, &weight, fans);
            self.record.borrow_mut().ruled.insert(slot, ruled.clone());
            ruled
        })
    }

    /// State that no optimizer changes: running statistics, power-iteration vectors.
    #[track_caller]
    pub fn buffer(&self, name: &str, shape: &[usize], init: Init) -> Tensor {
        let spec = ParamSpec::new(join(&self.path, name), shape, init, false);
        self.declare(spec)
    }

    #[track_caller]
    fn declare(&self, spec: ParamSpec) -> Tensor {
        let shape = &spec.ty.shape;
        let elements = shape.iter().try_fold(1usize, |n, &extent| n.checked_mul(extent));
        if elements.is_none_or(|n| n == 0 || n > MAX_ELEMENTS) {
            let message =
                format!("`{}` would have shape {shape:?}; 1 to 2^31 elements are possible", spec.name);
            return self.graph.fail("parameter", message);
        }
        let slot = format!("{}{}", self.mode.prefix, spec.name);
        let known = self.record.borrow().params.get(&spec.name).cloned();
        match known {
            Some(known) if known == spec => {}
            Some(known) => {
                let kind = |s: &ParamSpec| {
                    format!("{} {} from {}", if s.trainable { "parameter" } else { "buffer" }, s.ty, s.init)
                };
                let message = format!(
                    "`{}` is already declared as {}, now as {}; layers that do not share weights need scopes of \
                     their own",
                    spec.name,
                    kind(&known),
                    kind(&spec)
                );
                return self.graph.fail("parameter", message);
            }
            None => {
                let mut record = self.record.borrow_mut();
                if record.params.push(spec.clone()).is_err() {
                    unreachable!("the name was looked up above");
                }
            }
        }
        let tensor = self.graph.state(&slot, spec.ty.clone());
        self.record.borrow_mut().slots.insert(slot, tensor.clone());
        tensor
    }

    /// The buffer `name` of this scope takes `value` when the phase commits, if the mode updates statistics. A second
    /// update in one phase is the graph's error.
    #[track_caller]
    pub fn update(&self, name: &str, value: &Tensor) {
        if self.mode.update_statistics {
            self.graph.update(&self.slot(name), value);
        }
    }

    /// The buffer `name` of this scope takes `value` when the phase commits, if the mode advances rules. For what a network keeps
    /// of its own steps, whichever passes update batch norm's statistics.
    #[track_caller]
    pub fn advance(&self, name: &str, value: &Tensor) {
        if self.mode.advance_rules {
            self.graph.update(&self.slot(name), value);
        }
    }

    /// Name of the state slot of a parameter or buffer of this scope: prefix, path and name.
    pub fn slot(&self, name: &str) -> String {
        format!("{}{}", self.mode.prefix, join(&self.path, name))
    }

    /// The mode.
    pub fn mode(&self) -> &Mode {
        &self.mode
    }

    /// The graph.
    pub fn graph(&self) -> &Graph {
        &self.graph
    }

    /// The place, e.g. `D/block2`.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Everything declared below the root so far.
    pub fn params(&self) -> Params {
        self.record.borrow().params.clone()
    }

    /// Names and tensors of the trainable parameters declared below the root, in order of declaration.
    pub fn trainable(&self) -> Vec<(String, Tensor)> {
        self.declared(true)
    }

    /// Names and tensors of the buffers declared below the root, in order of declaration.
    pub fn buffers(&self) -> Vec<(String, Tensor)> {
        self.declared(false)
    }

    fn declared(&self, trainable: bool) -> Vec<(String, Tensor)> {
        let record = self.record.borrow();
        record
            .params
            .iter()
            .filter(|spec| spec.trainable == trainable)
            .filter_map(|spec| {
                let tensor = record.slots.get(&format!("{}{}", self.mode.prefix, spec.name))?;
                Some((spec.name.clone(), tensor.clone()))
            })
            .collect()
    }

    /// Names the input of a network's last layer, which feature matching compares.
    pub fn expose_features(&self, features: &Tensor) {
        let mut record = self.record.borrow_mut();
        let declared = record.params.len();
        record.before_head.get_or_insert(declared);
        record.features = Some(features.clone());
    }

    /// How many of [`Scope::params`] were declared before features were first exposed: the layers that make them. The others
    /// belong to the last layer.
    pub fn before_head(&self) -> Option<usize> {
        self.record.borrow().before_head
    }

    /// What the last application of the network exposed.
    pub fn features(&self) -> Option<Tensor> {
        self.record.borrow().features.clone()
    }

    /// Names the logits `[N, classes]` of a classifier that shares the discriminator's layers (Odena, Olah, Shlens 2017,
    /// AC-GAN).
    pub fn expose_class_logits(&self, logits: &Tensor) {
        self.record.borrow_mut().class_logits = Some(logits.clone());
    }

    /// What the last application of the network exposed.
    pub fn class_logits(&self) -> Option<Tensor> {
        self.record.borrow().class_logits.clone()
    }

    /// Names what a generator makes of its latents before it makes samples: the styles of a mapping network `[batch,
    /// ...]`, along which path lengths are measured.
    pub fn expose_styles(&self, styles: &Tensor) {
        self.record.borrow_mut().styles = Some(styles.clone());
    }

    /// What the last application of the network exposed.
    pub fn styles(&self) -> Option<Tensor> {
        self.record.borrow().styles.clone()
    }

    /// Names how far each sample lies from what decoders make of a discriminator's features of it, `[batch]`, for the
    /// regularizer that shall keep these features rich (Liu et al. 2021, FastGAN, section 3.2). The network's first
    /// application in a phase counts, which is that on real samples.
    pub fn expose_reconstruction(&self, distances: &Tensor) {
        self.record.borrow_mut().reconstruction.get_or_insert_with(|| distances.clone());
    }

    /// What the first application of the network exposed.
    pub fn reconstruction(&self) -> Option<Tensor> {
        self.record.borrow().reconstruction.clone()
    }

    /// Rows for the summary, recorded by layers as they are built.
    pub fn layers(&self) -> Vec<LayerRow> {
        self.record.borrow().layers.clone()
    }

    /// Records a layer built in this scope. A layer built again at the same path (the network applied to a second
    /// batch) is not recorded twice.
    pub fn record_layer(&self, layer: &str, output: &Tensor) {
        if output.is_poisoned() {
            return;
        }
        let mut record = self.record.borrow_mut();
        if record.layers.iter().any(|row| row.path == self.path && row.layer == layer) {
            return;
        }
        let own = |name: &str| name.rsplit_once('/').map_or("", |(parent, _)| parent) == self.path;
        let total: usize = record.params.trainable().filter(|s| own(&s.name)).map(|s| s.ty.len()).sum();
        // Several layers can stand at one path: each row counts what the earlier ones have not.
        let counted: usize = record.layers.iter().filter(|r| r.path == self.path).map(|r| r.parameters).sum();
        let parameters = total - counted;
        let row = LayerRow {
            path: self.path.clone(),
            layer: layer.to_string(),
            output: output.shape(),
            parameters,
        };
        record.layers.push(row);
    }
}
