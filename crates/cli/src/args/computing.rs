//! What every verb that computes has: threads, arithmetic, memory, and the form of what is told.

use clap::Args;
use ganymede_cpu::{MemoryMode, Precision};

/// Of verbs that run networks.
#[derive(Debug, Args)]
pub struct Computing {
    /// Arithmetic of matrix products and convolutions: f32, or bf16 with sums in f32 on CPUs where that is faster
    /// (`ganymede doctor` says so) [default: that of the recipe or run; of a workload f32].
    #[arg(long, value_name = "f32|bf16", value_parser = precision)]
    pub precision: Option<Precision>,
    /// Threads [default: all cores].
    #[arg(long, value_name = "N", value_parser = threads)]
    pub threads: Option<usize>,
    /// JSON on standard output instead of text: one object, or one a line where there is more than one to tell.
    #[arg(long)]
    pub json: bool,
}

/// Of verbs that train networks.
#[derive(Debug, Args)]
pub struct Training {
    /// Memory of activations: normal, or low to compute them again where that lowers the peak, for up to a third more
    /// work and exactly the same results; may change from one --resume to the next [default: that of the recipe; of a
    /// workload normal].
    #[arg(long, value_name = "normal|low", value_parser = memory)]
    pub memory: Option<MemoryMode>,
}

impl Training {
    /// The changes of a recipe that are asked for: each is the same as `--set train.memory=M` or `train.precision=P`.
    pub fn changes(&self, computing: &Computing) -> Vec<String> {
        let precision = computing.precision.map(|p| format!("train.precision={p}"));
        let memory = self.memory.map(|m| format!("train.memory={m}"));
        precision.into_iter().chain(memory).collect()
    }
}

fn precision(text: &str) -> Result<Precision, String> {
    Precision::ALL
        .into_iter()
        .find(|p| p.name() == text)
        .ok_or_else(|| "expected f32, or bf16 for operands of 16 bits with sums in f32".into())
}

fn memory(text: &str) -> Result<MemoryMode, String> {
    MemoryMode::ALL
        .into_iter()
        .find(|m| m.name() == text)
        .ok_or_else(|| "expected normal, or low to compute activations again instead of keeping them".into())
}

pub(super) fn threads(text: &str) -> Result<usize, String> {
    match text.parse::<usize>() {
        Ok(0) => {
            Err("0 threads cannot work: give at least 1, or leave --threads out to use all cores".into())
        }
        Ok(n) if n <= 1024 => Ok(n),
        _ => Err("expected a whole number from 1 to 1024".into()),
    }
}
