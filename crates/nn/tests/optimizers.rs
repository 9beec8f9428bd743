//! Optimizers against scalar re-implementations, clipping, averages and the finite predicate.

mod common;

use common::{close, run, values};
use ganymede_graph::{Array, Graph, Outcome, Tensor, TensorType};
use ganymede_nn::optim::*;
use ganymede_nn::{Hyper, Init, OPTIMIZERS, ParamSpec, Params};
use std::collections::HashMap;

const N: usize = 4;
const STEPS: usize = 6;

/// A graph that applies one step to parameters `G/a` [4] and `G/b` [4] with gradients from feeds, and its state.
struct Trainer {
    graph: Graph,
    state: HashMap<String, Array>,
}

fn params() -> Params {
    let mut params = Params::new();
    for name in ["G/a", "G/b"] {
        params.push(ParamSpec::new(name, &[N], Init::Zeros, true)).unwrap();
    }
    params
}

impl Trainer {
    fn new(plan: impl FnOnce(&Graph) -> (Plan<'static>, Hyper)) -> Self {
        let graph = Graph::new();
        let (plan, hyper) = plan(&graph);
        let state = |name: &str| (name.to_string(), graph.state(name, TensorType::f32([N])));
        let tensors: Vec<(String, Tensor)> = ["G/a", "G/b"].map(state).to_vec();
        let grads: Vec<Tensor> =
            ["grad a", "grad b"].iter().map(|n| graph.feed(n, TensorType::f32([N]))).collect();
        let finite = apply(&graph, &plan, &tensors, &grads, &hyper);
        graph.commit_when(&finite);
        let mut state = HashMap::new();
        for (i, (name, _)) in tensors.iter().enumerate() {
            state.insert(name.clone(), Array::f32(&[N], values(i as u64, N)));
        }
        let ema = plan.ema.as_ref().map(|e| e.prefix.as_str());
        for spec in state_specs(plan.optimizer, &plan.prefix, &params(), ema) {
            let first = match spec.first {
                FirstValue::Fill(value) => vec![value; spec.ty.len()],
                FirstValue::CopyOf(name) => state[&name].floats().to_vec(),
            };
            let array = Array::f32(&spec.ty.shape, first);
            assert!(state.insert(spec.name.clone(), array).is_none(), "{} twice", spec.name);
        }
        Self { graph, state }
    }

    fn step(&mut self, grads: [&[f64]; 2], scalars: &[(&str, f64)]) -> Outcome {
        let mut inputs = self.state.clone();
        inputs.insert("grad a".into(), Array::f32(&[N], grads[0].to_vec()));
        inputs.insert("grad b".into(), Array::f32(&[N], grads[1].to_vec()));
        for (name, value) in scalars {
            inputs.insert((*name).into(), Array::f32(&[], vec![*value]));
        }
        let out = run(&self.graph, &inputs);
        self.state.extend(out.updates.clone());
        out
    }

    fn value(&self, name: &str) -> &[f64] {
        self.state[name].floats()
    }
}

/// Learning rates and gradients of a run, with a rate that changes.
fn rate(t: usize) -> f64 {
    0.1 / (1.0 + t as f64)
}

fn gradient(t: usize) -> [Vec<f64>; 2] {
    [values(100 + t as u64, N), values(200 + t as u64, N).iter().map(|g| g * 1e-3).collect()]
}

/// Runs the optimizer and, beside it, `scalar`: from (weight, gradients so far, rates so far) to the next weight.
fn compare(optimizer: &'static dyn Optimizer, scalar: impl Fn(f64, &[f64], &[f64], &mut Vec<f64>) -> f64) {
    let mut trainer = Trainer::new(|graph| (Plan::new(optimizer, "opt/G"), Hyper::feed(graph, "lr")));
    let mut weights: Vec<f64> = [trainer.value("G/a"), trainer.value("G/b")].concat();
    let mut memory = vec![Vec::new(); 2 * N];
    let mut history = vec![Vec::new(); 2 * N];
    let mut rates = Vec::new();
    for t in 0..STEPS {
        let [a, b] = gradient(t);
        rates.push(rate(t));
        let out = trainer.step([&a, &b], &[("lr", rate(t))]);
        assert!(out.committed);
        for (k, g) in a.iter().chain(&b).enumerate() {
            history[k].push(*g);
            weights[k] = scalar(weights[k], &history[k], &rates, &mut memory[k]);
        }
        close(&[trainer.value("G/a"), trainer.value("G/b")].concat(), &weights, 1e-12);
    }
}

/// Moments as weighted sums over the whole past, another form than the recursion.
fn moment(history: &[f64], beta: f64, power: i32) -> f64 {
    let t = history.len() as i32;
    history.iter().enumerate().map(|(i, g)| (1.0 - beta) * beta.powi(t - 1 - i as i32) * g.powi(power)).sum()
}

fn adam_step(history: &[f64], beta1: f64, beta2: f64, eps: f64) -> f64 {
    let t = history.len() as i32;
    let m = moment(history, beta1, 1) / (1.0 - beta1.powi(t));
    let v = moment(history, beta2, 2) / (1.0 - beta2.powi(t));
    m / (v.sqrt() + eps)
}

static ADAM: Adam = Adam { beta1: 0.5, beta2: 0.9, eps: 1e-3, weight_decay: 0.0 };
static ADAM_L2: Adam = Adam { weight_decay: 0.1, ..ADAM };
static ADAMW: AdamW = AdamW { beta1: 0.5, beta2: 0.9, eps: 1e-3, weight_decay: 0.1 };
static RMSPROP: RmsProp = RmsProp { decay: 0.9, eps: 1e-3, momentum: 0.0, weight_decay: 0.0 };
static RMSPROP_MOMENTUM: RmsProp = RmsProp { momentum: 0.7, ..RMSPROP };
static SGD: Sgd = Sgd::DEFAULT;
static MOMENTUM: Sgd = Sgd { momentum: 0.9, nesterov: 0.0, weight_decay: 0.01 };
static NESTEROV: Sgd = Sgd { momentum: 0.9, nesterov: 1.0, weight_decay: 0.0 };

#[test]
fn adam_with_a_changing_rate() {
    compare(&ADAM, |w, h, lr, _| w - lr[lr.len() - 1] * adam_step(h, 0.5, 0.9, 1e-3));
}

#[test]
fn adam_with_a_penalty_takes_it_into_the_moments() {
    compare(&ADAM_L2, |w, h, lr, penalised| {
        penalised.push(h[h.len() - 1] + 0.1 * w);
        w - lr[lr.len() - 1] * adam_step(penalised, 0.5, 0.9, 1e-3)
    });
}

#[test]
fn adamw_shrinks_apart_from_the_moments() {
    compare(&ADAMW, |w, h, lr, _| {
        let lr = lr[lr.len() - 1];
        w * (1.0 - lr * 0.1) - lr * adam_step(h, 0.5, 0.9, 1e-3)
    });
}

#[test]
fn rmsprop_with_and_without_momentum() {
    let scaled = |h: &[f64]| h[h.len() - 1] / (moment(h, 0.9, 2).sqrt() + 1e-3);
    compare(&RMSPROP, |w, h, lr, _| w - lr[lr.len() - 1] * scaled(h));
    compare(&RMSPROP_MOMENTUM, |w, h, lr, past| {
        past.push(scaled(h));
        let t = past.len() as i32;
        let step: f64 = past.iter().enumerate().map(|(i, s)| 0.7f64.powi(t - 1 - i as i32) * s).sum();
        w - lr[lr.len() - 1] * step
    });
}

#[test]
fn sgd_plain_with_momentum_and_nesterov() {
    compare(&SGD, |w, h, lr, _| w - lr[lr.len() - 1] * h[h.len() - 1]);
    let sum = |past: &[f64]| -> f64 {
        let t = past.len() as i32;
        past.iter().enumerate().map(|(i, g)| 0.9f64.powi(t - 1 - i as i32) * g).sum()
    };
    compare(&MOMENTUM, |w, h, lr, past| {
        past.push(h[h.len() - 1] + 0.01 * w);
        w - lr[lr.len() - 1] * sum(past)
    });
    compare(&NESTEROV, |w, h, lr, _| w - lr[lr.len() - 1] * (h[h.len() - 1] + 0.9 * sum(h)));
}

/// With a scheduled beta2 the second moment is a weighted sum whose weights add up to 1 minus the product of the betas
/// used, so constant gradients must give steps of exactly the rate.
#[test]
fn adam_corrects_a_scheduled_beta() {
    static EXACT: Adam = Adam { beta1: 0.0, beta2: 0.9, eps: 1e-12, weight_decay: 0.0 };
    let mut trainer = Trainer::new(|graph| {
        let hyper = Hyper::feed(graph, "lr").beta2(&graph.feed("beta2", TensorType::f32([])));
        (Plan::new(&EXACT, "opt/G"), hyper)
    });
    let start = trainer.value("G/a").to_vec();
    for t in 0..STEPS {
        let beta2 = 0.9 + 0.015 * t as f64;
        trainer.step([&[2.0, -3.0, 0.5, -0.1], &[1.0; N]], &[("lr", 0.01), ("beta2", beta2)]);
    }
    let moved = 0.01 * STEPS as f64;
    let expected = [start[0] - moved, start[1] + moved, start[2] - moved, start[3] + moved];
    close(trainer.value("G/a"), &expected, 1e-10);
    let product: f64 = (0..STEPS).map(|t| 0.9 + 0.015 * t as f64).product();
    close(trainer.value("opt/G/beta2_power"), &[product], 1e-12);
}

#[test]
fn slots_carry_the_network_name_once() {
    let specs = state_specs(&ADAM, "opt/G", &params(), Some("ema/"));
    let names: Vec<&str> = specs.iter().map(|s| s.name.as_str()).collect();
    let expected = [
        "opt/G/beta1_power",
        "opt/G/beta2_power",
        "opt/G/a/m",
        "opt/G/a/v",
        "opt/G/b/m",
        "opt/G/b/v",
        "ema/G/a",
        "ema/G/b",
    ];
    assert_eq!(names, expected);
    assert_eq!(apply::slot_name("opt", "G/a", "m"), "opt/G/a/m");
    // What is listed is what a step declares.
    let trainer = Trainer::new(|graph| {
        let decay = graph.scalar(0.5);
        let plan = Plan { ema: Some(EmaSpec::new(&decay, Vec::new())), ..Plan::new(&ADAM, "opt/G") };
        (plan, Hyper::feed(graph, "lr"))
    });
    let function = trainer.graph.finish().unwrap();
    let mut declared: Vec<&str> = function
        .inputs
        .iter()
        .filter(|i| i.role == ganymede_graph::Role::State && !["G/a", "G/b"].contains(&i.name.as_str()))
        .map(|i| i.name.as_str())
        .collect();
    let mut expected = expected.to_vec();
    declared.sort_unstable();
    expected.sort_unstable();
    assert_eq!(declared, expected);
}

#[test]
fn clipping_by_norm_keeps_the_direction_and_by_value_the_bound() {
    let step = |plan: Plan<'static>, grads: [&[f64]; 2]| {
        let mut trainer = Trainer::new(|graph| (plan, Hyper::feed(graph, "lr")));
        let start = [trainer.value("G/a"), trainer.value("G/b")].concat();
        trainer.step(grads, &[("lr", 1.0)]);
        let end = [trainer.value("G/a"), trainer.value("G/b")].concat();
        start.iter().zip(&end).map(|(s, e)| s - e).collect::<Vec<f64>>()
    };
    let plan = || Plan::new(&SGD, "opt/G");
    // Norm 13 over both tensors.
    let grads: [&[f64]; 2] = [&[3.0, 0.0, 4.0, 0.0], &[0.0, -12.0, 0.0, 0.0]];
    let whole = [3.0, 0.0, 4.0, 0.0, 0.0, -12.0, 0.0, 0.0];
    let by_norm = step(Plan { clip_norm: Some(2.6), ..plan() }, grads);
    close(&by_norm, &whole.map(|g| g / 5.0), 1e-12);
    close(&step(Plan { clip_norm: Some(13.5), ..plan() }, grads), &whole, 1e-12);
    let by_value = step(Plan { clip_value: Some(3.5), ..plan() }, grads);
    close(&by_value, &whole.map(|g: f64| g.clamp(-3.5, 3.5)), 1e-12);
    // Value first: (3, 3.5, -3.5) has norm sqrt(33.5).
    let both = step(Plan { clip_value: Some(3.5), clip_norm: Some(1.0), ..plan() }, grads);
    close(&both, &whole.map(|g: f64| g.clamp(-3.5, 3.5) / 33.5f64.sqrt()), 1e-12);
    // All zero: no division by zero.
    close(&step(Plan { clip_norm: Some(1.0), ..plan() }, [&[0.0; N], &[0.0; N]]), &[0.0; 2 * N], 0.0);
}

#[test]
fn a_fed_bound_holds_after_the_others_and_zero_is_none() {
    let stepped = |clip_norm: Option<f64>, inverse: f64| {
        let mut trainer = Trainer::new(|graph| {
            let inverse_bound = Some(graph.feed("inverse", TensorType::f32([])));
            (Plan { clip_norm, inverse_bound, ..Plan::new(&SGD, "opt/G") }, Hyper::feed(graph, "lr"))
        });
        let start = [trainer.value("G/a"), trainer.value("G/b")].concat();
        // Norm 13 over both tensors.
        let grads: [&[f64]; 2] = [&[3.0, 0.0, 4.0, 0.0], &[0.0, -12.0, 0.0, 0.0]];
        let out = trainer.step(grads, &[("lr", 1.0), ("inverse", inverse)]);
        let end = [trainer.value("G/a"), trainer.value("G/b")].concat();
        (out.committed, start.iter().zip(&end).map(|(s, e)| s - e).collect::<Vec<f64>>())
    };
    let whole = [3.0, 0.0, 4.0, 0.0, 0.0, -12.0, 0.0, 0.0];
    for (clip_norm, inverse, norm) in [
        (None, 0.0, 13.0),
        (None, 1.0 / 26.0, 13.0),
        (None, 1.0 / 6.5, 6.5),
        (Some(2.6), 1.0 / 6.5, 2.6),
        (Some(2.6), 1.0 / 1.3, 1.3),
        (Some(2.6), 0.0, 2.6),
    ] {
        let (committed, moved) = stepped(clip_norm, inverse);
        assert!(committed);
        close(&moved, &whole.map(|g| g * norm / 13.0), 1e-12);
    }
    for wrong in [-1.0, f64::NAN, f64::INFINITY, 1e31] {
        assert!(!stepped(None, wrong).0, "{wrong}");
    }
}

#[test]
fn weight_clipping_bounds_the_new_weights() {
    let clip: &'static dyn Fn(&Tensor) -> Tensor =
        &|w| w.maximum(&w.full_like(-0.01)).minimum(&w.full_like(0.01));
    let plan = Plan { constrain: Some(Constraint(clip)), ..Plan::new(&RMSPROP, "opt/D") };
    let mut trainer = Trainer::new(|graph| (plan, Hyper::feed(graph, "lr")));
    trainer.step([&[1.0; N], &[-1.0; N]], &[("lr", 5.0)]);
    assert_eq!(trainer.value("G/a"), [-0.01; N]);
    assert_eq!(trainer.value("G/b"), [0.01; N]);
}

#[test]
fn after_one_half_life_half_the_distance_is_left() {
    for (batch, half_life, steps) in [(50, 200.0, 4), (64, 10_240.0, 160), (200, 200.0, 1)] {
        let mut trainer = Trainer::new(|graph| {
            let decay = graph.feed("decay", TensorType::f32([]));
            let buffer = graph.state("G/running", TensorType::f32([1]));
            graph.update("G/running", &(&buffer + 1.0));
            let ema = EmaSpec::new(&decay, vec![("G/running".into(), buffer)]);
            (Plan { ema: Some(ema), ..Plan::new(&SGD, "opt/G") }, Hyper::feed(graph, "lr"))
        });
        trainer.state.insert("G/running".into(), Array::f32(&[1], vec![5.0]));
        trainer.state.insert("ema/G/running".into(), Array::f32(&[1], vec![0.0]));
        trainer.state.insert("ema/G/a".into(), Array::f32(&[N], vec![0.0; N]));
        let decay = ema_decay(batch, half_life);
        for _ in 0..steps {
            trainer.step([&[0.0; N], &[0.0; N]], &[("lr", 0.1), ("decay", decay)]);
        }
        let half: Vec<f64> = trainer.value("G/a").iter().map(|w| w / 2.0).collect();
        close(trainer.value("ema/G/a"), &half, 1e-12);
        // The untouched parameter's copy stays, and the buffer's is its newest value.
        close(trainer.value("ema/G/b"), trainer.value("G/b"), 1e-15);
        assert_eq!(trainer.value("ema/G/running"), [5.0 + f64::from(steps)]);
    }
    assert_eq!(ema_decay(64, 0.0), 0.0);
}

#[test]
fn a_step_with_a_non_finite_gradient_or_rate_commits_nothing() {
    let mut trainer = Trainer::new(|graph| (Plan::new(&ADAM, "opt/G"), Hyper::feed(graph, "lr")));
    let good: &[f64] = &[1.0; N];
    for (grad, lr) in [
        (&[1.0, f64::NAN, 1.0, 1.0], 0.1),
        (&[1.0, f64::INFINITY, 1.0, 1.0], 0.1),
        (&[1.0, f64::NEG_INFINITY, 1.0, 1.0], 0.1),
        (&[1.0, 1.0, 1.0, 1.0], f64::NAN),
        // Finite, but beyond what bounds the new values: a norm above 1e17, a rate above 1e4 or 1e12 eps.
        (&[1.0, 1.1e17, 1.0, 1.0], 0.1),
        (&[1.0, 1.0, 1.0, 1.0], 1.1e4),
        (&[1.0, 1.0, 1.0, 1.0], -1.1e4),
    ] {
        let before = trainer.state.clone();
        let out = trainer.step([good, grad], &[("lr", lr)]);
        assert!(!out.committed && out.updates.is_empty());
        assert_eq!(trainer.state, before);
    }
    assert!(trainer.step([good, good], &[("lr", 0.1)]).committed);
    assert!(trainer.state.values().all(|a| a.floats().iter().all(|v| v.is_finite())));
}

#[test]
fn decays_out_of_range_and_weights_too_large_for_their_decay_commit_nothing() {
    let mut trainer = Trainer::new(|graph| {
        let scalar = |name| graph.feed(name, TensorType::f32([]));
        let hyper = Hyper::feed(graph, "lr").beta1(&scalar("beta1")).beta2(&scalar("beta2"));
        let ema = EmaSpec::new(&scalar("decay"), Vec::new());
        (Plan { ema: Some(ema), ..Plan::new(&ADAM_L2, "opt/G") }, hyper)
    });
    let mut committed = |name: &str, value: f64, weight: f64| {
        trainer.state.insert("G/a".into(), Array::f32(&[N], vec![weight; N]));
        let mut scalars = [("lr", 0.1), ("beta1", 0.5), ("beta2", 0.9), ("decay", 0.5)];
        scalars.iter_mut().filter(|s| s.0 == name).for_each(|s| s.1 = value);
        trainer.step([&[1.0; N], &[1.0; N]], &scalars).committed
    };
    for (name, good, bad) in [
        ("beta1", [0.0, 0.99], [-0.1, 1.0]),
        ("beta2", [0.0, 0.99], [-0.1, 1.0]),
        ("decay", [0.0, 1.0], [-0.1, 1.1]),
    ] {
        assert!(good.iter().all(|v| committed(name, *v, 1.0)), "{name}");
        assert!(bad.iter().all(|v| !committed(name, *v, 1.0)), "{name}");
    }
    // Four weights decayed by a tenth: 2 (.1 w) is the norm.
    assert!(committed("", 0.0, 0.4e18));
    assert!(!committed("", 0.0, 0.6e18));
}

#[test]
fn the_largest_rate_follows_eps() {
    assert_eq!([max_lr(&SGD), max_lr(&ADAM), max_lr(&RMSPROP)], [1e4; 3]);
    assert_eq!(max_lr(&Adam { eps: 1e-15, ..ADAM }), 1e12 * 1e-15);
}

#[test]
fn mismatched_gradients_are_errors() {
    let graph = Graph::new();
    let w = graph.state("G/a", TensorType::f32([3]));
    let hyper = Hyper::feed(&graph, "lr");
    let wrong = graph.feed("g", TensorType::f32([4]));
    apply(&graph, &Plan::new(&SGD, "opt/G"), &[("G/a".into(), w)], &[wrong], &hyper);
    assert!(graph.error().unwrap().message.contains("`G/a` is f32[3], its gradient f32[4]"));
}

#[test]
fn impossible_plans_are_errors() {
    let build = |plan: &dyn Fn(&Graph) -> (Plan<'static>, Hyper)| {
        let graph = Graph::new();
        let (plan, hyper) = plan(&graph);
        let w = graph.state("G/a", TensorType::f32([3]));
        let g = graph.feed("g", TensorType::f32([3]));
        apply(&graph, &plan, &[("G/a".into(), w)], &[g], &hyper);
        graph.error().map(|e| e.to_string()).unwrap_or_default()
    };
    let lr = |graph: &Graph| Hyper::feed(graph, "lr");
    let beta = |graph: &Graph| graph.feed("beta", TensorType::f32([]));
    let plan = || Plan::new(&SGD, "opt/G");
    let error = build(&|g| (Plan { clip_norm: Some(0.0), ..plan() }, lr(g)));
    assert_eq!(error, "apply: clip_norm must be a finite number above 0, got 0");
    for beyond_f32 in [1e39, 1e-46] {
        let error = build(&|g| (Plan { clip_norm: Some(beyond_f32), ..plan() }, lr(g)));
        assert!(error.starts_with("apply: clip_norm must be a finite number above 0"), "{error}");
    }
    assert_eq!(build(&|g| (plan(), lr(g).beta1(&beta(g)))), "sgd at opt/G: has no momentum to schedule");
    assert_eq!(build(&|g| (plan(), lr(g).beta2(&beta(g)))), "sgd at opt/G: has no beta2 to schedule");
    let rmsprop = || Plan::new(&RMSPROP, "opt/G");
    assert_eq!(build(&|g| (rmsprop(), lr(g).beta1(&beta(g)))), "rmsprop at opt/G: has no beta1 to schedule");
    assert_eq!(build(&|g| (rmsprop(), lr(g).beta2(&beta(g)))), "");
}

#[test]
fn recipes_configure_optimizers_by_name() {
    let adam = configure("adam", [("beta1", 0.5), ("eps", 1e-7)]).unwrap();
    let values: Vec<f64> = adam.settings().iter().map(|s| s.value).collect();
    assert_eq!(values, [0.5, 0.999, 1e-7, 0.0]);
    assert!(configure("adam", [("momentum", 0.5)]).is_err());
}

#[test]
fn the_registry_of_optimizers_is_complete() {
    let mut names = std::collections::HashSet::new();
    for optimizer in OPTIMIZERS {
        assert!(names.insert(optimizer.name()));
        assert!(!optimizer.doc().is_empty(), "{}", optimizer.name());
        let year = |century| optimizer.paper().contains(century);
        assert!(year(" 19") || year(" 20"), "{}: {}", optimizer.name(), optimizer.paper());
        for setting in optimizer.settings() {
            assert!(!setting.doc.is_empty());
            let changed = optimizer.with_setting(setting.name, 0.25);
            if setting.name != "nesterov" {
                let changed = changed.unwrap();
                let value = changed.settings().iter().find(|s| s.name == setting.name).map(|s| s.value);
                assert_eq!(value, Some(0.25), "{} of {}", setting.name, optimizer.name());
            }
            assert!(optimizer.with_setting(setting.name, -1.0).is_err());
            assert!(optimizer.with_setting(setting.name, f64::NAN).is_err());
        }
        assert!(by_name(optimizer.name()).is_ok());
    }
    let error = by_name("adm").unwrap_err().to_string();
    assert_eq!(error, "`adm` is not an optimizer: did you mean `adam`?");
    let error = Adam::DEFAULT.with_setting("betta1", 0.5).unwrap_err().to_string();
    assert!(error.contains("did you mean `beta1`?"), "{error}");
    let error = Adam::DEFAULT.with_setting("beta1", 1.0).unwrap_err().to_string();
    assert!(error.contains("at least 0 and below 1"), "{error}");
}
