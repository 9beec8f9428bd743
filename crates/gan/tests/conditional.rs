//! Pairs that are told classes, from their recipes: each model, and a list of every conditional word.

mod common;

use common::{executor, objective};
use ganymede::sampler::{Asked, Sampler};
use ganymede_data::{OpenOptions, open};
use std::sync::Arc;

fn recipe(generator: &str, discriminator: &str, more: &str) -> String {
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
fn listed() -> String {
    let layers = |lines: &[&str]| format!("layers = {lines:?}");
    recipe(
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
    recipe(&ruled("channels = 2"), &ruled("channels = 4"), "")
}

#[test]
fn pairs_train_and_samples_depend_on_the_class() {
    let cases = ["dcgan", "resnet", "sagan", "biggan"].map(model);
    for text in cases.into_iter().chain([listed()]) {
        let objective = objective(&text, &[]);
        let dataset = Arc::new(open("glyphs", &OpenOptions::default()).unwrap());
        let mut trainer = ganymede::Trainer::new(objective, dataset, executor(), 1, 400).unwrap();
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
