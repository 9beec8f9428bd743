//! What the machine can do at best, measured: arithmetic on registers alone, and streams through memory. Every other
//! rate is a share of these.

use crate::buffer::{AllocError, Buffer};
use crate::isa::{Isa, IsaError, has_bf16, has_tiles};
use crate::pairs::amx::Registers;
use crate::pool::{Pool, PoolError};
use crate::simd::{Simd, WithSimd, run_on};
use std::hint::black_box;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

/// Rates that no program on this machine exceeds by much, on all threads of a pool.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Peak {
    /// f32 multiply-adds of independent registers in GFLOP/s (a multiply-add is two).
    pub f32_gflops: f64,
    /// The same for products of bf16 pairs added in f32, on the matrix unit where there is one; `None`
    /// where the instruction set or the CPU lacks them.
    pub bf16_gflops: Option<f64>,
    /// `a = b + s c` (McCalpin 1995, STREAM's triad) on arrays beyond the caches in GB/s: two reads and a write a word;
    /// that a store first reads its line is not counted.
    pub memory_gbs: f64,
}

/// Why a peak cannot be measured.
#[derive(Debug, thiserror::Error)]
pub enum PeakError {
    /// The CPU lacks the instruction set.
    #[error(transparent)]
    Isa(#[from] IsaError),
    /// A worker panicked, which is a bug.
    #[error(transparent)]
    Pool(#[from] PoolError),
    /// No memory for the arrays.
    #[error(transparent)]
    Memory(#[from] AllocError),
}

/// Seconds of a span that is measured: long against the start of a region, short against the drift of clocks.
const SPAN: f64 = 0.004;
/// Spans, of which the fastest counts: whatever else the machine does can only slow one down.
const SPANS: usize = 16;
/// Words of each of the three arrays: together 192 MiB, some times the last cache of the CPUs of a desk.
const STREAM_WORDS: usize = 16 << 20;
/// Passes over the arrays after the one that gives them their pages.
const STREAMS: usize = 6;

/// Measures all rates on `pool`; takes about half a second.
///
/// # Errors
/// The CPU lacks `isa`, the arrays do not fit memory, or a worker panicked.
pub fn measure(isa: Isa, pool: &Pool) -> Result<Peak, PeakError> {
    if !isa.supported() {
        return Err(IsaError::Unsupported(isa).into());
    }
    let f32_gflops = multiply_adds(isa, pool, SPANS)?;
    let bf16_gflops = match (has_tiles(isa), has_bf16(isa)) {
        (true, _) => Some(arithmetic(pool, SPANS, tile_chains)?),
        (false, true) => Some(arithmetic(pool, SPANS, bf16_chains)?),
        (false, false) => None,
    };
    Ok(Peak { f32_gflops, bf16_gflops, memory_gbs: memory(isa, pool)? })
}

/// [`Peak::f32_gflops`] as the fastest of `spans` spans of some milliseconds finds it: for measurements in turn with
/// those of a kernel, on machines whose clocks drift or that others use.
///
/// # Errors
/// The CPU lacks `isa`, or a worker panicked.
pub fn multiply_adds(isa: Isa, pool: &Pool, spans: usize) -> Result<f64, PeakError> {
    if !isa.supported() {
        return Err(IsaError::Unsupported(isa).into());
    }
    Ok(arithmetic(pool, spans, |rounds| {
        // SAFETY: checked above.
        unsafe { run_on(isa, Chains { rounds }) }
    })?)
}

/// Rate in GFLOP/s of `work`, which does a number of rounds and says how many operations they were.
fn arithmetic(pool: &Pool, count: usize, work: impl Fn(usize) -> u64 + Sync) -> Result<f64, PoolError> {
    let mut rounds = 1 << 12;
    let mut best = 0.0f64;
    let mut spans = 0;
    while spans < count {
        let done = Mutex::new(0u64);
        let began = Instant::now();
        pool.run(&|_| {
            let operations = work(rounds);
            *done.lock().unwrap_or_else(PoisonError::into_inner) += operations;
        })?;
        let seconds = began.elapsed().as_secs_f64();
        if seconds < SPAN {
            rounds *= 2;
            continue;
        }
        let operations = done.into_inner().unwrap_or_else(PoisonError::into_inner);
        best = best.max(operations as f64 / seconds * 1e-9);
        spans += 1;
    }
    Ok(best)
}

/// Independent multiply-adds: two units of latency 4 to 5 need ten in flight, and sixteen registers hold twelve with
/// the two factors.
const CHAINS: usize = 12;
/// A vector of the portable set takes two of its sixteen registers.
const PORTABLE_CHAINS: usize = 6;

struct Chains {
    rounds: usize,
}

impl WithSimd for Chains {
    type Output = u64;
    #[inline(always)]
    unsafe fn call<S: Simd>(self, simd: S) -> u64 {
        // SAFETY: forwarded from the caller.
        unsafe {
            if S::ISA == Isa::Portable {
                chains::<S, PORTABLE_CHAINS>(simd, self.rounds)
            } else {
                chains::<S, CHAINS>(simd, self.rounds)
            }
        }
    }
}

/// Runs `rounds` multiply-adds of each of `N` registers; returns the operations.
///
/// # Safety
/// The CPU supports `S::ISA`.
#[inline(always)]
unsafe fn chains<S: Simd, const N: usize>(simd: S, rounds: usize) -> u64 {
    // Tends to 1, far from overflow and from denormal numbers; no two registers begin alike, or they would be one.
    let (factor, term) = (black_box(0.999_f32), black_box(0.001_f32));
    // SAFETY: the caller promises the CPU feature.
    unsafe {
        let (factor, term) = (simd.splat(factor), simd.splat(term));
        let mut sums: [S::F; N] = std::array::from_fn(|i| simd.splat(black_box(i as f32)));
        for _ in 0..rounds {
            for sum in &mut sums {
                *sum = simd.mul_add(*sum, factor, term);
            }
        }
        black_box(sums);
    }
    2 * (S::LANES * N * rounds) as u64
}

/// As [`bf16_chains`], on the matrix unit.
fn tile_chains(rounds: usize) -> u64 {
    // SAFETY: `measure` asks `has_tiles` before.
    unsafe { Registers::configure() }.chains(rounds)
}

#[cfg(target_arch = "x86_64")]
fn bf16_chains(rounds: usize) -> u64 {
    use std::arch::x86_64::*;
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512bf16")]
    fn body(rounds: usize) {
        let factor = _mm512_set1_ps(black_box(1.0));
        let term = _mm512_set1_ps(black_box(0.001));
        let (factor, term) = (_mm512_cvtne2ps_pbh(factor, factor), _mm512_cvtne2ps_pbh(term, term));
        let mut sums: [__m512; CHAINS] = std::array::from_fn(|i| _mm512_set1_ps(black_box(i as f32)));
        for _ in 0..rounds {
            for sum in &mut sums {
                *sum = _mm512_dpbf16_ps(*sum, factor, term);
            }
        }
        black_box(sums);
    }
    // SAFETY: `measure` asks `has_bf16` before.
    unsafe { body(rounds) };
    // Sixteen lanes, each two products and two sums.
    4 * (16 * CHAINS * rounds) as u64
}

#[cfg(not(target_arch = "x86_64"))]
fn bf16_chains(_rounds: usize) -> u64 {
    unreachable!("`has_bf16` says no")
}

/// One worker's part of the triad.
struct Triad<'a> {
    to: &'a mut [f32],
    from: [&'a [f32]; 2],
}

impl WithSimd for Triad<'_> {
    type Output = ();
    #[inline(always)]
    unsafe fn call<S: Simd>(self, simd: S) {
        let Triad { to, from: [b, c] } = self;
        let n = to.len().min(b.len()).min(c.len());
        // SAFETY: the caller promises the CPU feature; all vectors lie below the least of the three lengths.
        unsafe {
            let factor = simd.splat(black_box(0.5));
            for i in (0..n / S::LANES).map(|v| v * S::LANES) {
                let sum = simd.mul_add(simd.load(c.as_ptr().add(i)), factor, simd.load(b.as_ptr().add(i)));
                simd.store(to.as_mut_ptr().add(i), sum);
            }
        }
    }
}

/// Rate of the triad in GB/s.
fn memory(isa: Isa, pool: &Pool) -> Result<f64, PeakError> {
    let mut to = Buffer::try_zeroed(STREAM_WORDS)?;
    let mut from = [Buffer::try_zeroed(STREAM_WORDS)?, Buffer::try_zeroed(STREAM_WORDS)?];
    for buffer in &mut from {
        // Pages that were never written all are one page of zeros.
        buffer.as_f32_mut().fill(1.0);
    }
    let part = STREAM_WORDS.div_ceil(pool.threads());
    let parts: Vec<Mutex<Triad<'_>>> = to
        .as_f32_mut()
        .chunks_mut(part)
        .zip(from[0].as_f32().chunks(part).zip(from[1].as_f32().chunks(part)))
        .map(|(to, (b, c))| Mutex::new(Triad { to, from: [b, c] }))
        .collect();
    let mut best = f64::INFINITY;
    for stream in 0..=STREAMS {
        let began = Instant::now();
        pool.run(&|worker| {
            if let Some(part) = parts.get(worker.index()) {
                let mut part = part.lock().unwrap_or_else(PoisonError::into_inner);
                let Triad { to, from } = &mut *part;
                // SAFETY: `measure` has checked the instruction set.
                unsafe { run_on(isa, Triad { to, from: *from }) };
            }
        })?;
        if stream > 0 {
            best = best.min(began.elapsed().as_secs_f64());
        }
    }
    drop(parts);
    black_box(to.as_f32()[STREAM_WORDS / 2]);
    Ok((3 * STREAM_WORDS * size_of::<f32>()) as f64 / best * 1e-9)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounds_count_every_lane_and_register() {
        for isa in Isa::available() {
            // SAFETY: the set is available.
            let operations = unsafe { run_on(isa, Chains { rounds: 10 }) };
            let lanes = match isa {
                Isa::Portable => 8 * PORTABLE_CHAINS,
                Isa::Avx2 => 8 * CHAINS,
                Isa::Avx512 => 16 * CHAINS,
            };
            assert_eq!(operations, 2 * 10 * lanes as u64, "{}", isa.name());
        }
        if has_bf16(Isa::best()) {
            assert_eq!(bf16_chains(10), 10 * 64 * CHAINS as u64);
        }
        if has_tiles(Isa::best()) {
            assert_eq!(tile_chains(10), 10 * 4 * 2 * 16 * 16 * 32);
        }
    }

    #[test]
    fn the_triad_writes_every_word_of_whole_vectors() {
        for isa in Isa::available() {
            let (b, c) = ((0..64).map(|i| i as f32).collect::<Vec<_>>(), vec![4.0f32; 64]);
            let mut to = vec![0.0f32; 64];
            // SAFETY: the set is available.
            unsafe { run_on(isa, Triad { to: &mut to, from: [&b, &c] }) };
            assert!(to.iter().zip(&b).all(|(t, b)| *t == b + 2.0), "{}: {to:?}", isa.name());
        }
    }

    #[test]
    fn every_rate_is_measured() {
        let pool = Pool::new(1).unwrap();
        let peak = measure(Isa::best(), &pool).unwrap();
        assert!(peak.f32_gflops > 0.1 && peak.memory_gbs > 0.1, "{peak:?}");
        assert_eq!(peak.bf16_gflops.is_some(), has_bf16(Isa::best()));
        assert!(peak.bf16_gflops.is_none_or(|rate| rate > 0.1), "{peak:?}");
    }
}
