//! Affine maps from the dimensions of a pass to the axes of the values inside it.
//!
//! The index along an axis is `offset + sum_d coefficient_d i_d` over the domain's dimensions d. Broadcasts,
//! transposes, slices and reversals keep maps affine; a reshape does where the axes can be cut into common
//! factors, for which dimensions of the domain may have to be split first.

/// Index along one axis as an affine function of the domain's indices.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Axis {
    /// Index at the domain's first element.
    pub offset: isize,
    /// (dimension, coefficient), by increasing dimension; no coefficient is 0.
    pub terms: Vec<(usize, isize)>,
}

impl Axis {
    /// Always 0.
    pub fn zero() -> Axis {
        Axis::default()
    }

    fn dimension(d: usize) -> Axis {
        Axis { offset: 0, terms: vec![(d, 1)] }
    }

    /// `scale * self + shift`.
    pub fn affine(&self, scale: isize, shift: isize) -> Axis {
        let terms = self.terms.iter().map(|&(d, c)| (d, c * scale)).filter(|t| t.1 != 0).collect();
        Axis { offset: self.offset * scale + shift, terms }
    }

    fn add(&mut self, other: &Axis, scale: isize) {
        self.offset += other.offset * scale;
        for &(d, c) in &other.terms {
            match self.terms.binary_search_by_key(&d, |t| t.0) {
                Ok(at) => {
                    self.terms[at].1 += c * scale;
                    if self.terms[at].1 == 0 {
                        self.terms.remove(at);
                    }
                }
                Err(at) => self.terms.insert(at, (d, c * scale)),
            }
        }
    }

    /// (index / radix, index % radix), both affine, or why not.
    fn split(&self, radix: usize, dims: &[usize]) -> Result<(Axis, Axis), MapError> {
        let m = radix as isize;
        if self.offset < 0 {
            return Err(MapError::Impossible);
        }
        let mut high = Axis { offset: self.offset / m, terms: Vec::new() };
        let mut low = Axis { offset: self.offset % m, terms: Vec::new() };
        let mut reach = low.offset;
        for &(d, c) in &self.terms {
            if c < 0 {
                return Err(MapError::Impossible);
            }
            let span = c * (dims[d] as isize - 1);
            if c % m == 0 {
                high.terms.push((d, c / m));
            } else if span < m {
                low.terms.push((d, c));
                reach += span;
            } else if m % c == 0 && (dims[d] as isize) % (m / c) == 0 {
                return Err(MapError::Split { dim: d, inner: (m / c) as usize });
            } else {
                return Err(MapError::Impossible);
            }
        }
        if reach < m { Ok((high, low)) } else { Err(MapError::Impossible) }
    }
}

/// The index along every axis of a value.
pub type Map = Vec<Axis>;

/// Why a map could not be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MapError {
    /// Dimension `dim` must first become two: the outer one, and an inner one of `inner` elements.
    Split {
        /// The dimension.
        dim: usize,
        /// Elements of the inner one.
        inner: usize,
    },
    /// The map is not affine.
    Impossible,
}

/// The map of a value that has the domain's own shape.
pub fn identity(rank: usize) -> Map {
    (0..rank).map(Axis::dimension).collect()
}

/// Word offset and strides by dimension of a row-major value of `shape` under `map`.
pub fn address(map: &Map, shape: &[usize], rank: usize) -> (isize, Vec<isize>) {
    let mut total = Axis::zero();
    for (axis, stride) in map.iter().zip(ganymede_graph::types::strides(shape)) {
        total.add(axis, stride as isize);
    }
    let mut strides = vec![0; rank];
    for (d, c) in total.terms {
        strides[d] = c;
    }
    (total.offset, strides)
}

/// Cumulative products from the innermost axis outwards, without those of axes of extent 1.
fn boundaries(shape: &[usize]) -> Vec<usize> {
    let mut list = vec![1];
    let mut product = 1;
    for &n in shape.iter().rev().filter(|&&n| n != 1) {
        product *= n;
        list.push(product);
    }
    list
}

/// Whether values of both shapes, of one size, can be walked in one order by one domain.
pub fn compatible(a: &[usize], b: &[usize]) -> bool {
    if a == b {
        return true;
    }
    let mut cuts = boundaries(a);
    cuts.extend(boundaries(b));
    cuts.sort_unstable();
    cuts.windows(2).all(|w| w[0] != 0 && w[1] % w[0] == 0)
}

/// The map of a value of shape `to` whose elements, in row-major order, are those of a value of shape `from`
/// under `map`. No extent is 0.
pub fn reshape(map: &Map, from: &[usize], to: &[usize], dims: &[usize]) -> Result<Map, MapError> {
    if from == to {
        return Ok(map.clone());
    }
    let targets = boundaries(to);
    // (first boundary, map), innermost first: pieces of `from`'s axes cut at all boundaries of `to`.
    let mut pieces: Vec<(usize, Axis)> = Vec::new();
    let mut low = 1;
    for (axis, &n) in map.iter().zip(from).rev().filter(|(_, n)| **n != 1) {
        let high = low * n;
        let mut rest = axis.clone();
        let mut at = low;
        for &cut in targets.iter().filter(|&&b| b > low && b < high) {
            if cut % at != 0 || high % cut != 0 {
                return Err(MapError::Impossible);
            }
            let (outer, inner) = rest.split(cut / at, dims)?;
            pieces.push((at, inner));
            (rest, at) = (outer, cut);
        }
        pieces.push((at, rest));
        low = high;
    }
    let mut out = vec![Axis::zero(); to.len()];
    let mut low = 1;
    let mut next = pieces.into_iter().peekable();
    for (i, &n) in to.iter().enumerate().rev().filter(|(_, n)| **n != 1) {
        let high = low * n;
        while let Some((at, _)) = next.peek() {
            if *at >= high {
                break;
            }
            if let Some((at, axis)) = next.next() {
                if at % low != 0 {
                    return Err(MapError::Impossible);
                }
                out[i].add(&axis, (at / low) as isize);
            }
        }
        low = high;
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All indices of `dims`, row-major.
    fn walk(dims: &[usize]) -> Vec<Vec<usize>> {
        dims.iter().fold(vec![vec![]], |all, &n| {
            all.iter().flat_map(|i| (0..n).map(move |k| [i.clone(), vec![k]].concat())).collect()
        })
    }

    fn linear(map: &Map, shape: &[usize], index: &[usize]) -> isize {
        let (offset, strides) = address(map, shape, index.len());
        offset + index.iter().zip(strides).map(|(&i, s)| i as isize * s).sum::<isize>()
    }

    #[test]
    fn reshapes_keep_the_row_major_order() {
        for (dims, to) in [
            (vec![6, 4], vec![24]),
            (vec![2, 3, 4], vec![6, 4]),
            (vec![2, 3, 4], vec![1, 2, 12, 1]),
            (vec![2, 1, 3, 4], vec![6, 1, 4]),
        ] {
            let map = reshape(&identity(dims.len()), &dims, &to, &dims).unwrap();
            for (k, index) in walk(&dims).iter().enumerate() {
                assert_eq!(linear(&map, &to, index), k as isize, "{dims:?} {to:?}");
            }
        }
    }

    #[test]
    fn a_finer_shape_asks_for_a_split() {
        let split = reshape(&identity(1), &[24], &[2, 3, 4], &[24]).unwrap_err();
        assert_eq!(split, MapError::Split { dim: 0, inner: 4 });
        let split = reshape(&identity(2), &[6, 4], &[2, 3, 4], &[6, 4]).unwrap_err();
        assert_eq!(split, MapError::Split { dim: 0, inner: 3 });
    }

    #[test]
    fn shapes_without_common_factors_are_refused() {
        let refused = reshape(&identity(2), &[2, 3], &[3, 2], &[2, 3]).unwrap_err();
        assert_eq!(refused, MapError::Impossible);
    }
}
