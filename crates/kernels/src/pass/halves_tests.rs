//! Passes over operands stored as bf16.

use super::harness::{Noise, outputs};
use super::tests::{pass, random_spec};
use super::*;
use crate::guard::Guarded;
use crate::isa::Isa;
use crate::kernel::{Access, Element, Kernel, Operands};
use crate::pairs::{pair, round, widen};

/// Stores operands of `spec` as bf16 or as f32 by chance, outputs as the loads that they may take over.
fn mix(spec: &mut PassSpec, noise: &mut Noise) {
    let mut element = || [Element::F32, Element::Bf16][noise.below(2)];
    for load in &mut spec.loads {
        load.element = element();
        load.words = load.element.words(load.words);
    }
    for store in &mut spec.stores {
        store.element = store.alias.map_or_else(&mut element, |load| spec.loads[load].element);
    }
}

fn floats(noise: &mut Noise, n: usize) -> Vec<f32> {
    noise.floats(n).into_iter().map(f32::from_bits).collect()
}

fn packed(values: &[f32]) -> Vec<u32> {
    values.chunks(2).map(|two| pair(round(two[0]), two.get(1).map_or(0x7fc0, |&x| round(x)))).collect()
}

#[test]
fn random_passes_match_the_scalar_twin_in_every_storage() {
    let mut noise = Noise(17);
    let mut halves = 0;
    for index in 0..400 {
        let mut spec = random_spec(&mut noise, index % 2 == 0);
        mix(&mut spec, &mut noise);
        halves += spec.stores.iter().filter(|s| s.element == Element::Bf16).count();
        let inputs: Vec<Vec<u32>> =
            spec.loads.iter().map(|l| (0..l.words).map(|_| noise.next()).collect()).collect();
        let want = reference::run(&spec, &inputs);
        let kernel = pass(spec.clone());
        for isa in Isa::available() {
            assert_eq!(outputs(&kernel, isa, &inputs), want, "round {index} {isa:?} {kernel:?}");
        }
    }
    assert!(halves > 100, "{halves} outputs of bf16");
}

/// Runs each task by itself on fresh outputs that end at a guard page; gives the tasks that wrote each word of the
/// first output.
fn writers(kernel: &Pass, isa: Isa, inputs: &[Vec<u32>]) -> Vec<Vec<usize>> {
    const UNTOUCHED: f32 = f32::from_bits(0x1235_1235);
    let specs = kernel.operands();
    let first = specs.iter().position(|s| s.access == Access::Write).expect("an output");
    let mut writers = vec![Vec::new(); specs[first].words];
    for task in 0..kernel.tasks(0) {
        let mut next = inputs.iter();
        let mut memory: Vec<Guarded> = specs
            .iter()
            .map(|spec| match spec.access {
                Access::Read => {
                    let words = next.next().expect("an input for every read operand");
                    Guarded::new(&words.iter().map(|&w| f32::from_bits(w)).collect::<Vec<_>>())
                }
                Access::Write | Access::ReadWrite => Guarded::new(&vec![UNTOUCHED; spec.words]),
            })
            .collect();
        let parts: Vec<(*mut f32, usize)> = memory.iter_mut().map(|m| (m.as_mut_ptr(), m.len())).collect();
        let mut scratch = vec![f32::NAN; kernel.local_words() + 16];
        let shift = scratch.as_ptr().align_offset(64);
        let local = &mut scratch[shift..shift + kernel.local_words()];
        // SAFETY: operands are as declared, the task of the first stage runs alone, scratch is aligned.
        unsafe { kernel.run(isa, 0, task, &Operands::new(&parts), local) };
        for (list, word) in writers.iter_mut().zip(memory[first].iter()) {
            let bits = word.to_bits();
            if bits & 0xffff != 0x1235 || bits >> 16 != 0x1235 {
                list.push(task);
            }
        }
    }
    writers
}

#[test]
fn no_two_tasks_share_a_word_of_bf16() {
    let mut noise = Noise(23);
    let mut cuts = 0;
    for dims in [
        vec![35, 7, 33],
        vec![30_001, 3],
        vec![3, 40_001],
        vec![65_537],
        vec![70, 601, 5],
        vec![65, 1001],
        vec![7, 9, 3, 301],
    ] {
        for mask in 0..1u32 << dims.len() {
            let keep: Vec<bool> = (0..dims.len()).map(|d| mask >> d & 1 == 1).collect();
            for reduces in [false, true] {
                let sum = Reduce { value: 0, op: ReduceOp::Sum, lane: Lane::F32 };
                let load = Load::stored(&dims, Element::Bf16);
                let kernel = pass(PassSpec {
                    dims: dims.clone(),
                    loads: vec![load],
                    code: vec![Instr::Load(0)],
                    stores: vec![Store { element: Element::Bf16, ..Store::new(0) }],
                    reduces: if reduces { vec![sum] } else { vec![] },
                    keep: keep.clone(),
                });
                // Magnitudes whose halves never look untouched.
                let values: Vec<f32> =
                    floats(&mut noise, dims.iter().product()).iter().map(|x| x.abs() + 1.0).collect();
                let inputs = [packed(&values)];
                let writers = writers(&kernel, Isa::best(), &inputs);
                assert!(writers.iter().all(|w| w.len() == 1), "{dims:?} {keep:?} {kernel:?}");
                cuts += usize::from(kernel.tasks(0) > 1);
                if !reduces {
                    break;
                }
            }
        }
    }
    assert!(cuts > 20, "only {cuts} passes of several tasks");
}

#[test]
fn odd_offsets_strides_and_broadcasts_of_bf16_are_read_where_they_lie() {
    let mut noise = Noise(29);
    let dims = vec![6, 37];
    for (offset, strides, elements) in [
        (1, vec![75, 1], 413),
        (3, vec![37, 1], 225),
        (1, vec![1, 7], 260),
        (5, vec![0, 1], 43),
        (2, vec![1, 0], 9),
        (7, vec![0, 0], 9),
        (221, vec![-37, -1], 223),
    ] {
        let words = Element::Bf16.words(elements);
        let spec = PassSpec {
            dims: dims.clone(),
            loads: vec![Load { offset, strides, words, element: Element::Bf16 }],
            code: vec![Instr::Load(0), Instr::Unary(UnaryOp::Square, 0)],
            stores: vec![Store::new(1), Store { element: Element::Bf16, ..Store::new(1) }],
            reduces: vec![],
            keep: vec![],
        };
        let inputs = [packed(&floats(&mut noise, elements))];
        let want = reference::run(&spec, &inputs);
        let kernel = pass(spec);
        for isa in Isa::available() {
            assert_eq!(outputs(&kernel, isa, &inputs), want, "{isa:?} {kernel:?}");
        }
    }
}

#[test]
fn truncating_stores_are_told_from_rounding_ones() {
    let (dims, mut noise) = (vec![1023], Noise(31));
    let kernel = pass(PassSpec {
        loads: vec![Load::contiguous(&dims)],
        dims,
        code: vec![Instr::Load(0)],
        stores: vec![Store { element: Element::Bf16, ..Store::new(0) }],
        reduces: vec![],
        keep: vec![],
    });
    let values = noise.floats(1023);
    let half = |value: u32| value >> 16;
    let truncated: Vec<u32> =
        values.chunks(2).map(|v| half(v[0]) | v.get(1).map_or(0, |&x| half(x)) << 16).collect();
    for isa in Isa::available() {
        let got = outputs(&kernel, isa, std::slice::from_ref(&values));
        assert_ne!(got[0], truncated, "{isa:?}");
        assert_eq!(got[0][511] >> 16, 0, "{isa:?}: the half left over");
        let special = [f32::NAN, f32::INFINITY, -0.0, f32::MAX, 1e-40, f32::from_bits(0x7f80_0001)];
        let mut input = values.clone();
        input[..6].copy_from_slice(&special.map(f32::to_bits));
        let got = outputs(&kernel, isa, &[input]);
        let halves: Vec<u16> = got[0][..3].iter().flat_map(|w| [*w as u16, (*w >> 16) as u16]).collect();
        assert_eq!(halves, special.map(round), "{isa:?}");
        assert!(widen(halves[5]).is_nan());
    }
}

#[test]
fn variances_of_bf16_are_those_of_the_widened_values() {
    let mut noise = Noise(37);
    for dims in [vec![9, 7, 33], vec![3, 700, 40], vec![130, 2501], vec![50_001]] {
        let rounded: Vec<u16> =
            floats(&mut noise, dims.iter().product()).iter().map(|&x| round(x + 3.0)).collect();
        let wide: Vec<u32> = rounded.iter().map(|&h| widen(h).to_bits()).collect();
        let words: Vec<u32> = rounded.chunks(2).map(|h| pair(h[0], *h.get(1).unwrap_or(&0x7fc0))).collect();
        for mask in 0..1 << dims.len() {
            let keep: Vec<bool> = (0..dims.len()).map(|d| mask >> d & 1 == 1).collect();
            let plain = Variance::new(&dims, &keep).expect("valid");
            let half = Variance::stored(&dims, &keep, Element::Bf16).expect("valid");
            for isa in Isa::available() {
                let want = outputs(&plain, isa, std::slice::from_ref(&wide));
                assert_eq!(
                    outputs(&half, isa, std::slice::from_ref(&words)),
                    want,
                    "{isa:?} {dims:?} {keep:?}"
                );
            }
        }
    }
}

#[test]
fn storages_that_do_not_fit_are_named() {
    let dims = vec![5];
    let good = PassSpec {
        loads: vec![Load::stored(&dims, Element::Bf16)],
        dims,
        code: vec![Instr::Load(0)],
        stores: vec![Store { alias: Some(0), element: Element::Bf16, ..Store::new(0) }],
        reduces: vec![],
        keep: vec![],
    };
    assert_eq!(pass(good.clone()).operands()[1].may_alias, Some(0));
    assert_eq!(pass(good.clone()).operands()[1].words, 3);
    let mut unlike = good.clone();
    unlike.stores[0].element = Element::F32;
    assert_eq!(Pass::new(unlike).expect_err("refused"), PassError::Alias { store: 0, load: 0 });
    let mut short = good.clone();
    short.loads[0].words = 2;
    assert_eq!(Pass::new(short).expect_err("refused"), PassError::Outside { load: 0 });
    let multi = MultiPassSpec {
        segments: vec![4],
        loads: 1,
        scalars: 0,
        code: vec![Instr::Load(0)],
        stores: vec![Store { element: Element::Bf16, ..Store::new(0) }],
        reduces: vec![],
    };
    assert_eq!(MultiPass::new(multi).expect_err("refused"), PassError::NotF32 { store: 0 });
}
