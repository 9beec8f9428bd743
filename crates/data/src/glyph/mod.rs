//! Digits as a hand might draw them: strokes, bent and slanted at random, rendered with soft edges.
//!
//! 28 x 28 grey, white ink (1) on black (-1), the ink in a box of about 20 x 20 as in MNIST. Glyph i under a seed is
//! a pure function of both. Only exactly rounded operations are used (no library sine or logarithm), so the bits are
//! the same on every machine.

mod render;
mod shapes;

use crate::{
    dataset::{ContentHash, Dataset, Items},
    random::{Draws, Stream},
    source::{OpenOptions, Split},
};
use render::Pen;
use shapes::{DIGITS, Knot};

/// Height and width of a glyph in pixels.
pub const SIDE: usize = 28;

/// Raised when the same seed draws other glyphs.
const VERSION: u32 = 1;

/// Straight pieces a curve is cut into between two knots.
const PIECES: usize = 4;

/// The endless set of glyphs.
pub(crate) fn dataset(spec: &str, options: &OpenOptions) -> Dataset {
    let mut hasher = blake3::Hasher::new();
    hasher.update(b"glyphs");
    hasher.update(&VERSION.to_le_bytes());
    let stream = match options.split {
        Split::Train => Stream::GlyphTrain,
        Split::Test => Stream::GlyphTest,
    };
    let items = Glyphs { seed: options.seed, stream };
    Dataset::new(spec, &[SIDE, SIDE, 1], ContentHash(hasher.finalize().into()), Box::new(items))
        .with_classes((0..DIGITS.len()).map(|digit| digit.to_string()).collect())
}

struct Glyphs {
    seed: u64,
    stream: Stream,
}

impl Items for Glyphs {
    fn count(&self) -> Option<u64> {
        None
    }

    fn held_bytes(&self) -> u64 {
        0
    }

    fn fill(&self, indices: &[u64], out: &mut [f32], mut labels: Option<&mut [i32]>) {
        let mut artist = Artist::default();
        for (slot, (&index, pixels)) in indices.iter().zip(out.chunks_exact_mut(SIDE * SIDE)).enumerate() {
            let mut draws = Draws::new(self.seed, self.stream, index);
            let digit = draws.below(DIGITS.len() as u64) as usize;
            artist.draw(digit, &mut draws, pixels);
            if let Some(labels) = labels.as_deref_mut() {
                labels[slot] = digit as i32;
            }
        }
    }

    fn labels(&self, indices: &[u64], labels: &mut [i32]) -> bool {
        for (label, &index) in labels.iter_mut().zip(indices) {
            *label = Draws::new(self.seed, self.stream, index).below(DIGITS.len() as u64) as i32;
        }
        true
    }
}

/// Buffers kept from glyph to glyph.
#[derive(Default)]
struct Artist {
    /// The knots of one stroke, moved by its hand.
    knots: Vec<[f32; 2]>,
    /// Every stroke as a line through points.
    points: Vec<[f32; 2]>,
    /// Where in `points` each stroke ends.
    ends: Vec<usize>,
}

impl Artist {
    fn draw(&mut self, digit: usize, draws: &mut Draws, pixels: &mut [f32]) {
        let styles = DIGITS[digit];
        let style = styles[draws.below(styles.len() as u64) as usize];
        self.points.clear();
        self.ends.clear();
        for stroke in style {
            self.trace(stroke, draws);
        }
        let hand = Hand::draw(draws);
        hand.place(&mut self.points);
        let mut pen = Pen::new(hand.radius, hand.softness);
        let mut first = 0;
        for &end in &self.ends {
            pen.stroke(&self.points[first..end], hand.taper);
            first = end;
        }
        pen.ink(pixels);
    }

    /// Moves the knots of a stroke a little and lays a Catmull-Rom spline through them, broken at corners.
    fn trace(&mut self, stroke: &[Knot], draws: &mut Draws) {
        const TREMOR: f32 = 0.065;
        self.knots.clear();
        self.knots.extend(
            stroke.iter().map(|k| [k.x + TREMOR * draws.triangular(), k.y + TREMOR * draws.triangular()]),
        );
        let knots = &self.knots;
        self.points.push(knots[0]);
        for i in 0..knots.len() - 1 {
            let (from, to) = (knots[i], knots[i + 1]);
            // At an end or a corner the missing neighbour is the mirror image of the other one.
            let mirror = |p: [f32; 2], q: [f32; 2]| [2.0 * p[0] - q[0], 2.0 * p[1] - q[1]];
            let before = if i == 0 || stroke[i].corner { mirror(from, to) } else { knots[i - 1] };
            let after =
                if i + 2 == knots.len() || stroke[i + 1].corner { mirror(to, from) } else { knots[i + 2] };
            for piece in 1..=PIECES {
                let t = piece as f32 / PIECES as f32;
                self.points.push([0, 1].map(|a| catmull_rom(before[a], from[a], to[a], after[a], t)));
            }
        }
        self.ends.push(self.points.len());
    }
}

/// The cubic from q (t = 0) to r (t = 1) whose slopes there are half the chords of their neighbours (Catmull and
/// Rom 1974).
fn catmull_rom(p: f32, q: f32, r: f32, s: f32, t: f32) -> f32 {
    let linear = r - p;
    let square = 2.0 * p - 5.0 * q + 4.0 * r - s;
    let cube = 3.0 * (q - r) + s - p;
    q + 0.5 * t * (linear + t * (square + t * cube))
}

/// How one glyph is written: everything but its shape.
struct Hand {
    /// Half the thickness of the line in pixels.
    radius: f32,
    /// Width of the grey edge in pixels.
    softness: f32,
    /// Relative change of the radius from the beginning to the end of a stroke.
    taper: f32,
    /// Columns of the linear map: rotation after shear after aspect.
    across: [f32; 2],
    down: [f32; 2],
    /// The longer side of the ink box in pixels.
    extent: f32,
    /// Centre of the ink box in pixels.
    centre: [f32; 2],
}

impl Hand {
    fn draw(draws: &mut Draws) -> Self {
        // Rotation from the tangent of its half angle: cos = (1-t^2)/(1+t^2), sin = 2t/(1+t^2); up to 17 degrees.
        let tangent = 0.15 * draws.triangular();
        let denominator = 1.0 + tangent * tangent;
        let (cos, sin) = ((1.0 - tangent * tangent) / denominator, 2.0 * tangent / denominator);
        // Most hands lean to the right: y grows downwards, so a positive lean moves the top right.
        let lean = 0.12 + 0.38 * draws.triangular();
        let aspect = draws.range(0.75, 1.2);
        Self {
            radius: 1.2 + 0.6 * draws.triangular(),
            softness: draws.range(1.1, 1.7),
            taper: 0.25 * draws.triangular(),
            across: [cos * aspect, sin * aspect],
            down: [-cos * lean - sin, -sin * lean + cos],
            extent: 19.5 + 1.5 * draws.triangular(),
            centre: [0, 1].map(|_| SIDE as f32 / 2.0 + 1.5 * draws.triangular()),
        }
    }

    /// Maps points from the unit square of [`shapes`] to pixels.
    fn place(&self, points: &mut [[f32; 2]]) {
        let (mut low, mut high) = ([f32::INFINITY; 2], [f32::NEG_INFINITY; 2]);
        for point in points.iter_mut() {
            let [x, y] = *point;
            for axis in [0, 1] {
                point[axis] = self.across[axis] * x + self.down[axis] * y;
                low[axis] = low[axis].min(point[axis]);
                high[axis] = high[axis].max(point[axis]);
            }
        }
        // The line is thicker than its middle by a radius on each side.
        let longest = (high[0] - low[0]).max(high[1] - low[1]);
        let zoom = (self.extent - 2.0 * self.radius) / longest;
        for point in points {
            for axis in [0, 1] {
                point[axis] = self.centre[axis] + zoom * (point[axis] - 0.5 * (low[axis] + high[axis]));
            }
        }
    }
}

#[cfg(test)]
mod tests;
