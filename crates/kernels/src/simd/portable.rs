//! Vectors as arrays: the fallback for any CPU, which compilers turn into what the target has.

use super::Simd;
use crate::isa::Isa;

/// Eight lanes of plain Rust.
#[derive(Clone, Copy, Debug)]
pub struct Portable;

const N: usize = 8;

// SAFETY: needs no CPU feature; loads and stores touch the documented words only.
unsafe impl Simd for Portable {
    const LANES: usize = N;
    const ISA: Isa = Isa::Portable;
    type F = [f32; N];

    #[inline(always)]
    unsafe fn splat(self, x: f32) -> [f32; N] {
        [x; N]
    }
    #[inline(always)]
    unsafe fn load(self, p: *const f32) -> [f32; N] {
        // SAFETY: the caller promises N readable words; `read_unaligned` asks for no alignment.
        unsafe { p.cast::<[f32; N]>().read_unaligned() }
    }
    #[inline(always)]
    unsafe fn store(self, p: *mut f32, v: [f32; N]) {
        // SAFETY: the caller promises N writable words.
        unsafe { p.cast::<[f32; N]>().write_unaligned(v) }
    }
    #[inline(always)]
    unsafe fn load_first(self, p: *const f32, n: usize) -> [f32; N] {
        let mut v = [0.0; N];
        // SAFETY: the caller promises n <= N readable words.
        unsafe { std::ptr::copy_nonoverlapping(p, v.as_mut_ptr(), n) };
        v
    }
    #[inline(always)]
    unsafe fn store_first(self, p: *mut f32, v: [f32; N], n: usize) {
        // SAFETY: the caller promises n <= N writable words.
        unsafe { std::ptr::copy_nonoverlapping(v.as_ptr(), p, n) }
    }
    #[inline(always)]
    unsafe fn add(self, a: [f32; N], b: [f32; N]) -> [f32; N] {
        std::array::from_fn(|i| a[i] + b[i])
    }
    #[inline(always)]
    unsafe fn sub(self, a: [f32; N], b: [f32; N]) -> [f32; N] {
        std::array::from_fn(|i| a[i] - b[i])
    }
    #[inline(always)]
    unsafe fn mul(self, a: [f32; N], b: [f32; N]) -> [f32; N] {
        std::array::from_fn(|i| a[i] * b[i])
    }
    #[inline(always)]
    unsafe fn mul_add(self, a: [f32; N], b: [f32; N], c: [f32; N]) -> [f32; N] {
        // Without the instruction, f32::mul_add is a library call; two roundings are the documented behaviour.
        std::array::from_fn(|i| a[i] * b[i] + c[i])
    }
}
