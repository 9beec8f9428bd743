//! The optimizers' settings, in the f32 of their arithmetic.

use super::super::{Recipe, RecipeError};

/// Smallest eps: the smallest normal number of the f32 arithmetic it is used in, rounded up.
const MIN_EPS: f64 = 1.2e-38;

/// Largest `clip_norm`: no gradient that a step is taken along is as long.
const MAX_CLIP: f64 = 1e30;

impl Recipe {
    /// Checks every setting of both.
    pub(super) fn check_optimizers(&self) -> Result<(), RecipeError> {
        for (side, network) in [("generator", &self.generator), ("discriminator", &self.discriminator)] {
            let o = &network.optimizer;
            let key = |name: &str| format!("{side}.optimizer.{name}");
            for (name, schedule) in [("beta1", &o.beta1), ("beta2", &o.beta2)] {
                let Some(schedule) = schedule else { continue };
                let (low, high) = schedule.range();
                // In the f32 of the arithmetic: one that rounds to 1 would divide by 1 - 1.
                if low < 0.0 || high as f32 >= 1.0 {
                    let message = format!("must stay in [0, 1), as a 32-bit number too, got {schedule}");
                    return Err(self.error(&key(name), message));
                }
            }
            if o.lr.range().0 < 0.0 {
                return Err(self.error(&key("lr"), format!("must not be negative, got {}", o.lr)));
            }
            for (name, value, least) in [
                ("eps", o.eps, MIN_EPS),
                ("weight_decay", o.weight_decay, 0.0),
                ("clip_value", Some(o.clip_value), 0.0),
            ] {
                if let Some(value) = value
                    && (!value.is_finite() || value < least)
                {
                    return Err(
                        self.error(&key(name), format!("must be a number of at least {least}, got {value}"))
                    );
                }
            }
            if o.clip_norm != 0.0 && !(MIN_EPS..=MAX_CLIP).contains(&o.clip_norm) {
                let message =
                    format!("must be 0 (off) or from {MIN_EPS:e} to {MAX_CLIP:e}, got {}", o.clip_norm);
                return Err(self.error(&key("clip_norm"), message));
            }
            // As for the betas: in the f32 of the arithmetic.
            if let Some(momentum) = o.momentum
                && !(momentum >= 0.0 && (momentum as f32) < 1.0)
            {
                let message =
                    format!("must be at least 0 and below 1, as a 32-bit number too, got {momentum}");
                return Err(self.error(&key("momentum"), message));
            }
            let optimizer = crate::networks::optimizer(o).map_err(|m| self.error(&key("kind"), m))?;
            let most = ganymede_nn::optim::max_lr(optimizer.as_ref());
            if o.lr.range().1 > most {
                let how = match o.eps {
                    Some(eps) if most < ganymede_nn::optim::MAX_LR => {
                        format!("with an eps of {eps:e}: lower it, or raise eps")
                    }
                    Some(_) | None => "so that no step leaves the range of 32-bit numbers: lower it".into(),
                };
                let message = format!("must be at most {most:e} {how}; got {}", o.lr);
                return Err(self.error(&key("lr"), message));
            }
            let resolved = o.clone().resolved();
            let still = resolved.beta1.is_none_or(|momentum| momentum.range().1 == 0.0);
            if resolved.nesterov == Some(true) && still {
                let message = "looks ahead along a momentum, and there is none: give beta1 above 0, e.g. 0.9";
                return Err(self.error(&key("nesterov"), message));
            }
        }
        Ok(())
    }
}
