//! The recipe for data that come without one: chosen from their shape, count and labels and the time there is, with the
//! reasons said.

use super::{Augment, Recipe, RecipeError, Scheduled, Strength};

/// What a choice looks at.
#[derive(Clone, Debug)]
pub struct Facts<'a> {
    /// Shape of a sample.
    pub shape: &'a [usize],
    /// How many there are; `None` where they are drawn without end.
    pub count: Option<u64>,
    /// How many classes they have, if they are labelled.
    pub classes: Option<usize>,
    /// Minutes of training asked for.
    pub minutes: Option<f64>,
}

/// A recipe and why it was chosen.
#[derive(Clone, Debug)]
pub struct Choice {
    /// The recipe.
    pub recipe: Recipe,
    /// One sentence each.
    pub reasons: Vec<String>,
}

/// Fewer images than this are few: a discriminator learns them by heart within minutes, and augmentations keep it from
/// that (Karras et al. 2020, figure 1, whose runs on 1,000 to 5,000 images overfit first).
const FEW: u64 = 5_000;

/// With fewer the light pair for few images is taken (Liu et al. 2021 train on 100 to 2,000).
const VERY_FEW: u64 = 2_000;

/// Images of a class that make a class worth telling apart in training.
const PER_CLASS: u64 = 100;

/// Minutes below which a residual pair of 64x64 pixels has seen too few images on a few cores to be worth its cost.
const SHORT: f64 = 20.0;

/// The smallest and largest side that a recipe is made for where none comes with the program.
const SIDES: std::ops::RangeInclusive<usize> = 8..=256;

/// Channels of a residual pair at each resolution, from 4 to 8 pixels upwards; larger images begin with the last ones.
const WIDTHS: [usize; 7] = [192, 128, 96, 48, 24, 16, 16];

/// Changes of what the discriminator sees that suit any picture (Zhao et al. 2020, DiffAugment, without its changes of colour for
/// grey ones).
fn policy(channels: usize) -> Vec<String> {
    let names: &[&str] =
        if channels == 1 { &["translation", "cutout"] } else { &["color", "translation", "cutout"] };
    names.iter().map(ToString::to_string).collect()
}

/// The recipe for data of this kind.
///
/// # Errors
/// Samples that are neither points nor images of sides that can be halved; the message says how to read them at another
/// size.
pub fn choose(facts: &Facts<'_>) -> Result<Choice, RecipeError> {
    let mut reasons = Vec::new();
    let shape = facts.shape;
    let few = facts.count.is_some_and(|n| n < FEW);
    let counted = facts.count.map_or("an endless supply of".to_string(), |n| n.to_string());
    let what = match *shape {
        [2] => "points in the plane".to_string(),
        [h, w, 1] => format!("grey {h}x{w} images"),
        [h, w, 3] => format!("colour {h}x{w} images"),
        [h, w, c] => format!("{h}x{w} images of {c} channels"),
        _ => format!("samples of shape {shape:?}"),
    };
    let short = facts.minutes.is_some_and(|m| m < SHORT);
    let named = |name: &str| Recipe::builtin(name);
    let mut recipe = match *shape {
        [2] => {
            reasons.push(format!("{what}: small dense networks"));
            named("mlp2d")?
        }
        [28, 28, 1] => {
            reasons.push(format!("{counted} {what}: the pair that makes the best of such in minutes"));
            named("r3-28")?
        }
        [28, 28, 3] => {
            reasons.push(format!("{counted} {what}: the pair for stacked digits"));
            named("r3-stacked")?
        }
        [h, w, c] if h == w && [32, 64].contains(&h) && [1, 3, 4].contains(&c) => {
            let name = match (h, facts.count) {
                (32, _) => labelled(facts, &mut reasons).map_or("r3-32", |_| "r3-32-cond"),
                (_, Some(n)) if n < VERY_FEW => "fewshot-64",
                (_, Some(n)) if n < FEW => "sg2-64-ada",
                _ if short => "dcgan64",
                _ => "r3-64",
            };
            let why = match name {
                "fewshot-64" => "a light pair for few images, which must also reconstruct them",
                "sg2-64-ada" => "some thousand, so augmentation that adapts",
                "dcgan64" => "little time, so a pair that is cheap a step",
                _ => "residual networks under relativistic pairing",
            };
            reasons.push(format!("{counted} {what}: {why}"));
            let mut recipe = named(name)?;
            recipe.data.shape = shape.to_vec();
            recipe
        }
        [h, w, c] if (1..=4).contains(&c) => residual(h, w, c, &what, &mut reasons)?,
        _ => {
            return Err(RecipeError {
                at: "choosing a recipe".into(),
                message: format!("there is none for {what}: write one and name it with --recipe"),
            });
        }
    };
    if few && shape.len() == 3 && recipe.augment.is_none() {
        let policy = policy(shape[2]);
        reasons.push(format!(
            "fewer than {FEW}, so augmentations of what the discriminator sees, real and generated: {}",
            policy.join(", ")
        ));
        recipe.augment =
            Some(Augment { policy, probability: Some(Scheduled::constant(1.0)), target: None, ramp: None });
    }
    if let Some(n) = facts.count.filter(|n| *n < recipe.train.batch as u64 && *n > 0) {
        // The largest power of two, so that what divides batches still does.
        let batch = 1 << n.ilog2();
        reasons.push(format!("a batch of {batch} instead of {}: there are no more", recipe.train.batch));
        recipe.train.batch = batch;
    }
    Ok(Choice { recipe, reasons })
}

/// The classes, where each has enough samples to be told apart.
fn labelled(facts: &Facts<'_>, reasons: &mut Vec<String>) -> Option<usize> {
    let classes = facts.classes.filter(|n| *n >= 2)?;
    let each = facts.count.map_or(PER_CLASS, |n| n / classes as u64);
    if each < PER_CLASS {
        reasons.push(format!("{classes} classes of {each} samples are too few of each to be told apart"));
        return None;
    }
    reasons.push(format!(
        "{classes} classes with labels: a pair that is told them, so that you can ask for one"
    ));
    Some(classes)
}

/// A residual pair for images of other sides, from `r3-64`.
fn residual(
    h: usize,
    w: usize,
    channels: usize,
    what: &str,
    reasons: &mut Vec<String>,
) -> Result<Recipe, RecipeError> {
    let halvings =
        |side: usize| (0..).take_while(|n| side.is_multiple_of(2 << n) && side >> (n + 1) >= 4).count();
    let stages = halvings(h).min(halvings(w)) + 1;
    let (short, long) = (h.min(w), h.max(w));
    if !SIDES.contains(&short) || !SIDES.contains(&long) || stages < 2 || long >> (stages - 1) > 16 {
        // Of multiples of 16 the nearest within reach.
        let near = |side: usize| (side.clamp(32, 256) + 8) / 16 * 16;
        return Err(RecipeError {
            at: "choosing a recipe".into(),
            message: format!(
                "there is none for {what}: sides that can be halved to 4 to 16 pixels are needed; pictures of a folder are \
                 read at such a size with `?size={}`",
                if h == w { near(w).to_string() } else { format!("{}x{}", near(w), near(h)) }
            ),
        });
    }
    let mut recipe = Recipe::builtin("r3-64")?;
    let widths: Vec<usize> = WIDTHS.into_iter().take(stages).collect();
    let mut blocks = vec![1usize; stages];
    blocks[stages - 1] = 0;
    let list = |values: &[usize]| {
        toml::Value::Array(values.iter().map(|v| toml::Value::Integer(*v as i64)).collect())
    };
    for network in [&mut recipe.generator, &mut recipe.discriminator] {
        network.options.insert("widths".into(), list(&widths));
        network.options.insert("blocks".into(), list(&blocks));
    }
    // R1 and R2 are squared norms over all pixels: their weight follows the pixels, as in Karras et al. 2020, appendix C.
    let pixels = (h * w) as f64 / (64.0 * 64.0);
    let gamma = |at: f64| (at * pixels * 1e3).round() / 1e3;
    let strength = Scheduled::parse(&format!("cosine {} -> {}", gamma(2.0).max(0.01), gamma(0.2).max(0.001)))
        .map_err(|message: String| RecipeError { at: "choosing a recipe".into(), message })?;
    for regularizer in &mut recipe.regularizers {
        regularizer.strength = Some(Strength::Given(strength.clone()));
    }
    recipe.name = format!("r3-{h}x{w}");
    recipe.about = format!("R3GAN for {what}, derived from r3-64");
    recipe.data.shape = vec![h, w, channels];
    reasons.push(format!(
        "{what}: no recipe of their own, so r3-64 with {stages} stages of {widths:?} channels, and R1 and R2 of {strength}"
    ));
    Ok(recipe)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(shape: &[usize], count: Option<u64>, classes: Option<usize>, minutes: Option<f64>) -> Choice {
        let choice = choose(&Facts { shape, count, classes, minutes }).unwrap();
        choice.recipe.validate().unwrap();
        choice.recipe.networks().unwrap();
        assert_eq!(choice.recipe.data.shape, shape);
        assert!(!choice.reasons.is_empty());
        choice
    }

    #[test]
    fn data_of_each_kind_have_a_recipe_and_a_reason() {
        let name =
            |shape: &[usize], count, classes, minutes| chosen(shape, count, classes, minutes).recipe.name;
        assert_eq!(name(&[2], None, Some(8), None), "mlp2d");
        assert_eq!(name(&[28, 28, 1], Some(60_000), Some(10), Some(5.0)), "r3-28");
        assert_eq!(name(&[28, 28, 3], Some(60_000), Some(1000), None), "r3-stacked");
        assert_eq!(name(&[32, 32, 3], Some(50_000), Some(10), None), "r3-32-cond");
        assert_eq!(name(&[32, 32, 3], Some(50_000), None, None), "r3-32");
        assert_eq!(name(&[32, 32, 3], Some(500), Some(10), None), "r3-32");
        assert_eq!(name(&[64, 64, 3], Some(800), None, None), "fewshot-64");
        assert_eq!(name(&[64, 64, 3], Some(4_000), None, None), "sg2-64-ada");
        assert_eq!(name(&[64, 64, 1], Some(40_000), None, None), "r3-64");
        assert_eq!(name(&[64, 64, 3], Some(40_000), None, Some(10.0)), "dcgan64");
        assert_eq!(name(&[48, 32, 4], Some(40_000), None, None), "r3-48x32");
        assert_eq!(name(&[96, 96, 3], Some(40_000), None, None), "r3-96x96");
        assert_eq!(name(&[128, 128, 3], Some(40_000), None, None), "r3-128x128");
    }

    #[test]
    fn few_images_are_augmented_and_batches_fit_them() {
        let choice = chosen(&[28, 28, 1], Some(1_000), None, None);
        assert_eq!(choice.recipe.augment.unwrap().policy, ["translation", "cutout"]);
        assert!(choice.reasons.iter().any(|r| r.contains("augmentations")));
        assert!(chosen(&[28, 28, 1], Some(60_000), None, None).recipe.augment.is_none());
        assert_eq!(chosen(&[28, 28, 1], Some(50), None, None).recipe.train.batch, 32);
    }

    #[test]
    fn what_no_recipe_can_make_is_refused_with_a_way_out() {
        for (shape, word) in [
            (&[31usize, 31, 3][..], "?size=32"),
            (&[700, 500, 3], "?size=256x256"),
            (&[30, 40, 3], "?size=48x32"),
            (&[7], "write one"),
        ] {
            let facts = Facts { shape, count: Some(100), classes: None, minutes: None };
            let error = choose(&facts).unwrap_err().to_string();
            assert!(error.contains(word), "{error}");
        }
    }
}
