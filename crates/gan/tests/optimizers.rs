//! Every optimizer can be named in a recipe, and gets the settings that the recipe gives.

use ganymede::networks::{self, Side};
use ganymede::{Objective, Recipe, Trainer};
use ganymede_cpu::{Executor, ExecutorOptions};
use ganymede_data::{OpenOptions, open};
use ganymede_nn::optim::OPTIMIZERS;
use std::sync::Arc;

fn recipe(set: &[&str]) -> Result<Recipe, String> {
    let set: Vec<String> = set.iter().chain(&["batch=8"]).map(|s| s.to_string()).collect();
    Recipe::load("mlp2d", &set).map_err(|e| e.to_string())
}

fn trained(set: &[&str]) -> Trainer {
    let objective = Objective::new(recipe(set).unwrap()).unwrap();
    let dataset = Arc::new(open("synthetic:ring8", &OpenOptions::default()).unwrap());
    let executor = Executor::new(ExecutorOptions { threads: Some(1), ..ExecutorOptions::default() }).unwrap();
    let mut trainer = Trainer::new(objective, dataset, executor, 3, 1000).unwrap();
    for _ in 0..3 {
        assert_eq!(trainer.step().unwrap().skipped, 0);
    }
    trainer
}

fn weights(trainer: &Trainer) -> Vec<f32> {
    let names: Vec<String> =
        trainer.objective().params(Side::Generator).iter().map(|p| p.name.clone()).collect();
    names.iter().flat_map(|n| trainer.store().f32s(n).unwrap_or(&[]).to_vec()).collect()
}

#[test]
fn every_optimizer_trains_a_recipe_made_for_another() {
    let mut seen: Vec<Vec<f32>> = Vec::new();
    for optimizer in OPTIMIZERS {
        let kind = format!("kind={}", optimizer.name());
        let trained = weights(&trained(&[&kind, "lr=1e-2"]));
        assert!(trained.iter().all(|w| w.is_finite()), "{kind}");
        assert!(!seen.contains(&trained), "{kind} trains like another optimizer");
        seen.push(trained);
    }
}

#[test]
fn momentum_comes_from_beta1_and_may_be_scheduled() {
    let slots = |t: &Trainer| t.store().names().filter(|n| n.contains("momentum")).count();
    let plain = trained(&["kind=sgd", "lr=1e-2"]);
    assert_eq!(plain.objective().recipe.generator.optimizer.beta1.as_ref().unwrap().range(), (0.0, 0.0));
    assert_eq!(slots(&plain), 0);
    let heavy = trained(&["kind=sgd", "lr=1e-2", "beta1=0.9"]);
    let falling = trained(&["kind=sgd", "lr=1e-2", "beta1=linear 0.9 -> 0"]);
    assert!(slots(&heavy) > 0);
    assert_eq!(slots(&heavy), slots(&falling));
    assert_ne!(weights(&plain), weights(&heavy));
    assert_ne!(weights(&falling), weights(&heavy));
}

#[test]
fn weight_decay_is_the_optimizers_own_unless_given_and_zero_is_given() {
    let decay = |set: &[&str]| {
        let spec = recipe(set).unwrap().generator.optimizer;
        let built = networks::optimizer(&spec).unwrap();
        let used = built.settings().iter().find(|s| s.name == "weight_decay").unwrap().value;
        assert_eq!(spec.weight_decay, Some(used), "the resolved recipe says what holds");
        used
    };
    assert_eq!(decay(&["kind=adamw"]), 0.01);
    assert_eq!(decay(&["kind=adamw", "weight_decay=0"]), 0.0);
    assert_eq!(decay(&["kind=adamw", "weight_decay=0.1"]), 0.1);
    assert_eq!(decay(&["kind=adam"]), 0.0);
}

#[test]
fn rmsprops_momentum_and_nesterovs_form_change_what_is_trained() {
    let slots = |t: &Trainer| t.store().names().filter(|n| n.contains("momentum")).count();
    let plain = trained(&["kind=rmsprop", "lr=1e-3"]);
    assert_eq!(plain.objective().recipe.generator.optimizer.momentum, Some(0.0));
    let heavy = trained(&["kind=rmsprop", "lr=1e-3", "momentum=0.9"]);
    assert_eq!(slots(&plain), 0);
    assert!(slots(&heavy) > 0);
    assert_ne!(weights(&plain), weights(&heavy));
    assert_eq!(weights(&plain), weights(&trained(&["kind=rmsprop", "lr=1e-3", "momentum=0"])));

    let polyak = trained(&["kind=sgd", "lr=1e-2", "beta1=0.9"]);
    assert_eq!(polyak.objective().recipe.generator.optimizer.nesterov, Some(false));
    let ahead = trained(&["kind=sgd", "lr=1e-2", "beta1=0.9", "nesterov=true"]);
    assert_ne!(weights(&polyak), weights(&ahead));
    assert_eq!(slots(&polyak), slots(&ahead));
}

#[test]
fn gradients_are_clipped_by_value() {
    // One plain descent step of rate 1 against the same discriminator: a weight moves by its clamped gradient.
    let steps = |set: &[&str]| {
        let plain = ["kind=sgd", "lr=1e-2", "generator.optimizer.lr=1", "regularizers=[]"];
        let objective = Objective::new(recipe(&[&plain[..], set].concat()).unwrap()).unwrap();
        let dataset = Arc::new(open("synthetic:ring8", &OpenOptions::default()).unwrap());
        let executor =
            Executor::new(ExecutorOptions { threads: Some(1), ..ExecutorOptions::default() }).unwrap();
        let mut trainer = Trainer::new(objective, dataset, executor, 3, 1000).unwrap();
        let before = weights(&trainer);
        trainer.step().unwrap();
        let moved: Vec<f32> = weights(&trainer).iter().zip(&before).map(|(a, b)| (a - b).abs()).collect();
        moved.into_iter().fold(0.0, f32::max)
    };
    let free = steps(&[]);
    let bound = free / 4.0;
    let clipped = steps(&[&format!("generator.optimizer.clip_value={bound}")]);
    // A weight below 4 is rounded to 2^-23 of 2, before and after.
    assert!((clipped - bound).abs() <= 4.8e-7, "{clipped} for a bound of {bound}, {free} without");
    assert_eq!(steps(&["generator.optimizer.clip_value=0"]), free);
}

#[test]
fn the_new_keys_are_checked() {
    for (set, words) in [
        (&["kind=rmsprop", "momentum=1"][..], &["optimizer.momentum", "below 1", "got 1"][..]),
        (&["kind=rmsprop", "momentum=-0.1"], &["optimizer.momentum", "at least 0"]),
        (&["kind=sgd", "momentum=0.9"], &["--set momentum=0.9", "`sgd` has its momentum as beta1"]),
        (&["momentum=0.9"], &["--set momentum=0.9", "`adam` has no momentum"]),
        (&["nesterov=true"], &["--set nesterov=true", "`adam` has no nesterov"]),
        (&["kind=rmsprop", "nesterov=true"], &["`rmsprop` has no nesterov"]),
        (&["kind=sgd", "nesterov=true"], &["optimizer.nesterov", "give beta1 above 0"]),
        (&["kind=sgd", "beta1=0.9", "nesterov=1"], &["nesterov", "boolean"]),
        (&["clip_value=-1"], &["optimizer.clip_value", "at least 0", "got -1"]),
        (&["clip_value=inf"], &["optimizer.clip_value", "got inf"]),
        (&["ema={half_life=10, buffers=\"mean\"}"], &["mean", "copy", "average"]),
    ] {
        let error = recipe(set).unwrap_err();
        for word in words {
            assert!(error.contains(word), "`{word}` is not in: {error}");
        }
    }
    // What another optimizer leaves unused of the recipe's own is dropped.
    let nesterov = recipe(&["kind=sgd", "beta1=0.9", "nesterov=true"]).unwrap();
    let again = Recipe::parse("mine", &nesterov.to_toml(), &["kind=rmsprop".into()]).unwrap();
    assert_eq!((again.generator.optimizer.nesterov, again.generator.optimizer.momentum), (None, Some(0.0)));
}

#[test]
fn a_resolved_recipe_reads_back_and_has_only_what_its_optimizer_has() {
    for optimizer in OPTIMIZERS {
        let resolved = recipe(&[&format!("kind={}", optimizer.name())]).unwrap();
        let again = Recipe::parse("resolved", &resolved.to_toml(), &[]).unwrap();
        assert!(resolved.differences(&again).is_empty());
        let spec = &resolved.discriminator.optimizer;
        assert_eq!(spec.beta2.is_some(), optimizer.name() != "sgd");
        assert_eq!(spec.beta1.is_some(), optimizer.name() != "rmsprop");
    }
}

#[test]
fn what_the_optimizer_does_not_have_is_refused_where_it_is_asked_for() {
    let error = recipe(&["kind=sgd", "beta2=0.9"]).unwrap_err();
    assert!(error.contains("--set beta2=0.9") && error.contains("`sgd` has no beta2"), "{error}");
    let text = Recipe::builtin("mlp2d").unwrap().to_toml().replace("kind = \"adam\"", "kind = \"rmsprop\"");
    let error = Recipe::parse("mine.toml", &text, &[]).unwrap_err().to_string();
    assert!(error.contains("mine.toml") && error.contains("`rmsprop` has no beta1"), "{error}");
}

#[test]
fn a_decay_that_rounds_to_one_is_refused() {
    for key in ["beta1", "beta2"] {
        let error = recipe(&[&format!("{key}=0.99999999")]).unwrap_err();
        assert!(error.contains(key) && error.contains("[0, 1)"), "{error}");
        assert!(recipe(&[&format!("{key}=0.9999999")]).is_ok());
    }
}

#[test]
fn sections_can_be_set_whole_and_made() {
    assert!(recipe(&["regularizers=[]"]).unwrap().regularizers.is_empty());
    let one = recipe(&["regularizers=[{name=\"r1\", strength=2.0}]"]).unwrap();
    assert_eq!(one.regularizers.len(), 1);
    let averaged = Recipe::load("wgangp28", &["ema.half_life=5000".into()]).unwrap();
    assert_eq!(averaged.ema.unwrap().half_life.range(), (5000.0, 5000.0));
    assert!(recipe(&["regularisers=[]"]).unwrap_err().contains("did you mean `regularizers"));
}
