//! The transforms of F(4, r), for filters of r = 2 and r = 3 taps (Winograd 1980, Arithmetic Complexity of Computations;
//! Lavin and Gray 2016, Fast Algorithms for Convolutional Neural Networks).
//!
//! With n = r + 3 points a_i, of which the last is infinity, four outputs y_j = sum over t of d_(j + t) g_t are
//! A' (G g * B' d), by Cook and Toom's construction: with N_i the product of a_i - a_k over the other finite points,
//! G has rows a_i^t / N_i, B' the coefficients of the product of x - a_k over the others, A' the columns a_i^j. Infinity
//! has the highest coefficient in G and A', and the product over all finite points in B'.

use crate::isa::Isa;
use crate::simd::{Simd, WithSimd, run_on};

/// Outputs of a tile along an axis.
pub const TILE: usize = 4;
/// Most points along an axis.
pub const MAX_POINTS: usize = 6;
/// Most taps along an axis.
pub const MAX_TAPS: usize = 3;

/// The transforms for filters of a number of taps. Arrays longer than [`Points::N`] have zeros, which are not used.
pub trait Points: Copy {
    /// Points, infinity included.
    const N: usize;
    /// Rows G: `[point][tap]`.
    const G: [[f32; MAX_TAPS]; MAX_POINTS];

    /// B' d.
    ///
    /// # Safety
    /// The CPU supports `S::ISA`.
    unsafe fn data<S: Simd>(s: S, d: [S::F; MAX_POINTS]) -> [S::F; MAX_POINTS];

    /// A' m.
    ///
    /// # Safety
    /// The CPU supports `S::ISA`.
    unsafe fn outputs<S: Simd>(s: S, m: [S::F; MAX_POINTS]) -> [S::F; TILE];

    /// A y, by which output gradients come to the points.
    ///
    /// # Safety
    /// The CPU supports `S::ISA`.
    unsafe fn output_grads<S: Simd>(s: S, y: [S::F; TILE]) -> [S::F; MAX_POINTS];

    /// G' m, the gradients of the taps.
    ///
    /// # Safety
    /// The CPU supports `S::ISA`.
    #[inline(always)]
    unsafe fn tap_grads<S: Simd>(s: S, m: [S::F; MAX_POINTS]) -> [S::F; MAX_TAPS] {
        // SAFETY: the caller's promise.
        let mut taps = unsafe { [s.zero(); MAX_TAPS] };
        for (t, tap) in taps.iter_mut().enumerate() {
            for i in 0..Self::N {
                if Self::G[i][t] != 0.0 {
                    // SAFETY: the caller's promise.
                    *tap = unsafe { s.mul_add(s.splat(Self::G[i][t]), m[i], *tap) };
                }
            }
        }
        taps
    }
}

/// F(4, 2) at 0, 1, -1, 2 and infinity.
#[derive(Clone, Copy)]
pub struct Five;

/// F(4, 3) at 0, 1, -1, 2, -2 and infinity.
#[derive(Clone, Copy)]
pub struct Six;

impl Points for Five {
    const N: usize = 5;
    const G: [[f32; MAX_TAPS]; MAX_POINTS] = [
        [0.5, 0.0, 0.0],
        [-0.5, -0.5, 0.0],
        [-1.0 / 6.0, 1.0 / 6.0, 0.0],
        [1.0 / 6.0, 1.0 / 3.0, 0.0],
        [0.0, 1.0, 0.0],
        [0.0; 3],
    ];

    #[inline(always)]
    unsafe fn data<S: Simd>(s: S, d: [S::F; MAX_POINTS]) -> [S::F; MAX_POINTS] {
        // SAFETY: the caller's promise.
        unsafe {
            let (two, three) = (s.splat(2.0), s.splat(3.0));
            let last = s.sub(d[3], d[1]);
            let [a, b] = [s.sub(d[1], d[2]), s.add(d[1], d[2])];
            [
                s.mul_add(two, s.sub(d[0], d[2]), last),
                s.sub(last, b),
                s.mul_add(three, a, last),
                last,
                s.mul_add(s.splat(-2.0), last, s.sub(d[4], d[2])),
                s.zero(),
            ]
        }
    }

    #[inline(always)]
    unsafe fn outputs<S: Simd>(s: S, m: [S::F; MAX_POINTS]) -> [S::F; TILE] {
        // SAFETY: the caller's promise.
        unsafe {
            let (sum, difference) = (s.add(m[1], m[2]), s.sub(m[1], m[2]));
            [
                s.add(s.add(m[0], sum), m[3]),
                s.mul_add(s.splat(2.0), m[3], difference),
                s.mul_add(s.splat(4.0), m[3], sum),
                s.add(s.mul_add(s.splat(8.0), m[3], difference), m[4]),
            ]
        }
    }

    #[inline(always)]
    unsafe fn output_grads<S: Simd>(s: S, y: [S::F; TILE]) -> [S::F; MAX_POINTS] {
        // SAFETY: the caller's promise.
        unsafe {
            let (even, odd) = (s.add(y[0], y[2]), s.add(y[1], y[3]));
            let even2 = s.mul_add(s.splat(4.0), y[2], y[0]);
            let odd2 = s.mul_add(s.splat(4.0), y[3], y[1]);
            [y[0], s.add(even, odd), s.sub(even, odd), s.mul_add(s.splat(2.0), odd2, even2), y[3], s.zero()]
        }
    }
}

impl Points for Six {
    const N: usize = 6;
    const G: [[f32; MAX_TAPS]; MAX_POINTS] = [
        [0.25, 0.0, 0.0],
        [-1.0 / 6.0, -1.0 / 6.0, -1.0 / 6.0],
        [-1.0 / 6.0, 1.0 / 6.0, -1.0 / 6.0],
        [1.0 / 24.0, 1.0 / 12.0, 1.0 / 6.0],
        [1.0 / 24.0, -1.0 / 12.0, 1.0 / 6.0],
        [0.0, 0.0, 1.0],
    ];

    #[inline(always)]
    unsafe fn data<S: Simd>(s: S, d: [S::F; MAX_POINTS]) -> [S::F; MAX_POINTS] {
        // SAFETY: the caller's promise.
        unsafe {
            let (four, minus_four, minus_five) = (s.splat(4.0), s.splat(-4.0), s.splat(-5.0));
            let (even, odd) = (s.mul_add(minus_four, d[2], d[4]), s.mul_add(minus_four, d[1], d[3]));
            let (near, far) = (s.sub(d[4], d[2]), s.sub(d[3], d[1]));
            let far = s.add(far, far);
            [
                s.mul_add(four, d[0], s.mul_add(minus_five, d[2], d[4])),
                s.add(even, odd),
                s.sub(even, odd),
                s.add(near, far),
                s.sub(near, far),
                s.mul_add(four, d[1], s.mul_add(minus_five, d[3], d[5])),
            ]
        }
    }

    #[inline(always)]
    unsafe fn outputs<S: Simd>(s: S, m: [S::F; MAX_POINTS]) -> [S::F; TILE] {
        // SAFETY: the caller's promise.
        unsafe {
            let (sum, difference) = (s.add(m[1], m[2]), s.sub(m[1], m[2]));
            let (sum2, difference2) = (s.add(m[3], m[4]), s.sub(m[3], m[4]));
            [
                s.add(s.add(m[0], sum), sum2),
                s.mul_add(s.splat(2.0), difference2, difference),
                s.mul_add(s.splat(4.0), sum2, sum),
                s.add(s.mul_add(s.splat(8.0), difference2, difference), m[5]),
            ]
        }
    }

    #[inline(always)]
    unsafe fn output_grads<S: Simd>(s: S, y: [S::F; TILE]) -> [S::F; MAX_POINTS] {
        // SAFETY: the caller's promise.
        unsafe {
            let (even, odd) = (s.add(y[0], y[2]), s.add(y[1], y[3]));
            let even2 = s.mul_add(s.splat(4.0), y[2], y[0]);
            let odd2 = s.mul_add(s.splat(4.0), y[3], y[1]);
            [
                y[0],
                s.add(even, odd),
                s.sub(even, odd),
                s.mul_add(s.splat(2.0), odd2, even2),
                s.mul_add(s.splat(-2.0), odd2, even2),
                y[3],
            ]
        }
    }
}

/// A piece of code generic over the instruction set and the transforms of both axes.
pub trait WithPoints {
    /// The body; mark it `#[inline(always)]`.
    ///
    /// # Safety
    /// The CPU supports `S::ISA`, and whatever the implementor asks of its fields holds.
    unsafe fn call<S: Simd, Y: Points, X: Points>(self, s: S);
}

/// A body with transforms known to the compiler.
struct Sized<W, Y, X>(W, Y, X);

impl<W: WithPoints, Y: Points, X: Points> WithSimd for Sized<W, Y, X> {
    type Output = ();

    #[inline(always)]
    unsafe fn call<S: Simd>(self, s: S) {
        // SAFETY: forwarded from the caller.
        unsafe { self.0.call::<S, Y, X>(s) }
    }
}

/// Runs `body` compiled for `isa` and for transforms of so many points, which are those of [`Five`] or [`Six`].
///
/// # Safety
/// The CPU supports `isa`, and the contract of `body` holds.
pub unsafe fn run_with_points<W: WithPoints>(isa: Isa, points: [usize; 2], body: W) {
    // SAFETY: forwarded from the caller.
    unsafe {
        match points {
            [Five::N, Five::N] => run_on(isa, Sized(body, Five, Five)),
            [Five::N, _] => run_on(isa, Sized(body, Five, Six)),
            [_, Five::N] => run_on(isa, Sized(body, Six, Five)),
            _ => run_on(isa, Sized(body, Six, Six)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Four outputs by the transforms, with the same data in every lane.
    struct Outputs<P>(P, [f32; MAX_POINTS], [f32; MAX_TAPS]);

    impl<P: Points> WithSimd for Outputs<P> {
        type Output = [f32; TILE];
        #[inline(always)]
        unsafe fn call<S: Simd>(self, s: S) -> [f32; TILE] {
            let Outputs(_, d, g) = self;
            // SAFETY: the caller promises the CPU feature; the buffer holds a vector.
            unsafe {
                let data = P::data(s, d.map(|x| s.splat(x)));
                let mut product = [s.zero(); MAX_POINTS];
                for i in 0..P::N {
                    let g: f32 = P::G[i].iter().zip(&g).map(|(a, b)| a * b).sum();
                    product[i] = s.mul(data[i], s.splat(g));
                }
                P::outputs(s, product).map(|y| {
                    let mut lanes = [f32::NAN; 16];
                    s.store(lanes.as_mut_ptr(), y);
                    lanes[0]
                })
            }
        }
    }

    fn check<P: Points>(points: P, taps: usize) {
        for isa in Isa::available() {
            // One datum and one tap at a time: the bilinear form is then checked coefficient by coefficient.
            for k in 0..P::N {
                for t in 0..taps {
                    let (mut d, mut g) = ([0.0; MAX_POINTS], [0.0; MAX_TAPS]);
                    (d[k], g[t]) = (1.0, 1.0);
                    // SAFETY: the instruction set is available.
                    let y = unsafe { run_on(isa, Outputs(points, d, g)) };
                    for (j, y) in y.iter().enumerate() {
                        let expected = if j + t == k { 1.0 } else { 0.0 };
                        assert!((y - expected).abs() < 1e-6, "{isa:?}: y{j} of d{k} g{t} is {y}");
                    }
                }
            }
        }
    }

    #[test]
    fn they_are_the_correlation() {
        check(Five, 2);
        check(Six, 3);
        // Filters of fewer taps have no part at infinity, which their products may therefore leave out.
        assert_eq!(Six::G[Six::N - 1][..2], [0.0; 2]);
        check(Six, 2);
        assert_eq!(Five::G[Five::N - 1][..1], [0.0; 1]);
        check(Five, 1);
    }

    /// The gradient of four outputs at the points, and of the points at the taps.
    struct Grads<P>(P, [f32; TILE], [f32; MAX_POINTS]);

    impl<P: Points> WithSimd for Grads<P> {
        type Output = ([f32; MAX_POINTS], [f32; MAX_TAPS]);
        #[inline(always)]
        unsafe fn call<S: Simd>(self, s: S) -> Self::Output {
            let Grads(_, y, m) = self;
            // SAFETY: the caller promises the CPU feature; the buffer holds a vector.
            unsafe {
                let first = |value| {
                    let mut lanes = [f32::NAN; 16];
                    s.store(lanes.as_mut_ptr(), value);
                    lanes[0]
                };
                let points = P::output_grads(s, y.map(|y| s.splat(y)));
                let taps = P::tap_grads(s, m.map(|m| s.splat(m)));
                (points.map(first), taps.map(first))
            }
        }
    }

    /// Largest error in any coefficient of the correlation's gradient by its filter: dg_t = sum over j of d_(j + t) dy_j.
    fn gradient_error<P: Points>(points: P, taps: usize) -> f32 {
        let mut worst = 0.0f32;
        for isa in Isa::available() {
            for k in 0..P::N {
                let mut d = [0.0; MAX_POINTS];
                d[k] = 1.0;
                for j in 0..TILE {
                    let mut dy = [0.0; TILE];
                    dy[j] = 1.0;
                    // SAFETY: the instruction set is available.
                    let (at_points, _) = unsafe { run_on(isa, Grads(points, dy, [0.0; MAX_POINTS])) };
                    // SAFETY: as above.
                    let data = unsafe { run_on(isa, Data(points, d)) };
                    let mut product = [0.0; MAX_POINTS];
                    for i in 0..P::N {
                        product[i] = at_points[i] * data[i];
                    }
                    // SAFETY: as above.
                    let (_, dg) = unsafe { run_on(isa, Grads(points, dy, product)) };
                    for (t, dg) in dg.iter().enumerate().take(taps) {
                        let expected = if j + t == k { 1.0 } else { 0.0 };
                        worst = worst.max((dg - expected).abs());
                    }
                }
            }
        }
        worst
    }

    /// B' d with the same data in every lane.
    struct Data<P>(P, [f32; MAX_POINTS]);

    impl<P: Points> WithSimd for Data<P> {
        type Output = [f32; MAX_POINTS];
        #[inline(always)]
        unsafe fn call<S: Simd>(self, s: S) -> [f32; MAX_POINTS] {
            // SAFETY: the caller promises the CPU feature; the buffer holds a vector.
            unsafe {
                P::data(s, self.1.map(|x| s.splat(x))).map(|value| {
                    let mut lanes = [f32::NAN; 16];
                    s.store(lanes.as_mut_ptr(), value);
                    lanes[0]
                })
            }
        }
    }

    /// [`Five`] with the gradient of the last output wrong at one point.
    #[derive(Clone, Copy)]
    struct Wrong;

    impl Points for Wrong {
        const N: usize = Five::N;
        const G: [[f32; MAX_TAPS]; MAX_POINTS] = Five::G;
        #[inline(always)]
        unsafe fn data<S: Simd>(s: S, d: [S::F; MAX_POINTS]) -> [S::F; MAX_POINTS] {
            // SAFETY: forwarded from the caller.
            unsafe { Five::data(s, d) }
        }
        #[inline(always)]
        unsafe fn outputs<S: Simd>(s: S, m: [S::F; MAX_POINTS]) -> [S::F; TILE] {
            // SAFETY: forwarded from the caller.
            unsafe { Five::outputs(s, m) }
        }
        #[inline(always)]
        unsafe fn output_grads<S: Simd>(s: S, y: [S::F; TILE]) -> [S::F; MAX_POINTS] {
            // SAFETY: forwarded from the caller.
            unsafe {
                let mut points = Five::output_grads(s, y);
                points[3] = s.sub(points[3], y[3]);
                points
            }
        }
    }

    #[test]
    fn their_transposes_give_the_gradient_of_the_filter() {
        assert!(gradient_error(Five, 2) < 1e-6);
        assert!(gradient_error(Six, 3) < 1e-6);
        assert!(gradient_error(Wrong, 2) > 0.1);
    }
}
