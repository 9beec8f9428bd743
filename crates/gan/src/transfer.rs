//! Transfer learning: a new run that begins with the weights of another.

use crate::checkpoint::Checkpoint;
use crate::error::Error;
use crate::networks::Side;
use crate::step::{EMA, Objective};
use ganymede_cpu::StateStore;
use ganymede_nn::ParamSpec;

/// Differences that an error lists.
const SHOWN: usize = 12;

/// Where a run takes its first weights from.
#[derive(Debug)]
pub struct Origin {
    /// The checkpoint.
    pub checkpoint: Checkpoint,
    /// Whether weights that it lacks, or has in another shape, are drawn as for a new run; else they are refused.
    pub partial: bool,
}

/// Puts the weights and running statistics of both networks and of the averaged generator in place of those in `store`, the
/// state of a new run of `objective`. Moments, the regularizers' memories and the probability of augmentations stay new.
/// An average that the checkpoint lacks begins as a copy of the generator. Returns what to say about it.
///
/// # Errors
/// Names or shapes differ and the origin is not partial: all of them are listed.
pub fn transfer(
    objective: &Objective,
    store: &mut StateStore,
    origin: &Origin,
) -> Result<Vec<String>, Error> {
    let found = &origin.checkpoint.store;
    let (mut taken, mut different) = (0, Vec::new());
    let mut expected: Vec<ParamSpec> = Vec::new();
    for side in [Side::Generator, Side::Discriminator] {
        expected.extend(objective.params(side).iter().cloned());
    }
    for spec in &expected {
        match found.ty(&spec.name) {
            Some(ty) if *ty == spec.ty => taken += 1,
            Some(ty) => different.push(format!("{}: expected {}, got {ty}", spec.name, spec.ty)),
            None => different.push(format!("{}: missing (expected {})", spec.name, spec.ty)),
        }
    }
    let of_network = |name: &&str| ["G/", "D/"].iter().any(|root| name.starts_with(root));
    let known = |name: &str| expected.iter().any(|spec| spec.name == name);
    different.extend(
        found
            .names()
            .filter(of_network)
            .filter(|name| !known(name))
            .map(|name| format!("{name}: unexpected")),
    );
    let path = origin.checkpoint.path.display();
    let listed = || {
        let more = different.len().saturating_sub(SHOWN);
        let more = if more > 0 { format!("\n  and {more} more") } else { String::new() };
        format!("{}{more}", different[..different.len().min(SHOWN)].join("\n  "))
    };
    if taken == 0 {
        return Err(Error::Refused(format!(
            "{path}: none of its tensors fits the networks of recipe `{}`:\n  {}\nTrain with the recipe that made it, or \
             without --from",
            objective.recipe.name,
            listed()
        )));
    }
    if !different.is_empty() && !origin.partial {
        return Err(Error::Refused(format!(
            "{path}: its weights do not fit the networks of recipe `{}`; {} tensors differ:\n  {}\nAdd --from-partial to \
             take those that fit and draw the others anew",
            objective.recipe.name,
            different.len(),
            listed()
        )));
    }
    for spec in &expected {
        let fits = |name: &str| found.ty(name).filter(|ty| **ty == spec.ty).and_then(|_| found.words(name));
        if let Some(words) = fits(&spec.name) {
            store.set_words(&spec.name, words)?;
        }
        let average = format!("{EMA}{}", spec.name);
        if store.contains(&average)
            && let Some(words) = fits(&average).or_else(|| fits(&spec.name))
        {
            store.set_words(&average, words)?;
        }
    }
    let mut notes = vec![format!("began with {taken} of {} tensors of {path}", expected.len())];
    if !different.is_empty() {
        notes.push(format!("drawn anew or left out, as they differ:\n  {}", listed()));
    }
    Ok(notes)
}
