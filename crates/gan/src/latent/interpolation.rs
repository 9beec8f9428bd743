//! The way from one code to the next, as a sheet or as a closed walk.

use super::Sheet;
use super::codes::{Codes, Space};
use super::synthesizer::Synthesizer;
use crate::error::Error;

/// How codes between two others are chosen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Way {
    /// Along the sphere of latents ([`slerp`]).
    #[default]
    Slerp,
    /// Along the straight line between latents ([`lerp`]).
    Lerp,
    /// Along the straight line between their styles, for generators that have them (Karras, Laine, Aila 2019, StyleGAN,
    /// section 4.1).
    Styles,
}

impl Way {
    /// Every way.
    pub const ALL: [Way; 3] = [Way::Slerp, Way::Lerp, Way::Styles];

    /// Name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Way::Slerp => "slerp",
            Way::Lerp => "lerp",
            Way::Styles => "styles",
        }
    }
}

/// (1 - t) a + t b; at t = 0 and 1 the bits of a and b.
pub fn lerp(a: &[f32], b: &[f32], t: f64) -> Vec<f32> {
    let at = |(a, b): (&f32, &f32)| ((1.0 - t) * f64::from(*a) + t * f64::from(*b)) as f32;
    a.iter().zip(b).map(at).collect()
}

/// Spherical interpolation (Shoemake 1985, section 3.3; for latents White 2016, section 2.1): the direction turns from
/// that of a to that of b at constant speed,
///
/// sin((1 - t) w) / sin w a/|a| + sin(t w) / sin w b/|b|, w the angle between them,
///
/// and the norm goes from |a| to |b| at constant speed. A normal of many dimensions has its mass near a sphere, which the
/// straight line leaves: midway between two independent latents it is at 1/sqrt 2 of their norm, where training drew
/// nothing. At t = 0 and 1 these are the bits of a and b. Where the angle is 0 or pi, or a norm 0, there is no one way along
/// the sphere, and it is the straight line.
pub fn slerp(a: &[f32], b: &[f32], t: f64) -> Vec<f32> {
    if t == 0.0 || t == 1.0 {
        return if t == 0.0 { a.to_vec() } else { b.to_vec() };
    }
    let dot =
        |x: &[f32], y: &[f32]| -> f64 { x.iter().zip(y).map(|(x, y)| f64::from(*x) * f64::from(*y)).sum() };
    let (norm_a, norm_b) = (dot(a, a).sqrt(), dot(b, b).sqrt());
    let angle = (dot(a, b) / (norm_a * norm_b)).clamp(-1.0, 1.0).acos();
    // Also where a norm of 0 made the angle NaN.
    if angle.is_nan() || angle.sin() <= 1e-6 {
        return lerp(a, b, t);
    }
    let norm = (1.0 - t) * norm_a + t * norm_b;
    let from_a = norm * ((1.0 - t) * angle).sin() / (angle.sin() * norm_a);
    let from_b = norm * (t * angle).sin() / (angle.sin() * norm_b);
    a.iter().zip(b).map(|(a, b)| (from_a * f64::from(*a) + from_b * f64::from(*b)) as f32).collect()
}

/// The code at `t` between numbers `i` and `j`, of the class of the nearer one: a class is not between two others.
fn between(anchors: &Codes, way: Way, (i, j): (usize, usize), t: f64) -> (Vec<f32>, Option<usize>) {
    let (a, b) = (anchors.code(i), anchors.code(j));
    let code = match (anchors.space(), way) {
        (Space::Latent, Way::Slerp) => slerp(a, b, t),
        (Space::Latent | Space::Styles, _) => lerp(a, b, t),
    };
    (code, anchors.class(if t < 0.5 { i } else { j }))
}

/// The first `count` codes, as styles if the way needs them.
fn anchors(synthesizer: &mut Synthesizer<'_>, count: usize, way: Way) -> Result<Codes, Error> {
    if count < 2 {
        return Err(Error::Refused(format!(
            "from {count} samples there is no way to another: at least 2 are needed"
        )));
    }
    let codes = synthesizer.codes(0, count)?;
    match way {
        Way::Styles => synthesizer.styles(&codes),
        Way::Slerp | Way::Lerp => Ok(codes),
    }
}

/// A row of `steps` samples from each of the first `count` samples to the next, both ends included, which are the samples
/// themselves bit for bit.
///
/// # Errors
/// Fewer than two samples or steps; styles of a generator that has none.
pub fn interpolation_sheet(
    synthesizer: &mut Synthesizer<'_>,
    count: usize,
    steps: usize,
    way: Way,
) -> Result<Sheet, Error> {
    if steps < 2 {
        return Err(Error::Refused(format!("a row of {steps} has no two ends: at least 2 steps are needed")));
    }
    let anchors = anchors(synthesizer, count, way)?;
    let mut codes = anchors.none_like();
    for i in 1..count {
        for step in 0..steps {
            let (code, class) = between(&anchors, way, (i - 1, i), step as f64 / (steps - 1) as f64);
            codes.push(&code, class);
        }
    }
    Ok(Sheet { codes, columns: steps })
}

/// `frames` codes on the closed way through the first `count` codes and back to the first, at equal distances of the
/// parameter: behind the last frame comes the first.
///
/// # Errors
/// Fewer than two samples; styles of a generator that has none.
pub fn walk(
    synthesizer: &mut Synthesizer<'_>,
    count: usize,
    frames: usize,
    way: Way,
) -> Result<Codes, Error> {
    let anchors = anchors(synthesizer, count, way)?;
    let mut codes = anchors.none_like();
    for frame in 0..frames {
        // In whole numbers, so that frames which meet a sample meet it exactly.
        let (from, rest) = (frame * count / frames, frame * count % frames);
        let (code, class) = between(&anchors, way, (from, (from + 1) % count), rest as f64 / frames as f64);
        codes.push(&code, class);
    }
    Ok(codes)
}
