//! Padding rules of convolutions.

/// How many zeros are put around an image.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Padding {
    /// None.
    #[default]
    Valid,
    /// TensorFlow's rule: ceil(in / stride) output pixels; of the max((out - 1) stride + reach - in, 0) zeros the
    /// smaller half comes before, so it can be asymmetric. For a transposed convolution: in * stride output pixels.
    Same,
    /// The same number on all four sides.
    Each(usize),
}

impl Padding {
    /// (before, after) along one axis of `input` pixels, for taps reaching over `reach` pixels. Zero strides count as
    /// one here; the graph refuses them.
    pub fn resolve(self, input: usize, reach: usize, stride: usize) -> (usize, usize) {
        match self {
            Padding::Valid => (0, 0),
            Padding::Each(n) => (n, n),
            Padding::Same => {
                let stride = stride.max(1);
                let outputs = input.div_ceil(stride);
                let needed = (outputs.saturating_sub(1) * stride).saturating_add(reach).saturating_sub(input);
                (needed / 2, needed - needed / 2)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn same_follows_tensorflow() {
        // 28 pixels, 5 taps, stride 2: 14 outputs need 13 * 2 + 5 - 28 = 3 zeros.
        assert_eq!(Padding::Same.resolve(28, 5, 2), (1, 2));
        assert_eq!(Padding::Same.resolve(28, 5, 1), (2, 2));
        assert_eq!(Padding::Same.resolve(7, 4, 2), (1, 2));
        assert_eq!(Padding::Same.resolve(8, 1, 2), (0, 0));
        assert_eq!(Padding::Each(3).resolve(8, 4, 2), (3, 3));
    }
}
