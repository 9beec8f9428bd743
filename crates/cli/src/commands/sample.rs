use super::load;
use crate::args::Sample;
use crate::say::say;
use anyhow::{Context, bail};
use ganymede::picture;
use ganymede::sampler::Sampler;
use ganymede_data::{OpenOptions, open};
use std::fmt::Write;
use std::process::ExitCode;

/// Longest side of a picture of all samples, in pixels.
const MAX_SIDE: usize = 16_384;

pub fn run(options: &Sample) -> anyhow::Result<ExitCode> {
    let mut loaded = load(&options.run, options.threads)?;
    let shape = loaded.objective.recipe.data.shape.clone();
    let count = options.n as usize;
    let mut sampler = match options.truncation {
        None => Sampler::new(options.seed),
        Some(threshold) => Sampler::truncated(options.seed, threshold),
    };
    let extension = match options.out.is_dir() {
        true => String::new(),
        false => options.out.extension().and_then(|e| e.to_str()).unwrap_or_default().to_lowercase(),
    };
    let images = shape.len() == 3;
    match (images, extension.as_str()) {
        (true, "png") => {
            let columns = (count as f64).sqrt().ceil() as usize;
            let (width, height) = picture::grid_size(&shape, count, columns);
            if width.max(height) > MAX_SIDE {
                bail!(
                    "{}: {count} images make a picture of {width}x{height} pixels, {MAX_SIDE} a side is the most: \
                     name a folder instead of a .png file, or draw fewer with --n",
                    options.out.display()
                );
            }
            let samples = sampler.draw(&loaded.objective, &mut loaded.session, 0, count)?;
            picture::write_grid(&options.out, &samples, &shape, columns)?;
        }
        (true, "") => {
            std::fs::create_dir_all(&options.out)
                .with_context(|| format!("{}: cannot make the folder", options.out.display()))?;
            let size: usize = shape.iter().product();
            let digits = count.saturating_sub(1).to_string().len().max(5);
            let mut done = 0;
            while done < count {
                let take = (count - done).min(1024);
                let samples = sampler.draw(&loaded.objective, &mut loaded.session, done as u64, take)?;
                for (i, sample) in samples.chunks_exact(size).enumerate() {
                    let path = options.out.join(format!("{:0digits$}.png", done + i));
                    picture::write_image(&path, sample, &shape)?;
                }
                done += take;
            }
        }
        (true, _) => bail!(
            "{}: images go to a .png file or to a folder, not to .{extension}: change --out",
            options.out.display()
        ),
        (false, "png" | "csv") => {
            let samples = sampler.draw(&loaded.objective, &mut loaded.session, 0, count)?;
            let recipe = &loaded.objective.recipe;
            let spec = recipe.run.as_ref().map_or(recipe.data.default.as_str(), |r| r.data.as_str());
            let dataset = open(spec, &OpenOptions::default())?;
            if extension == "png" {
                ganymede::run::write_picture(&options.out, &samples, &shape, &dataset)?;
            } else {
                let mut text = String::from("x,y\n");
                for p in samples.chunks_exact(2) {
                    let at = |v: f32| f64::from(v) * dataset.scale();
                    writeln!(text, "{},{}", at(p[0]), at(p[1]))?;
                }
                std::fs::write(&options.out, text)
                    .with_context(|| format!("{}: cannot write", options.out.display()))?;
            }
        }
        (false, _) => bail!(
            "{}: points go to a .png or .csv file, not to {}: change --out",
            options.out.display(),
            if extension.is_empty() { "a folder".to_string() } else { format!(".{extension}") }
        ),
    }
    if options.json {
        let line = serde_json::json!({
            "samples": count, "seed": options.seed, "truncation": options.truncation, "out": options.out, "checkpoint": loaded.checkpoint,
            "step": loaded.step, "images": loaded.images,
        });
        say!("{line}")?;
    } else {
        say!("{count} samples of {} in {}", loaded.checkpoint.display(), options.out.display())?;
    }
    Ok(ExitCode::SUCCESS)
}
