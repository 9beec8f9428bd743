//! Standing statistics: the mean over passes, from the weights that samples are drawn from, and only for drawing.

mod common;

use common::*;
use ganymede::extractors::Watch;
use ganymede::run::{Length, Observer, Run, RunFolder};
use ganymede::sampler::Sampler;
use ganymede::standing::Standing;
use ganymede::step::feed;
use ganymede::{Error, Objective, Recipe};
use ganymede_cpu::Session;
use std::sync::atomic::{AtomicBool, Ordering};

struct Quiet;
impl Observer for Quiet {}

/// A session whose averaged generator has statistics that fit nothing.
fn session(objective: &Objective) -> Session {
    let mut session = Session::new(executor(), objective.initial_state(1).unwrap());
    put(session.store_mut(), "ema/G/batch_norm1/running_mean", &[9.0; 5]);
    put(session.store_mut(), "ema/G/batch_norm1/running_var", &[0.01; 5]);
    let weight: Vec<f32> = (0..15).map(|i| 0.2 * i as f32 - 1.3).collect();
    put(session.store_mut(), "ema/G/dense1/weight", &weight);
    put(session.store_mut(), "ema/G/dense1/bias", &[0.5, -0.5, 0.0, 2.0, -1.0]);
    session
}

fn statistics(session: &Session) -> [Vec<f32>; 2] {
    ["running_mean", "running_var"]
        .map(|name| session.store().f32s(&format!("ema/G/batch_norm1/{name}")).unwrap().to_vec())
}

#[test]
fn they_are_the_mean_over_passes_of_fresh_latents() {
    let objective = objective(POINTS, &["batch=64"]);
    let mut all = session(&objective);
    let taken = |session: &mut Session, batches: usize| {
        Standing::new(&objective, session, 5, batches).unwrap().take(session).unwrap();
        statistics(session)
    };
    // The layer before makes W z + b of normals z: mean b, variance the squares of its columns.
    let [mean, variance] = taken(&mut all, 400);
    let weight = all.store().f32s("ema/G/dense1/weight").unwrap().to_vec();
    let n = (400.0f32 * 64.0).sqrt();
    for (i, bias) in [0.5, -0.5, 0.0, 2.0, -1.0].into_iter().enumerate() {
        let expected: f32 = (0..3).map(|k| weight[5 * k + i].powi(2)).sum();
        // Five standard errors: sigma / sqrt n of a mean, sqrt(2 / n) sigma^2 of a variance.
        assert!((mean[i] - bias).abs() < 5.0 * expected.sqrt() / n, "{mean:?}");
        assert!((variance[i] - expected).abs() < 5.0 * 1.415 * expected / n, "{variance:?}");
    }
    // Pass by pass: the second's alone, from the samples that follow.
    let [one, two] = [1, 2].map(|batches| taken(&mut session(&objective), batches));
    let mut alone = session(&objective);
    let phase = alone.add_phase("standing", &objective.standing_phase(64).unwrap()).unwrap();
    let key = ganymede_kernels::random::fold_in(ganymede::trainer::key_of(5), 0x7374_616e);
    alone.feed_words_mut(phase, feed::KEY).unwrap().copy_from_slice(&key);
    alone.feed_words_mut(phase, feed::FIRST).unwrap().copy_from_slice(&[64, 0]);
    alone.feed_mut(phase, feed::KEEP).unwrap()[0] = 0.0;
    alone.run(phase).unwrap();
    let second = statistics(&alone);
    assert_ne!(one, second);
    for k in 0..2 {
        for i in 0..5 {
            let expected = 0.5 * (one[k][i] + second[k][i]);
            assert!((two[k][i] - expected).abs() < 1e-6 * (1.0 + expected.abs()), "{two:?}");
        }
    }
}

#[test]
fn the_same_state_gives_the_same_bits_and_what_was_there_comes_back() {
    let objective = objective(POINTS, &["batch=16"]);
    let mut session = session(&objective);
    let before = slots(session.store());
    let standing = Standing::new(&objective, &mut session, 5, 10).unwrap();
    let replaced = standing.take(&mut session).unwrap();
    let first = slots(session.store());
    standing.take(&mut session).unwrap();
    assert_eq!(slots(session.store()), first, "old statistics leave no trace");
    let changed: Vec<&String> = before.keys().filter(|name| before[*name] != first[*name]).collect();
    assert_eq!(changed, ["ema/G/batch_norm1/running_mean", "ema/G/batch_norm1/running_var"]);
    let with = Sampler::new(1).draw(&objective, &mut session, 0, 20).unwrap();
    Standing::put_back(&mut session, &replaced).unwrap();
    assert_eq!(slots(session.store()), before);
    assert_ne!(Sampler::new(1).draw(&objective, &mut session, 0, 20).unwrap(), with);
}

#[test]
fn ticks_draw_with_them_and_train_as_without() {
    let folder = tempfile::tempdir().unwrap();
    let states = ["0", "7"].map(|batches| {
        let root = folder.path().join(batches);
        let set = format!("train.standing_statistics={batches}");
        let recipe = Recipe::parse("test", POINTS, &[set]).unwrap();
        let at = RunFolder::create(&root).unwrap();
        let mut run = Run::begin(at, recipe, points(circle), executor(), 1, Length::Steps(8)).unwrap();
        let finished = run.train(&AtomicBool::new(false), &mut Quiet).unwrap();
        (slots(run.trainer().store()), std::fs::read(finished.samples).unwrap())
    });
    assert_eq!(states[0].0, states[1].0);
    assert_ne!(states[0].1, states[1].1, "the pictures differ");
}

/// Stops after so many passes.
struct Stops(u64, u64);

impl Watch for Stops {
    fn moved(&mut self, what: &'static str, done: u64, total: u64) {
        assert_eq!((what, total), ("taking standing statistics", 10));
        self.1 = done;
    }
    fn stopped(&self) -> bool {
        self.1 >= self.0
    }
}

#[test]
fn a_stop_leaves_the_session_as_it_was() {
    let objective = objective(POINTS, &["batch=16"]);
    let mut session = session(&objective);
    let before = slots(session.store());
    let standing = Standing::new(&objective, &mut session, 5, 10).unwrap();
    let mut watch = Stops(3, 0);
    let stopped = standing.take_watched(&mut session, &mut watch);
    assert!(matches!(stopped, Err(Error::Stopped)) && watch.1 == 3, "{} passes", watch.1);
    assert_eq!(slots(session.store()), before);
    assert!(standing.take_watched(&mut session, &mut Stops(11, 0)).is_ok());
}

/// Stops a run at its first sign of standing statistics.
struct Impatient<'a>(&'a AtomicBool, Vec<String>);

impl Observer for Impatient<'_> {
    fn moved(&mut self, _: &'static str, done: u64, _: u64) {
        assert!(done < 100, "a million passes do not hold a stop up");
        self.0.store(true, Ordering::Relaxed);
    }
    fn note(&mut self, message: &str) {
        self.1.push(message.to_string());
    }
}

#[test]
fn a_run_stops_while_they_are_taken() {
    let folder = tempfile::tempdir().unwrap();
    let recipe = Recipe::parse("test", POINTS, &["train.standing_statistics=1048576".into()]).unwrap();
    let at = RunFolder::create(&folder.path().join("run")).unwrap();
    let mut run = Run::begin(at, recipe, points(circle), executor(), 1, Length::Steps(400)).unwrap();
    let stop = AtomicBool::new(false);
    let mut observer = Impatient(&stop, Vec::new());
    let finished = run.train(&stop, &mut observer).unwrap();
    assert!(finished.interrupted && finished.samples.exists());
    assert!(observer.1.iter().any(|note| note.contains("running statistics")), "{:?}", observer.1);
}

#[test]
fn a_generator_without_statistics_is_refused() {
    // A mapping network moves the mean of its styles, and is no batch norm.
    let sets = ["batch=4".to_string()];
    let styled = Objective::new(Recipe::load("sg2-64-ada", &sets).unwrap()).unwrap();
    let mut session = Session::new(executor(), styled.initial_state(1).unwrap());
    let error = Standing::new(&styled, &mut session, 5, 10).err().unwrap().to_string();
    assert!(error.contains("no batch norm"), "{error}");

    let objective = objective(LINEAR, &[]);
    let mut session = Session::new(executor(), objective.initial_state(1).unwrap());
    let error = Standing::new(&objective, &mut session, 5, 10).err().unwrap().to_string();
    assert!(error.contains("no batch norm"), "{error}");
    let folder = tempfile::tempdir().unwrap();
    let recipe = Recipe::parse("test", LINEAR, &["train.standing_statistics=3".into()]).unwrap();
    let at = RunFolder::create(&folder.path().join("run")).unwrap();
    let begun = Run::begin(at, recipe, points(circle), executor(), 1, Length::Steps(1));
    assert!(begun.err().unwrap().to_string().contains("no batch norm"));
}
