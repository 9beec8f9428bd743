//! Pairs that are told the classes of their samples: what a generator makes follows the class, in every model and word that
//! can be told it; labels travel with the batch, and recipes that use none are refused.

mod common;

use common::{executor, objective, slots};
use ganymede::models::MODELS;
use ganymede::networks::Side;
use ganymede::sampler::{Asked, Sampler};
use ganymede::{Error, Objective, Recipe, Trainer};
use ganymede_cpu::Session;
use ganymede_data::{ContentHash, Dataset, Items, OpenOptions, open};
use std::collections::BTreeMap;
use std::f64::consts::LN_2;
use std::sync::Arc;

/// Two classes, one after the other.
fn label_in_turn(indices: &[u64], labels: Option<&mut [i32]>) {
    if let Some(labels) = labels {
        labels.iter_mut().zip(indices).for_each(|(label, index)| *label = (index % 2) as i32);
    }
}

/// Points at 1 and -1 of the first axis, by class; the second axis is 0.
struct TwoSides;

impl Items for TwoSides {
    fn count(&self) -> Option<u64> {
        None
    }
    fn held_bytes(&self) -> u64 {
        0
    }
    fn fill(&self, indices: &[u64], out: &mut [f32], labels: Option<&mut [i32]>) {
        for (index, item) in indices.iter().zip(out.chunks_exact_mut(2)) {
            item.copy_from_slice(&[if index % 2 == 0 { 1.0 } else { -1.0 }, 0.0]);
        }
        label_in_turn(indices, labels);
    }
}

fn sides(classes: usize) -> Arc<Dataset> {
    let set = Dataset::new("two-sides", &[2], ContentHash([1; 32]), Box::new(TwoSides));
    let names = (0..classes).map(|i| format!("side {i}")).collect();
    Arc::new(if classes > 0 { set.with_classes(names) } else { set })
}

/// The same pair, told the classes in each of the ways there are.
const TOLD: [(&str, &str); 3] = [
    (
        "generator.layers=[\"concat_label\", \"dense 16 relu\", \"dense 2\"]",
        "discriminator.layers=[\"dense 16 leaky_relu=0.2\", \"projection\"]",
    ),
    (
        "generator.layers=[\"dense 16\", \"conditional_batch_norm\", \"relu\", \"dense 2\"]",
        "discriminator.layers=[\"concat_label\", \"dense 16 leaky_relu=0.2\", \"dense 1\"]",
    ),
    (
        "generator.layers=[\"concat_label 4\", \"dense 16 relu\", \"dense 2\"]",
        "discriminator.layers=[\"dense 16 leaky_relu=0.2\", \"classify\", \"dense 1\"]",
    ),
];

/// Images of 16x16 whose left half is lit, or whose right half is, by class.
struct Stripes;

impl Items for Stripes {
    fn count(&self) -> Option<u64> {
        None
    }
    fn held_bytes(&self) -> u64 {
        0
    }
    fn fill(&self, indices: &[u64], out: &mut [f32], labels: Option<&mut [i32]>) {
        for (index, item) in indices.iter().zip(out.chunks_exact_mut(256)) {
            let lit = |x: usize| (x / 8) as u64 == index % 2;
            item.iter_mut().enumerate().for_each(|(i, v)| *v = if lit(i % 16) { 0.8 } else { -0.8 });
        }
        label_in_turn(indices, labels);
    }
}

fn stripes() -> Arc<Dataset> {
    let set = Dataset::new("stripes", &[16, 16, 1], ContentHash([2; 32]), Box::new(Stripes));
    Arc::new(set.with_classes(vec!["left".into(), "right".into()]))
}

const CLASSIFIER: &str =
    "regularizers=[{name=\"auxiliary-classifier\"},{name=\"auxiliary-classifier\",network=\"generator\"}]";

fn recipe(sets: &[&str]) -> Result<Recipe, ganymede::recipe::RecipeError> {
    let text = r#"
name = "sides"
about = "dense networks for points of two classes, for tests"
data = { shape = [2], default = "synthetic:ring8", classes = 2 }
latent = { dim = 3 }
train = { batch = 32, images = 40000 }
loss = { name = "non-saturating" }
ema = { half_life = 500 }
generator = { layers = ["dense 2"], optimizer = { lr = 5e-3, beta1 = 0.0 } }
discriminator = { layers = ["dense 1"], optimizer = { lr = 5e-3, beta1 = 0.0 } }
"#;
    let sets: Vec<String> = sets.iter().map(|s| s.to_string()).collect();
    Recipe::parse("test", text, &sets)
}

fn told(way: usize) -> Objective {
    let (g, d) = TOLD[way];
    let sets = if way == 2 { vec![g, d, CLASSIFIER] } else { vec![g, d] };
    Objective::new(recipe(&sets).unwrap()).unwrap()
}

fn drawn(objective: &Objective, session: &mut Session, asked: Asked, count: usize) -> Vec<f32> {
    Sampler::new(3).of_classes(asked).draw(objective, session, 0, count).unwrap()
}

#[test]
fn what_is_made_follows_the_class_in_every_way_of_telling() {
    for way in 0..TOLD.len() {
        let mut trainer = Trainer::new(told(way), sides(2), executor(), 5, 40_000).unwrap();
        for _ in 0..400 {
            let report = trainer.step().unwrap();
            assert!(report.skipped == 0 && report.d_loss.is_finite(), "way {way}: {report:?}");
        }
        let (objective, session) = trainer.parts_mut();
        for (class, side) in [(0, 1.0), (1, -1.0)] {
            let points = drawn(objective, session, Asked::Only(class), 200);
            let right = points.chunks(2).filter(|p| (p[0] - side).abs() < 0.5 && p[1].abs() < 0.5).count();
            assert!(right >= 180, "way {way}, class {class}: {right} of 200 on its side");
        }
        // One after the other, samples are of the classes in turn, from the latents of their index.
        let each = drawn(objective, session, Asked::Each, 7);
        for class in 0..2 {
            let only = drawn(objective, session, Asked::Only(class), 7);
            for i in (class..7).step_by(2) {
                assert_eq!(each[2 * i..2 * i + 2], only[2 * i..2 * i + 2], "way {way}, sample {i}");
            }
        }
    }
}

/// A pair of networks for drawn digits.
fn digits(generator: &str, discriminator: &str, more: &str) -> String {
    format!(
        r#"
name = "told"
about = "a pair that is told the classes of digits, for tests"
data = {{ shape = [28, 28, 1], default = "glyphs", classes = 10 }}
latent = {{ dim = 12 }}
train = {{ batch = 4, images = 400 }}
loss = {{ name = "hinge" }}
{more}
[generator]
{generator}
optimizer = {{ lr = 1e-3, beta1 = 0.0 }}

[discriminator]
{discriminator}
optimizer = {{ lr = 1e-3, beta1 = 0.0 }}
"#
    )
}

/// Every word that needs classes, in one pair.
fn every_word() -> String {
    let layers = |lines: &[&str]| format!("layers = {lines:?}");
    digits(
        &layers(&[
            "concat_label 3",
            "dense 392",
            "reshape 7 7 8",
            "conditional_batch_norm relu",
            "upsample nearest",
            "attention",
            "conv_transpose 1 4 stride=2 pad=1 tanh",
        ]),
        &layers(&[
            "concat_label",
            "conv 8 4 stride=2 pad=1 leaky_relu=0.2",
            "attention",
            "classify",
            "projection",
        ]),
        "regularizers = [{ name = \"auxiliary-classifier\", network = \"generator\" }, { name = \"auxiliary-classifier\", \
         network = \"discriminator\" }]\n",
    )
}

fn model(name: &str) -> String {
    let ruled = |options: &str| format!("model = \"{name}\"\noptions = {{ {options} }}\nspectral_norm = 1");
    digits(&ruled("channels = 2"), &ruled("channels = 4"), "")
}

#[test]
fn every_model_and_word_trains_and_its_samples_depend_on_the_class() {
    let cases = ["dcgan", "resnet", "sagan", "biggan"].map(model);
    for text in cases.into_iter().chain([every_word()]) {
        let objective = objective(&text, &[]);
        let dataset = Arc::new(open("glyphs", &OpenOptions::default()).unwrap());
        let mut trainer = Trainer::new(objective, dataset, executor(), 1, 400).unwrap();
        for _ in 0..3 {
            let report = trainer.step().unwrap();
            assert_eq!(report.skipped, 0, "{text}");
            assert!(report.g_loss.is_finite() && report.d_loss.is_finite(), "{text}");
        }
        let (objective, session) = trainer.parts_mut();
        let mut drawn = |class| {
            let mut sampler = Sampler::new(1).of_classes(Asked::Only(class));
            sampler.draw(objective, session, 0, 4).unwrap()
        };
        let [zero, again, nine] = [drawn(0), drawn(0), drawn(9)];
        assert_eq!(zero, again);
        assert!(zero.iter().chain(&nine).all(|v| v.is_finite()), "{text}");
        let told = zero.iter().zip(&nine).filter(|(a, b)| a != b).count();
        assert!(told > zero.len() / 2, "the class changes {told} of {} values: {text}", zero.len());
    }
}

#[test]
fn a_class_that_is_not_there_is_refused() {
    let objective = told(0);
    let mut session = Session::new(executor(), objective.initial_state(1).unwrap());
    let refused = Sampler::new(3).of_classes(Asked::Only(2)).draw(&objective, &mut session, 0, 1);
    assert!(matches!(&refused, Err(Error::Refused(m)) if m.contains("no class 2")), "{refused:?}");
    let plain = Objective::new(Recipe::builtin("mlp2d").unwrap()).unwrap();
    let mut session = Session::new(executor(), plain.initial_state(1).unwrap());
    let refused = Sampler::new(3).of_classes(Asked::Only(0)).draw(&plain, &mut session, 0, 1);
    assert!(matches!(&refused, Err(Error::Refused(m)) if m.contains("has no classes")), "{refused:?}");
}

#[test]
fn data_without_the_classes_are_refused() {
    for (classes, word) in [(0, "no labels"), (3, "3 classes")] {
        let refused = Trainer::new(told(0), sides(classes), executor(), 1, 1000).err().unwrap().to_string();
        assert!(refused.contains(word) && refused.contains("conditional on 2"), "{refused}");
    }
}

#[test]
fn recipes_that_do_not_use_their_classes_are_refused() {
    let error = |sets: &[&str]| {
        let made = recipe(sets).and_then(Objective::new);
        made.err().unwrap_or_else(|| panic!("{sets:?} were taken")).to_string()
    };
    let (g, d) = TOLD[0];
    for (sets, words) in [
        (&[d][..], "generator`: is not told"),
        (&[g], "neither is told the class"),
        (&[g, TOLD[2].1], "`classify`) is not part of the discriminator's loss"),
        (
            &[g, TOLD[2].1, "regularizers=[{name=\"auxiliary-classifier\"}]"],
            "not part of the generator's loss",
        ),
        (&[g, d, CLASSIFIER], "put `classify`"),
        (&[g, d, "train.pack=2"], "a pack holds samples of several classes"),
        (&[g, d, "data.classes=1"], "must be from 2"),
    ] {
        let message = error(sets);
        assert!(message.contains(words), "{sets:?}: {message}");
    }
    // The words of a conditional network need a recipe with classes.
    let text = recipe(&[g, d]).unwrap().to_toml().replace("classes = 2\n", "");
    let message = Recipe::parse("test", &text, &[]).and_then(Objective::new).err().unwrap().to_string();
    assert!(message.contains("data.classes") || message.contains("classes"), "{message}");
}

#[test]
fn a_resumed_conditional_run_is_the_same_to_the_bit() {
    let steps =
        |trainer: &mut Trainer, n: usize| (0..n).for_each(|_| assert_eq!(trainer.step().unwrap().skipped, 0));
    let mut whole = Trainer::new(told(2), sides(2), executor(), 5, 40_000).unwrap();
    steps(&mut whole, 9);
    let mut first = Trainer::new(told(2), sides(2), executor(), 5, 40_000).unwrap();
    steps(&mut first, 4);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("step-4.safetensors");
    ganymede::checkpoint::save(&path, first.store(), first.progress()).unwrap();
    let (checkpoint, _) = ganymede::checkpoint::open(&path).unwrap();
    let mut second = Trainer::resume(told(2), sides(2), executor(), 5, checkpoint).unwrap();
    steps(&mut second, 5);
    assert_eq!(slots(whole.store()), slots(second.store()));
}

#[test]
fn every_model_can_guess_the_class_instead_of_being_told_it() {
    for model in MODELS.iter().map(|model| model.name()) {
        let load = |more: &[&str]| {
            let model = format!("model={model}");
            let sets: Vec<String> = [&model[..]].iter().chain(more).map(|s| s.to_string()).collect();
            Recipe::load("r3-32-cond", &sets)
        };
        let slots = |more: &[&str]| {
            let objective = Objective::new(load(more).unwrap()).unwrap();
            let params = objective.params(Side::Discriminator);
            params
                .trainable()
                .map(|slot| (slot.name.clone(), slot.ty.shape.clone()))
                .collect::<BTreeMap<_, _>>()
        };
        let (told, guessing) =
            (slots(&["regularizers=[]"]), slots(&["discriminator.classify=true", CLASSIFIER]));
        let added: Vec<&String> = guessing.keys().filter(|name| !told.contains_key(*name)).collect();
        assert_eq!(added, ["D/classify/bias", "D/classify/weight"], "{model}");
        assert_eq!(guessing["D/classify/weight"][1], 10, "{model}");
        // What told it the class is gone: a table, or what maps one.
        assert!(told.keys().any(|name| !guessing.contains_key(name)), "{model}: {told:?}");
        let error = Objective::new(load(&["discriminator.classify=true", "regularizers=[]"]).unwrap())
            .err()
            .unwrap()
            .to_string();
        assert!(error.contains("auxiliary-classifier"), "{model}: {error}");
    }
    let refused = |sets: &[&str]| {
        let sets: Vec<String> = sets.iter().map(|s| s.to_string()).collect();
        Recipe::load("cdcgan28", &sets).and_then(Objective::new).err().unwrap().to_string()
    };
    let layers = refused(&["discriminator.classify=true", CLASSIFIER]);
    assert!(layers.contains("put the word `classify` before the last of its layers"), "{layers}");
    assert!(refused(&["generator.classify=true"]).contains("generator.classify"));
}

#[test]
fn a_model_that_guesses_learns_to() {
    let sets = [
        "model=dcgan",
        "channels=8",
        "lr=2e-3",
        "beta1=0.5",
        "data.classes=2",
        "data.shape=[16,16,1]",
        "batch=16",
        "discriminator.classify=true",
        "loss.name=non-saturating",
        CLASSIFIER,
    ];
    let recipe = Recipe::load("r3-32-cond", &sets.map(String::from)).unwrap();
    let mut trainer =
        Trainer::new(Objective::new(recipe).unwrap(), stripes(), executor(), 5, 40_000).unwrap();
    let mut last = Vec::new();
    for step in 0..400 {
        let report = trainer.step().unwrap();
        assert!(report.skipped == 0 && report.d_loss.is_finite(), "{report:?}");
        if step == 0 {
            // As good as a coin at first: ln 2 for real and for generated samples.
            assert!(report.d_penalty > 0.8 && report.g_penalty > 0.4, "{report:?}");
        }
        if step >= 380 {
            last.push([report.d_penalty, report.g_penalty]);
        }
    }
    for (network, start) in [2.0 * LN_2, LN_2].into_iter().enumerate() {
        let mean =
            last.iter().map(|penalties| f64::from(penalties[network])).sum::<f64>() / last.len() as f64;
        assert!(mean < 0.3 * start, "network {network}: {mean} where guessing is {start}");
    }
}
