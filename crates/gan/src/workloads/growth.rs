//! Convolutional pairs of any batch, resolution and width, to see how cost grows.

use crate::recipe::{Recipe, RecipeError};

/// One pair: Radford et al.'s (2016) shape. The discriminator halves the sides from the image to 4x4 and doubles the
/// channels, from `width` to at most eight times that; the generator mirrors it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Point {
    /// Samples a step.
    pub batch: usize,
    /// Pixels a side: 8, 16, 32, ..
    pub side: usize,
    /// Channels next to the image.
    pub width: usize,
}

/// Quantities that are grown, each with what it is grown to; the others stay as in [`BASE`].
pub const AXES: [(&str, &[usize]); 3] = [
    ("batch", &[16, 32, 64, 128, 256, 512]),
    ("resolution", &[16, 32, 64, 128]),
    ("width", &[16, 32, 64, 128, 256]),
];

/// The pair that is grown from.
pub const BASE: Point = Point { batch: 32, side: 32, width: 64 };

impl Point {
    /// [`BASE`] with `value` on an axis of [`AXES`].
    pub fn on(axis: &str, value: usize) -> Point {
        match axis {
            "batch" => Point { batch: value, ..BASE },
            "resolution" => Point { side: value, ..BASE },
            "width" => Point { width: value, ..BASE },
            other => unreachable!("no axis is called {other}"),
        }
    }

    /// Reads what [`Point::name`] writes.
    pub fn parse(text: &str) -> Option<Point> {
        let mut parts = text.split('x').map(str::parse);
        let mut next = || parts.next()?.ok();
        let point = Point { batch: next()?, side: next()?, width: next()? };
        let whole = parts.next().is_none() && point.side >= 8 && point.side.is_power_of_two();
        (whole && point.batch > 0 && point.width > 0).then_some(point)
    }

    /// `BATCHxSIDExWIDTH`.
    pub fn name(&self) -> String {
        format!("{}x{}x{}", self.batch, self.side, self.width)
    }

    /// The pair as a recipe.
    ///
    /// # Errors
    /// A size that recipes refuse.
    pub fn recipe(&self) -> Result<Recipe, RecipeError> {
        let Point { batch, side, width } = *self;
        let stages = (side / 4).ilog2();
        let channels: Vec<usize> = (0..stages).map(|i| width << i.min(3)).collect();
        let deepest = channels[channels.len() - 1];
        let mut generator = vec![
            format!("dense {}", 16 * deepest),
            format!("reshape 4 4 {deepest}"),
            "batch_norm".into(),
            "relu".into(),
        ];
        for c in channels.iter().rev().skip(1) {
            generator.push(format!("conv_transpose {c} 4 stride=2 pad=1 no_bias"));
            generator.extend(["batch_norm".into(), "relu".into()]);
        }
        generator.push("conv_transpose 3 4 stride=2 pad=1 tanh".into());
        let mut discriminator = Vec::new();
        for (i, c) in channels.iter().enumerate() {
            discriminator.push(format!("conv {c} 4 stride=2 pad=1 no_bias"));
            if i > 0 {
                discriminator.push("batch_norm".into());
            }
            discriminator.push("leaky_relu 0.2".into());
        }
        discriminator.extend(["flatten".into(), "dense 1".into()]);
        let side_of = |name: &str, layers: &[String]| {
            format!(
                "[{name}]\nlayers = {layers:?}\noptimizer = {{ kind = \"adam\", lr = 2e-4, beta1 = 0.5, beta2 = 0.999 \
                 }}\n"
            )
        };
        let text = format!(
            "name = \"{}\"\nabout = \"a convolutional pair on a curve of cost\"\n[data]\nshape = [{side}, {side}, 3]\n\
             default = \"noise\"\n[latent]\ndim = 100\n[train]\nbatch = {batch}\nimages = 1\n[loss]\nname = \
             \"non-saturating\"\n{}{}",
            self.name(),
            side_of("generator", &generator),
            side_of("discriminator", &discriminator)
        );
        Recipe::parse(&format!("point {}", self.name()), &text, &[])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Objective;

    #[test]
    fn every_point_is_a_pair_that_fits() {
        for (axis, values) in AXES {
            for &value in values {
                let point = Point::on(axis, value);
                assert_eq!(Point::parse(&point.name()), Some(point));
                let objective = Objective::new(point.recipe().unwrap()).unwrap();
                assert_eq!(objective.recipe.train.batch, point.batch);
            }
            assert!(values.iter().any(|&v| Point::on(axis, v) == BASE), "{axis} passes through the base");
        }
        for wrong in ["", "32x32", "32x20x64", "32x32x64x1", "0x32x64", "ax32x64"] {
            assert_eq!(Point::parse(wrong), None, "{wrong}");
        }
    }
}
