//! Lines with soft edges, from the signed distance of each pixel to the nearest stroke.

use super::SIDE;

/// Draws round-ended lines into a field of signed distances.
pub(super) struct Pen {
    radius: f32,
    softness: f32,
    /// Distance of each pixel's centre to the edge of the ink, in pixels, negative inside; far away it stays large.
    field: [f32; SIDE * SIDE],
}

impl Pen {
    pub(super) fn new(radius: f32, softness: f32) -> Self {
        Self { radius, softness, field: [1e3; SIDE * SIDE] }
    }

    /// A line through points; its radius changes evenly by `taper`, relative, from one end to the other.
    pub(super) fn stroke(&mut self, points: &[[f32; 2]], taper: f32) {
        let pieces = (points.len() - 1) as f32;
        for (piece, ends) in points.windows(2).enumerate() {
            let pressure = 1.0 + taper * ((piece as f32 + 0.5) / pieces - 0.5);
            self.segment(ends[0], ends[1], self.radius * pressure);
        }
    }

    fn segment(&mut self, from: [f32; 2], to: [f32; 2], radius: f32) {
        // Beyond half the soft edge the ink is nil, so the pixels near the segment suffice.
        let reach = radius + 0.5 * self.softness;
        let [columns, rows] = [0, 1].map(|axis| {
            let low = (from[axis].min(to[axis]) - reach).max(0.0) as usize;
            let high = (from[axis].max(to[axis]) + reach).max(0.0) as usize;
            low.min(SIDE)..(high + 1).min(SIDE)
        });
        let along = [to[0] - from[0], to[1] - from[1]];
        let square = along[0] * along[0] + along[1] * along[1];
        let inverse = if square > 0.0 { 1.0 / square } else { 0.0 };
        for row in rows {
            let y = row as f32 + 0.5 - from[1];
            let line = &mut self.field[row * SIDE..][..SIDE];
            for (column, value) in line[columns.clone()].iter_mut().enumerate() {
                let x = (columns.start + column) as f32 + 0.5 - from[0];
                // The nearest point of the segment, as a share of its length.
                let share = ((x * along[0] + y * along[1]) * inverse).clamp(0.0, 1.0);
                let (dx, dy) = (x - share * along[0], y - share * along[1]);
                *value = value.min((dx * dx + dy * dy).sqrt() - radius);
            }
        }
    }

    /// Writes the ink, -1 for none and 1 for full, falling smoothly (3u^2 - 2u^3) across the soft edge.
    pub(super) fn ink(&self, pixels: &mut [f32]) {
        let inverse = 1.0 / self.softness;
        for (pixel, &distance) in pixels.iter_mut().zip(&self.field) {
            let u = (0.5 - distance * inverse).clamp(0.0, 1.0);
            *pixel = 2.0 * (u * u * (3.0 - 2.0 * u)) - 1.0;
        }
    }
}
