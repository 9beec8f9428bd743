use super::*;

const PIXELS: usize = SIDE * SIDE;

fn set(seed: u64, split: Split) -> Dataset {
    dataset("glyphs", &OpenOptions { seed, split, ..OpenOptions::default() })
}

fn drawn(set: &Dataset, indices: &[u64]) -> (Vec<f32>, Vec<i32>) {
    let mut data = vec![f32::NAN; indices.len() * PIXELS];
    let mut labels = vec![-1; indices.len()];
    set.fill(indices, &mut data, Some(&mut labels)).unwrap();
    (data, labels)
}

/// Changes with every change of a glyph; then `VERSION` must be raised as well. Made by this test.
#[test]
fn the_first_thousand_glyphs_are_these() {
    let (data, labels) = drawn(&set(0, Split::Train), &(0..1000).collect::<Vec<_>>());
    let mut hasher = blake3::Hasher::new();
    data.iter().for_each(|value| _ = hasher.update(&value.to_le_bytes()));
    labels.iter().for_each(|label| _ = hasher.update(&label.to_le_bytes()));
    assert_eq!(
        (VERSION, hasher.finalize().to_hex().as_str()),
        (1, "f1238832404859e1de85b27a9d3e1096f6ca57042d042d6fed8046c155e964e9")
    );
}

#[test]
fn a_glyph_depends_on_seed_split_and_index_alone() {
    let train = set(3, Split::Train);
    let (all, labels) = drawn(&train, &[0, 1, 2, 3]);
    let (some, some_labels) = drawn(&train, &[3, 1]);
    assert_eq!(some[..PIXELS], all[3 * PIXELS..]);
    assert_eq!(some[PIXELS..], all[PIXELS..2 * PIXELS]);
    assert_eq!(some_labels, [labels[3], labels[1]]);
    assert_ne!(drawn(&set(4, Split::Train), &[0, 1, 2, 3]).0, all);
    assert_ne!(drawn(&set(3, Split::Test), &[0, 1, 2, 3]).0, all);
    // The last index there is, to show that the counter takes all 64 bits.
    assert_ne!(drawn(&train, &[u64::MAX]).0, drawn(&train, &[u64::from(u32::MAX)]).0);
}

#[test]
fn ink_is_white_on_black_and_boxed_as_in_mnist() {
    let (data, _) = drawn(&set(1, Split::Train), &(0..2000).collect::<Vec<_>>());
    let (mut longest, mut total) = (0.0, 0.0);
    for glyph in data.chunks_exact(PIXELS) {
        assert!(glyph.iter().all(|value| (-1.0..=1.0).contains(value)));
        assert!(glyph.iter().any(|&value| value > 0.5), "thin strokes are still visible");
        let inked: Vec<usize> = (0..PIXELS).filter(|&i| glyph[i] > 0.0).collect();
        let span = |coordinate: &dyn Fn(usize) -> usize| {
            let low = inked.iter().map(|&i| coordinate(i)).min().unwrap();
            let high = inked.iter().map(|&i| coordinate(i)).max().unwrap();
            assert!(low >= 1 && high <= SIDE - 2, "a margin is left on every side");
            high - low + 1
        };
        let extent = span(&|i| i / SIDE).max(span(&|i| i % SIDE));
        assert!((17..=22).contains(&extent), "{extent}");
        longest += extent as f64;
        total += glyph.iter().map(|&value| f64::from(value + 1.0) / 2.0).sum::<f64>();
    }
    let (longest, ink) = (longest / 2000.0, total / data.len() as f64);
    assert!((19.0..20.5).contains(&longest), "mean ink box {longest}");
    // MNIST's training images: .1307 of full ink.
    assert!((0.10..0.16).contains(&ink), "mean ink {ink}");
}

#[test]
fn digits_are_equally_frequent() {
    let count = 20_000;
    let (_, labels) = drawn(&set(2, Split::Train), &(0..count).collect::<Vec<_>>());
    let mut counts = [0_u32; 10];
    labels.iter().for_each(|&label| counts[label as usize] += 1);
    // Pearson's statistic with 9 degrees of freedom exceeds 27.9 with probability .001.
    let expected = count as f64 / 10.0;
    let statistic: f64 = counts.iter().map(|&c| (f64::from(c) - expected).powi(2) / expected).sum();
    assert!(statistic < 27.9, "{counts:?}");
}

/// The share of glyphs whose nearest neighbour among others has the same label.
fn recognised(labels_of: impl Fn(&[i32]) -> Vec<i32>) -> f64 {
    let (known, labels) = drawn(&set(5, Split::Train), &(0..1500).collect::<Vec<_>>());
    let known_labels = labels_of(&labels);
    let (asked, asked_labels) = drawn(&set(5, Split::Test), &(0..200).collect::<Vec<_>>());
    let right = asked.chunks_exact(PIXELS).zip(&asked_labels).filter(|(glyph, label)| {
        let distance = |other: &[f32]| glyph.iter().zip(other).map(|(a, b)| (a - b) * (a - b)).sum::<f32>();
        let nearest = known
            .chunks_exact(PIXELS)
            .map(distance)
            .enumerate()
            .min_by(|a, b| a.1.total_cmp(&b.1))
            .map(|(index, _)| known_labels[index]);
        nearest == Some(**label)
    });
    right.count() as f64 / 200.0
}

#[test]
fn labels_say_what_is_drawn() {
    let share = recognised(<[i32]>::to_vec);
    assert!(share > 0.9, "{share}");
    // The wrong twin: with labels shifted by one item nothing is recognised beyond chance.
    let shifted = recognised(|labels| labels.iter().cycle().skip(1).take(labels.len()).copied().collect());
    assert!(shifted < 0.3, "{shifted}");
}
