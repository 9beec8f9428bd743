//! Training steps: what each phase changes, how often, and under which condition.

mod common;

use common::*;
use ganymede::Trainer;
use ganymede::losses::LOSSES;
use ganymede::networks::Side;
use ganymede_cpu::Session;

/// Slots that belong to one network and its optimizer.
fn belongs(side: Side, name: &str) -> bool {
    let root = side.root();
    name.starts_with(&format!("{root}/"))
        || name.starts_with(&format!("opt/{root}/"))
        || (side == Side::Generator && name.starts_with("ema/"))
}

#[test]
fn each_phase_changes_its_own_slots_and_no_others() {
    let objective = objective(POINTS, &[]);
    let mut session = Session::new(executor(), objective.initial_state(1).unwrap());
    let d = session.add_phase("d", &objective.discriminator_phase(&[]).unwrap()).unwrap();
    let g = session.add_phase("g", &objective.generator_phase(&[]).unwrap()).unwrap();
    let real: Vec<f32> = (0..4).flat_map(circle).collect();
    session.feed_mut(d, "real").unwrap().copy_from_slice(&real);
    for (phase, side) in [(d, Side::Discriminator), (g, Side::Generator)] {
        let before = hashes(session.store());
        feed(&mut session, phase, 1e-2);
        assert!(session.run(phase).unwrap().committed);
        for (name, hash) in hashes(session.store()) {
            // A bias before batch norm has no gradient, so its own value stays.
            let idle = name.ends_with("dense1/bias") || name.contains("dense1/bias/");
            if !idle {
                assert_eq!(hash != before[&name], belongs(side, &name), "{name} in the phase of {side:?}");
            } else if !belongs(side, &name) {
                assert_eq!(hash, before[&name], "{name}");
            }
        }
    }
}

#[test]
fn a_nan_leaves_every_slot_of_its_phase_as_it_was() {
    for text in [POINTS.to_string(), POINTS.replace("non-saturating", "relativistic-pairing")] {
        let objective = objective(&text, &[]);
        let mut session = Session::new(executor(), objective.initial_state(1).unwrap());
        let d = session.add_phase("d", &objective.discriminator_phase(&[]).unwrap()).unwrap();
        let g = session.add_phase("g", &objective.generator_phase(&[]).unwrap()).unwrap();
        let real: Vec<f32> = (0..4).flat_map(circle).collect();
        for phase in [d, g] {
            feed(&mut session, phase, 1e-2);
            let reads_real = session.feed_index(phase, "real").is_ok();
            if reads_real {
                session.feed_mut(phase, "real").unwrap().copy_from_slice(&real);
            }
            for _ in 0..3 {
                assert!(session.run(phase).unwrap().committed);
            }
            let before = hashes(session.store());
            let refused = |session: &mut Session, what: &str| {
                assert!(!session.run(phase).unwrap().committed, "{what} was committed");
                assert_eq!(hashes(session.store()), before, "{what} reached the state");
            };
            // 1e30 is a number, and one that no rate may be.
            for bad in [f32::NAN, f32::INFINITY, 1e30] {
                if reads_real && !bad.is_finite() {
                    session.feed_mut(phase, "real").unwrap()[5] = bad;
                    refused(&mut session, "a real sample");
                    session.feed_mut(phase, "real").unwrap()[5] = real[5];
                }
                session.feed_mut(phase, "lr").unwrap()[0] = bad;
                refused(&mut session, "a learning rate");
                session.feed_mut(phase, "lr").unwrap()[0] = 1e-2;
            }
            // The same step with sound values goes through.
            assert!(session.run(phase).unwrap().committed);
            assert_ne!(hashes(session.store()), before);
        }
        // A weight that is not finite: both phases see it, neither commits.
        put(session.store_mut(), "D/dense2/weight", &[0.1, -0.2, 0.3, f32::NAN, 0.5, 0.6]);
        let before = hashes(session.store());
        for phase in [d, g] {
            assert!(!session.run(phase).unwrap().committed);
            assert_eq!(hashes(session.store()), before);
        }
    }
}

#[test]
fn a_skipped_step_counts_and_the_next_one_is_sound() {
    // Items 8 to 11 are NaN. The order of an endless set is its own, so that is the third batch of four.
    let data = points(|i| if (8..12).contains(&i) { [f32::NAN; 2] } else { circle(i) });
    let mut trainer = Trainer::new(objective(POINTS, &[]), data, executor(), 3, 400).unwrap();
    for step in 1..=5u64 {
        let before = hashes(trainer.store());
        let report = trainer.step().unwrap();
        let skipped = step == 3;
        assert_eq!(report.skipped, u32::from(skipped), "step {step}");
        let progress = trainer.progress();
        assert_eq!((progress.step, progress.images, progress.cursor), (step, 4 * step, 4 * step));
        assert_eq!(progress.skipped, u64::from(step >= 3));
        for (name, hash) in hashes(trainer.store()) {
            if belongs(Side::Discriminator, &name) && !name.contains("dense1/bias") {
                assert_eq!(hash == before[&name], skipped, "{name} at step {step}");
            }
        }
        assert!(slots(trainer.store()).values().flatten().all(|w| f32::from_bits(*w).is_finite()));
    }
}

/// Activations of 1e20 before batch norm: their variance is beyond f32, one over its root is 0, and so loss and gradients
/// are finite; only the running variance is not.
#[test]
fn statistics_that_overflow_are_not_committed() {
    let data = points(|i| if (8..12).contains(&i) { circle(i).map(|x| 1e20 * x) } else { circle(i) });
    let mut trainer = Trainer::new(objective(POINTS, &[]), data, executor(), 3, 400).unwrap();
    for step in 1..=5u64 {
        let before = hashes(trainer.store());
        let report = trainer.step().unwrap();
        assert!(report.d_loss.is_finite() && report.g_loss.is_finite(), "step {step}: {report:?}");
        assert_eq!(report.skipped, u32::from(step == 3), "step {step}");
        for (name, hash) in hashes(trainer.store()) {
            if belongs(Side::Discriminator, &name) && step == 3 {
                assert_eq!(hash, before[&name], "{name}");
            }
        }
    }
    assert!(slots(trainer.store()).values().flatten().all(|w| f32::from_bits(*w).is_finite()));

    // The generator's own, and the average's copies of them.
    let objective = objective(POINTS, &[]);
    let mut session = Session::new(executor(), objective.initial_state(1).unwrap());
    let g = session.add_phase("g", &objective.generator_phase(&[]).unwrap()).unwrap();
    let weight: Vec<f32> = (0..15).map(|i| 1e20 * (i as f32 - 7.0)).collect();
    put(session.store_mut(), "G/dense1/weight", &weight);
    feed(&mut session, g, 1e-2);
    let before = hashes(session.store());
    assert!(!session.run(g).unwrap().committed);
    assert!(session.output(g, "g_loss").unwrap()[0].is_finite());
    assert_eq!(hashes(session.store()), before);
    // With weights that it can hold the same step goes through.
    put(session.store_mut(), "G/dense1/weight", &weight.iter().map(|w| w * 1e-4).collect::<Vec<f32>>());
    assert!(session.run(g).unwrap().committed);
}

/// Every rate, decay and gradient the predicate lets through, at its bound, through every optimizer.
#[test]
fn steps_at_the_bounds_stay_finite() {
    for kind in ["adam", "adamw", "rmsprop", "sgd"] {
        let momentum = if kind == "rmsprop" { "" } else { ", beta1 = 0.9999999" };
        let text = LINEAR.replace(
            "kind = \"sgd\", lr = 1e-2, beta1 = 0.0",
            &format!("kind = \"{kind}\", lr = 1e4{momentum}, weight_decay = 0.5"),
        );
        let objective = objective(&text.replace("non-saturating", "wasserstein"), &[]);
        let mut session = Session::new(executor(), objective.initial_state(1).unwrap());
        let d = session.add_phase("d", &objective.discriminator_phase(&[]).unwrap()).unwrap();
        let mut committed = 0;
        for step in 0..60 {
            feed(&mut session, d, 1e4);
            for (name, decay) in [("beta1", 0.9999999f32), ("beta2", 0.5)] {
                if session.feed_index(d, name).is_ok() {
                    session.feed_mut(d, name).unwrap()[0] = decay;
                }
            }
            // The last steps have no gradient but that of the first ones' moments.
            let size = if step < 30 { 5e16 } else { 0.0 };
            session.feed_mut(d, "real").unwrap().fill(size);
            let before = hashes(session.store());
            if session.run(d).unwrap().committed {
                committed += 1;
            } else {
                assert_eq!(hashes(session.store()), before, "{kind} at step {step}");
            }
            for (name, words) in slots(session.store()) {
                assert!(
                    words.iter().all(|w| f32::from_bits(*w).is_finite()),
                    "{name}, {kind} at step {step}"
                );
            }
        }
        assert!(committed > 0, "{kind}");
        session.feed_mut(d, "real").unwrap().fill(2e17);
        assert!(!session.run(d).unwrap().committed, "{kind}: a norm above 1e17");
    }
}

#[test]
fn phases_are_compiled_once_each() {
    let sets = |texts: &[(&str, usize)]| {
        let plain = POINTS.replace("\"dense 6\", \"batch_norm\"", "\"dense 6\"");
        texts.iter().fold(plain, |text, (name, every)| with(&text, name, 1.0, *every))
    };
    // One phase for each set of regularizers that falls due together, and the generator's.
    for (regularizers, expected) in [
        (&[][..], 2),
        (&[("r1", 1)], 2),
        (&[("r1", 4)], 3),
        (&[("r1", 4), ("r2", 4)], 3),
        (&[("r1", 2), ("r2", 3)], 5),
    ] {
        let mut trainer = trainer(objective(&sets(regularizers), &[]));
        assert_eq!(trainer.session().compile_count(), expected, "{regularizers:?}");
        for _ in 0..13 {
            trainer.step().unwrap();
        }
        assert_eq!(trainer.session().compile_count(), expected, "{regularizers:?} after 13 steps");
    }
}

#[test]
fn lazy_regularization_applies_n_times_the_strength_every_nth_step() {
    let run = |every: usize, steps: usize| {
        let mut trainer = trainer(objective(&with(LINEAR, "r1", 0.7, every), &["lr=0"]));
        (0..steps).map(|_| trainer.step().unwrap().d_penalty).collect::<Vec<f32>>()
    };
    let always = run(1, 8);
    let lazy = run(4, 8);
    assert!(always[0] > 0.0);
    for (step, penalty) in lazy.iter().enumerate() {
        let expected = if step % 4 == 0 { 4.0 * always[step] } else { 0.0 };
        assert!((penalty - expected).abs() <= 1e-6 * expected, "step {step}: {penalty} against {expected}");
    }
    // Without learning the weights stand still, so the means agree.
    let sum = |v: &[f32]| v.iter().sum::<f32>();
    assert!((sum(&lazy) - sum(&always)).abs() <= 1e-5 * sum(&always));
}

#[test]
fn the_critic_takes_as_many_steps_as_asked() {
    for (loss, batches) in [("wasserstein", 3), ("relativistic-pairing", 4)] {
        let text = LINEAR.replace("non-saturating", loss);
        let mut trainer = trainer(objective(&text, &["critic_steps=3"]));
        trainer.step().unwrap();
        trainer.step().unwrap();
        let progress = trainer.progress();
        assert_eq!((progress.step, progress.critic_steps, progress.images), (2, 6, 24));
        // A pairing generator reads a batch of its own.
        assert_eq!(progress.cursor, 2 * batches * 4, "{loss}");
    }
}

fn softplus(x: f32) -> f32 {
    x.max(0.0) + (-x.abs()).exp().ln_1p()
}

#[test]
fn relativistic_pairing_compares_with_the_real_logits() {
    let objective = objective(&LINEAR.replace("non-saturating", "relativistic-pairing"), &[]);
    let mut session = Session::new(executor(), objective.initial_state(1).unwrap());
    let d = session.add_phase("d", &objective.discriminator_phase(&[]).unwrap()).unwrap();
    let g = session.add_phase("g", &objective.generator_phase(&[]).unwrap()).unwrap();
    // The generator always makes (.5, -.25), and D(x) = 1.5 x0 - 2 x1 + .75.
    put(session.store_mut(), "G/dense1/weight", &[0.0, 0.0]);
    put(session.store_mut(), "G/dense1/bias", &[0.5, -0.25]);
    put(session.store_mut(), "D/dense1/weight", &[1.5, -2.0]);
    put(session.store_mut(), "D/dense1/bias", &[0.75]);
    let real: Vec<f32> = (0..4).flat_map(circle).collect();
    let fake_logit = 1.5 * 0.5 + 2.0 * 0.25 + 0.75;
    let gaps: Vec<f32> = real.chunks(2).map(|p| 1.5 * p[0] - 2.0 * p[1] + 0.75 - fake_logit).collect();
    let mean = |sign: f32| gaps.iter().map(|gap| softplus(sign * gap)).sum::<f32>() / 4.0;
    for (phase, output, expected) in [(d, "d_loss", mean(-1.0)), (g, "g_loss", mean(1.0))] {
        feed(&mut session, phase, 0.0);
        session.feed_mut(phase, "real").unwrap().copy_from_slice(&real);
        session.run(phase).unwrap();
        let got = session.output(phase, output).unwrap()[0];
        assert!((got - expected).abs() < 1e-6 * expected.max(1.0), "{output}: {got} against {expected}");
    }
    assert!((session.output(d, "d_fake").unwrap()[0] - fake_logit).abs() < 1e-6);
}

#[test]
fn a_step_against_the_gradient_lowers_each_loss() {
    for loss in LOSSES {
        let objective = objective(&LINEAR.replace("non-saturating", loss.name()), &[]);
        let mut session = Session::new(executor(), objective.initial_state(1).unwrap());
        let d = session.add_phase("d", &objective.discriminator_phase(&[]).unwrap()).unwrap();
        let g = session.add_phase("g", &objective.generator_phase(&[]).unwrap()).unwrap();
        put(session.store_mut(), "D/dense1/weight", &[0.4, -0.3]);
        let real: Vec<f32> = (0..4).flat_map(circle).collect();
        for (phase, output) in [(d, "d_loss"), (g, "g_loss")] {
            feed(&mut session, phase, 1e-2);
            assert_eq!(
                session.feed_index(phase, "real").is_ok(),
                phase == d || loss.pairs(),
                "{}",
                loss.name()
            );
            if session.feed_index(phase, "real").is_ok() {
                session.feed_mut(phase, "real").unwrap().copy_from_slice(&real);
            }
            let mut values = Vec::new();
            for _ in 0..4 {
                session.run(phase).unwrap();
                values.push(session.output(phase, output).unwrap()[0]);
            }
            assert!(values.windows(2).all(|w| w[1] < w[0]), "{} {output}: {values:?}", loss.name());
        }
    }
}

#[test]
fn weight_clipping_holds_after_every_step() {
    let text = with(&LINEAR.replace("non-saturating", "wasserstein"), "weight-clipping", 0.01, 1);
    let mut trainer = trainer(objective(&text, &["lr=0.5"]));
    for _ in 0..3 {
        trainer.step().unwrap();
        for name in ["D/dense1/weight", "D/dense1/bias"] {
            let values = trainer.store().f32s(name).unwrap();
            assert!(values.iter().all(|v| v.abs() <= 0.01), "{name}: {values:?}");
        }
    }
    let weights = trainer.store().f32s("D/dense1/weight").unwrap();
    assert!(weights.iter().any(|v| v.abs() == 0.01), "a step of .5 reaches the bound: {weights:?}");
    assert!(trainer.store().f32s("G/dense1/weight").unwrap().iter().any(|v| v.abs() > 0.01));
}

#[test]
fn the_average_follows_with_its_half_life() {
    // A batch of 4 at a half-life of 8 images keeps 2^(-1/2), three batches a step keep 2^(-3/2); 0 keeps nothing.
    for (half_life, critic_steps, decay) in
        [("8", 1, 0.5f32.sqrt()), ("8", 3, 0.5f32.powf(1.5)), ("24", 3, 0.5f32.sqrt()), ("0", 1, 0.0)]
    {
        let sets = [format!("half_life={half_life}"), format!("critic_steps={critic_steps}")];
        let mut trainer = trainer(objective(POINTS, &sets.each_ref().map(String::as_str)));
        for _ in 0..3 {
            let before = trainer.store().f32s("ema/G/dense1/weight").unwrap().to_vec();
            trainer.step().unwrap();
            let new = trainer.store().f32s("G/dense1/weight").unwrap();
            let average = trainer.store().f32s("ema/G/dense1/weight").unwrap();
            for i in 0..new.len() {
                let expected = decay * before[i] + (1.0 - decay) * new[i];
                assert!((average[i] - expected).abs() <= 1e-6, "{} against {expected}", average[i]);
            }
            let statistics = |prefix: &str| {
                let name = format!("{prefix}G/batch_norm1/running_mean");
                let names: Vec<&str> =
                    trainer.store().names().filter(|n| n.contains("batch_norm1")).collect();
                trainer.store().f32s(&name).unwrap_or_else(|| panic!("{name} in {names:?}")).to_vec()
            };
            assert_eq!(statistics("ema/"), statistics(""), "running statistics are taken as they are");
        }
    }
}

#[test]
fn running_statistics_are_averaged_where_the_recipe_asks() {
    // A batch of 4 at a half-life of 8 images keeps 2^(-1/2).
    let decay = 0.5f32.sqrt();
    let mut trainer = trainer(objective(POINTS, &["ema.buffers=average"]));
    for name in ["running_mean", "running_var"].repeat(3) {
        let slot = |trainer: &Trainer, prefix: &str| {
            trainer.store().f32s(&format!("{prefix}G/batch_norm1/{name}")).unwrap().to_vec()
        };
        let before = slot(&trainer, "ema/");
        trainer.step().unwrap();
        let (new, average) = (slot(&trainer, ""), slot(&trainer, "ema/"));
        assert_ne!(new, average, "{name} is not copied");
        for i in 0..new.len() {
            let expected = decay * before[i] + (1.0 - decay) * new[i];
            assert!((average[i] - expected).abs() <= 1e-6, "{name}: {} against {expected}", average[i]);
        }
    }
}

#[test]
fn latents_depend_on_the_sample_and_not_on_the_batch() {
    let samples = |count: usize| {
        let objective = objective(POINTS, &[]);
        let mut session = Session::new(executor(), objective.initial_state(1).unwrap());
        let mut sampler = ganymede::sampler::Sampler::new(9);
        let whole = sampler.draw(&objective, &mut session, 0, count).unwrap();
        let tail = sampler.draw(&objective, &mut session, 3, 2).unwrap();
        assert_eq!(whole[6..10], tail[..]);
        whole
    };
    assert_eq!(samples(5)[..], samples(300)[..10]);
}

#[test]
fn a_step_under_clip_norm_is_at_most_that_times_the_rate() {
    let change = |clip: &str| {
        let mut trainer = trainer(objective(LINEAR, &["lr=0.5", &format!("clip_norm={clip}")]));
        let values = |trainer: &Trainer, side: Side| -> Vec<f32> {
            let of = |name: &str| {
                trainer.store().f32s(&format!("{}/dense1/{name}", side.root())).unwrap().to_vec()
            };
            [of("weight"), of("bias")].concat()
        };
        let sides = [Side::Discriminator, Side::Generator];
        let before = sides.map(|side| values(&trainer, side));
        assert_eq!(trainer.step().unwrap().skipped, 0);
        let after = sides.map(|side| values(&trainer, side));
        [0, 1].map(|i| before[i].iter().zip(&after[i]).map(|(b, a)| a - b).collect::<Vec<f32>>())
    };
    let norm = |v: &[f32]| v.iter().map(|x| x * x).sum::<f32>().sqrt();
    let free = change("0");
    let far = change("1e3");
    assert_eq!(free, far, "a bound that no gradient reaches changes nothing");
    // Weights are about 1, of which the change of 5e-4 keeps three digits and more.
    let bound = 1e-3;
    let clipped = change("1e-3");
    for (clipped, free) in clipped.iter().zip(&free) {
        assert!(norm(free) > 10.0 * 0.5 * bound, "the gradient is longer than the bound: {free:?}");
        assert!((norm(clipped) / (0.5 * bound) - 1.0).abs() < 2e-3, "{clipped:?} under {bound}");
    }
    // The discriminator comes first, so its direction is that of the unclipped step.
    let scale = norm(&clipped[0]) / norm(&free[0]);
    for (c, f) in clipped[0].iter().zip(&free[0]) {
        assert!((c - f * scale).abs() < 1e-6, "{clipped:?} along {free:?}");
    }
}

#[test]
fn running_statistics_move_in_the_passes_that_are_named() {
    let real: Vec<f32> = (0..4).flat_map(circle).collect();
    let mean = |axis: usize| real.iter().skip(axis).step_by(2).sum::<f32>() / 4.0;
    // The generator always makes this point.
    let fake = [0.5, -0.25];
    for (named, generator, seen) in [
        ("", false, None),
        ("\"generator-step\"", true, None),
        ("\"real-pass\"", false, Some([mean(0), mean(1)])),
        ("\"fake-pass\"", false, Some(fake)),
        ("\"fake-pass\", \"generator-step\"", true, Some(fake)),
        ("\"generator-step\", \"real-pass\"", true, Some([mean(0), mean(1)])),
    ] {
        let objective = objective(POINTS, &[&format!("statistics=[{named}]")]);
        let mut session = Session::new(executor(), objective.initial_state(1).unwrap());
        let d = session.add_phase("d", &objective.discriminator_phase(&[]).unwrap()).unwrap();
        let g = session.add_phase("g", &objective.generator_phase(&[]).unwrap()).unwrap();
        put(session.store_mut(), "G/dense2/weight", &[0.0; 10]);
        put(session.store_mut(), "G/dense2/bias", &fake);
        let weight: Vec<f32> = (0..12).map(|i| 0.3 * i as f32 - 1.0).collect();
        put(session.store_mut(), "D/dense1/weight", &weight);
        put(session.store_mut(), "D/dense1/bias", &[0.0; 6]);
        session.feed_mut(d, "real").unwrap().copy_from_slice(&real);
        let before = hashes(session.store());
        for phase in [d, g] {
            feed(&mut session, phase, 1e-2);
            assert!(session.run(phase).unwrap().committed);
        }
        let after = hashes(session.store());
        for slot in ["running_mean", "running_var"] {
            for (prefix, moves) in [("G", generator), ("ema/G", generator), ("D", seen.is_some())] {
                let name = format!("{prefix}/batch_norm1/{slot}");
                assert_eq!(after[&name] != before[&name], moves, "{name} with [{named}]");
            }
        }
        // A tenth of the way from 0 to the mean over the pass that is named.
        let Some([x, y]) = seen else { continue };
        let moved = session.store().f32s("D/batch_norm1/running_mean").unwrap();
        for (i, moved) in moved.iter().enumerate() {
            let expected = 0.1 * (x * weight[i] + y * weight[6 + i]);
            assert!((moved - expected).abs() < 1e-6, "{moved} against {expected} with [{named}]");
        }
    }
}
