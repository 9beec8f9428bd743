//! `batch_norm`, `layer_norm`, `instance_norm` and `group_norm`.

use crate::init::Init;
use crate::layer_list::{Arguments, Layer, LayerWord};
use crate::layers::{self, Activation, Norm};
use crate::scope::Scope;
use ganymede_graph::Tensor;

/// `batch_norm`.
pub struct BatchNorm;
/// `layer_norm`.
pub struct LayerNorm;
/// `instance_norm`.
pub struct InstanceNorm;
/// `group_norm`.
pub struct GroupNorm;

#[derive(Debug)]
enum Kind {
    Batch(layers::BatchNorm),
    Layer(Norm),
    Instance(Norm),
    Group(usize, Norm),
}

#[derive(Debug)]
struct Line {
    kind: Kind,
    activation: Activation,
}

impl Layer for Line {
    fn build(&self, scope: &Scope, x: &Tensor) -> Tensor {
        let _in = scope.enter();
        let y = match self.kind {
            Kind::Batch(options) => layers::batch_norm(scope, x, options),
            Kind::Layer(norm) => layers::layer_norm(scope, x, norm),
            Kind::Instance(norm) => layers::instance_norm(scope, x, norm),
            Kind::Group(groups, norm) => layers::group_norm(scope, x, groups, norm),
        };
        self.activation.apply(&y)
    }
    fn normalizes_batch(&self) -> bool {
        self.mixes_samples()
    }
    fn mixes_samples(&self) -> bool {
        match self.kind {
            Kind::Batch(_) => true,
            Kind::Layer(_) | Kind::Instance(_) | Kind::Group(..) => false,
        }
    }
}

/// `[eps=X] [no_scale] [init=INIT]`.
fn norm(arguments: &mut Arguments<'_>) -> Result<Norm, String> {
    let eps = arguments.real_option("eps", Norm::default().eps)?;
    if eps <= 0.0 {
        return Err(format!("eps must be above 0, got {eps}"));
    }
    let bare = arguments.flag("no_scale");
    let init = arguments.init(Init::Ones)?;
    Ok(Norm { eps, scale: (!bare).then_some(init) })
}

fn line(kind: Kind, arguments: &mut Arguments<'_>) -> Result<Box<dyn Layer>, String> {
    Ok(Box::new(Line { kind, activation: arguments.activation()? }))
}

impl LayerWord for BatchNorm {
    fn name(&self) -> &'static str {
        "batch_norm"
    }
    fn doc(&self) -> &'static str {
        "each channel to mean 0 and variance 1 over the batch (Ioffe, Szegedy 2015); sampling uses running averages, \
         of which each update keeps the share momentum"
    }
    fn usage(&self) -> &'static str {
        "batch_norm [momentum=X] [eps=X] [no_scale] [init=INIT] [ACTIVATION]"
    }
    fn example(&self) -> &'static str {
        "batch_norm momentum=0.9 init=normal:1:0.02 relu"
    }
    fn example_input(&self) -> &'static [usize] {
        &[7, 7, 64]
    }
    fn parse(&self, arguments: &mut Arguments<'_>) -> Result<Box<dyn Layer>, String> {
        let momentum = arguments.real_option("momentum", layers::BatchNorm::default().momentum)?;
        if !(0.0..=1.0).contains(&momentum) {
            return Err(format!("momentum must be from 0 to 1, got {momentum}"));
        }
        let options = layers::BatchNorm { momentum, norm: norm(arguments)? };
        line(Kind::Batch(options), arguments)
    }
}

impl LayerWord for LayerNorm {
    fn name(&self) -> &'static str {
        "layer_norm"
    }
    fn doc(&self) -> &'static str {
        "each sample to mean 0 and variance 1 (Ba, Kiros, Hinton 2016): what WGAN-GP's critic takes instead of batch_norm"
    }
    fn usage(&self) -> &'static str {
        "layer_norm [eps=X] [no_scale] [init=INIT] [ACTIVATION]"
    }
    fn example(&self) -> &'static str {
        "layer_norm leaky_relu=0.2"
    }
    fn example_input(&self) -> &'static [usize] {
        &[64]
    }
    fn parse(&self, arguments: &mut Arguments<'_>) -> Result<Box<dyn Layer>, String> {
        let kind = Kind::Layer(norm(arguments)?);
        line(kind, arguments)
    }
}

impl LayerWord for InstanceNorm {
    fn name(&self) -> &'static str {
        "instance_norm"
    }
    fn doc(&self) -> &'static str {
        "each channel of each image to mean 0 and variance 1 (Ulyanov, Vedaldi, Lempitsky 2016)"
    }
    fn usage(&self) -> &'static str {
        "instance_norm [eps=X] [no_scale] [init=INIT] [ACTIVATION]"
    }
    fn example(&self) -> &'static str {
        "instance_norm relu"
    }
    fn example_input(&self) -> &'static [usize] {
        &[14, 14, 32]
    }
    fn parse(&self, arguments: &mut Arguments<'_>) -> Result<Box<dyn Layer>, String> {
        let kind = Kind::Instance(norm(arguments)?);
        line(kind, arguments)
    }
}

impl LayerWord for GroupNorm {
    fn name(&self) -> &'static str {
        "group_norm"
    }
    fn doc(&self) -> &'static str {
        "each group of channels of each image to mean 0 and variance 1 (Wu, He 2018)"
    }
    fn usage(&self) -> &'static str {
        "group_norm GROUPS [eps=X] [no_scale] [init=INIT] [ACTIVATION]"
    }
    fn example(&self) -> &'static str {
        "group_norm 8 silu"
    }
    fn example_input(&self) -> &'static [usize] {
        &[14, 14, 32]
    }
    fn parse(&self, arguments: &mut Arguments<'_>) -> Result<Box<dyn Layer>, String> {
        let groups = arguments.size("GROUPS")?;
        let kind = Kind::Group(groups, norm(arguments)?);
        line(kind, arguments)
    }
}
