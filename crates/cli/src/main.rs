//! The `ganymede` binary: parses the command line, resolves it against the library, and prints.

mod args;
mod commands;
mod human;
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
                say::complain!("error: {error:#}");
            }
            ExitCode::from(1)
        }
    }
}
