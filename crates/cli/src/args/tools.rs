//! What `sample` can make beside plain samples: options as they are given, and the one tool they come to.

use super::Sample;
use super::numbers::{number, whole};
use clap::Args;
use ganymede::latent::{Mix, Way};
use ganymede::projection::Effort;
use std::path::PathBuf;

fn way(text: &str) -> Result<Way, String> {
    Way::ALL.into_iter().find(|w| w.name() == text).ok_or_else(|| {
        "expected slerp (on the sphere), lerp (straight) or styles (straight between styles)".into()
    })
}

/// Numbers between commas; none if there is no text.
#[derive(Clone, Debug)]
pub struct Numbers(pub Vec<f64>);

fn numbers(text: &str) -> Result<Numbers, String> {
    if text.is_empty() {
        return Ok(Numbers(Vec::new()));
    }
    let values = text.split(',').map(number).collect::<Result<Vec<_>, _>>();
    match values {
        Ok(values) if values.len() <= 64 => Ok(Numbers(values)),
        Ok(values) => Err(format!("{} values; up to 64 are possible", values.len())),
        Err(error) => Err(format!("{error}; expected numbers between commas, e.g. 0.25,0.5,1")),
    }
}

fn rows_by_columns(text: &str) -> Result<(usize, usize), String> {
    let side = |text: &str| text.parse().ok().filter(|n| (1..=64).contains(n));
    text.split_once('x')
        .and_then(|(rows, columns)| Some((side(rows)?, side(columns)?)))
        .ok_or_else(|| "expected ROWSxCOLUMNS, each from 1 to 64, e.g. 4x6".into())
}

fn extent(text: &str) -> Result<f64, String> {
    number(text)
        .ok()
        .filter(|v| *v > 0.0 && *v <= 1e6)
        .ok_or_else(|| "expected a number above 0, e.g. 3".into())
}

fn fps(text: &str) -> Result<f64, String> {
    number(text)
        .ok()
        .filter(|v| ganymede::animation::FPS.contains(v))
        .ok_or_else(|| "expected frames a second from 0.1 to 50".into())
}

/// Tools of `sample`, one at a time, and their options.
#[derive(Debug, Args)]
#[command(next_help_heading = "Looking into the latents, one at a time")]
pub struct Tools {
    /// A sheet of the ways from each of the first K samples to the next, a row each (slerp: Shoemake 1985; White 2016).
    #[arg(long, value_name = "K", value_parser = clap::value_parser!(u64).range(2..=1024))]
    pub interpolate: Option<u64>,
    /// A closed walk through the first K samples, as a .gif or .webp file.
    #[arg(long, value_name = "K", value_parser = clap::value_parser!(u64).range(2..=1024))]
    pub walk: Option<u64>,
    /// A sheet of --n samples (rows) at values of truncation (columns), as --truncation takes them.
    #[arg(long, value_name = "PSI,..", num_args = 0..=1, require_equals = true, default_missing_value = "", value_parser = numbers)]
    pub truncation_sweep: Option<Numbers>,
    /// A sheet of mixed styles: the first styles of a row's sample with the others of a column's, for models with styles
    /// (Karras, Laine, Aila 2019, StyleGAN, section 3.1).
    #[arg(long, value_name = "ROWSxCOLUMNS", value_parser = rows_by_columns)]
    pub mix: Option<(usize, usize)>,
    /// A sheet of --n latents (columns) as each class (rows), for conditional runs.
    #[arg(long, conflicts_with = "class")]
    pub by_class: bool,
    /// The K directions in which the generator's first weights change most, a strip of samples along each (Shen, Zhou 2021,
    /// SeFa).
    #[arg(long, value_name = "K", value_parser = clap::value_parser!(u64).range(1..=1024))]
    pub directions: Option<u64>,
    /// The latents whose samples are nearest to image files of the run's size, by optimization: a sheet of the images beside
    /// what was found, and the latents beside it as .safetensors.
    #[arg(long, value_name = "IMAGE", num_args = 1.., conflicts_with = "truncation")]
    pub project: Vec<PathBuf>,
    /// Sample I alone, at its full size or enlarged by --scale; with --directions, the sample that is moved.
    #[arg(long, value_name = "I", allow_negative_numbers = true, value_parser = whole)]
    pub index: Option<u64>,

    /// Latents (or styles) of a file, as --project writes them, in place of the seed's first. Alone: their samples.
    #[arg(long, value_name = "FILE", conflicts_with = "truncation")]
    pub latent: Option<PathBuf>,
    /// Pictures from one end to the other, of --interpolate [default: 8] and --directions [default: 7]; steps of the optimizer
    /// of --project [default: 500].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=100_000))]
    pub steps: Option<u64>,
    /// The way of --interpolate and --walk: on the sphere of latents, straight between them, or straight between styles
    /// [default: slerp].
    #[arg(long, value_name = "slerp|lerp|styles", value_parser = way)]
    pub way: Option<Way>,
    /// Frames of --walk [default: 120, or one a sample if these are more].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(2..=3600))]
    pub frames: Option<u64>,
    /// Frames a second of --walk [default: 20].
    #[arg(long, value_name = "F", allow_negative_numbers = true, value_parser = fps)]
    pub fps: Option<f64>,
    /// Pixels a pixel of the sample becomes, either way, of --index [default: 1] and --walk [default: as many as make
    /// frames of about 256].
    #[arg(long, value_name = "S", value_parser = clap::value_parser!(u64).range(1..=1024))]
    pub scale: Option<u64>,
    /// How many styles --mix takes from the row [default: half].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=64))]
    pub crossover: Option<u64>,
    /// How far --directions moves the sample to either side, in units of the latents [default: 3].
    #[arg(long, value_name = "X", allow_negative_numbers = true, value_parser = extent)]
    pub extent: Option<f64>,
    /// How many starting points --project follows [default: 4].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=64))]
    pub restarts: Option<u64>,
}

/// What `sample` is to make.
#[derive(Clone, Debug, PartialEq)]
pub enum Tool {
    /// Samples, one after the other.
    Plain {
        /// How many.
        count: usize,
    },
    /// Samples of a file of latents.
    Given {
        /// How many; all of the file if nothing is said.
        count: Option<usize>,
    },
    /// A sheet of interpolations.
    Interpolate {
        /// Samples on the way.
        count: usize,
        /// Pictures of a row.
        steps: usize,
        /// How.
        way: Way,
    },
    /// An animation.
    Walk {
        /// Samples on the way.
        count: usize,
        /// Pictures in all.
        frames: usize,
        /// Pictures a second.
        fps: f64,
        /// How.
        way: Way,
        /// Enlargement, if that is said.
        scale: Option<usize>,
    },
    /// Samples at values of truncation.
    TruncationSweep {
        /// Samples.
        rows: usize,
        /// Values; the usual ones if there are none.
        psis: Vec<f64>,
    },
    /// Mixed styles.
    Mix(Mix),
    /// Every class of the same latents.
    ByClass {
        /// Latents.
        columns: usize,
    },
    /// Strips along directions.
    Directions {
        /// How many.
        count: usize,
        /// Pictures of a strip.
        steps: usize,
        /// How far to either side.
        extent: f64,
        /// The sample that is moved.
        index: u64,
    },
    /// The latents of images.
    Project {
        /// The images.
        images: Vec<PathBuf>,
        /// How long to look.
        effort: Effort,
    },
    /// One sample.
    Single {
        /// Which.
        index: u64,
        /// Enlargement.
        scale: usize,
    },
}

impl Sample {
    /// The one tool that the options come to.
    ///
    /// # Errors
    /// Two tools at once, or an option of another tool.
    pub fn tool(&self) -> Result<Tool, String> {
        let t = &self.tools;
        let named = [
            ("--interpolate", t.interpolate.is_some()),
            ("--walk", t.walk.is_some()),
            ("--truncation-sweep", t.truncation_sweep.is_some()),
            ("--mix", t.mix.is_some()),
            ("--by-class", t.by_class),
            ("--directions", t.directions.is_some()),
            ("--project", !t.project.is_empty()),
            ("--index", t.index.is_some() && t.directions.is_none()),
        ];
        let asked: Vec<&str> = named.iter().filter(|(_, asked)| *asked).map(|(name, _)| *name).collect();
        if let [first, second, ..] = asked[..] {
            return Err(format!("{first} and {second} make different pictures: give one of them"));
        }
        let tool = asked.first().copied().unwrap_or("plain samples");
        let options: [(&str, bool, &[&str]); 10] = [
            ("--n", self.n.is_some(), &["plain samples", "--truncation-sweep", "--by-class"]),
            ("--steps", t.steps.is_some(), &["--interpolate", "--directions", "--project"]),
            ("--way", t.way.is_some(), &["--interpolate", "--walk"]),
            ("--frames", t.frames.is_some(), &["--walk"]),
            ("--fps", t.fps.is_some(), &["--walk"]),
            ("--scale", t.scale.is_some(), &["--index", "--walk"]),
            ("--crossover", t.crossover.is_some(), &["--mix"]),
            ("--extent", t.extent.is_some(), &["--directions"]),
            ("--restarts", t.restarts.is_some(), &["--project"]),
            ("--truncation", self.truncation.is_some() && tool == "--truncation-sweep", &[]),
        ];
        for (option, given, goes_with) in options {
            if given && !goes_with.contains(&tool) {
                return Err(match goes_with {
                    [] => format!("{option} does not go with {tool}, which has values of its own"),
                    _ => format!("{option} goes with {}, not with {tool}", goes_with.join(", ")),
                });
            }
        }
        if tool != "--project" && t.steps == Some(1) {
            return Err("--steps 1: from one end to the other are at least 2 pictures".into());
        }
        if let (Some(count), Some(frames)) = (t.walk, t.frames)
            && frames < count
        {
            return Err(format!(
                "--frames {frames}: a walk through {count} samples has a frame for each at least"
            ));
        }
        let size = |n: Option<u64>, default: usize| n.map_or(default, |n| n as usize);
        let way = t.way.unwrap_or_default();
        Ok(if let Some(count) = t.interpolate {
            Tool::Interpolate { count: count as usize, steps: size(t.steps, 8), way }
        } else if let Some(count) = t.walk {
            Tool::Walk {
                count: count as usize,
                frames: size(t.frames, 120.max(count as usize)),
                fps: t.fps.unwrap_or(20.0),
                way,
                scale: t.scale.map(|s| s as usize),
            }
        } else if let Some(psis) = &t.truncation_sweep {
            Tool::TruncationSweep { rows: size(self.n, 6), psis: psis.0.clone() }
        } else if let Some((rows, columns)) = t.mix {
            Tool::Mix(Mix { rows, columns, crossover: t.crossover.map(|c| c as usize) })
        } else if t.by_class {
            Tool::ByClass { columns: size(self.n, 8) }
        } else if let Some(count) = t.directions {
            Tool::Directions {
                count: count as usize,
                steps: size(t.steps, 7),
                extent: t.extent.unwrap_or(3.0),
                index: t.index.unwrap_or(0),
            }
        } else if !t.project.is_empty() {
            let usual = Effort::default();
            let effort =
                Effort { steps: size(t.steps, usual.steps), restarts: size(t.restarts, usual.restarts) };
            Tool::Project { images: t.project.clone(), effort }
        } else if let Some(index) = t.index {
            Tool::Single { index, scale: size(t.scale, 1) }
        } else if t.latent.is_some() {
            Tool::Given { count: self.n.map(|n| n as usize) }
        } else {
            Tool::Plain { count: size(self.n, 64) }
        })
    }
}
