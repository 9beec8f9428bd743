//! The workloads of `ganymede bench`: frozen definitions, so that figures stay comparable while recipes improve. One
//! step is a discriminator step and a generator step on data that is already in memory.

mod deep;
mod growth;
mod measure;
mod profile;

pub use deep::{Compilation, CompiledPhase, compile_deep};
pub use growth::{AXES, BASE, Point};
pub use measure::{Measurement, Measuring, measure};
pub use profile::KernelTime;

use crate::recipe::{Recipe, RecipeError, unknown};

/// A frozen workload.
pub struct Workload {
    /// Name on the command line.
    pub name: &'static str,
    text: &'static str,
}

macro_rules! workloads {
    ($($name:literal),* $(,)?) => {
        /// Every workload.
        pub const WORKLOADS: &[Workload] =
            &[$(Workload { name: $name, text: include_str!(concat!("../../workloads/", $name, ".toml")) }),*];
    };
}

workloads!("guide-dense", "guide-deconv", "dcgan28", "wgangp28", "r1-28", "dcgan64", "mlp2d", "ctgan");

impl Workload {
    /// The workload of that name.
    pub fn find(name: &str) -> Result<&'static Workload, RecipeError> {
        WORKLOADS.iter().find(|w| w.name == name).ok_or_else(|| {
            let known: Vec<&str> = WORKLOADS.iter().map(|w| w.name).collect();
            RecipeError { at: "bench".into(), message: unknown("workload", name, &known) }
        })
    }

    /// Its networks, loss and optimizers.
    pub fn recipe(&self) -> Result<Recipe, RecipeError> {
        Recipe::parse(&format!("workload `{}`", self.name), self.text, &[])
    }
}
