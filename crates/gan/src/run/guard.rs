//! What changes after a rollback: doing the same again would diverge again, and doing a little less of it may.

use crate::checkpoint::Progress;

/// Steps with values that are not finite, one after the other, before rolling back.
pub(super) const MAX_SKIPS: u32 = 5;
/// Rollbacks before giving up.
pub(super) const MAX_ROLLBACKS: u32 = 3;
/// Factor on the learning rates after a rollback.
const ROLLBACK_LR: f64 = 0.5;
/// Factor on bounds of the gradients' norms that are set already.
const TIGHTER: f64 = 0.5;

/// Changes what the next attempt does, more with each rollback, and says what:
///
/// 1. the learning rates are halved;
/// 2. they are halved again, and gradients are clipped at the norm that nine of ten steps stayed below up to the checkpoint:
///    what makes values run away is the long tail of the norms, which a bound inside it cuts and most steps do not meet
///    (Pascanu, Mikolov, Bengio 2013; a quantile of the norms as the bound: Seetharaman et al. 2020);
/// 3. both once more: rates halved, bounds halved.
///
/// Weights, moments and average are those of the checkpoint.
pub(super) fn escalate(progress: &mut Progress) -> String {
    progress.rollbacks += 1;
    progress.lr_scale *= ROLLBACK_LR;
    let mut said = format!("lowered the learning rates to {} of the recipe's", progress.lr_scale);
    if progress.rollbacks < 2 {
        return said;
    }
    for (bound, usual) in progress.norm_bounds.iter_mut().zip(progress.usual_norms) {
        *bound = if *bound > 0.0 { *bound * TIGHTER } else { usual };
    }
    match progress.norm_bounds {
        [0.0, 0.0] => {
            said.push_str(", but bounded no gradients: no step has shown yet how long they usually are")
        }
        [d, g] => {
            let of = |what: &str, bound: f64| format!("{bound:.3e} ({what})");
            let bounds = [("discriminator", d), ("generator", g)];
            let set: Vec<String> =
                bounds.iter().filter(|b| b.1 > 0.0).map(|(what, b)| of(what, *b)).collect();
            said.push_str(&format!(" and clipped gradients at a norm of {}", set.join(" and ")));
        }
    }
    said
}

/// Takes all of it back.
pub(super) fn relax(progress: &mut Progress) {
    (progress.rollbacks, progress.lr_scale, progress.rolled_back_to) = (0, 1.0, None);
    (progress.norm_bounds, progress.skipped_in_a_row) = ([0.0; 2], 0);
}
