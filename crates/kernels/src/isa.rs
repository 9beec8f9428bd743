//! Which instruction set the kernels run on: chosen once at start, forceable for tests.

use std::fmt;
use std::sync::OnceLock;

/// An instruction set that every kernel is written for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Isa {
    /// Plain Rust on arrays; runs everywhere.
    Portable,
    /// 256-bit vectors with fused multiply-add (x86-64 `avx2` and `fma`).
    Avx2,
    /// 512-bit vectors (x86-64 `avx512f`, `avx512bw`, `avx512dq`, `avx512vl`).
    Avx512,
}

/// Why an instruction set cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum IsaError {
    /// The name is none of those in [`Isa::ALL`].
    Unknown(String),
    /// The CPU lacks what the named set needs.
    Unsupported(Isa),
}

impl fmt::Display for IsaError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let here: Vec<&str> = Isa::available().iter().map(|i| i.name()).collect();
        match self {
            IsaError::Unknown(name) => {
                write!(f, "unknown instruction set `{name}`: expected one of {}", here.join(", "))
            }
            IsaError::Unsupported(isa) => write!(
                f,
                "this CPU lacks the instruction set `{}`: it has {}; choose one of these, or leave the choice out",
                isa.name(),
                here.join(", ")
            ),
        }
    }
}

impl std::error::Error for IsaError {}

impl Isa {
    /// Every instruction set, slowest first.
    pub const ALL: [Isa; 3] = [Isa::Portable, Isa::Avx2, Isa::Avx512];

    /// The name used by `GANYMEDE_ISA`.
    pub fn name(self) -> &'static str {
        match self {
            Isa::Portable => "portable",
            Isa::Avx2 => "avx2",
            Isa::Avx512 => "avx512",
        }
    }

    /// Whether this CPU can run it.
    pub fn supported(self) -> bool {
        #[cfg(target_arch = "x86_64")]
        {
            match self {
                Isa::Portable => true,
                Isa::Avx2 => is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma"),
                Isa::Avx512 => {
                    is_x86_feature_detected!("avx512f")
                        && is_x86_feature_detected!("avx512bw")
                        && is_x86_feature_detected!("avx512dq")
                        && is_x86_feature_detected!("avx512vl")
                        && Isa::Avx2.supported()
                }
            }
        }
        #[cfg(not(target_arch = "x86_64"))]
        {
            self == Isa::Portable
        }
    }

    /// The sets this CPU can run, slowest first.
    pub fn available() -> Vec<Isa> {
        Isa::ALL.into_iter().filter(|i| i.supported()).collect()
    }

    /// The fastest set this CPU can run.
    pub fn best() -> Isa {
        Isa::available().pop().unwrap_or(Isa::Portable)
    }

    /// Parses a name of [`Isa::name`] and refuses a set that the CPU lacks.
    pub fn parse(name: &str) -> Result<Isa, IsaError> {
        let isa = Isa::ALL
            .into_iter()
            .find(|i| i.name() == name.trim().to_ascii_lowercase())
            .ok_or_else(|| IsaError::Unknown(name.to_string()))?;
        if isa.supported() { Ok(isa) } else { Err(IsaError::Unsupported(isa)) }
    }

    /// The set named by the environment variable `GANYMEDE_ISA`, else the best one.
    pub fn from_env() -> Result<Isa, IsaError> {
        match std::env::var("GANYMEDE_ISA") {
            Ok(name) if !name.trim().is_empty() => Isa::parse(&name),
            _ => Ok(Isa::best()),
        }
    }
}

/// Whether products of bf16 pairs run on instructions made for them (`avx512_bf16`, or [`has_tiles`]) where `isa` is
/// chosen; elsewhere the kernels of mixed precision widen the pairs, at less than the rate of f32.
pub fn has_bf16(isa: Isa) -> bool {
    #[cfg(target_arch = "x86_64")]
    {
        isa == Isa::Avx512 && isa.supported() && is_x86_feature_detected!("avx512bf16")
    }
    #[cfg(not(target_arch = "x86_64"))]
    {
        let _ = isa;
        false
    }
}

/// Whether products of bf16 pairs run on the matrix unit (AMX) where `isa` is chosen, at up to sixteen times the rate of
/// f32. The system must have granted this process the unit's registers; the first call asks for them.
pub fn has_tiles(isa: Isa) -> bool {
    static GRANTED: OnceLock<bool> = OnceLock::new();
    has_bf16(isa) && *GRANTED.get_or_init(tiles_granted)
}

/// Whether products of bf16 pairs run faster than those of f32 where `isa` is chosen: on the matrix unit, or on vectors of
/// a CPU that is not Intel's, whose `vdpbf16ps` does less in a second than `vfmadd231ps` (docs/benchmarks.md).
pub fn fast_bf16(isa: Isa) -> bool {
    has_tiles(isa) || has_bf16(isa) && !made_by_intel()
}

/// CPUID leaf 0: the maker's name in EBX, EDX and ECX.
#[cfg(target_arch = "x86_64")]
fn made_by_intel() -> bool {
    let leaf = std::arch::x86_64::__cpuid(0);
    [leaf.ebx, leaf.edx, leaf.ecx].map(u32::to_le_bytes).concat() == b"GenuineIntel"
}

/// No x86 CPU.
#[cfg(not(target_arch = "x86_64"))]
fn made_by_intel() -> bool {
    false
}

/// Asks Linux for the registers of AMX, if the CPU has them.
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
fn tiles_granted() -> bool {
    /// Intel SDM, volume 2, CPUID leaf 7, EDX: AMX-BF16 and AMX-TILE.
    const FEATURES: u32 = 1 << 22 | 1 << 24;
    /// Linux, Documentation/arch/x86/xstate.rst: the request, and the state component of tile data.
    const ARCH_REQ_XCOMP_PERM: libc::c_long = 0x1023;
    const TILE_DATA: libc::c_long = 18;
    let leaf = std::arch::x86_64::__cpuid_count(7, 0);
    // SAFETY: the call concerns only what this process may use; a system that does not know it returns an error.
    leaf.edx & FEATURES == FEATURES
        && unsafe { libc::syscall(libc::SYS_arch_prctl, ARCH_REQ_XCOMP_PERM, TILE_DATA) } == 0
}

/// Not used here.
#[cfg(not(all(target_arch = "x86_64", target_os = "linux")))]
fn tiles_granted() -> bool {
    false
}
