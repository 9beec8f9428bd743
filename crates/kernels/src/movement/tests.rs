use super::*;
use crate::pass::harness::{Noise, outputs};
use crate::pass::row_major;

/// The scalar twin.
fn reference(dst_words: usize, fill: u32, sources: &[CopySource], inputs: &[Vec<u32>]) -> Vec<u32> {
    let mut dst = vec![fill; dst_words];
    for (copy, input) in sources.iter().zip(inputs) {
        for element in 0..copy.dims.iter().product::<usize>() {
            let (mut rest, mut from, mut to) = (element, copy.src_offset as isize, copy.dst_offset as isize);
            for d in (0..copy.dims.len()).rev() {
                let i = (rest % copy.dims[d]) as isize;
                rest /= copy.dims[d];
                from += i * copy.src_strides[d];
                to += i * copy.dst_strides[d];
            }
            dst[to as usize] = input[from as usize];
        }
    }
    dst
}

fn check(dst_words: usize, fill: Option<u32>, sources: &[CopySource]) {
    let mut noise = Noise(dst_words as u64);
    let inputs: Vec<Vec<u32>> =
        sources.iter().map(|s| (0..s.src_words).map(|_| noise.next()).collect()).collect();
    let want = vec![reference(dst_words, fill.unwrap_or(0), sources, &inputs)];
    let kernel = StridedCopy::new(dst_words, fill, sources).expect("a valid copy");
    for isa in Isa::available() {
        assert_eq!(outputs(&kernel, isa, &inputs), want, "{kernel:?}");
    }
}

/// A copy of a row-major source of shape `shape` with dimensions in `order` to a row-major destination.
fn transpose(shape: &[usize], order: &[usize]) -> CopySource {
    let strides = row_major(shape);
    let dims: Vec<usize> = order.iter().map(|&d| shape[d]).collect();
    CopySource {
        src_words: shape.iter().product(),
        src_offset: 0,
        src_strides: order.iter().map(|&d| strides[d]).collect(),
        dst_offset: 0,
        dst_strides: row_major(&dims),
        dims,
    }
}

#[test]
fn transposes() {
    for (shape, order) in [
        (vec![37, 53], vec![1, 0]),
        (vec![700, 1100], vec![1, 0]),
        (vec![3, 40, 50, 7], vec![0, 3, 1, 2]),
        (vec![3, 7, 40, 50], vec![0, 2, 3, 1]),
        (vec![5, 6, 7, 8], vec![3, 1, 2, 0]),
        (vec![9, 4, 33], vec![1, 0, 2]),
        (vec![1, 5], vec![1, 0]),
        (vec![], vec![]),
    ] {
        check(shape.iter().product(), None, &[transpose(&shape, &order)]);
    }
    let copy = StridedCopy::gather(&[9, 33], 297, 0, vec![33, 1]).expect("a valid copy");
    assert!(copy.copies_rows(0));
}

#[test]
fn slices_reversals_and_broadcasts() {
    let (dims, dst_strides) = (vec![4, 5, 6], vec![30, 6, 1]);
    for (src_words, src_offset, src_strides) in [
        (1000, 17, vec![200, 20, 2]),
        (120, 119, vec![-30, -6, -1]),
        (120, 5, vec![30, 6, -1]),
        (6, 0, vec![0, 0, 1]),
        (5, 4, vec![0, -1, 0]),
        (4, 0, vec![1, 0, 0]),
        (1, 0, vec![0, 0, 0]),
    ] {
        let dst_strides = dst_strides.clone();
        let source =
            CopySource { dims: dims.clone(), src_words, src_offset, src_strides, dst_offset: 0, dst_strides };
        check(120, None, &[source]);
    }
}

#[test]
fn padding_inside_and_around_takes_the_fill() {
    // [5, 6] into [2 + 5 + 4 * 2 + 1, 1 + 6 + 5 * 1 + 3]: 2 and 1 between elements.
    let source = CopySource {
        dims: vec![5, 6],
        src_words: 30,
        src_offset: 0,
        src_strides: vec![6, 1],
        dst_offset: 2 * 15 + 1,
        dst_strides: vec![45, 2],
    };
    check(16 * 15, Some(7), std::slice::from_ref(&source));
    let reversed = CopySource { dst_offset: 2 * 15 + 1 + 4 * 45, dst_strides: vec![-45, 2], ..source };
    check(16 * 15, Some(f32::NEG_INFINITY.to_bits()), &[reversed]);
    check(50_000, Some(3), &[]);
}

#[test]
fn concatenations_write_every_source() {
    let mut offset = 0;
    let sources: Vec<CopySource> = [3usize, 16, 0, 5]
        .into_iter()
        .map(|channels| {
            offset += channels;
            CopySource {
                dims: vec![2500, channels],
                src_words: 2500 * channels,
                src_offset: 0,
                src_strides: vec![channels as isize, 1],
                dst_offset: offset - channels,
                dst_strides: vec![24, 1],
            }
        })
        .collect();
    check(2500 * 24, None, &sources);
}

#[test]
fn mistakes_are_named() {
    let good = transpose(&[4, 3], &[1, 0]);
    let with = |change: &dyn Fn(&mut CopySource)| {
        let mut source = good.clone();
        change(&mut source);
        StridedCopy::new(12, None, &[source]).expect_err("refused")
    };
    assert_eq!(with(&|s| s.src_words = 11), CopyError::Outside { source: 0, operand: "source" });
    assert_eq!(with(&|s| s.dst_offset = 1), CopyError::Outside { source: 0, operand: "destination" });
    assert_eq!(with(&|s| s.dst_strides = vec![1, 1]), CopyError::Overlap { source: 0 });
    assert_eq!(with(&|s| s.src_strides = vec![1]), CopyError::Rank { source: 0 });
    assert_eq!(with(&|s| s.dims = vec![3, 3]), CopyError::Incomplete { expected: 12, got: 9 });
}
