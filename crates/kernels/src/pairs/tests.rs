//! Rounding by its definition, and what tests of the mixed kernels share.

use super::simd::{PairIsa, Pairs, WithPairs, run_pairs_on};
use super::{pair, round, widen};
use crate::guard::Guarded;
use crate::isa::Isa;
use crate::kernel::{Access, Element, Kernel, Operands};
use crate::machine::{Lent, Machine, Space, SpaceId, Step, View};
use crate::pool::Pool;
use crate::simd::Simd;

/// Values in [-1, 1) from a linear congruential generator (Knuth's MMIX constants).
pub(crate) fn noise(len: usize, seed: u64) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (0..len)
        .map(|_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 40) as f32 / (1 << 23) as f32 - 1.0
        })
        .collect()
}

/// The operands that the kernels multiply.
pub(crate) fn rounded(values: &[f32]) -> Vec<f32> {
    values.iter().map(|&x| widen(round(x))).collect()
}

/// A wrong twin: operands cut off after 8 bits.
pub(crate) fn chop(values: &[f32]) -> Vec<f32> {
    values.iter().map(|x| f32::from_bits(x.to_bits() & 0xffff_0000)).collect()
}

/// The words that hold `values`; the unused half of the last is NaN.
pub(crate) fn stored(values: &[f32], element: Element) -> Vec<f32> {
    match element {
        Element::F32 => values.to_vec(),
        Element::Bf16 => (values.chunks(2))
            .map(|two| f32::from_bits(pair(round(two[0]), two.get(1).map_or(0x7fc0, |&x| round(x)))))
            .collect(),
    }
}

/// The first `count` elements of `words`.
fn loaded(words: &[f32], element: Element, count: usize) -> Vec<f32> {
    match element {
        Element::F32 => words[..count].to_vec(),
        Element::Bf16 => (0..count)
            .map(|i| {
                let word = words[i / 2].to_bits();
                let low = (i % 2 == 0) == cfg!(target_endian = "little");
                f32::from_bits(if low { word << 16 } else { word & 0xffff_0000 })
            })
            .collect(),
    }
}

/// Runs all tasks, in order or in reverse, and returns operand 2. Operands end at a guard page; scratch and results are
/// NaN at first, scratch before every task.
pub(crate) fn run(kernel: &dyn Kernel, isa: Isa, inputs: &[Vec<f32>; 2], reverse: bool) -> Vec<f32> {
    let specs = kernel.operands();
    let mut memory: Vec<Guarded> = (specs.iter().enumerate())
        .map(|(i, s)| match s.access {
            Access::Read => {
                assert_eq!(inputs[i].len(), s.words, "operand {i}");
                Guarded::new(&inputs[i])
            }
            Access::Write | Access::ReadWrite => Guarded::new(&vec![f32::NAN; s.words]),
        })
        .collect();
    let parts: Vec<(*mut f32, usize)> = memory.iter_mut().map(|m| (m.as_mut_ptr(), m.len())).collect();
    let operands = Operands::new(&parts);
    let mut scratch = vec![f32::NAN; kernel.local_words() + 16];
    let shift = scratch.as_ptr().align_offset(64);
    let local = &mut scratch[shift..shift + kernel.local_words()];
    for stage in 0..kernel.stages() {
        let tasks = kernel.tasks(stage);
        assert!(tasks > 0);
        for i in 0..tasks {
            local.fill(f32::NAN);
            let task = if reverse { tasks - 1 - i } else { i };
            // SAFETY: the instruction set is available, operands are as declared and distinct, stages and tasks run one
            // after another, each once.
            unsafe { kernel.run(isa, stage, task, &operands, local) };
        }
    }
    for (input, memory) in inputs.iter().zip(&memory) {
        assert!(
            input.iter().zip(memory.iter()).all(|(a, b)| a.to_bits() == b.to_bits()),
            "wrote to an input"
        );
    }
    memory[2].to_vec()
}

/// Checks that a kernel gives the bits of one thread on 2, 3 and 7.
pub(crate) fn assert_threads_agree(kernel: impl Fn() -> Box<dyn Kernel>, isa: Isa, inputs: &[Vec<f32>; 2]) {
    let specs = kernel().operands();
    let bits = |threads: usize| -> Vec<u32> {
        let spaces =
            specs.iter().map(|s| Space { words: s.words, writable: s.access != Access::Read }).collect();
        let views =
            (0..).zip(&specs).map(|(i, s)| View { space: SpaceId(i), offset: 0, words: s.words }).collect();
        let step = Step { kernel: kernel().into(), views, label: "kernel".into() };
        let mut machine = Machine::new(isa, spaces, vec![step], None).expect("a valid program");
        let mut written: Vec<Vec<f32>> = specs[2..].iter().map(|s| vec![f32::NAN; s.words]).collect();
        let mut lent: Vec<Lent<'_>> = inputs.iter().map(|input| Lent::Read(input)).collect();
        lent.extend(written.iter_mut().map(|w| Lent::Write(w)));
        machine.run(&Pool::new(threads).expect("threads"), &mut lent).expect("a run");
        written[0].iter().map(|v| v.to_bits()).collect()
    };
    let one = bits(1);
    for threads in [2, 3, 7] {
        assert!(bits(threads) == one, "{} on {isa:?} with {threads} threads", kernel().name());
    }
}

/// Checks `got`, stored as `element`, against (sum, sum of magnitudes) of `terms` products of rounded operands each, by
/// the bound that the module derives: `gamma(terms)` of the magnitudes and the flushed denormals; a result stored as
/// bf16 errs by another 2^-8 of itself at most (half a unit in its last of 8 places).
pub(crate) fn assert_close(
    got: &[f32],
    element: Element,
    count: usize,
    expected: &[(f64, f64)],
    terms: usize,
    what: &str,
) {
    let n = terms as f64 + 1.0;
    let u = 0.5f64.powi(24);
    assert_eq!((got.len(), expected.len()), (element.words(count), count), "{what}");
    for (i, (got, &(sum, magnitude))) in loaded(got, element, count).iter().zip(expected).enumerate() {
        // Operands are below 1 in magnitude, so a flushed one takes at most 2^-126 from a product.
        let mut bound = n * u / (1.0 - n * u) * magnitude + 3.0 * n * 0.5f64.powi(126);
        if element == Element::Bf16 {
            bound += (sum.abs() + bound) * 0.5f64.powi(8);
        }
        let error = (f64::from(*got) - sum).abs();
        // Not `>`: a NaN must fail.
        assert!(error <= bound, "{what}: element {i} is {got}, expected {sum}, error {error:e} of {bound:e}");
    }
}

#[test]
fn rounding_takes_the_nearest_and_the_even_of_two() {
    // By definition, in f64: of the two neighbours the nearer one, else the even one.
    let mut cases = 0;
    for upper in (0..0x7f80u32).step_by(37) {
        for lower in [0, 1, 0x7fff, 0x8000, 0x8001, 0xffff] {
            let x = f32::from_bits(upper << 16 | lower);
            let (down, up) = (widen(upper as u16), widen(upper as u16 + 1));
            let up = if up.is_infinite() { 2.0f64.powi(128) } else { f64::from(up) };
            let (below, above) = (f64::from(x) - f64::from(down), up - f64::from(x));
            let even = upper % 2 == 0;
            let expected = if below < above || (below == above && even) { upper } else { upper + 1 };
            assert_eq!(u32::from(round(x)), expected, "{x:e}");
            assert_eq!(u32::from(round(-x)), expected | 0x8000, "-{x:e}");
            cases += 1;
        }
    }
    assert!(cases > 5000);
    assert_eq!(widen(round(f32::INFINITY)), f32::INFINITY);
    assert!(widen(round(f32::from_bits(0x7f80_0001))).is_nan());
    assert!(widen(round(f32::from_bits(0xffff_ffff))).is_nan());
}

/// Rounds one vector of the instruction set.
struct Rounded<'a>(&'a [f32], &'a mut [u16]);

impl WithPairs for Rounded<'_> {
    #[inline(always)]
    unsafe fn call<P: Pairs>(self, pairs: P) {
        let lanes = <P::S as Simd>::LANES;
        for (from, to) in self.0.chunks_exact(lanes).zip(self.1.chunks_exact_mut(lanes)) {
            // SAFETY: both have a vector's lanes.
            unsafe { pairs.round(pairs.simd().load(from.as_ptr()), to.as_mut_ptr()) };
        }
    }
}

#[test]
fn vectors_round_as_scalars_do() {
    let special =
        [0, 1, 0x7fff, 0x8000, 0x8001, 0x1_8000, 0x7f7f_7fff, 0x7f7f_8000, 0x7f80_0000, 0x7f80_0001];
    let bits = special.into_iter().flat_map(|b| [b, b | 0x8000_0000]);
    let noise = (0..4096u32).map(|i| i.wrapping_mul(0x9e37_79b9));
    let mut values: Vec<f32> = bits.chain(noise).map(f32::from_bits).collect();
    values.truncate(values.len() / 16 * 16);
    let expected: Vec<u16> = values.iter().map(|&x| round(x)).collect();
    for isa in PairIsa::available() {
        let mut got = vec![0; values.len()];
        // SAFETY: the instruction set is available, the slices are as long as each other.
        unsafe { run_pairs_on(isa, Rounded(&values, &mut got)) };
        assert_eq!(got, expected, "{isa:?}");
    }
}
