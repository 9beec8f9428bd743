//! Adam and AdamW.

use super::{
    Common, DECAY, Hyper, Optimizer, PENALTY, POSITIVE, ParseError, Range, Setting, Slot, Updated, decay, set,
};
use ganymede_graph::{Graph, Tensor};

/// Adam (Kingma, Ba 2015, algorithm 1), with epsilon added to the root of the corrected second moment as in PyTorch:
///
/// m <- b1 m + (1 - b1) g, v <- b2 v + (1 - b2) g^2, w <- w - lr m / (1 - B1) / (sqrt(v / (1 - B2)) + eps).
///
/// B1 and B2 are the products of the betas used so far, kept as state, so that the correction is right when a beta is
/// scheduled: the weights of the past gradients in m add up to 1 - B1.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Adam {
    /// Decay of the first moment.
    pub beta1: f64,
    /// Decay of the second moment.
    pub beta2: f64,
    /// Added to the root of the second moment.
    pub eps: f64,
    /// L2 penalty: this times the weight is added to the gradient.
    pub weight_decay: f64,
}

impl Adam {
    /// The paper's values, which PyTorch has too.
    pub const DEFAULT: Adam = Adam { beta1: 0.9, beta2: 0.999, eps: 1e-8, weight_decay: 0.0 };

    /// With other decays, e.g. (.5, .999) for DCGAN.
    pub fn betas(beta1: f64, beta2: f64) -> Self {
        Self { beta1, beta2, ..Self::DEFAULT }
    }

    fn fields(&mut self) -> [(&'static str, &mut f64, Range); 4] {
        [
            ("beta1", &mut self.beta1, DECAY),
            ("beta2", &mut self.beta2, DECAY),
            ("eps", &mut self.eps, POSITIVE),
            ("weight_decay", &mut self.weight_decay, PENALTY),
        ]
    }
}

/// AdamW (Loshchilov, Hutter 2019, algorithm 2): Adam, with the weights scaled by 1 - lr weight_decay before the step,
/// apart from the moments.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AdamW {
    /// Decay of the first moment.
    pub beta1: f64,
    /// Decay of the second moment.
    pub beta2: f64,
    /// Added to the root of the second moment.
    pub eps: f64,
    /// Share of the weights, times the learning rate, that each step takes away.
    pub weight_decay: f64,
}

impl AdamW {
    /// PyTorch's values.
    pub const DEFAULT: AdamW = AdamW { beta1: 0.9, beta2: 0.999, eps: 1e-8, weight_decay: 0.01 };

    fn moments(&self) -> Adam {
        Adam { beta1: self.beta1, beta2: self.beta2, eps: self.eps, weight_decay: 0.0 }
    }

    fn fields(&mut self) -> [(&'static str, &mut f64, Range); 4] {
        [
            ("beta1", &mut self.beta1, DECAY),
            ("beta2", &mut self.beta2, DECAY),
            ("eps", &mut self.eps, POSITIVE),
            ("weight_decay", &mut self.weight_decay, PENALTY),
        ]
    }
}

fn settings(beta1: f64, beta2: f64, eps: f64, weight_decay: f64, decay_doc: &'static str) -> Vec<Setting> {
    vec![
        Setting { name: "beta1", value: beta1, doc: "decay of the mean of gradients" },
        Setting { name: "beta2", value: beta2, doc: "decay of the mean of squared gradients" },
        Setting { name: "eps", value: eps, doc: "added to the root of the second moment" },
        Setting { name: "weight_decay", value: weight_decay, doc: decay_doc },
    ]
}

/// Positions in [`Common::coefficients`].
const BETA1: usize = 0;
const ONE_MINUS_BETA1: usize = 1;
const BETA2: usize = 2;
const ONE_MINUS_BETA2: usize = 3;
const STEP_SIZE: usize = 4;
const ROOT_CORRECTION: usize = 5;
const SHRINK: usize = 6;

impl Optimizer for Adam {
    fn name(&self) -> &'static str {
        "adam"
    }
    fn doc(&self) -> &'static str {
        "steps of about the learning rate in every coordinate, whatever the scale of the gradient"
    }
    fn paper(&self) -> &'static str {
        "Kingma, Ba 2015, algorithm 1"
    }
    fn settings(&self) -> Vec<Setting> {
        settings(self.beta1, self.beta2, self.eps, self.weight_decay, "L2 penalty, added to the gradient")
    }
    fn with_setting(&self, name: &str, value: f64) -> Result<Box<dyn Optimizer>, ParseError> {
        let mut changed = *self;
        set(self.name(), &mut changed.fields(), name, value)?;
        Ok(Box::new(changed))
    }
    fn decays(&self) -> [Option<&'static str>; 2] {
        [Some("beta1"), Some("beta2")]
    }
    fn boxed(&self) -> Box<dyn Optimizer> {
        Box::new(*self)
    }
    fn slots(&self) -> Vec<Slot> {
        vec![Slot { name: "m", initial: 0.0 }, Slot { name: "v", initial: 0.0 }]
    }
    fn common_slots(&self) -> Vec<Slot> {
        vec![Slot { name: "beta1_power", initial: 1.0 }, Slot { name: "beta2_power", initial: 1.0 }]
    }
    fn advance(&self, graph: &Graph, hyper: &Hyper, common: &[Tensor]) -> Common {
        let (beta1, one_minus_beta1) = decay(graph, hyper.beta1.as_ref(), self.beta1);
        let (beta2, one_minus_beta2) = decay(graph, hyper.beta2.as_ref(), self.beta2);
        let power1 = &common[0] * &beta1;
        let power2 = &common[1] * &beta2;
        let step_size = &hyper.lr / (1.0 - &power1);
        let root_correction = (1.0 - &power2).rsqrt();
        let coefficients = vec![beta1, one_minus_beta1, beta2, one_minus_beta2, step_size, root_correction];
        Common { slots: vec![power1, power2], coefficients }
    }
    fn step(&self, _: &Hyper, common: &Common, param: &Tensor, grad: &Tensor, slots: &[Tensor]) -> Updated {
        let c = &common.coefficients;
        let penalised;
        let g = if self.weight_decay == 0.0 {
            grad
        } else {
            penalised = grad + param * self.weight_decay;
            &penalised
        };
        let m = &slots[0] * &c[BETA1] + g * &c[ONE_MINUS_BETA1];
        let v = &slots[1] * &c[BETA2] + g * g * &c[ONE_MINUS_BETA2];
        let param = param - &m * &c[STEP_SIZE] / (v.sqrt() * &c[ROOT_CORRECTION] + self.eps);
        Updated { param, slots: vec![m, v] }
    }
}

impl Optimizer for AdamW {
    fn name(&self) -> &'static str {
        "adamw"
    }
    fn doc(&self) -> &'static str {
        "Adam with weight decay apart from the moments"
    }
    fn paper(&self) -> &'static str {
        "Loshchilov, Hutter 2019, algorithm 2"
    }
    fn settings(&self) -> Vec<Setting> {
        let doc = "share of the weights, times the learning rate, taken away each step";
        settings(self.beta1, self.beta2, self.eps, self.weight_decay, doc)
    }
    fn with_setting(&self, name: &str, value: f64) -> Result<Box<dyn Optimizer>, ParseError> {
        let mut changed = *self;
        set(self.name(), &mut changed.fields(), name, value)?;
        Ok(Box::new(changed))
    }
    fn decays(&self) -> [Option<&'static str>; 2] {
        [Some("beta1"), Some("beta2")]
    }
    fn boxed(&self) -> Box<dyn Optimizer> {
        Box::new(*self)
    }
    fn slots(&self) -> Vec<Slot> {
        self.moments().slots()
    }
    fn common_slots(&self) -> Vec<Slot> {
        self.moments().common_slots()
    }
    fn advance(&self, graph: &Graph, hyper: &Hyper, common: &[Tensor]) -> Common {
        let mut out = self.moments().advance(graph, hyper, common);
        debug_assert_eq!(out.coefficients.len(), SHRINK);
        out.coefficients.push(1.0 - &hyper.lr * self.weight_decay);
        out
    }
    fn step(
        &self,
        hyper: &Hyper,
        common: &Common,
        param: &Tensor,
        grad: &Tensor,
        slots: &[Tensor],
    ) -> Updated {
        let shrunk = param * &common.coefficients[SHRINK];
        self.moments().step(hyper, common, &shrunk, grad, slots)
    }
}
