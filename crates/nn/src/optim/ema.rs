//! Exponential moving averages of weights.

use ganymede_graph::Tensor;

/// What the average does with state that no optimizer changes, such as running statistics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BufferRule {
    /// Takes the newest value, as StyleGAN does: running statistics are averages already.
    #[default]
    Copy,
    /// Averages it like a weight.
    Average,
}

/// A moving average to keep: e <- e + (1 - decay)(w - e), with the new value w of each parameter.
#[derive(Clone, Debug)]
pub struct EmaSpec {
    /// Put before the names of the averaged slots: `ema/`.
    pub prefix: String,
    /// The decay, an f32 scalar; see [`ema_decay`].
    pub decay: Tensor,
    /// Names and current values of the network's buffers.
    pub buffers: Vec<(String, Tensor)>,
    /// What is done with them.
    pub buffer_rule: BufferRule,
}

impl EmaSpec {
    /// An average under `ema/` that copies `buffers`.
    pub fn new(decay: &Tensor, buffers: Vec<(String, Tensor)>) -> Self {
        Self { prefix: "ema/".into(), decay: decay.clone(), buffers, buffer_rule: BufferRule::Copy }
    }
}

/// The decay of one step over `images` images at a half-life in images: 0.5^(images / half_life), after which number
/// of images the weight of a value in the average has halved, however many a step takes (Karras and others 2019). A
/// half-life of 0 keeps no memory.
pub fn ema_decay(images: usize, half_life_images: f64) -> f64 {
    if half_life_images > 0.0 { 0.5f64.powf(images as f64 / half_life_images) } else { 0.0 }
}
