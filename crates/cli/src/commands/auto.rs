//! The choice of a recipe that is left to the program.

use crate::say::complain;
use anyhow::Context;
use ganymede::Recipe;
use ganymede::recipe::{self, Choice, Facts, RecipeError};
use ganymede_data::Dataset;

/// The name that asks for a choice, as no recipe has it.
pub(super) const AUTO: &str = "auto";

/// What is trained on where nothing is named: digits that come with the program.
pub(super) const USUAL_DATA: &str = "glyphs";

/// A recipe for data that came without one, changed as asked; `minutes` are those of training, if they are known. What was
/// chosen, and why, is said on standard error and stands in what the recipe says about itself, so that a run keeps it.
pub(super) fn chosen(dataset: &Dataset, minutes: Option<f64>, changes: &[String]) -> anyhow::Result<Recipe> {
    let facts = Facts::of(dataset, minutes)?;
    let Choice { mut recipe, reasons } =
        recipe::choose(&facts).with_context(|| format!("{}: no recipe was named", dataset.spec()))?;
    let reasons = reasons.join("; ");
    complain!("recipe {} ({reasons})", recipe.name);
    recipe.about = format!("{} (chosen for {}: {reasons})", recipe.about, dataset.spec());
    Ok(changed(&recipe, changes)?)
}

/// A recipe that was chosen, with changes as the command line has them.
pub(super) fn changed(recipe: &Recipe, changes: &[String]) -> Result<Recipe, RecipeError> {
    Recipe::parse(&format!("recipe `{}`", recipe.name), &recipe.to_toml(), changes)
}
