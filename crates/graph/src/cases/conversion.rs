//! Conversions between every two element types.

use super::{Case, Values};
use crate::array::Array;
use crate::types::DType;

const ALL: [DType; 5] = [DType::F32, DType::Bf16, DType::I32, DType::U32, DType::Bool];

pub(super) fn cases() -> Vec<Case> {
    let mut values = Values::new(0x0600);
    let mut floats = values.normal_scaled(&[60], 40.0).floats().to_vec();
    floats.extend([
        0.0,
        -0.0,
        0.5,
        -0.5,
        -1.5,
        3e9,
        -3e9,
        5e9,
        2_147_483_648.0,
        f64::from(f32::MAX),
        f64::INFINITY,
        f64::NEG_INFINITY,
        f64::NAN,
    ]);
    // Halfway between neighbours of bf16: to the even one.
    floats.extend([1.0 + 1.0 / 256.0, 1.0 + 3.0 / 256.0, -1.0 - 1.0 / 256.0]);
    let floats = Array::f32(&[floats.len()], floats);
    let ints = Array::i32(&[8], [0, 1, -1, 255, 16_777_217, -16_777_219, i32::MAX, i32::MIN]);
    let words = Array::u32(&[7], [0, 1, 255, 16_777_217, 1 << 31, (1 << 31) + 129, u32::MAX]);
    let mut out = Vec::new();
    for from in ALL {
        let input = match from {
            DType::F32 | DType::Bf16 => floats.clone(),
            DType::I32 => ints.clone(),
            DType::U32 => words.clone(),
            DType::Bool => values.bools(&[19]),
        };
        for to in ALL {
            let case = Case::new(format!("convert {from} to {to}"), [input.clone()], move |_, x| {
                // Results come back as f32 from bf16, which executors need not accept at their border.
                let result = x[0].convert(from).convert(to);
                vec![if to == DType::Bf16 { result.convert(DType::F32) } else { result }]
            });
            out.push(case);
        }
    }
    out.push(
        Case::new("convert carries gradients", [values.normal(&[9])], |_, x| {
            // In f64 a detour over bf16 rounds nothing, so differences see a smooth function.
            vec![x[0].convert(DType::Bf16).convert(DType::F32).square()]
        })
        .close(1e-6)
        .smooth(),
    );
    out
}
