//! What makes a score impossible to compute.

/// Input that has no score.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum MetricError {
    /// Fewer samples than the definition needs.
    #[error("{what} needs at least {needed} samples, got {got}")]
    TooFew {
        /// The score.
        what: &'static str,
        /// Samples that its definition needs.
        needed: usize,
        /// Samples given.
        got: usize,
    },
    /// Inputs that must be of one length.
    #[error("{what}: {got} values where {expected} belong")]
    Length {
        /// What is too long or too short.
        what: &'static str,
        /// Values that belong there.
        expected: usize,
        /// Values given.
        got: usize,
    },
    /// A value outside the domain of the definition.
    #[error("{what} {index} is {value}: expected {expected}")]
    Value {
        /// What it is.
        what: &'static str,
        /// Its place.
        index: usize,
        /// The value.
        value: f64,
        /// The domain.
        expected: &'static str,
    },
    /// Samples too few for a setting that could be smaller.
    #[error(
        "{what} takes {needed} samples of each set at once, got {got}: give more samples, or a smaller {setting}"
    )]
    Subset {
        /// The score.
        what: &'static str,
        /// What asks for so many.
        setting: &'static str,
        /// Samples asked for.
        needed: usize,
        /// Samples of the smaller set.
        got: usize,
    },
    /// Fewer samples of a class than the definition needs.
    #[error("{what} {class} needs at least {needed} samples on either side, got {got}")]
    Class {
        /// The score.
        what: &'static str,
        /// The class.
        class: usize,
        /// Samples that its definition needs.
        needed: usize,
        /// Samples of the side that has fewer.
        got: usize,
    },
    /// Images of a size that the definition has no figure for.
    #[error("{what}: images of {height}x{width} pixels: {reason}")]
    Size {
        /// The score.
        what: &'static str,
        /// Rows.
        height: usize,
        /// Columns.
        width: usize,
        /// Why not.
        reason: &'static str,
    },
    /// A matrix decomposition that found no end.
    #[error(
        "the eigenvalues of the features' covariance were not found: their values span too many magnitudes"
    )]
    NotConverged,
}

/// The first value outside its domain, as an error.
pub(crate) fn check(
    what: &'static str,
    values: impl IntoIterator<Item = f64>,
    expected: &'static str,
    valid: impl Fn(f64) -> bool,
) -> Result<(), MetricError> {
    match values.into_iter().enumerate().find(|&(_, value)| !valid(value)) {
        Some((index, value)) => Err(MetricError::Value { what, index, value, expected }),
        None => Ok(()),
    }
}
