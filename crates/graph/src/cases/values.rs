//! Deterministic operands. Every float is exact in f32, so that runs in f32 and in f64 start from the same numbers.

use crate::array::Array;
use crate::ops::scalar;
use ganymede_kernels::random::philox4x32;

/// A stream of random values, the same on every machine.
pub struct Values {
    seed: u32,
    next: u32,
}

impl Values {
    /// The stream of `seed`.
    pub fn new(seed: u32) -> Self {
        Self { seed, next: 0 }
    }

    /// 32 random bits.
    pub fn word(&mut self) -> u32 {
        let word = philox4x32([self.next, 0, 0, 0x5eed], [self.seed, 0])[0];
        self.next += 1;
        word
    }

    /// An index below `n`.
    pub fn below(&mut self, n: usize) -> usize {
        self.word() as usize % n
    }

    /// One of the choices.
    pub fn choose<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len())]
    }

    /// A number of the open interval (0, 1).
    pub fn unit(&mut self) -> f64 {
        (f64::from(self.word() >> 9) + 0.5) / f64::from(1 << 23)
    }

    /// Uniform on (low, high).
    pub fn uniform(&mut self, shape: &[usize], low: f64, high: f64) -> Array {
        let n = shape.iter().product();
        let values: Vec<f64> = (0..n).map(|_| f64::from((low + (high - low) * self.unit()) as f32)).collect();
        Array::f32(shape, values)
    }

    /// Standard normal.
    pub fn normal(&mut self, shape: &[usize]) -> Array {
        self.normal_scaled(shape, 1.0)
    }

    /// Normal with standard deviation `sigma`.
    pub fn normal_scaled(&mut self, shape: &[usize], sigma: f64) -> Array {
        let n = shape.iter().product();
        let one = |u: f64| sigma * std::f64::consts::SQRT_2 * scalar::erfinv(2.0 * u - 1.0);
        let values: Vec<f64> = (0..n).map(|_| f64::from(one(self.unit()) as f32)).collect();
        Array::f32(shape, values)
    }

    /// Distinct values in random order, `gap` apart and centred on 0, none of them 0: no maximum is near a tie, and
    /// no element near a kink at 0.
    pub fn spaced(&mut self, shape: &[usize], gap: f64) -> Array {
        let n: usize = shape.iter().product();
        let mut order: Vec<usize> = (0..n).collect();
        for i in (1..n).rev() {
            order.swap(i, self.below(i + 1));
        }
        let centre = (n / 2) as f64 - 0.5;
        let values: Vec<f64> =
            order.into_iter().map(|k| f64::from(((k as f64 - centre) * gap) as f32)).collect();
        Array::f32(shape, values)
    }

    /// i32 of low..high.
    pub fn integers(&mut self, shape: &[usize], low: i32, high: i32) -> Array {
        let n = shape.iter().product();
        let span = (high - low) as usize;
        let values: Vec<i32> = (0..n).map(|_| low + self.below(span) as i32).collect();
        Array::i32(shape, values)
    }

    /// True or false.
    pub fn bools(&mut self, shape: &[usize]) -> Array {
        let n = shape.iter().product();
        let values: Vec<bool> = (0..n).map(|_| self.word() & 1 == 1).collect();
        Array::bool(shape, values)
    }

    /// Random u32.
    pub fn words(&mut self, shape: &[usize]) -> Array {
        let n = shape.iter().product();
        let values: Vec<u32> = (0..n).map(|_| self.word()).collect();
        Array::u32(shape, values)
    }
}
