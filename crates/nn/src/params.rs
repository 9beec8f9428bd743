//! The named parameter tree.

use crate::init::{FanRule, Init, Stream};
use ganymede_graph::TensorType;
use ganymede_kernels::pool::{Pool, PoolError};
use std::collections::HashMap;

/// One parameter or buffer: its name, type and first value.
#[derive(Clone, Debug, PartialEq)]
pub struct ParamSpec {
    /// Full name, e.g. `D/block2/conv1/weight`: the key in checkpoints.
    pub name: String,
    /// Type; always f32.
    pub ty: TensorType,
    /// How the first value is drawn.
    pub init: Init,
    /// How fan-in and fan-out are read off the shape.
    pub fans: FanRule,
    /// Whether an optimizer changes it. Buffers such as running statistics are not trainable.
    pub trainable: bool,
}

impl ParamSpec {
    /// A parameter whose fans follow from its shape by the rule of forward layers.
    pub fn new(name: impl Into<String>, shape: &[usize], init: Init, trainable: bool) -> Self {
        Self { name: name.into(), ty: TensorType::f32(shape), init, fans: FanRule::Forward, trainable }
    }

    /// The first value, row-major: a pure function of the key, the name and the spec, so that adding a parameter
    /// does not change the others. Words come from Philox4x32-10 under `key` on the counter (block low, block high,
    /// hash low, hash high), with the 64-bit FNV-1a hash of the name.
    pub fn initialize(&self, key: [u32; 2]) -> Vec<f32> {
        let mut values = vec![0.0; self.ty.len()];
        self.init.draw(&self.ty.shape, self.fans, &Stream::new(key, &self.name), &mut values);
        values
    }

    /// As [`ParamSpec::initialize`], drawn by the workers of `pool` to `out`, which has the length of the parameter: the
    /// same bits for any number of them.
    ///
    /// # Errors
    /// It is called from inside a region of the pool, or a worker panicked, which is a bug.
    ///
    /// # Panics
    /// If `out` has another length.
    pub fn initialize_on(&self, key: [u32; 2], pool: &Pool, out: &mut [f32]) -> Result<(), PoolError> {
        assert_eq!(out.len(), self.ty.len(), "the first value of `{}` has {}", self.name, self.ty);
        self.init.draw_on(&self.ty.shape, self.fans, &Stream::new(key, &self.name), pool, out)
    }
}

/// An ordered list of parameters with unique names.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Params {
    specs: Vec<ParamSpec>,
    index: HashMap<String, usize>,
}

impl Params {
    /// No parameters.
    pub fn new() -> Self {
        Self::default()
    }

    /// All, in order of declaration.
    pub fn iter(&self) -> std::slice::Iter<'_, ParamSpec> {
        self.specs.iter()
    }

    /// Those an optimizer changes, in order of declaration.
    pub fn trainable(&self) -> impl Iterator<Item = &ParamSpec> + '_ {
        self.specs.iter().filter(|s| s.trainable)
    }

    /// Those no optimizer changes, in order of declaration.
    pub fn buffers(&self) -> impl Iterator<Item = &ParamSpec> + '_ {
        self.specs.iter().filter(|s| !s.trainable)
    }

    /// By full name.
    pub fn get(&self, name: &str) -> Option<&ParamSpec> {
        self.index.get(name).map(|&i| &self.specs[i])
    }

    /// Number of tensors.
    pub fn len(&self) -> usize {
        self.specs.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.specs.is_empty()
    }

    /// Number of trainable scalars.
    pub fn count_trainable(&self) -> usize {
        self.trainable().map(|s| s.ty.len()).sum()
    }

    /// Number of scalars in buffers.
    pub fn count_buffers(&self) -> usize {
        self.buffers().map(|s| s.ty.len()).sum()
    }

    /// Appends a spec, unless its name is taken.
    ///
    /// # Errors
    /// Hands the spec back if its name is taken.
    pub fn push(&mut self, spec: ParamSpec) -> Result<(), ParamSpec> {
        if self.index.contains_key(&spec.name) {
            return Err(spec);
        }
        self.index.insert(spec.name.clone(), self.specs.len());
        self.specs.push(spec);
        Ok(())
    }

    /// First value of `spec`; see [`ParamSpec::initialize`].
    pub fn initialize(&self, spec: &ParamSpec, key: [u32; 2]) -> Vec<f32> {
        spec.initialize(key)
    }
}

impl<'a> IntoIterator for &'a Params {
    type Item = &'a ParamSpec;
    type IntoIter = std::slice::Iter<'a, ParamSpec>;
    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_buffers_are_not_counted_as_trainable() {
        let mut params = Params::new();
        params.push(ParamSpec::new("G/a/weight", &[3, 4], Init::Zeros, true)).unwrap();
        params.push(ParamSpec::new("G/a/running_mean", &[4], Init::Zeros, false)).unwrap();
        let twice = ParamSpec::new("G/a/weight", &[1], Init::Ones, true);
        assert_eq!(params.push(twice.clone()), Err(twice));
        assert_eq!((params.len(), params.count_trainable(), params.count_buffers()), (2, 12, 4));
        assert_eq!(params.get("G/a/weight").map(|s| s.ty.shape.clone()), Some(vec![3, 4]));
        assert!(params.get("G/b").is_none());
    }

    #[test]
    fn a_value_depends_on_key_and_name_alone() {
        let spec = |name: &str| ParamSpec::new(name, &[64], Init::Normal { mean: 0.0, std: 1.0 }, true);
        let a = spec("G/a").initialize([1, 2]);
        assert_eq!(a, spec("G/a").initialize([1, 2]));
        assert_ne!(a, spec("G/b").initialize([1, 2]));
        assert_ne!(a, spec("G/a").initialize([1, 3]));
        // A longer tensor of the same name starts with the same draws.
        let long = ParamSpec::new("G/a", &[128], Init::Normal { mean: 0.0, std: 1.0 }, true);
        assert_eq!(long.initialize([1, 2])[..64], a[..]);
    }
}
