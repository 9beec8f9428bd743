//! Denormal numbers count as 0 while workers work.
//!
//! The gradients of a loss that saturates, and their squares in Adam's moments, sink below 2^-126. Intel's CPUs multiply
//! such numbers in microcode, at a hundredth of the usual rate: a step of `guide-dense` took eleven times as long. So a
//! worker sets the modes FTZ (results) and DAZ (operands) of its MXCSR while it is in a region (Intel 64 and IA-32
//! Architectures Software Developer's Manual, volume 1, sections 10.2.3.3 and 10.2.3.4), as TensorFlow does. The modes
//! are per thread, so they neither leave the region nor depend on who works.
//!
//! The logarithm of a denormal is then that of 0.
//!
//! Neither Rust nor LLVM promises anything for code that runs in other modes than a program starts with: the documentation
//! of `_mm_setcsr` calls it undefined. It is done all the same, as TensorFlow does in C++: what a compiler does with its
//! belief is to compute constants, or operations that it moves past the border, without flushing, and either is right for
//! whoever asks no more of denormals than that they be small. A test looks at both sides of the border.

/// The modes of this thread, set until it is dropped.
pub(super) struct Flushed(#[cfg(target_arch = "x86_64")] u32);

/// FTZ and DAZ. Every CPU with AVX2 has both; earlier ones may lack the second, and would fault.
#[cfg(target_arch = "x86_64")]
const MODES: u32 = 1 << 15 | 1 << 6;

impl Flushed {
    #[cfg(target_arch = "x86_64")]
    pub fn new() -> Self {
        let before = control();
        if is_x86_feature_detected!("avx2") {
            set_control(before | MODES);
        }
        Self(before)
    }

    /// Nothing is set here.
    #[cfg(not(target_arch = "x86_64"))]
    pub fn new() -> Self {
        Self()
    }
}

#[cfg(target_arch = "x86_64")]
impl Drop for Flushed {
    fn drop(&mut self) {
        set_control(self.0);
    }
}

#[cfg(target_arch = "x86_64")]
fn control() -> u32 {
    let mut word = 0u32;
    // SAFETY: writes four bytes.
    unsafe { std::arch::asm!("stmxcsr [{}]", in(reg) &raw mut word, options(nostack, preserves_flags)) };
    word
}

#[cfg(target_arch = "x86_64")]
fn set_control(word: u32) {
    // SAFETY: reads four bytes, which are a control word of this CPU with modes that it has.
    unsafe { std::arch::asm!("ldmxcsr [{}]", in(reg) &raw const word, options(nostack, readonly)) };
}

#[cfg(test)]
mod tests {
    use crate::pool::Pool;
    use std::hint::black_box;

    /// The least normal number halved: a denormal, or 0 where these are flushed.
    fn halved() -> f32 {
        black_box(f32::MIN_POSITIVE) * black_box(0.5)
    }

    #[test]
    fn denormals_are_flushed_in_regions_and_nowhere_else() {
        let flushes = cfg!(target_arch = "x86_64") && crate::isa::Isa::best() > crate::isa::Isa::Portable;
        let denormal = halved();
        assert!(denormal > 0.0);
        let pool = Pool::new(3).unwrap();
        for _ in 0..2 {
            pool.run(&|_| {
                assert_eq!(halved() == 0.0, flushes);
                assert_eq!(black_box(denormal) * black_box(4.0) == 0.0, flushes);
            })
            .unwrap();
            assert!(halved() == denormal, "outside regions nothing changes");
        }
        assert!(pool.run(&|_| panic!("on purpose")).is_err());
        assert!(halved() == denormal, "nor after a panic");
    }
}
