//! Initializers: the distribution of a parameter's first value.

mod orthogonal;

use crate::error::{ParseError, suggestion};
use ganymede_kernels::pool::{Pool, PoolError};
use ganymede_kernels::random::philox4x32;
use std::f64::consts::TAU;
use std::fmt;
use std::sync::{Mutex, PoisonError};

/// How a parameter's first value is drawn. Normals are not truncated.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Init {
    /// 0 everywhere.
    Zeros,
    /// 1 everywhere.
    Ones,
    /// One value everywhere.
    Constant(f64),
    /// Normal. DCGAN draws weights from N(0, .02) and batch-norm scales from N(1, .02) (Radford, Metz, Chintala 2015).
    Normal {
        /// Mean.
        mean: f64,
        /// Standard deviation.
        std: f64,
    },
    /// Uniform on [low, high).
    Uniform {
        /// Lower bound.
        low: f64,
        /// Upper bound.
        high: f64,
    },
    /// U(-a, a) with a = sqrt(6 / (fan_in + fan_out)) (Glorot, Bengio 2010, equation 16).
    GlorotUniform,
    /// N(0, 2 / (fan_in + fan_out)) (Glorot, Bengio 2010, equation 12).
    GlorotNormal,
    /// N(0, gain^2 / fan_in); gain sqrt 2 keeps the variance through ReLU (He, Zhang, Ren, Sun 2015, equation 10).
    HeNormal {
        /// Factor on 1 / sqrt(fan_in).
        gain: f64,
    },
    /// U(-a, a) with a = sqrt(6 / fan_in) (He, Zhang, Ren, Sun 2015).
    HeUniform,
    /// What PyTorch gives linear and convolutional weights: He's uniform with negative slope sqrt 5, which is
    /// U(-a, a) with a = 1 / sqrt(fan_in). It counts a transposed convolution's fan-in as that of the convolution it
    /// transposes, and so does this.
    TorchDefault,
    /// A random (semi-)orthogonal matrix times gain (Saxe, McClelland, Ganguli 2013). All axes but the last are the
    /// rows; the smaller side is orthonormal.
    Orthogonal {
        /// Factor on the matrix.
        gain: f64,
    },
}

/// How fans are read off a shape. For rank 2 and more, r = product of all axes but the last two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FanRule {
    /// Dense weights [in, out] and convolution weights [KH, KW, C_in / groups, C_out]: fan_in = r shape[-2],
    /// fan_out = r shape[-1].
    Forward,
    /// Transposed convolution, stored as the convolution it transposes [KH, KW, C_out / groups, C_in]: fan_in = r
    /// shape[-1], fan_out = r shape[-2].
    Transposed,
}

impl FanRule {
    /// (fan_in, fan_out) of `shape`. A vector counts its length for both, a scalar 1.
    pub fn fans(self, shape: &[usize]) -> (usize, usize) {
        let stored = match shape {
            [] => (1, 1),
            [n] => (*n, *n),
            [outer @ .., a, b] => {
                let receptive: usize = outer.iter().product();
                (receptive * a, receptive * b)
            }
        };
        match self {
            FanRule::Forward => stored,
            FanRule::Transposed => (stored.1, stored.0),
        }
    }
}

/// FNV-1a, 64 bits (Fowler, Noll, Vo).
pub(crate) fn hash_name(name: &str) -> u64 {
    name.bytes().fold(0xcbf2_9ce4_8422_2325, |h, b| (h ^ u64::from(b)).wrapping_mul(0x0000_0100_0000_01b3))
}

/// The random words of one parameter.
pub(crate) struct Stream {
    key: [u32; 2],
    name: u64,
}

impl Stream {
    /// Words under `key` for the parameter `name`.
    pub(crate) fn new(key: [u32; 2], name: &str) -> Self {
        Self { key, name: hash_name(name) }
    }

    fn block(&self, block: u64) -> [u32; 4] {
        let counter = [block as u32, (block >> 32) as u32, self.name as u32, (self.name >> 32) as u32];
        philox4x32(counter, self.key)
    }

    /// Draws in (0, 1), centred in steps of 2^-32: those from block `first` on, each as `map` sends it.
    fn uniforms(&self, first: u64, out: &mut [f32], map: impl Fn(f64) -> f32) {
        for (block, out) in (first..).zip(out.chunks_mut(BLOCK)) {
            for (value, word) in out.iter_mut().zip(self.block(block)) {
                *value = map(unit(word));
            }
        }
    }

    /// Standard normals by the transform of Box and Muller (1958), two for every two words: those from block `first` on,
    /// each as `map` sends it.
    pub(crate) fn normals<T>(&self, first: u64, out: &mut [T], map: impl Fn(f64) -> T) {
        for (block, out) in (first..).zip(out.chunks_mut(BLOCK)) {
            let [a, b, c, d] = self.block(block);
            let ([w, x], [y, z]) = (box_muller(a, b), box_muller(c, d));
            for (value, normal) in out.iter_mut().zip([w, x, y, z]) {
                *value = map(normal);
            }
        }
    }
}

/// Values of one block of random words.
const BLOCK: usize = 4;
/// Values that one task draws: whole blocks, tens of microseconds.
const STRETCH: usize = 1 << 14;

/// What the values of a parameter follow, its fans known.
enum Law {
    /// Each by itself, from its block of random words.
    Each(Each),
    /// All together: a random orthogonal matrix times gain.
    Orthogonal { gain: f64 },
}

enum Each {
    Constant(f64),
    Uniform { low: f64, high: f64 },
    Normal { mean: f64, std: f64 },
}

impl Law {
    fn uniform(low: f64, high: f64) -> Law {
        Law::Each(Each::Uniform { low, high })
    }

    fn symmetric(bound: f64) -> Law {
        Law::uniform(-bound, bound)
    }

    fn normal(mean: f64, std: f64) -> Law {
        Law::Each(Each::Normal { mean, std })
    }
}

impl Each {
    /// The values from block `first` on.
    fn draw(&self, stream: &Stream, first: u64, out: &mut [f32]) {
        match *self {
            Each::Constant(v) => out.fill(v as f32),
            Each::Uniform { low, high } => stream.uniforms(first, out, |u| (low + (high - low) * u) as f32),
            Each::Normal { mean, std } => stream.normals(first, out, |z| (mean + std * z) as f32),
        }
    }
}

/// Cuts `out` into stretches and gives each, with the number of its first block, to a worker.
fn on_workers(pool: &Pool, out: &mut [f32], draw: impl Fn(u64, &mut [f32]) + Sync) -> Result<(), PoolError> {
    let stretches: Vec<Mutex<&mut [f32]>> = out.chunks_mut(STRETCH).map(Mutex::new).collect();
    pool.run(&|worker| {
        worker.stage_near(stretches.len(), |i| {
            let mut stretch = stretches[i].lock().unwrap_or_else(PoisonError::into_inner);
            draw((i * (STRETCH / BLOCK)) as u64, &mut stretch);
        });
    })
}

fn unit(word: u32) -> f64 {
    (f64::from(word) + 0.5) * (1.0 / 4_294_967_296.0)
}

fn box_muller(a: u32, b: u32) -> [f64; 2] {
    let radius = (-2.0 * unit(a).ln()).sqrt();
    let (sin, cos) = (TAU * unit(b)).sin_cos();
    [radius * cos, radius * sin]
}

impl Init {
    /// He's normal with the gain for ReLU.
    pub fn he_normal() -> Self {
        Init::HeNormal { gain: std::f64::consts::SQRT_2 }
    }

    /// Where it comes from.
    pub fn paper(&self) -> &'static str {
        match self {
            Init::Zeros | Init::Ones | Init::Constant(_) => "a constant",
            Init::Normal { .. } => "Radford, Metz, Chintala 2015 (DCGAN) with standard deviation .02",
            Init::Uniform { .. } => "a uniform distribution",
            Init::GlorotUniform | Init::GlorotNormal => "Glorot, Bengio 2010",
            Init::HeNormal { .. } | Init::HeUniform => "He, Zhang, Ren, Sun 2015",
            Init::TorchDefault => "PyTorch's default, after He, Zhang, Ren, Sun 2015",
            Init::Orthogonal { .. } => "Saxe, McClelland, Ganguli 2013",
        }
    }

    fn law(&self, shape: &[usize], rule: FanRule) -> Law {
        let (fan_in, fan_out) = rule.fans(shape);
        let (fan_in, fan_out) = (fan_in.max(1) as f64, fan_out.max(1) as f64);
        match *self {
            Init::Zeros => Law::Each(Each::Constant(0.0)),
            Init::Ones => Law::Each(Each::Constant(1.0)),
            Init::Constant(v) => Law::Each(Each::Constant(v)),
            Init::Normal { mean, std } => Law::normal(mean, std),
            Init::Uniform { low, high } => Law::uniform(low, high),
            Init::GlorotUniform => Law::symmetric((6.0 / (fan_in + fan_out)).sqrt()),
            Init::GlorotNormal => Law::normal(0.0, (2.0 / (fan_in + fan_out)).sqrt()),
            Init::HeNormal { gain } => Law::normal(0.0, gain / fan_in.sqrt()),
            Init::HeUniform => Law::symmetric((6.0 / fan_in).sqrt()),
            Init::TorchDefault => {
                let stored = match rule {
                    FanRule::Forward => fan_in,
                    FanRule::Transposed => fan_out,
                };
                Law::symmetric(1.0 / stored.sqrt())
            }
            Init::Orthogonal { gain } => Law::Orthogonal { gain },
        }
    }

    /// Values of the given shape, row-major.
    pub(crate) fn draw(&self, shape: &[usize], rule: FanRule, stream: &Stream, out: &mut [f32]) {
        match self.law(shape, rule) {
            Law::Each(each) => each.draw(stream, 0, out),
            Law::Orthogonal { gain } => orthogonal::draw(shape, gain, stream, out),
        }
    }

    /// As [`Init::draw`], by the workers of `pool` where values are drawn each by itself. A block of random words depends
    /// on its number alone, so they are the same bits.
    pub(crate) fn draw_on(
        &self,
        shape: &[usize],
        rule: FanRule,
        stream: &Stream,
        pool: &Pool,
        out: &mut [f32],
    ) -> Result<(), PoolError> {
        match self.law(shape, rule) {
            Law::Each(each) if out.len() > STRETCH => {
                on_workers(pool, out, |first, out| each.draw(stream, first, out))?;
            }
            Law::Each(_) | Law::Orthogonal { .. } => self.draw(shape, rule, stream, out),
        }
        Ok(())
    }

    /// Reads `normal:0.02`, `normal:MEAN:STD`, `uniform:LOW:HIGH`, `constant:V`, `he_normal[:GAIN]`,
    /// `orthogonal[:GAIN]`, `glorot_uniform`, `glorot_normal`, `he_uniform`, `torch`, `zeros` or `ones`.
    ///
    /// # Errors
    /// If the word is unknown (the nearest is named) or its numbers are missing, too many or not finite.
    pub fn parse(text: &str) -> Result<Self, ParseError> {
        let fail = |message: String| ParseError::new("an initializer", text, message);
        let mut parts = text.split(':');
        let word = parts.next().unwrap_or_default();
        let numbers: Vec<f64> = parts
            .map(|p| match p.parse::<f64>() {
                Ok(v) if v.is_finite() => Ok(v),
                _ => Err(fail(format!("`{p}` is not a finite number"))),
            })
            .collect::<Result<_, _>>()?;
        let usage = |usage: &str| fail(format!("write `{usage}`"));
        let spread = |v: f64| if v >= 0.0 { Ok(v) } else { Err(fail("a spread cannot be negative".into())) };
        let plain = |init: Init| if numbers.is_empty() { Ok(init) } else { Err(usage(word)) };
        match word {
            "zeros" => plain(Init::Zeros),
            "ones" => plain(Init::Ones),
            "glorot_uniform" => plain(Init::GlorotUniform),
            "glorot_normal" => plain(Init::GlorotNormal),
            "he_uniform" => plain(Init::HeUniform),
            "torch" => plain(Init::TorchDefault),
            "constant" => match numbers[..] {
                [v] => Ok(Init::Constant(v)),
                _ => Err(usage("constant:0.5")),
            },
            "normal" => match numbers[..] {
                [std] => Ok(Init::Normal { mean: 0.0, std: spread(std)? }),
                [mean, std] => Ok(Init::Normal { mean, std: spread(std)? }),
                _ => Err(usage("normal:0.02` or, with a mean, `normal:1:0.02")),
            },
            "uniform" => match numbers[..] {
                [low, high] if low <= high => Ok(Init::Uniform { low, high }),
                _ => Err(usage("uniform:-0.05:0.05")),
            },
            "he_normal" => match numbers[..] {
                [] => Ok(Init::he_normal()),
                [gain] => Ok(Init::HeNormal { gain: spread(gain)? }),
                _ => Err(usage("he_normal` or, with a gain, `he_normal:1")),
            },
            "orthogonal" => match numbers[..] {
                [] => Ok(Init::Orthogonal { gain: 1.0 }),
                [gain] => Ok(Init::Orthogonal { gain: spread(gain)? }),
                _ => Err(usage("orthogonal` or, with a gain, `orthogonal:1.4")),
            },
            _ => Err(fail(suggestion(word, WORDS.iter().map(|w| w.name)))),
        }
    }
}

/// A word that [`Init::parse`] reads.
#[derive(Clone, Copy, Debug)]
pub struct InitWord {
    /// The word.
    pub name: &'static str,
    /// With its numbers.
    pub usage: &'static str,
    /// One that can be read.
    pub example: &'static str,
    /// What it draws, with its source.
    pub doc: &'static str,
}

impl InitWord {
    const fn new(name: &'static str, usage: &'static str, example: &'static str, doc: &'static str) -> Self {
        Self { name, usage, example, doc }
    }
}

/// Every initializer.
pub const WORDS: &[InitWord] = &[
    InitWord::new("zeros", "zeros", "zeros", "0 everywhere"),
    InitWord::new("ones", "ones", "ones", "1 everywhere"),
    InitWord::new("constant", "constant:VALUE", "constant:0.5", "one value everywhere"),
    InitWord::new(
        "normal",
        "normal:[MEAN:]STD",
        "normal:0.02",
        "normal; DCGAN draws its weights with standard deviation .02 (Radford, Metz, Chintala 2015)",
    ),
    InitWord::new("uniform", "uniform:LOW:HIGH", "uniform:-0.05:0.05", "uniform between two bounds"),
    InitWord::new(
        "glorot_uniform",
        "glorot_uniform",
        "glorot_uniform",
        "uniform with variance 2 / (fan_in + fan_out) (Glorot, Bengio 2010)",
    ),
    InitWord::new(
        "glorot_normal",
        "glorot_normal",
        "glorot_normal",
        "normal with variance 2 / (fan_in + fan_out) (Glorot, Bengio 2010)",
    ),
    InitWord::new(
        "he_normal",
        "he_normal[:GAIN]",
        "he_normal:1",
        "normal with standard deviation GAIN / sqrt(fan_in), GAIN sqrt 2 unless given (He, Zhang, Ren, Sun 2015)",
    ),
    InitWord::new(
        "he_uniform",
        "he_uniform",
        "he_uniform",
        "uniform with variance 2 / fan_in (He, Zhang, Ren, Sun 2015)",
    ),
    InitWord::new("torch", "torch", "torch", "PyTorch's default: uniform within 1 / sqrt(fan_in)"),
    InitWord::new(
        "orthogonal",
        "orthogonal[:GAIN]",
        "orthogonal:1.4",
        "a random orthogonal matrix times GAIN, 1 unless given (Saxe, McClelland, Ganguli 2013)",
    ),
];

impl fmt::Display for Init {
    /// As [`Init::parse`] reads it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Init::Zeros => f.write_str("zeros"),
            Init::Ones => f.write_str("ones"),
            Init::Constant(v) => write!(f, "constant:{v}"),
            Init::Normal { mean, std } if *mean == 0.0 => write!(f, "normal:{std}"),
            Init::Normal { mean, std } => write!(f, "normal:{mean}:{std}"),
            Init::Uniform { low, high } => write!(f, "uniform:{low}:{high}"),
            Init::GlorotUniform => f.write_str("glorot_uniform"),
            Init::GlorotNormal => f.write_str("glorot_normal"),
            Init::HeNormal { gain } => write!(f, "he_normal:{gain}"),
            Init::HeUniform => f.write_str("he_uniform"),
            Init::TorchDefault => f.write_str("torch"),
            Init::Orthogonal { gain } => write!(f, "orthogonal:{gain}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_is_fnv_1a() {
        // Vectors of the reference implementation.
        assert_eq!(hash_name(""), 0xcbf2_9ce4_8422_2325);
        assert_eq!(hash_name("a"), 0xaf63_dc4c_8601_ec8c);
        assert_eq!(hash_name("foobar"), 0x8594_4171_f739_67e8);
    }

    #[test]
    fn every_word_has_an_example_that_reads_and_a_sentence() {
        for word in WORDS {
            let read = Init::parse(word.example).unwrap();
            assert!(read.to_string().starts_with(word.name), "{} reads as {read}", word.example);
            assert!(word.usage.starts_with(word.name) && word.doc.len() > 10, "{}", word.name);
            assert_eq!(WORDS.iter().filter(|w| w.name == word.name).count(), 1, "{}", word.name);
        }
    }

    #[test]
    fn words_come_from_the_documented_counter() {
        let stream = Stream::new([3, 4], "a");
        let mut drawn = [0.0; 6];
        stream.uniforms(0, &mut drawn, |u| u as f32);
        let words: Vec<u32> =
            (0..2).flat_map(|block| philox4x32([block, 0, 0x8601_ec8c, 0xaf63_dc4c], [3, 4])).collect();
        let expected: Vec<f32> = words[..6].iter().map(|&w| unit(w) as f32).collect();
        assert_eq!(drawn, expected[..]);
    }

    #[test]
    fn workers_draw_what_one_thread_draws() {
        // The last stretch ends within a block, or at its end, or there is one alone.
        for shape in [[3, STRETCH - 1], [2, STRETCH], [1, 7]] {
            let stream = Stream::new([5, 6], "G/dense/weight");
            let count = shape[0] * shape[1];
            for init in [Init::Normal { mean: 1.0, std: 0.5 }, Init::TorchDefault, Init::Constant(0.25)] {
                let mut alone = vec![f32::NAN; count];
                init.draw(&shape, FanRule::Forward, &stream, &mut alone);
                assert!(alone.iter().all(|v| v.is_finite()), "{init} {shape:?}");
                for threads in 1..4 {
                    let pool = Pool::new(threads).unwrap();
                    let mut out = vec![f32::NAN; count];
                    init.draw_on(&shape, FanRule::Forward, &stream, &pool, &mut out).unwrap();
                    assert_eq!(out, alone, "{init} {shape:?} {threads}");
                }
            }
        }
    }
}
