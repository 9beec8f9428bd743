//! `train --dry-run`: what a run would be and take.

use super::super::fit::check_fit;
use super::target;
use crate::args::Train;
use crate::say::say;
use ganymede::Objective;
use ganymede::memory::Memory;
use ganymede::networks::Side;
use ganymede::run::{Length, planned_images};
use ganymede_cpu::Executor;
use ganymede_data::Dataset;
use ganymede_nn::LayerRow;
use ganymede_nn::summary::bytes;
use std::process::ExitCode;

pub(super) fn dry_run(
    options: &Train,
    objective: &Objective,
    dataset: &Dataset,
    length: Length,
    executor: &Executor,
) -> anyhow::Result<ExitCode> {
    check_fit(objective, dataset)?;
    let cost = ganymede::cost::of_run(objective, target(objective, executor))?;
    let memory = Memory::of_run(&cost, objective, dataset, executor.threads());
    let images = planned_images(length, &objective.recipe, dataset)?;
    if options.computing.json {
        let layers = |side| {
            let (_, rows) = objective.describe(side);
            let row = |r: &LayerRow| {
                serde_json::json!({
                    "name": r.path, "layer": r.layer, "output": r.output[1..], "parameters": r.parameters,
                })
            };
            rows.iter().map(row).collect::<Vec<_>>()
        };
        let line = serde_json::json!({
            "recipe": objective.recipe, "data": dataset.spec(), "images": images,
            "generator_layers": layers(Side::Generator), "discriminator_layers": layers(Side::Discriminator),
            "generator_parameters": objective.params(Side::Generator).count_trainable(),
            "discriminator_parameters": objective.params(Side::Discriminator).count_trainable(),
            "gflop_per_step": cost.flops as f64 / 1e9, "peak_bytes": memory.total(), "state_bytes": cost.state_bytes,
            "memory": {
                "process": memory.process, "calls": memory.calls, "state": memory.state, "scratch": memory.scratch,
                "feeds": memory.feeds, "threads": memory.threads, "data": memory.data, "samples": memory.samples,
            },
            "precision": target(objective, executor).precision.name(), "notes": objective.remarks(),
        });
        say!("{line}")?;
        return Ok(ExitCode::SUCCESS);
    }
    say!("{}", objective.recipe.to_toml().trim_end())?;
    let batch = objective.recipe.train.batch;
    for side in [Side::Generator, Side::Discriminator] {
        let (params, layers) = objective.describe(side);
        let title = match side {
            Side::Generator => "Generator",
            Side::Discriminator => "Discriminator",
        };
        say!("\n{title}\n{}", ganymede_nn::summary::table(&layers, &params))?;
    }
    say!("data             {} of shape {:?}", dataset.spec(), dataset.shape())?;
    if let Some(images) = images {
        say!(
            "length           {images} images, {} steps",
            images.div_ceil((batch * objective.recipe.train.critic_steps) as u64)
        )?;
    }
    say!("work             {:.2} GFLOP a step of {batch} samples", cost.flops as f64 / 1e9)?;
    say!("memory           {} at the peak of the process:", bytes(memory.total()))?;
    for (what, amount) in [
        ("state: weights, moments, averages", memory.state),
        ("activations and gradients", memory.scratch),
        ("scratch of the threads", memory.threads),
        ("feeds, results, constants", memory.feeds),
        ("data set and batches ahead", memory.data),
        ("pictures of samples", memory.samples),
        ("kernel tables", memory.calls),
        ("the program itself", memory.process),
    ] {
        say!("                 {:>10}  {what}", bytes(amount))?;
    }
    say!("checkpoint       {}", bytes(cost.state_bytes))?;
    for remark in objective.remarks() {
        say!("note             {remark}")?;
    }
    Ok(ExitCode::SUCCESS)
}
