//! Scores of pairs and patches of images against pytorch-msssim and SciPy (`tools/goldens_image_scores.py`).

mod common;

use common::close;
use ganymede_metrics::sliced::{SlicedOptions, image_distances};
use ganymede_metrics::ssim::{ms_ssim, scales};
use ganymede_metrics::stats::Random;

const GOLDENS: &str = include_str!("../goldens/images.txt");

fn golden(case: &str, figure: &str) -> f64 {
    common::golden(GOLDENS, case, figure)
}

/// Images as the script draws them.
fn images(seed: u64, n: usize, [h, w, c]: [usize; 3]) -> Vec<f32> {
    let mut random = Random::new(seed);
    (0..n * h * w * c)
        .map(|at| {
            let (i, y, x) = (at / (h * w * c), at / (w * c) % h, at / c % w);
            let wave = ((3 * y + 5 * x + 17 * i) % 32) as f64 / 32.0;
            (255.0 * (0.5 * wave + 0.5 * random.unit())).floor() as f32
        })
        .collect()
}

#[test]
fn structural_similarity_is_that_of_pytorch_msssim() {
    let of = |seeds: [u64; 2], shape: [usize; 3]| {
        let [a, b] = seeds.map(|seed| images(seed, 1, shape));
        ms_ssim(&a, &b, shape, 255.0).unwrap()
    };
    close("grey-176", of([301, 302], [176, 176, 1]), golden("ssim", "grey-176"), 1e-9);
    close("grey-176", of([301, 302], [176, 176, 1]), golden("ssim-numpy", "grey-176"), 1e-9);
    for (name, shape, count) in
        [("rgb-32", [32, 32, 3], 5), ("grey-28", [28, 28, 1], 3), ("rgb-48x20", [48, 20, 3], 3)]
    {
        assert_eq!(scales(shape[0], shape[1]), count);
        close(name, of([303, 304], shape), golden("ssim-numpy", name), 1e-9);
    }
}

#[test]
fn patches_are_compared_at_each_level() {
    let options = SlicedOptions { patches: 16, directions: 24, seed: 307 };
    for (name, shape, levels) in
        [("rgb-64", [64, 64, 3], 3), ("grey-28", [28, 28, 1], 1), ("rgb-32x48", [32, 48, 3], 2)]
    {
        let [a, b] = [305, 306].map(|seed| images(seed, 12, shape));
        let found = image_distances(&a, &b, shape, options).unwrap();
        assert_eq!(found.len(), levels);
        for (level, found) in found.iter().enumerate() {
            assert_eq!(found.size, [shape[0] >> level, shape[1] >> level]);
            close(name, found.distance, golden("sliced", &format!("{name}-{level}")), 1e-9);
        }
    }
}
