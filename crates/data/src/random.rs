//! Counter-based random numbers: word `j` of item `i` under a seed is a pure function of (seed, stream, i, j), by
//! Philox4x32-10.

use ganymede_kernels::random::philox4x32;

/// The purposes random numbers are drawn for. The numbers are part of the data: a changed one is another set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub(crate) enum Stream {
    Shuffle = 0x6461_0000,
    GlyphTrain = 0x6461_0001,
    GlyphTest = 0x6461_0002,
    MixtureTrain = 0x6461_0003,
    MixtureTest = 0x6461_0004,
    Subset = 0x6461_0005,
    StackedTrain = 0x6461_0006,
    StackedTest = 0x6461_0007,
    ClassRound = 0x6461_0008,
}

/// The random words of one item, in order.
pub(crate) struct Draws {
    key: [u32; 2],
    counter: [u32; 4],
    block: [u32; 4],
    used: usize,
}

impl Draws {
    /// Counter layout: [block, index low, index high, stream]; key: [seed low, seed high].
    pub(crate) fn new(seed: u64, stream: Stream, index: u64) -> Self {
        Self {
            key: [seed as u32, (seed >> 32) as u32],
            counter: [0, index as u32, (index >> 32) as u32, stream as u32],
            block: [0; 4],
            used: 4,
        }
    }

    pub(crate) fn word(&mut self) -> u32 {
        if self.used == 4 {
            self.block = philox4x32(self.counter, self.key);
            self.counter[0] = self.counter[0].wrapping_add(1);
            self.used = 0;
        }
        self.used += 1;
        self.block[self.used - 1]
    }

    /// 64 bits, the first word low.
    pub(crate) fn word64(&mut self) -> u64 {
        let low = u64::from(self.word());
        low | u64::from(self.word()) << 32
    }

    /// Uniform on 0..bound: the high half of a 64 x 64 bit product. Its bias is below bound / 2^64.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        ((u128::from(self.word64()) * u128::from(bound)) >> 64) as u64
    }

    /// Uniform on [0, 1), a multiple of 2^-24.
    pub(crate) fn unit(&mut self) -> f32 {
        (self.word() >> 8) as f32 * (1.0 / 16_777_216.0)
    }

    /// Uniform on [low, high).
    pub(crate) fn range(&mut self, low: f32, high: f32) -> f32 {
        low + (high - low) * self.unit()
    }

    /// Triangular on (-1, 1), peak at 0, standard deviation 1/sqrt(6): bell-like with exactly rounded operations only.
    pub(crate) fn triangular(&mut self) -> f32 {
        self.unit() - self.unit()
    }

    /// Uniform on [0, 1), a multiple of 2^-53.
    pub(crate) fn unit64(&mut self) -> f64 {
        (self.word64() >> 11) as f64 * (1.0 / 9_007_199_254_740_992.0)
    }

    /// Two independent standard normals (Box and Muller 1958).
    pub(crate) fn normal_pair(&mut self) -> [f64; 2] {
        // 1 - u lies in (0, 1], so that the logarithm is finite.
        let radius = (-2.0 * (1.0 - self.unit64()).ln()).sqrt();
        let (sin, cos) = (std::f64::consts::TAU * self.unit64()).sin_cos();
        [radius * cos, radius * sin]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_follow_the_documented_counter() {
        let mut draws = Draws::new(0x0000_0002_0000_0001, Stream::GlyphTrain, 0x0000_0004_0000_0003);
        let words: Vec<u32> = (0..8).map(|_| draws.word()).collect();
        let stream = Stream::GlyphTrain as u32;
        assert_eq!(words[..4], philox4x32([0, 3, 4, stream], [1, 2]));
        assert_eq!(words[4..], philox4x32([1, 3, 4, stream], [1, 2]));
    }

    #[test]
    fn normals_have_unit_moments_and_no_correlation() {
        let count = 40_000;
        let (mut sum, mut square, mut fourth, mut cross) = (0.0, 0.0, 0.0, 0.0);
        for index in 0..count {
            let [a, b] = Draws::new(5, Stream::MixtureTrain, index).normal_pair();
            sum += a + b;
            square += a * a + b * b;
            fourth += a.powi(4) + b.powi(4);
            cross += a * b;
        }
        let n = 2.0 * count as f64;
        // Standard errors over 80,000 values: mean .0035, variance .005, fourth moment .035; four of each.
        assert!((sum / n).abs() < 0.014, "{}", sum / n);
        assert!((square / n - 1.0).abs() < 0.02, "{}", square / n);
        assert!((fourth / n - 3.0).abs() < 0.14, "{}", fourth / n);
        assert!((cross / count as f64).abs() < 0.02);
    }

    #[test]
    fn below_is_uniform() {
        let mut counts = [0_u32; 7];
        let mut draws = Draws::new(1, Stream::Shuffle, 0);
        for _ in 0..70_000 {
            counts[draws.below(7) as usize] += 1;
        }
        // Pearson's statistic with 6 degrees of freedom exceeds 22.5 with probability .001.
        let statistic: f64 = counts.iter().map(|&c| (f64::from(c) - 10_000.0).powi(2) / 10_000.0).sum();
        assert!(statistic < 22.5, "{counts:?}");
    }
}
