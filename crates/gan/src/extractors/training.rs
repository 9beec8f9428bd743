//! Training of the classifiers that scores look through: cross-entropy, Adam under a one-cycle schedule, images shifted by
//! a pixel. A pure function of the data and the seed, on one instruction set.

use super::Watch;
use super::layout::{Layout, ROOT, Weights};
use crate::error::Error;
use crate::trainer::key_of;
use ganymede_cpu::{Executor, Session, StateStore};
use ganymede_data::{Dataset, Loader};
use ganymede_graph::{DType, Function, Graph, GraphError, Tensor, TensorType, grad};
use ganymede_kernels::random::fold_in;
use ganymede_metrics::stats::Random;
use ganymede_nn::optim::{Adam, FirstValue, Hyper, Plan, apply, state_specs};
use ganymede_nn::{ClassLabels, Mode, Scope};
use std::sync::Arc;

/// Raised when the same data and seed give another classifier.
pub const VERSION: u32 = 1;

/// Images a step.
const BATCH: usize = 128;
/// Passes over grey images, and over those with colours, which take longer to tell apart.
const EPOCHS: [u64; 2] = [3, 8];
/// Fewest and most steps: small sets are seen more often, large ones less.
const STEPS: [u64; 2] = [600, 4000];
/// Images that a set without an end counts for.
const ENDLESS: u64 = 40_000;
/// The largest learning rate, and the share of the steps over which it rises to it; it falls as a cosine from there.
const RATE: f64 = 2e-3;
const RISE: f64 = 0.25;
/// Smallest side of images that are shifted.
const SHIFTED: usize = 16;
const PREFIX: &str = "opt/C";

/// Steps that a set is trained on.
pub fn steps(set: &Dataset) -> u64 {
    let epochs = EPOCHS[usize::from(set.shape().last() != Some(&1))];
    let images = set.len().unwrap_or(ENDLESS);
    (epochs * images / BATCH as u64).clamp(STEPS[0], STEPS[1])
}

/// Text of all that the weights depend on beside data and layout.
pub(super) fn settings(steps: u64, seed: u64) -> String {
    format!("classifier {VERSION}, {steps} steps of {BATCH}, seed {seed}")
}

/// Cross-entropy of logits `[N, C]` against the classes, mean over the batch; log-sum-exp about the largest logit, so that
/// nothing overflows.
pub fn cross_entropy(logits: &Tensor, labels: &ClassLabels) -> Tensor {
    if logits.is_poisoned() {
        return logits.clone();
    }
    let column = [logits.shape()[0], 1];
    let most = logits.max(&[1]).reshape(&column).stop_gradient();
    let total = (logits - &most).exp().sum(&[1]).log().reshape(&column) + &most;
    let own = (logits * labels.one_hot()).sum(&[1]).reshape(&column);
    (total - own).mean_all()
}

/// The step that training takes again and again.
pub(super) fn usual_step(layout: &Layout) -> Result<Function, GraphError> {
    step(layout, BATCH)
}

/// One step: `samples`, `labels` and `lr` in, `loss` out.
fn step(layout: &Layout, batch: usize) -> Result<Function, GraphError> {
    let graph = Graph::new();
    let images = graph.feed("samples", TensorType::f32([&[batch], &layout.shape[..]].concat()));
    let index = graph.feed("labels", TensorType::new(DType::I32, [batch]));
    let scope = Scope::root(&graph, ROOT, Mode::train());
    let (_, logits) = layout.build(&scope, &images);
    let loss = cross_entropy(&logits, &ClassLabels { index, classes: layout.classes });
    let params = scope.trainable();
    let gradients = grad(&loss, &params.iter().map(|(_, p)| p).collect::<Vec<_>>());
    let plan = Plan::new(&Adam::DEFAULT, PREFIX);
    let sound = apply(&graph, &plan, &params, &gradients, &Hyper::feed(&graph, "lr"));
    graph.commit_when(&sound.and(&loss.is_finite()));
    graph.output("loss", &loss);
    graph.finish()
}

/// The learning rate of a step.
fn rate(step: u64, steps: u64) -> f64 {
    let part = (step as f64 + 0.5) / steps as f64;
    if part < RISE {
        return RATE * part / RISE;
    }
    RATE * 0.5 * (1.0 + (std::f64::consts::PI * (part - RISE) / (1.0 - RISE)).cos())
}

/// Trains a classifier on a labelled set of images for so many steps.
///
/// # Errors
/// Labels beyond the layout's classes, a loss that is not finite, the data's and the executor's own.
pub fn train(
    layout: &Layout,
    set: &Arc<Dataset>,
    steps: u64,
    seed: u64,
    executor: &Arc<Executor>,
    watch: &mut dyn Watch,
) -> Result<Weights, Error> {
    let batch = set.len().map_or(BATCH, |items| (items as usize).min(BATCH));
    let params = layout.params()?;
    let mut store = StateStore::new();
    for spec in params.iter() {
        store.insert(&spec.name, spec.ty.clone(), &spec.initialize(fold_in(key_of(seed), 0x636c_6173)))?;
    }
    for slot in state_specs(&Adam::DEFAULT, PREFIX, &params, None) {
        let value = match slot.first {
            FirstValue::Fill(value) => value as f32,
            FirstValue::CopyOf(_) => 0.0,
        };
        store.insert_zeros(&slot.name, slot.ty)?.fill(value);
    }
    let mut session = Session::new(executor.clone(), store);
    let phase = session.add_phase("classifier", &step(layout, batch)?)?;
    let mut loader = Loader::new(set.clone(), batch, seed, 0)?;
    let mut random = Random::new(seed ^ 0x7368_6966);
    for step in 0..steps {
        if watch.stopped() {
            return Err(Error::Stopped);
        }
        let taken = loader.next_batch()?;
        let labels = taken.labels.as_deref().unwrap_or(&[]);
        let known = |label: i32| usize::try_from(label).is_ok_and(|label| label < layout.classes);
        if let Some(label) = labels.iter().find(|label| !known(**label)) {
            return Err(Error::Refused(format!(
                "{}: a label is {label}, with {} classes labels go from 0 to {}",
                set.spec(),
                layout.classes,
                layout.classes - 1
            )));
        }
        let feed = session.feed_mut(phase, "samples")?;
        let size = set.elements();
        for (to, from) in feed.chunks_exact_mut(size).zip(taken.data.chunks_exact(size)) {
            shift(to, from, layout.shape, &mut random);
        }
        let words = session.feed_words_mut(phase, "labels")?;
        words.iter_mut().zip(labels).for_each(|(word, &label)| *word = label as u32);
        session.feed_mut(phase, "lr")?[0] = rate(step, steps) as f32;
        loader.recycle(taken);
        if !session.run(phase)?.committed {
            return Err(Error::Refused(format!(
                "training the classifier of {} gave values that are not finite at step {step}: are its values within \
                 [-1, 1]?",
                set.spec()
            )));
        }
        if step % 20 == 19 || step + 1 == steps {
            watch.moved("training the classifier", step + 1, steps);
        }
    }
    let values = |name: &str| session.store().f32s(name).unwrap_or(&[]).to_vec();
    Ok(params.iter().map(|spec| (spec.name.clone(), spec.ty.clone(), values(&spec.name))).collect())
}

/// An image moved by up to a pixel each way, its border repeated; small ones stay.
fn shift(to: &mut [f32], from: &[f32], [h, w, c]: [usize; 3], random: &mut Random) {
    let moves = [random.below(3), random.below(3)];
    if h.min(w) < SHIFTED {
        return to.copy_from_slice(from);
    }
    let at = |i: usize, moved: usize, n: usize| (i + moved).saturating_sub(1).min(n - 1);
    for y in 0..h {
        for x in 0..w {
            let source = (at(y, moves[0], h) * w + at(x, moves[1], w)) * c;
            to[(y * w + x) * c..][..c].copy_from_slice(&from[source..source + c]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ganymede_graph::{Array, Precision, interpret};
    use std::collections::HashMap;

    fn loss(logits: &[f64], labels: &[i32]) -> (f64, Vec<f64>) {
        let graph = Graph::new();
        let (n, classes) = (labels.len(), logits.len() / labels.len());
        let x = graph.feed("x", TensorType::f32([n, classes]));
        let index = graph.feed("labels", TensorType::new(DType::I32, [n]));
        let loss = cross_entropy(&x, &ClassLabels { index, classes });
        graph.output("loss", &loss);
        graph.output("slope", &grad(&loss, &[&x])[0]);
        let inputs = HashMap::from([
            ("x".to_string(), Array::f32(&[n, classes], logits.to_vec())),
            ("labels".to_string(), Array::i32(&[n], labels.to_vec())),
        ]);
        let outcome = interpret(&graph.finish().unwrap(), &inputs, Precision::F64).unwrap();
        (outcome.outputs["loss"].floats()[0], outcome.outputs["slope"].floats().to_vec())
    }

    #[test]
    fn cross_entropy_is_the_closed_form() {
        // Equal logits of four classes: ln 4. The slope is (softmax - one-hot) / N.
        let (value, slope) = loss(&[0.0; 8], &[2, 0]);
        assert!((value - 4f64.ln()).abs() < 1e-12);
        let expected = [0.125, 0.125, -0.375, 0.125, -0.375, 0.125, 0.125, 0.125];
        assert!(slope.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-12), "{slope:?}");
        // Logits that overflow an exponential: 1e4 - 0 for the wrong class, 0 for the right one.
        assert!((loss(&[1e4, 0.0], &[1]).0 - 1e4).abs() < 1e-9);
        assert!(loss(&[1e4, 0.0], &[0]).0.abs() < 1e-9);
    }

    #[test]
    fn shifts_move_by_a_pixel_and_repeat_the_border() {
        let shape = [16, 16, 2];
        let image: Vec<f32> = (0..512).map(|i| i as f32).collect();
        let mut seen = std::collections::HashSet::new();
        let mut random = Random::new(1);
        for _ in 0..200 {
            let mut moved = vec![0.0; 512];
            shift(&mut moved, &image, shape, &mut random);
            let centre = moved[(8 * 16 + 8) * 2];
            let [dy, dx] = [-1i32, 0, 1]
                .iter()
                .flat_map(|&y| [-1, 0, 1].map(|x| [y, x]))
                .find(|[y, x]| centre == (((8 + y) * 16 + 8 + x) * 2) as f32)
                .unwrap();
            seen.insert((dy, dx));
            assert_eq!(moved[1], (((dy.max(0)) * 16 + dx.max(0)) * 2 + 1) as f32);
        }
        assert_eq!(seen.len(), 9);
    }

    #[test]
    fn the_rate_rises_and_falls() {
        assert!(
            rate(0, 1000) < 1e-4 * 0.1 && (rate(249, 1000) - RATE).abs() < 1e-5 && rate(999, 1000) < 1e-7
        );
    }
}
