use super::{Augmentation, Draw, of_colors};
use ganymede_graph::Tensor;

/// Brightness, saturation and contrast, in the small changes of DiffAugment.
pub struct Color;

impl Augmentation for Color {
    fn name(&self) -> &'static str {
        "color"
    }
    fn about(&self) -> &'static str {
        "brightness moved by up to 0.5, saturation scaled by 0 to 2, contrast by 0.5 to 1.5"
    }
    fn paper(&self) -> &'static str {
        "Zhao et al. 2020 (DiffAugment), section 4"
    }
    fn apply(&self, images: &Tensor, draw: &Draw<'_>) -> Tensor {
        of_colors(images, |colors| changed(colors, draw))
    }
}

fn changed(images: &Tensor, draw: &Draw<'_>) -> Tensor {
    let shape = images.shape();
    let brightness = draw.gated(images, draw.between(images, -0.5, 0.5), 0.0);
    let mut x = images + brightness.broadcast_to(&shape);
    let about_mean = |x: &Tensor, axes: &[usize], factor: Tensor| {
        let mut kept = shape.clone();
        axes.iter().for_each(|&axis| kept[axis] = 1);
        let mean = x.mean(axes).reshape(&kept).broadcast_to(&shape);
        (x - &mean) * factor.broadcast_to(&shape) + mean
    };
    if shape[3] > 1 {
        let saturation = draw.gated(images, draw.between(images, 0.0, 2.0), 1.0);
        x = about_mean(&x, &[3], saturation);
    }
    let contrast = draw.gated(images, draw.between(images, 0.5, 1.5), 1.0);
    about_mean(&x, &[1, 2, 3], contrast)
}
