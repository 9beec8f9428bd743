//! Stochastic gradient descent.

use super::{
    Common, DECAY, Hyper, Optimizer, PENALTY, ParseError, Range, Setting, Slot, Updated, refuse_beta, set,
};
use ganymede_graph::{Graph, Tensor};

/// Gradient descent with momentum in PyTorch's form, in which the learning rate scales the whole step:
/// u <- momentum u + g, w <- w - lr u; Nesterov's takes w <- w - lr (g + momentum u) (Sutskever, Martens, Dahl, Hinton
/// 2013). [`Hyper::beta1`] takes the place of the momentum where that is scheduled.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sgd {
    /// Share of the last step that is added; 0 for none, and then without a slot.
    pub momentum: f64,
    /// 1 for Nesterov's form, 0 for the plain one.
    pub nesterov: f64,
    /// L2 penalty: this times the weight is added to the gradient.
    pub weight_decay: f64,
}

/// Either 0 or 1.
const SWITCH: Range = Range { low: 0.0, below: 1.000_001, text: "0 or 1" };

impl Sgd {
    /// Plain descent.
    pub const DEFAULT: Sgd = Sgd { momentum: 0.0, nesterov: 0.0, weight_decay: 0.0 };

    /// With momentum.
    pub fn momentum(momentum: f64) -> Self {
        Self { momentum, ..Self::DEFAULT }
    }

    fn fields(&mut self) -> [(&'static str, &mut f64, Range); 3] {
        [
            ("momentum", &mut self.momentum, DECAY),
            ("nesterov", &mut self.nesterov, SWITCH),
            ("weight_decay", &mut self.weight_decay, PENALTY),
        ]
    }
}

impl Optimizer for Sgd {
    fn name(&self) -> &'static str {
        "sgd"
    }
    fn doc(&self) -> &'static str {
        "gradient descent, with momentum if asked"
    }
    fn paper(&self) -> &'static str {
        "Robbins, Monro 1951; momentum: Polyak 1964, Sutskever, Martens, Dahl, Hinton 2013"
    }
    fn settings(&self) -> Vec<Setting> {
        vec![
            Setting { name: "momentum", value: self.momentum, doc: "share of the last step that is added" },
            Setting { name: "nesterov", value: self.nesterov, doc: "1 to look ahead along the momentum" },
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
        changed.nesterov = f64::from(u8::from(changed.nesterov >= 0.5));
        Ok(Box::new(changed))
    }
    fn decays(&self) -> [Option<&'static str>; 2] {
        [Some("momentum"), None]
    }
    fn boxed(&self) -> Box<dyn Optimizer> {
        Box::new(*self)
    }
    fn slots(&self) -> Vec<Slot> {
        if self.momentum == 0.0 { Vec::new() } else { vec![Slot { name: "momentum", initial: 0.0 }] }
    }
    fn common_slots(&self) -> Vec<Slot> {
        Vec::new()
    }
    fn advance(&self, graph: &Graph, hyper: &Hyper, _: &[Tensor]) -> Common {
        // Without momentum there is no slot that a scheduled one could use.
        let unused = if self.momentum == 0.0 { hyper.beta1.as_ref() } else { None };
        let refused = refuse_beta(graph, self.name(), hyper.beta2.as_ref(), "beta2").or(refuse_beta(
            graph,
            self.name(),
            unused,
            "momentum",
        ));
        let momentum = refused.or(hyper.beta1.clone()).unwrap_or_else(|| graph.scalar(self.momentum));
        Common { slots: Vec::new(), coefficients: vec![momentum] }
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
        let Some(old) = slots.first() else {
            return Updated { param: param - g * &hyper.lr, slots: Vec::new() };
        };
        let momentum = &common.coefficients[0];
        let step = old * momentum + g;
        let direction = if self.nesterov == 0.0 { step.clone() } else { g + &step * momentum };
        Updated { param: param - direction * &hyper.lr, slots: vec![step] }
    }
}
