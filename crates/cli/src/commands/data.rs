use crate::args::{Data, DataCommand, Inspect};
use crate::opening::open_data;
use crate::say::say;
use ganymede::gallery;
use ganymede_data::{OpenOptions, SOURCES, Split, inspect, subset};
use std::process::ExitCode;

pub fn run(options: &Data) -> anyhow::Result<ExitCode> {
    match &options.command {
        DataCommand::Inspect(options) => look(options),
        DataCommand::Sources { json } => sources(*json),
    }
}

fn look(options: &Inspect) -> anyhow::Result<ExitCode> {
    let split = if options.test { Split::Test } else { Split::Train };
    options.preview.as_deref().map_or(Ok(()), super::named_png)?;
    let spec = options.selection.of(&options.data);
    let dataset = open_data(&spec, OpenOptions { seed: options.seed, split, ..OpenOptions::default() })?;
    let summary = inspect(&dataset)?;
    if let Some(path) = &options.preview {
        gallery::write(&dataset, path)?;
    }
    if options.json {
        let counts = summary.reading.counts.iter();
        let skipped = summary.reading.skipped.iter();
        let line = serde_json::json!({
            "data": summary.spec, "items": summary.count, "examined": summary.examined,
            "shape": summary.shape, "classes": summary.classes, "range": summary.range,
            "mean": summary.mean, "deviation": summary.deviation, "non_finite": summary.non_finite,
            "scale": summary.scale, "bytes": summary.held_bytes, "hash": summary.hash.to_string(),
            "read": counts.map(|(what, n)| serde_json::json!({"what": what, "files": n})).collect::<Vec<_>>(),
            "skipped": skipped
                .map(|(path, reason)| serde_json::json!({"path": path, "reason": reason}))
                .collect::<Vec<_>>(),
            "preview": options.preview,
        });
        say!("{line}")?;
    } else {
        say!("{summary}")?;
        if let Some(path) = &options.preview {
            say!("  preview   {}", path.display())?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn sources(json: bool) -> anyhow::Result<ExitCode> {
    let listed = |parameters: &[(&str, &str)]| {
        let width = parameters.iter().map(|(key, _)| key.len()).max().unwrap_or(0);
        let lines = parameters.iter().map(|(key, meaning)| format!("\n    {key:<width$}  {meaning}"));
        lines.collect::<String>()
    };
    for source in SOURCES {
        let own = source.parameters();
        if json {
            let parameters = own.iter().chain(subset::PARAMETERS);
            let parameters: serde_json::Map<_, _> =
                parameters.map(|(key, meaning)| (key.to_string(), (*meaning).into())).collect();
            let line = serde_json::json!({
                "name": source.name(), "about": source.doc(), "example": source.example(),
                "parameters": parameters,
            });
            say!("{line}")?;
        } else {
            say!("{}   (e.g. {})\n  {}{}\n", source.name(), source.example(), source.doc(), listed(own))?;
        }
    }
    if !json {
        say!("Of every one, after `?`, with `&` between:{}", listed(subset::PARAMETERS))?;
    }
    Ok(ExitCode::SUCCESS)
}
