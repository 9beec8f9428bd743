//! RMSProp.

use super::{
    Common, DECAY, Hyper, Optimizer, PENALTY, POSITIVE, ParseError, Range, Setting, Slot, Updated, decay,
    refuse_beta, set,
};
use ganymede_graph::{Graph, Tensor};

/// RMSProp (Tieleman, Hinton 2012, lecture 6.5), with epsilon added to the root as in PyTorch (TensorFlow adds it
/// under the root): v <- b v + (1 - b) g^2, u <- momentum u + g / (sqrt(v) + eps), w <- w - lr u.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RmsProp {
    /// Decay of the mean square; [`Hyper::beta2`] where scheduled.
    pub decay: f64,
    /// Added to the root of the mean square.
    pub eps: f64,
    /// Share of the last step that is added; 0 for none, and then without a slot.
    pub momentum: f64,
    /// L2 penalty: this times the weight is added to the gradient.
    pub weight_decay: f64,
}

impl RmsProp {
    /// PyTorch's values.
    pub const DEFAULT: RmsProp = RmsProp { decay: 0.99, eps: 1e-8, momentum: 0.0, weight_decay: 0.0 };

    fn fields(&mut self) -> [(&'static str, &mut f64, Range); 4] {
        [
            ("decay", &mut self.decay, DECAY),
            ("eps", &mut self.eps, POSITIVE),
            ("momentum", &mut self.momentum, DECAY),
            ("weight_decay", &mut self.weight_decay, PENALTY),
        ]
    }
}

impl Optimizer for RmsProp {
    fn name(&self) -> &'static str {
        "rmsprop"
    }
    fn doc(&self) -> &'static str {
        "gradients divided by the root of their mean square; WGAN's, since momentum hurt its critic"
    }
    fn paper(&self) -> &'static str {
        "Tieleman, Hinton 2012, lecture 6.5"
    }
    fn settings(&self) -> Vec<Setting> {
        vec![
            Setting { name: "decay", value: self.decay, doc: "decay of the mean of squared gradients" },
            Setting { name: "eps", value: self.eps, doc: "added to the root of the mean square" },
            Setting { name: "momentum", value: self.momentum, doc: "share of the last step that is added" },
            Setting {
                name: "weight_decay",
                value: self.weight_decay,
                doc: "L2 penalty, added to the gradient",
            },
        ]
    }
    fn with_setting(&self, name: &str, value: f64) -> Result<Box<dyn Optimizer>, ParseError> {
        let mut changed = *self;
        set(self.name(), &mut changed.fields(), name, value)?;
        Ok(Box::new(changed))
    }
    fn decays(&self) -> [Option<&'static str>; 2] {
        [None, Some("decay")]
    }
    fn boxed(&self) -> Box<dyn Optimizer> {
        Box::new(*self)
    }
    fn slots(&self) -> Vec<Slot> {
        let mut slots = vec![Slot { name: "v", initial: 0.0 }];
        if self.momentum != 0.0 {
            slots.push(Slot { name: "momentum", initial: 0.0 });
        }
        slots
    }
    fn common_slots(&self) -> Vec<Slot> {
        Vec::new()
    }
    fn advance(&self, graph: &Graph, hyper: &Hyper, _: &[Tensor]) -> Common {
        let (mut beta, one_minus_beta) = decay(graph, hyper.beta2.as_ref(), self.decay);
        if let Some(refused) = refuse_beta(graph, self.name(), hyper.beta1.as_ref(), "beta1") {
            beta = refused;
        }
        Common { slots: Vec::new(), coefficients: vec![beta, one_minus_beta] }
    }
    fn step(
        &self,
        hyper: &Hyper,
        common: &Common,
        param: &Tensor,
        grad: &Tensor,
        slots: &[Tensor],
    ) -> Updated {
        let penalised;
        let g = if self.weight_decay == 0.0 {
            grad
        } else {
            penalised = grad + param * self.weight_decay;
            &penalised
        };
        let v = &slots[0] * &common.coefficients[0] + g * g * &common.coefficients[1];
        let scaled = g / (v.sqrt() + self.eps);
        if self.momentum == 0.0 {
            return Updated { param: param - scaled * &hyper.lr, slots: vec![v] };
        }
        let step = &slots[1] * self.momentum + scaled;
        Updated { param: param - &step * &hyper.lr, slots: vec![v, step] }
    }
}
