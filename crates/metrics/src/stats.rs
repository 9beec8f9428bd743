//! Summaries of measurements: mean and variance, quantiles, bootstrap intervals.

use crate::error::{MetricError, check};
use statrs::distribution::{ContinuousCDF, Normal, StudentsT};

/// Mean and variance of a stream of values in one pass (Welford 1962), without the cancellation of `E[x^2] - E[x]^2`.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Moments {
    count: u64,
    mean: f64,
    /// Sum of squared deviations from the mean.
    square: f64,
}

impl Moments {
    /// Adds a value.
    pub fn push(&mut self, value: f64) {
        self.count += 1;
        let before = value - self.mean;
        self.mean += before / self.count as f64;
        self.square += before * (value - self.mean);
    }

    /// Adds all values of another stream (Chan, Golub and LeVeque 1979, equation 2.1).
    pub fn merge(&mut self, other: &Self) {
        if other.count == 0 {
            return;
        }
        let (a, b) = (self.count as f64, other.count as f64);
        let delta = other.mean - self.mean;
        self.count += other.count;
        self.mean += delta * b / (a + b);
        self.square += other.square + delta * delta * a * b / (a + b);
    }

    /// The number of values.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The mean; `None` of nothing.
    pub fn mean(&self) -> Option<f64> {
        (self.count > 0).then_some(self.mean)
    }

    /// The unbiased variance, divisor n - 1; `None` of fewer than two values.
    pub fn variance(&self) -> Option<f64> {
        (self.count > 1).then(|| self.square / (self.count - 1) as f64)
    }

    /// The variance of the values themselves, divisor n; `None` of nothing.
    pub fn population_variance(&self) -> Option<f64> {
        (self.count > 0).then(|| self.square / self.count as f64)
    }

    /// The standard error of the mean; `None` of fewer than two values.
    pub fn standard_error(&self) -> Option<f64> {
        self.variance().map(|variance| (variance / self.count as f64).sqrt())
    }
}

impl Extend<f64> for Moments {
    fn extend<I: IntoIterator<Item = f64>>(&mut self, values: I) {
        values.into_iter().for_each(|value| self.push(value));
    }
}

impl FromIterator<f64> for Moments {
    fn from_iter<I: IntoIterator<Item = f64>>(values: I) -> Self {
        let mut moments = Self::default();
        moments.extend(values);
        moments
    }
}

/// The quantile at `share` in [0, 1], linear between order statistics: the value at place (n - 1) share (type 7 of
/// Hyndman and Fan 1996, the default of NumPy and R).
///
/// # Errors
/// No values, a NaN among them, a share outside [0, 1].
pub fn quantile(values: &[f64], share: f64) -> Result<f64, MetricError> {
    check("value", values.iter().copied(), "a number", |value| !value.is_nan())?;
    check("the share of quantile", [share], "a number from 0 to 1", |share| (0.0..=1.0).contains(&share))?;
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    quantile_of_sorted(&sorted, share).ok_or(MetricError::TooFew { what: "a quantile", needed: 1, got: 0 })
}

/// The median: the mean of the two middle values when their number is even.
///
/// # Errors
/// No values, or a NaN among them.
pub fn median(values: &[f64]) -> Result<f64, MetricError> {
    quantile(values, 0.5)
}

/// The median of `numerators[i] / denominators[i]`: of paired measurements, taken in turns, it cancels what slowed
/// both of a pair and ignores the pairs where one alone was disturbed.
///
/// # Errors
/// No pairs, lists of different lengths, a numerator that is not finite, a denominator that is not above 0.
pub fn median_of_ratios(numerators: &[f64], denominators: &[f64]) -> Result<f64, MetricError> {
    median(&ratios(numerators, denominators)?)
}

/// The ratios of paired measurements.
///
/// # Errors
/// As [`median_of_ratios`].
pub fn ratios(numerators: &[f64], denominators: &[f64]) -> Result<Vec<f64>, MetricError> {
    let (expected, got) = (numerators.len(), denominators.len());
    if expected != got {
        return Err(MetricError::Length { what: "denominators", expected, got });
    }
    check("numerator", numerators.iter().copied(), "a finite number", f64::is_finite)?;
    let positive = |value: f64| value > 0.0 && value.is_finite();
    check("denominator", denominators.iter().copied(), "a finite number above 0", positive)?;
    Ok(numerators.iter().zip(denominators).map(|(a, b)| a / b).collect())
}

fn quantile_of_sorted(sorted: &[f64], share: f64) -> Option<f64> {
    let place = (sorted.len().checked_sub(1)? as f64) * share;
    let (low, high) = (sorted[place.floor() as usize], sorted[place.ceil() as usize]);
    // Equal ends are returned as they are: infinite ones would give NaN.
    Some(if low == high { low } else { low + (high - low) * place.fract() })
}

/// A statistic with the interval that holds it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Interval {
    /// The statistic of the sample itself.
    pub estimate: f64,
    /// The lower end.
    pub low: f64,
    /// The upper end.
    pub high: f64,
}

impl Interval {
    /// So far to either side of an estimate that is never below 0.
    pub fn about(estimate: f64, half: f64) -> Self {
        Self { estimate, low: (estimate - half).max(0.0), high: estimate + half }
    }
}

/// The percentile bootstrap interval (Efron 1979) of a statistic at confidence `level`: the central quantiles of its
/// values on `resamples` samples drawn with replacement. The draws are fixed, so equal input gives equal output.
///
/// # Errors
/// Fewer than two values or resamples, a level outside (0, 1), a statistic that comes out as NaN.
pub fn bootstrap<T: Copy>(
    values: &[T],
    resamples: usize,
    level: f64,
    statistic: impl Fn(&[T]) -> f64,
) -> Result<Interval, MetricError> {
    for (what, got) in
        [("a bootstrap interval", values.len()), ("a bootstrap interval (resamples)", resamples)]
    {
        if got < 2 {
            return Err(MetricError::TooFew { what, needed: 2, got });
        }
    }
    check("the level of interval", [level], "a number between 0 and 1", |level| level > 0.0 && level < 1.0)?;
    let mut random = Random::new(0x626f_6f74);
    let mut drawn = values.to_vec();
    let mut found = Vec::with_capacity(resamples);
    for _ in 0..resamples {
        drawn.iter_mut().for_each(|slot| *slot = values[random.below(values.len())]);
        found.push(statistic(&drawn));
    }
    let estimate = statistic(values);
    check("the statistic of sample", [estimate], "a number", |value| !value.is_nan())?;
    let tail = (1.0 - level) / 2.0;
    Ok(Interval { estimate, low: quantile(&found, tail)?, high: quantile(&found, 1.0 - tail)? })
}

/// z with probability `level` between -z and z under the normal law.
///
/// # Errors
/// A level outside (0, 1).
pub fn normal_quantile(level: f64) -> Result<f64, MetricError> {
    check("the level of interval", [level], "a number between 0 and 1", |level| level > 0.0 && level < 1.0)?;
    // The parameters are sound.
    Ok(Normal::new(0.0, 1.0).map_or(f64::NAN, |law| law.inverse_cdf((1.0 + level) / 2.0)))
}

/// A share with its interval at confidence `level`, of so many of `n` independent draws (Wilson 1927, "Probable Inference, the
/// Law of Succession, and Statistical Inference"): the shares p of which the one found is at most z deviations
/// sqrt(p (1 - p) / n) away.
///
/// # Errors
/// No draws, more found than drawn, a level outside (0, 1).
pub fn wilson(found: usize, n: usize, level: f64) -> Result<Interval, MetricError> {
    if n == 0 {
        return Err(MetricError::TooFew { what: "an interval of a share", needed: 1, got: 0 });
    }
    if found > n {
        let what = "draws of a share";
        return Err(MetricError::Length { what, expected: n, got: found });
    }
    let z = normal_quantile(level)?;
    let (n, share) = (n as f64, found as f64 / n as f64);
    let scale = 1.0 + z * z / n;
    let middle = (share + z * z / (2.0 * n)) / scale;
    let reach = z * (share * (1.0 - share) / n + z * z / (4.0 * n * n)).sqrt() / scale;
    Ok(Interval {
        estimate: share,
        low: (middle - reach).max(0.0).min(share),
        high: (middle + reach).min(1.0).max(share),
    })
}

/// The mean of a normal sample with its interval at confidence `level`: mean ± t s / sqrt n, with t the quantile
/// (1 + level) / 2 of Student's distribution with n - 1 degrees of freedom (Student 1908).
///
/// # Errors
/// Fewer than two values, one that is not finite, a level outside (0, 1).
pub fn student(values: &[f64], level: f64) -> Result<Interval, MetricError> {
    let n = values.len();
    if n < 2 {
        return Err(MetricError::TooFew { what: "an interval of the mean", needed: 2, got: n });
    }
    check("value", values.iter().copied(), "a finite number", f64::is_finite)?;
    check("the level of interval", [level], "a number between 0 and 1", |level| level > 0.0 && level < 1.0)?;
    let mut moments = Moments::default();
    values.iter().for_each(|value| moments.push(*value));
    let (mean, error) = (moments.mean().unwrap_or(0.0), moments.standard_error().unwrap_or(0.0));
    // The parameters are sound: n - 1 is at least 1.
    let t =
        StudentsT::new(0.0, 1.0, (n - 1) as f64).map_or(f64::NAN, |law| law.inverse_cdf((1.0 + level) / 2.0));
    Ok(Interval { estimate: mean, low: mean - t * error, high: mean + t * error })
}

/// A counter-based generator for resampling: word i is the SplitMix64 finalizer (Steele, Lea and Flood 2014) of
/// seed + i times the golden gamma.
#[derive(Clone, Debug)]
pub struct Random {
    state: u64,
}

impl Random {
    /// The sequence of a seed.
    pub fn new(seed: u64) -> Self {
        Self { state: seed }
    }

    /// The next 64 bits.
    pub fn word(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let z = (self.state ^ (self.state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// Uniform on [0, 1), a multiple of 2^-53.
    pub fn unit(&mut self) -> f64 {
        (self.word() >> 11) as f64 * (1.0 / 9_007_199_254_740_992.0)
    }

    /// Uniform on 0..bound, its bias below bound / 2^64; 0 for a bound of 0.
    pub fn below(&mut self, bound: usize) -> usize {
        ((u128::from(self.word()) * bound as u128) >> 64) as usize
    }

    /// A standard normal (Box and Muller 1958) of two uniforms, which it does not share with the next.
    pub fn normal(&mut self) -> f64 {
        let (radius, angle) = (1.0 - self.unit(), self.unit());
        (-2.0 * radius.ln()).sqrt() * (std::f64::consts::TAU * angle).cos()
    }

    /// Puts values into an order of equal probability for all (Fisher and Yates), from the front.
    pub fn shuffle<T>(&mut self, values: &mut [T]) {
        for i in 0..values.len() {
            values.swap(i, i + self.below(values.len() - i));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_exact_where_the_short_formula_fails() {
        let values = [4.0, 7.0, 13.0, 16.0].map(|x| x + 1e9);
        let moments: Moments = values.into_iter().collect();
        assert_eq!((moments.mean(), moments.variance()), (Some(1e9 + 10.0), Some(30.0)));
        assert_eq!(moments.population_variance(), Some(22.5));
        assert_eq!(moments.standard_error(), Some(7.5_f64.sqrt()));
        // The wrong twin, E[x^2] - E[x]^2, loses every digit here.
        let mean_square = values.iter().map(|x| x * x).sum::<f64>() / 4.0;
        let mean = values.iter().sum::<f64>() / 4.0;
        assert!((mean_square - mean * mean - 22.5).abs() > 1.0);
    }

    #[test]
    fn few_values_have_no_variance() {
        let mut moments = Moments::default();
        assert_eq!((moments.mean(), moments.variance(), moments.population_variance()), (None, None, None));
        moments.push(3.0);
        assert_eq!(
            (moments.mean(), moments.variance(), moments.population_variance()),
            (Some(3.0), None, Some(0.0))
        );
    }

    #[test]
    fn merging_is_pushing() {
        let mut random = Random::new(1);
        let values: Vec<f64> = (0..1000).map(|_| random.unit()).collect();
        let whole: Moments = values.iter().copied().collect();
        for cut in [0, 1, 400, 1000] {
            let mut left: Moments = values[..cut].iter().copied().collect();
            left.merge(&values[cut..].iter().copied().collect());
            assert_eq!(left.count(), 1000);
            assert!((left.mean().unwrap() - whole.mean().unwrap()).abs() < 1e-13);
            assert!((left.variance().unwrap() - whole.variance().unwrap()).abs() < 1e-13);
        }
    }

    #[test]
    fn quantiles_follow_type_seven() {
        let values = [40.0, 10.0, 30.0, 20.0];
        for (share, expected) in
            [(0.0, 10.0), (1.0, 40.0), (0.5, 25.0), (0.25, 17.5), (1.0 / 3.0, 20.0), (0.9, 37.0)]
        {
            let got = quantile(&values, share).unwrap();
            assert!((got - expected).abs() < 1e-12, "{share}: {got}");
        }
        assert_eq!(median(&[3.0, 1.0, 2.0]), Ok(2.0));
        assert_eq!(quantile(&[7.0], 0.3), Ok(7.0));
        assert_eq!(median(&[f64::INFINITY; 2]), Ok(f64::INFINITY));
        assert!(
            quantile(&[], 0.5).is_err()
                && quantile(&[1.0], 1.1).is_err()
                && median(&[f64::NAN, 1.0]).is_err()
        );
    }

    #[test]
    fn ratios_are_paired() {
        // One disturbed pair and a machine that slows down: each pair still has ratio 2.
        let (slow, fast) = ([2.0, 4.0, 8.0, 99.0, 16.0], [1.0, 2.0, 4.0, 5.0, 8.0]);
        assert_eq!(median_of_ratios(&slow, &fast), Ok(2.0));
        // The wrong twin, the ratio of medians, takes its parts from different pairs once they are out of order.
        let (slow, fast) = ([2.0, 12.0, 6.0], [1.0, 2.0, 3.0]);
        assert_eq!(median_of_ratios(&slow, &fast), Ok(2.0));
        assert_eq!(median(&slow).unwrap() / median(&fast).unwrap(), 3.0);
        assert!(median_of_ratios(&[1.0], &[0.0]).is_err());
        assert!(median_of_ratios(&[1.0], &[]).is_err());
        assert!(median_of_ratios(&[], &[]).is_err());
    }

    #[test]
    fn bootstrap_intervals_cover_as_often_as_they_say() {
        let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
        let (mut random, mut covered, rounds) = (Random::new(5), 0, 400);
        for _ in 0..rounds {
            let sample: Vec<f64> = (0..60).map(|_| random.unit()).collect();
            let interval = bootstrap(&sample, 300, 0.9, mean).unwrap();
            assert!(interval.low <= interval.estimate && interval.estimate <= interval.high);
            covered += u32::from((interval.low..=interval.high).contains(&0.5));
        }
        // 360 of 400 expected, standard deviation 6; percentile intervals of 60 values cover a little less.
        assert!((334..=382).contains(&covered), "{covered}");
    }

    #[test]
    fn ends_of_a_share_solve_wilsons_equation() {
        for (found, n) in [(0, 10), (1, 10), (7, 10), (9_770, 10_000), (10, 10)] {
            let interval = wilson(found, n, 0.95).unwrap();
            assert!((interval.estimate - found as f64 / n as f64).abs() < 1e-15);
            assert!(interval.low <= interval.estimate && interval.estimate <= interval.high);
            for end in [interval.low, interval.high] {
                let away = (interval.estimate - end).abs() / (end * (1.0 - end) / n as f64).sqrt();
                // An end on the estimate itself, 0 or 1, is no solution but the border.
                assert!(
                    (away - 1.959_964).abs() < 1e-4 || end == interval.estimate,
                    "{found} of {n}: {away}"
                );
            }
        }
        assert!(wilson(0, 0, 0.95).is_err() && wilson(3, 2, 0.95).is_err() && wilson(1, 2, 1.0).is_err());
    }

    #[test]
    fn bootstrap_repeats_itself_and_refuses_the_impossible() {
        let values = [1.0_f64, 5.0, 2.0, 8.0];
        let of = |level| bootstrap(&values, 100, level, |v| v[0].max(v[1]).max(v[2]).max(v[3]));
        assert_eq!(of(0.9), of(0.9));
        assert!(bootstrap(&[1.0], 100, 0.9, |v| v[0]).is_err());
        assert!(bootstrap(&values, 1, 0.9, |v| v[0]).is_err());
        assert!(of(1.0).is_err() && of(f64::NAN).is_err());
        assert!(bootstrap(&values, 10, 0.9, |_| f64::NAN).is_err());
    }

    #[test]
    fn random_words_are_those_of_splitmix64() {
        // The reference implementation (Vigna, splitmix64.c) with seed 1234567.
        let mut random = Random::new(1_234_567);
        let expected = [6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423];
        assert_eq!([random.word(), random.word(), random.word()], expected);
        assert!((0..1000).all(|_| random.below(7) < 7 && (0.0..1.0).contains(&random.unit())));
        assert_eq!(random.below(0), 0);
    }

    #[test]
    fn normals_and_shuffles_have_their_laws() {
        let mut random = Random::new(11);
        let moments: Moments = (0..40_000).map(|_| random.normal()).collect();
        // Four deviations of the mean and of the variance, sqrt(2 / n).
        assert!(moments.mean().unwrap().abs() < 0.02 && (moments.variance().unwrap() - 1.0).abs() < 0.03);
        let mut places = [0u32; 4];
        for _ in 0..8000 {
            let mut four = [0, 1, 2, 3];
            random.shuffle(&mut four);
            places[four.iter().position(|&x| x == 0).unwrap()] += 1;
        }
        assert!(places.iter().all(|&count| (1845..=2155).contains(&count)), "{places:?}");
    }
}
