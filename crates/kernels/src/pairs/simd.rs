//! Vector operations on words of bf16 pairs, for every instruction set.

use super::amx;
use super::{pair, round};
use crate::isa::{Isa, has_bf16, has_tiles};
#[cfg(target_arch = "x86_64")]
use crate::simd::{Avx2, Avx512};
use crate::simd::{Portable, Simd};
#[cfg(target_arch = "x86_64")]
use std::arch::x86_64::*;

/// Most lanes of any instruction set.
pub(crate) const MAX_LANES: usize = 16;

/// Vectors of bf16 pairs beside the f32 vectors of [`Simd`]: lane i of a pair vector feeds lane i of a sum.
///
/// # Safety
/// As for [`Simd`].
#[allow(clippy::missing_safety_doc)]
pub(crate) unsafe trait Pairs: Copy {
    /// The f32 vectors.
    type S: Simd;
    /// A vector of pairs.
    type P: Copy;

    fn simd(self) -> Self::S;
    /// The pairs of `LANES` words from `p`.
    unsafe fn load(self, p: *const u32) -> Self::P;
    /// All lanes `word`.
    unsafe fn splat(self, word: u32) -> Self::P;
    /// `sum + a.0 * b.0 + a.1 * b.1` in each lane.
    unsafe fn dot(self, a: Self::P, b: Self::P, sum: <Self::S as Simd>::F) -> <Self::S as Simd>::F;
    /// Writes `LANES` words to `to`: the pairs of `first` and `second` in each lane, rounded for [`Pairs::dot`].
    unsafe fn interleave(self, first: <Self::S as Simd>::F, second: <Self::S as Simd>::F, to: *mut u32);
    /// Writes `LANES` words to `to`: the lanes of `low` and then of `high`, rounded for [`Pairs::dot`].
    unsafe fn narrow(self, low: <Self::S as Simd>::F, high: <Self::S as Simd>::F, to: *mut u32);
    /// Writes `LANES` elements to `to`: the lanes of `v` as [`round`] rounds them, denormals too.
    unsafe fn round(self, v: <Self::S as Simd>::F, to: *mut u16);
}

/// What multiplies pairs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unit {
    /// Multiply-adds of f32: pairs are widened.
    Widened,
    /// Instructions on vectors of pairs.
    Vectors,
    /// The matrix unit; only where [`has_tiles`] has said that it may be used.
    Tiles,
}

/// Which instructions multiply pairs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PairIsa {
    pub isa: Isa,
    pub unit: Unit,
}

impl PairIsa {
    /// The fastest way of `isa`.
    pub(crate) fn of(isa: Isa) -> Self {
        let unit = match (has_tiles(isa), has_bf16(isa)) {
            (true, _) => Unit::Tiles,
            (false, true) => Unit::Vectors,
            (false, false) => Unit::Widened,
        };
        Self { isa, unit }
    }

    /// Every way that this CPU has.
    #[cfg(test)]
    pub(crate) fn available() -> Vec<Self> {
        let wide = Isa::available().into_iter().map(|isa| Self { isa, unit: Unit::Widened });
        let isa = Isa::Avx512;
        wide.chain(has_bf16(isa).then_some(Self { isa, unit: Unit::Vectors }))
            .chain(has_tiles(isa).then_some(Self { isa, unit: Unit::Tiles }))
            .collect()
    }

    /// Whether the matrix unit multiplies.
    pub(crate) fn tiles(self) -> bool {
        self.unit == Unit::Tiles
    }

    /// `pairs` and the zeros that complete the last step along the sum.
    pub(crate) fn padded(self, pairs: usize) -> usize {
        if self.tiles() { pairs.next_multiple_of(amx::DEPTH) } else { pairs }
    }

    /// Lanes of a vector.
    pub(crate) fn lanes(self) -> usize {
        match self.isa {
            Isa::Avx512 => 16,
            Isa::Avx2 | Isa::Portable => 8,
        }
    }
}

/// A piece of code generic over [`Pairs`].
pub(crate) trait WithPairs {
    /// The body; mark it `#[inline(always)]`.
    ///
    /// # Safety
    /// The CPU has the instructions of `P`, and whatever the implementor asks of its fields holds.
    unsafe fn call<P: Pairs>(self, pairs: P);
}

/// Runs `body` compiled for `isa`.
///
/// # Safety
/// The CPU has the instructions that `isa` names, and the contract of `body` holds.
#[inline]
pub(crate) unsafe fn run_pairs_on<W: WithPairs>(isa: PairIsa, body: W) {
    match isa.isa {
        // SAFETY: forwarded from the caller.
        Isa::Portable => unsafe { body.call(Wide(Portable)) },
        #[cfg(target_arch = "x86_64")]
        // SAFETY: the caller promises that the CPU has these features.
        Isa::Avx2 => unsafe { enter_avx2(body) },
        #[cfg(target_arch = "x86_64")]
        // SAFETY: as above.
        Isa::Avx512 if isa.unit != Unit::Widened => unsafe { enter_native(body) },
        #[cfg(target_arch = "x86_64")]
        // SAFETY: as above.
        Isa::Avx512 => unsafe { enter_avx512(body) },
        #[cfg(not(target_arch = "x86_64"))]
        Isa::Avx2 | Isa::Avx512 => unreachable!("the caller promises that the CPU supports it"),
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
unsafe fn enter_avx2<W: WithPairs>(body: W) {
    // SAFETY: forwarded from `run_pairs_on`.
    unsafe { body.call(Wide(Avx2)) }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")]
unsafe fn enter_avx512<W: WithPairs>(body: W) {
    // SAFETY: forwarded from `run_pairs_on`.
    unsafe { body.call(Wide(Avx512)) }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512bf16,avx2,fma")]
unsafe fn enter_native<W: WithPairs>(body: W) {
    // SAFETY: forwarded from `run_pairs_on`.
    unsafe { body.call(Native) }
}

/// Pairs widened to two f32 vectors.
#[derive(Clone, Copy)]
struct Wide<S>(S);

/// The bits of the element that comes first in memory, in the upper half of the word.
#[inline(always)]
fn first(word: u32) -> f32 {
    f32::from_bits(if cfg!(target_endian = "little") { word << 16 } else { word & 0xffff_0000 })
}

/// As [`first`], for the second.
#[inline(always)]
fn second(word: u32) -> f32 {
    f32::from_bits(if cfg!(target_endian = "little") { word & 0xffff_0000 } else { word << 16 })
}

// SAFETY: arrays of MAX_LANES >= LANES, of which LANES words are read or written, as the trait documents.
unsafe impl<S: Simd> Pairs for Wide<S> {
    type S = S;
    type P = (S::F, S::F);

    #[inline(always)]
    fn simd(self) -> S {
        self.0
    }
    #[inline(always)]
    unsafe fn load(self, p: *const u32) -> (S::F, S::F) {
        let (mut low, mut high) = ([0.0f32; MAX_LANES], [0.0f32; MAX_LANES]);
        for i in 0..S::LANES {
            // SAFETY: the caller promises LANES readable words.
            let word = unsafe { p.add(i).read() };
            (low[i], high[i]) = (first(word), second(word));
        }
        // SAFETY: the arrays hold LANES words; the caller promises the CPU feature.
        unsafe { (self.0.load(low.as_ptr()), self.0.load(high.as_ptr())) }
    }
    #[inline(always)]
    unsafe fn splat(self, word: u32) -> (S::F, S::F) {
        // SAFETY: the caller promises the CPU feature.
        unsafe { (self.0.splat(first(word)), self.0.splat(second(word))) }
    }
    #[inline(always)]
    unsafe fn dot(self, a: (S::F, S::F), b: (S::F, S::F), sum: S::F) -> S::F {
        // SAFETY: the caller promises the CPU feature.
        unsafe { self.0.mul_add(a.1, b.1, self.0.mul_add(a.0, b.0, sum)) }
    }
    #[inline(always)]
    unsafe fn interleave(self, first: S::F, second: S::F, to: *mut u32) {
        let (mut low, mut high) = ([0.0f32; MAX_LANES], [0.0f32; MAX_LANES]);
        // SAFETY: the arrays hold LANES words, and the caller promises as many at `to`.
        unsafe {
            self.0.store(low.as_mut_ptr(), first);
            self.0.store(high.as_mut_ptr(), second);
            for i in 0..S::LANES {
                to.add(i).write(pair(round(low[i]), round(high[i])));
            }
        }
    }
    #[inline(always)]
    unsafe fn narrow(self, low: S::F, high: S::F, to: *mut u32) {
        let mut all = [0.0f32; 2 * MAX_LANES];
        // SAFETY: the array holds twice LANES words, and the caller promises LANES at `to`.
        unsafe {
            self.0.store(all.as_mut_ptr(), low);
            self.0.store(all.as_mut_ptr().add(S::LANES), high);
            for i in 0..S::LANES {
                to.add(i).write(pair(round(all[2 * i]), round(all[2 * i + 1])));
            }
        }
    }
    #[inline(always)]
    unsafe fn round(self, v: S::F, to: *mut u16) {
        let mut lanes = [0.0f32; MAX_LANES];
        // SAFETY: the array holds LANES words, and the caller promises as many elements at `to`.
        unsafe {
            self.0.store(lanes.as_mut_ptr(), v);
            for (i, &lane) in lanes.iter().enumerate().take(S::LANES) {
                to.add(i).write(round(lane));
            }
        }
    }
}

/// `avx512_bf16`. Its conversions take denormals for 0, as its products do.
#[cfg(target_arch = "x86_64")]
#[derive(Clone, Copy)]
struct Native;

#[cfg(target_arch = "x86_64")]
// SAFETY: every method is a few intrinsics of the documented features, which the trait's contract demands.
unsafe impl Pairs for Native {
    type S = Avx512;
    type P = __m512bh;

    #[inline(always)]
    fn simd(self) -> Avx512 {
        Avx512
    }
    #[inline(always)]
    unsafe fn load(self, p: *const u32) -> __m512bh {
        // SAFETY: the caller promises readable words; both types are 512 bits without invalid patterns.
        unsafe { std::mem::transmute::<__m512i, __m512bh>(_mm512_loadu_si512(p.cast())) }
    }
    #[inline(always)]
    unsafe fn splat(self, word: u32) -> __m512bh {
        // SAFETY: as above.
        unsafe { std::mem::transmute::<__m512i, __m512bh>(_mm512_set1_epi32(word.cast_signed())) }
    }
    #[inline(always)]
    unsafe fn dot(self, a: __m512bh, b: __m512bh, sum: __m512) -> __m512 {
        // SAFETY: the caller promises the CPU feature.
        unsafe { _mm512_dpbf16_ps(sum, a, b) }
    }
    #[inline(always)]
    unsafe fn interleave(self, first: __m512, second: __m512, to: *mut u32) {
        // SAFETY: the caller promises the CPU feature and LANES words at `to`; the types have the same size.
        unsafe {
            // Halves 0..16 are `first`, 16..32 `second`; half 2 i of the result is i, half 2 i + 1 is 16 + i.
            let halves = std::mem::transmute::<__m512bh, __m512i>(_mm512_cvtne2ps_pbh(second, first));
            let mut order = [0u16; 32];
            for (i, order) in order.iter_mut().enumerate() {
                *order = (i / 2 + i % 2 * 16) as u16;
            }
            let order = std::mem::transmute::<[u16; 32], __m512i>(order);
            _mm512_storeu_si512(to.cast(), _mm512_permutexvar_epi16(order, halves));
        }
    }
    #[inline(always)]
    unsafe fn narrow(self, low: __m512, high: __m512, to: *mut u32) {
        // SAFETY: the caller promises the CPU feature and LANES words at `to`; the types have the same size.
        unsafe {
            let halves = std::mem::transmute::<__m512bh, __m512i>(_mm512_cvtne2ps_pbh(high, low));
            _mm512_storeu_si512(to.cast(), halves);
        }
    }
    #[inline(always)]
    unsafe fn round(self, v: __m512, to: *mut u16) {
        // SAFETY: the caller promises the CPU feature and LANES elements at `to`.
        unsafe {
            let bits = _mm512_castps_si512(v);
            let odd = _mm512_and_si512(_mm512_srli_epi32::<16>(bits), _mm512_set1_epi32(1));
            let nearest = _mm512_add_epi32(bits, _mm512_add_epi32(odd, _mm512_set1_epi32(0x7fff)));
            let quiet = _mm512_or_si512(bits, _mm512_set1_epi32(0x0040_0000));
            let nan = _mm512_cmp_ps_mask::<_CMP_UNORD_Q>(v, v);
            let whole = _mm512_mask_mov_epi32(nearest, nan, quiet);
            let halves = _mm512_cvtepi32_epi16(_mm512_srli_epi32::<16>(whole));
            _mm256_storeu_si256(to.cast(), halves);
        }
    }
}
