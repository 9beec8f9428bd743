//! Curves as pictures: panels one above the other over a common logarithmic axis.

use crate::picture::{PictureError, write_rgb};
use image::{Rgb, RgbImage};
use std::path::Path;

/// One panel.
#[derive(Clone, Debug)]
pub struct Panel {
    /// What is drawn, with its unit.
    pub title: String,
    /// A logarithmic axis, or a linear one from 0.
    pub logarithmic: bool,
    /// Values at the chart's `x`.
    pub values: Vec<f64>,
    /// A second curve to compare with, drawn thin, with its name.
    pub reference: Option<(String, Vec<f64>)>,
}

/// Panels over one axis.
#[derive(Clone, Debug)]
pub struct Chart {
    /// Above all panels.
    pub title: String,
    /// Name of the axis.
    pub x_title: String,
    /// Points of the axis: above 0, ascending, each labelled.
    pub x: Vec<f64>,
    /// From top to bottom.
    pub panels: Vec<Panel>,
}

const WIDTH: i32 = 760;
const PANEL: i32 = 270;
const LEFT: i32 = 80;
const RIGHT: i32 = 24;
const TOP: i32 = 40;
const BOTTOM: i32 = 56;
const GAP: i32 = 40;
/// Pixels of a letter, either way.
const LETTER: i32 = 8;

const PAPER: Rgb<u8> = Rgb([255, 255, 255]);
const INK: Rgb<u8> = Rgb([40, 40, 48]);
const GRID: Rgb<u8> = Rgb([226, 226, 230]);
const CURVE: Rgb<u8> = Rgb([200, 70, 30]);
const REFERENCE: Rgb<u8> = Rgb([110, 130, 170]);

/// A picture that is drawn on.
pub(crate) struct Canvas(pub(crate) RgbImage);

impl Canvas {
    fn dot(&mut self, x: i32, y: i32, color: Rgb<u8>) {
        if x >= 0 && y >= 0 && (x as u32) < self.0.width() && (y as u32) < self.0.height() {
            self.0.put_pixel(x as u32, y as u32, color);
        }
    }

    fn square(&mut self, (x, y): (i32, i32), reach: i32, color: Rgb<u8>) {
        for dy in -reach..=reach {
            for dx in -reach..=reach {
                self.dot(x + dx, y + dy, color);
            }
        }
    }

    /// A straight line of squares, one for each pixel of its longer extent.
    fn line(&mut self, from: (i32, i32), to: (i32, i32), reach: i32, color: Rgb<u8>) {
        let (dx, dy) = (to.0 - from.0, to.1 - from.1);
        let count = dx.abs().max(dy.abs()).max(1);
        for i in 0..=count {
            // Rounded to the nearest pixel on either side of 0.
            let along = |d: i32| (2 * d * i + count * d.signum()) / (2 * count);
            self.square((from.0 + along(dx), from.1 + along(dy)), reach, color);
        }
    }

    /// Letters of 8 x 8 pixels; what the font lacks is a box.
    pub(crate) fn text(&mut self, text: &str, x: i32, y: i32, color: Rgb<u8>) {
        for (i, c) in text.chars().enumerate() {
            let glyph = font8x8::legacy::BASIC_LEGACY.get(c as usize).unwrap_or(&[0x7e; 8]);
            for (row, bits) in glyph.iter().enumerate() {
                for column in (0..LETTER).filter(|column| bits >> column & 1 == 1) {
                    self.dot(x + i as i32 * LETTER + column, y + row as i32, color);
                }
            }
        }
    }
}

/// A number with about three digits.
fn number(value: f64) -> String {
    match value {
        v if v >= 100.0 || v == v.round() => format!("{v:.0}"),
        v if v >= 10.0 => format!("{v:.1}"),
        v => format!("{v:.2}"),
    }
}

/// Labelled places of an axis over `low..=high`, 0 < low < high where it is logarithmic.
fn ticks(low: f64, high: f64, logarithmic: bool) -> Vec<f64> {
    if logarithmic {
        let decades = (low.log10().floor() as i32)..=(high.log10().ceil() as i32);
        let all = decades.flat_map(|d| [1.0, 2.0, 5.0].map(|m| m * 10f64.powi(d)));
        return all.filter(|t| *t >= low * 0.999 && *t <= high * 1.001).collect();
    }
    let rough = (high - low) / 5.0;
    let unit = 10f64.powf(rough.log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0].map(|m| m * unit).into_iter().find(|s| *s >= rough).unwrap_or(rough);
    (0..).map(|i| low + step * f64::from(i)).take_while(|t| *t <= high * 1.001).collect()
}

/// Where a value lies on an axis, from 0 to 1.
fn place(value: f64, low: f64, high: f64, logarithmic: bool) -> f64 {
    if logarithmic { (value / low).ln() / (high / low).ln() } else { (value - low) / (high - low) }
}

impl Panel {
    fn range(&self) -> (f64, f64) {
        let all = self.values.iter().chain(self.reference.iter().flat_map(|r| &r.1));
        let all = all.copied().filter(|v| v.is_finite() && (!self.logarithmic || *v > 0.0));
        let (low, high) = all.fold((f64::INFINITY, 0.0f64), |(l, h), v| (l.min(v), h.max(v)));
        match (low.is_finite() && high > 0.0, self.logarithmic) {
            (false, _) => (1.0, 10.0),
            (true, true) => (low / 1.3, high * 1.3),
            (true, false) => (0.0, high * 1.1),
        }
    }

    fn draw(&self, canvas: &mut Canvas, chart: &Chart, top: i32) {
        let (low, high) = self.range();
        let (first, last) = (chart.x[0], chart.x[chart.x.len() - 1]);
        let across = WIDTH - LEFT - RIGHT;
        // The curve stays clear of the frame.
        let x_at = |x: f64| {
            let part = if last > first { place(x, first, last, true) } else { 0.5 };
            LEFT + 16 + (part * f64::from(across - 32)).round() as i32
        };
        let y_at =
            |y: f64| top + PANEL - (place(y, low, high, self.logarithmic) * f64::from(PANEL)).round() as i32;
        for tick in ticks(low, high, self.logarithmic) {
            let (y, label) = (y_at(tick), number(tick));
            canvas.line((LEFT, y), (LEFT + across, y), 0, GRID);
            canvas.text(&label, LEFT - 10 - LETTER * label.len() as i32, y - LETTER / 2, INK);
        }
        for &x in &chart.x {
            canvas.line((x_at(x), top), (x_at(x), top + PANEL), 0, GRID);
        }
        let corners = [(LEFT, top), (LEFT + across, top), (LEFT + across, top + PANEL), (LEFT, top + PANEL)];
        for i in 0..4 {
            canvas.line(corners[i], corners[(i + 1) % 4], 0, INK);
        }
        canvas.text(&self.title, LEFT, top - 14, INK);
        let mut curve = |values: &[f64], reach: i32, color| {
            let points: Vec<(i32, i32)> = chart
                .x
                .iter()
                .zip(values)
                .filter(|(_, v)| v.is_finite() && (!self.logarithmic || **v > 0.0))
                .map(|(x, v)| (x_at(*x), y_at(*v)))
                .collect();
            for pair in points.windows(2) {
                canvas.line(pair[0], pair[1], reach, color);
            }
            for &point in points.iter().filter(|_| reach > 0) {
                canvas.square(point, 3, color);
            }
        };
        if let Some((_, values)) = &self.reference {
            curve(values, 0, REFERENCE);
        }
        curve(&self.values, 1, CURVE);
        if let Some((name, _)) = &self.reference {
            let x = LEFT + across - LETTER * name.len() as i32;
            canvas.text(name, x, top - 14, REFERENCE);
        }
    }
}

/// Writes the chart as PNG.
///
/// # Errors
/// The file cannot be written.
pub fn write_chart(path: &Path, chart: &Chart) -> Result<(), PictureError> {
    let panels = chart.panels.len() as i32;
    let height = TOP + panels * (PANEL + GAP) - GAP + BOTTOM + 10;
    let mut canvas = Canvas(RgbImage::from_pixel(WIDTH as u32, height as u32, PAPER));
    canvas.text(&chart.title, LEFT, 10, INK);
    if !chart.x.is_empty() {
        for (i, panel) in (0..).zip(&chart.panels) {
            panel.draw(&mut canvas, chart, TOP + 10 + i * (PANEL + GAP));
        }
        let (first, last) = (chart.x[0], chart.x[chart.x.len() - 1]);
        let bottom = height - BOTTOM;
        for &x in &chart.x {
            let part = if last > first { place(x, first, last, true) } else { 0.5 };
            let at = LEFT + 16 + (part * f64::from(WIDTH - LEFT - RIGHT - 32)).round() as i32;
            let label = number(x);
            canvas.text(&label, at - LETTER * label.len() as i32 / 2, bottom + 8, INK);
        }
        let x = LEFT + (WIDTH - LEFT - RIGHT - LETTER * chart.x_title.len() as i32) / 2;
        canvas.text(&chart.x_title, x, bottom + 28, INK);
    }
    write_rgb(path, canvas.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn axes_have_round_labels_within_their_range() {
        assert_eq!(ticks(3.0, 150.0, true), [5.0, 10.0, 20.0, 50.0, 100.0]);
        assert_eq!(ticks(0.0, 230.0, false), [0.0, 50.0, 100.0, 150.0, 200.0]);
        assert_eq!(place(100.0, 10.0, 1000.0, true), 0.5);
        assert_eq!([0.25, 12.5, 480.0, 16.0].map(number), ["0.25", "12.5", "480", "16"]);
    }

    #[test]
    fn a_curve_that_grows_rises_from_left_to_right() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.png");
        let x = vec![16.0, 32.0, 64.0];
        let panel = Panel { title: "ms".into(), logarithmic: true, values: x.clone(), reference: None };
        let chart = Chart { title: "t".into(), x_title: "x".into(), x, panels: vec![panel.clone(), panel] };
        write_chart(&path, &chart).unwrap();
        let picture = image::open(&path).unwrap().to_rgb8();
        // The upper panel's curve, by column.
        let height = |x: u32| (0..(TOP + PANEL) as u32).find(|&y| *picture.get_pixel(x, y) == CURVE);
        let (left, middle, right) =
            (height(LEFT as u32 + 17), height(WIDTH as u32 / 2), height((WIDTH - RIGHT) as u32 - 17));
        assert!(left > middle && middle > right && right.is_some(), "{left:?} {middle:?} {right:?}");
        // Values that are no numbers leave gaps and do not stop it.
        let values = vec![f64::NAN, 0.0, f64::INFINITY];
        let panels = vec![Panel { title: "none".into(), logarithmic: true, values, reference: None }];
        write_chart(&path, &Chart { panels, ..chart }).unwrap();
    }
}
