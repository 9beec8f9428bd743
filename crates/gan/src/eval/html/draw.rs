//! Drawings inside a page, as SVG.

use super::super::looks::{Bar, Curve, Scatter};
use super::{escaped, put};
use std::fmt::Write;

/// The side of a square drawing, and the part of it that a frame takes.
const SIDE: f64 = 420.0;
const LEFT: f64 = 44.0;
const TOP: f64 = 12.0;
const INNER: f64 = SIDE - LEFT - 16.0;

const REAL: &str = "var(--real)";
const MADE: &str = "var(--made)";

fn square(inside: &str) -> String {
    format!(
        "<svg viewBox=\"0 0 {SIDE} {SIDE}\" width=\"{SIDE}\" height=\"{SIDE}\" role=\"img\">{inside}</svg>"
    )
}

fn frame(to: &mut String) {
    put!(
        to,
        "<rect x=\"{LEFT}\" y=\"{TOP}\" width=\"{INNER}\" height=\"{INNER}\" fill=\"none\" stroke=\"var(--line)\"/>"
    );
}

/// Precision over recall, and the point of both by neighbours.
pub fn curve(curve: &Curve, point: Option<(f64, f64)>) -> String {
    let mut inside = String::new();
    let (x, y) = (|v: f64| LEFT + v * INNER, |v: f64| TOP + (1.0 - v) * INNER);
    for i in 1..4 {
        let at = f64::from(i) / 4.0;
        put!(
            inside,
            "<path d=\"M{:.1} {TOP}v{INNER}M{LEFT} {:.1}h{INNER}\" stroke=\"var(--line)\"/>",
            x(at),
            y(at)
        );
    }
    frame(&mut inside);
    for i in 0..=4 {
        let at = f64::from(i) / 4.0;
        put!(
            inside,
            "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\" fill=\"var(--soft)\">{at}</text>",
            x(at),
            TOP + INNER + 18.0
        );
        put!(
            inside,
            "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\" fill=\"var(--soft)\">{at}</text>",
            LEFT - 6.0,
            y(at) + 4.0
        );
    }
    put!(
        inside,
        "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\" fill=\"var(--soft)\">recall</text>",
        x(0.5),
        SIDE - 4.0
    );
    put!(
        inside,
        "<text transform=\"translate(12 {:.1}) rotate(-90)\" text-anchor=\"middle\" fill=\"var(--soft)\">precision</text>",
        y(0.5)
    );
    for (points, color, width) in [(&curve.of_real, REAL, 1.5), (&curve.points, MADE, 2.5)] {
        let path: Vec<String> = points.iter().map(|p| format!("{:.1} {:.1}", x(p[0]), y(p[1]))).collect();
        put!(
            inside,
            "<polyline points=\"{}\" fill=\"none\" stroke=\"{color}\" stroke-width=\"{width}\"/>",
            path.join(" ")
        );
    }
    if let Some((recall, precision)) = point {
        let (px, py) = (x(recall), y(precision));
        put!(
            inside,
            "<circle cx=\"{px:.1}\" cy=\"{py:.1}\" r=\"5\" fill=\"{MADE}\" stroke=\"white\"/>\
             <text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\" fill=\"var(--ink)\">by third neighbours</text>",
            px - 9.0,
            py + 4.0
        );
    }
    square(&inside)
}

/// Points of both sets on a square that holds nearly all real ones; what lies outside is drawn on its edge.
pub fn scatter(scatter: &Scatter) -> String {
    let mut inside = String::new();
    frame(&mut inside);
    let range = |axis: usize| {
        let mut values: Vec<f64> = scatter.real.iter().map(|p| p[axis]).collect();
        values.sort_by(f64::total_cmp);
        let at = |share: f64| {
            values.get((share * (values.len().max(1) - 1) as f64) as usize).copied().unwrap_or(0.0)
        };
        let (low, high) = (at(0.005), at(0.995));
        let room = 0.12 * (high - low).max(1e-9);
        (low - room, high + room)
    };
    let ranges = [range(0), range(1)];
    let place = |p: &[f64; 2], axis: usize| {
        let (low, high) = ranges[axis];
        ((p[axis] - low) / (high - low)).clamp(0.0, 1.0)
    };
    for (points, color) in [(&scatter.real, REAL), (&scatter.generated, MADE)] {
        put!(
            inside,
            "<path stroke=\"{color}\" stroke-width=\"3\" stroke-linecap=\"round\" stroke-opacity=\".5\" d=\""
        );
        for p in points {
            put!(inside, "M{:.1} {:.1}h0", LEFT + place(p, 0) * INNER, TOP + (1.0 - place(p, 1)) * INNER);
        }
        put!(inside, "\"/>");
    }
    square(&inside)
}

/// Two bars a class.
pub fn bars(bars: &[Bar]) -> String {
    let (width, height, bottom) = (bars.len() as f64 * 46.0 + 20.0, 240.0, 34.0);
    let most = bars.iter().flat_map(|b| [b.real, b.generated]).fold(1e-9, f64::max);
    let mut inside = String::new();
    for (i, bar) in bars.iter().enumerate() {
        let left = 10.0 + i as f64 * 46.0;
        for (value, color, at) in [(bar.real, REAL, 4.0), (bar.generated, MADE, 22.0)] {
            let tall = value / most * (height - bottom - 20.0);
            put!(
                inside,
                "<rect x=\"{:.1}\" y=\"{:.1}\" width=\"16\" height=\"{tall:.1}\" fill=\"{color}\"><title>{:.2} %</title></rect>",
                left + at,
                height - bottom - tall,
                100.0 * value
            );
        }
        let short: String = bar.name.chars().take(7).collect();
        put!(
            inside,
            "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\" fill=\"var(--soft)\">{}</text>",
            left + 21.0,
            height - bottom + 16.0,
            escaped(&short)
        );
        put!(
            inside,
            "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\" fill=\"var(--ink)\" font-size=\"10\">{:.0}</text>",
            left + 30.0,
            height - bottom - bar.generated / most * (height - bottom - 20.0) - 4.0,
            100.0 * bar.generated
        );
    }
    put!(inside, "<path d=\"M4 {:.1}H{:.1}\" stroke=\"var(--soft)\"/>", height - bottom, width - 4.0);
    format!(
        "<svg viewBox=\"0 0 {width} {height}\" width=\"{width}\" height=\"{height}\" role=\"img\">{inside}</svg>"
    )
}
