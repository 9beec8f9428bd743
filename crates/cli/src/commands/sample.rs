mod files;
mod tools;

use super::{Loaded, Use, executor, load, usage};
use crate::args::{Sample, Tool};
use crate::progress::counter;
use crate::say::say;
use anyhow::{Context, bail};
use files::Files;
use ganymede::Recipe;
use ganymede::checkpoint::write_atomically;
use ganymede::picture;
use ganymede::sampler::{Asked, Sampler};
use ganymede_data::{OpenOptions, open};
use indicatif::ProgressBar;
use std::fmt::Write;
use std::process::ExitCode;

/// Longest side of a picture of all samples, in pixels.
const MAX_SIDE: usize = 16_384;

/// Samples drawn between two looks at the progress.
const CHUNK: usize = 1024;

/// Draws samples 0 to `count` a chunk at a time and gives each to `take`, with the number of its first and the live
/// line, if there is one, to move.
fn chunks(
    sampler: &mut Sampler,
    loaded: &mut Loaded,
    count: usize,
    mut take: impl FnMut(usize, Vec<f32>, Option<&ProgressBar>) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let bar = counter(count as u64, "samples");
    for first in (0..count).step_by(CHUNK) {
        let n = CHUNK.min(count - first);
        let samples = sampler.draw(&loaded.objective, &mut loaded.session, first as u64, n)?;
        take(first, samples, bar.as_ref())?;
    }
    if let Some(bar) = bar {
        bar.finish_and_clear();
    }
    Ok(())
}

/// Samples 0 to `count`, one after the other.
fn drawn(sampler: &mut Sampler, loaded: &mut Loaded, count: usize) -> anyhow::Result<Vec<f32>> {
    let size: usize = loaded.objective.recipe.data.shape.iter().product();
    let mut all = Vec::with_capacity(count * size);
    chunks(sampler, loaded, count, |_, samples, bar| {
        all.extend(samples);
        if let Some(bar) = bar {
            bar.set_position((all.len() / size) as u64);
        }
        Ok(())
    })?;
    Ok(all)
}

/// The class that `given` names: by number, or by the name that it has in the run's data.
pub(super) fn class_named(recipe: &Recipe, given: &str) -> anyhow::Result<usize> {
    let Some(classes) = recipe.data.classes else {
        bail!(
            "--class {given}: the run's recipe `{}` has no classes; leave it out, or train a conditional recipe",
            recipe.name
        );
    };
    let names = recipe.run.as_ref().map_or(&[][..], |r| &r.classes);
    let by_name = names.iter().position(|name| name == given);
    // Of the digits 3 and 5 the first is no 0: where names are numbers, only names are meant.
    let numbered = names.iter().any(|name| name.parse::<u64>().is_ok());
    let by_number = || given.parse().ok().filter(|_| !numbered);
    match by_name.or_else(by_number).filter(|class| *class < classes) {
        Some(class) => Ok(class),
        None if numbered => bail!("--class {given}: the run's classes are named {}", shortened(names)),
        None => bail!(
            "--class {given}: the run's classes are 0 to {}{}",
            classes - 1,
            if names.is_empty() { String::new() } else { format!(", named {}", shortened(names)) }
        ),
    }
}

/// The first names of a list.
fn shortened(names: &[String]) -> String {
    const SHOWN: usize = 20;
    let more = if names.len() > SHOWN { ", .." } else { "" };
    format!("{}{more}", names[..names.len().min(SHOWN)].join(", "))
}

/// Samples, or what else the options ask for.
pub fn run(options: &Sample) -> anyhow::Result<ExitCode> {
    match options.tool() {
        Ok(Tool::Plain { count }) => plain(options, count),
        Ok(tool) => tools::run(options, &tool),
        Err(message) => usage("sample", &message),
    }
}

/// The run that the options name.
fn loaded(options: &Sample) -> anyhow::Result<Loaded> {
    let how = Use::of(&options.trained, &options.computing);
    load(&options.run, how, executor(options.computing.threads)?)
}

fn plain(options: &Sample, count: usize) -> anyhow::Result<ExitCode> {
    let mut loaded = loaded(options)?;
    options.truncation.map_or(Ok(()), |psi| loaded.objective.check_truncation(psi))?;
    let shape = loaded.objective.recipe.data.shape.clone();
    let recipe = &loaded.objective.recipe;
    let asked = options.class.as_deref().map(|class| class_named(recipe, class)).transpose()?;
    let asked = asked.map_or(Asked::Each, Asked::Only);
    let classes = recipe.data.classes;
    let mut sampler = match options.truncation {
        None => Sampler::new(options.seed),
        Some(threshold) => Sampler::truncated(options.seed, threshold),
    }
    .of_classes(asked);
    let extension = match options.out.is_dir() {
        true => String::new(),
        false => options.out.extension().and_then(|e| e.to_str()).unwrap_or_default().to_lowercase(),
    };
    let images = shape.len() == 3;
    match (images, extension.as_str()) {
        (true, "png") => {
            let square = (count as f64).sqrt().ceil() as usize;
            let columns = match (classes, asked) {
                (Some(classes), Asked::Each) if classes <= 2 * square => classes,
                (Some(_) | None, Asked::Each | Asked::Only(_)) => square,
            };
            let (width, height) = picture::grid_size(&shape, count, columns);
            if width.max(height) > MAX_SIDE {
                bail!(
                    "{}: {count} images make a picture of {width}x{height} pixels, {MAX_SIDE} a side is the most: \
                     name a folder instead of a .png file, or draw fewer with --n",
                    options.out.display()
                );
            }
            let samples = drawn(&mut sampler, &mut loaded, count)?;
            picture::write_grid(&options.out, &samples, &shape, columns)?;
        }
        (true, "") => {
            let files = Files::new(&loaded.objective.recipe, asked, count);
            files.refuse_others(&options.out)?;
            std::fs::create_dir_all(&options.out)
                .with_context(|| format!("{}: cannot make the folder", options.out.display()))?;
            let size: usize = shape.iter().product();
            chunks(&mut sampler, &mut loaded, count, |first, samples, bar| {
                for (i, sample) in samples.chunks_exact(size).enumerate() {
                    let (folder, name) = files.of(first + i);
                    let folder = options.out.join(folder);
                    std::fs::create_dir_all(&folder)
                        .with_context(|| format!("{}: cannot make the folder", folder.display()))?;
                    let path = folder.join(name);
                    picture::write_image(&path, sample, &shape)?;
                    if let Some(bar) = bar {
                        bar.inc(1);
                    }
                }
                Ok(())
            })?;
        }
        (true, _) => bail!(
            "{}: images go to a .png file or to a folder, not to .{extension}: change --out",
            options.out.display()
        ),
        (false, "png" | "csv") => {
            let samples = drawn(&mut sampler, &mut loaded, count)?;
            let recipe = &loaded.objective.recipe;
            let spec = recipe.run.as_ref().map_or(recipe.data.default.as_str(), |r| r.data.as_str());
            let dataset = open(spec, &OpenOptions::default())?;
            if extension == "png" {
                ganymede::run::write_picture(&options.out, &samples, &shape, &dataset, 1)?;
            } else {
                let mut text = String::from("x,y\n");
                for p in samples.chunks_exact(2) {
                    let at = |v: f32| f64::from(v) * dataset.scale();
                    writeln!(text, "{},{}", at(p[0]), at(p[1]))?;
                }
                write_atomically(&options.out, text.as_bytes())
                    .with_context(|| format!("{}: cannot write", options.out.display()))?;
            }
        }
        (false, _) => bail!(
            "{}: points go to a .png or .csv file, not to {}: change --out",
            options.out.display(),
            if extension.is_empty() { "a folder".to_string() } else { format!(".{extension}") }
        ),
    }
    if options.computing.json {
        let line = serde_json::json!({
            "samples": count, "seed": options.seed, "truncation": options.truncation, "class": options.class, "out": options.out,
            "checkpoint": loaded.checkpoint, "step": loaded.step, "images": loaded.images,
            "standing_statistics": loaded.standing,
        });
        say!("{line}")?;
    } else {
        say!("{count} samples of {} in {}", loaded.checkpoint.display(), options.out.display())?;
    }
    Ok(ExitCode::SUCCESS)
}
