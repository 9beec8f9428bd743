//! The latent tools: interpolation, walks, truncation, mixing, classes and directions, on a plain generator and on one with
//! styles.

mod common;
#[path = "common/styled.rs"]
mod styled;

use common::*;
use ganymede::Objective;
use ganymede::latent::*;
use ganymede::sampler::{Asked, Sampler};
use styled::{LAYERS, UNITS, WIDTH, with_styles};

const SIZE: usize = 64;
const SEED: u64 = 5;

/// Layers that make 32 numbers of a latent.
const FIRST: &str = r#""dense 32", "batch_norm", "leaky_relu 0.2""#;

fn plain() -> Objective {
    objective(&images(FIRST, ""), &[])
}

fn styled_pair(classes: Option<usize>) -> Objective {
    with_styles(plain(), classes)
}

fn samples(synthesizer: &mut Synthesizer<'_>, codes: &Codes) -> Vec<f32> {
    synthesizer.samples(codes, &mut |_| {}).unwrap()
}

fn norm(v: &[f32]) -> f64 {
    dot(v, v).sqrt()
}

fn dot(a: &[f32], b: &[f32]) -> f64 {
    a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum()
}

fn angle(a: &[f32], b: &[f32]) -> f64 {
    (dot(a, b) / (norm(a) * norm(b))).clamp(-1.0, 1.0).acos()
}

/// Whether what `way` gives turns at constant speed with a norm that goes from one end's to the other's.
fn is_spherical(way: fn(&[f32], &[f32], f64) -> Vec<f32>) -> bool {
    let a = [0.3f32, -1.2, 0.7, 2.0, 0.1];
    let b = [-0.9f32, 0.4, 1.6, -0.2, 0.8];
    let whole = angle(&a, &b);
    (0..=8).all(|i| {
        let t = f64::from(i) / 8.0;
        let c = way(&a, &b, t);
        let length = (1.0 - t) * norm(&a) + t * norm(&b);
        (norm(&c) - length).abs() < 1e-6 && (angle(&a, &c) - t * whole).abs() < 1e-3
    })
}

#[test]
fn slerp_turns_at_constant_speed_and_keeps_to_the_sphere() {
    assert!(is_spherical(slerp));
    assert!(!is_spherical(lerp), "the straight line leaves the sphere");
    let short = |a: &[f32], b: &[f32], t: f64| slerp(a, b, t * t);
    assert!(!is_spherical(short), "another speed is told apart");
    let (a, b) = ([1.0f32, 1e-8, -0.3], [0.1f32, 0.7, 0.2]);
    for way in [lerp, slerp] {
        assert_eq!((way(&a, &b, 0.0), way(&a, &b, 1.0)), (a.to_vec(), b.to_vec()));
    }
    // No one way along the sphere: the straight line.
    for b in [[-2.0f32, -2e-8, 0.6], [2.0, 2e-8, -0.6], [0.0; 3]] {
        assert_eq!(slerp(&a, &b, 0.25), lerp(&a, &b, 0.25));
    }
}

#[test]
fn the_ends_of_an_interpolation_are_the_samples_bit_for_bit() {
    for (objective, ways) in [(plain(), &Way::ALL[..2]), (styled_pair(None), &Way::ALL[..])] {
        let mut session = session_of(&objective, 1);
        let drawn = Sampler::new(SEED).draw(&objective, &mut session, 0, 5).unwrap();
        let mut synthesizer = Synthesizer::new(&objective, &mut session, SEED);
        for &way in ways {
            let sheet = interpolation_sheet(&mut synthesizer, 5, 7, way).unwrap();
            assert_eq!((sheet.columns, sheet.codes.len()), (7, 28));
            let made = samples(&mut synthesizer, &sheet.codes);
            for (row, cells) in made.chunks(7 * SIZE).enumerate() {
                assert_eq!(cells[..SIZE], drawn[row * SIZE..][..SIZE], "{way:?}, row {row}");
                assert_eq!(cells[6 * SIZE..], drawn[(row + 1) * SIZE..][..SIZE], "{way:?}, row {row}");
                assert_ne!(cells[3 * SIZE..][..SIZE], cells[..SIZE]);
            }
        }
    }
    let (objective, mut store) = (plain(), session_of(&plain(), 1));
    let mut synthesizer = Synthesizer::new(&objective, &mut store, SEED);
    let error = interpolation_sheet(&mut synthesizer, 3, 5, Way::Styles).unwrap_err().to_string();
    assert!(error.contains("`images` has no styles"), "{error}");
    assert!(interpolation_sheet(&mut synthesizer, 1, 5, Way::Slerp).is_err());
    assert!(interpolation_sheet(&mut synthesizer, 3, 1, Way::Slerp).is_err());
}

#[test]
fn a_walk_is_closed_meets_its_samples_and_has_equal_steps() {
    let objective = plain();
    let mut session = session_of(&objective, 1);
    let mut synthesizer = Synthesizer::new(&objective, &mut session, SEED);
    let codes = walk(&mut synthesizer, 4, 20, Way::Slerp).unwrap();
    let latents = synthesizer.latents(0, 4).unwrap();
    for i in 0..4 {
        assert_eq!(codes.code(5 * i), latents.code(i));
        // Within a stretch all steps turn by the same angle; the last leads back to the first sample.
        let step = angle(latents.code(i), latents.code((i + 1) % 4)) / 5.0;
        for frame in 5 * i..5 * i + 5 {
            let turned = angle(codes.code(frame), codes.code((frame + 1) % 20));
            assert!((turned - step).abs() < 1e-3, "frame {frame}: {turned} against {step}");
        }
    }
    // Numbers that do not divide: every frame is on the way, none twice.
    let codes = walk(&mut synthesizer, 3, 7, Way::Lerp).unwrap();
    assert_eq!(codes.len(), 7);
    assert!((1..7).all(|i| codes.code(i) != codes.code(i - 1)) && codes.code(0) == latents.code(0));
}

#[test]
fn codes_do_not_depend_on_the_batch_and_given_ones_come_first() {
    let objective = plain();
    let mut session = session_of(&objective, 1);
    let mut synthesizer = Synthesizer::new(&objective, &mut session, SEED);
    let all = synthesizer.codes(0, 40).unwrap();
    let some = synthesizer.codes(17, 3).unwrap();
    assert_eq!(all.some(17..20), some);
    let given = Codes::new(Space::Latent, &[6], vec![0.5; 12], None).unwrap();
    let mut synthesizer = Synthesizer::new(&objective, &mut session, SEED).with_codes(given.clone()).unwrap();
    let codes = synthesizer.codes(1, 3).unwrap();
    assert_eq!((codes.some(0..1), codes.some(1..3)), (given.some(1..2), all.some(2..4)));
    let other = Codes::new(Space::Latent, &[5], vec![0.5; 10], None).unwrap();
    let refused = Synthesizer::new(&objective, &mut session, SEED).with_codes(other).err().unwrap();
    assert!(refused.to_string().contains("[5]") && refused.to_string().contains("[6]"), "{refused}");
    let styles = Codes::new(Space::Styles, &[LAYERS, WIDTH], vec![0.5; 12], None).unwrap();
    let refused = Synthesizer::new(&objective, &mut session, SEED).with_codes(styles.clone()).err().unwrap();
    assert!(refused.to_string().contains("has none"), "{refused}");

    // Given styles make the latents behind them styles too.
    let objective = styled_pair(None);
    let mut session = session_of(&objective, 1);
    let mut synthesizer = Synthesizer::new(&objective, &mut session, SEED).with_codes(styles).unwrap();
    let codes = synthesizer.codes(0, 2).unwrap();
    let latents = synthesizer.latents(1, 1).unwrap();
    assert_eq!(codes.space(), Space::Styles);
    assert_eq!(codes.some(1..2), synthesizer.styles(&latents).unwrap());
    assert!(truncation_sheet(&mut synthesizer, 2, &[0.5]).is_err(), "styles are truncated already");
}

#[test]
fn a_truncation_sweep_has_the_samples_of_each_truncation() {
    let objective = plain();
    let mut session = session_of(&objective, 1);
    let psis = [0.25, 1.0, 7.0];
    let mut synthesizer = Synthesizer::new(&objective, &mut session, SEED);
    let sheet = truncation_sheet(&mut synthesizer, 4, &psis).unwrap();
    let made = samples(&mut synthesizer, &sheet.codes);
    let default = default_truncations(&objective).to_vec();
    assert!(truncation_sheet(&mut synthesizer, 1, &default).is_ok());
    for psi in [0.0, -1.0, f64::NAN] {
        let error = truncation_sheet(&mut synthesizer, 4, &[psi]).unwrap_err().to_string();
        assert!(error.contains("above 0"), "{error}");
    }
    for (column, psi) in psis.into_iter().enumerate() {
        let drawn = Sampler::truncated(SEED, psi).draw(&objective, &mut session, 0, 4).unwrap();
        for row in 0..4 {
            let cell = &made[(row * psis.len() + column) * SIZE..][..SIZE];
            assert_eq!(*cell, drawn[row * SIZE..][..SIZE], "{psi}, row {row}");
        }
    }
}

#[test]
fn styles_are_drawn_to_their_mean_by_the_factor() {
    let objective = styled_pair(None);
    let mut session = session_of(&objective, 1);
    let mean = session.store().f32s("ema/G/mean").unwrap().to_vec();
    let psis = [-0.5, 0.0, 0.5, 1.0];
    let mut synthesizer = Synthesizer::new(&objective, &mut session, SEED);
    let latents = synthesizer.latents(0, 3).unwrap();
    let whole = synthesizer.styles(&latents).unwrap();
    let sheet = truncation_sheet(&mut synthesizer, 3, &psis).unwrap();
    for row in 0..3 {
        for (column, psi) in psis.into_iter().enumerate() {
            let code = sheet.codes.code(row * psis.len() + column);
            for (i, (got, w)) in code.iter().zip(whole.code(row)).enumerate() {
                let mean = mean[i % WIDTH];
                let expected = mean + psi as f32 * (w - mean);
                assert!((got - expected).abs() < 1e-6, "{psi}: {got} against {expected}");
            }
        }
    }
    let made = samples(&mut synthesizer, &sheet.codes);
    // Plain samples under a truncation are the same ones: below 0 beyond the mean, and at 0 its own, whatever the latent.
    for (column, psi) in psis.into_iter().enumerate() {
        let drawn = Sampler::truncated(SEED, psi).draw(&objective, &mut session, 0, 3).unwrap();
        for row in 0..3 {
            assert_eq!(
                made[(row * psis.len() + column) * SIZE..][..SIZE],
                drawn[row * SIZE..][..SIZE],
                "{psi}"
            );
        }
        assert_eq!(psi == 0.0, drawn[..SIZE] == drawn[SIZE..][..SIZE], "{psi}");
    }
}

#[test]
fn factors_of_truncation_have_a_bound() {
    let (styled, plain) = (styled_pair(None), plain());
    for psi in [-100.0, -1.0, 0.0, 0.7, 100.0] {
        assert!(styled.check_truncation(psi).is_ok(), "{psi}");
        assert_eq!(plain.check_truncation(psi).is_ok(), psi > 0.0, "{psi}");
    }
    let mut session = session_of(&styled, 1);
    for psi in [-100.5, 101.0, f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        let refused = styled.check_truncation(psi).unwrap_err().to_string();
        assert!(
            refused.contains(&format!("truncation {psi}")) && refused.contains("from -100 to 100"),
            "{refused}"
        );
        let drawn = Sampler::truncated(SEED, psi).draw(&styled, &mut session, 0, 1).unwrap_err().to_string();
        assert!(drawn.contains(&refused), "{drawn}");
        let mut synthesizer = Synthesizer::new(&styled, &mut session, SEED);
        assert_eq!(truncation_sheet(&mut synthesizer, 1, &[psi]).unwrap_err().to_string(), refused);
    }
}

#[test]
fn mixed_cells_have_the_first_styles_of_their_row_and_the_others_of_their_column() {
    let objective = styled_pair(None);
    let mut session = session_of(&objective, 1);
    let mut synthesizer = Synthesizer::new(&objective, &mut session, SEED);
    let latents = synthesizer.latents(0, 5).unwrap();
    let styles = synthesizer.styles(&latents).unwrap();
    for (crossover, cut) in [(None, LAYERS / 2), (Some(2), 2)] {
        let sheet = mixing_sheet(&mut synthesizer, Mix { rows: 2, columns: 3, crossover }).unwrap();
        assert_eq!((sheet.columns, sheet.codes.len()), (4, 12));
        for row in 0..2 {
            assert_eq!(sheet.codes.code((row + 1) * 4), styles.code(row));
            for column in 0..3 {
                assert_eq!(sheet.codes.code(1 + column), styles.code(2 + column));
                let cell = sheet.codes.code((row + 1) * 4 + 1 + column);
                let (coarse, fine) = cell.split_at(cut * WIDTH);
                assert_eq!(*coarse, styles.code(row)[..cut * WIDTH]);
                assert_eq!(*fine, styles.code(2 + column)[cut * WIDTH..]);
            }
        }
    }
    for crossover in [0, LAYERS] {
        let mix = Mix { rows: 2, columns: 3, crossover: Some(crossover) };
        let error = mixing_sheet(&mut synthesizer, mix).unwrap_err().to_string();
        assert!(error.contains("3 styles, so 1 to 2"), "{error}");
    }
    let (objective, mut session) = (plain(), session_of(&plain(), 1));
    let mut synthesizer = Synthesizer::new(&objective, &mut session, SEED);
    let mix = Mix { rows: 2, columns: 3, crossover: None };
    assert!(mixing_sheet(&mut synthesizer, mix).unwrap_err().to_string().contains("no styles"));
}

#[test]
fn rows_of_a_class_sheet_are_the_samples_of_each_class() {
    let objective = styled_pair(Some(3));
    let mut session = session_of(&objective, 1);
    let mut synthesizer = Synthesizer::new(&objective, &mut session, SEED);
    let sheet = class_sheet(&mut synthesizer, 4).unwrap();
    assert_eq!(sheet.codes.classes().unwrap(), [0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2]);
    let made = samples(&mut synthesizer, &sheet.codes);
    // A class changes half way between two of them, so that both ends are the samples themselves.
    let ways = interpolation_sheet(&mut synthesizer, 2, 4, Way::Styles).unwrap();
    assert_eq!(ways.codes.classes().unwrap(), [0, 0, 1, 1]);
    for class in 0..3 {
        let sampler = Sampler::new(SEED).of_classes(Asked::Only(class));
        let drawn = { sampler }.draw(&objective, &mut session, 0, 4).unwrap();
        assert_eq!(made[class * 4 * SIZE..][..4 * SIZE], drawn, "class {class}");
    }
    let only = Synthesizer::new(&objective, &mut session, SEED).of_classes(Asked::Only(2)).unwrap();
    assert_eq!({ only }.codes(0, 2).unwrap().classes().unwrap(), [2, 2]);
    assert!(Synthesizer::new(&objective, &mut session, SEED).of_classes(Asked::Only(3)).is_err());
    let (objective, mut session) = (plain(), session_of(&plain(), 1));
    let mut synthesizer = Synthesizer::new(&objective, &mut session, SEED);
    assert!(class_sheet(&mut synthesizer, 4).unwrap_err().to_string().contains("no classes"));
}

/// As tools/goldens_latent.py wrote them.
const DIRECTIONS: &str = include_str!("../goldens/directions.txt");

fn golden(kind: &str, name: &str) -> Vec<f64> {
    let found = golden_blocks(DIRECTIONS).into_iter().find(|b| (b.0.as_str(), b.1.as_str()) == (kind, name));
    found.unwrap().2.floats().to_vec()
}

fn floats(values: &[f64]) -> Vec<f32> {
    values.iter().map(|v| *v as f32).collect()
}

/// Largest distance between directions and the golden's, whose vectors have either sign.
fn apart(found: &[Direction], vectors: &[f64]) -> f64 {
    let each = found.iter().zip(vectors.chunks(found[0].vector.len())).map(|(direction, golden)| {
        let one = |sign: f64| {
            let gaps = direction.vector.iter().zip(golden).map(|(v, g)| (f64::from(*v) - sign * g).abs());
            gaps.fold(0.0, f64::max)
        };
        one(1.0).min(one(-1.0))
    });
    each.fold(0.0, f64::max)
}

fn check_directions(found: &[Direction], name: &str) {
    assert_eq!(found.len(), 3);
    let off = apart(found, &golden("direction", name));
    assert!(off < 1e-5, "{name}: {off} from the golden");
    assert!(apart(found, &golden("scaled", name)) > 1e-2, "{name}: weights scaled row by row are others");
    for (direction, strength) in found.iter().zip(golden("strength", name)) {
        assert!((direction.strength / strength - 1.0).abs() < 1e-5, "{name}: {}", direction.strength);
        assert!((norm(&direction.vector) - 1.0).abs() < 1e-6);
        let largest = direction.vector.iter().fold(0.0f32, |m, v| if v.abs() > m.abs() { *v } else { m });
        assert!(largest > 0.0, "a sign of its own");
    }
}

#[test]
fn directions_are_singular_vectors_of_the_first_weight() {
    let text = images(r#""dense 9", "batch_norm", "tanh", "dense 32""#, "");
    let objective = objective(&text, &[]);
    let mut session = session_of(&objective, 1);
    put(session.store_mut(), "ema/G/dense1/weight", &floats(&golden("input", "dense0")));
    let mut synthesizer = Synthesizer::new(&objective, &mut session, SEED);
    let found = directions(&mut synthesizer, 3).unwrap();
    check_directions(&found, "dense");
    let all = directions(&mut synthesizer, 6).unwrap();
    assert!((all.iter().map(|d| d.share).sum::<f64>() - 1.0).abs() < 1e-9);
    assert!(all.is_sorted_by(|a, b| a.strength >= b.strength));
    assert!(directions(&mut synthesizer, 7).unwrap_err().to_string().contains("6 dimensions"));

    let sheet = direction_sheet(&mut synthesizer, &found, 4, 5, 2.0).unwrap();
    let base = synthesizer.latents(4, 1).unwrap();
    assert_eq!((sheet.columns, sheet.codes.len()), (5, 15));
    for (row, direction) in found.iter().enumerate() {
        assert_eq!(sheet.codes.code(5 * row + 2), base.code(0), "the middle is the sample itself");
        for (step, far) in [-2.0f32, -1.0, 0.0, 1.0, 2.0].into_iter().enumerate() {
            let moved = sheet.codes.code(5 * row + step).iter().zip(base.code(0)).zip(&direction.vector);
            assert!(moved.into_iter().all(|((c, b), d)| (c - (b + far * d)).abs() < 1e-6));
        }
    }
}

#[test]
fn directions_of_styles_are_those_of_all_modulations_together() {
    let objective = styled_pair(Some(3));
    let mut session = session_of(&objective, 1);
    for layer in 0..LAYERS {
        let affine = golden("input", &format!("affine{layer}"));
        assert_eq!(affine.len(), WIDTH * UNITS);
        put(session.store_mut(), &format!("ema/G/layer{layer}/affine"), &floats(&affine));
    }
    let mut synthesizer = Synthesizer::new(&objective, &mut session, SEED);
    let found = directions(&mut synthesizer, 3).unwrap();
    check_directions(&found, "affine");
    let sheet = direction_sheet(&mut synthesizer, &found, 2, 3, 1.5).unwrap();
    let styles = synthesizer.codes(2, 1).and_then(|codes| synthesizer.styles(&codes)).unwrap();
    assert_eq!(sheet.codes.code(1), styles.code(0));
    assert_eq!(sheet.codes.class(0), Some(2));
    let end = sheet.codes.code(2);
    for (i, (end, base)) in end.iter().zip(styles.code(0)).enumerate() {
        assert!((end - (base + 1.5 * found[0].vector[i % WIDTH])).abs() < 1e-6);
    }
}

#[test]
fn weights_are_found_whatever_shapes_the_latent() {
    // A first layer that convolves, and one behind it that has no say.
    let text =
        images(r#""reshape 1 1 6", "conv_transpose 4 4", "leaky_relu 0.2", "flatten", "dense 32""#, "");
    let objective = objective(&text, &[]);
    let mut session = session_of(&objective, 1);
    let weight = session.store().f32s("ema/G/conv_transpose1/weight").unwrap().to_vec();
    let shape = session.store().ty("ema/G/conv_transpose1/weight").unwrap().shape.clone();
    let mut synthesizer = Synthesizer::new(&objective, &mut session, SEED);
    let found = directions(&mut synthesizer, 6).unwrap();
    // Every weight meets the one pixel once, so A^T A has the squares of the weights of each input on its diagonal, and
    // their sum for a trace.
    let squares: f64 = weight.iter().map(|w| f64::from(*w).powi(2)).sum();
    let trace: f64 = found.iter().map(|d| d.strength).sum();
    assert_eq!(shape.iter().product::<usize>(), 4 * 4 * 6 * 4);
    assert!((trace / squares - 1.0).abs() < 1e-5, "{trace} against {squares}");
}
