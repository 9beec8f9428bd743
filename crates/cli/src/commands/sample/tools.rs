//! Sheets, walks, directions and projections.

use super::super::Loaded;
use super::{MAX_SIDE, class_named, loaded};
use crate::args::{Sample, Tool};
use crate::progress::counter;
use crate::say::say;
use anyhow::{anyhow, bail};
use ganymede::animation::{self, Animation, Format};
use ganymede::latent::{
    Codes, Direction, Sheet, Space, Synthesizer, Way, class_sheet, default_truncations, direction_sheet,
    directions, interpolation_sheet, mixing_sheet, truncation_sheet, walk,
};
use ganymede::picture;
use ganymede::projection::{Effort, project};
use ganymede::sampler::Asked;
use serde_json::{Map, Value, json};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Longest side of a frame of a walk, in pixels.
const MAX_FRAME: usize = 4096;

/// What a tool made: a line for people and fields for programs.
struct Made {
    told: String,
    fields: Value,
}

/// Everything a tool needs.
struct Job<'a> {
    synthesizer: Synthesizer<'a>,
    shape: Vec<usize>,
    out: &'a Path,
}

pub fn run(options: &Sample, tool: &Tool) -> anyhow::Result<ExitCode> {
    let mut loaded = loaded(options)?;
    let recipe = &loaded.objective.recipe;
    let shape = recipe.data.shape.clone();
    if shape.len() != 3 {
        bail!(
            "this run makes samples of shape {shape:?}, not images: of points there are plain samples only, as .png or .csv"
        );
    }
    ending(tool, &options.out)?;
    let asked = options.class.as_deref().map(|class| class_named(recipe, class)).transpose()?;
    let (checkpoint, step, images) = (loaded.checkpoint.clone(), loaded.step, loaded.images);
    let standing = loaded.standing;
    let Loaded { objective, session, .. } = &mut loaded;
    let mut synthesizer = Synthesizer::new(objective, session, options.seed);
    if let Some(psi) = options.truncation {
        objective.check_truncation(psi)?;
        synthesizer = synthesizer.truncated(psi);
    }
    synthesizer = synthesizer.of_classes(asked.map_or(Asked::Each, Asked::Only))?;
    keep_inputs(options, &checkpoint)?;
    let (mut given, mut styles) = (0, false);
    if let Some(file) = &options.tools.latent {
        let codes = Codes::load(file)?;
        (given, styles) = (codes.len(), codes.space() == Space::Styles);
        if let (Some(class), Some(_)) = (&options.class, codes.classes()) {
            bail!(
                "--class {class}: the latents of {} have classes of their own: leave it out, or see them as every class with \
                 --by-class",
                file.display()
            );
        }
        synthesizer = synthesizer.with_codes(codes).map_err(|e| anyhow!("{}: {e}", file.display()))?;
    }
    let mut job = Job { synthesizer, shape, out: &options.out };
    // Styles lie on no sphere.
    let of = |way: Way| if styles { Way::Styles } else { way };
    let Made { told, fields } = match tool {
        Tool::Plain { count } => job.given(*count)?,
        Tool::Given { count } => job.given(count.unwrap_or(given))?,
        Tool::Interpolate { count, steps, way } => job.interpolate(*count, *steps, of(*way))?,
        Tool::Walk { count, frames, fps, way, scale } => job.walk(*count, *frames, *fps, of(*way), *scale)?,
        Tool::TruncationSweep { rows, psis } => job.truncation_sweep(*rows, psis)?,
        Tool::Mix(mix) => {
            let sheet = mixing_sheet(&mut job.synthesizer, *mix)?;
            job.sheet(&sheet)?;
            job.made(
                format!("styles of {} samples (rows) with those of {} (columns)", mix.rows, mix.columns),
                json!({"rows": mix.rows, "columns": mix.columns}),
            )
        }
        Tool::ByClass { columns } => {
            let classes = job.synthesizer.objective().recipe.data.classes.unwrap_or(1);
            job.fits(classes.saturating_mul(*columns), *columns)?;
            let sheet = class_sheet(&mut job.synthesizer, *columns)?;
            job.sheet(&sheet)?;
            let classes = sheet.codes.len() / columns;
            let told = format!("{columns} latents (columns) as each of {classes} classes (rows)");
            job.made(told, json!({"classes": classes, "columns": columns}))
        }
        Tool::Directions { count, steps, extent, index } => {
            job.directions(*count, *steps, *extent, *index)?
        }
        Tool::Project { images, effort } => job.project(images, *effort)?,
        Tool::Single { index, scale } => job.single(*index, *scale)?,
    };
    if options.computing.json {
        let mut line = Map::from_iter([
            ("out".to_string(), json!(options.out)),
            ("seed".to_string(), json!(options.seed)),
            ("truncation".to_string(), json!(options.truncation)),
            ("class".to_string(), json!(options.class)),
            ("checkpoint".to_string(), json!(checkpoint)),
            ("step".to_string(), json!(step)),
            ("images".to_string(), json!(images)),
            ("standing_statistics".to_string(), json!(standing)),
        ]);
        if let Value::Object(fields) = fields {
            line.extend(fields);
        }
        say!("{}", Value::Object(line))?;
    } else {
        say!("{told}")?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Whether the file can hold what a tool makes, before anything is drawn.
fn ending(tool: &Tool, out: &Path) -> anyhow::Result<()> {
    let walks = matches!(tool, Tool::Walk { .. });
    let ending = out.extension().and_then(|e| e.to_str()).unwrap_or_default().to_lowercase();
    match (walks, Format::of(out), ending.as_str()) {
        (true, Some(_), _) | (false, None, "png") => Ok(()),
        (true, None, _) => bail!("{}: a walk goes to a .gif or .webp file: change --out", out.display()),
        (false, ..) => bail!("{}: this picture goes to a .png file: change --out", out.display()),
    }
}

/// Refuses to write over a file that is read, or over one in the place of the latents that is something else.
fn keep_inputs(options: &Sample, checkpoint: &Path) -> anyhow::Result<()> {
    let latents = (!options.tools.project.is_empty()).then(|| latents_beside(&options.out));
    let inputs = options.tools.project.iter().chain(&options.tools.latent).map(PathBuf::as_path);
    let inputs: Vec<&Path> = inputs.chain([checkpoint]).collect();
    for to in [Some(options.out.clone()), latents.clone()].into_iter().flatten() {
        // What does not exist is nothing that is read.
        let Ok(place) = to.canonicalize() else { continue };
        if inputs.iter().any(|from| from.canonicalize().is_ok_and(|from| from == place)) {
            bail!("{}: is read, and would be written over: change --out", to.display());
        }
        if Some(&to) == latents.as_ref() && Codes::load(&to).is_err() {
            bail!(
                "{}: the latents would be written over this file, which holds something else: change --out",
                to.display()
            );
        }
    }
    Ok(())
}

/// Where the latents of a picture's projections go.
fn latents_beside(picture: &Path) -> PathBuf {
    picture.with_extension("safetensors")
}

impl Job<'_> {
    fn made(&self, told: String, fields: Value) -> Made {
        Made { told: format!("{told} in {}", self.out.display()), fields }
    }

    /// Samples of codes, with a live line.
    fn samples(&mut self, codes: &Codes) -> anyhow::Result<Vec<f32>> {
        let bar = counter(codes.len() as u64, "samples");
        let samples = self.synthesizer.samples(codes, &mut |drawn| {
            if let Some(bar) = &bar {
                bar.inc(drawn as u64);
            }
        })?;
        if let Some(bar) = bar {
            bar.finish_and_clear();
        }
        Ok(samples)
    }

    fn fits(&self, count: usize, columns: usize) -> anyhow::Result<()> {
        let (width, height) = picture::grid_size(&self.shape, count, columns);
        if width.max(height) > MAX_SIDE {
            bail!(
                "{}: {count} images make a picture of {width}x{height} pixels, {MAX_SIDE} a side is the most: ask for \
                 fewer",
                self.out.display()
            );
        }
        Ok(())
    }

    fn sheet(&mut self, sheet: &Sheet) -> anyhow::Result<()> {
        self.fits(sheet.codes.len(), sheet.columns)?;
        let samples = self.samples(&sheet.codes)?;
        Ok(picture::write_grid(self.out, &samples, &self.shape, sheet.columns)?)
    }

    fn given(&mut self, count: usize) -> anyhow::Result<Made> {
        let columns = (count as f64).sqrt().ceil() as usize;
        self.fits(count, columns)?;
        let codes = self.synthesizer.codes(0, count)?;
        self.sheet(&Sheet { codes, columns })?;
        Ok(self.made(format!("{count} samples"), json!({"samples": count})))
    }

    fn interpolate(&mut self, count: usize, steps: usize, way: Way) -> anyhow::Result<Made> {
        self.fits((count - 1) * steps, steps)?;
        let sheet = interpolation_sheet(&mut self.synthesizer, count, steps, way)?;
        self.sheet(&sheet)?;
        let told = format!("the ways between {count} samples ({}), {steps} pictures each", way.name());
        Ok(self.made(told, json!({"count": count, "steps": steps, "way": way.name()})))
    }

    fn walk(
        &mut self,
        count: usize,
        frames: usize,
        fps: f64,
        way: Way,
        scale: Option<usize>,
    ) -> anyhow::Result<Made> {
        let scale = scale.unwrap_or_else(|| animation::enlargement(&self.shape));
        let longest = self.shape[0].max(self.shape[1]).saturating_mul(scale);
        if longest > MAX_FRAME {
            bail!(
                "{}: frames would have {longest} pixels a side, {MAX_FRAME} are the most: choose a smaller --scale",
                self.out.display()
            );
        }
        let mut film = Animation::new(self.out, &self.shape, scale, fps)?;
        let codes = walk(&mut self.synthesizer, count, frames, way)?;
        let size: usize = self.shape.iter().product();
        let bar = counter(frames as u64, "frames");
        // A stretch at a time: frames are small once they are encoded.
        const STRETCH: usize = 64;
        for first in (0..frames).step_by(STRETCH) {
            let some = codes.some(first..frames.min(first + STRETCH));
            for frame in self.synthesizer.samples(&some, &mut |_| {})?.chunks_exact(size) {
                film.frame(frame)?;
                if let Some(bar) = &bar {
                    bar.inc(1);
                }
            }
        }
        if let Some(bar) = bar {
            bar.finish_and_clear();
        }
        film.finish()?;
        let told = format!(
            "a walk through {count} samples ({}), {frames} frames, {:.1} s",
            way.name(),
            frames as f64 / fps
        );
        let fields = json!({"count": count, "frames": frames, "fps": fps, "way": way.name(), "scale": scale});
        Ok(self.made(told, fields))
    }

    fn truncation_sweep(&mut self, rows: usize, psis: &[f64]) -> anyhow::Result<Made> {
        let usual = default_truncations(self.synthesizer.objective());
        let psis = if psis.is_empty() { usual } else { psis };
        self.fits(rows * psis.len(), psis.len())?;
        let sheet = truncation_sheet(&mut self.synthesizer, rows, psis)?;
        self.sheet(&sheet)?;
        let values = psis.iter().map(f64::to_string).collect::<Vec<_>>().join(", ");
        Ok(self.made(
            format!("{rows} samples (rows) at truncations {values} (columns)"),
            json!({"rows": rows, "truncations": psis}),
        ))
    }

    fn directions(&mut self, count: usize, steps: usize, extent: f64, index: u64) -> anyhow::Result<Made> {
        self.fits(count * steps, steps)?;
        let found = directions(&mut self.synthesizer, count)?;
        let sheet = direction_sheet(&mut self.synthesizer, &found, index, steps, extent)?;
        self.sheet(&sheet)?;
        let share = |d: &Direction| format!("{:.1} %", 100.0 * d.share);
        let shares = found.iter().map(share).collect::<Vec<_>>().join(", ");
        let told = format!(
            "sample {index} moved by -{extent} to {extent} along {count} directions, with {shares} of the change in the \
             first layers,"
        );
        let strengths: Vec<f64> = found.iter().map(|d| d.strength).collect();
        let shares: Vec<f64> = found.iter().map(|d| d.share).collect();
        let fields = json!({
            "directions": count, "steps": steps, "extent": extent, "index": index, "strengths": strengths, "shares": shares,
        });
        Ok(self.made(told, fields))
    }

    fn project(&mut self, images: &[PathBuf], effort: Effort) -> anyhow::Result<Made> {
        self.fits(2 * images.len(), 2)?;
        let targets: Result<Vec<Vec<f32>>, String> =
            images.iter().map(|path| picture::read_image(path, &self.shape)).collect();
        let targets = targets.map_err(|e| anyhow!(e))?;
        let bar = counter((effort.steps * images.len()) as u64, "steps");
        let (mut pictures, mut found, mut lines, mut rows) =
            (Vec::new(), None::<Codes>, Vec::new(), Vec::new());
        for (path, target) in images.iter().zip(&targets) {
            let projection = project(&mut self.synthesizer, target, effort, &mut || {
                if let Some(bar) = &bar {
                    bar.inc(1);
                }
            })
            .map_err(|e| anyhow!("{}: {e}", path.display()))?;
            pictures.extend_from_slice(target);
            pictures.extend_from_slice(&projection.reconstruction);
            lines.push(format!(
                "{}: distance {:.4} (began at {:.4}), root mean square error of a value {:.4}",
                path.display(),
                projection.distance,
                projection.start,
                projection.pixel_error
            ));
            rows.push(json!({
                "image": path, "distance": projection.distance, "start": projection.start,
                "pixel_error": projection.pixel_error, "ends": projection.ends,
            }));
            found = Some(match found {
                None => projection.codes,
                Some(found) => found.followed_by(&projection.codes)?,
            });
        }
        if let Some(bar) = bar {
            bar.finish_and_clear();
        }
        picture::write_grid(self.out, &pictures, &self.shape, 2)?;
        let latents = latents_beside(self.out);
        if let Some(found) = found {
            found.save(&latents)?;
        }
        lines.push(format!("{} images beside what was found", images.len()));
        let made = self.made(lines.join("\n"), json!({"projections": rows, "latents": latents}));
        Ok(Made { told: format!("{}, the latents in {}", made.told, latents.display()), ..made })
    }

    fn single(&mut self, index: u64, scale: usize) -> anyhow::Result<Made> {
        let longest = self.shape[0].max(self.shape[1]) * scale;
        if longest > MAX_SIDE {
            bail!(
                "{}: a side would have {longest} pixels, {MAX_SIDE} are the most: choose a smaller --scale",
                self.out.display()
            );
        }
        let codes = self.synthesizer.codes(index, 1)?;
        let sample = self.samples(&codes)?;
        picture::write_enlarged(self.out, &sample, &self.shape, scale)?;
        Ok(self.made(format!("sample {index}"), json!({"index": index, "scale": scale})))
    }
}
