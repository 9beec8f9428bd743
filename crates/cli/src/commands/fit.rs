//! Whether a recipe and a data set fit each other.

use crate::say::complain;
use anyhow::bail;
use ganymede::{Objective, Recipe};
use ganymede_data::Dataset;

/// The recipe with as many classes as the data have, where it is conditional; a difference is said.
pub(super) fn for_classes(mut recipe: Recipe, dataset: &Dataset) -> Recipe {
    if let (Some(classes), Some(found)) = (recipe.data.classes, dataset.classes().map(<[String]>::len))
        && classes != found
        && found >= 2
    {
        complain!(
            "note: recipe `{}` is for {classes} classes, {} has {found}: using {found}",
            recipe.name,
            dataset.spec()
        );
        recipe.data.classes = Some(found);
    }
    recipe
}

/// Refuses data that nothing can be learnt from, whatever the recipe.
pub(super) fn enough(dataset: &Dataset) -> anyhow::Result<()> {
    if let Some(items @ 0..=1) = dataset.len() {
        bail!(
            "{}: it has {items} sample{}, and a network learns from what samples share and how they differ: give at least 2, \
             better some hundred",
            dataset.spec(),
            if items == 1 { "" } else { "s" }
        );
    }
    Ok(())
}

/// Checks shape, classes and size of the set.
pub(super) fn check_fit(objective: &Objective, dataset: &Dataset) -> anyhow::Result<()> {
    let recipe = &objective.recipe;
    if dataset.shape() != recipe.data.shape {
        bail!(
            "{}: its samples have shape {:?}, recipe `{}` expects {:?}: choose another recipe, or change data.shape \
             and the networks",
            dataset.spec(),
            dataset.shape(),
            recipe.name,
            recipe.data.shape
        );
    }
    if let Some(classes) = recipe.data.classes
        && dataset.classes().map(<[String]>::len) != Some(classes)
    {
        bail!(
            "{}: it has {}, and recipe `{}` is told the class of each sample: choose labelled data, or another recipe",
            dataset.spec(),
            dataset.classes().map_or("no labels".into(), |names| format!("{} classes", names.len())),
            recipe.name
        );
    }
    enough(dataset)?;
    if let Some(items) = dataset.len()
        && (recipe.train.batch as u64) > items
    {
        bail!(
            "{}: a batch of {} needs that many samples, the set has {items}: use --set batch={items} or less",
            dataset.spec(),
            recipe.train.batch
        );
    }
    Ok(recipe.train.sampling().check(dataset)?)
}
