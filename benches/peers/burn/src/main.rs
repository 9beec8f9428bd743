//! dcgan28 on Burn's pure-Rust CPU backend (flex): layers, batch, loss, optimizer and timing of
//! crates/gan/workloads/dcgan28.toml and benches/peers/timing.py. Prints one JSON line.
//!
//! Not here: `wgangp28` and `r1-28`, since Burn's autodiff has no gradient of a gradient.

use burn::module::Module;
use burn::nn::conv::{Conv2d, Conv2dConfig, ConvTranspose2d, ConvTranspose2dConfig};
use burn::nn::{BatchNorm, BatchNormConfig, Linear, LinearConfig, PaddingConfig2d};
use burn::optim::{AdamConfig, GradientsParams};
use burn::tensor::activation::{leaky_relu, softplus};
use burn::tensor::{Device, Distribution, Tensor};
use std::time::Instant;

const BATCH: usize = 128;
const LATENT: usize = 100;
const LR: f64 = 2e-4;

#[derive(Module, Debug)]
struct Generator {
    dense: Linear,
    norm0: BatchNorm,
    up1: ConvTranspose2d,
    norm1: BatchNorm,
    up2: ConvTranspose2d,
    norm2: BatchNorm,
    last: Conv2d,
}

impl Generator {
    fn new(device: &Device) -> Self {
        let up = |from, to| {
            ConvTranspose2dConfig::new([from, to], [4, 4]).with_stride([2, 2]).with_padding([1, 1]).init(device)
        };
        Self {
            dense: LinearConfig::new(LATENT, 6272).init(device),
            norm0: BatchNormConfig::new(6272).init(device),
            up1: up(128, 64),
            norm1: BatchNormConfig::new(64).init(device),
            up2: up(64, 32),
            norm2: BatchNormConfig::new(32).init(device),
            last: conv(1, 32, 1, device),
        }
    }

    fn forward(&self, z: Tensor<2>) -> Tensor<4> {
        let x = leaky_relu(self.norm0.forward(self.dense.forward(z)), 0.2);
        let x = x.reshape([BATCH, 128, 7, 7]);
        let x = leaky_relu(self.norm1.forward(self.up1.forward(x)), 0.2);
        let x = leaky_relu(self.norm2.forward(self.up2.forward(x)), 0.2);
        self.last.forward(x).tanh()
    }
}

fn conv(to: usize, from: usize, stride: usize, device: &Device) -> Conv2d {
    Conv2dConfig::new([from, to], [5, 5])
        .with_stride([stride, stride])
        .with_padding(PaddingConfig2d::Explicit(2, 2, 2, 2))
        .init(device)
}

#[derive(Module, Debug)]
struct Discriminator {
    conv1: Conv2d,
    conv2: Conv2d,
    dense: Linear,
}

impl Discriminator {
    fn new(device: &Device) -> Self {
        Self {
            conv1: conv(64, 1, 2, device),
            conv2: conv(128, 64, 2, device),
            dense: LinearConfig::new(6272, 1).init(device),
        }
    }

    fn forward(&self, x: Tensor<4>) -> Tensor<2> {
        let x = leaky_relu(self.conv1.forward(x), 0.2);
        let x = leaky_relu(self.conv2.forward(x), 0.2);
        self.dense.forward(x.reshape([BATCH, 6272]))
    }
}

/// Seconds from a call of `step` to the end of all work that it started.
fn timed(device: &Device, count: usize, step: &mut impl FnMut()) -> f64 {
    let began = Instant::now();
    for _ in 0..count {
        step();
    }
    device.sync().expect("the backend works");
    began.elapsed().as_secs_f64() / count as f64
}

fn main() {
    let quick = std::env::args().any(|a| a == "--quick");
    let device = Device::flex().autodiff();
    device.seed(0);
    let (mut g, mut d) = (Some(Generator::new(&device)), Some(Discriminator::new(&device)));
    let adam = || AdamConfig::new().with_beta_1(0.5).with_beta_2(0.999).with_epsilon(1e-8).init();
    let (mut adam_g, mut adam_d) = (adam(), adam());
    let normal = |device: &Device| Tensor::<2>::random([BATCH, LATENT], Distribution::Normal(0.0, 1.0), device);
    let real = Tensor::<4>::random([BATCH, 1, 28, 28], Distribution::Normal(0.0, 1.0), &device);
    let mut step = || {
        let (generator, critic) = (g.take().expect("put back"), d.take().expect("put back"));
        let fake = generator.forward(normal(&device)).detach();
        let loss = softplus(critic.forward(real.clone()).neg(), 1.0).mean()
            + softplus(critic.forward(fake), 1.0).mean();
        let gradients = GradientsParams::from_grads(loss.backward(), &critic);
        let critic = adam_d.step(LR, critic, gradients);
        // The generator's step needs no gradient of the discriminator's weights.
        let frozen = critic.clone().freeze();
        let loss = softplus(frozen.forward(generator.forward(normal(&device))).neg(), 1.0).mean();
        let gradients = GradientsParams::from_grads(loss.backward(), &generator);
        g = Some(adam_g.step(LR, generator, gradients));
        d = Some(critic);
    };
    let (repetitions, span) = if quick { (3, 0.3) } else { (5, 0.8) };
    timed(&device, 3, &mut step);
    let one = timed(&device, 1, &mut step);
    let count = ((span / one) as usize).max(1);
    let mut ms: Vec<f64> = (0..repetitions).map(|_| 1e3 * timed(&device, count, &mut step)).collect();
    ms.sort_by(f64::total_cmp);
    println!(
        "{{\"peer\":\"burn 0.22.1 flex\",\"workload\":\"dcgan28\",\"batch\":{BATCH},\"ms_min\":{:.3},\"ms_med\":{:.3},\"rss_mb\":{}}}",
        ms[0],
        ms[repetitions / 2],
        peak_mb()
    );
}

fn peak_mb() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:"));
    line.and_then(|l| l.split_whitespace().next()?.parse::<u64>().ok()).map_or(0, |kb| kb / 1024)
}
