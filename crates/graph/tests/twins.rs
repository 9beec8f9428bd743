//! The checker must reject what is wrong: functions with deliberately false derivatives, made with `stop_gradient`.

use ganymede_graph::Tensor;
use ganymede_graph::cases::{Case, Values, gradcheck};

/// The value of `value`, with the derivative `slope` by `x` at first order and none beyond.
fn surrogate(value: Tensor, x: &Tensor, slope: Tensor) -> Tensor {
    value.stop_gradient() + (x - x.stop_gradient()) * slope
}

fn check(name: &str, f: impl Fn(&[Tensor]) -> Tensor + Send + Sync + 'static) -> Result<(), String> {
    let mut v = Values::new(1);
    let inputs = [v.uniform(&[5], 0.3, 1.5), v.uniform(&[5], 0.3, 1.5)];
    gradcheck::check(&Case::new(name, inputs, move |_, x| vec![f(x)]).smooth(), 3, 1e-7)
}

#[test]
fn the_right_twin_passes() {
    check("tanh", |x| x[0].tanh() * &x[1]).unwrap();
}

#[test]
fn a_wrong_first_derivative_is_rejected() {
    let error = check("tanh' = 1 - y", |x| {
        let y = x[0].tanh();
        surrogate(y.clone(), &x[0], (1.0 - y).stop_gradient()) * &x[1]
    })
    .unwrap_err();
    assert!(error.contains("grad of L"), "{error}");
}

#[test]
fn a_sign_error_in_one_operand_is_rejected() {
    check("a / b with d/db = + a / b^2", |x| {
        let (a, b) = (&x[0], &x[1]);
        surrogate(a / b, b, (a / b.square()).stop_gradient()) + (a - a.stop_gradient()) / b.stop_gradient()
    })
    .unwrap_err();
}

#[test]
fn a_wrong_second_derivative_alone_is_rejected() {
    // Right at first order; the slope, held constant, has lost its own derivative.
    let error = check("tanh'' = 0", |x| {
        let y = x[0].tanh();
        let slope = (1.0 - y.square()).stop_gradient();
        surrogate(y, &x[0], slope) * &x[1]
    })
    .unwrap_err();
    assert!(error.contains("second of S"), "{error}");
}

#[test]
fn a_small_relative_error_is_rejected() {
    check("tanh' = (1 - y^2) (1 + 1e-5)", |x| {
        let y = x[0].tanh();
        surrogate(y.clone(), &x[0], (1.0 - y.square()) * 1.00001)
    })
    .unwrap_err();
}

/// At a tie central differences give the mean of the one-sided slopes, which is the documented half.
#[test]
fn unsplit_ties_are_rejected() {
    let tied = || {
        let a = Values::new(2).normal(&[6]);
        [a.clone(), a]
    };
    let first_wins = Case::new("max, first wins", tied(), |_, x| vec![x[0].ge(&x[1]).select(&x[0], &x[1])]);
    let error = gradcheck::check(&first_wins.smooth(), 3, 1e-7).unwrap_err();
    assert!(error.contains("grad of L"), "{error}");
    // The rule of the op agrees. Its second derivative has a delta at the tie, so only the first is compared.
    let halves = Case::new("max", tied(), |_, x| vec![x[0].maximum(&x[1])]).smooth();
    gradcheck::check_first(&halves, 3, 1e-7).unwrap();
}
