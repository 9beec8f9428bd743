//! Operands of a pass that are stored as bf16: widened as they are read, rounded as they are written.

use super::blocks::Source;
use crate::isa::Isa;
use crate::kernel::Element;
use crate::pairs;
use crate::simd::{Simd, WithSimd, run_on};

/// The address of element `at` of an operand; no more aligned than its elements are.
///
/// # Safety
/// The element lies in the operand, or ends it.
#[inline(always)]
pub(super) unsafe fn element_at(element: Element, operand: *mut f32, at: isize) -> *mut f32 {
    // SAFETY: the caller's promise.
    unsafe {
        match element {
            Element::F32 => operand.offset(at),
            Element::Bf16 => operand.cast::<u16>().offset(at).cast(),
        }
    }
}

/// As [`element_at`], of memory that may lie beyond the operand and is not touched.
#[inline(always)]
pub(super) fn element_beyond(element: Element, operand: *mut f32, at: isize) -> *mut f32 {
    match element {
        Element::F32 => operand.wrapping_offset(at),
        Element::Bf16 => operand.cast::<u16>().wrapping_offset(at).cast(),
    }
}

/// Element `at` of an operand, as f32.
///
/// # Safety
/// The element lies in the operand.
#[inline(always)]
pub(super) unsafe fn read(element: Element, operand: *const f32, at: isize) -> f32 {
    // SAFETY: the caller's promise; halves are as aligned as the words they share.
    unsafe {
        match element {
            Element::F32 => *operand.offset(at),
            Element::Bf16 => pairs::widen(*operand.cast::<u16>().offset(at)),
        }
    }
}

/// Writes the `n` elements from `from` on to `dst` as f32.
///
/// # Safety
/// The CPU supports `isa`; `from` has n elements, `dst` n words elsewhere.
#[inline]
pub(super) unsafe fn widen(isa: Isa, from: *const u16, dst: *mut f32, n: usize) {
    // SAFETY: forwarded from the caller.
    unsafe { run_on(isa, Widen { from, dst, n }) }
}

/// Writes `n` values, rounded to bf16, to `dst`.
///
/// # Safety
/// The CPU supports `isa`; `from` has n words, or one where its step is 0; `dst` n elements elsewhere.
#[inline]
pub(super) unsafe fn narrow(isa: Isa, from: Source, dst: *mut u16, n: usize) {
    // SAFETY: forwarded from the caller.
    unsafe {
        if from.step == 0 {
            std::slice::from_raw_parts_mut(dst, n).fill(pairs::round(*from.ptr));
        } else {
            run_on(isa, Narrow { from: from.ptr, dst, n });
        }
    }
}

/// Plain loops over slices, which compile to vectors of the instruction set that they are compiled for.
struct Widen {
    from: *const u16,
    dst: *mut f32,
    n: usize,
}

impl WithSimd for Widen {
    type Output = ();

    #[inline(always)]
    unsafe fn call<S: Simd>(self, _: S) {
        // SAFETY: n elements on either side, which do not overlap, by the contract of `widen`.
        let (from, dst) = unsafe {
            (std::slice::from_raw_parts(self.from, self.n), std::slice::from_raw_parts_mut(self.dst, self.n))
        };
        for (to, &half) in dst.iter_mut().zip(from) {
            *to = pairs::widen(half);
        }
    }
}

struct Narrow {
    from: *const f32,
    dst: *mut u16,
    n: usize,
}

impl WithSimd for Narrow {
    type Output = ();

    #[inline(always)]
    unsafe fn call<S: Simd>(self, _: S) {
        // SAFETY: n elements on either side, which do not overlap, by the contract of `narrow`.
        let (from, dst) = unsafe {
            (std::slice::from_raw_parts(self.from, self.n), std::slice::from_raw_parts_mut(self.dst, self.n))
        };
        for (to, &value) in dst.iter_mut().zip(from) {
            *to = pairs::round(value);
        }
    }
}
