//! Sides of images: how often they can be halved, and images as smallest ones whose sides are doubled.

use ganymede_graph::{Graph, Tensor};

/// Sides are usually halved down to no fewer pixels than this.
pub(super) const LEAST: usize = 4;

/// How often both sides can be halved so that `least` pixels and more are left: for 4, 64x64 four times, 28x28 twice, 96x64
/// four times.
pub(super) fn halvings([mut height, mut width]: [usize; 2], least: usize) -> usize {
    let mut count = 0;
    while height.is_multiple_of(2) && width.is_multiple_of(2) && height.min(width) >= 2 * least {
        (height, width) = (height / 2, width / 2);
        count += 1;
    }
    count
}

/// How often images of these sides are halved, at least once, or the poisoned tensor of the error that they cannot be.
pub(super) fn some_halvings(
    graph: &Graph,
    model: &str,
    [height, width]: [usize; 2],
) -> Result<usize, Tensor> {
    match halvings([height, width], LEAST) {
        0 => {
            let message = format!(
                "{height}x{width} images cannot be halved to {LEAST} pixels or more: it needs sides that are \
                 multiples of 2, 8 and above"
            );
            Err(graph.fail(model, message))
        }
        count => Ok(count),
    }
}

/// Height, width and channels of a sample, or the poisoned tensor of the error that it is no image.
pub(super) fn image(graph: &Graph, model: &str, sample: &[usize]) -> Result<[usize; 3], Tensor> {
    match *sample {
        [h, w, c] => Ok([h, w, c]),
        _ => {
            let message = format!("makes and judges images [height, width, channels], got {sample:?}");
            Err(graph.fail(model, message))
        }
    }
}

/// Height and width of a batch of images, or the poisoned tensor of the error that these are none.
pub(super) fn sides(graph: &Graph, model: &str, samples: &Tensor) -> Result<[usize; 2], Tensor> {
    if samples.is_poisoned() {
        return Err(samples.clone());
    }
    image(graph, model, &samples.shape()[1..]).map(|[h, w, _]| [h, w])
}

/// Height and width of the smallest image, and how often its sides are doubled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Doubling {
    /// Height and width before the first doubling.
    pub base: [usize; 2],
    /// How many doublings follow.
    pub count: usize,
}

impl Doubling {
    /// Halves both sides as often as [`halvings`] says. The smaller side of what is left must be below `2 least`: else an odd
    /// side stopped the halving, and layers that look at the whole smallest image would grow with it.
    ///
    /// # Errors
    /// It is not, or below `least`.
    pub fn of(sides: [usize; 2], least: usize) -> Result<Doubling, String> {
        let count = halvings(sides, least);
        let base = sides.map(|side| side >> count);
        if (least..2 * least).contains(&base[0].min(base[1])) {
            return Ok(Doubling { base, count });
        }
        Err(format!(
            "`data.shape`: images of {}x{} do not come from doubling a small one whose smaller side is {least} to {}, such as \
             {least}x{least} for {}x{}",
            sides[0],
            sides[1],
            2 * least - 1,
            8 * least,
            8 * least
        ))
    }

    /// The same of the sides of a sample `[height, width, channels]`, doubled at least once; and its channels.
    ///
    /// # Errors
    /// As [`Doubling::of`]; it is no image, or too small.
    pub fn of_sample(sample: &[usize], least: usize) -> Result<(Doubling, usize), String> {
        let &[height, width, channels] = sample else {
            return Err(format!("`data.shape`: makes and judges images [H, W, C], got {sample:?}"));
        };
        let doubling = Doubling::of([height, width], least)?;
        if doubling.count == 0 {
            return Err(format!(
                "`data.shape`: images of {height}x{width} are too small, {}x{} is the least",
                2 * least,
                2 * least
            ));
        }
        Ok((doubling, channels))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sides_are_halved_together_down_to_the_least() {
        for (sides, base, count) in [
            ([32, 32], [4, 4], 3),
            ([28, 28], [7, 7], 2),
            ([48, 64], [6, 8], 3),
            ([16, 256], [4, 64], 2),
            ([5, 5], [5, 5], 0),
        ] {
            let doubling = Doubling::of(sides, 4).unwrap();
            assert_eq!(doubling, Doubling { base, count }, "{sides:?}");
            assert_eq!(base.map(|side| side << count), sides);
        }
        for sides in [[50, 50], [3, 8], [0, 0], [100, 9]] {
            let message = Doubling::of(sides, 4).unwrap_err();
            assert!(message.contains("`data.shape`") && message.contains("4 to 7"), "{message}");
        }
    }

    #[test]
    fn sides_are_halved_down_to_four_pixels_and_more() {
        let counts = [([64, 64], 4), ([28, 28], 2), ([96, 64], 4), ([8, 8], 1), ([4, 8], 0), ([30, 64], 1)];
        for (sides, count) in counts {
            assert_eq!(halvings(sides, LEAST), count, "{sides:?}");
        }
    }
}
