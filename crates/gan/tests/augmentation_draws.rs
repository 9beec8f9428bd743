//! How often the parts of augmentations act at a probability of .3, and whether they do so apart from each other: read off
//! what they make of images from which each part can be told.
//!
//! The seed is fixed. A share of n samples may be off by four of its standard deviations, 4 sqrt(q (1 - q) / n), which one
//! in 16,000 would be by chance; what it would come to with a mistake lies outside of that.

use ganymede::augment::{Draw, find};
use ganymede_graph::{Array, DType, Graph, Precision, TensorType, interpret};
use ganymede_nn::RandomSource;
use std::cell::Cell;
use std::collections::HashMap;

const P: f64 = 0.3;
const SAMPLES: usize = 4096;

/// `count` copies of an image of that shape as an augmentation changes them, the k-th normal draw times `scales[k]`.
fn changed(name: &str, image: &[f64], shape: [usize; 3], count: usize, scales: [f64; 4]) -> Vec<Vec<f64>> {
    let graph = Graph::new();
    let pair = |name: &str| graph.feed(name, TensorType::new(DType::U32, [2]));
    let source = RandomSource::new(&pair("key"), &pair("first"));
    let [h, w, c] = shape;
    let images = graph.constant_f32(&[1, h, w, c], image).broadcast_to(&[count, h, w, c]);
    let normals = Cell::new(0);
    let draw = Draw {
        uniform: &|shape| source.uniform(&graph, name, shape),
        normal: &|shape| {
            let at = normals.replace(normals.get() + 1);
            source.normal(&graph, name, shape) * scales[at]
        },
        probability: Some(&graph.scalar(P)),
    };
    graph.output("images", &find(name).unwrap().apply(&images, &draw));
    let inputs = HashMap::from([
        ("key".to_string(), Array::u32(&[2], [11, 12])),
        ("first".to_string(), Array::u32(&[2], [0, 0])),
    ]);
    let outcome = interpret(&graph.finish().unwrap(), &inputs, Precision::F64).unwrap();
    outcome.outputs["images"].floats().chunks(image.len()).map(<[f64]>::to_vec).collect()
}

/// Four standard deviations of a share of `count` samples.
fn band(share: f64, count: usize) -> f64 {
    4.0 * (share * (1.0 - share) / count as f64).sqrt()
}

/// Holds the share of samples against `right` and what mistakes would come to.
#[track_caller]
fn assert_share(acted: &[bool], right: f64, mistakes: &[(&str, f64)], what: &str) {
    let share = acted.iter().filter(|a| **a).count() as f64 / acted.len() as f64;
    let most = band(right, acted.len());
    assert!((share - right).abs() <= most, "{what}: {share}, not {right} to {most}");
    for (mistake, wrong) in mistakes {
        let most = band(*wrong, acted.len());
        assert!((share - wrong).abs() > most, "{what}: {share} is what it would be {mistake}, {wrong}");
    }
}

/// Holds the shares of several parts, and those of every two of them together against the products.
#[track_caller]
fn assert_independent(name: &str, parts: &[(&str, Vec<bool>, f64)]) {
    for (i, (a, first, p)) in parts.iter().enumerate() {
        assert_share(first, *p, &[("acting always", p / P)], &format!("{name}, {a}"));
        for (b, second, q) in &parts[i + 1..] {
            let both: Vec<bool> = first.iter().zip(second).map(|(x, y)| x & y).collect();
            let together = [("with one draw for both", p * q / P)];
            assert_share(&both, p * q, &together, &format!("{name}, {a} and {b}"));
        }
    }
}

/// 1, 2, .. row by row: where a pixel has come from.
fn codes() -> Vec<f64> {
    (1..=64).map(f64::from).collect()
}

/// The row and column that a pixel of an 8x8 image of codes has come from.
fn origin(image: &[f64], row: usize, column: usize) -> [f64; 2] {
    let code = image[8 * row + column] - 1.0;
    [(code / 8.0).floor(), code % 8.0]
}

#[test]
fn flips_act_on_half_of_the_share_and_holes_on_all_of_it() {
    let image = codes();
    let flipped: Vec<bool> =
        changed("flip", &image, [8, 8, 1], SAMPLES, [1.0; 4]).iter().map(|y| *y != image).collect();
    // Half of those on which it acts.
    assert_share(&flipped, P / 2.0, &[("acting always", 0.5), ("flipping all of the share", P)], "flip");
    let holes: Vec<bool> =
        changed("cutout", &image, [8, 8, 1], SAMPLES, [1.0; 4]).iter().map(|y| y.contains(&0.0)).collect();
    assert_share(&holes, P, &[("acting always", 1.0), ("with a draw for each axis", P * P)], "cutout");
    // Each sample for itself.
    for (name, acted, share) in [("flip", &flipped, P / 2.0), ("cutout", &holes, P)] {
        let both: Vec<bool> = acted.windows(2).map(|pair| pair[0] & pair[1]).collect();
        assert_share(&both, share * share, &[("with a draw for all", share)], &format!("{name}, neighbours"));
    }
}

#[test]
fn translations_draw_for_each_axis() {
    let images = changed("translation", &codes(), [8, 8, 1], SAMPLES, [1.0; 4]);
    let shift = |axis: usize| images.iter().map(move |y| origin(y, 4, 4)[axis] - 4.0);
    let moved = |axis: usize| shift(axis).map(|by| by != 0.0).collect::<Vec<bool>>();
    // By -1, 0 or 1.
    let share = P * 2.0 / 3.0;
    assert_independent("translation", &[("rows", moved(0), share), ("columns", moved(1), share)]);
    for axis in [0, 1] {
        let up: Vec<bool> = shift(axis).map(|by| by > 0.0).collect();
        assert_share(&up, share / 2.0, &[("moving one way alone", share)], "translation, to one side");
    }
}

#[test]
fn blits_parts_are_independent_and_both_shifts_one() {
    let images = changed("blit", &codes(), [8, 8, 1], SAMPLES, [1.0; 4]);
    let mut parts = [const { Vec::new() }; 3];
    let mut both_axes = Vec::new();
    for image in &images {
        let [a, down, right, d] = [[3, 3], [4, 3], [3, 4], [4, 4]].map(|[r, c]| origin(image, r, c));
        let [down, right] = [down, right].map(|b| [b[0] - a[0], b[1] - a[1]]);
        let middle = [0, 1].map(|k| (a[k] + d[k]) / 2.0 - 3.5);
        parts[0].push(down[0] * right[1] - down[1] * right[0] < 0.0);
        parts[1].push(down != [1.0, 0.0]);
        parts[2].push(middle != [0.0, 0.0]);
        both_axes.push(middle[0] != 0.0 && middle[1] != 0.0);
    }
    let [mirrored, turned, moved] = parts;
    // Half of the mirrorings and three of four turns show. A shift uniform on -1 to 1 rounds to 0 in half of the cases.
    assert_independent(
        "blit",
        &[("mirrored", mirrored, P / 2.0), ("turned", turned, P * 0.75), ("moved", moved, P * 0.75)],
    );
    let apart = (P * 0.5) * (P * 0.5);
    assert_share(&both_axes, P * 0.25, &[("with a draw for each axis", apart)], "blit, along both axes");
}

#[test]
fn colours_parts_are_independent() {
    // Two pixels, whose channels' mean differs, with colours; all exact in f32.
    let image = [0.375, 0.125, -0.125, -0.25, 0.0, 0.5];
    let grey = |x: &[f64], pixel: usize| x[3 * pixel..3 * pixel + 3].iter().sum::<f64>() / 3.0;
    let mean = |x: &[f64]| x.iter().sum::<f64>() / 6.0;
    let mut parts = [const { Vec::new() }; 3];
    let mut brighter = Vec::new();
    for y in changed("color", &image, [1, 2, 3], SAMPLES, [1.0; 4]) {
        // Neither of the others moves the mean; saturation leaves the grey.
        let brightness = mean(&y) - mean(&image);
        let contrast = (grey(&y, 1) - mean(&y)) / (grey(&image, 1) - mean(&image));
        let saturation = (y[0] - grey(&y, 0)) / (image[0] - grey(&image, 0)) / contrast;
        let acts = [brightness, saturation - 1.0, contrast - 1.0].map(|change| change.abs() > 1e-9);
        acts.into_iter().zip(&mut parts).for_each(|(acts, part)| part.push(acts));
        brighter.push(brightness > 1e-9);
    }
    let all: Vec<bool> = (0..SAMPLES).map(|i| parts.iter().all(|part: &Vec<bool>| part[i])).collect();
    let [brightness, saturation, contrast] = parts;
    let named = [("brightness", brightness, P), ("saturation", saturation, P), ("contrast", contrast, P)];
    assert_independent("color", &named);
    assert_share(&all, P * P * P, &[("with one draw", P)], "color, all three");
    // How much is drawn apart from whether.
    assert_share(&brighter, P / 2.0, &[("darker always", 0.0)], "color, brighter");
}

#[test]
fn jitters_parts_are_independent() {
    let image = [0.375, 0.125, -0.125, -0.25, 0.0, 0.5];
    let grey = |x: &[f64], pixel: usize| x[3 * pixel..3 * pixel + 3].iter().sum::<f64>() / 3.0;
    let colour = |x: &[f64]| [0, 1, 2].map(|k| x[k] - grey(x, 0));
    let dot = |a: [f64; 3], b: [f64; 3]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    let own = colour(&image);
    let mut parts = [const { Vec::new() }; 5];
    for y in changed("jitter", &image, [1, 2, 3], SAMPLES, [1.0; 4]) {
        // A grey g becomes c (g + b), or its negative; the colour is turned and c s times as long.
        let slope = (grey(&y, 0) - grey(&y, 1)) / (grey(&image, 0) - grey(&image, 1));
        let brightness = grey(&y, 0) / slope - grey(&image, 0);
        let contrast = slope.abs();
        let made = colour(&y);
        let length = (dot(made, made) / dot(own, own)).sqrt();
        let turned =
            (made.map(|v| v / length).iter().zip(own)).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
        let acts = [
            brightness.abs() > 1e-9,
            (contrast - 1.0).abs() > 1e-9,
            slope < 0.0,
            turned > 1e-9,
            (length / contrast - 1.0).abs() > 1e-9,
        ];
        acts.into_iter().zip(&mut parts).for_each(|(acts, part)| part.push(acts));
    }
    let shares =
        [("brightness", P), ("contrast", P), ("inverted luma", P / 2.0), ("hue", P), ("saturation", P)];
    let parts: Vec<_> = shares.iter().zip(parts).map(|((name, p), acted)| (*name, acted, *p)).collect();
    assert_independent("jitter", &parts);
}

/// Two turns, each with 1 - sqrt(1 - p): that neither acts has the probability 1 - p, as without scale, stretch and shift.
#[test]
fn geometry_turns_with_the_probability_that_its_parts_have() {
    const FEW: usize = 400;
    let image: Vec<f64> = (0..36).map(|k| (k as f64 * 1.7).sin()).collect();
    let left = |parts: i32| 1.0 - (1.0 - P).powi(parts);
    // Which normal draws are let through, and how many parts of probability p then act: the turns count as one, and the
    // shift along both axes as one.
    for (what, scales, parts) in [
        ("turns", [0.0; 4], 1),
        ("turns and scale", [1.0, 0.0, 0.0, 0.0], 2),
        ("turns and shift", [0.0, 0.0, 1.0, 1.0], 2),
        ("all parts", [1.0; 4], 4),
    ] {
        let images = changed("geometry", &image, [6, 6, 1], FEW, scales);
        // The filters undo each other but for the rounding of their taps.
        let moved = |y: &Vec<f64>| y.iter().zip(&image).any(|(y, x)| (y - x).abs() > 1e-5);
        let acted: Vec<bool> = images.iter().map(moved).collect();
        let mut mistakes = vec![("acting always", 1.0)];
        if parts == 1 {
            mistakes.push(("with p for each turn", left(2)));
        }
        assert_share(&acted, left(parts), &mistakes, &format!("geometry, {what}"));
    }
}
