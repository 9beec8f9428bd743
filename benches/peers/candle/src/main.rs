//! dcgan28 on Candle's CPU backend: layers, batch, loss, optimizer and timing of crates/gan/workloads/dcgan28.toml and
//! benches/peers/timing.py. Prints one JSON line.
//!
//! Not here: `wgangp28` and `r1-28`, since Candle's gradients are plain tensors without a graph of their own. Candle has
//! AdamW alone; with a weight decay of 0 it is Adam.

use candle_core::{D, DType, Device, Result, Tensor};
use candle_nn::{
    AdamW, BatchNorm, BatchNormConfig, Conv2d, Conv2dConfig, ConvTranspose2d, ConvTranspose2dConfig, Linear, Module,
    ModuleT, Optimizer, ParamsAdamW, VarBuilder, VarMap, batch_norm, conv_transpose2d, conv2d, linear,
};
use std::time::Instant;

const BATCH: usize = 128;
const LATENT: usize = 100;

struct Generator {
    dense: Linear,
    norms: [BatchNorm; 3],
    ups: [ConvTranspose2d; 2],
    last: Conv2d,
}

fn same5(stride: usize) -> Conv2dConfig {
    Conv2dConfig { padding: 2, stride, ..Default::default() }
}

fn leaky(x: &Tensor) -> Result<Tensor> {
    candle_nn::ops::leaky_relu(x, 0.2)
}

/// log(1 + exp(x)) without overflow.
fn softplus(x: &Tensor) -> Result<Tensor> {
    x.relu()? + (x.abs()?.neg()?.exp()? + 1.0)?.log()?
}

impl Generator {
    fn new(vb: VarBuilder<'_>) -> Result<Self> {
        let norm = |n, name: &str| batch_norm(n, BatchNormConfig::default(), vb.pp(name));
        let cfg = ConvTranspose2dConfig { padding: 1, stride: 2, ..Default::default() };
        Ok(Self {
            dense: linear(LATENT, 6272, vb.pp("dense"))?,
            norms: [norm(6272, "norm0")?, norm(64, "norm1")?, norm(32, "norm2")?],
            ups: [conv_transpose2d(128, 64, 4, cfg, vb.pp("up1"))?, conv_transpose2d(64, 32, 4, cfg, vb.pp("up2"))?],
            last: conv2d(32, 1, 5, same5(1), vb.pp("last"))?,
        })
    }

    fn forward(&self, z: &Tensor) -> Result<Tensor> {
        let mut x = leaky(&self.norms[0].forward_t(&self.dense.forward(z)?, true)?)?.reshape((BATCH, 128, 7, 7))?;
        for (up, norm) in self.ups.iter().zip(&self.norms[1..]) {
            x = leaky(&norm.forward_t(&up.forward(&x)?, true)?)?;
        }
        self.last.forward(&x)?.tanh()
    }
}

struct Discriminator {
    convs: [Conv2d; 2],
    dense: Linear,
}

impl Discriminator {
    fn new(vb: VarBuilder<'_>) -> Result<Self> {
        Ok(Self {
            convs: [conv2d(1, 64, 5, same5(2), vb.pp("conv1"))?, conv2d(64, 128, 5, same5(2), vb.pp("conv2"))?],
            dense: linear(6272, 1, vb.pp("dense"))?,
        })
    }

    /// The same weights as constants: the generator's step needs no gradient of them.
    fn frozen(&self) -> Self {
        let conv = |c: &Conv2d| Conv2d::new(c.weight().detach(), c.bias().map(Tensor::detach), *c.config());
        Self {
            convs: [conv(&self.convs[0]), conv(&self.convs[1])],
            dense: Linear::new(self.dense.weight().detach(), self.dense.bias().map(Tensor::detach)),
        }
    }

    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let x = leaky(&self.convs[0].forward(x)?)?;
        let x = leaky(&self.convs[1].forward(&x)?)?;
        self.dense.forward(&x.flatten_from(1)?)?.squeeze(D::Minus1)
    }
}

fn main() -> Result<()> {
    let quick = std::env::args().any(|a| a == "--quick");
    let device = Device::Cpu;
    let (vars_g, vars_d) = (VarMap::new(), VarMap::new());
    let g = Generator::new(VarBuilder::from_varmap(&vars_g, DType::F32, &device))?;
    let d = Discriminator::new(VarBuilder::from_varmap(&vars_d, DType::F32, &device))?;
    let adam = ParamsAdamW { lr: 2e-4, beta1: 0.5, beta2: 0.999, eps: 1e-8, weight_decay: 0.0 };
    let mut adam_g = AdamW::new(vars_g.all_vars(), adam.clone())?;
    let mut adam_d = AdamW::new(vars_d.all_vars(), adam)?;
    let normal = || Tensor::randn(0f32, 1.0, (BATCH, LATENT), &device);
    let real = Tensor::randn(0f32, 1.0, (BATCH, 1, 28, 28), &device)?;
    let mut step = || -> Result<()> {
        let fake = g.forward(&normal()?)?.detach();
        let loss = (softplus(&d.forward(&real)?.neg()?)?.mean_all()? + softplus(&d.forward(&fake)?)?.mean_all()?)?;
        adam_d.backward_step(&loss)?;
        let loss = softplus(&d.frozen().forward(&g.forward(&normal()?)?)?.neg()?)?.mean_all()?;
        adam_g.backward_step(&loss)
    };
    let mut timed = |count: usize| -> Result<f64> {
        let began = Instant::now();
        for _ in 0..count {
            step()?;
        }
        Ok(began.elapsed().as_secs_f64() / count as f64)
    };
    let (repetitions, span) = if quick { (3, 0.3) } else { (5, 0.8) };
    timed(if quick { 1 } else { 3 })?;
    let count = ((span / timed(1)?) as usize).max(1);
    let mut ms = (0..repetitions).map(|_| Ok(1e3 * timed(count)?)).collect::<Result<Vec<f64>>>()?;
    ms.sort_by(f64::total_cmp);
    println!(
        "{{\"peer\":\"candle 0.11.1\",\"workload\":\"dcgan28\",\"batch\":{BATCH},\"ms_min\":{:.3},\"ms_med\":{:.3},\"rss_mb\":{}}}",
        ms[0],
        ms[repetitions / 2],
        peak_mb()
    );
    Ok(())
}

fn peak_mb() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:"));
    line.and_then(|l| l.split_whitespace().next()?.parse::<u64>().ok()).map_or(0, |kb| kb / 1024)
}
