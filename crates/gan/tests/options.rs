//! Options of an objective: packs, top-k, instance noise, spectral norm, and regularizers of the generator.

mod common;

use common::{LINEAR, POINTS, objective, slots, trainer};
use ganymede::Recipe;
use ganymede::judge::Judge;
use ganymede::networks::Side;

fn error(text: &str, sets: &[&str]) -> String {
    let sets: Vec<String> = sets.iter().map(|s| s.to_string()).collect();
    let recipe = Recipe::parse("test", text, &sets);
    recipe.and_then(|r| ganymede::Objective::new(r).map(|_| ())).unwrap_err().to_string()
}

#[test]
fn options_that_mean_nothing_or_too_much_are_refused() {
    for (sets, words) in [
        (&["loss.name=hinge", "loss.real_label=0.9"][..], "`hinge` has no targets"),
        (&["loss.real_label=1.5"][..], "from 0 to 1"),
        (&["loss.generator_label=0"][..], "choose least-squares"),
        (&["loss.name=least-squares", "loss.fake_label=-101"][..], "from -100 to 100"),
        (&["loss.real_label=0.2", "loss.fake_label=0.3"][..], "must lie above"),
        (&["loss.top_k=0"][..], "above 0 and at most 1"),
        (&["loss.top_k=linear 1 -> 1.5"][..], "above 0 and at most 1"),
        (&["loss.instance_noise=-1"][..], "from 0 to 100"),
        (&["loss.name=relativistic-average", "loss.top_k=0.5"][..], "none can be left out"),
        (&["regularizers=[{name=\"r1\",strength=1e39}]"][..], "must be at most 3.40e38 at every = 1"),
        (&["regularizers=[{name=\"r1\",strength=1e38,every=8}]"][..], "must be at most 4.25e37 at every = 8"),
        (&["train.pack=3"][..], "does not divide into packs of 3"),
        (&["train.pack=0"][..], "must be from 1 to"),
        (&["discriminator.spectral_norm=100"][..], "from 0 (off) to 64"),
    ] {
        let message = error(LINEAR, sets);
        assert!(message.contains(words), "{sets:?}: {message}");
    }
    let with = |tables: &str| error(&format!("{LINEAR}\n{tables}"), &[]);
    let side = with("[[regularizers]]\nname = \"r1\"\nnetwork = \"generator\"");
    assert!(side.contains("`r1` is for the discriminator alone"), "{side}");
    let choice = with("[[regularizers]]\nname = \"orthogonal\"\nnetwork = \"both\"");
    assert!(choice.contains("both") && choice.contains("generator"), "{choice}");
    let twice = with(&"[[regularizers]]\nname = \"lecam\"\n".repeat(2));
    assert!(twice.contains("twice"), "{twice}");
    // A penalty on gradients refuses batch norm in the network that it differentiates.
    let mixed = error(&format!("{POINTS}\n[[regularizers]]\nname = \"path-length\""), &[]);
    assert!(mixed.contains("the generator has batch norm"), "{mixed}");
    let mixed = error(&format!("{POINTS}\n[[regularizers]]\nname = \"dragan\""), &[]);
    assert!(mixed.contains("batch norm"), "{mixed}");
}

/// LSGAN's coding that minimises the Pearson divergence, a = -1, b = 1, c = 0: equation 8 of Mao et al. 2017.
#[test]
fn least_squares_takes_the_coding_of_minus_one_one_zero() {
    let sets = ["loss.name=least-squares", "loss.fake_label=-1", "loss.generator_label=0"];
    let objective = objective(LINEAR, &sets);
    let mut session = ganymede_cpu::Session::new(common::executor(), objective.initial_state(1).unwrap());
    let d = session.add_phase("d", &objective.discriminator_phase(&[]).unwrap()).unwrap();
    let g = session.add_phase("g", &objective.generator_phase(&[]).unwrap()).unwrap();
    // Generated samples are (.5, -.25), whose logit is 2; all real ones (1, 1), whose logit is .25.
    common::put(session.store_mut(), "G/dense1/weight", &[0.0, 0.0]);
    common::put(session.store_mut(), "G/dense1/bias", &[0.5, -0.25]);
    common::put(session.store_mut(), "D/dense1/weight", &[1.5, -2.0]);
    common::put(session.store_mut(), "D/dense1/bias", &[0.75]);
    session.feed_mut(d, "real").unwrap().fill(1.0);
    // (.25 - 1)^2 / 2 + (2 + 1)^2 / 2, and 2^2 / 2.
    for (phase, output, expected) in [(d, "d_loss", 0.28125 + 4.5), (g, "g_loss", 2.0)] {
        common::feed(&mut session, phase, 0.0);
        session.run(phase).unwrap();
        let got = session.output(phase, output).unwrap()[0];
        assert!((got - expected).abs() < 1e-5, "{output}: {got} against {expected}");
    }
}

#[test]
fn a_critic_without_bounds_and_one_held_at_zero_are_remarked_upon() {
    let remarks = |tables: &str, sets: &[&str]| {
        let sets = [&["loss.name=wasserstein"][..], sets].concat();
        objective(&format!("{LINEAR}\n{tables}"), &sets).remarks().join("; ")
    };
    assert!(remarks("", &[]).contains("kept from growing steep"));
    assert!(remarks("", &["loss.name=hinge"]).is_empty());
    assert!(remarks("", &["discriminator.spectral_norm=1"]).is_empty());
    for name in ["weight-clipping", "gradient-penalty", "r1"] {
        assert!(remarks(&format!("[[regularizers]]\nname = \"{name}\""), &[]).is_empty(), "{name}");
    }
    assert!(remarks("[[regularizers]]\nname = \"lecam\"", &[]).contains("kept from growing steep"));
    let zero = remarks("[[regularizers]]\nname = \"weight-clipping\"\nstrength = 0", &[]);
    assert!(zero.contains("holds every weight of the discriminator at 0"), "{zero}");
}

#[test]
fn classes_are_set_as_the_message_about_them_says() {
    let trained = |text: String| {
        ["discriminator", "generator"].iter().fold(text, |text, side| {
            format!("{text}\n[[regularizers]]\nname = \"auxiliary-classifier\"\nnetwork = \"{side}\"\n")
        })
    };
    let message = error(&trained(LINEAR.into()), &[]);
    assert!(message.contains("set data.classes, e.g. to 10"), "{message}");
    let told = LINEAR
        .replace("\"dense 1\"", "\"dense 4 relu\", \"classify\", \"dense 1\"")
        .replace("layers = [\"dense 2\"]", "layers = [\"concat_label\", \"dense 2\"]");
    let text = trained(told);
    for key in ["data.classes", "classes"] {
        assert_eq!(objective(&text, &[&format!("{key}=8")]).recipe.data.classes, Some(8));
    }
}

#[test]
fn a_discriminator_of_packs_has_wider_inputs_and_judges_packs() {
    let objective = objective(LINEAR, &["train.pack=2"]);
    let weight = objective.params(Side::Discriminator);
    assert_eq!(weight.get("D/dense1/weight").unwrap().ty.shape, [4, 1]);
    let mut trainer = trainer(objective);
    for _ in 0..3 {
        let report = trainer.step().unwrap();
        assert!(report.skipped == 0 && report.d_loss.is_finite() && report.g_loss.is_finite(), "{report:?}");
    }
    let (objective, session) = trainer.parts_mut();
    let refused = Judge::new(objective, session).err().unwrap().to_string();
    assert!(refused.contains("packs of 2"), "{refused}");
}

#[test]
fn a_discriminator_that_compares_samples_judges_none_alone() {
    let lines =
        "discriminator.layers=[\"conv 8 4 stride=2 pad=1\",\"minibatch_stddev\",\"flatten\",\"dense 1\"]";
    let recipe = Recipe::load("dcgan28", &[lines.into(), "train.batch=4".into()]).unwrap();
    let objective = ganymede::Objective::new(recipe).unwrap();
    let mut session = ganymede_cpu::Session::new(common::executor(), objective.initial_state(1).unwrap());
    let refused = Judge::new(&objective, &mut session).err().unwrap().to_string();
    assert!(refused.contains("compares the samples"), "{refused}");
}

#[test]
fn residual_networks_follow_rules_and_show_their_features() {
    let sets =
        ["discriminator.spectral_norm=1", "train.batch=4", "regularizers=[{name=\"feature-matching\"}]"];
    let sets: Vec<String> = sets.iter().map(|s| s.to_string()).collect();
    let objective = ganymede::Objective::new(Recipe::load("residual28", &sets).unwrap()).unwrap();
    let params = objective.params(Side::Discriminator);
    let weights = params.trainable().filter(|p| p.name.ends_with("/weight")).count();
    assert_eq!(params.buffers().filter(|p| p.name.ends_with("/weight_u")).count(), weights);
    objective.generator_phase(&[true]).unwrap();
}

#[test]
fn a_regularizer_can_be_moved_to_the_other_network() {
    let text = format!("{LINEAR}\n[[regularizers]]\nname = \"orthogonal\"\n");
    for (sets, side) in
        [(&[][..], Side::Generator), (&["regularizers.0.network=discriminator"], Side::Discriminator)]
    {
        assert_eq!(objective(&text, sets).regularizers[0].side, side);
    }
}

#[test]
fn a_schedule_that_warms_up_is_bounded_by_its_course() {
    let message = error(LINEAR, &["loss.instance_noise=linear 800 -> 0 over 500k warmup 50k"]);
    assert!(message.contains("from 0 to 100"), "{message}");
    objective(LINEAR, &["loss.instance_noise=linear 80 -> 0 over 500k warmup 50k"]);
}

#[test]
fn top_k_of_all_is_the_plain_step_and_less_is_another() {
    let weights = |sets: &[&str]| {
        let mut trainer = trainer(objective(LINEAR, sets));
        let losses: Vec<f32> = (0..4).map(|_| trainer.step().unwrap().g_loss).collect();
        (losses, slots(trainer.store()))
    };
    let (plain, _) = weights(&[]);
    let (all, _) = weights(&["loss.top_k=1"]);
    for (a, b) in plain.iter().zip(&all) {
        assert!((a - b).abs() < 1e-5, "{plain:?} against {all:?}");
    }
    let (half, _) = weights(&["loss.top_k=0.5"]);
    assert!(half[0] < plain[0], "the better half of the samples has the smaller loss: {half:?} {plain:?}");
}

#[test]
fn instance_noise_is_on_what_the_discriminator_sees_and_fades() {
    let run = |sets: &[&str], steps: usize| -> Vec<[f32; 2]> {
        let mut trainer = trainer(objective(LINEAR, sets));
        (0..steps).map(|_| trainer.step().map(|r| [r.d_real, r.g_loss]).unwrap()).collect()
    };
    let plain = run(&[], 3);
    assert_eq!(run(&["loss.instance_noise=0"], 3), plain);
    let noisy = run(&["loss.instance_noise=0.5"], 3);
    assert!(noisy[0][0] != plain[0][0] && noisy[0][1] != plain[0][1], "{noisy:?} {plain:?}");
    assert_eq!(run(&["loss.instance_noise=0.5"], 3), noisy, "the same seed gives the same noise");
}

#[test]
fn spectral_norm_is_state_that_only_training_moves() {
    let objective = objective(POINTS, &["discriminator.spectral_norm=1", "generator.spectral_norm=2"]);
    let names: Vec<String> =
        objective.state_types().into_keys().filter(|n| n.ends_with("weight_u")).collect();
    assert_eq!(
        names,
        [
            "D/dense1/weight_u",
            "D/dense2/weight_u",
            "G/dense1/weight_u",
            "G/dense2/weight_u",
            "ema/G/dense1/weight_u",
            "ema/G/dense2/weight_u"
        ]
    );
    let mut trainer = trainer(objective);
    let before = slots(trainer.store());
    trainer.step().unwrap();
    let after = slots(trainer.store());
    for name in &names {
        // A single output has a vector of one number, whose direction cannot change.
        assert!(before[name] != after[name] || before[name].len() == 1, "{name}");
    }
    let (objective, session) = trainer.parts_mut();
    let judge = Judge::new(objective, session).unwrap();
    judge.logits(objective, session, &[0.1, 0.2], &[]).unwrap();
    assert_eq!(slots(trainer.store()), after);
}

#[test]
fn the_generators_regularizers_are_lazy_by_its_own_steps() {
    let plain = POINTS.replace("\"batch_norm\", ", "");
    let text = format!(
        "{plain}\n[[regularizers]]\nname = \"path-length\"\nevery = 2\n[[regularizers]]\nname = \"lecam\"\n\
         [[regularizers]]\nname = \"feature-matching\"\nstrength = 0.5\nevery = 3\n"
    );
    let objective = objective(&text, &["train.critic_steps=2"]);
    assert_eq!(objective.due_sets(Side::Discriminator), [[false, true, false]]);
    assert_eq!(objective.due_sets(Side::Generator).len(), 4);
    assert_eq!(
        objective.phase_name(Side::Generator, &[true, false, true]),
        "generator+path-length+feature-matching"
    );
    let mut trainer = trainer(objective);
    let mean = |trainer: &ganymede::Trainer, name: &str| trainer.store().f32s(name).unwrap()[0];
    for step in 0..6 {
        let lengths = mean(&trainer, "regularizer/G/path-length/mean");
        let report = trainer.step().unwrap();
        let due = step % 2 == 0 || step % 3 == 0;
        assert_eq!(report.g_penalty > 0.0, due, "step {step}: {report:?}");
        assert_eq!(mean(&trainer, "regularizer/G/path-length/mean") != lengths, step % 2 == 0, "step {step}");
        assert!(report.d_penalty > 0.0);
    }
    // Twelve steps of the discriminator, each of which takes in a hundredth.
    let share = mean(&trainer, "regularizer/D/lecam/real_share");
    assert!((share - (1.0 - 0.99f32.powi(12))).abs() < 1e-5, "{share}");
}

#[test]
fn a_consistency_regularizer_has_augmentations_of_its_own() {
    let table = |more: &str| format!("regularizers=[{{name=\"balanced-consistency\"{more}}}]");
    let load = |sets: &[String]| Recipe::load("r3-28", sets).and_then(ganymede::Objective::new);
    let names = |objective: &ganymede::Objective| -> Vec<&str> {
        objective.regularizers[0].policy.iter().map(|a| a.name()).collect()
    };
    assert_eq!(names(&load(&[table("")]).unwrap()), ["flip", "translation"]);
    assert_eq!(names(&load(&[table(",augment=[\"color\"]")]).unwrap()), ["color"]);
    let refused = |sets: &[String]| load(sets).err().unwrap().to_string();
    let unknown = refused(&[table(",augment=[\"colour\"]")]);
    assert!(
        unknown.contains("regularizers.augment") && unknown.contains("did you mean `color`?"),
        "{unknown}"
    );
    let packs = refused(&[table(""), "train.pack=2".into()]);
    assert!(packs.contains("packs of 2"), "{packs}");
    let idle = refused(&["regularizers=[{name=\"r1\",augment=[\"flip\"]}]".into()]);
    assert!(idle.contains("`r1` changes no samples"), "{idle}");
    let points = error(&format!("{LINEAR}\n[[regularizers]]\nname = \"consistency\""), &[]);
    assert!(points.contains("`consistency` changes images") && points.contains("[2]"), "{points}");
}

#[test]
fn consistency_asks_for_one_more_pass_and_draws_anew_at_each_step() {
    let blank = || {
        let glyphs = ganymede_data::open("glyphs", &ganymede_data::OpenOptions::default()).unwrap();
        std::sync::Arc::new(glyphs)
    };
    let penalties = |name: &str, lr: &str| -> Vec<f32> {
        let sets = [format!("regularizers=[{{name=\"{name}\"}}]"), format!("lr={lr}"), "batch=4".into()];
        let objective = ganymede::Objective::new(Recipe::load("r3-28", &sets).unwrap()).unwrap();
        let mut trainer = ganymede::Trainer::new(objective, blank(), common::executor(), 3, 400).unwrap();
        (0..3).map(|_| trainer.step().unwrap()).map(|r| r.d_penalty).collect()
    };
    let (real, both) = (penalties("consistency", "0"), penalties("balanced-consistency", "0"));
    assert!(real.iter().all(|p| *p > 0.0) && real[0] != real[1], "{real:?}");
    assert!(real.iter().zip(&both).all(|(r, b)| b > r), "generated samples add to it: {real:?} {both:?}");
    assert_eq!(penalties("consistency", "0"), real, "the same seed draws the same");
}
