//! Test memory that faults when a kernel touches the word behind it.

use std::ops::{Deref, DerefMut};

/// Words that end where an inaccessible page begins (on Linux; elsewhere a plain vector).
pub(crate) struct Guarded {
    #[cfg(target_os = "linux")]
    map: (*mut libc::c_void, usize),
    #[cfg(target_os = "linux")]
    start: *mut f32,
    #[cfg(target_os = "linux")]
    words: usize,
    #[cfg(not(target_os = "linux"))]
    memory: Vec<f32>,
}

#[cfg(target_os = "linux")]
impl Guarded {
    /// A copy of `words`.
    pub(crate) fn new(words: &[f32]) -> Self {
        // A multiple of the page size of every supported target (4, 16 or 64 KiB).
        const PAGE: usize = 64 << 10;
        let room = (size_of_val(words)).next_multiple_of(PAGE);
        let (prot, flags) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
        // SAFETY: a new mapping of room + PAGE bytes, whose last PAGE is made inaccessible; the words are copied
        // to the end of the accessible part, which is aligned to 4 bytes as room and their size are.
        unsafe {
            let map = libc::mmap(std::ptr::null_mut(), room + PAGE, prot, flags, -1, 0);
            assert_ne!(map, libc::MAP_FAILED);
            assert_eq!(libc::mprotect(map.cast::<u8>().add(room).cast(), PAGE, libc::PROT_NONE), 0);
            let start = map.cast::<u8>().add(room - size_of_val(words)).cast::<f32>();
            std::ptr::copy_nonoverlapping(words.as_ptr(), start, words.len());
            Self { map: (map, room + PAGE), start, words: words.len() }
        }
    }
}

#[cfg(target_os = "linux")]
impl Drop for Guarded {
    fn drop(&mut self) {
        // SAFETY: mapped in `new` with this length.
        unsafe { libc::munmap(self.map.0, self.map.1) };
    }
}

#[cfg(target_os = "linux")]
impl Deref for Guarded {
    type Target = [f32];
    fn deref(&self) -> &[f32] {
        // SAFETY: initialised in `new`, borrowed as self is.
        unsafe { std::slice::from_raw_parts(self.start, self.words) }
    }
}

#[cfg(target_os = "linux")]
impl DerefMut for Guarded {
    fn deref_mut(&mut self) -> &mut [f32] {
        // SAFETY: initialised in `new`, borrowed as self is.
        unsafe { std::slice::from_raw_parts_mut(self.start, self.words) }
    }
}

#[cfg(not(target_os = "linux"))]
impl Guarded {
    /// A copy of `words`.
    pub(crate) fn new(words: &[f32]) -> Self {
        Self { memory: words.to_vec() }
    }
}

#[cfg(not(target_os = "linux"))]
impl Deref for Guarded {
    type Target = [f32];
    fn deref(&self) -> &[f32] {
        &self.memory
    }
}

#[cfg(not(target_os = "linux"))]
impl DerefMut for Guarded {
    fn deref_mut(&mut self) -> &mut [f32] {
        &mut self.memory
    }
}
