//! Some steps of training, and several batches as segments of one.

use crate::case::{Case, D, G, MODELS, inputs, tiny, uniform};
use crate::common::{executor, slots};
use ganymede::losses::{self, Labels};
use ganymede::models;
use ganymede::networks::Side;
use ganymede_cpu::{Session, StateStore};
use ganymede_graph::{Array, Graph, Precision, Tensor, TensorType, grad, interpret};
use ganymede_nn::optim::{FirstValue, Hyper, Plan, and_bounded, apply, configure, state_specs};
use ganymede_nn::{ClassLabels, Mode, Scope, WeightRule};

/// Twenty steps of a tiny pair under the non-saturating loss and Adam.
fn train(model: &'static str, classes: Option<usize>, rule: WeightRule) {
    let [g, d] = [G, D].map(|side| Case { batch: 4, classes, ..tiny(model, side) });
    let loss = losses::find("non-saturating").unwrap();
    let adam = configure("adam", [("beta1", 0.0), ("beta2", 0.9)]).unwrap();
    let mut store = StateStore::new();
    let phase = |side: Side| {
        let graph = Graph::new();
        let z = graph.feed("z", TensorType::f32([4, g.latent]));
        let labels = g.labels(&graph);
        let root = |case: &Case| {
            let mode = if case.side == side { Mode::train() } else { Mode::train_frozen_statistics() };
            Scope::root(&graph, case.side.root(), mode).with_rule(rule).with_labels(labels.clone())
        };
        let (maker, critic) = (root(&g), root(&d));
        let fake = g.apply(&maker, &z);
        let again = critic.with_mode(Mode::train_frozen_statistics().advancing_rules(side == D));
        let judged = d.apply(&again, &fake).reshape(&[4]);
        let (value, trained) = match side {
            Side::Generator => (loss.generator(None, &judged), maker),
            Side::Discriminator => {
                let real = graph.feed("real", TensorType::f32([4, 8, 8, 1]));
                let judged_real = d.apply(&critic, &real).reshape(&[4]);
                (loss.discriminator(&judged_real, &judged, Labels::default()), critic)
            }
        };
        graph.output("loss", &value);
        let params = trained.trainable();
        let gradients = grad(&value, &params.iter().map(|p| &p.1).collect::<Vec<_>>());
        let prefix = format!("opt/{}", side.root());
        let plan = Plan::new(adam.as_ref(), &prefix);
        let sound = apply(&graph, &plan, &params, &gradients, &Hyper::feed(&graph, "lr"));
        graph.commit_when(&and_bounded(sound.and(&value.is_finite()), &trained.buffers()));
        let states = state_specs(adam.as_ref(), &prefix, &trained.params(), None);
        (graph.finish().unwrap_or_else(|e| panic!("{model}: {e}")), trained.params(), states)
    };
    let mut functions = Vec::new();
    for side in [D, G] {
        let (function, params, states) = phase(side);
        for spec in params.iter() {
            store.insert(&spec.name, spec.ty.clone(), &spec.initialize([7, 8])).unwrap();
        }
        for slot in states {
            let FirstValue::Fill(value) = slot.first else { panic!("no averages here") };
            store.insert(&slot.name, slot.ty.clone(), &vec![value as f32; slot.ty.len()]).unwrap();
        }
        functions.push((side.name().to_string(), function));
    }
    let before = slots(&store);
    let mut session = Session::new(executor(), store);
    let phases = session.add_phases(&functions).unwrap();
    for step in 0..20 {
        for phase in &phases {
            let names: Vec<String> = session.feeds(*phase).map(|(name, _)| name.to_string()).collect();
            for name in names {
                match name.as_str() {
                    "lr" => session.feed_mut(*phase, "lr").unwrap()[0] = 1e-3,
                    "labels" => {
                        let words = session.feed_words_mut(*phase, "labels").unwrap();
                        words.iter_mut().enumerate().for_each(|(i, w)| *w = ((i + step) % 5) as u32);
                    }
                    _ => {
                        let feed = session.feed_mut(*phase, &name).unwrap();
                        let values = uniform(&format!("{name}{step}"), feed.len());
                        feed.iter_mut().zip(values).for_each(|(f, v)| *f = v as f32);
                    }
                }
            }
            let report = session.run(*phase).unwrap();
            let value = session.output(*phase, "loss").unwrap()[0];
            assert!(report.committed && value.is_finite(), "{model}, step {step}: {value}");
        }
    }
    let after = slots(session.store());
    for (name, words) in &before {
        assert!(after[name].iter().all(|w| f32::from_bits(*w).is_finite()), "{model}: {name}");
        assert_ne!(*words, after[name], "{model}: {name} is as it was");
    }
}

#[test]
fn twenty_steps_stay_finite() {
    for model in MODELS {
        train(model, None, WeightRule::Plain);
        train(model, Some(5), WeightRule::Spectral { iterations: 1 });
    }
}

/// A discriminator on two batches at once, each by its own statistics, gives what it gives one by one.
#[test]
fn discriminators_take_segments() {
    for model in MODELS {
        let case = tiny(model, D).told(5);
        let graph = Graph::new();
        let told = case.labels(&graph).unwrap();
        let x = ["x0", "x1"].map(|name| graph.feed(name, TensorType::f32([2, 8, 8, 1])));
        let scope = |mode, index: &Tensor| {
            let labels = ClassLabels { index: index.clone(), classes: told.classes };
            Scope::root(&graph, "D", mode).with_labels(Some(labels))
        };
        let mode = Mode::train_frozen_statistics();
        let params = scope(mode.clone(), &told.index);
        let apart = x.each_ref().map(|x| case.apply(&params, x));
        let twice = scope(mode.with_segments(2, 0), &Tensor::concat(&[&told.index, &told.index], 0));
        graph.output("together", &case.apply(&twice, &Tensor::concat(&[&x[0], &x[1]], 0)));
        graph.output("apart", &Tensor::concat(&[&apart[0], &apart[1]], 0));
        let mut inputs = inputs(&case, &params);
        for name in ["x0", "x1"] {
            inputs.insert(name.into(), Array::f32(&[2, 8, 8, 1], uniform(name, 128)));
        }
        let outcome = interpret(&graph.finish().unwrap(), &inputs, Precision::F64).unwrap();
        let [a, b] = ["together", "apart"].map(|name| outcome.outputs[name].floats().to_vec());
        assert!(a.iter().zip(&b).all(|(a, b)| (a - b).abs() <= 1e-12 * b.abs().max(1.0)), "{model}");
        assert!(models::find(model).unwrap().takes_segments());
    }
}
