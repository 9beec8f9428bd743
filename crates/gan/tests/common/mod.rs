//! What the library's tests share: small objectives over points in the plane, and data with chosen values.

// Each test binary uses its own part of this.
#![allow(dead_code)]

pub mod networks;

use ganymede::{Objective, Recipe, Trainer};
use ganymede_cpu::{Executor, ExecutorOptions, PhaseId, Session, StateStore};
use ganymede_data::{ContentHash, Dataset, Items};
use ganymede_graph::Array;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Dense networks for points, with every kind of state: batch norm on both sides, moments, an average.
pub const POINTS: &str = r#"
name = "points"
about = "dense networks for points in the plane, for tests"
data = { shape = [2], default = "synthetic:ring8" }
latent = { dim = 3 }
train = { batch = 4, images = 400 }
loss = { name = "non-saturating" }
ema = { half_life = 8 }

[generator]
layers = ["dense 5", "batch_norm", "relu", "dense 2"]
optimizer = { lr = 1e-2, beta1 = 0.5 }

[discriminator]
layers = ["dense 6", "batch_norm", "leaky_relu 0.2", "dense 1"]
optimizer = { lr = 1e-2, beta1 = 0.5 }
"#;

/// Two linear networks: whatever they compute is known in closed form.
pub const LINEAR: &str = r#"
name = "linear"
data = { shape = [2], default = "synthetic:ring8" }
latent = { dim = 1 }
train = { batch = 4, images = 400 }
loss = { name = "non-saturating" }

[generator]
layers = ["dense 2"]
optimizer = { kind = "sgd", lr = 1e-2, beta1 = 0.0 }

[discriminator]
layers = ["dense 1"]
optimizer = { kind = "sgd", lr = 1e-2, beta1 = 0.0 }
"#;

/// Dense and convolutional networks for images of 8x8 pixels, the generator of these layers: `first`, which makes 32 numbers
/// of a latent, its activation, and convolutions whose weights begin as `init` says, ` init=..` or nothing.
pub fn images(first: &str, init: &str) -> String {
    format!(
        r#"
name = "images"
data = {{ shape = [8, 8, 1], default = "glyphs" }}
latent = {{ dim = 6 }}
train = {{ batch = 16, images = 400 }}
loss = {{ name = "non-saturating" }}
ema = {{ half_life = 8 }}

[generator]
layers = [{first}, "reshape 4 4 2", "conv_transpose 8 4 stride=2 pad=1{init}", "leaky_relu 0.2", "conv 1 3 pad=1{init} tanh"]
optimizer = {{ lr = 1e-2 }}

[discriminator]
layers = ["flatten", "dense 1"]
optimizer = {{ lr = 1e-2 }}
"#
    )
}

/// A session with the first state of an objective.
pub fn session_of(objective: &Objective, seed: u64) -> Session {
    Session::new(executor(), objective.initial_state(seed).unwrap())
}

/// An objective from a recipe's text, followed by tables of regularizers.
pub fn objective(text: &str, sets: &[&str]) -> Objective {
    let sets: Vec<String> = sets.iter().map(|s| s.to_string()).collect();
    Objective::new(Recipe::parse("test", text, &sets).unwrap()).unwrap()
}

/// `text` with a regularizer.
pub fn with(text: &str, name: &str, strength: f64, every: usize) -> String {
    format!("{text}\n[[regularizers]]\nname = \"{name}\"\nstrength = {strength:?}\nevery = {every}\n")
}

pub fn executor() -> Arc<Executor> {
    Executor::new(ExecutorOptions { threads: Some(2), ..ExecutorOptions::default() }).unwrap()
}

/// Points given by a function of their index.
struct Points(fn(u64) -> [f32; 2]);

impl Items for Points {
    fn count(&self) -> Option<u64> {
        None
    }
    fn held_bytes(&self) -> u64 {
        0
    }

    fn fill(&self, indices: &[u64], out: &mut [f32], _: Option<&mut [i32]>) {
        for (index, item) in indices.iter().zip(out.chunks_exact_mut(2)) {
            item.copy_from_slice(&(self.0)(*index));
        }
    }
}

/// Kind, name and numbers of the blocks of a golden file: a header line `KIND NAME SHAPE..`, then a line of numbers.
pub fn golden_blocks(text: &str) -> Vec<(String, String, Array)> {
    let lines: Vec<&str> = text.lines().filter(|l| !l.starts_with('#')).collect();
    let block = |pair: &[&str]| {
        let words: Vec<&str> = pair[0].split(' ').collect();
        let shape: Vec<usize> = words[2..].iter().map(|w| w.parse().unwrap()).collect();
        let numbers: Vec<f64> = pair[1].split(' ').map(|w| w.parse().unwrap()).collect();
        (words[0].to_string(), words[1].to_string(), Array::f32(&shape, numbers))
    };
    lines.chunks(2).map(block).collect()
}

/// An endless set of points.
pub fn points(at: fn(u64) -> [f32; 2]) -> Arc<Dataset> {
    Arc::new(Dataset::new("points", &[2], ContentHash([0; 32]), Box::new(Points(at))))
}

/// Points on a circle.
pub fn circle(index: u64) -> [f32; 2] {
    let (sin, cos) = (index as f32 * 0.7).sin_cos();
    [cos, sin]
}

/// A run of `objective` over points on a circle.
pub fn trainer(objective: Objective) -> Trainer {
    Trainer::new(objective, points(circle), executor(), 3, 400).unwrap()
}

/// Every slot's words.
pub fn slots(store: &StateStore) -> BTreeMap<String, Vec<u32>> {
    store.names().map(|name| (name.to_string(), store.words(name).unwrap().to_vec())).collect()
}

/// Hash of every slot's words, by name.
pub fn hashes(store: &StateStore) -> BTreeMap<String, blake3::Hash> {
    let bytes = |words: Vec<u32>| words.iter().flat_map(|w| w.to_le_bytes()).collect::<Vec<u8>>();
    slots(store).into_iter().map(|(name, words)| (name, blake3::hash(&bytes(words)))).collect()
}

/// Puts values in a float slot.
pub fn put(store: &mut StateStore, name: &str, values: &[f32]) {
    let words: Vec<u32> = values.iter().map(|v| v.to_bits()).collect();
    store.set_words(name, &words).unwrap();
}

/// Writes what every phase needs besides real samples: rates, decays, key and position.
pub fn feed(session: &mut Session, phase: PhaseId, lr: f32) {
    for (name, value) in [("lr", lr), ("beta1", 0.5), ("beta2", 0.9), ("ema_decay", 0.5), ("strength/0", 1.0)]
    {
        if session.feed_index(phase, name).is_ok() {
            session.feed_mut(phase, name).unwrap()[0] = value;
        }
    }
    session.feed_words_mut(phase, "key").unwrap().copy_from_slice(&[5, 6]);
    session.feed_words_mut(phase, "first").unwrap().copy_from_slice(&[0, 0]);
}
