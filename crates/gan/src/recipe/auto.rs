//! The recipe for data that come without one: chosen from their shape, count and labels and the time there is, with the
//! reasons said.

use super::{Augment, BestSpec, Recipe, RecipeError, Scheduled, Strength};
use ganymede_data::{DataError, Dataset};

/// What a choice looks at.
#[derive(Clone, Debug)]
pub struct Facts<'a> {
    /// Shape of a sample.
    pub shape: &'a [usize],
    /// How many there are; `None` where they are drawn without end.
    pub count: Option<u64>,
    /// How many classes they have, if they are labelled.
    pub classes: Option<usize>,
    /// How many the smallest class has; `None` where they are drawn without end, or not labelled.
    pub smallest: Option<u64>,
    /// Minutes of training asked for.
    pub minutes: Option<f64>,
}

impl<'a> Facts<'a> {
    /// Of a set, and the minutes that there are.
    ///
    /// # Errors
    /// Its labels cannot be read.
    pub fn of(dataset: &'a Dataset, minutes: Option<f64>) -> Result<Self, DataError> {
        let classes = dataset.classes().map(<[String]>::len);
        let smallest = match classes.filter(|_| dataset.len().is_some()) {
            None => None,
            Some(classes) => {
                let mut counts = vec![0u64; classes];
                for label in dataset.labels_of_all()? {
                    counts[label as usize] += 1;
                }
                counts.into_iter().min()
            }
        };
        Ok(Self { shape: dataset.shape(), count: dataset.len(), classes, smallest, minutes })
    }
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

/// With fewer the light pair for few images is taken, however much time there is (Liu et al. 2021 train on 100 to 2,000).
const VERY_FEW: u64 = 2_000;

/// Images of a class that make a class worth telling apart in training.
const PER_CLASS: u64 = 100;

/// Minutes from which a residual pair of up to 64x64 pixels is chosen. In a quarter of an hour a convolutional pair is far ahead of it
/// at 32 and at 64 pixels (docs/recipes.md); from when on it is not was not measured. The work of larger images grows with their
/// pixels, and so does this. Such a run keeps its best checkpoint, too: a fortieth of it is long beside a score of 2,000 samples, and a
/// long run is the one that may be worse at its end than before.
const AMPLE: f64 = 60.0;

/// Minutes from which styles are worth their cost on some thousand images: StyleGAN2 was published with millions of images shown, and in
/// half an hour makes blots where the light pair makes things (docs/recipes.md).
const LONG: f64 = 240.0;

/// Why a pair is chosen that is cheap a step.
const CHEAP: &str =
    "not long enough for residual networks (or no time named), so a pair that is cheap a step";

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
    let ample = facts.minutes.is_some_and(|m| m >= AMPLE * pixels(shape).max(1.0));
    let classes = labelled(facts);
    let named = |name: &str| Recipe::builtin(name);
    let mut recipe = match *shape {
        [2] => {
            reasons.push(format!("{what}: small dense networks"));
            named("mlp2d")?
        }
        [28, 28, 1] if classes.is_ok() => {
            reasons.push(format!("{counted} {what}: the pair of r3-28, told the class of each"));
            named("cdcgan28")?
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
                (32, _) if ample && classes.is_ok() => "r3-32-cond",
                (32, _) if ample => "r3-32",
                (64, Some(n)) if (VERY_FEW..FEW).contains(&n) && facts.minutes >= Some(LONG) => "sg2-64-ada",
                (64, Some(n)) if n < FEW => "fewshot-64",
                (64, _) if ample => "r3-64",
                _ => "dcgan64",
            };
            let why = match name {
                "fewshot-64" => "a light pair for few images, which must also reconstruct them",
                "sg2-64-ada" => "some thousand and hours, so styles, and augmentation that adapts",
                "dcgan64" => CHEAP,
                _ => "time enough for residual networks under relativistic pairing",
            };
            reasons.push(format!("{counted} {what}: {why}"));
            let mut recipe = named(name)?;
            if name == "dcgan64" && h != 64 {
                recipe = cheap(h, w, c, &what, &mut reasons)?;
            }
            recipe.data.shape = shape.to_vec();
            recipe
        }
        [h, w, c] if (1..=4).contains(&c) && !ample => {
            stages(h, w).ok_or_else(|| no_such_sides(h, w, &what))?;
            reasons.push(format!("{counted} {what}: {CHEAP}"));
            cheap(h, w, c, &what, &mut reasons)?
        }
        [h, w, c] if (1..=4).contains(&c) => residual(h, w, c, &what, &mut reasons)?,
        _ => {
            return Err(RecipeError {
                at: "choosing a recipe".into(),
                message: format!("there is none for {what}: write one and name it with --recipe"),
            });
        }
    };
    let told =
        recipe.data.classes.is_some() || matches!(recipe.generator.model.as_deref(), Some("dcgan" | "r3gan"));
    match (&classes, told) {
        (Ok(classes), true) => {
            recipe.data.classes = Some(*classes);
            reasons.push(format!(
                "{classes} classes with labels: a pair that is told them, so that you can ask for one"
            ));
        }
        (Ok(classes), false) if shape.len() == 3 => reasons.push(format!(
            "the labels of its {classes} classes are not used: there is no conditional recipe of this kind"
        )),
        (Err(Some(why)), _) if shape.len() == 3 => reasons.push(why.clone()),
        (Ok(_) | Err(_), _) => {}
    }
    if few && shape.len() == 3 && recipe.augment.is_none() {
        let policy = policy(shape[2]);
        reasons.push(format!(
            "fewer than {FEW}, so augmentations of what the discriminator sees, real and generated: {}",
            policy.join(", ")
        ));
        recipe.augment =
            Some(Augment { policy, probability: Some(Scheduled::constant(1.0)), target: None, ramp: None });
    }
    if shape.len() == 3 && recipe.best.is_none() && ample {
        reasons.push(
            "a long run, so its best checkpoint is kept beside the last: best.metric, for which labelled images have a classifier \
             trained before the clock starts"
                .to_string(),
        );
        recipe.best = Some(BestSpec { metric: "frechet".into() });
    }
    if let Some(n) = facts.count.filter(|n| *n < recipe.train.batch as u64 && *n > 0) {
        // The largest power of two, so that what divides batches still does.
        let batch = 1 << n.ilog2();
        reasons.push(format!(
            "a batch of {batch} instead of {}: the largest power of two that {n} samples fill",
            recipe.train.batch
        ));
        recipe.train.batch = batch;
    }
    Ok(Choice { recipe, reasons })
}

/// Pixels of an image, as a multiple of those of 64x64.
fn pixels(shape: &[usize]) -> f64 {
    match *shape {
        [h, w, _] => (h * w) as f64 / (64.0 * 64.0),
        _ => 0.0,
    }
}

/// The classes, where each has enough samples to be told apart; else why the labels are not used, where there are any.
fn labelled(facts: &Facts<'_>) -> Result<usize, Option<String>> {
    let classes = facts.classes.filter(|n| *n >= 2).ok_or(None)?;
    match facts.smallest.filter(|n| *n < PER_CLASS) {
        None => Ok(classes),
        Some(least) => Err(Some(format!(
            "the labels of its {classes} classes are not used: the smallest has {least} samples, and fewer than {PER_CLASS} are \
             too few to be told apart"
        ))),
    }
}

/// How often both sides can be halved with four pixels and more left, and once more for the start: the resolutions of a
/// pair, if it begins at 4 to 16 pixels a side.
fn stages(h: usize, w: usize) -> Option<usize> {
    let halvings =
        |side: usize| (0..).take_while(|n| side.is_multiple_of(2 << n) && side >> (n + 1) >= 4).count();
    let stages = halvings(h).min(halvings(w)) + 1;
    let inside = SIDES.contains(&h) && SIDES.contains(&w);
    (inside && stages >= 2 && h.max(w) >> (stages - 1) <= 16).then_some(stages)
}

/// The sides nearest to these, as ratios go, that a pair can be made for: squares for squares.
fn nearest_sides(h: usize, w: usize) -> (usize, usize) {
    let sides = || SIDES.step_by(8);
    let off = |a: usize, b: usize| (a as f64 / b.max(1) as f64).ln().powi(2);
    let all = sides().flat_map(|a| sides().map(move |b| (a, b)));
    let possible = all.filter(|&(a, b)| (h != w || a == b) && stages(a, b).is_some());
    possible
        .min_by(|&(a, b), &(c, d)| (off(a, h) + off(b, w)).total_cmp(&(off(c, h) + off(d, w))))
        .unwrap_or((64, 64))
}

fn no_such_sides(h: usize, w: usize, what: &str) -> RecipeError {
    let (height, width) = nearest_sides(h, w);
    RecipeError {
        at: "choosing a recipe".into(),
        message: format!(
            "there is none for {what}: sides of {} to {} pixels that can be halved together to 4 to 16 are needed; pictures \
             of a folder are read at such a size with `?size={}`",
            SIDES.start(),
            SIDES.end(),
            if height == width { width.to_string() } else { format!("{width}x{height}") }
        ),
    }
}

/// Lets R1 and R2 of a recipe fall from `gamma` to a tenth of it. They are squared norms over all pixels, so `gamma` should follow
/// these, as in Karras et al. 2020, appendix C.
fn penalize(recipe: &mut Recipe, gamma: f64) -> Result<Scheduled, RecipeError> {
    let at = |part: f64| rounded(gamma * part);
    let strength = Scheduled::parse(&format!("cosine {} -> {}", at(1.0).max(0.01), at(0.1).max(0.001)))
        .map_err(|message: String| RecipeError { at: "choosing a recipe".into(), message })?;
    for regularizer in &mut recipe.regularizers {
        regularizer.strength = Some(Strength::Given(strength.clone()));
    }
    Ok(strength)
}

/// The pair of `dcgan64` for images of other sides.
fn cheap(
    h: usize,
    w: usize,
    channels: usize,
    what: &str,
    reasons: &mut Vec<String>,
) -> Result<Recipe, RecipeError> {
    let mut recipe = Recipe::builtin("dcgan64")?;
    // Not less for smaller ones: at 32x32 1 did better than a quarter of it (docs/recipes.md), and 28x28 have 1 as well.
    let strength = penalize(&mut recipe, pixels(&[h, w, channels]).max(1.0))?;
    recipe.name = format!("dcgan-{h}x{w}");
    recipe.about = format!("deep convolutional GAN for {what}, derived from dcgan64");
    recipe.data.shape = vec![h, w, channels];
    reasons.push(format!("dcgan64 at this size, with R1 and R2 of {strength}"));
    Ok(recipe)
}

/// To thousandths.
fn rounded(value: f64) -> f64 {
    (value * 1e3).round() / 1e3
}

/// A residual pair for images of other sides, from `r3-64`.
fn residual(
    h: usize,
    w: usize,
    channels: usize,
    what: &str,
    reasons: &mut Vec<String>,
) -> Result<Recipe, RecipeError> {
    let stages = stages(h, w).ok_or_else(|| no_such_sides(h, w, what))?;
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
    let strength = penalize(&mut recipe, 2.0 * pixels(&[h, w, channels]))?;
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

    fn chosen(facts: &Facts<'_>) -> Choice {
        let choice = choose(facts).unwrap();
        choice.recipe.validate().unwrap();
        choice.recipe.networks().unwrap();
        assert_eq!(choice.recipe.data.shape, facts.shape);
        assert!(!choice.reasons.is_empty());
        choice
    }

    /// Of so many samples without labels.
    fn plain(shape: &[usize], count: Option<u64>) -> Facts<'_> {
        Facts { shape, count, classes: None, smallest: None, minutes: None }
    }

    fn labelled(shape: &[usize], classes: usize, smallest: u64) -> Facts<'_> {
        let count = Some(50_000);
        Facts { shape, count, classes: Some(classes), smallest: Some(smallest), minutes: None }
    }

    fn said(choice: &Choice, word: &str) -> bool {
        choice.reasons.iter().any(|reason| reason.contains(word))
    }

    #[test]
    fn data_of_each_kind_have_a_recipe_and_a_reason() {
        let name = |facts: Facts<'_>| chosen(&facts).recipe.name;
        let many = Some(60_000);
        assert_eq!(name(Facts { classes: Some(8), ..plain(&[2], None) }), "mlp2d");
        assert_eq!(name(plain(&[28, 28, 1], many)), "r3-28");
        assert_eq!(name(Facts { classes: Some(10), ..plain(&[28, 28, 1], None) }), "cdcgan28");
        assert_eq!(name(plain(&[28, 28, 3], many)), "r3-stacked");
        assert_eq!(name(plain(&[32, 32, 3], many)), "dcgan-32x32");
        assert_eq!(name(plain(&[64, 64, 3], Some(800))), "fewshot-64");
        assert_eq!(name(plain(&[64, 64, 1], Some(40))), "fewshot-64");
        assert_eq!(name(plain(&[64, 64, 3], Some(4_000))), "fewshot-64");
        let hours =
            |count, minutes| name(Facts { minutes: Some(minutes), ..plain(&[64, 64, 3], Some(count)) });
        assert_eq!(
            [hours(4_000, 240.0), hours(4_000, 239.0), hours(1_999, 600.0)],
            ["sg2-64-ada", "fewshot-64", "fewshot-64"]
        );
        assert_eq!(name(plain(&[64, 64, 1], Some(40_000))), "dcgan64");
        assert_eq!(name(plain(&[48, 32, 4], Some(40_000))), "dcgan-48x32");
        assert_eq!(name(plain(&[96, 96, 3], Some(40_000))), "dcgan-96x96");
    }

    #[test]
    fn labels_are_used_where_every_class_has_enough_and_else_the_reason_is_said() {
        for (shape, minutes, conditional, plain) in [
            (&[28, 28, 1], None, "cdcgan28", "r3-28"),
            (&[32, 32, 3], None, "dcgan-32x32", "dcgan-32x32"),
            (&[32, 32, 3], Some(60.0), "r3-32-cond", "r3-32"),
            (&[64, 64, 3], None, "dcgan64", "dcgan64"),
            (&[64, 64, 3], Some(60.0), "r3-64", "r3-64"),
            (&[96, 96, 1], None, "dcgan-96x96", "dcgan-96x96"),
        ] {
            let told = chosen(&Facts { minutes, ..labelled(shape, 7, 100) });
            assert_eq!((told.recipe.name.as_str(), told.recipe.data.classes), (conditional, Some(7)));
            assert!(said(&told, "7 classes with labels"), "{:?}", told.reasons);
            // The mean of the classes would be enough.
            let uneven = chosen(&Facts { minutes, ..labelled(shape, 3, 1) });
            assert_eq!((uneven.recipe.name.as_str(), uneven.recipe.data.classes), (plain, None));
            assert!(said(&uneven, "the smallest has 1 samples"), "{:?}", uneven.reasons);
        }
        let few = Facts { count: Some(1_000), ..labelled(&[64, 64, 3], 10, 100) };
        for facts in [labelled(&[28, 28, 3], 10, 5_000), few] {
            let unused = chosen(&facts);
            assert_eq!(unused.recipe.data.classes, None);
            assert!(said(&unused, "labels of its 10 classes are not used"), "{:?}", unused.reasons);
        }
        assert!(!said(&chosen(&plain(&[32, 32, 3], Some(50_000))), "labels"));
    }

    #[test]
    fn residual_pairs_take_an_hour_and_more() {
        let minutes =
            |shape, minutes| chosen(&Facts { minutes: Some(minutes), ..plain(shape, Some(40_000)) });
        // An hour at up to 64x64, in proportion to the pixels beyond.
        for (shape, enough, full, light) in [
            (&[64, 64, 3], 60.0, "r3-64", "dcgan64"),
            (&[32, 32, 3], 60.0, "r3-32", "dcgan-32x32"),
            (&[48, 32, 4], 60.0, "r3-48x32", "dcgan-48x32"),
            (&[256, 256, 3], 960.0, "r3-256x256", "dcgan-256x256"),
            (&[96, 48, 1], 67.5, "r3-96x48", "dcgan-96x48"),
        ] {
            let long = minutes(shape, enough);
            assert_eq!(long.recipe.name, full);
            assert!(!said(&long, "cheap"), "{:?}", long.reasons);
            let short = minutes(shape, enough - 0.1);
            assert_eq!(short.recipe.name, light);
            assert!(said(&short, "cheap"), "{:?}", short.reasons);
        }
        for shape in [&[28, 28, 1], &[28, 28, 3]] {
            assert_eq!(minutes(shape, 1.0).recipe.name, minutes(shape, 600.0).recipe.name);
        }
    }

    #[test]
    fn long_runs_keep_their_best_checkpoint() {
        let best = |shape, minutes| {
            let choice = chosen(&Facts { minutes, ..plain(shape, Some(40_000)) });
            assert_eq!(said(&choice, "best checkpoint"), choice.recipe.best.is_some());
            choice.recipe.best.map(|best| best.metric)
        };
        for (shape, minutes) in [(&[28, 28, 1], 60.0), (&[64, 64, 3], 60.0), (&[128, 128, 4], 240.0)] {
            assert_eq!(best(shape, Some(minutes)).as_deref(), Some("frechet"));
            assert_eq!(best(shape, Some(minutes - 1.0)), None);
            assert_eq!(best(shape, None), None);
        }
        assert_eq!(best(&[2], Some(600.0)), None);
    }

    #[test]
    fn few_images_are_augmented_and_batches_fit_them() {
        let choice = chosen(&plain(&[28, 28, 1], Some(1_000)));
        assert_eq!(choice.recipe.augment.as_ref().unwrap().policy, ["translation", "cutout"]);
        assert!(said(&choice, "augmentations"));
        assert!(chosen(&plain(&[28, 28, 1], Some(60_000))).recipe.augment.is_none());
        let fifty = chosen(&plain(&[28, 28, 1], Some(50)));
        assert_eq!(fifty.recipe.train.batch, 32);
        assert!(said(&fifty, "a batch of 32 instead of 64: the largest power of two that 50"));
    }

    #[test]
    fn what_no_recipe_can_make_is_refused_with_a_size_that_one_can() {
        let refusal = |shape: &[usize]| choose(&plain(shape, Some(100))).unwrap_err().to_string();
        for (shape, size) in [
            ([31usize, 31, 3], "32"),
            ([700, 500, 3], "256x256"),
            ([30, 41, 3], "40x32"),
            // Halved together they begin at 4 pixels and 32 or more; so does 256x32.
            ([16, 256, 3], "128x32"),
            ([1, 1, 1], "8"),
        ] {
            let size = if size == "256x256" { "256" } else { size };
            assert!(refusal(&shape).contains(&format!("`?size={size}`")), "{}", refusal(&shape));
        }
        assert!(refusal(&[7]).contains("write one"));
        // Whatever is advised is accepted.
        let sides = [1, 7, 12, 16, 30, 44, 72, 100, 180, 208, 256, 300, 1080, 4096];
        let (mut refused, mut accepted) = (0, 0);
        for shape in sides.iter().flat_map(|h| sides.iter().map(|w| [*h, *w, 3])) {
            let Err(error) = choose(&plain(&shape, Some(10_000))) else {
                accepted += 1;
                continue;
            };
            refused += 1;
            let advice = error.to_string();
            let size = advice.split_once("?size=").and_then(|(_, rest)| rest.split_once('`')).unwrap().0;
            let side = |text: &str| text.parse::<usize>().unwrap();
            let (w, h) =
                size.split_once('x').map_or_else(|| (side(size), side(size)), |(w, h)| (side(w), side(h)));
            assert!(choose(&plain(&[h, w, 3], Some(10_000))).is_ok(), "{shape:?}: {advice}");
        }
        assert!(refused > 100 && accepted > 10, "{refused} {accepted}");
    }
}
