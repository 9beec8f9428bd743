//! Augmentations of what the discriminator sees, real and generated alike: one file and one line in [`AUGMENTATIONS`]
//! each. They are part of the graph, so the generator's gradient passes through them.
//!
//! Samples are images `[N, H, W, C]` in -1 to 1. Every sample draws for itself.

mod blit;
mod color;
mod cutout;
mod flip;
mod geometry;
mod jitter;
mod translation;
mod warp;

use ganymede_graph::{DType, Tensor};

/// The random numbers of one augmentation, and how often it acts.
pub struct Draw<'a> {
    /// Uniform numbers in (0, 1) of the given shape, whose first axis is the batch; others at each call.
    pub uniform: &'a dyn Fn(&[usize]) -> Tensor,
    /// Standard normals, likewise.
    pub normal: &'a dyn Fn(&[usize]) -> Tensor,
    /// Probability with which each of its parts acts on a sample, a scalar; always, where there is none.
    pub probability: Option<&'a Tensor>,
}

impl Draw<'_> {
    /// Uniform on (`low`, `high`), one for each sample, `[N, 1, 1, 1]`.
    fn between(&self, images: &Tensor, low: f64, high: f64) -> Tensor {
        (self.uniform)(&one_each(images)) * (high - low) + low
    }

    /// A standard normal for each sample, `[N, 1, 1, 1]`.
    fn normal_each(&self, images: &Tensor) -> Tensor {
        (self.normal)(&one_each(images))
    }

    /// A whole number from 0 to `count - 1` for each sample, `[N, 1, 1, 1]`, as a float.
    fn whole(&self, images: &Tensor, count: usize) -> Tensor {
        // A uniform number next to 1 could round up to the count.
        let drawn = ((self.uniform)(&one_each(images)) * count as f64).floor();
        drawn.minimum(&drawn.full_like(count as f64 - 1.0))
    }

    /// `value` for the samples on which a part acts, `rest` for the others.
    fn gated(&self, images: &Tensor, value: Tensor, rest: f64) -> Tensor {
        match self.probability {
            None => value,
            Some(p) => {
                let acts = (self.uniform)(&one_each(images)).lt(&p.broadcast_to(&one_each(images)));
                acts.select(&value, &value.full_like(rest))
            }
        }
    }
}

/// `[N, 1, 1, 1]`.
fn one_each(images: &Tensor) -> [usize; 4] {
    [images.shape().first().copied().unwrap_or(1), 1, 1, 1]
}

/// `change` of the colors of images. A fourth channel is how opaque a pixel is, which no change of colors moves.
fn of_colors(images: &Tensor, change: impl FnOnce(&Tensor) -> Tensor) -> Tensor {
    if images.shape().get(3) != Some(&4) {
        return change(images);
    }
    let changed = change(&images.slice(3, 0, 3));
    Tensor::concat(&[&changed, &images.slice(3, 3, 4)], 3)
}

/// A change of images that leaves what they show.
pub trait Augmentation: Sync {
    /// Name in recipes.
    fn name(&self) -> &'static str;
    /// One sentence for people choosing.
    fn about(&self) -> &'static str;
    /// Authors, year, section.
    fn paper(&self) -> &'static str;
    /// Images of the same shape.
    fn apply(&self, images: &Tensor, draw: &Draw<'_>) -> Tensor;
}

/// Every augmentation, in the order in which a policy that names several should have them: places before colors.
pub const AUGMENTATIONS: &[&dyn Augmentation] = &[
    &flip::Flip,
    &translation::Translation,
    &blit::Blit,
    &geometry::Geometry,
    &color::Color,
    &jitter::Jitter,
    &cutout::Cutout,
];

/// The augmentation of that name.
pub fn find(name: &str) -> Option<&'static dyn Augmentation> {
    AUGMENTATIONS.iter().copied().find(|a| a.name() == name)
}

/// Pixels that an augmentation of images of that size may look at: those of twice the resolution, with a margin.
pub(crate) fn pixels(height: usize, width: usize) -> usize {
    let continued = |side: usize| side.saturating_add(2 * geometry::REACH).saturating_mul(2);
    continued(height).saturating_mul(continued(width))
}

/// Pixels are counted in f32, whose whole numbers are exact up to here.
pub(crate) const MAX_PIXELS: usize = 1 << 24;

/// The numbers 0, 1, .. along `axis` of four, as floats.
fn places(images: &Tensor, axis: usize) -> Tensor {
    let mut shape = [1; 4];
    shape[axis] = images.shape()[axis];
    images.graph().iota(&shape, axis).convert(DType::F32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_registry_is_sound() {
        let mut names = std::collections::HashSet::new();
        for a in AUGMENTATIONS {
            assert!(names.insert(a.name()), "two augmentations are named {}", a.name());
            assert!(a.about().len() > 20 && a.paper().contains("20"), "{} lacks docs", a.name());
            assert!(find(a.name()).is_some());
        }
    }
}
