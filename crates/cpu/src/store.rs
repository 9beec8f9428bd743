//! Named state: parameters, moments, running statistics, keys.

use crate::error::CpuError;
use ganymede_graph::{DType, TensorType};
use ganymede_kernels::buffer::{ALIGN, Buffer};
use ganymede_kernels::kernel::WORD;
use std::collections::HashMap;
use std::ops::Range;

/// Words between the starts of slots: one cache line.
const SLOT_ALIGN: usize = ALIGN / WORD;

#[derive(Clone, Debug)]
struct Slot {
    name: String,
    ty: TensorType,
    offset: usize,
    words: usize,
}

impl Slot {
    /// Its words in the memory.
    fn range(&self) -> Range<usize> {
        self.offset..self.offset + self.words
    }
}

/// Named slots in order of insertion, each a tensor type with its words.
///
/// All slots lie in one memory, which only grows: a slot keeps its place, so a compiled phase that knows it stays
/// valid when others are added. f32 and bf16 slots hold f32 words, i32 and u32 their bits, bool the words 0 and 1.
#[derive(Debug, Default)]
pub struct StateStore {
    slots: Vec<Slot>,
    index: HashMap<String, usize>,
    memory: Buffer,
    used: usize,
}

impl StateStore {
    /// An empty store.
    pub fn new() -> StateStore {
        StateStore::default()
    }

    /// Adds a float slot.
    ///
    /// # Errors
    /// The name is taken, the type holds no floats, the number of values differs, or memory is short.
    pub fn insert(&mut self, name: &str, ty: TensorType, values: &[f32]) -> Result<(), CpuError> {
        if !ty.dtype.is_float() {
            return Err(wrong(name, "a float type".into(), ty.to_string()));
        }
        let slot = self.add(name, ty, values.len())?;
        self.memory.as_f32_mut()[slot.range()].copy_from_slice(values);
        Ok(())
    }

    /// Adds a float slot of zeros and lends it to be written. What is not written takes no physical memory yet if the
    /// store is large.
    ///
    /// # Errors
    /// The name is taken, the type holds no floats, or memory is short.
    pub fn insert_zeros(&mut self, name: &str, ty: TensorType) -> Result<&mut [f32], CpuError> {
        if !ty.dtype.is_float() {
            return Err(wrong(name, "a float type".into(), ty.to_string()));
        }
        let words = ty.len();
        let slot = self.add(name, ty, words)?;
        Ok(&mut self.memory.as_f32_mut()[slot.range()])
    }

    /// Adds a slot with the words of slot `from`.
    ///
    /// # Errors
    /// There is no slot `from`, the name is taken, the number of words differs, or memory is short.
    pub fn insert_copy(&mut self, name: &str, ty: TensorType, from: &str) -> Result<(), CpuError> {
        let Some(from) = self.slot(from).map(Slot::range) else { return Err(self.unknown(from)) };
        let slot = self.add(name, ty, from.len())?;
        self.memory.as_u32_mut().copy_within(from, slot.offset);
        Ok(())
    }

    /// Makes room for more slots of these lengths in words, so that adding them moves nothing.
    ///
    /// # Errors
    /// Memory is short.
    pub fn reserve(&mut self, lengths: impl IntoIterator<Item = usize>) -> Result<(), CpuError> {
        let more: usize = lengths.into_iter().map(|words| words.next_multiple_of(SLOT_ALIGN)).sum();
        let words = self.used + more;
        if words > self.memory.len() {
            let grown = Buffer::try_zeroed(words)
                .map_err(|source| CpuError::Memory { what: "the state".into(), source })?;
            self.move_to(grown);
        }
        Ok(())
    }

    /// Adds a slot of any type from its words.
    ///
    /// # Errors
    /// The name is taken, the number of words differs, or memory is short.
    pub fn insert_words(&mut self, name: &str, ty: TensorType, words: &[u32]) -> Result<(), CpuError> {
        let slot = self.add(name, ty, words.len())?;
        self.memory.as_u32_mut()[slot.range()].copy_from_slice(words);
        Ok(())
    }

    fn add(&mut self, name: &str, ty: TensorType, got: usize) -> Result<Slot, CpuError> {
        if let Some(existing) = self.ty(name) {
            return Err(CpuError::Duplicate { name: name.to_string(), existing: existing.clone() });
        }
        if ty.len() != got {
            return Err(wrong(name, format!("{} words of {ty}", ty.len()), format!("{got} words")));
        }
        let offset = self.used;
        let used = offset + got.next_multiple_of(SLOT_ALIGN);
        if used > self.memory.len() {
            // Doubling keeps insertion linear; large buffers take physical memory only where they are touched.
            let grown = Buffer::try_zeroed(used.next_power_of_two())
                .or_else(|_| Buffer::try_zeroed(used))
                .map_err(|source| CpuError::Memory { what: format!("state slot `{name}`"), source })?;
            self.move_to(grown);
        }
        self.used = used;
        let slot = Slot { name: name.to_string(), ty, offset, words: got };
        self.index.insert(name.to_string(), self.slots.len());
        self.slots.push(slot.clone());
        Ok(slot)
    }

    fn move_to(&mut self, grown: Buffer) {
        let old = std::mem::replace(&mut self.memory, grown);
        self.memory.as_u32_mut()[..self.used].copy_from_slice(&old.as_u32()[..self.used]);
    }

    fn unknown(&self, name: &str) -> CpuError {
        CpuError::Unknown {
            what: "state slot",
            name: name.to_string(),
            place: "the state store".into(),
            known: self.names().map(str::to_string).collect(),
        }
    }

    fn slot(&self, name: &str) -> Option<&Slot> {
        self.index.get(name).map(|&i| &self.slots[i])
    }

    /// Whether there is a slot of this name.
    pub fn contains(&self, name: &str) -> bool {
        self.index.contains_key(name)
    }

    /// The names, in order of insertion.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.slots.iter().map(|s| s.name.as_str())
    }

    /// Type of a slot.
    pub fn ty(&self, name: &str) -> Option<&TensorType> {
        self.slot(name).map(|s| &s.ty)
    }

    /// Values of a float slot; `None` if there is none of this name, or it holds no floats.
    pub fn f32s(&self, name: &str) -> Option<&[f32]> {
        let slot = self.slot(name).filter(|s| s.ty.dtype.is_float())?;
        Some(&self.memory.as_f32()[slot.range()])
    }

    /// Words of a slot of any type.
    pub fn words(&self, name: &str) -> Option<&[u32]> {
        let slot = self.slot(name)?;
        Some(&self.memory.as_u32()[slot.range()])
    }

    /// Replaces the words of a slot.
    ///
    /// # Errors
    /// There is no such slot, or the number of words differs.
    pub fn set_words(&mut self, name: &str, words: &[u32]) -> Result<(), CpuError> {
        let Some(slot) = self.slot(name).cloned() else { return Err(self.unknown(name)) };
        if slot.words != words.len() {
            let expected = format!("{} words of {}", slot.words, slot.ty);
            return Err(wrong(name, expected, format!("{} words", words.len())));
        }
        if slot.ty.dtype == DType::Bool && words.iter().any(|&w| w > 1) {
            return Err(wrong(name, "words 0 and 1".into(), "another word".into()));
        }
        self.memory.as_u32_mut()[slot.range()].copy_from_slice(words);
        Ok(())
    }

    /// Bytes of all tensors.
    pub fn total_bytes(&self) -> usize {
        self.slots.iter().map(|s| s.words * WORD).sum()
    }

    /// Number of slots.
    pub fn len(&self) -> usize {
        self.slots.len()
    }

    /// Whether there are no slots.
    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// First word of a slot in the memory.
    pub(crate) fn offset(&self, name: &str) -> Option<usize> {
        self.slot(name).map(|s| s.offset)
    }

    /// Words in use, slots and the gaps between them.
    pub(crate) fn used(&self) -> usize {
        self.used
    }

    /// The whole memory in use.
    pub(crate) fn memory_mut(&mut self) -> &mut [f32] {
        &mut self.memory.as_f32_mut()[..self.used]
    }
}

fn wrong(name: &str, expected: String, got: String) -> CpuError {
    CpuError::Type { what: "state slot", name: name.to_string(), expected, got }
}
