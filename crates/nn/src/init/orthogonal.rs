//! Random orthogonal matrices.

use super::Stream;

/// The orthonormalisation of Gaussian vectors, which is uniform over orthogonal matrices (Mezzadri 2007: the
/// triangular factor has a positive diagonal). Each vector is cleaned of the earlier ones twice, which reaches
/// orthogonality to rounding ("twice is enough", Giraud, Langou, Rozloznik 2005). Cost: 4 k^2 l flops for a k by l
/// matrix, k <= l.
pub(super) fn draw(shape: &[usize], gain: f64, stream: &Stream, out: &mut [f32]) {
    let count = out.len();
    let columns = shape.last().copied().unwrap_or(1).max(1);
    let rows = count / columns;
    let (vectors, length) = (rows.min(columns), rows.max(columns));
    let mut q = vec![0.0; count];
    stream.normals(0, &mut q, |z| z);
    for i in 0..vectors {
        let (done, rest) = q.split_at_mut(i * length);
        let v = &mut rest[..length];
        for _ in 0..2 {
            for u in done.chunks_exact(length) {
                let along = dot(u, v);
                for (x, y) in v.iter_mut().zip(u) {
                    *x -= along * y;
                }
            }
        }
        let scale = 1.0 / dot(v, v).sqrt();
        v.iter_mut().for_each(|x| *x *= scale);
    }
    let at = |row: usize, column: usize| {
        if rows < columns { q[row * length + column] } else { q[column * length + row] }
    };
    for (i, out) in out.iter_mut().enumerate() {
        *out = (gain * at(i / columns, i % columns)) as f32;
    }
}

/// Inner product in eight running sums, in an order fixed by the length.
fn dot(a: &[f64], b: &[f64]) -> f64 {
    let mut sums = [0.0; 8];
    let (a8, b8) = (a.chunks_exact(8), b.chunks_exact(8));
    let tail: f64 = a8.remainder().iter().zip(b8.remainder()).map(|(x, y)| x * y).sum();
    for (x, y) in a8.zip(b8) {
        for k in 0..8 {
            sums[k] += x[k] * y[k];
        }
    }
    sums.iter().sum::<f64>() + tail
}
