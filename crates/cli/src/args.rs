//! The command line.

mod tools;

pub use tools::Tool;

use clap::{Args, Parser, Subcommand};
use ganymede_cpu::{MemoryMode, Precision};
use ganymede_data::{Split, with_parameter};
use std::path::PathBuf;

/// Train, judge and sample generative adversarial networks.
///
/// Without any data: `ganymede train` trains on an embedded set of drawn digits and shows what it made. With your own:
/// `ganymede train FOLDER --recipe r3-28`. A recipe is a TOML file; `ganymede recipes` lists those that come with the
/// program.
#[derive(Debug, Parser)]
#[command(name = "ganymede", version, max_term_width = 100)]
pub struct Arguments {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The verbs.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Train a pair of networks and write samples, a log and checkpoints to a run folder.
    Train(Box<Train>),
    /// Train every combination of some settings with equal budgets, and compare them in a table with intervals.
    Sweep(Box<Sweep>),
    /// Draw samples from a trained run.
    Sample(Box<Sample>),
    /// Score samples of a run, or a folder of images, against real ones: distances, classes, coverage.
    Eval(Eval),
    /// Ask a run's discriminator about images: its logit for each, beside those of real and generated samples.
    Judge(Judge),
    /// List the recipes that come with the program, or print one as TOML.
    Recipes(Recipes),
    /// Look at a data set: count, shape, labels, range of values, a picture; list what can be named as data.
    Data(Data),
    /// Time whole training steps of fixed workloads.
    Bench(Bench),
    /// Report CPU features, threads and memory, and check the kernels against their definitions.
    Doctor(Doctor),
}

fn positive(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(v) if v > 0.0 && v <= 1e9 => Ok(v),
        _ => Err("expected a number above 0 and up to 1e9, e.g. 5".into()),
    }
}

fn threshold(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        // Of the f32 that latents are.
        Ok(v) if v as f32 > 0.0 && (v as f32).is_finite() => Ok(v),
        _ => Err(
            "expected a number above 0, e.g. 0.7: latents come from [-PSI, PSI], so 0 or less leaves none"
                .into(),
        ),
    }
}

fn precision(text: &str) -> Result<Precision, String> {
    Precision::ALL
        .into_iter()
        .find(|p| p.name() == text)
        .ok_or_else(|| "expected f32, or bf16 for operands of 16 bits with sums in f32".into())
}

fn memory(text: &str) -> Result<MemoryMode, String> {
    MemoryMode::ALL
        .into_iter()
        .find(|m| m.name() == text)
        .ok_or_else(|| "expected normal, or low to compute activations again instead of keeping them".into())
}

fn split(text: &str) -> Result<Split, String> {
    match text {
        "train" => Ok(Split::Train),
        "test" => Ok(Split::Test),
        _ => Err("expected train, or test for the part that is held out".into()),
    }
}

fn threads(text: &str) -> Result<usize, String> {
    match text.parse::<usize>() {
        Ok(0) => {
            Err("0 threads cannot work: give at least 1, or leave --threads out to use all cores".into())
        }
        Ok(n) if n <= 1024 => Ok(n),
        _ => Err("expected a whole number from 1 to 1024".into()),
    }
}

impl Train {
    /// The changes of the recipe that are asked for, those with an option of their own among them.
    pub fn changes(&self) -> Vec<String> {
        let precision = self.precision.map(|p| format!("train.precision={p}"));
        let memory = self.memory.map(|m| format!("train.memory={m}"));
        self.set.iter().cloned().chain(precision).chain(memory).collect()
    }
}

/// What part of a data set is used. Each becomes a parameter of DATA, so that a run remembers it.
#[derive(Debug, Default, Args)]
pub struct Selection {
    /// N items alone: a fixed random choice in which each class keeps its share, the same for every seed, and with all of
    /// the choice for a smaller N in it; of an endless set the first N. The same as `DATA?limit=N`.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub limit: Option<u64>,
    /// These classes alone, by name or number with commas between, e.g. 0,3,7 or cat,dog; they are numbered anew in the
    /// order of the set. The same as `DATA?classes=LIST`.
    #[arg(long, value_name = "LIST")]
    pub classes: Option<String>,
    /// Leave out pictures that cannot be read, and list them, instead of refusing the folder. The same as
    /// `DATA?skip-bad`.
    #[arg(long)]
    pub skip_bad: bool,
}

impl Selection {
    /// The parameters that are asked for, as key and value.
    fn parameters(&self) -> Vec<(&'static str, String)> {
        let limit = self.limit.map(|n| ("limit", n.to_string()));
        let classes = self.classes.clone().map(|list| ("classes", list));
        let skip_bad = self.skip_bad.then(|| ("skip-bad", String::new()));
        limit.into_iter().chain(classes).chain(skip_bad).collect()
    }

    /// Whether anything is asked for.
    pub fn is_given(&self) -> bool {
        !self.parameters().is_empty()
    }

    /// The specification of that part of the set `data`.
    pub fn of(&self, data: &str) -> String {
        let add = |spec: String, (key, value): (&str, String)| with_parameter(&spec, key, &value);
        self.parameters().into_iter().fold(data.to_string(), add)
    }
}

/// Options of `train`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  ganymede train                                        embedded digits, default recipe
  ganymede train mnist/ --recipe dcgan28 --minutes 5    IDX files, as MNIST and Fashion-MNIST come
  ganymede train photos/ --recipe mine.toml             a folder of pictures, brought to the recipe's size
  ganymede train mnist/ --limit 1000 --classes 3,5,8    a part of a set
  ganymede train synthetic:ring8                        a mixture of eight Gaussians
  ganymede train mnist/ --set lr=1e-4 --set batch=32    change a recipe without a file
  ganymede train mnist/ --precision bf16                contractions in bf16, where the CPU has it
  ganymede train mnist/ --set batch=256 --memory low    activations computed again instead of kept
  ganymede train mnist/ --recipe r3-28 --dry-run        networks, memory and work, without training
  ganymede train --resume runs/r3-28-1                  go on where a run stopped
  ganymede train other/ --from runs/r3-28-1             a new run with the weights of another

The losses of a GAN need not fall, since its networks compete. Look at the pictures in the run folder.")]
pub struct Train {
    /// A folder of pictures, or IDX or CIFAR files; `stacked:DATA`, `glyphs`, `synthetic:ring8` or `synthetic:grid25`;
    /// parameters after `?` (`ganymede data sources` lists them). Without it, the recipe's own default.
    pub data: Option<String>,
    /// What part of it.
    #[command(flatten)]
    pub selection: Selection,
    /// A recipe by name, or a file ending in .toml. Without it, one that fits the data.
    #[arg(long, value_name = "NAME|FILE")]
    pub recipe: Option<String>,
    /// The run folder to make [default: runs/RECIPE-N].
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Length in passes over the data; a loss that compares real and generated samples in the generator's step too
    /// (relativistic pairing) uses them up there as well.
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = positive, group = "length")]
    pub epochs: Option<f64>,
    /// Length in real images shown to the discriminator.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..), group = "length")]
    pub images: Option<u64>,
    /// Length in generator steps.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..), group = "length")]
    pub steps: Option<u64>,
    /// Length in minutes; the speed is measured first and the number of images fixed from it.
    #[arg(long, value_name = "M", allow_negative_numbers = true, value_parser = positive, group = "length")]
    pub minutes: Option<f64>,
    /// Seed of weights, latents and the order of samples: the same seed gives the same run.
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub seed: u64,
    /// Change a key of the recipe; an ending such as `lr` changes every key with it. Repeatable. Beside --resume,
    /// `images=N` lengthens the run as --images does.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub set: Vec<String>,
    /// Go on with a run (its folder, or one of its checkpoints), bit for bit as if it had not stopped.
    #[arg(long, value_name = "RUN", conflicts_with_all = ["out", "seed", "dry_run"])]
    pub resume: Option<PathBuf>,
    /// Begin a new run with the weights of a run (its newest checkpoint) or a checkpoint: those of both networks and of the
    /// averaged generator; moments, counters and schedules begin anew. Without --recipe it is trained by the recipe of that
    /// run. See discriminator.freeze for keeping the discriminator's first layers as they are.
    #[arg(long, value_name = "RUN|CHECKPOINT", conflicts_with = "resume")]
    pub from: Option<PathBuf>,
    /// With --from: take the weights that fit in name and shape, and draw the others as for a new run; without it,
    /// differences are refused.
    #[arg(long, requires = "from")]
    pub from_partial: bool,
    /// Write a picture of what the recipe's augmentations make of real samples, and stop: each row begins with a sample as
    /// it is.
    #[arg(long, value_name = "PNG", conflicts_with_all = ["resume", "dry_run"])]
    pub preview_augment: Option<PathBuf>,
    /// Print the resolved recipe, the networks, memory and work of a step, and stop.
    #[arg(long)]
    pub dry_run: bool,
    /// Arithmetic of matrix products and convolutions: f32, or bf16 with sums in f32 on CPUs that have it
    /// (`ganymede doctor` says so). The same as --set train.precision=P [default: the recipe's].
    #[arg(long, value_name = "f32|bf16", value_parser = precision)]
    pub precision: Option<Precision>,
    /// Memory of activations: normal, or low to compute them again where that lowers the peak, for up to a third more
    /// work and exactly the same results (--dry-run says what a run takes). The same as --set train.memory=M; may change
    /// from one --resume to the next [default: the recipe's].
    #[arg(long, value_name = "normal|low", value_parser = memory)]
    pub memory: Option<MemoryMode>,
    /// Threads [default: all cores].
    #[arg(long, value_name = "N", value_parser = threads)]
    pub threads: Option<usize>,
    /// One JSON object a line on standard output instead of text: the first names the run folder, the last says how
    /// the run ended.
    #[arg(long)]
    pub json: bool,
}

/// Options of `sweep`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  ganymede sweep dcgan28 --data mnist/ --set lr=1e-4,2e-4,4e-4 --minutes 5 --seeds 3     three rates, 45 minutes
  ganymede sweep mlp2d --data synthetic:grid25 --set latent.dim=2,10 --images 2000000    points, by images
  ganymede sweep r3-28 --set train.batch=32,64 --set regularizers.0.strength=.1,1 --images 60000 --out sweeps/r3

Stopped, the same command goes on with the runs that are missing.")]
pub struct Sweep {
    /// A recipe by name, or a file ending in .toml.
    pub recipe: String,
    /// What to train on [default: the recipe's own].
    #[arg(long, value_name = "DATA")]
    pub data: Option<String>,
    /// A key of the recipe with the values to try, commas between; repeated, every combination is trained.
    #[arg(long = "set", value_name = "KEY=VALUE,..")]
    pub set: Vec<String>,
    /// Minutes a run.
    #[arg(long, value_name = "M", allow_negative_numbers = true, value_parser = positive, group = "length")]
    pub minutes: Option<f64>,
    /// Real images a run.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..), group = "length")]
    pub images: Option<u64>,
    /// Seeds 0 to N - 1, the same for each setting.
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..=1000))]
    pub seeds: u64,
    /// Metrics of images by name, separated by commas, as for `eval` [default: frechet]. Mixtures have their own scores.
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    pub metrics: Option<Vec<String>>,
    /// Samples that images are scored by [default: 10000].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(2..=1_000_000))]
    pub n: Option<u64>,
    /// The folder of the runs and of the table [default: sweeps/RECIPE].
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Arithmetic of matrix products and convolutions [default: the recipe's].
    #[arg(long, value_name = "f32|bf16", value_parser = precision)]
    pub precision: Option<Precision>,
    /// Threads [default: all cores].
    #[arg(long, value_name = "N", value_parser = threads)]
    pub threads: Option<usize>,
    /// One JSON object a run on standard output instead of text.
    #[arg(long)]
    pub json: bool,
}

/// Options of `sample`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  ganymede sample runs/r3-28-1 --out samples.png                     64 images in one picture
  ganymede sample runs/r3-28-1 --n 10000 --seed 7 --out made/        a file each, for scores
  ganymede sample runs/r3-28-1 --truncation 0.7 --out typical.png    latents within a bound
  ganymede sample runs/cdcgan28-1 --class 7 --out sevens.png         one class of a conditional run
  ganymede sample runs/mlp2d-1 --n 5000 --out points.csv             points, as a table
  ganymede sample runs/mlp2d-1 --best --out best.png                 from the best checkpoint
  ganymede sample runs/dcgan28-1 --standing-statistics 100 --out a.png
  ganymede sample runs/r3-28-1 --interpolate 5 --steps 8 --out ways.png   from each of 5 samples to the next
  ganymede sample runs/r3-28-1 --walk 6 --frames 120 --out walk.gif       a closed walk through 6
  ganymede sample runs/r3-28-1 --truncation-sweep=0.5,1,2 --out sweep.png   6 samples at each truncation
  ganymede sample runs/sg2-1 --mix 4x6 --out mixed.png                    coarse styles of 4, fine ones of 6
  ganymede sample runs/cdcgan28-1 --by-class --out classes.png            the same latents as each class
  ganymede sample runs/r3-28-1 --directions 5 --out strips.png            what the generator varies most
  ganymede sample runs/r3-28-1 --project seven.png --out found.png        and found.safetensors, the latent
  ganymede sample runs/r3-28-1 --latent found.safetensors --walk 4 --out from-seven.gif
  ganymede sample runs/r3-28-1 --index 12 --scale 8 --out twelve.png      one sample alone")]
pub struct Sample {
    /// A run folder, or a checkpoint file.
    pub run: PathBuf,
    /// How many samples [default: 64]; rows of --truncation-sweep [default: 6] and columns of --by-class [default: 8].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=10_000_000))]
    pub n: Option<u64>,
    /// Seed of the latents: sample i of a seed is always the same.
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub seed: u64,
    /// The class to make, by number or by its name in the data, for conditional runs [default: one after the other].
    #[arg(long, value_name = "CLASS")]
    pub class: Option<String>,
    /// Draw latents from the normal restricted to [-PSI, PSI], the truncation trick (Brock, Donahue, Simonyan 2019): the
    /// smaller PSI is, the more typical and the more alike the samples are. Of models with styles: draw styles to PSI times
    /// their distance from the mean (Karras, Laine, Aila 2019).
    #[arg(long, value_name = "PSI", allow_negative_numbers = true, value_parser = threshold)]
    pub truncation: Option<f64>,
    /// Take the best checkpoint of a run, which it keeps where its recipe names a metric (best.metric), and not the newest.
    #[arg(long)]
    pub best: bool,
    /// Take batch norm's statistics anew over N batches of latents before drawing (Brock, Donahue, Simonyan 2019); 0 draws
    /// with the running ones [default: the recipe's train.standing_statistics].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(0..=1_048_576))]
    pub standing_statistics: Option<u64>,
    /// Arithmetic of matrix products and convolutions [default: the run's].
    #[arg(long, value_name = "f32|bf16", value_parser = precision)]
    pub precision: Option<Precision>,
    /// A .png file for one picture of all, or a folder for one file each (points: a .png or .csv file).
    #[arg(long, value_name = "FILE|DIR")]
    pub out: PathBuf,
    /// Threads [default: all cores].
    #[arg(long, value_name = "N", value_parser = threads)]
    pub threads: Option<usize>,
    /// One JSON object on standard output instead of text.
    #[arg(long)]
    pub json: bool,
    /// Tools.
    #[command(flatten)]
    pub tools: tools::Tools,
}

/// Options of `eval`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  ganymede eval runs/dcgan28-1 --data mnist/                         every score that suits
  ganymede eval runs/dcgan28-1 --metrics frechet,kid --n 5000        some of them, on the run's own data
  ganymede eval runs/cdcgan28-1 --metrics accuracy --split test      a classifier trained on its samples
  ganymede eval made/ --data mnist/                                  images of another program
  ganymede eval runs/r3-28-1 --extractor judge.safetensors --json    seen through your own classifier
  ganymede eval made/ --data photos/ --extractor pt_inception-2015-12-05-6726825d.pth    what others call FID
  ganymede eval --list                                               metrics and extractors

Scores name what they were seen through, and compare only with others of the same extractor, counts and split.
The report goes to report.json beside the run or in the folder; docs/scores.md says how each is made.")]
pub struct Eval {
    /// A run folder, a checkpoint file, or a folder of images (sub-folders named like classes label them).
    #[arg(required_unless_present = "list")]
    pub samples: Option<PathBuf>,
    /// The real samples to compare with [default: the run's own data].
    #[arg(long, value_name = "DATA")]
    pub data: Option<String>,
    /// Metrics by name, separated by commas [default: all that suit].
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    pub metrics: Option<Vec<String>>,
    /// Samples of either side [default: 10000, and what a metric takes by custom].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(2..=1_000_000))]
    pub n: Option<u64>,
    /// Seed of the latents and of the choice of samples.
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub seed: u64,
    /// What samples are seen through: an extractor by name, or files of weights, .safetensors or PyTorch's, joined by commas:
    /// a classifier's, or a network's of those that --list names. `?resizer=` clean (unless given), legacy-tensorflow or
    /// legacy-pytorch behind the file says how images come to the network's size [default: classifier for labelled images,
    /// random-conv for others].
    #[arg(long, value_name = "NAME|FILE")]
    pub extractor: Option<String>,
    /// The part of the data to compare with.
    #[arg(long, value_name = "train|test", value_parser = split, default_value = "train")]
    pub split: Split,
    /// List metrics and extractors, and stop.
    #[arg(long)]
    pub list: bool,
    /// Arithmetic of the generator's matrix products and convolutions [default: the run's].
    #[arg(long, value_name = "f32|bf16", value_parser = precision)]
    pub precision: Option<Precision>,
    /// Threads [default: all cores].
    #[arg(long, value_name = "N", value_parser = threads)]
    pub threads: Option<usize>,
    /// The report as one JSON object on standard output instead of a table.
    #[arg(long)]
    pub json: bool,
}

/// Options of `judge`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  ganymede judge runs/r3-28-1 seven.png                   beside the run's own data
  ganymede judge runs/r3-28-1 a.png b.png --data mnist/   beside other real samples (mnist/?classes=7: of one class)
  ganymede judge runs/r3-28-1 a.png --json                one object an image")]
pub struct Judge {
    /// A run folder, or a checkpoint file.
    pub run: PathBuf,
    /// Image files of the run's size.
    #[arg(required = true)]
    pub images: Vec<PathBuf>,
    /// The class that the images shall be, by number or by its name in the data, for conditional runs.
    #[arg(long, value_name = "CLASS")]
    pub class: Option<String>,
    /// Arithmetic of matrix products and convolutions [default: the run's].
    #[arg(long, value_name = "f32|bf16", value_parser = precision)]
    pub precision: Option<Precision>,
    /// Real samples to compare with [default: the run's own data].
    #[arg(long, value_name = "DATA")]
    pub data: Option<String>,
    /// Threads [default: all cores].
    #[arg(long, value_name = "N", value_parser = threads)]
    pub threads: Option<usize>,
    /// One JSON object a line on standard output instead of text.
    #[arg(long)]
    pub json: bool,
}

/// Options of `recipes`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  ganymede recipes                    names, and what they are
  ganymede recipes dcgan28            one as TOML: save it as mine.toml and edit it
  ganymede recipes --words            what recipes can be made of
  ganymede recipes --words --json     the same, one object a line")]
pub struct Recipes {
    /// The recipe to print.
    pub name: Option<String>,
    /// List the words that recipes are made of: layers, activations, initializers, losses, regularizers, models,
    /// optimizers, schedules.
    #[arg(long, conflicts_with = "name")]
    pub words: bool,
    /// One JSON object on standard output instead of text.
    #[arg(long)]
    pub json: bool,
}

/// Options of `data`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  ganymede data inspect mnist/                              count, shape, labels, range
  ganymede data inspect photos/ --preview photos.png        what is in it, as a picture too
  ganymede data inspect photos/?size=64 --skip-bad          pictures at a size, without bad files
  ganymede data inspect mnist/ --classes 1,7 --limit 500    a part of a set
  ganymede data inspect synthetic:grid25 --json             one object
  ganymede data sources                                     what can be named as data, with parameters")]
pub struct Data {
    /// What to do with it.
    #[command(subcommand)]
    pub command: DataCommand,
}

/// Verbs of `data`.
#[derive(Debug, Subcommand)]
pub enum DataCommand {
    /// Print count, shape, labels and range of values, and what reading the files met with.
    Inspect(Inspect),
    /// List what can be named as data, with the parameters of each.
    Sources {
        /// One JSON object a line on standard output instead of text.
        #[arg(long)]
        json: bool,
    },
}

/// Options of `data inspect`.
#[derive(Debug, Args)]
pub struct Inspect {
    /// A folder of pictures, or IDX or CIFAR files; `stacked:DATA`, `glyphs`, or `synthetic:..`; parameters after `?`.
    pub data: String,
    /// What part of it.
    #[command(flatten)]
    pub selection: Selection,
    /// The part that is held out (`t10k` files, test_batch.bin, a sub-folder `test` or `val`) instead of the training part.
    #[arg(long)]
    pub test: bool,
    /// Seed of embedded sets.
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub seed: u64,
    /// Write a picture too: eight items of each class, a row a class; 64 items where there are no classes.
    #[arg(long, value_name = "PNG")]
    pub preview: Option<PathBuf>,
    /// One JSON object on standard output instead of text.
    #[arg(long)]
    pub json: bool,
}

/// Options of `bench`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  ganymede bench                           all workloads
  ganymede bench dcgan28 --threads 1       one of them, on one thread
  ganymede bench dcgan28 --profile         with the time of each kernel and its share of the machine's peak
  ganymede bench --precision bf16          in mixed precision
  ganymede bench dcgan64 --memory low      with activations computed again instead of kept
  ganymede bench --json                    for comparing with another day
  ganymede bench --growth growth           time over batch, resolution and width, as tables and pictures
  ganymede bench --graph 20000             how long a deep network takes to compile")]
pub struct Bench {
    /// Workloads; all of them if none is named.
    pub workloads: Vec<String>,
    /// One JSON object a line: workload, batch, ms_min, ms_med, first_step_ms, gflops, peak_gflops, peak_share, rss_mb,
    /// predicted_mb, arena_mb and more.
    #[arg(long)]
    pub json: bool,
    /// Print the time of each kernel, with its share of the machine's peak in arithmetic and in memory traffic.
    #[arg(long)]
    pub profile: bool,
    /// Shorter measurements, for a look.
    #[arg(long)]
    pub quick: bool,
    /// Measure convolutional pairs of growing batch (16 to 512), resolution (16 to 128) and width (16 to 256) instead of
    /// the workloads; a folder gets the three curves as PNG and the figures as growth.jsonl.
    #[arg(long, value_name = "DIR", conflicts_with_all = ["workloads", "profile", "graph"])]
    pub growth: Option<PathBuf>,
    /// Time how long a residual pair with second-order penalties takes to compile, deep enough for a graph of so many
    /// nodes, instead of the workloads.
    #[arg(long, value_name = "NODES", conflicts_with_all = ["workloads", "profile"],
        value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    pub graph: Option<u64>,
    /// Arithmetic of matrix products and convolutions: f32, or bf16 with sums in f32.
    #[arg(long, value_name = "f32|bf16", value_parser = precision, default_value = "f32")]
    pub precision: Precision,
    /// Memory of activations: normal, or low to compute them again where that lowers the peak.
    #[arg(long, value_name = "normal|low", value_parser = memory, default_value = "normal")]
    pub memory: MemoryMode,
    /// Threads [default: all cores].
    #[arg(long, value_name = "N", value_parser = threads)]
    pub threads: Option<usize>,
    /// Run the one named workload in this process (used by `bench` itself).
    #[arg(long, hide = true)]
    pub here: bool,
    /// What to measure instead of a workload, as BATCHxSIDExWIDTH (used by `bench` itself).
    #[arg(long, hide = true)]
    pub point: Option<String>,
    /// When this process was started, in nanoseconds since 1970 (used by `bench` itself).
    #[arg(long, hide = true)]
    pub began: Option<u64>,
    /// The machine's peak as measured: f32 and bf16 GFLOP/s, GB/s (used by `bench` itself).
    #[arg(long, hide = true)]
    pub peak: Option<String>,
}

/// Options of `doctor`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  ganymede doctor                  all checks
  ganymede doctor --threads 2      with two threads
  ganymede doctor --json           one object, for a bug report")]
pub struct Doctor {
    /// Threads [default: all cores].
    #[arg(long, value_name = "N", value_parser = threads)]
    pub threads: Option<usize>,
    /// One JSON object on standard output instead of text.
    #[arg(long)]
    pub json: bool,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn every_verb_has_examples_that_parse() {
        for verb in Arguments::command().get_subcommands() {
            let name = verb.get_name();
            let help = verb.get_after_help().map(ToString::to_string).unwrap_or_default();
            let (_, examples) =
                help.split_once("Examples:\n").unwrap_or_else(|| panic!("{name} has no examples"));
            let lines: Vec<&str> = examples.lines().take_while(|l| l.starts_with("  ganymede ")).collect();
            assert!(lines.len() >= 3, "{name}: {lines:?}");
            for line in lines {
                // What stands behind three spaces explains the line.
                let command = line.trim_start().split("   ").next().unwrap_or_default();
                let words: Vec<&str> = command.split_whitespace().collect();
                assert_eq!(words.get(1), Some(&name), "{line}");
                Arguments::try_parse_from(&words).unwrap_or_else(|e| panic!("{line}: {e}"));
            }
        }
    }
}
