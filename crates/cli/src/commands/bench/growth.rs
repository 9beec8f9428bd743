//! How cost grows with batch, resolution and width.

use super::{child, header, row};
use crate::args::Bench;
use crate::say::{complain, say};
use anyhow::Context;
use ganymede::plot::{Chart, Panel, write_chart};
use ganymede::workloads::{AXES, BASE, Measurement, Point};
use ganymede_kernels::peak::Peak;
use std::fmt::Write;
use std::path::Path;
use std::process::ExitCode;

/// Measures each curve and writes it as a picture as soon as it is whole.
pub fn run(options: &Bench, folder: &Path, peak: &Peak) -> anyhow::Result<ExitCode> {
    std::fs::create_dir_all(folder)
        .with_context(|| format!("{}: cannot make the folder", folder.display()))?;
    let mut known: Vec<(Point, Measurement)> = Vec::new();
    let mut lines = String::new();
    for (axis, values) in AXES {
        if !options.computing.json {
            say!(
                "\n{axis} (otherwise batch {}, {} pixels a side, width {})",
                BASE.batch,
                BASE.side,
                BASE.width
            )?;
            header()?;
        }
        let mut curve = Vec::new();
        for &value in values {
            let point = Point::on(axis, value);
            let measured = match known.iter().find(|k| k.0 == point) {
                Some((_, measured)) => measured.clone(),
                None => match child::start(options, &["--point", &point.name()], peak)? {
                    Some(measured) => measured,
                    None => return Ok(ExitCode::from(1)),
                },
            };
            let mut line =
                serde_json::json!({"axis": axis, "value": value, "side": point.side, "width": point.width});
            if let (Some(line), serde_json::Value::Object(figures)) =
                (line.as_object_mut(), serde_json::to_value(&measured)?)
            {
                line.extend(figures);
            }
            let _ = writeln!(lines, "{line}");
            if options.computing.json {
                say!("{line}")?
            } else {
                row(&measured)?
            }
            known.push((point, measured.clone()));
            curve.push((value as f64, measured));
        }
        let path = folder.join(format!("{axis}.png"));
        write_chart(&path, &chart(axis, &curve, peak))?;
        if !options.computing.json {
            complain!("{}", path.display());
        }
    }
    let path = folder.join("growth.jsonl");
    std::fs::write(&path, lines).with_context(|| format!("{}: cannot write", path.display()))?;
    Ok(ExitCode::SUCCESS)
}

fn chart(axis: &str, curve: &[(f64, Measurement)], peak: &Peak) -> Chart {
    let of = |figure: fn(&Measurement) -> f64| curve.iter().map(|c| figure(&c.1)).collect::<Vec<f64>>();
    let least = curve.iter().map(|c| c.1.gflop / c.1.peak_gflops * 1e3).collect();
    let rates = of(|m| m.gflops);
    let machine = vec![peak.f32_gflops; rates.len()];
    let panel = |title: &str, logarithmic, values, reference: Option<(&str, Vec<f64>)>| Panel {
        title: title.into(),
        logarithmic,
        values,
        reference: reference.map(|(name, values)| (name.into(), values)),
    };
    Chart {
        title: format!("A training step over {axis}"),
        x_title: match axis {
            "batch" => "batch (samples a step)",
            "resolution" => "resolution (pixels a side)",
            _ => "width (channels next to the image)",
        }
        .into(),
        x: curve.iter().map(|c| c.0).collect(),
        panels: vec![
            panel("milliseconds a step", true, of(|m| m.ms_med), Some(("its work at the peak", least))),
            panel("GFLOP/s", false, rates, Some(("the machine's peak", machine))),
            panel("peak memory of the process in MB", true, of(|m| m.rss_mb as f64), None),
        ],
    }
}
