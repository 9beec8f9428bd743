//! Random graphs: elementwise, broadcast, reductions, movement, contractions, pooling, with gradients.

use super::{Builder, Case, Tolerance};
use ganymede_graph::{ConvOptions, Tensor, grad};

/// A random function of some feeds and state, with outputs, gradients by the state, and updates of it.
pub fn graph(seed: u64) -> Case {
    let mut b = Builder::new(seed.wrapping_mul(0x1234_5679) + 17);
    let mut parameters = Vec::new();
    let mut images: Vec<Tensor> = Vec::new();
    let mut rows: Vec<Tensor> = Vec::new();
    let n = 1 + b.rng.below(3);
    let (h, w, c) = (4 + b.rng.below(5), 4 + b.rng.below(5), 1 + b.rng.below(20));
    images.push(b.normal(&[n, h, w, c]));
    let width = 3 + b.rng.below(30);
    rows.push(b.normal(&[n, width]));
    let steps = 6 + b.rng.below(14);
    for k in 0..steps {
        let image = images[b.rng.below(images.len())].clone();
        let row = rows[b.rng.below(rows.len())].clone();
        let mut weight = |b: &mut Builder, shape: &[usize], spread: f64| {
            let values = b.values(shape.iter().product(), -spread, spread);
            let name = format!("w{k}");
            let tensor = b.state(&name, ganymede_graph::Array::f32(shape, values));
            parameters.push((name, tensor.clone()));
            tensor
        };
        let s = image.shape();
        match b.rng.below(14) {
            0 | 1 => {
                let (stride, kernel) = (1 + b.rng.below(2), 1 + b.rng.below(4));
                let options = ConvOptions::default().stride(stride).pad(kernel / 2);
                let out = 1 + b.rng.below(20);
                let spread = 1.7 / ((kernel * kernel * s[3]) as f64).sqrt();
                let filter = weight(&mut b, &[kernel, kernel, s[3], out], spread);
                images.push(image.conv2d(&filter, options));
            }
            2 => {
                let out = 1 + b.rng.below(12);
                let filter = weight(&mut b, &[4, 4, out, s[3]], 0.9 / (s[3] as f64).sqrt());
                let options = ConvOptions::default().stride(2).pad(1);
                if s[1] < 12 {
                    images.push(image.conv2d_transposed(&filter, options, [2 * s[1], 2 * s[2]]));
                }
            }
            3 => {
                let mean = image.mean(&[0, 1, 2]);
                let inverse = (image.variance(&[0, 1, 2]) + 0.1).rsqrt();
                let scale = weight(&mut b, &[s[3]], 1.5);
                images.push((&image - mean) * inverse * scale);
            }
            4 => images.push(image.leaky_relu(0.2)),
            5 => images.push(image.tanh() * image.sigmoid()),
            6 if s[1] >= 4 && s[2] >= 4 => images.push(image.max_pool2d(2, 2, 0)),
            7 => {
                let other = images[b.rng.below(images.len())].clone();
                let t = other.shape();
                if t[1..3] == s[1..3] {
                    images.push(Tensor::concat(&[&image, &other], 3));
                } else if t == s {
                    images.push(&image * &other + &image);
                } else {
                    let scale = other.mean(&[1, 2, 3]).reshape(&[n, 1, 1, 1]);
                    images.push(&image * (scale + 0.5));
                }
            }
            8 => {
                let flat = image.reshape(&[n, s[1] * s[2] * s[3]]);
                rows.push(flat.slice(1, 0, flat.shape()[1].min(70)).softplus());
            }
            9 => {
                let out = 1 + b.rng.below(40);
                let spread = 1.7 / (row.shape()[1] as f64).sqrt();
                let matrix = weight(&mut b, &[row.shape()[1], out], spread);
                let bias = row.mean(&[1]).reshape(&[n, 1]);
                rows.push((row.matmul(&matrix) + bias).leaky_relu(0.1));
            }
            10 => rows.push(row.softmax() * row.exp()),
            11 => images.push(image.transpose(&[0, 2, 1, 3]).reverse(&[1]) * 0.7),
            12 if s[1] < 10 && s[2] < 10 => images.push(image.upsample_nearest(2)),
            12 | 6 => images.push(image.pad(&[0, 1, 0, 0], &[0, 0, 2, 0], &[0, 0, 0, 0])),
            _ => {
                let squares = image.square().sum(&[1, 2]);
                rows.push((squares + 0.1).sqrt());
                images.push(image.slice(1, 0, s[1] / 2 + 1));
            }
        }
    }
    let mut loss = b.g.scalar(0.0);
    for t in images.iter().rev().take(2).chain(rows.iter().rev().take(2)) {
        loss = loss + (t * 0.3).tanh().mean_all();
    }
    let gradients = grad(&loss, &parameters.iter().map(|p| &p.1).collect::<Vec<_>>());
    b.g.output("loss", &loss);
    if let (Some(image), Some(row)) = (images.last(), rows.last()) {
        b.g.output("image", image);
        b.g.output("row", row);
    }
    let mut penalty = b.g.scalar(0.0);
    for ((name, w), dw) in parameters.iter().zip(&gradients) {
        b.g.output(&format!("d{name}"), dw);
        b.g.update(name, &(w - dw * 0.1));
        b.g.commit_when(&dw.all_finite());
        penalty = penalty + dw.square().sum_all();
    }
    // Second order, for some.
    if seed.is_multiple_of(3) && !parameters.is_empty() {
        let second = grad(&penalty, &[&parameters[0].1]);
        b.g.output("second", &second[0]);
    }
    b.finish(format!("random graph {seed}"), Tolerance::GRAPH)
}
