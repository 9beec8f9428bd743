//! Named models: one file and one line in [`MODELS`] each.

mod biggan;
mod blocks;
mod dcgan;
mod fastgan;
mod options;
mod r3gan;
mod residual;
mod resnet;
mod sagan;
mod sizes;
mod stages;
mod stylegan2;

pub use options::{OptionSpec, Options};

use crate::networks::Side;
use ganymede_graph::Tensor;
use ganymede_nn::Scope;

/// A pair of networks with options.
pub trait Model: Sync {
    /// Name in recipes.
    fn name(&self) -> &'static str;
    /// One sentence for people choosing.
    fn about(&self) -> &'static str;
    /// Authors, year, section.
    fn paper(&self) -> &'static str;
    /// Its options.
    fn options(&self) -> &'static [OptionSpec];
    /// What is wrong with the options, if anything.
    fn check(&self, options: &Options) -> Result<(), String>;
    /// Latents `[batch, dim]` to samples `[batch, ...sample]`.
    fn generator(&self, scope: &Scope, latent: &Tensor, sample: &[usize], options: &Options) -> Tensor;
    /// Whether it makes styles of its latents before it makes samples.
    fn has_styles(&self) -> bool {
        false
    }
    /// Latents `[batch, dim]` to styles `[batch, layers, width]`, one a layer that takes one, for models that have them:
    /// their generator is [`Model::synthesis`] of these. `sample` is the shape of a sample. Which class is asked for, if
    /// any, is [`Scope::labels`]; how far styles are drawn to their mean [`Mode::truncation`](ganymede_nn::Mode).
    fn mapping(&self, scope: &Scope, latent: &Tensor, sample: &[usize], options: &Options) -> Tensor {
        let _ = (sample, options);
        scope.graph().fail("mapping", format!("model `{}` has no styles: {}", self.name(), latent.ty()))
    }
    /// Styles `[batch, layers, width]` to samples `[batch, ...sample]`, for models that have them.
    fn synthesis(&self, scope: &Scope, styles: &Tensor, sample: &[usize], options: &Options) -> Tensor {
        let _ = (sample, options);
        scope.graph().fail("synthesis", format!("model `{}` has no styles: {}", self.name(), styles.ty()))
    }
    /// Samples to logits `[batch, 1]`.
    fn discriminator(&self, scope: &Scope, samples: &Tensor, options: &Options) -> Tensor;
    /// Whether the discriminator judges a sample by how it differs from others of its batch.
    fn compares_samples(&self, options: &Options) -> bool {
        let _ = options;
        false
    }
    /// Whether that network normalizes over the batch, so that a sample's own gradient says nothing.
    fn normalizes_batch(&self, side: Side, options: &Options) -> bool {
        let _ = (side, options);
        false
    }
    /// Whether the discriminator, applied to several batches as segments of one
    /// ([`Mode::segments`](ganymede_nn::Mode::segments)), gives what it gives one by one, as all layers of
    /// [`ganymede_nn`] do that draw no random numbers.
    fn takes_segments(&self) -> bool {
        true
    }
}

/// Every named model.
pub const MODELS: &[&dyn Model] = &[
    &dcgan::Dcgan,
    &resnet::Resnet,
    &sagan::Sagan,
    &biggan::BigGan,
    &stylegan2::StyleGan2,
    &r3gan::R3Gan,
    &fastgan::FastGan,
];

/// The model of that name.
pub fn find(name: &str) -> Option<&'static dyn Model> {
    MODELS.iter().copied().find(|m| m.name() == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_registry_is_sound() {
        let mut names = std::collections::HashSet::new();
        for model in MODELS {
            assert!(names.insert(model.name()), "two models are named {}", model.name());
            assert!(model.about().len() > 20 && model.paper().contains("20"), "{} lacks docs", model.name());
            Options::resolve(*model, &toml::Table::new()).unwrap();
            let mut table = toml::Table::new();
            table.insert("no-such-option".into(), toml::Value::Integer(1));
            assert!(Options::resolve(*model, &table).is_err());
        }
    }
}
