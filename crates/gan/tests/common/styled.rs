//! A small model with styles, in no registry: what the latent tools ask of such models, in closed form.

use ganymede::Objective;
use ganymede::models::{Model, OptionSpec, Options};
use ganymede::networks::Net;
use ganymede_graph::Tensor;
use ganymede_nn::{FanRule, Init, Scope};

/// Three styles of four numbers; each makes a modulation of eight by weights of its own.
pub struct Styled;

pub const LAYERS: usize = 3;
pub const WIDTH: usize = 4;
pub const UNITS: usize = 8;

impl Model for Styled {
    fn name(&self) -> &'static str {
        "styled"
    }
    fn about(&self) -> &'static str {
        "a mapping network of one layer and three modulated layers, for tests"
    }
    fn paper(&self) -> &'static str {
        "after Karras, Laine, Aila 2019"
    }
    fn options(&self) -> &'static [OptionSpec] {
        &[]
    }
    fn check(&self, _: &Options) -> Result<(), String> {
        Ok(())
    }
    fn has_styles(&self) -> bool {
        true
    }
    fn generator(&self, scope: &Scope, latent: &Tensor, sample: &[usize], options: &Options) -> Tensor {
        self.synthesis(scope, &self.mapping(scope, latent, sample, options), sample, options)
    }
    /// tanh(z M + e of the class), drawn to a fixed mean, the same for all layers.
    fn mapping(&self, scope: &Scope, latent: &Tensor, _: &[usize], _: &Options) -> Tensor {
        let inputs = latent.shape()[1];
        let normal = |std| Init::Normal { mean: 0.0, std };
        let mut w = latent.matmul(&scope.weight("map", &[inputs, WIDTH], normal(0.5), FanRule::Forward));
        if let Some(labels) = scope.labels() {
            let embedded = scope.weight("class", &[labels.classes, WIDTH], normal(1.0), FanRule::Forward);
            w = w + labels.one_hot().matmul(&embedded);
        }
        let w = w.tanh();
        let mean = scope.buffer("mean", &[WIDTH], normal(0.3)).broadcast_axes(&w.shape(), &[1]);
        let w = &mean + (w - &mean) * scope.mode().truncation;
        let batch = w.shape()[0];
        w.broadcast_axes(&[batch, LAYERS, WIDTH], &[0, 2])
    }
    /// The constant 1, thrice modulated and made nonlinear, as an image.
    fn synthesis(&self, scope: &Scope, styles: &Tensor, sample: &[usize], _: &Options) -> Tensor {
        let batch = styles.shape()[0];
        let size: usize = sample.iter().product();
        let mut x = scope.graph().full(&[batch, UNITS], 1.0);
        for layer in 0..LAYERS {
            let style = styles.slice(1, layer, layer + 1).reshape(&[batch, WIDTH]);
            let init = Init::Normal { mean: 0.0, std: 0.7 };
            let scope = scope.child(&format!("layer{layer}"));
            let affine = style.matmul(&scope.weight("affine", &[WIDTH, UNITS], init, FanRule::Forward));
            let bias = scope.param("bias", &[UNITS], Init::Ones).broadcast_axes(&[batch, UNITS], &[1]);
            let weight = scope.weight("weight", &[UNITS, UNITS], init, FanRule::Forward);
            x = (x * (affine + bias)).matmul(&weight).tanh();
        }
        let init = Init::Normal { mean: 0.0, std: 0.7 };
        let out = x.matmul(&scope.weight("image", &[UNITS, size], init, FanRule::Forward)).tanh();
        out.reshape(&[&[batch], sample].concat())
    }
    fn discriminator(&self, scope: &Scope, samples: &Tensor, _: &Options) -> Tensor {
        scope.graph().fail("styled", format!("judges no samples: {}", samples.ty()))
    }
}

/// `objective` with [`Styled`] for a generator, told `classes`.
pub fn with_styles(mut objective: Objective, classes: Option<usize>) -> Objective {
    objective.generator = Net::of_model(&Styled, &toml::Table::new(), classes).unwrap();
    objective.recipe.data.classes = classes;
    objective
}
