//! Moments, ranges and orthogonality of initializers, with fixed seeds.

use ganymede_nn::{FanRule, Init, ParamSpec};

fn draw(shape: &[usize], init: Init, fans: FanRule) -> Vec<f64> {
    let mut spec = ParamSpec::new("G/layer/weight", shape, init, true);
    spec.fans = fans;
    spec.initialize([11, 12]).iter().map(|&v| f64::from(v)).collect()
}

/// Mean and standard deviation within five standard errors of `mean` and `std`. `kurtosis` is 3 for a normal and 9/5
/// for a uniform distribution: the variance of a sample variance is (kurtosis - 1) std^4 / n.
#[track_caller]
fn moments(values: &[f64], mean: f64, std: f64, kurtosis: f64) {
    let n = values.len() as f64;
    let m = values.iter().sum::<f64>() / n;
    let v = values.iter().map(|x| (x - m).powi(2)).sum::<f64>() / n;
    assert!((m - mean).abs() <= 5.0 * std / n.sqrt(), "mean {m}, expected {mean}");
    let band = 5.0 * std * std * ((kurtosis - 1.0) / n).sqrt();
    assert!((v - std * std).abs() <= band, "variance {v}, expected {} +- {band}", std * std);
}

#[track_caller]
fn uniform(values: &[f64], low: f64, high: f64) {
    moments(values, (low + high) / 2.0, (high - low) / 12f64.sqrt(), 1.8);
    let (min, max) = values.iter().fold((f64::MAX, f64::MIN), |(a, b), v| (a.min(*v), b.max(*v)));
    // Extremes lie inside, and within 1 % of the bounds: with 60,000 draws and more a miss has probability e^-600.
    let slack = 0.01 * (high - low);
    assert!(min >= low - 1e-6 && min < low + slack && max <= high + 1e-6 && max > high - slack);
}

const DENSE: [usize; 2] = [384, 256];
const CONV: [usize; 4] = [4, 4, 48, 96];

#[test]
fn fans_follow_the_layer() {
    assert_eq!(FanRule::Forward.fans(&DENSE), (384, 256));
    assert_eq!(FanRule::Forward.fans(&CONV), (16 * 48, 16 * 96));
    assert_eq!(FanRule::Transposed.fans(&CONV), (16 * 96, 16 * 48));
    assert_eq!(FanRule::Forward.fans(&[7]), (7, 7));
    assert_eq!(FanRule::Forward.fans(&[]), (1, 1));
}

#[test]
fn constants_are_constant() {
    assert!(draw(&[9], Init::Zeros, FanRule::Forward).iter().all(|v| *v == 0.0));
    assert!(draw(&[9], Init::Ones, FanRule::Forward).iter().all(|v| *v == 1.0));
    assert!(draw(&[9], Init::Constant(-2.5), FanRule::Forward).iter().all(|v| *v == -2.5));
}

#[test]
fn normals_have_their_moments() {
    let normal = |shape: &[usize], init, fans, mean, std| moments(&draw(shape, init, fans), mean, std, 3.0);
    normal(&CONV, Init::Normal { mean: 0.0, std: 0.02 }, FanRule::Forward, 0.0, 0.02);
    normal(&CONV, Init::Normal { mean: 1.0, std: 0.02 }, FanRule::Forward, 1.0, 0.02);
    normal(&DENSE, Init::GlorotNormal, FanRule::Forward, 0.0, (2.0f64 / 640.0).sqrt());
    normal(&CONV, Init::he_normal(), FanRule::Forward, 0.0, (2.0f64 / 768.0).sqrt());
    normal(&CONV, Init::he_normal(), FanRule::Transposed, 0.0, (2.0f64 / 1536.0).sqrt());
    normal(&DENSE, Init::HeNormal { gain: 0.5 }, FanRule::Forward, 0.0, 0.5 / 384f64.sqrt());
    // Skewness and tails: third and fourth standardised moments, sqrt(6 / n) and sqrt(24 / n) their errors.
    let z = draw(&CONV, Init::Normal { mean: 0.0, std: 1.0 }, FanRule::Forward);
    let n = z.len() as f64;
    let central = |p: i32| z.iter().map(|x| x.powi(p)).sum::<f64>() / n;
    assert!((central(4) - 3.0).abs() < 5.0 * (96.0 / n).sqrt());
    assert!(central(3).abs() < 5.0 * (15.0 / n).sqrt());
}

#[test]
fn uniforms_fill_their_interval() {
    uniform(&draw(&CONV, Init::Uniform { low: -0.5, high: 2.0 }, FanRule::Forward), -0.5, 2.0);
    let check = |shape: &[usize], init, fans, bound: f64| uniform(&draw(shape, init, fans), -bound, bound);
    check(&DENSE, Init::GlorotUniform, FanRule::Forward, (6.0f64 / 640.0).sqrt());
    check(&CONV, Init::GlorotUniform, FanRule::Transposed, (6.0f64 / 2304.0).sqrt());
    check(&CONV, Init::HeUniform, FanRule::Forward, (6.0f64 / 768.0).sqrt());
    check(&CONV, Init::TorchDefault, FanRule::Forward, 1.0 / 768f64.sqrt());
    // PyTorch counts the fan-in of the stored weights for a transposed convolution too.
    check(&CONV, Init::TorchDefault, FanRule::Transposed, 1.0 / 768f64.sqrt());
}

#[test]
fn the_smaller_side_of_an_orthogonal_matrix_is_orthonormal() {
    for (shape, gain) in [(vec![64, 24], 1.0), (vec![24, 64], 1.5), (vec![3, 3, 8, 20], 0.5), (vec![5], 1.0)]
    {
        let w = draw(&shape, Init::Orthogonal { gain }, FanRule::Forward);
        let columns = shape[shape.len() - 1];
        let rows = w.len() / columns;
        let small = rows.min(columns);
        for i in 0..small {
            for j in 0..small {
                let product: f64 = if rows < columns {
                    (0..columns).map(|k| w[i * columns + k] * w[j * columns + k]).sum()
                } else {
                    (0..rows).map(|k| w[k * columns + i] * w[k * columns + j]).sum()
                };
                let expected = if i == j { gain * gain } else { 0.0 };
                // Rounding to f32: 6e-8 an element.
                assert!((product - expected).abs() < 5e-7, "{shape:?} ({i}, {j}): {product}");
            }
        }
        // Uniform over orthogonal matrices: no preferred sign.
        let positive = w.iter().filter(|v| **v > 0.0).count() as f64 / w.len() as f64;
        assert!(w.len() < 100 || (positive - 0.5).abs() < 2.5 / (w.len() as f64).sqrt(), "{positive}");
    }
}

#[test]
fn texts_are_read_and_written_back() {
    for (text, init) in [
        ("normal:0.02", Init::Normal { mean: 0.0, std: 0.02 }),
        ("normal:1:0.02", Init::Normal { mean: 1.0, std: 0.02 }),
        ("uniform:-0.1:0.1", Init::Uniform { low: -0.1, high: 0.1 }),
        ("constant:0.5", Init::Constant(0.5)),
        ("glorot_uniform", Init::GlorotUniform),
        ("glorot_normal", Init::GlorotNormal),
        ("he_normal", Init::he_normal()),
        ("he_normal:1", Init::HeNormal { gain: 1.0 }),
        ("he_uniform", Init::HeUniform),
        ("torch", Init::TorchDefault),
        ("orthogonal", Init::Orthogonal { gain: 1.0 }),
        ("zeros", Init::Zeros),
        ("ones", Init::Ones),
    ] {
        assert_eq!(Init::parse(text).unwrap(), init);
        assert_eq!(Init::parse(&init.to_string()).unwrap(), init);
        assert!(!init.paper().is_empty());
    }
    for (text, part) in [
        ("glorot", "did you mean `glorot_uniform`?"),
        ("he_norml", "did you mean `he_normal`?"),
        ("normal", "write `normal:0.02`"),
        ("normal:-1", "cannot be negative"),
        ("normal:x", "`x` is not a finite number"),
        ("uniform:1:0", "write `uniform:-0.05:0.05`"),
        ("ones:3", "write `ones`"),
        ("", "known: zeros"),
    ] {
        let error = Init::parse(text).unwrap_err().to_string();
        assert!(error.contains(part), "{text}: {error}");
    }
}
