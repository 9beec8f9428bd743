//! Images looked up at other places.

use ganymede_graph::{DType, Tensor};

/// Where each pixel of the result comes from, as an affine map of pixel coordinates counted from the middle of the image:
/// row' = a row + b column + c, column' = d row + e column + f. Every entry is `[N, 1, 1, 1]`.
pub(super) struct Affine {
    pub(super) rows: [Tensor; 3],
    pub(super) columns: [Tensor; 3],
}

impl Affine {
    /// Rows `down` and columns `across` times as far from the middle.
    pub(super) fn scale(down: &Tensor, across: &Tensor) -> Self {
        let zero = down.zeros_like();
        Self {
            rows: [down.clone(), zero.clone(), zero.clone()],
            columns: [zero.clone(), across.clone(), zero],
        }
    }

    /// Turned about the middle by the angle of that cosine and sine.
    pub(super) fn turn(cos: &Tensor, sin: &Tensor) -> Self {
        let zero = cos.zeros_like();
        Self { rows: [cos.clone(), -sin, zero.clone()], columns: [sin.clone(), cos.clone(), zero] }
    }

    /// Shifted by so many rows and columns.
    pub(super) fn shift(rows: Tensor, columns: Tensor) -> Self {
        let (zero, one) = (rows.zeros_like(), rows.ones_like());
        Self { rows: [one.clone(), zero.clone(), rows], columns: [zero, one, columns] }
    }

    /// First this, then `next`: a pixel of the result comes from where `next` looks up what this has made.
    pub(super) fn then(self, next: &Self) -> Self {
        let [a, b, c] = &self.rows;
        let [d, e, f] = &self.columns;
        let through = |x: &Tensor, y: &Tensor, shift: &Tensor| {
            let [[ra, rb, rc], [ca, cb, cc]] = [&next.rows, &next.columns];
            [x * ra + y * ca, x * rb + y * cb, x * rc + y * cc + shift]
        };
        Self { rows: through(a, b, c), columns: through(d, e, f) }
    }
}

/// A coordinate as it is inside 0 to `last`; outside, reflected about the places `margin` inside both ends, which are those
/// of the edge pixels of an image continued by so much.
fn folded(at: &Tensor, last: usize, margin: f64) -> Tensor {
    let (last, span) = (last as f64, last as f64 - 2.0 * margin);
    if span <= 0.0 {
        return at.full_like(margin);
    }
    let period = 2.0 * span;
    let distance = (at - margin).abs();
    let distance = &distance - (&distance * (1.0 / period)).floor() * period;
    let reflected = distance.minimum(&(period - &distance)) + margin;
    let inside = at.ge(&at.zeros_like()).and(&at.le(&at.full_like(last)));
    inside.select(at, &reflected)
}

/// The images at the places that `map` gives, between pixels by bilinear interpolation, beyond the edges reflected.
pub(super) fn warp(images: &Tensor, map: &Affine) -> Tensor {
    let shape = images.shape();
    warp_continued(images, map, 0.0, [shape[1], shape[2]])
}

/// As [`warp`], of images that are continued by `margin` pixels beyond their edge pixels' middles on every side, to images
/// of `size` about the same middle.
pub(super) fn warp_continued(images: &Tensor, map: &Affine, margin: f64, size: [usize; 2]) -> Tensor {
    let shape = images.shape();
    let [n, h, w, c] = [shape[0], shape[1], shape[2], shape[3]];
    let full = [n, size[0], size[1], 1];
    let from_middle = |axis: usize| {
        let mut one = [1; 4];
        one[axis] = size[axis - 1];
        images.graph().iota(&one, axis).convert(DType::F32) - (size[axis - 1] - 1) as f64 / 2.0
    };
    let (rows, columns) = (from_middle(1), from_middle(2));
    let look_up = |[by_row, by_column, shift]: &[Tensor; 3], last: usize| {
        let moved = (by_row * &rows).broadcast_to(&full) + (by_column * &columns).broadcast_to(&full) + shift;
        folded(&(moved + last as f64 / 2.0), last, margin)
    };
    let row = look_up(&map.rows, h - 1);
    let column = look_up(&map.columns, w - 1);
    let (top, left) = (row.floor(), column.floor());
    let (down, right) = (&row - &top, &column - &left);
    let next = |at: &Tensor, last: usize| (at + 1.0).minimum(&at.full_like(last as f64));
    let (bottom, far) = (next(&top, h - 1), next(&left, w - 1));
    let table = images.reshape(&[n, h * w, c]);
    let result = [n, size[0], size[1], c];
    // Exact in f32: no more pixels are there than `MAX_PIXELS`.
    let at = |row: &Tensor, column: &Tensor, weight: Tensor| {
        let index = (row * w as f64 + column).convert(DType::I32).reshape(&[n, size[0] * size[1]]);
        table.gather(&index, 1).reshape(&result) * weight.stop_gradient().broadcast_to(&result)
    };
    at(&top, &left, (1.0 - &down) * (1.0 - &right))
        + at(&top, &far, (1.0 - &down) * &right)
        + at(&bottom, &left, &down * (1.0 - &right))
        + at(&bottom, &far, &down * &right)
}

/// The images at whole pixels, one place a pixel: `row` and `column` `[N, H or 1, W or 1, 1]` lie inside, or `keep` (0 or
/// 1, of the same kind) blanks them.
pub(super) fn look_up(images: &Tensor, row: &Tensor, column: &Tensor, keep: Option<&Tensor>) -> Tensor {
    let shape = images.shape();
    let [n, h, w, c] = [shape[0], shape[1], shape[2], shape[3]];
    let full = [n, h, w, 1];
    let clamp = |at: &Tensor, last: usize| {
        at.maximum(&at.zeros_like()).minimum(&at.full_like(last as f64)).broadcast_to(&full)
    };
    let index =
        (clamp(row, h - 1) * w as f64 + clamp(column, w - 1)).convert(DType::I32).reshape(&[n, h * w]);
    let found = images.reshape(&[n, h * w, c]).gather(&index, 1).reshape(&shape);
    match keep {
        Some(keep) => found * keep.stop_gradient().broadcast_to(&shape),
        None => found,
    }
}
