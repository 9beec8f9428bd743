use super::*;
use crate::guard::Guarded;
use crate::machine::{Lent, Machine, Space, SpaceId, Step, View};
use crate::pool::Pool;
use proptest::prelude::*;
use std::sync::Arc;

/// Deterministic words in (-1, 1).
fn words(len: usize, seed: u64) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 40) as f32 / (1u64 << 23) as f32 - 1.0
    };
    (0..len).map(|_| next()).collect()
}

/// Runs the product through a machine; each operand is a space of exactly its length that ends before a guard
/// page, C and the workspace full of NaN before.
fn product(isa: Isa, shape: MatMulShape, threads: usize, a: &[f32], b: &[f32]) -> Vec<f32> {
    let kernel = MatMul::new(isa, shape);
    let specs = kernel.operands();
    let spaces: Vec<Space> =
        specs.iter().enumerate().map(|(i, s)| Space { words: s.words, writable: i > 1 }).collect();
    let views =
        (0..).zip(&specs).map(|(i, s)| View { space: SpaceId(i), offset: 0, words: s.words }).collect();
    let step = Step { kernel: Arc::new(kernel), views, label: "product".into() };
    let mut machine = Machine::new(isa, spaces, vec![step], None).unwrap();
    let (a, b) = (Guarded::new(a), Guarded::new(b));
    let nan = |operand: usize| Guarded::new(&vec![f32::NAN; specs.get(operand).map_or(0, |s| s.words)]);
    let (mut c, mut work) = (nan(2), nan(3));
    let mut lent = vec![Lent::Read(&a), Lent::Read(&b), Lent::Write(&mut c)];
    if specs.len() > 3 {
        lent.push(Lent::Write(&mut work));
    }
    machine.run(&Pool::new(threads).unwrap(), &mut lent).unwrap();
    c.to_vec()
}

fn check(shape: MatMulShape) {
    let [a_words, b_words, _] = shape.words();
    let (a, b) = (words(a_words, 1), words(b_words, 2));
    let expected = reference(&shape, &a, &b);
    // Each product meets at most k + 2 roundings on its way into the sum (multiplication, k additions within
    // a chain, the combinations of chains, which shorten the chains), each of relative size 2^-24 at most
    // (Higham, Accuracy and Stability of Numerical Algorithms, section 3.1).
    let unit = (shape.k + 2) as f64 * 0.5f64.powi(24);
    for isa in Isa::available() {
        let got = product(isa, shape, 2, &a, &b);
        assert_eq!(got.len(), expected.len());
        for (i, (&got, &(sum, magnitude))) in got.iter().zip(&expected).enumerate() {
            let error = (f64::from(got) - sum).abs();
            // Not `>`: a NaN must fail.
            assert!(error <= unit * magnitude, "{isa:?} {shape:?} word {i}: expected {sum}, got {got}");
        }
    }
}

fn plain(m: usize, n: usize, k: usize) -> MatMulShape {
    MatMulShape { batch: 1, m, n, k, trans_a: false, trans_b: false, a_batched: false, b_batched: false }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn small_shapes_agree_with_the_reference(
        (m, n, k) in (1usize..=40, 1usize..=40, 0usize..=40),
        batch in 1usize..=3,
        trans_a: bool,
        trans_b: bool,
        a_batched: bool,
        b_batched: bool,
    ) {
        check(MatMulShape { batch, m, n, k, trans_a, trans_b, a_batched, b_batched });
    }
}

#[test]
fn blocks_and_edges_agree_with_the_reference() {
    // Around tile, panel, strip, depth and task sizes, and products cut along k.
    let sizes = [
        (14, 32, 256),
        (15, 33, 257),
        (257, 129, 16),
        (97, 1030, 31),
        (300, 70, 513),
        (3, 5, 9000),
        (64, 40, 5000),
        (1, 700, 300),
        (1, 1, 200_000),
        (7, 1, 70_000),
        (128, 1, 6272),
        (100, 10, 2000),
    ];
    for (m, n, k) in sizes {
        for (trans_a, trans_b) in [(false, false), (false, true), (true, false), (true, true)] {
            check(MatMulShape { trans_a, trans_b, ..plain(m, n, k) });
        }
    }
}

#[test]
fn batches_agree_with_the_reference() {
    for (batch, m, n, k) in [(50, 8, 8, 8), (7, 130, 65, 70), (300, 1, 3, 40), (5, 20, 1, 3000)] {
        for bits in 0..16 {
            let bit = |i: usize| bits >> i & 1 == 1;
            let (trans_a, trans_b, a_batched, b_batched) = (bit(0), bit(1), bit(2), bit(3));
            check(MatMulShape { batch, m, n, k, trans_a, trans_b, a_batched, b_batched });
        }
    }
}

#[test]
fn empty_dimensions_are_fine() {
    for (batch, m, n, k) in [(0, 3, 3, 3), (2, 0, 3, 3), (2, 3, 0, 3)] {
        check(MatMulShape { batch, a_batched: true, b_batched: true, ..plain(m, n, k) });
    }
    // An empty sum is 0.
    check(plain(40, 40, 0));
    check(plain(1, 40, 0));
    check(plain(40, 1, 0));
}

#[test]
fn results_do_not_depend_on_the_number_of_threads() {
    let shapes = [
        plain(200, 300, 700),
        plain(30, 20, 20_000),
        plain(5, 1, 100_000),
        MatMulShape { trans_a: true, trans_b: true, batch: 9, a_batched: true, ..plain(60, 70, 80) },
    ];
    for shape in shapes {
        let [a_words, b_words, _] = shape.words();
        let (a, b) = (words(a_words, 3), words(b_words, 4));
        for isa in Isa::available() {
            let bits = |threads| -> Vec<u32> {
                product(isa, shape, threads, &a, &b).into_iter().map(f32::to_bits).collect()
            };
            let one = bits(1);
            for threads in [2, 3, 7] {
                assert_eq!(bits(threads), one, "{isa:?} {shape:?} {threads} threads");
            }
        }
    }
}

#[test]
fn flops_count_a_multiply_add_as_two() {
    let shape = MatMulShape { batch: 3, ..plain(4, 5, 6) };
    assert_eq!(MatMul::new(Isa::Portable, shape).flops(), 2 * 3 * 4 * 5 * 6);
}

#[test]
fn impossible_sizes_match_no_operand() {
    let kernel = MatMul::new(Isa::Portable, plain(usize::MAX / 2, 4, 4));
    assert_eq!(kernel.operands()[0].words, usize::MAX);
}

#[test]
fn large_products_make_enough_tasks_and_small_ones_few() {
    let tasks = |m, n, k| MatMul::new(Isa::best(), plain(m, n, k)).tasks(0);
    assert!(tasks(100, 1024, 36864) >= 32);
    assert!(tasks(36864, 1024, 100) >= 32);
    assert!(tasks(1024, 1024, 1024) >= 32);
    assert_eq!(tasks(8, 8, 8), 1);
}
