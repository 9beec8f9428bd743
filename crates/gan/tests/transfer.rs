//! Runs that begin with the weights of another, and layers that do not learn.

mod common;

use common::*;
use ganymede::run::{Length, Run, RunFolder};
use ganymede::transfer::{Origin, transfer};
use ganymede::{Objective, Recipe, checkpoint};
use std::path::Path;
use std::sync::atomic::AtomicBool;

struct Quiet;
impl ganymede::run::Observer for Quiet {}

/// A checkpoint of a few steps of the recipe, as an origin.
fn origin(text: &str, folder: &Path, partial: bool) -> Origin {
    let mut trainer = trainer(objective(text, &[]));
    for _ in 0..5 {
        trainer.step().unwrap();
    }
    let path = folder.join("step-5.safetensors");
    checkpoint::save(&path, trainer.store(), trainer.progress()).unwrap();
    Origin { checkpoint: checkpoint::load(&path).unwrap(), partial }
}

fn weights(name: &str) -> bool {
    ["G/", "D/", "ema/"].iter().any(|root| name.starts_with(root))
}

#[test]
fn weights_are_taken_and_everything_else_begins_anew() {
    let folder = tempfile::tempdir().unwrap();
    let text = with(POINTS, "lecam", 0.3, 1);
    let origin = origin(&text, folder.path(), false);
    let objective = objective(&text, &["lr=1e-3"]);
    let new = slots(&objective.initial_state(7).unwrap());
    let mut store = objective.initial_state(7).unwrap();
    let notes = transfer(&objective, &mut store, &origin).unwrap();
    let old = slots(&origin.checkpoint.store);
    let mut kinds = [0, 0];
    for (name, words) in slots(&store) {
        let from = if weights(&name) { &old } else { &new };
        assert_eq!(words, from[&name], "{name}");
        kinds[usize::from(weights(&name))] += usize::from(old[&name] != new[&name]);
    }
    assert!(kinds[0] > 5 && kinds[1] > 10, "both kinds differ between the two: {kinds:?}");
    assert_eq!(notes.len(), 1, "{notes:?}");
    assert!(notes[0].contains("step-5.safetensors"), "{notes:?}");
}

#[test]
fn an_average_that_is_missing_begins_as_the_generator() {
    let folder = tempfile::tempdir().unwrap();
    let plain = POINTS.replace("ema = { half_life = 8 }", "");
    let origin = origin(&plain, folder.path(), false);
    let objective = objective(POINTS, &[]);
    let mut store = objective.initial_state(7).unwrap();
    transfer(&objective, &mut store, &origin).unwrap();
    let all = slots(&store);
    for (name, words) in all.iter().filter(|(name, _)| name.starts_with("ema/")) {
        assert_eq!(words, &all[name.trim_start_matches("ema/")], "{name}");
        assert_eq!(words, &slots(&origin.checkpoint.store)[name.trim_start_matches("ema/")], "{name}");
    }
}

#[test]
fn what_does_not_fit_is_listed_and_drawn_anew_only_where_asked() {
    let folder = tempfile::tempdir().unwrap();
    let mut from = origin(POINTS, folder.path(), false);
    // The discriminator's hidden layer has eight units, not six, no batch norm, and one layer more.
    let other = POINTS.replace(
        "\"dense 6\", \"batch_norm\", \"leaky_relu 0.2\", \"dense 1\"",
        "\"dense 8\", \"leaky_relu 0.2\", \"dense 6\", \"dense 1\"",
    );
    let objective = objective(&other, &[]);
    let mut store = objective.initial_state(7).unwrap();
    let new = slots(&store);
    let message = transfer(&objective, &mut store, &from).unwrap_err().to_string();
    for words in [
        "D/dense1/weight: expected f32[2, 8], got f32[2, 6]",
        "D/dense3/weight: missing",
        "D/batch_norm1/running_mean: unexpected",
        "--from-partial",
        "step-5.safetensors",
    ] {
        assert!(message.contains(words), "`{words}` is not in: {message}");
    }
    assert_eq!(slots(&store), new, "a refusal changes nothing");
    from.partial = true;
    let notes = transfer(&objective, &mut store, &from).unwrap().join("\n");
    assert!(notes.contains("D/dense3/weight"), "{notes}");
    let (old, got) = (slots(&from.checkpoint.store), slots(&store));
    for name in ["D/dense1/weight", "D/dense1/bias", "D/dense3/weight", "D/dense2/weight"] {
        assert_eq!(got[name], new[name], "{name}");
    }
    for name in ["G/dense1/weight", "G/dense2/bias", "ema/G/dense1/weight"] {
        assert_eq!(got[name], old[name], "{name}");
    }
    // Nothing at all in common is an error in any case.
    let alien = POINTS
        .replace("\"dense 5\", \"batch_norm\", \"relu\"", "\"dense 7\", \"relu\", \"dense 7\"")
        .replace("\"dense 6\", \"batch_norm\", \"leaky_relu 0.2\"", "\"dense 7\", \"relu\", \"dense 7\"");
    let alien = common::objective(&alien, &["latent.dim=4"]);
    let message = transfer(&alien, &mut alien.initial_state(7).unwrap(), &from).unwrap_err().to_string();
    assert!(message.contains("none of its tensors fits") && message.contains("G/dense1/weight"), "{message}");
}

#[test]
fn a_run_begins_at_step_0_with_the_weights_of_another_and_remembers_which() {
    let folder = tempfile::tempdir().unwrap();
    let origin = origin(POINTS, folder.path(), false);
    let recipe = Recipe::parse("test", POINTS, &[]).unwrap();
    let begin = |name: &str| {
        let at = RunFolder::create(&folder.path().join(name)).unwrap();
        let length = Length::Steps(6);
        Run::begin_from(at, recipe.clone(), points(circle), executor(), 1, length, Some(&origin)).unwrap()
    };
    let mut run = begin("straight");
    let first = checkpoint::open(&folder.path().join("straight")).unwrap().0;
    assert_eq!((first.progress.step, first.progress.images, first.progress.cursor), (0, 0, 0));
    assert_eq!(slots(&first.store)["D/dense1/weight"], slots(&origin.checkpoint.store)["D/dense1/weight"]);
    let stored = Recipe::parse("stored", &first.progress.recipe, &[]).unwrap();
    assert!(stored.run.unwrap().from.unwrap().ends_with("step-5.safetensors"));
    run.train(&AtomicBool::new(false), &mut Quiet).unwrap();

    // What was begun so goes on from its own checkpoints.
    drop(begin("again"));
    let root = folder.path().join("again");
    let (found, _) = checkpoint::open(&root).unwrap();
    let stored = Recipe::parse("stored", &found.progress.recipe, &[]).unwrap();
    let mut resumed =
        Run::resume(RunFolder { root }, stored, found, points(circle), executor(), 1, None).unwrap();
    resumed.train(&AtomicBool::new(false), &mut Quiet).unwrap();
    assert_eq!(slots(run.trainer().store()), slots(resumed.trainer().store()));
}

#[test]
fn frozen_layers_have_no_gradient_and_no_moments_and_keep_their_bits() {
    let text = POINTS.replace("\"dense 6\", \"batch_norm\"", "\"dense 6\"");
    let text = with(&text.replace("\"dense 1\"", "\"dense 4\", \"tanh\", \"dense 1\""), "r1", 0.1, 1);
    let nodes = |freeze: usize| {
        let objective = objective(&text, &[&format!("discriminator.freeze={freeze}")]);
        objective.discriminator_phase(&[true]).unwrap().nodes.len()
    };
    assert!(nodes(1) < nodes(0) && nodes(2) < nodes(1), "{} {} {}", nodes(0), nodes(1), nodes(2));
    for parts in [1, 2] {
        let sets = ["discriminator.freeze=2".to_string(), format!("accumulate={parts}")];
        let objective = objective(&text, &sets.each_ref().map(String::as_str));
        assert_eq!(objective.frozen(), ["D/dense1", "D/dense2"]);
        assert!(objective.remarks().iter().any(|r| r.contains("D/dense1, D/dense2")));
        let mut trainer = trainer(objective);
        let before = slots(trainer.store());
        assert!(!before.keys().any(|n| n.starts_with("opt/D/dense1") || n.starts_with("opt/D/dense2")));
        assert!(before.contains_key("opt/D/dense3/weight/m"));
        for _ in 0..4 {
            assert_eq!(trainer.step().unwrap().skipped, 0);
        }
        let after = slots(trainer.store());
        for layer in ["dense1", "dense2"] {
            for kind in ["weight", "bias"] {
                let name = format!("D/{layer}/{kind}");
                assert_eq!(before[&name], after[&name], "{name}");
            }
        }
        for name in ["D/dense3/weight", "G/dense1/weight", "G/dense2/weight"] {
            assert_ne!(before[name], after[name], "{name}");
        }
    }
}

#[test]
fn models_freeze_by_stage_and_their_last_layers_learn() {
    let load = |sets: &[&str]| {
        let sets: Vec<String> = sets.iter().map(|s| s.to_string()).collect();
        Recipe::load("residual28", &sets).and_then(Objective::new)
    };
    let frozen = load(&["freeze=2"]).unwrap();
    assert_eq!(frozen.frozen().len(), 2, "{:?}", frozen.frozen());
    assert!(!frozen.learns(&format!("{}/block0/expand/weight", frozen.frozen()[1])));
    assert!(!frozen.learns(&format!("{}/weight", frozen.frozen()[0])));
    assert!(frozen.learns("D/logit/weight") && frozen.learns("G/basis/weight"));
    let error = load(&["freeze=100"]).err().unwrap().to_string();
    assert!(
        error.contains("discriminator.freeze") && error.contains("what follows them must learn"),
        "{error}"
    );
    assert!(!error.contains("D/logit"), "{error}");
    // FastGAN declares logits, a second network and decoders behind the stages that make its features.
    let fastgan = |freeze: usize| {
        let sets = [format!("freeze={freeze}"), "train.batch=4".into()];
        Recipe::load("fewshot-64", &sets).and_then(Objective::new)
    };
    let stages = ["D/image", "D/stage1", "D/stage2", "D/stage3", "D/stage4"];
    let known = (1..=stages.len()).rev().find_map(|n| fastgan(n).ok()).unwrap();
    let frozen = known.frozen();
    assert!(frozen.len() >= 3 && frozen == &stages[..frozen.len()], "{frozen:?}");
    let error = fastgan(frozen.len() + 1).err().unwrap().to_string();
    assert!(error.contains(&format!("at most {} can be", frozen.len())), "{error}");
    let error =
        load(&["generator={model=\"residual\",freeze=1,optimizer={lr=1e-3}}"]).err().unwrap().to_string();
    assert!(error.contains("generator.freeze"), "{error}");
}
