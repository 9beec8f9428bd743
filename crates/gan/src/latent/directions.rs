//! Directions in which a generator changes most, in closed form (SeFa).

use super::Sheet;
use super::codes::{Codes, Space};
use super::synthesizer::Synthesizer;
use crate::error::Error;
use crate::step::feed;
use ganymede_graph::{Function, NodeId, Op};
use nalgebra::{DMatrix, SymmetricEigen};

/// A unit vector in the space of latents, or in that of the styles of every layer alike.
#[derive(Clone, Debug, PartialEq)]
pub struct Direction {
    /// The vector; the largest of its components is positive, since an eigenvector has no sign of its own.
    pub vector: Vec<f32>,
    /// The eigenvalue: by how much a step of 1 changes what the first layers make of the code, squared.
    pub strength: f64,
    /// Its share of the sum of all eigenvalues.
    pub share: f64,
}

/// Products with weights that read the input `name`: those whose operand follows from it without another such product, and
/// whose other operand does not. The layers of a generator that its code meets first.
pub(crate) fn first_contractions(function: &Function, name: &str) -> Vec<NodeId> {
    let mut follows = vec![false; function.nodes.len()];
    let mut found = Vec::new();
    for (i, node) in function.nodes.iter().enumerate() {
        let from_code = node.inputs.iter().filter(|input| follows[input.index()]).count();
        match &node.op {
            Op::Input { index, .. } => follows[i] = function.inputs[*index].name == name,
            Op::MatMul { .. } | Op::Conv(..) => {
                if from_code == 1 {
                    found.push(NodeId(i as u32));
                }
            }
            _ => follows[i] = from_code > 0,
        }
    }
    found
}

/// A^T A of the affine map x -> A x + b that the first layers are, `[dim, dim]` row by row: of the first weights that a
/// latent meets, or of all the weights that make modulations of styles, one above the other.
///
/// The map is asked rather than its weights: rows of A^T are what the layers make of unit vectors less what they make of
/// zeros, whatever scales or normalizes the weights, and however the layers are named.
fn gram(synthesizer: &mut Synthesizer<'_>, space: Space, shape: &[usize]) -> Result<DMatrix<f64>, Error> {
    let dim = shape[shape.len() - 1];
    // Styles move together, as one vector for all layers.
    let repeats: usize = shape[..shape.len() - 1].iter().product();
    let mut probes = vec![0.0; (dim + 1) * repeats * dim];
    for unit in 0..dim {
        for layer in 0..repeats {
            probes[((unit + 1) * repeats + layer) * dim + unit] = 1.0;
        }
    }
    let classes = synthesizer.objective().recipe.data.classes.map(|_| vec![0; dim + 1]);
    let probes = Codes::new(space, shape, probes, classes)?;
    let objective = synthesizer.objective();
    let function = objective.responses_phase(space, dim + 1)?;
    if function.outputs.is_empty() {
        return Err(Error::Refused(format!(
            "the generator of recipe `{}` multiplies its latent with no weights, so no direction is special to it",
            objective.recipe.name
        )));
    }
    let phase = synthesizer.session().add_phase("responses", &function)?;
    synthesizer.feed(phase, feed::CODES, &probes, 0..dim + 1)?;
    synthesizer.session().run(phase)?;
    let mut sum = DMatrix::zeros(dim, dim);
    for (name, _) in &function.outputs {
        let out = synthesizer.session().output(phase, name).unwrap_or(&[]);
        let width = out.len() / (dim + 1);
        let (zero, units) = out.split_at(width);
        let rows = DMatrix::from_fn(dim, width, |unit, at| {
            f64::from(units[unit * width + at]) - f64::from(zero[at])
        });
        sum += &rows * rows.transpose();
    }
    Ok(sum)
}

/// The `count` directions of unit length along which the code changes what the generator's first layers make of it most:
/// the eigenvectors of A^T A to its largest eigenvalues, A the weights that multiply the code (Shen, Zhou 2021, SeFa,
/// equations 5 to 7), strongest first. Weights are taken as they are; the authors' program scales the row of each output to
/// unit length first, of which the paper says nothing. Of a generator with styles they are directions of styles, of all
/// layers alike.
///
/// # Errors
/// More directions than the space has; a generator without weights, or with some that are not finite.
pub fn directions(synthesizer: &mut Synthesizer<'_>, count: usize) -> Result<Vec<Direction>, Error> {
    let objective = synthesizer.objective();
    let (space, shape) = match objective.code_shape(Space::Styles) {
        Some(shape) => (Space::Styles, shape),
        None => (Space::Latent, vec![objective.recipe.latent.dim]),
    };
    let dim = shape[shape.len() - 1];
    if count == 0 || count > dim {
        return Err(Error::Refused(format!(
            "{count} directions: a space of {dim} dimensions has 1 to {dim}"
        )));
    }
    let gram = gram(synthesizer, space, &shape)?;
    if gram.iter().any(|v| !v.is_finite()) {
        return Err(Error::Refused(format!(
            "the first weights of the generator of recipe `{}` are not all finite, so they have no directions",
            objective.recipe.name
        )));
    }
    let trace = gram.trace();
    let eigen = SymmetricEigen::new(gram);
    let mut order: Vec<usize> = (0..dim).collect();
    order.sort_by(|a, b| eigen.eigenvalues[*b].total_cmp(&eigen.eigenvalues[*a]));
    let direction = |i: &usize| {
        let vector = eigen.eigenvectors.column(*i);
        let largest = vector.iter().fold(0.0f64, |m, v| if v.abs() > m.abs() { *v } else { m });
        let sign = if largest < 0.0 { -1.0 } else { 1.0 };
        let strength = eigen.eigenvalues[*i].max(0.0);
        Direction {
            vector: vector.iter().map(|v| (sign * v) as f32).collect(),
            strength,
            share: if trace > 0.0 { strength / trace } else { 0.0 },
        }
    };
    Ok(order[..count].iter().map(direction).collect())
}

/// A strip of `steps` samples a direction: sample `index` moved by -`extent` to `extent` along it.
///
/// # Errors
/// Fewer than two steps; else as making codes says.
pub fn direction_sheet(
    synthesizer: &mut Synthesizer<'_>,
    directions: &[Direction],
    index: u64,
    steps: usize,
    extent: f64,
) -> Result<Sheet, Error> {
    if steps < 2 {
        return Err(Error::Refused(format!(
            "a strip of {steps} has no two ends: at least 2 steps are needed"
        )));
    }
    let mut base = synthesizer.codes(index, 1)?;
    if synthesizer.objective().generator.has_styles() {
        base = synthesizer.styles(&base)?;
    }
    let mut codes = base.none_like();
    for direction in directions {
        for step in 0..steps {
            // Symmetric in whole numbers, so that the middle of an odd strip is the sample itself.
            let place = (2 * step) as f64 - (steps - 1) as f64;
            let far = extent * place / (steps - 1) as f64;
            let along = direction.vector.iter().cycle();
            let moved = base.code(0).iter().zip(along);
            let code: Vec<f32> = moved.map(|(v, d)| (f64::from(*v) + far * f64::from(*d)) as f32).collect();
            codes.push(&code, base.class(0));
        }
    }
    Ok(Sheet { codes, columns: steps })
}
