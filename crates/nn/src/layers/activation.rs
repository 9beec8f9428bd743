//! Pointwise nonlinearities.

use crate::error::{ParseError, suggestion};
use crate::scope::Scope;
use ganymede_graph::Tensor;
use std::fmt;

/// A pointwise nonlinearity.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Activation {
    /// The identity.
    #[default]
    None,
    /// max(x, 0) (Nair, Hinton 2010).
    Relu,
    /// x where positive, else slope x (Maas, Hannun, Ng 2013).
    LeakyRelu(f64),
    /// x where positive, else e^x - 1 (Clevert, Unterthiner, Hochreiter 2015).
    Elu,
    /// x sigmoid(x) (Ramachandran, Zoph, Le 2017).
    Silu,
    /// x Phi(x), exact (Hendrycks, Gimpel 2016).
    Gelu,
    /// Hyperbolic tangent.
    Tanh,
    /// 1 / (1 + e^-x).
    Sigmoid,
    /// log(1 + e^x).
    Softplus,
}

/// The slope of a leaky ReLU where none is given: DCGAN's. PyTorch's own default is .01, Keras's .3.
pub const LEAKY_SLOPE: f64 = 0.2;

impl Activation {
    /// Every activation, leaky ReLU with its default slope.
    pub const ALL: [Activation; 9] = [
        Activation::None,
        Activation::Relu,
        Activation::LeakyRelu(LEAKY_SLOPE),
        Activation::Elu,
        Activation::Silu,
        Activation::Gelu,
        Activation::Tanh,
        Activation::Sigmoid,
        Activation::Softplus,
    ];

    /// Lower-case name without the slope.
    pub fn name(self) -> &'static str {
        match self {
            Activation::None => "none",
            Activation::Relu => "relu",
            Activation::LeakyRelu(_) => "leaky_relu",
            Activation::Elu => "elu",
            Activation::Silu => "silu",
            Activation::Gelu => "gelu",
            Activation::Tanh => "tanh",
            Activation::Sigmoid => "sigmoid",
            Activation::Softplus => "softplus",
        }
    }

    /// What it computes, with its source.
    pub fn doc(self) -> &'static str {
        match self {
            Activation::None => "the identity",
            Activation::Relu => "max(x, 0) (Nair, Hinton 2010)",
            Activation::LeakyRelu(_) => {
                "x where positive, else SLOPE x (Maas, Hannun, Ng 2013); SLOPE is .2 unless given"
            }
            Activation::Elu => "x where positive, else e^x - 1 (Clevert, Unterthiner, Hochreiter 2015)",
            Activation::Silu => "x sigmoid(x), also called swish (Ramachandran, Zoph, Le 2017)",
            Activation::Gelu => "x Phi(x), the exact form (Hendrycks, Gimpel 2016)",
            Activation::Tanh => "hyperbolic tangent, to -1..1: the usual end of an image generator",
            Activation::Sigmoid => {
                "1 / (1 + e^-x), to 0..1; losses on logits want none of it at a discriminator's end"
            }
            Activation::Softplus => "log(1 + e^x), a smooth ReLU",
        }
    }

    /// Applies it.
    #[track_caller]
    pub fn apply(self, x: &Tensor) -> Tensor {
        match self {
            Activation::None => x.clone(),
            Activation::Relu => x.relu(),
            Activation::LeakyRelu(slope) => x.leaky_relu(slope),
            Activation::Elu => x.elu(),
            Activation::Silu => x.silu(),
            Activation::Gelu => x.gelu(),
            Activation::Tanh => x.tanh(),
            Activation::Sigmoid => x.sigmoid(),
            Activation::Softplus => x.softplus(),
        }
    }

    /// Reads `relu`, `leaky_relu`, `leaky_relu=0.2` and so on.
    ///
    /// # Errors
    /// If the word is unknown (the nearest is named) or the slope is not a finite number.
    pub fn parse(text: &str) -> Result<Self, ParseError> {
        let fail = |message: String| ParseError::new("an activation", text, message);
        let (word, value) = match text.split_once('=') {
            Some((word, value)) => (word, Some(value)),
            None => (text, None),
        };
        let Some(found) = Self::ALL.into_iter().find(|a| a.name() == word) else {
            return Err(fail(suggestion(word, Self::ALL.iter().map(|a| a.name()))));
        };
        match (found, value) {
            (Activation::LeakyRelu(_), Some(value)) => match value.parse::<f64>() {
                Ok(slope) if slope.is_finite() => Ok(Activation::LeakyRelu(slope)),
                _ => Err(fail(format!("`{value}` is not a slope; write `leaky_relu=0.2`"))),
            },
            (found, None) => Ok(found),
            (found, Some(_)) => Err(fail(format!("`{}` takes no value", found.name()))),
        }
    }
}

impl fmt::Display for Activation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Activation::LeakyRelu(slope) => write!(f, "leaky_relu={slope}"),
            Activation::None
            | Activation::Relu
            | Activation::Elu
            | Activation::Silu
            | Activation::Gelu
            | Activation::Tanh
            | Activation::Sigmoid
            | Activation::Softplus => f.write_str(self.name()),
        }
    }
}

/// Applies `kind` as a layer of its own.
#[track_caller]
pub fn activation(scope: &Scope, x: &Tensor, kind: Activation) -> Tensor {
    let _in = scope.enter();
    let y = kind.apply(x);
    scope.record_layer(&kind.to_string(), &y);
    y
}
