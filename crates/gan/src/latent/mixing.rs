//! Style mixing: the coarse styles of one sample with the fine styles of another.

use super::Sheet;
use super::codes::Codes;
use super::synthesizer::Synthesizer;
use crate::error::Error;

/// The shape of a sheet of mixed styles.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mix {
    /// Samples whose first styles are taken, one a row.
    pub rows: usize,
    /// Samples whose other styles are taken, one a column.
    pub columns: usize,
    /// How many styles are taken from the row; half of them if nothing is said.
    pub crossover: Option<usize>,
}

/// A sheet as in figure 3 of Karras, Laine, Aila 2019 (StyleGAN): above each column and left of each row its own sample,
/// and in the cells the row's first `crossover` styles with the column's others. Rows are the first samples, columns those
/// behind them. The cell in the corner, which belongs to no row or column, has the mean of the sources' styles.
///
/// # Errors
/// The generator has no styles, or a crossover that takes none from one of the two.
pub fn mixing_sheet(synthesizer: &mut Synthesizer<'_>, mix: Mix) -> Result<Sheet, Error> {
    let Mix { rows, columns, crossover } = mix;
    if rows == 0 || columns == 0 {
        return Err(Error::Refused(format!("a sheet of {rows}x{columns} mixes nothing")));
    }
    let sources = synthesizer.codes(0, rows + columns)?;
    let sources = synthesizer.styles(&sources)?;
    let [layers, width] = sources.shape()[..] else {
        return Err(Error::Refused(format!("styles of shape {:?} are not [layers, width]", sources.shape())));
    };
    let crossover = crossover.unwrap_or(layers / 2);
    if crossover == 0 || crossover >= layers {
        return Err(Error::Refused(format!(
            "crossover {crossover}: the generator has {layers} styles, so 1 to {} can come from the row",
            layers - 1
        )));
    }
    let mut codes = sources.none_like();
    codes.push(&mean(&sources), sources.class(0));
    for column in rows..rows + columns {
        codes.push(sources.code(column), sources.class(column));
    }
    for row in 0..rows {
        codes.push(sources.code(row), sources.class(row));
        for column in rows..rows + columns {
            let cut = crossover * width;
            let mixed = [&sources.code(row)[..cut], &sources.code(column)[cut..]].concat();
            codes.push(&mixed, sources.class(row));
        }
    }
    Ok(Sheet { codes, columns: columns + 1 })
}

fn mean(codes: &Codes) -> Vec<f32> {
    let at = |place: usize| {
        let sum: f64 = (0..codes.len()).map(|i| f64::from(codes.code(i)[place])).sum();
        (sum / codes.len() as f64) as f32
    };
    (0..codes.width()).map(at).collect()
}
