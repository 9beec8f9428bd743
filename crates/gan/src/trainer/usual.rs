//! How long gradients usually are.

/// Share of the steps whose gradients are to stay below the norm that is called usual.
const USUAL: f64 = 0.9;
/// How fast the logarithm of that norm follows.
const FOLLOW: f64 = 0.1;

/// The usual norm after a step whose gradients had the norm `norm`: stochastic approximation of a quantile (Robbins, Monro
/// 1951), in logarithms because norms differ by factors. Up by .9 of a unit for a norm above, down by .1 for one below
/// cancel where one step in ten lies above.
pub(super) fn usual_norm(before: f64, norm: f64) -> f64 {
    if !(norm > 0.0 && norm.is_finite()) {
        return before;
    }
    if before == 0.0 {
        return norm;
    }
    before * (FOLLOW * if norm > before { USUAL } else { USUAL - 1.0 }).exp()
}

#[cfg(test)]
mod tests {
    use super::usual_norm;

    #[test]
    fn one_step_in_ten_lies_above_the_usual_norm() {
        // Norms over three decades, log-uniform: nine of ten lie below 10^1.7.
        let mut state = 1u64;
        let mut norm = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            10f64.powf(-1.0 + 3.0 * (state >> 11) as f64 / (1u64 << 53) as f64)
        };
        let mut usual = usual_norm(0.0, norm());
        let mut above = 0;
        let steps = 20_000;
        for step in 0..2 * steps {
            let next = norm();
            above += usize::from(step >= steps && next > usual);
            usual = usual_norm(usual, next);
        }
        let share = above as f64 / steps as f64;
        assert!((share - 0.1).abs() < 0.01, "{share}");
        assert!((usual.log10() - 1.7).abs() < 0.2, "{usual}");
        for nothing in [0.0, f64::NAN, f64::INFINITY] {
            assert_eq!(usual_norm(usual, nothing), usual);
        }
    }
}
