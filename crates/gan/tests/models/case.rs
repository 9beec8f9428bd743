//! One network of a model, with parameters and inputs that are functions of their names.

use ganymede::models::{self, Options};
use ganymede::networks::Side;
use ganymede_graph::{Array, DType, Graph, Tensor, TensorType};
use ganymede_nn::{ClassLabels, Mode, Params, Scope};
use std::collections::HashMap;

pub const MODELS: [&str; 4] = ["dcgan", "resnet", "sagan", "biggan"];

/// One network of a model.
#[derive(Clone, Copy, Debug)]
pub struct Case {
    pub model: &'static str,
    pub options: &'static str,
    pub side: Side,
    pub sample: &'static [usize],
    pub latent: usize,
    pub batch: usize,
    pub classes: Option<usize>,
}

impl Case {
    pub const fn new(model: &'static str, side: Side, sample: &'static [usize]) -> Self {
        Self { model, options: "", side, sample, latent: 12, batch: 3, classes: None }
    }

    pub const fn told(self, classes: usize) -> Self {
        Self { classes: Some(classes), ..self }
    }

    pub const fn with(self, options: &'static str) -> Self {
        Self { options, ..self }
    }

    pub fn options(&self) -> Options {
        let model = models::find(self.model).unwrap();
        Options::resolve(model, &self.options.parse().unwrap()).unwrap()
    }

    /// The network on the feed `x` in a mode, told the feed `labels`.
    pub fn build(&self, graph: &Graph, mode: Mode) -> (Scope, Tensor) {
        let input = match self.side {
            Side::Generator => vec![self.batch, self.latent],
            Side::Discriminator => [&[self.batch], self.sample].concat(),
        };
        let x = graph.feed("x", TensorType::f32(input));
        let scope = Scope::root(graph, self.side.root(), mode).with_labels(self.labels(graph));
        let y = self.apply(&scope, &x);
        (scope, y)
    }

    pub fn labels(&self, graph: &Graph) -> Option<ClassLabels> {
        self.classes.map(|classes| ClassLabels {
            index: graph.feed("labels", TensorType::new(DType::I32, [self.batch])),
            classes,
        })
    }

    pub fn apply(&self, scope: &Scope, x: &Tensor) -> Tensor {
        let (model, options) = (models::find(self.model).unwrap(), self.options());
        match self.side {
            Side::Generator => model.generator(scope, x, self.sample, &options),
            Side::Discriminator => model.discriminator(scope, x, &options),
        }
    }

    pub fn params(&self) -> Params {
        let graph = Graph::new();
        let (scope, _) = self.build(&graph, Mode::eval());
        graph.finish().unwrap_or_else(|e| panic!("{self:?}: {e}"));
        scope.params()
    }

    pub fn refusal(&self) -> String {
        let graph = Graph::new();
        self.build(&graph, Mode::eval());
        graph.finish().expect_err("it should not fit").to_string()
    }
}

pub const G: Side = Side::Generator;
pub const D: Side = Side::Discriminator;

/// Networks as small as they can be, for 8x8 pixels.
pub fn tiny(model: &'static str, side: Side) -> Case {
    let options = match (model, side) {
        ("dcgan", _) => "channels = 2",
        ("resnet", Side::Generator) => "channels = 1",
        ("resnet", Side::Discriminator) => "channels = 1\nlayer_norm = 1",
        ("sagan" | "biggan", Side::Generator) => "channels = 2\nattention = [8]",
        ("sagan", Side::Discriminator) => "channels = 4\nmultipliers = [2, 2]",
        _ => "channels = 2\nmultipliers = [4, 4]",
    };
    Case { latent: 4, batch: 2, ..Case::new(model, side, &[8, 8, 1]).with(options) }
}

/// Numbers in (-1, 1) from a name, as `uniform` of tools/goldens_models.py.
pub fn uniform(name: &str, count: usize) -> Vec<f64> {
    let seed = name
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325u64, |h, b| (h ^ u64::from(b)).wrapping_mul(0x0000_0100_0000_01b3));
    let mix = |i: u64| {
        let mut x = seed.wrapping_add(i.wrapping_mul(0xD1B5_4A32_D192_ED03));
        x ^= x >> 29;
        x = x.wrapping_mul(0xBF58_476D_1CE4_E5B9);
        x ^= x >> 32;
        (x >> 11) as f64 / (1u64 << 52) as f64 - 1.0
    };
    (1..=count as u64).map(mix).collect()
}

/// The value of a parameter, as `formula` of tools/goldens_models.py.
pub fn formula(name: &str, shape: &[usize]) -> Vec<f32> {
    let u = uniform(name, shape.iter().product());
    let of = |scale: f64, shift: f64| u.iter().map(|v| (shift + scale * v) as f32).collect();
    match name.rsplit('/').next().unwrap() {
        "bias" | "running_mean" => of(0.1, 0.0),
        "running_var" => of(0.5, 1.0),
        "gain" | "gamma" => of(0.3, 1.0),
        _ if shape.len() == 1 => of(0.3, 1.0),
        _ => of((6.0 / shape[..shape.len() - 1].iter().product::<usize>() as f64).sqrt(), 0.0),
    }
}

/// What the golden's networks are given.
pub fn input(case: &Case) -> Vec<f32> {
    match case.side {
        Side::Generator => {
            uniform("latents", case.batch * case.latent).iter().map(|v| (1.7 * v) as f32).collect()
        }
        Side::Discriminator => {
            let count = case.batch * case.sample.iter().product::<usize>();
            uniform("images", count).iter().map(|v| *v as f32).collect()
        }
    }
}

pub const LABELS: [i32; 3] = [3, 0, 4];

pub fn inputs(case: &Case, scope: &Scope) -> HashMap<String, Array> {
    let shape = match case.side {
        Side::Generator => vec![case.batch, case.latent],
        Side::Discriminator => [&[case.batch], case.sample].concat(),
    };
    let mut inputs: HashMap<String, Array> = HashMap::new();
    inputs.insert("x".into(), Array::from_f32(&shape, &input(case)));
    inputs.insert("labels".into(), Array::i32(&[case.batch], LABELS[..case.batch].to_vec()));
    for spec in scope.params().iter() {
        let values = formula(&spec.name, &spec.ty.shape);
        inputs.insert(spec.name.clone(), Array::from_f32(&spec.ty.shape, &values));
    }
    inputs
}
