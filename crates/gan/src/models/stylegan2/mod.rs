//! The networks of StyleGAN2 (Karras et al. 2020), as the authors' stylegan2-ada-pytorch builds them.
//!
//! ```text
//! mapping         z / its root mean square [, class likewise] -> dense layers at a hundredth of the learning rate -> w
//! synthesis       learned image -> 3x3; at each further resolution 3x3 doubling, 3x3; every 3x3 modulated by its style,
//!                 with noise; an image at each resolution, all added up
//! discriminator   1x1 from the image; at each resolution 3x3, 3x3 halving, beside a 1x1 halving; minibatch standard
//!                 deviation -> 3x3 -> dense -> dense [-> dot product with the mapped class]
//! ```
//!
//! All learning rates are equalized, and all resampling is filtered. What belongs to half precision there (clamps,
//! normalization of styles before the product) is left out.

mod discriminator;
mod layers;
mod mapping;
mod synthesis;

use super::sizes::Doubling;
use super::{Model, OptionSpec, Options};
use ganymede_graph::Tensor;
use ganymede_nn::{Scope, WeightRule};

/// The pair of StyleGAN2.
pub struct StyleGan2;

/// Smaller side of the smallest image.
const LEAST: usize = 4;
/// Dense layers of a mapping network.
const MAX_LAYERS: usize = 64;

/// Channels after `level` doublings: min(channel_base / resolution, channel_max), where the smallest image counts as
/// 4x4.
fn channels(options: &Options, level: usize) -> usize {
    let resolution = LEAST << level;
    (options.number("channel_base") / resolution).clamp(1, options.number("channel_max"))
}

/// The same place, where weights follow their parameters at an equalized rate.
fn equalized(scope: &Scope) -> Result<Scope, String> {
    match scope.rule() {
        WeightRule::Plain | WeightRule::Equalized { .. } => {
            Ok(scope.with_rule(WeightRule::Equalized { rate: 1.0 }))
        }
        WeightRule::Spectral { .. } => {
            Err("`spectral_norm` does not go with equalized learning rates: leave it out".into())
        }
    }
}

impl Model for StyleGan2 {
    fn name(&self) -> &'static str {
        "stylegan2"
    }
    fn about(&self) -> &'static str {
        "a mapping network whose styles modulate every convolution, and a residual discriminator"
    }
    fn paper(&self) -> &'static str {
        "Karras et al. 2020 (StyleGAN2), sections 2 and 4; structure of stylegan2-ada-pytorch"
    }
    fn options(&self) -> &'static [OptionSpec] {
        &[
            OptionSpec {
                key: "channel_base",
                about: "channels times resolution, up to `channel_max` channels; 32768 for 32 and for 512 px and more, 16384 \
                        between in the paper",
                default: &[16384],
            },
            OptionSpec { key: "channel_max", about: "most channels of a layer", default: &[512] },
            OptionSpec { key: "style_width", about: "width of the generator's styles", default: &[512] },
            OptionSpec {
                key: "mapping_layers",
                about: "dense layers of the mapping network; in the discriminator of the one that maps classes",
                default: &[8],
            },
            OptionSpec {
                key: "mixing",
                about: "percent of training samples with styles of two latents",
                default: &[90],
            },
            OptionSpec { key: "noise", about: "1: noise after every 3x3 of the generator", default: &[1] },
            OptionSpec {
                key: "residual",
                about: "1: residual blocks in the discriminator, as published but for 32 px; 0: none",
                default: &[1],
            },
            OptionSpec {
                key: "residual_generator",
                about: "1: residual blocks in the generator, whose image then comes from the last one alone; 0: an image at \
                        each resolution, added up, as published",
                default: &[0],
            },
            OptionSpec {
                key: "stddev_group",
                about: "samples that minibatch standard deviation compares",
                default: &[4],
            },
            OptionSpec {
                key: "stddev_channels",
                about: "channels that minibatch standard deviation appends; 0: none",
                default: &[1],
            },
        ]
    }
    fn check(&self, options: &Options) -> Result<(), String> {
        for key in ["channel_base", "channel_max", "style_width", "mapping_layers", "stddev_group"] {
            if options.number(key) == 0 {
                return Err(format!("`{key}` must be at least 1, got 0"));
            }
        }
        for (key, most) in [
            ("mapping_layers", MAX_LAYERS),
            ("mixing", 100),
            ("noise", 1),
            ("residual", 1),
            ("residual_generator", 1),
        ] {
            let value = options.number(key);
            if value > most {
                return Err(format!("`{key}` must be at most {most}, got {value}"));
            }
        }
        for spec in self.options() {
            let count = options.list(spec.key).len();
            if count != 1 {
                return Err(format!("`{}` takes one number, got {count}", spec.key));
            }
        }
        Ok(())
    }
    fn generator(&self, scope: &Scope, latent: &Tensor, sample: &[usize], options: &Options) -> Tensor {
        let styles = self.mapping(scope, latent, sample, options);
        scope.expose_styles(&styles);
        self.synthesis(scope, &styles, sample, options)
    }
    fn has_styles(&self) -> bool {
        true
    }
    fn mapping(&self, scope: &Scope, latent: &Tensor, sample: &[usize], options: &Options) -> Tensor {
        match (Doubling::of_sample(sample, LEAST), equalized(scope)) {
            // Two convolutions a resolution but one at the first, and the last image.
            (Ok((doubling, _)), Ok(scope)) => {
                mapping::styles(&scope, latent, 2 * doubling.count + 2, options)
            }
            (Err(message), _) | (_, Err(message)) => scope.graph().fail("stylegan2 mapping", message),
        }
    }
    fn synthesis(&self, scope: &Scope, styles: &Tensor, sample: &[usize], options: &Options) -> Tensor {
        match (Doubling::of_sample(sample, LEAST), equalized(scope)) {
            (Ok((doubling, channels)), Ok(scope)) => {
                synthesis::image(&scope, styles, doubling, channels, options)
            }
            (Err(message), _) | (_, Err(message)) => scope.graph().fail("stylegan2 synthesis", message),
        }
    }
    fn discriminator(&self, scope: &Scope, samples: &Tensor, options: &Options) -> Tensor {
        if samples.is_poisoned() {
            return samples.clone();
        }
        match (Doubling::of_sample(&samples.shape()[1..], LEAST), equalized(scope)) {
            (Ok((doubling, _)), Ok(scope)) => discriminator::logits(&scope, samples, doubling, options),
            (Err(message), _) | (_, Err(message)) => scope.graph().fail("stylegan2 discriminator", message),
        }
    }
    fn compares_samples(&self, options: &Options) -> bool {
        options.number("stddev_channels") > 0
    }
}
