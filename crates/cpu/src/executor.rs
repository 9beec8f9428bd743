//! What phases run on: a target to compile for and a pool of threads.

use crate::error::CpuError;
use ganymede_kernels::conv::Algorithm;
use ganymede_kernels::isa::{Isa, IsaError, fast_bf16};
use ganymede_kernels::peak::{self, Peak, PeakError};
use ganymede_kernels::pool::Pool;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Arithmetic of the contractions: matrix products and convolutions. In training weights, moments, statistics and losses
/// are f32 in either.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// f32 throughout.
    #[default]
    F32,
    /// Operands in bf16, sums in f32 ([`mixed_precision`](ganymede_graph::passes::mixed::mixed_precision)), where the CPU
    /// has bf16; f32 elsewhere.
    Bf16,
}

impl Precision {
    /// Each of them.
    pub const ALL: [Precision; 2] = [Precision::F32, Precision::Bf16];

    /// Name, as on the command line and in recipes.
    pub fn name(self) -> &'static str {
        match self {
            Precision::F32 => "f32",
            Precision::Bf16 => "bf16",
        }
    }
}

impl std::fmt::Display for Precision {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

/// What is done about the memory of intermediate values. Results are the same bits either way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MemoryMode {
    /// Every value is computed once and kept until its last use.
    #[default]
    Normal,
    /// Values are computed again where that makes the arena smaller, for up to a third more work.
    Low,
}

impl MemoryMode {
    /// Each of them.
    pub const ALL: [MemoryMode; 2] = [MemoryMode::Normal, MemoryMode::Low];

    /// Name, as on the command line and in recipes.
    pub fn name(self) -> &'static str {
        match self {
            MemoryMode::Normal => "normal",
            MemoryMode::Low => "low",
        }
    }
}

impl std::fmt::Display for MemoryMode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

/// Where contractions in bf16 are run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bf16 {
    /// Where the CPU multiplies bf16 faster than f32 ([`fast_bf16`]); elsewhere programs are compiled in f32.
    Native,
    /// Everywhere, in plain arithmetic where the CPU has none: slow, for tests.
    Everywhere,
}

impl Bf16 {
    /// The variable that chooses.
    pub const VARIABLE: &'static str = "GANYMEDE_BF16";

    /// As `GANYMEDE_BF16` says: `native` (the default) or `everywhere`.
    ///
    /// # Errors
    /// It says something else.
    pub fn from_env() -> Result<Bf16, CpuError> {
        match std::env::var(Self::VARIABLE).as_deref() {
            Err(std::env::VarError::NotPresent) | Ok("" | "native") => Ok(Bf16::Native),
            Ok("everywhere") => Ok(Bf16::Everywhere),
            Ok(other) => Err(CpuError::Bf16(other.to_string())),
            Err(std::env::VarError::NotUnicode(other)) => {
                Err(CpuError::Bf16(other.to_string_lossy().into_owned()))
            }
        }
    }
}

/// What programs are compiled for: everything beside the function that their kernels, bits and memory depend on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Target {
    /// Instruction set.
    pub isa: Isa,
    /// Algorithms for convolutions.
    pub convolutions: Algorithm,
    /// Whether passes over the result of a contraction run with it where they can. Elementwise results are the same
    /// bits either way; sums over them are added in another order.
    pub fuse: bool,
    /// Arithmetic of contractions.
    pub precision: Precision,
    /// Whether memory is saved by computing values again.
    pub memory: MemoryMode,
}

impl From<Isa> for Target {
    fn from(isa: Isa) -> Target {
        Target {
            isa,
            convolutions: Algorithm::Any,
            fuse: true,
            precision: Precision::F32,
            memory: MemoryMode::Normal,
        }
    }
}

/// How an [`Executor`] is made.
#[derive(Clone, Copy, Debug, Default)]
pub struct ExecutorOptions {
    /// Number of threads; the available parallelism if `None`.
    pub threads: Option<usize>,
    /// Instruction set; [`Isa::from_env`] if `None`.
    pub isa: Option<Isa>,
    /// Algorithms for convolutions; [`Algorithm::from_env`] if `None`.
    pub convolutions: Option<Algorithm>,
    /// Runs every pass apart from contractions, for comparison: see [`Target::fuse`].
    pub unfused: bool,
    /// Where bf16 is run; [`Bf16::from_env`] if `None`.
    pub bf16: Option<Bf16>,
}

/// A target and a persistent pool of threads, shared by sessions.
#[derive(Debug)]
pub struct Executor {
    target: Target,
    bf16: Bf16,
    pub(crate) pool: Pool,
}

impl Executor {
    /// Starts the threads.
    ///
    /// # Errors
    /// No threads are asked for, the system refuses them, or the instruction set is unknown or not supported.
    pub fn new(options: ExecutorOptions) -> Result<Arc<Executor>, CpuError> {
        let isa = match options.isa {
            Some(isa) if !isa.supported() => return Err(IsaError::Unsupported(isa).into()),
            Some(isa) => isa,
            None => Isa::from_env()?,
        };
        let threads = options
            .threads
            .unwrap_or_else(|| std::thread::available_parallelism().map_or(1, std::num::NonZero::get));
        let convolutions = options.convolutions.map_or_else(Algorithm::from_env, Ok)?;
        let bf16 = options.bf16.map_or_else(Bf16::from_env, Ok)?;
        let fuse = !options.unfused;
        let target = Target { isa, convolutions, fuse, ..isa.into() };
        Ok(Arc::new(Executor { target, bf16, pool: Pool::new(threads)? }))
    }

    /// The instruction set.
    pub fn isa(&self) -> Isa {
        self.target.isa
    }

    /// What programs in f32 are compiled for.
    pub fn target(&self) -> Target {
        self.target
    }

    /// The precision that programs get where `wanted` is asked for: f32 in place of a bf16 that the CPU, or the
    /// instruction set chosen, does not have or computes more slowly than f32.
    pub fn precision(&self, wanted: Precision) -> Precision {
        match (wanted, self.bf16) {
            (Precision::Bf16, Bf16::Native) if !fast_bf16(self.target.isa) => Precision::F32,
            (Precision::F32 | Precision::Bf16, Bf16::Native | Bf16::Everywhere) => wanted,
        }
    }

    /// What programs are compiled for where `wanted` is asked for.
    pub fn target_at(&self, wanted: Precision) -> Target {
        Target { precision: self.precision(wanted), ..self.target }
    }

    /// The threads, for work beside programs.
    pub fn pool(&self) -> &Pool {
        &self.pool
    }

    /// Number of threads.
    pub fn threads(&self) -> usize {
        self.pool.threads()
    }

    /// What the threads can do at best with this instruction set, measured in about half a second.
    ///
    /// # Errors
    /// As for [`peak::measure`].
    pub fn peak(&self) -> Result<Peak, PeakError> {
        peak::measure(self.target.isa, &self.pool)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::de::IntoDeserializer;
    use serde::de::value::{Error, StrDeserializer};

    #[test]
    fn words_of_recipes_are_the_names() {
        fn read<'d, T: Deserialize<'d>>(name: &'d str) -> Result<T, Error> {
            let words: StrDeserializer<'d, Error> = name.into_deserializer();
            T::deserialize(words)
        }
        for precision in Precision::ALL {
            assert_eq!(read(precision.name()), Ok(precision));
        }
        for memory in MemoryMode::ALL {
            assert_eq!(read(memory.name()), Ok(memory));
        }
        assert!(read::<Precision>("f16").is_err() && read::<MemoryMode>("Low").is_err());
    }
}
