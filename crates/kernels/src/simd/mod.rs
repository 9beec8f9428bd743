//! One kernel source for every instruction set: kernels are generic over [`Simd`] and enter through [`run_on`].
//!
//! Every method is `#[inline(always)]`, so that a kernel body is compiled once per instruction set inside a
//! function that carries the matching `#[target_feature]`; a method called outside [`run_on`] would be correct
//! only where the CPU has the feature, hence `unsafe`.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
pub mod functions;
#[cfg(test)]
mod functions_tests;
mod math;
mod math_portable;
#[cfg(target_arch = "x86_64")]
mod math_x86;
mod portable;

#[cfg(target_arch = "x86_64")]
pub use avx2::Avx2;
#[cfg(target_arch = "x86_64")]
pub use avx512::Avx512;
pub use math::{SimdMath, TILE, WithSimdMath, run_math_on};
pub use portable::Portable;

use crate::isa::Isa;

/// The vector operations that contractions need, on f32 lanes.
///
/// # Safety
/// All methods require that the CPU supports the instruction set; loads and stores require that the named
/// words are valid for reading or writing.
#[allow(clippy::missing_safety_doc)]
pub unsafe trait Simd: Copy + Send + Sync + 'static {
    /// Lanes of a vector.
    const LANES: usize;
    /// The instruction set.
    const ISA: Isa;
    /// A vector of f32.
    type F: Copy;

    /// All lanes `x`.
    unsafe fn splat(self, x: f32) -> Self::F;
    /// `LANES` words from `p`, which need not be aligned.
    unsafe fn load(self, p: *const f32) -> Self::F;
    /// `LANES` words to `p`, which need not be aligned.
    unsafe fn store(self, p: *mut f32, v: Self::F);
    /// The first `n <= LANES` words from `p`; other lanes 0. No other word is touched.
    unsafe fn load_first(self, p: *const f32, n: usize) -> Self::F;
    /// The first `n <= LANES` lanes to `p`. No other word is touched.
    unsafe fn store_first(self, p: *mut f32, v: Self::F, n: usize);
    /// `a + b`.
    unsafe fn add(self, a: Self::F, b: Self::F) -> Self::F;
    /// `a - b`.
    unsafe fn sub(self, a: Self::F, b: Self::F) -> Self::F;
    /// `a * b`.
    unsafe fn mul(self, a: Self::F, b: Self::F) -> Self::F;
    /// `a * b + c`; one rounding where the hardware has it (not on [`Portable`]).
    unsafe fn mul_add(self, a: Self::F, b: Self::F, c: Self::F) -> Self::F;

    /// All lanes 0.
    #[inline(always)]
    unsafe fn zero(self) -> Self::F {
        // SAFETY: the caller's promise.
        unsafe { self.splat(0.0) }
    }
}

/// A piece of code generic over the instruction set.
pub trait WithSimd {
    /// What it returns.
    type Output;
    /// The body; mark it `#[inline(always)]`.
    ///
    /// # Safety
    /// The CPU supports `S::ISA`, and whatever the implementor asks of its fields holds.
    unsafe fn call<S: Simd>(self, simd: S) -> Self::Output;
}

/// Runs `body` compiled for `isa`.
///
/// # Safety
/// The CPU supports `isa`, and the contract of `body` holds.
pub unsafe fn run_on<W: WithSimd>(isa: Isa, body: W) -> W::Output {
    match isa {
        // SAFETY: forwarded from the caller.
        Isa::Portable => unsafe { body.call(Portable) },
        #[cfg(target_arch = "x86_64")]
        // SAFETY: the caller promises that the CPU has these features.
        Isa::Avx2 => unsafe { enter_avx2(body) },
        #[cfg(target_arch = "x86_64")]
        // SAFETY: as above.
        Isa::Avx512 => unsafe { enter_avx512(body) },
        #[cfg(not(target_arch = "x86_64"))]
        _ => unreachable!("the caller promises that the CPU supports the instruction set"),
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
unsafe fn enter_avx2<W: WithSimd>(body: W) -> W::Output {
    // SAFETY: forwarded from `run_on`.
    unsafe { body.call(Avx2) }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")]
unsafe fn enter_avx512<W: WithSimd>(body: W) -> W::Output {
    // SAFETY: forwarded from `run_on`.
    unsafe { body.call(Avx512) }
}
