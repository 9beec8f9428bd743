//! Names of the scalar and vector feeds that phases share.

/// Real samples `[batch, ...]`.
pub const REAL: &str = "real";
/// Classes of the batch, `i32[batch]`.
pub const LABELS: &str = "labels";
/// Codes `[batch, ...]`: latents or styles that samples are made of.
pub const CODES: &str = "codes";
/// Random key, `u32[2]`.
pub const KEY: &str = "key";
/// Global index of the batch's first sample, `u32[2]`, low word first.
pub const FIRST: &str = "first";
/// Learning rate.
pub const LR: &str = "lr";
/// First decay of the optimizer.
pub const BETA1: &str = "beta1";
/// Second decay of the optimizer.
pub const BETA2: &str = "beta2";
/// Share of the averaged weights that stays: 0.5^(images a step / half-life).
pub const EMA_DECAY: &str = "ema_decay";
/// One over a bound on the norm of the gradients that the guard against divergence sets; 0 for none.
pub const INVERSE_BOUND: &str = "inverse_bound";
/// 0 at the first part of a batch whose gradients are added up, 1 at later ones.
pub const LATER_PART: &str = "later_part";
/// Share of the running statistics that a pass keeps, for standing statistics.
pub const KEEP: &str = "keep";
/// Generated samples that count in the generator's loss, those with the largest logits.
pub const TOP_K: &str = "top_k";
/// Standard deviation of the noise on what the discriminator sees.
pub const INSTANCE_NOISE: &str = "instance_noise";
/// Probability of augmentations.
pub const AUGMENT: &str = "augment";
/// Strength of regularizer `i`.
pub fn strength(i: usize) -> String {
    format!("strength/{i}")
}
