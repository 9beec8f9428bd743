//! Unrolled generative adversarial networks (Metz et al. 2017, equations 9 to 11): the generator's loss is that of a
//! discriminator which takes k more steps first, and its gradient goes through these steps. A test of the engine: each of
//! them is Adam's, whose moments and roots are then differentiated along with gradients of gradients.

use ganymede::losses::{self, Labels, Loss};
use ganymede_graph::{Array, Graph, Precision, Tensor, TensorType, grad, interpret};
use ganymede_nn::optim::{Adam, Hyper, Optimizer};
use std::collections::HashMap;

/// Batch, latents, coordinates of a sample, hidden units.
const SHAPE: [usize; 4] = [5, 3, 2, 4];
const ADAM: Adam = Adam { beta1: 0.5, beta2: 0.9, eps: 1e-3, weight_decay: 0.0 };
const RATE: f64 = 0.1;

/// Numbers in -1 to 1 that follow no pattern.
fn values(seed: u64, count: usize) -> Vec<f64> {
    (0..count as u64).map(|i| ((i * 7919 + seed * 104_729) as f64 * 0.618_034).sin()).collect()
}

struct Setting {
    graph: Graph,
    /// What is fed, by name.
    inputs: HashMap<String, Array>,
}

impl Setting {
    fn new() -> Self {
        let [batch, latent, sample, hidden] = SHAPE;
        let shapes: [(&str, &[usize]); 7] = [
            ("z", &[batch, latent]),
            ("real", &[batch, sample]),
            ("g1", &[latent, sample]),
            ("g2", &[sample]),
            ("d1", &[sample, hidden]),
            ("d2", &[hidden]),
            ("d3", &[hidden, 1]),
        ];
        let array = |(i, (name, shape)): (usize, &(&str, &[usize]))| {
            (name.to_string(), Array::f32(shape, values(i as u64 + 1, shape.iter().product())))
        };
        Self { graph: Graph::new(), inputs: shapes.iter().enumerate().map(array).collect() }
    }

    fn feed(&self, name: &str) -> Tensor {
        self.graph.feed(name, TensorType::f32(self.inputs[name].ty.shape.clone()))
    }

    fn fake(&self) -> Tensor {
        self.feed("z").matmul(&self.feed("g1")).tanh() + self.feed("g2")
    }
}

/// Logits `[batch]` by weights d1, d2, d3.
fn judge(weights: &[Tensor], samples: &Tensor) -> Tensor {
    let hidden = (samples.matmul(&weights[0]) + &weights[1]).tanh();
    hidden.matmul(&weights[2]).reshape(&[SHAPE[0]])
}

/// The discriminator's weights after `steps` of Adam from slots that are new, as functions of everything that the weights,
/// real and generated samples are functions of. `seen` is what a step makes of its gradients: themselves, here.
fn unrolled(
    loss: &dyn Loss,
    [real, fake]: [&Tensor; 2],
    weights: &[Tensor],
    steps: usize,
    seen: &dyn Fn(&Tensor) -> Tensor,
) -> Vec<Tensor> {
    let graph = real.graph();
    let hyper = Hyper::lr(&graph.scalar(RATE));
    let mut weights = weights.to_vec();
    let mut powers: Vec<Tensor> = ADAM.common_slots().iter().map(|slot| graph.scalar(slot.initial)).collect();
    let mut moments: Vec<Vec<Tensor>> =
        weights.iter().map(|w| ADAM.slots().iter().map(|slot| w.full_like(slot.initial)).collect()).collect();
    for _ in 0..steps {
        let d_loss = loss.discriminator(&judge(&weights, real), &judge(&weights, fake), Labels::default());
        let gradients = grad(&d_loss, &weights.iter().collect::<Vec<_>>());
        let common = ADAM.advance(graph, &hyper, &powers);
        for ((weight, slots), gradient) in weights.iter_mut().zip(&mut moments).zip(&gradients) {
            let next = ADAM.step(&hyper, &common, weight, &seen(gradient), slots);
            (*weight, *slots) = (next.param, next.slots);
        }
        powers = common.slots;
    }
    weights
}

/// The generator's loss after unrolled steps, and its gradients by g1 and g2.
fn generator(
    name: &str,
    steps: usize,
    seen: &dyn Fn(&Tensor) -> Tensor,
    inputs: &HashMap<String, Array>,
) -> [Vec<f64>; 3] {
    let loss = losses::find(name).unwrap();
    let setting = Setting::new();
    let (real, fake) = (setting.feed("real"), setting.fake());
    let first = ["d1", "d2", "d3"].map(|name| setting.feed(name));
    let weights = unrolled(loss, [&real, &fake], &first, steps, seen);
    let real_logits = judge(&weights, &real);
    let value = loss.generator(loss.pairs().then_some(&real_logits), &judge(&weights, &fake));
    let of = ["g1", "g2"].map(|name| setting.feed(name));
    let gradients = grad(&value, &[&of[0], &of[1]]);
    let graph = &setting.graph;
    graph.output("loss", &value);
    graph.output("g1", &gradients[0]);
    graph.output("g2", &gradients[1]);
    let outcome = interpret(&graph.finish().unwrap(), inputs, Precision::F64).unwrap();
    ["loss", "g1", "g2"].map(|name| outcome.outputs[name].floats().to_vec())
}

/// Largest difference between the gradient and central differences of the loss, over the largest component.
fn error(name: &str, steps: usize, seen: &dyn Fn(&Tensor) -> Tensor) -> f64 {
    let inputs = Setting::new().inputs;
    let [_, g1, g2] = generator(name, steps, seen, &inputs);
    let size = g1.iter().chain(&g2).fold(0.0f64, |m, g| m.max(g.abs()));
    let mut worst = 0.0f64;
    for (variable, gradient) in [("g1", &g1), ("g2", &g2)] {
        let centre = &inputs[variable];
        for k in 0..gradient.len() {
            let moved = |by: f64| {
                let mut inputs = inputs.clone();
                let mut elements = centre.floats().to_vec();
                elements[k] += by;
                inputs.insert(variable.into(), Array::f32(&centre.ty.shape, elements));
                // Whatever the gradient stops at, the loss itself is that of the steps.
                generator(name, steps, &|g| g.clone(), &inputs)[0][0]
            };
            let step = 1e-5;
            let difference = (moved(step) - moved(-step)) / (2.0 * step);
            worst = worst.max((gradient[k] - difference).abs() / size);
        }
    }
    worst
}

#[test]
fn gradients_pass_through_steps_of_adam() {
    for loss in ["non-saturating", "relativistic-pairing", "least-squares"] {
        for steps in [0, 1, 2] {
            let apart = error(loss, steps, &|g| g.clone());
            assert!(apart < 1e-6, "{loss}, {steps} steps: {apart}");
        }
    }
}

#[test]
fn a_generator_that_takes_the_steps_for_given_is_told_apart() {
    for loss in ["non-saturating", "relativistic-pairing"] {
        let apart = error(loss, 2, &|g| g.stop_gradient());
        assert!(apart > 1e-2, "{loss}: {apart}");
        // And steps that are taken are not steps that are left out.
        let inputs = Setting::new().inputs;
        let value = |steps| generator(loss, steps, &|g| g.clone(), &inputs)[0][0];
        assert!((value(2) - value(0)).abs() > 1e-3);
    }
}
