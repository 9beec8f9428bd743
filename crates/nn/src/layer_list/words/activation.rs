//! Activations on lines of their own.

use crate::layer_list::{Arguments, Layer, LayerWord};
use crate::layers::activation::LEAKY_SLOPE;
use crate::layers::{self, Activation};
use crate::scope::Scope;
use ganymede_graph::Tensor;

/// The word of one activation.
pub struct Word {
    kind: Activation,
    usage: &'static str,
    example: &'static str,
}

/// `relu`.
pub static RELU: Word = Word::plain(Activation::Relu, "relu");
/// `leaky_relu`.
pub static LEAKY_RELU: Word =
    Word { kind: Activation::LeakyRelu(LEAKY_SLOPE), usage: "leaky_relu [SLOPE]", example: "leaky_relu 0.2" };
/// `elu`.
pub static ELU: Word = Word::plain(Activation::Elu, "elu");
/// `silu`.
pub static SILU: Word = Word::plain(Activation::Silu, "silu");
/// `gelu`.
pub static GELU: Word = Word::plain(Activation::Gelu, "gelu");
/// `tanh`.
pub static TANH: Word = Word::plain(Activation::Tanh, "tanh");
/// `sigmoid`.
pub static SIGMOID: Word = Word::plain(Activation::Sigmoid, "sigmoid");
/// `softplus`.
pub static SOFTPLUS: Word = Word::plain(Activation::Softplus, "softplus");

impl Word {
    const fn plain(kind: Activation, word: &'static str) -> Self {
        Self { kind, usage: word, example: word }
    }
}

#[derive(Debug)]
struct Line {
    kind: Activation,
}

impl Layer for Line {
    fn build(&self, scope: &Scope, x: &Tensor) -> Tensor {
        layers::activation(scope, x, self.kind)
    }
}

impl LayerWord for Word {
    fn name(&self) -> &'static str {
        self.kind.name()
    }
    fn doc(&self) -> &'static str {
        self.kind.doc()
    }
    fn usage(&self) -> &'static str {
        self.usage
    }
    fn example(&self) -> &'static str {
        self.example
    }
    fn example_input(&self) -> &'static [usize] {
        &[64]
    }
    fn parse(&self, arguments: &mut Arguments<'_>) -> Result<Box<dyn Layer>, String> {
        let kind = match self.kind {
            Activation::LeakyRelu(default) => {
                Activation::LeakyRelu(arguments.optional_real("SLOPE")?.unwrap_or(default))
            }
            Activation::None
            | Activation::Relu
            | Activation::Elu
            | Activation::Silu
            | Activation::Gelu
            | Activation::Tanh
            | Activation::Sigmoid
            | Activation::Softplus => self.kind,
        };
        Ok(Box::new(Line { kind }))
    }
}
