//! Named models: one file and one line in [`MODELS`] each.

mod biggan;
mod blocks;
mod dcgan;
mod doubling;
mod fastgan;
mod r3gan;
mod resnet;
mod sagan;
mod stages;
mod stylegan2;

use crate::networks::Side;
use crate::recipe::unknown;
use ganymede_graph::Tensor;
use ganymede_nn::Scope;

/// An option of a model: a list of whole numbers.
pub struct OptionSpec {
    /// Key in the recipe's `options` table.
    pub key: &'static str,
    /// What it means.
    pub about: &'static str,
    /// Used where the recipe says nothing.
    pub default: &'static [usize],
}

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

/// Checked options of a model.
#[derive(Clone, Debug)]
pub struct Options {
    values: Vec<(&'static str, Vec<usize>)>,
}

impl Options {
    /// Fills in defaults; unknown keys and wrong values are errors.
    pub fn resolve(model: &dyn Model, table: &toml::Table) -> Result<Options, String> {
        let specs = model.options();
        let known: Vec<&str> = specs.iter().map(|s| s.key).collect();
        if let Some(key) = table.keys().find(|k| !known.contains(&k.as_str())) {
            return Err(unknown(&format!("option of model `{}`", model.name()), key, &known));
        }
        let mut values = Vec::new();
        for spec in specs {
            let value = match table.get(spec.key) {
                None => spec.default.to_vec(),
                Some(value) => {
                    let items = value.as_array().cloned().unwrap_or_else(|| vec![value.clone()]);
                    let numbers: Option<Vec<usize>> = items
                        .iter()
                        .map(|v| {
                            v.as_integer().and_then(|n| usize::try_from(n).ok()).filter(|n| *n <= 1 << 16)
                        })
                        .collect();
                    numbers.ok_or(format!(
                        "option `{}` of model `{}` takes whole numbers up to 65536, got {value}",
                        spec.key,
                        model.name()
                    ))?
                }
            };
            values.push((spec.key, value));
        }
        let options = Options { values };
        model.check(&options)?;
        Ok(options)
    }

    /// The numbers of an option.
    pub fn list(&self, key: &str) -> &[usize] {
        self.values.iter().find(|(k, _)| *k == key).map_or(&[], |(_, v)| v)
    }

    /// The first number of an option, or 0.
    pub fn number(&self, key: &str) -> usize {
        self.list(key).first().copied().unwrap_or(0)
    }
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
