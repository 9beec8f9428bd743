//! A list of lines as a network.

use super::{Arguments, LAYERS, Layer, LayerError};
use crate::error::suggestion;
use crate::layers::{MAX_ELEMENTS, element_count};
use crate::params::Params;
use crate::scope::{ClassLabels, Mode, RandomSource, Scope};
use crate::summary::LayerRow;
use ganymede_graph::{DType, Graph, Tensor, TensorType};
use std::collections::HashMap;

#[derive(Debug)]
struct Line {
    text: String,
    /// Scope of the layer: its word and how often the word has occurred, e.g. `conv2`.
    name: String,
    layer: Box<dyn Layer>,
}

/// A network read from text lines, applied from the first to the last.
#[derive(Debug)]
pub struct Network {
    lines: Vec<Line>,
}

impl Network {
    /// Reads the lines.
    ///
    /// # Errors
    /// Names the line, what is wrong with it, and the nearest known word where one is unknown.
    pub fn parse<S: AsRef<str>>(lines: &[S]) -> Result<Self, LayerError> {
        let mut counts: HashMap<&'static str, usize> = HashMap::new();
        let mut out = Vec::with_capacity(lines.len());
        for (i, line) in lines.iter().enumerate() {
            let text = line.as_ref().trim();
            let fail = |message: String| LayerError { line: i + 1, text: text.to_string(), message };
            let words: Vec<&str> = text.split_whitespace().collect();
            let Some((first, rest)) = words.split_first() else {
                return Err(fail(
                    "the line is empty; remove it or write a layer such as `dense 128 relu`".into(),
                ));
            };
            // An activation with its value in one word, `leaky_relu=0.2`, reads like the two words.
            let (first, joined) = match first.split_once('=') {
                Some((word, value)) => (word, Some(value)),
                None => (*first, None),
            };
            let Some(word) = LAYERS.iter().find(|w| w.name() == first) else {
                let hint = suggestion(first, LAYERS.iter().map(|w| w.name()));
                return Err(fail(format!("there is no layer `{first}`; {hint}")));
            };
            let words: Vec<&str> = joined.into_iter().chain(rest.iter().copied()).collect();
            let read = Arguments::new(word.usage(), &words).and_then(|mut arguments| {
                let layer = word.parse(&mut arguments)?;
                arguments.finish()?;
                Ok(layer)
            });
            let layer = read.map_err(fail)?;
            let count = counts.entry(word.name()).or_insert(0);
            *count += 1;
            out.push(Line { text: text.to_string(), name: format!("{}{count}", word.name()), layer });
        }
        if out.is_empty() {
            let message = "a network needs at least one layer, such as `dense 128 relu`".to_string();
            return Err(LayerError { line: 1, text: String::new(), message });
        }
        Ok(Self { lines: out })
    }

    /// The lines as given, trimmed.
    pub fn lines(&self) -> impl Iterator<Item = &str> + '_ {
        self.lines.iter().map(|l| l.text.as_str())
    }

    /// Whether in training the output for one sample depends on the others of its batch.
    pub fn mixes_samples(&self) -> bool {
        self.lines.iter().any(|line| line.layer.mixes_samples())
    }

    /// Whether a layer takes out of every sample what its batch has in common (batch norm).
    pub fn normalizes_batch(&self) -> bool {
        self.lines.iter().any(|line| line.layer.normalizes_batch())
    }

    /// Whether a layer's output for one sample depends on the others of its batch also when it does not train.
    pub fn compares_samples(&self) -> bool {
        self.lines.iter().any(|line| line.layer.mixes_samples() && !line.layer.normalizes_batch())
    }

    /// Whether several batches as segments of one ([`Mode::segments`](crate::Mode::segments)) give what they give one
    /// by one.
    pub fn takes_segments(&self) -> bool {
        self.lines.iter().all(|line| line.layer.takes_segments())
    }

    /// Applies the layers to a batch, each in a scope of its own named by its word and number (`conv1`, `conv2`,
    /// `batch_norm1`). Run [`Network::check`] first for errors that name the line.
    #[track_caller]
    pub fn build(&self, scope: &Scope, x: &Tensor) -> Tensor {
        let mut x = x.clone();
        for (i, line) in self.lines.iter().enumerate() {
            if i + 1 == self.lines.len() {
                scope.expose_features(&x);
            }
            x = line.layer.build(&scope.child(&line.name), &x);
        }
        x
    }

    /// Builds the network in training mode on a graph of its own, for samples of shape `input` (without the batch axis)
    /// and `batch` samples; returns the layers as built.
    ///
    /// # Errors
    /// Names the line that does not fit, what it expected and what it got.
    pub fn check(&self, input: &[usize], batch: usize) -> Result<Vec<LayerRow>, LayerError> {
        self.inspect(input, batch).map(|(rows, _)| rows)
    }

    /// As [`Network::check`], with the parameters too. Their names lack the name of the network.
    ///
    /// # Errors
    /// As [`Network::check`].
    pub fn inspect(&self, input: &[usize], batch: usize) -> Result<(Vec<LayerRow>, Params), LayerError> {
        self.inspect_with(input, batch, None)
    }

    /// As [`Network::inspect`], for samples of so many classes, which the layers are told, or of none.
    ///
    /// # Errors
    /// As [`Network::check`].
    pub fn inspect_with(
        &self,
        input: &[usize],
        batch: usize,
        classes: Option<usize>,
    ) -> Result<(Vec<LayerRow>, Params), LayerError> {
        let fail =
            |i: usize, message: String| LayerError { line: i + 1, text: self.lines[i].text.clone(), message };
        let mut shape = vec![batch];
        shape.extend(input);
        if element_count(&shape).is_none_or(|n| n == 0) {
            return Err(fail(
                0,
                format!("its input would have shape {shape:?}; 1 to 2^31 elements are possible"),
            ));
        }
        let graph = Graph::new();
        let pair = TensorType::new(DType::U32, [2]);
        let random = RandomSource::new(&graph.feed("key", pair.clone()), &graph.feed("first", pair));
        let labels = classes.map(|classes| ClassLabels {
            index: graph.feed("labels", TensorType::new(DType::I32, [batch])),
            classes,
        });
        let scope = Scope::root(&graph, "", Mode::train().with_random(random)).with_labels(labels);
        let mut x = graph.feed("x", TensorType::f32(shape));
        for (i, line) in self.lines.iter().enumerate() {
            x = line.layer.build(&scope.child(&line.name), &x);
            if let Some(error) = graph.error() {
                return Err(fail(i, error.message));
            }
            let shape = x.shape();
            match element_count(&shape) {
                Some(0) => return Err(fail(i, format!("its output {shape:?} has no elements"))),
                Some(_) => {}
                None => {
                    let message = format!("its output {shape:?} has more than {MAX_ELEMENTS} elements");
                    return Err(fail(i, message));
                }
            }
        }
        Ok((scope.layers(), scope.params()))
    }
}
