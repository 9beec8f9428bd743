//! What each class is made of the same latents.

use super::Sheet;
use super::codes::Space;
use super::synthesizer::Synthesizer;
use crate::error::Error;

/// A row for each class of a conditional generator, from the same `columns` latents in every row.
///
/// # Errors
/// The recipe has no classes; codes that were given are styles, which hold their class already.
pub fn class_sheet(synthesizer: &mut Synthesizer<'_>, columns: usize) -> Result<Sheet, Error> {
    let recipe = &synthesizer.objective().recipe;
    let Some(classes) = recipe.data.classes else {
        return Err(Error::Refused(format!(
            "recipe `{}` has no classes to make a row of each: train a conditional recipe",
            recipe.name
        )));
    };
    let latents = synthesizer.latent_codes(0, columns)?;
    debug_assert_eq!(latents.space(), Space::Latent);
    let mut codes = latents.none_like();
    for class in 0..classes {
        for column in 0..columns {
            codes.push(latents.code(column), Some(class));
        }
    }
    Ok(Sheet { codes, columns })
}
