//! What truncation does to samples, side by side.

use super::Sheet;
use super::synthesizer::Synthesizer;
use crate::error::Error;
use crate::step::Objective;

/// Values worth a look. Styles: from their mean (0) to untouched (1), and beyond it the anti-face of each (-.5), as in
/// figure 8 of Karras, Laine, Aila 2019. Latents: thresholds from which nearly all (.25) to nearly none (3) are cut.
pub fn default_truncations(objective: &Objective) -> &'static [f64] {
    if objective.generator.has_styles() {
        &[-0.5, 0.0, 0.25, 0.5, 0.75, 1.0]
    } else {
        &[0.25, 0.5, 1.0, 1.5, 2.0, 3.0]
    }
}

/// Row by row one of `rows` samples, at each of `psis`: thresholds of the latents, which are drawn from the same uniforms in
/// all columns (Brock, Donahue, Simonyan 2019, BigGAN, section 3.1), or factors on the distance of styles from their mean
/// where the generator has styles (Karras, Laine, Aila 2019, StyleGAN, appendix B).
///
/// # Errors
/// No value, or one out of range ([`Objective::check_truncation`]); codes that were given and do not go with it.
pub fn truncation_sheet(
    synthesizer: &mut Synthesizer<'_>,
    rows: usize,
    psis: &[f64],
) -> Result<Sheet, Error> {
    let objective = synthesizer.objective();
    psis.iter().try_for_each(|psi| objective.check_truncation(*psi))?;
    let styled = objective.generator.has_styles();
    if psis.is_empty() {
        return Err(Error::Refused("a truncation sweep needs values of truncation".into()));
    }
    let columns = match styled {
        true => {
            let latents = synthesizer.latent_codes(0, rows)?;
            psis.iter()
                .map(|psi| synthesizer.styles_at(Some(*psi), &latents))
                .collect::<Result<Vec<_>, _>>()?
        }
        false => {
            synthesizer.refuse_given("thresholds of truncation change how latents are drawn")?;
            psis.iter()
                .map(|psi| synthesizer.latents_at(Some(*psi), 0, rows))
                .collect::<Result<Vec<_>, _>>()?
        }
    };
    let mut codes = columns[0].none_like();
    for row in 0..rows {
        for column in &columns {
            codes.push(column.code(row), column.class(row));
        }
    }
    Ok(Sheet { codes, columns: psis.len() })
}
