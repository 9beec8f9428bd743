use crate::args::{Data, DataCommand};
use ganymede_data::{OpenOptions, inspect, open};
use std::process::ExitCode;

pub fn run(options: &Data) -> anyhow::Result<ExitCode> {
    match &options.command {
        DataCommand::Inspect { data, seed } => {
            let dataset = open(data, &OpenOptions { seed: *seed, ..OpenOptions::default() })?;
            print!("{}", inspect(&dataset)?);
            println!();
        }
    }
    Ok(ExitCode::SUCCESS)
}
