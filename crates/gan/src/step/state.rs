//! The state of a run: which slots there are, and what stands in them before the first step.

use super::seen::ADAPTATION;
use super::{ACCUMULATED, EMA, Objective};
use crate::error::Error;
use crate::networks::Side;
use crate::regularizers::memory_prefix;
use crate::trainer::key_of;
use ganymede_cpu::{CpuError, Executor, StateStore};
use ganymede_graph::TensorType;
use ganymede_kernels::random::fold_in;
use ganymede_nn::optim::apply::slot_name;
use ganymede_nn::optim::{FirstValue, StateSpec, state_specs};
use ganymede_nn::{ParamSpec, Params};
use std::collections::BTreeMap;

/// Tag that separates first weights from other uses of a seed.
const INIT: u64 = 0x696e_6974;

/// Prefix of an optimizer's slots, e.g. `opt/G`.
pub(super) fn optimizer_prefix(side: Side) -> String {
    format!("opt/{}", side.root())
}

impl Objective {
    /// State beside the parameters: the optimizers' slots, the averaged generator's, and what regularizers keep.
    pub fn extra_state(&self, side: Side, params: &Params) -> Vec<StateSpec> {
        let ema = (side == Side::Generator && self.recipe.ema.is_some()).then_some(EMA);
        let mut specs = state_specs(self.optimizer(side), &optimizer_prefix(side), params, ema);
        // What does not learn has no moments.
        let moments = |spec: &StateSpec| {
            let of = |path: &String| slot_name(&optimizer_prefix(side), path, "");
            self.frozen.iter().any(|path| side == Side::Discriminator && spec.name.starts_with(&of(path)))
        };
        specs.retain(|spec| !moments(spec));
        let adapts =
            self.recipe.augment.as_ref().filter(|a| side == Side::Discriminator && a.target.is_some());
        if let Some(augment) = adapts {
            let first = augment.probability.as_ref().map_or(0.0, |p| p.at(0, self.recipe.train.images));
            specs.extend([("probability", first), ("sign", 0.0), ("share", 0.0)].map(|(name, first)| {
                StateSpec {
                    name: format!("{ADAPTATION}/{name}"),
                    ty: TensorType::f32([]),
                    first: FirstValue::Fill(first),
                }
            }));
        }
        for applied in self.regularizers.iter().filter(|r| r.side == side) {
            let prefix = memory_prefix(side, applied.regularizer.name());
            specs.extend(applied.regularizer.memory().iter().map(|name| StateSpec {
                name: format!("{prefix}/{name}"),
                ty: TensorType::f32([]),
                first: FirstValue::Fill(0.0),
            }));
        }
        specs
    }

    /// Parameters and buffers of one network.
    pub fn params(&self, side: Side) -> Params {
        self.describe(side).0
    }

    /// Names and types of the whole state.
    pub fn state_types(&self) -> BTreeMap<String, TensorType> {
        let mut types = BTreeMap::new();
        for side in [Side::Generator, Side::Discriminator] {
            let params = self.params(side);
            types.extend(params.iter().map(|p| (p.name.clone(), p.ty.clone())));
            types.extend(self.extra_state(side, &params).into_iter().map(|s| (s.name, s.ty)));
        }
        types
    }

    /// The state of a run before its first step: parameters drawn from the seed, the averaged generator equal to the
    /// generator, and the optimizers' slots.
    ///
    /// # Errors
    /// Memory is short.
    pub fn initial_state(&self, seed: u64) -> Result<StateStore, Error> {
        self.draw_state(seed, |spec, key, values| {
            values.copy_from_slice(&spec.initialize(key));
            Ok(())
        })
    }

    /// [`Objective::initial_state`], the same bits, drawn by the threads of `executor`.
    ///
    /// # Errors
    /// Memory is short.
    pub fn initial_state_on(&self, seed: u64, executor: &Executor) -> Result<StateStore, Error> {
        self.draw_state(seed, |spec, key, values| {
            spec.initialize_on(key, executor.pool(), values).map_err(|e| CpuError::from(e).into())
        })
    }

    fn draw_state(
        &self,
        seed: u64,
        draw: impl Fn(&ParamSpec, [u32; 2], &mut [f32]) -> Result<(), Error>,
    ) -> Result<StateStore, Error> {
        let key = fold_in(key_of(seed), INIT);
        let mut store = StateStore::new();
        // What is added up over parts of a batch stands there too once a run begins.
        let accumulated = self.accumulators().into_iter().map(|(_, ty)| ty.len());
        store.reserve(self.state_types().values().map(TensorType::len).chain(accumulated))?;
        for side in [Side::Generator, Side::Discriminator] {
            let params = self.params(side);
            for spec in params.iter() {
                draw(spec, key, store.insert_zeros(&spec.name, spec.ty.clone())?)?;
            }
            for slot in self.extra_state(side, &params) {
                match &slot.first {
                    // Pages that are zero already are left to the first step, which writes them on all threads.
                    FirstValue::Fill(0.0) => drop(store.insert_zeros(&slot.name, slot.ty)?),
                    FirstValue::Fill(value) => store.insert_zeros(&slot.name, slot.ty)?.fill(*value as f32),
                    FirstValue::CopyOf(name) => store.insert_copy(&slot.name, slot.ty, name)?,
                }
            }
        }
        Ok(store)
    }

    /// Names and types of the slots in which gradients are added up; none where a batch is taken whole.
    pub fn accumulators(&self) -> Vec<(String, TensorType)> {
        if self.recipe.train.accumulate == 1 {
            return Vec::new();
        }
        let of = |side| {
            let params = self.params(side);
            let trained = params.trainable().filter(|p| self.learns(&p.name));
            trained.map(|p| (format!("{ACCUMULATED}{}", p.name), p.ty.clone())).collect::<Vec<_>>()
        };
        [Side::Discriminator, Side::Generator].into_iter().flat_map(of).collect()
    }
}
