//! Aligned, zeroed memory whose allocation can fail without ending the process.

use crate::kernel::WORD;
use std::alloc::Layout;
use std::ptr::NonNull;

/// Every buffer starts on a cache line, which is also the width of the widest vector.
pub const ALIGN: usize = 64;

/// Transparent huge pages of x86-64 and of most AArch64 kernels.
#[cfg(target_os = "linux")]
const HUGE_PAGE: usize = 2 << 20;

/// From this size on a buffer asks for huge pages: below, rounding up to whole ones would waste up to half.
#[cfg(target_os = "linux")]
const HUGE_FROM: usize = 4 << 20;

/// The system could not give the memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "cannot allocate {words} words ({:.1} MiB): use a smaller batch or network, or free memory",
    *words as f64 * WORD as f64 / (1u64 << 20) as f64
)]
pub struct AllocError {
    /// Requested size in 4-byte words.
    pub words: usize,
}

#[derive(Clone, Copy, Debug)]
enum Origin {
    /// No words, nothing to free.
    Empty,
    /// The global allocator.
    Heap(Layout),
    /// An anonymous mapping of this many bytes.
    #[cfg(target_os = "linux")]
    Mapping(usize),
}

/// 64-byte aligned memory of 4-byte words, zero at first. On Linux a buffer of 4 MiB or more is aligned to
/// 2 MiB, asks for huge pages, and takes physical memory only where it is touched.
#[derive(Debug)]
pub struct Buffer {
    start: NonNull<u32>,
    words: usize,
    origin: Origin,
}

// SAFETY: the buffer owns its memory; the pointer is not shared.
unsafe impl Send for Buffer {}
// SAFETY: `&Buffer` hands out only shared slices.
unsafe impl Sync for Buffer {}

/// Bytes of memory that `words` words take once all are written: whole huge pages where a buffer asks for them.
pub fn held_bytes(words: usize) -> usize {
    let bytes = words.saturating_mul(WORD);
    #[cfg(target_os = "linux")]
    if bytes >= HUGE_FROM {
        return bytes.checked_next_multiple_of(HUGE_PAGE).unwrap_or(bytes);
    }
    bytes
}

impl Buffer {
    /// `words` zero words.
    pub fn try_zeroed(words: usize) -> Result<Self, AllocError> {
        let error = AllocError { words };
        if words == 0 {
            return Ok(Self::default());
        }
        let bytes = words.checked_mul(WORD).ok_or(error)?;
        // Fails where the size rounded up to the alignment exceeds isize::MAX, which slices may not.
        let layout = Layout::from_size_align(bytes, ALIGN).map_err(|_| error)?;
        #[cfg(target_os = "linux")]
        if bytes >= HUGE_FROM {
            let (start, mapped) = map_huge(bytes).ok_or(error)?;
            return Ok(Self { start, words, origin: Origin::Mapping(mapped) });
        }
        // SAFETY: the layout has a size above 0.
        let start = NonNull::new(unsafe { std::alloc::alloc_zeroed(layout) }).ok_or(error)?;
        Ok(Self { start: start.cast(), words, origin: Origin::Heap(layout) })
    }

    /// A copy in memory of its own. (`Clone` is left out: it could only abort where memory is short.)
    pub fn try_clone(&self) -> Result<Self, AllocError> {
        let mut copy = Self::try_zeroed(self.words)?;
        copy.as_u32_mut().copy_from_slice(self.as_u32());
        Ok(copy)
    }

    /// Length in words.
    pub fn len(&self) -> usize {
        self.words
    }

    /// Whether it has no words.
    pub fn is_empty(&self) -> bool {
        self.words == 0
    }

    /// The words as f32 values.
    pub fn as_f32(&self) -> &[f32] {
        // SAFETY: owned, initialised (zeroed) and aligned; every bit pattern is an f32; shared as `&self` is.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr().cast(), self.words) }
    }

    /// The words as f32 values, to be written.
    pub fn as_f32_mut(&mut self) -> &mut [f32] {
        // SAFETY: as in `as_f32`; exclusive as `&mut self` is.
        unsafe { std::slice::from_raw_parts_mut(self.start.as_ptr().cast(), self.words) }
    }

    /// The words as u32 values.
    pub fn as_u32(&self) -> &[u32] {
        // SAFETY: as in `as_f32`.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.words) }
    }

    /// The words as u32 values, to be written.
    pub fn as_u32_mut(&mut self) -> &mut [u32] {
        // SAFETY: as in `as_f32`; exclusive as `&mut self` is.
        unsafe { std::slice::from_raw_parts_mut(self.start.as_ptr(), self.words) }
    }
}

impl Default for Buffer {
    /// A buffer without words.
    fn default() -> Self {
        Self { start: dangling(), words: 0, origin: Origin::Empty }
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        match self.origin {
            Origin::Empty => {}
            // SAFETY: allocated in `try_zeroed` with this layout, freed once.
            Origin::Heap(layout) => unsafe { std::alloc::dealloc(self.start.as_ptr().cast(), layout) },
            #[cfg(target_os = "linux")]
            Origin::Mapping(bytes) => {
                // SAFETY: mapped in `map_huge` with this length, unmapped once.
                unsafe { libc::munmap(self.start.as_ptr().cast(), bytes) };
            }
        }
    }
}

/// An aligned pointer for a buffer without words.
fn dangling() -> NonNull<u32> {
    #[repr(align(64))]
    struct Line;
    const { assert!(align_of::<Line>() == ALIGN) };
    NonNull::<Line>::dangling().cast()
}

/// Maps `bytes` rounded up to whole huge pages, aligned to them; returns the start and the mapped length.
///
/// The allocator would touch every page while clearing it, before `madvise` could ask for huge ones; a fresh
/// mapping is zero already.
#[cfg(target_os = "linux")]
fn map_huge(bytes: usize) -> Option<(NonNull<u32>, usize)> {
    let mapped = bytes.checked_next_multiple_of(HUGE_PAGE)?;
    let reserved = mapped.checked_add(HUGE_PAGE)?;
    // SAFETY: a new anonymous mapping at an address of the system's choice touches no existing memory.
    let base = unsafe {
        libc::mmap(
            std::ptr::null_mut(),
            reserved,
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
            -1,
            0,
        )
    };
    if base == libc::MAP_FAILED {
        return None;
    }
    let head = base.cast::<u8>().align_offset(HUGE_PAGE);
    let tail = reserved - head - mapped;
    // SAFETY: head + mapped + tail = reserved, so the three ranges partition the mapping just made; only the
    // outer two, which nobody has seen, are given back. `madvise` is a hint whose failure costs only speed.
    unsafe {
        let start = base.cast::<u8>().add(head);
        if head > 0 {
            libc::munmap(base, head);
        }
        if tail > 0 {
            libc::munmap(start.add(mapped).cast(), tail);
        }
        libc::madvise(start.cast(), mapped, libc::MADV_HUGEPAGE);
        Some((NonNull::new(start)?.cast(), mapped))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_zero_and_aligned_at_every_size() {
        for words in [0, 1, 15, 1 << 10, (1 << 20) - 1, 1 << 20, (1 << 20) + 1] {
            let mut b = Buffer::try_zeroed(words).unwrap();
            assert_eq!(b.len(), words);
            assert_eq!(b.as_f32().as_ptr() as usize % ALIGN, 0);
            assert!(b.as_u32().iter().all(|&w| w == 0));
            b.as_f32_mut().fill(1.5);
            assert!(b.as_u32().iter().all(|&w| w == 1.5f32.to_bits()));
        }
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn large_ones_start_on_a_huge_page() {
        let b = Buffer::try_zeroed(HUGE_FROM / WORD + 3).unwrap();
        assert_eq!(b.as_f32().as_ptr() as usize % HUGE_PAGE, 0);
    }

    #[test]
    fn failure_is_an_error_that_names_the_size() {
        for words in [usize::MAX, usize::MAX / WORD, isize::MAX as usize / WORD] {
            let error = Buffer::try_zeroed(words).unwrap_err();
            assert_eq!(error, AllocError { words });
            assert!(error.to_string().contains(&format!("{words} words")), "{error}");
        }
    }

    #[test]
    fn a_clone_has_its_own_memory() {
        let mut a = Buffer::try_zeroed(100).unwrap();
        a.as_u32_mut()[7] = 9;
        let b = a.try_clone().unwrap();
        a.as_u32_mut()[7] = 1;
        assert_eq!(b.as_u32()[7], 9);
    }
}
