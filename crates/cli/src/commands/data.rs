use crate::args::{Data, DataCommand};
use crate::say::say;
use ganymede_data::{OpenOptions, inspect, open};
use std::process::ExitCode;

pub fn run(options: &Data) -> anyhow::Result<ExitCode> {
    match &options.command {
        DataCommand::Inspect { data, seed, json } => {
            let dataset = open(data, &OpenOptions { seed: *seed, ..OpenOptions::default() })?;
            let summary = inspect(&dataset)?;
            if *json {
                let line = serde_json::json!({
                    "data": summary.spec, "items": summary.count, "examined": summary.examined,
                    "shape": summary.shape, "classes": summary.classes, "range": summary.range,
                    "mean": summary.mean, "deviation": summary.deviation, "non_finite": summary.non_finite,
                    "scale": summary.scale, "hash": summary.hash.to_string(),
                });
                say!("{line}")?;
            } else {
                say!("{summary}")?;
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}
