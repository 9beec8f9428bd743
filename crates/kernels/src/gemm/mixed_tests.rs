use super::mixed::MixedMatMul;
use super::*;
use crate::kernel::{Element, Mixed};
use crate::pairs::simd::PairIsa;
use crate::pairs::tests::{assert_close, assert_threads_agree, chop, noise, rounded, run, stored};

/// Checks one product in every storage on every instruction set; `None` if it is refused.
fn check(shape: MatMulShape) {
    let [a_words, b_words, c_words] = shape.words();
    let (a, b) = (noise(a_words, 1), noise(b_words, 2));
    let expected = reference(&shape, &rounded(&a), &rounded(&b));
    for isa in PairIsa::available() {
        for (a_element, b_element, out) in [
            (Element::F32, Element::F32, Element::F32),
            (Element::Bf16, Element::F32, Element::F32),
            (Element::F32, Element::Bf16, Element::Bf16),
            (Element::Bf16, Element::Bf16, Element::Bf16),
        ] {
            let mixed = Mixed { a: a_element, b: b_element, out };
            let Some(kernel) = MixedMatMul::on(isa, shape, mixed) else {
                assert!(out == Element::Bf16 && shape.n % 2 == 1, "{shape:?} is refused");
                continue;
            };
            let what = format!("{isa:?} {mixed:?} {shape:?}");
            let inputs = [stored(&a, a_element), stored(&b, b_element)];
            let got = run(&kernel, isa.isa, &inputs, false);
            assert_close(&got, out, c_words, &expected, shape.k, &what);
            let reverse = run(&kernel, isa.isa, &inputs, true);
            let bits = |v: &[f32]| -> Vec<u32> { v.iter().map(|v| v.to_bits()).collect() };
            assert_eq!(bits(&got), bits(&reverse), "{what}: the order of tasks matters");
        }
    }
}

fn plain(m: usize, n: usize, k: usize) -> MatMulShape {
    MatMulShape { batch: 1, m, n, k, trans_a: false, trans_b: false, a_batched: false, b_batched: false }
}

#[test]
fn shapes_around_tiles_panels_and_vectors_agree_with_the_reference() {
    for m in [1, 2, 3, 11, 12, 13, 25] {
        for n in [2, 7, 16, 17, 31, 32, 33, 70] {
            for k in [2, 3, 15, 16, 31, 32, 33, 67] {
                let bits = m + n + k;
                check(MatMulShape { trans_a: bits & 1 == 0, trans_b: bits & 2 == 0, ..plain(m, n, k) });
            }
        }
    }
}

#[test]
fn all_transpositions_and_batches_agree_with_the_reference() {
    for (batch, m, n, k) in [(5, 8, 8, 8), (3, 13, 35, 33), (2, 40, 64, 70)] {
        for bits in 0..16 {
            let bit = |i: usize| bits >> i & 1 == 1;
            let (trans_a, trans_b, a_batched, b_batched) = (bit(0), bit(1), bit(2), bit(3));
            check(MatMulShape { batch, m, n, k, trans_a, trans_b, a_batched, b_batched });
        }
    }
}

#[test]
fn cuts_along_every_dimension_agree_with_the_reference() {
    for (m, n, k) in [(300, 70, 513), (3, 6, 9001), (64, 40, 5000), (700, 4, 300), (100, 10, 2001)] {
        for (trans_a, trans_b) in [(false, false), (false, true), (true, false), (true, true)] {
            check(MatMulShape { trans_a, trans_b, ..plain(m, n, k) });
        }
    }
}

#[test]
fn results_do_not_depend_on_the_number_of_threads() {
    for shape in [plain(200, 300, 700), plain(30, 20, 20_001)] {
        let inputs = [noise(shape.m * shape.k, 3), noise(shape.k * shape.n, 4)];
        for isa in PairIsa::available() {
            let kernel = || -> Box<dyn Kernel> {
                Box::new(MixedMatMul::on(isa, shape, Mixed::F32).expect("computed"))
            };
            assert_threads_agree(kernel, isa.isa, &inputs);
        }
    }
}

#[test]
fn truncated_operands_are_told_from_rounded_ones() {
    let shape = plain(20, 40, 64);
    let (a, b) = (noise(20 * 64, 1), noise(64 * 40, 2));
    let wrong = reference(&shape, &chop(&a), &chop(&b));
    for isa in PairIsa::available() {
        let kernel = MixedMatMul::on(isa, shape, Mixed::F32).expect("computed");
        let got = run(&kernel, isa.isa, &[a.clone(), b.clone()], false);
        let caught = std::panic::catch_unwind(|| {
            assert_close(&got, Element::F32, 800, &wrong, 64, "truncated");
        });
        assert!(caught.is_err(), "{isa:?} passes for truncation");
    }
}

#[test]
fn vectors_and_empty_products_are_refused() {
    let refused = |shape| MixedMatMul::new(Isa::Portable, shape, Mixed::F32).is_none();
    assert!(refused(plain(0, 40, 40)) && refused(plain(40, 1, 40)) && refused(plain(40, 40, 0)));
    assert!(refused(MatMulShape { batch: 0, a_batched: true, ..plain(4, 4, 4) }));
    assert!(refused(plain(usize::MAX / 2, 4, 4)));
    let odd = Mixed { out: Element::Bf16, ..Mixed::F32 };
    assert!(MixedMatMul::new(Isa::Portable, plain(4, 5, 4), odd).is_none());
    assert!(!refused(plain(2, 2, 2)) && !refused(plain(1, 40, 40)));
}

#[test]
fn a_row_is_the_same_bits_among_any_number_of_rows() {
    for (n, k) in [(48, 70), (100, 5000), (1024, 784), (34, 20_000)] {
        let (a, b) = (noise(300 * k, 5), noise(k * n, 6));
        for isa in PairIsa::available() {
            let rows = |m: usize| {
                let kernel = MixedMatMul::on(isa, plain(m, n, k), Mixed::F32).expect("computed");
                let got = run(&kernel, isa.isa, &[a[..m * k].to_vec(), b.clone()], false);
                got[..n].iter().map(|v| v.to_bits()).collect::<Vec<u32>>()
            };
            let alone = rows(1);
            for m in [2, 5, 64, 300] {
                assert!(rows(m) == alone, "{isa:?}: row 0 of {m} differs at n {n}, k {k}");
            }
        }
    }
}
