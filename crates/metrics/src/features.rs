//! Feature vectors of samples: what distances between sets are computed from.

use crate::blocks::map_blocks;
use crate::error::MetricError;

/// Rows whose norms a thread finds at once.
const ROWS: usize = 512;

/// The features of a set of samples, `[rows, dimensions]` row-major, all of them finite.
#[derive(Clone, Debug, PartialEq)]
pub struct Features {
    values: Vec<f64>,
    dimensions: usize,
}

impl Features {
    /// No samples yet, of features with so many dimensions.
    ///
    /// # Errors
    /// No dimensions.
    pub fn empty(dimensions: usize) -> Result<Self, MetricError> {
        if dimensions == 0 {
            return Err(MetricError::Length { what: "dimensions of features", expected: 1, got: 0 });
        }
        Ok(Self { values: Vec::new(), dimensions })
    }

    /// From rows one after the other.
    ///
    /// # Errors
    /// No dimensions, a length that is no multiple of them, a value that is not finite.
    pub fn new(values: Vec<f64>, dimensions: usize) -> Result<Self, MetricError> {
        let empty = Self::empty(dimensions)?;
        check_rows(&values, dimensions, 0)?;
        Ok(Self { values, ..empty })
    }

    /// Adds rows one after the other.
    ///
    /// # Errors
    /// A length that is no multiple of the dimensions, a value that is not finite.
    pub fn push(&mut self, rows: &[f64]) -> Result<(), MetricError> {
        check_rows(rows, self.dimensions, self.rows())?;
        self.values.extend_from_slice(rows);
        Ok(())
    }

    /// The number of samples.
    pub fn rows(&self) -> usize {
        self.values.len() / self.dimensions
    }

    /// Features of each.
    pub fn dimensions(&self) -> usize {
        self.dimensions
    }

    /// The features of one sample.
    pub fn row(&self, row: usize) -> &[f64] {
        &self.values[row * self.dimensions..][..self.dimensions]
    }

    /// The squared norm of each row.
    pub(crate) fn squares(&self) -> Vec<f64> {
        let square = |row: usize| self.row(row).iter().map(|x| x * x).sum();
        map_blocks(self.rows(), ROWS, |rows| rows.map(square).collect::<Vec<f64>>()).concat()
    }

    /// All of them, row-major.
    pub fn values(&self) -> &[f64] {
        &self.values
    }

    /// The rows at these indices, in this order.
    pub fn select(&self, indices: impl IntoIterator<Item = usize>) -> Self {
        let values = indices.into_iter().flat_map(|row| self.row(row)).copied().collect();
        Self { values, dimensions: self.dimensions }
    }

    /// Refuses sets of different dimensions.
    pub(crate) fn check_alike(&self, other: &Self) -> Result<(), MetricError> {
        let (expected, got) = (self.dimensions, other.dimensions);
        if expected == got {
            return Ok(());
        }
        Err(MetricError::Length { what: "dimensions of the second set's features", expected, got })
    }
}

/// The squared Euclidean distance of two rows.
pub(crate) fn squared_distance(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(x, y)| (x - y) * (x - y)).sum()
}

/// Refuses rows that are cut off or hold values that are not finite; `first` is the number of the first row.
pub(crate) fn check_rows(rows: &[f64], dimensions: usize, first: usize) -> Result<(), MetricError> {
    if !rows.len().is_multiple_of(dimensions) {
        let expected = rows.len().next_multiple_of(dimensions);
        return Err(MetricError::Length { what: "features", expected, got: rows.len() });
    }
    match rows.iter().position(|value| !value.is_finite()) {
        Some(at) => Err(MetricError::Value {
            what: "a feature of sample",
            index: first + at / dimensions,
            value: rows[at],
            expected: "a finite number (the extractor or the samples overflowed)",
        }),
        None => Ok(()),
    }
}
