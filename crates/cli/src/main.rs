//! The `ganymede` binary: parses the command line, resolves it against the library, and prints.

mod args;
mod commands;
mod human;
mod opening;
mod progress;
mod say;

use clap::Parser;
use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments = args::Arguments::parse();
    match commands::run(arguments.command) {
        Ok(code) => code,
        Err(error) => {
            // A closed pipe (`ganymede recipes | head`) is the reader's choice, not a failure worth words.
            let closed = error
                .chain()
                .filter_map(|e| e.downcast_ref::<std::io::Error>())
                .any(|e| e.kind() == std::io::ErrorKind::BrokenPipe);
            if !closed {
                say::complain!("error: {}", whole(&error));
            }
            ExitCode::from(1)
        }
    }
}

/// The message with its causes, but for causes that it already tells.
fn whole(error: &anyhow::Error) -> String {
    error.chain().map(ToString::to_string).fold(String::new(), |told, cause| {
        if told.is_empty() {
            cause
        } else if told.contains(&cause) {
            told
        } else {
            format!("{told}: {cause}")
        }
    })
}
