use super::{Use, executor, load};
use crate::args::Judge;
use crate::opening::open_data;
use crate::say::{complain, say};
use anyhow::{anyhow, bail};
use ganymede::judge::{self, percentile};
use ganymede::picture;
use ganymede_data::OpenOptions;
use std::process::ExitCode;

/// Real and generated samples that the images are set beside.
const COMPARED: usize = 1024;

pub fn run(options: &Judge) -> anyhow::Result<ExitCode> {
    let how = Use { precision: options.computing.precision, ..Use::default() };
    let mut loaded = load(&options.run, how, executor(options.computing.threads)?)?;
    let shape = loaded.objective.recipe.data.shape.clone();
    if shape.len() != 3 {
        bail!("this run makes samples of shape {shape:?}, not images: judge takes image files");
    }
    let mut samples = Vec::new();
    for path in &options.images {
        samples.extend(picture::read_image(path, &shape).map_err(|e| anyhow!(e))?);
    }
    let recipe = &loaded.objective.recipe;
    let spec = options
        .data
        .clone()
        .or_else(|| recipe.run.as_ref().map(|r| r.data.clone()))
        .unwrap_or_else(|| recipe.data.default.clone());
    let dataset = open_data(&spec, OpenOptions::default().for_shape(&shape));
    let labels = match (&options.class, recipe.data.classes) {
        (Some(class), _) => vec![super::sample::class_named(recipe, class)? as i32; options.images.len()],
        (None, Some(classes)) => bail!(
            "the run is conditional: say with --class as which of its {classes} classes the images shall be judged"
        ),
        (None, None) => Vec::new(),
    };
    let judge = judge::Judge::new(&loaded.objective, &mut loaded.session)?;
    let logits = judge.logits(&loaded.objective, &mut loaded.session, &samples, &labels)?;
    let generated = judge.generated(&loaded.objective, &mut loaded.session, 0, COMPARED)?;
    let real = match dataset {
        Ok(dataset) if dataset.shape() == shape => {
            judge.real(&loaded.objective, &mut loaded.session, &dataset, COMPARED)?
        }
        Ok(dataset) => bail!("samples of {spec} have shape {:?}, the run's {shape:?}", dataset.shape()),
        // Without its data a run can still judge; only the comparison is missing, and that is said.
        Err(error) if options.data.is_none() => {
            complain!("warning: no real samples to compare with: {error}");
            Vec::new()
        }
        Err(error) => return Err(error),
    };
    let median = |v: &[f32]| v.get(v.len() / 2).copied();
    if !options.computing.json {
        say!("A logit above another means: more like the real samples, in this discriminator's eyes.")?;
        if let Some(m) = median(&real) {
            say!("real samples       median {m:+.3}  ({} of {spec})", real.len())?;
        }
        if let Some(m) = median(&generated) {
            say!("generated samples  median {m:+.3}  ({} drawn)", generated.len())?;
        }
    }
    for (path, logit) in options.images.iter().zip(&logits) {
        let of_real = (!real.is_empty()).then(|| percentile(&real, *logit));
        let of_generated = percentile(&generated, *logit);
        if options.computing.json {
            let line = serde_json::json!({
                "image": path, "logit": logit, "above_real_percent": of_real,
                "above_generated_percent": of_generated, "real_median": median(&real),
                "generated_median": median(&generated),
            });
            say!("{line}")?;
        } else {
            let of_real = of_real.map_or("-".into(), |p| format!("{p:.0} %"));
            say!(
                "{}  logit {logit:+.3}  above {of_real} of real and {of_generated:.0} % of generated samples",
                path.display()
            )?;
        }
    }
    Ok(ExitCode::SUCCESS)
}
