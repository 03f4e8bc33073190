//! Memory of matrices goes back to the system when it is freed. What limits the size of a segment is the sum of what
//! lives at a time, and allocators that keep large pieces for the next one make it the sum of what has lived. Nor is it
//! asked for in huge pages: those are cleared whole for the little of them that is used, which costs a short proof more
//! than the faults of small ones.

/// Sizes from which an object is memory of its own, in KiB.
#[cfg(feature = "mimalloc")]
const LARGE: std::ffi::c_long = 8 << 10;

/// `mi_option_arena_max_object_size` in `mimalloc.h` (version 3.3): the binding has no name for it.
#[cfg(feature = "mimalloc")]
const ARENA_MAX_OBJECT_SIZE: libmimalloc_sys::mi_option_t = 45;

/// `mi_option_allow_thp` there. Set while the process runs it is about what the allocator asks for itself, and nobody
/// else's memory.
#[cfg(feature = "mimalloc")]
const ALLOW_THP: libmimalloc_sys::mi_option_t = 43;

/// Makes every large object memory of its own, which is unmapped when it is freed, and pages small.
pub fn keep_nothing_large() {
    // SAFETY: options of the allocator, which any thread may set at any time.
    #[cfg(feature = "mimalloc")]
    unsafe {
        libmimalloc_sys::mi_option_set(ARENA_MAX_OBJECT_SIZE, LARGE);
        libmimalloc_sys::mi_option_set(ALLOW_THP, 0);
    }
}

/// Gives back what Python has freed: its allocator is that of the C library.
pub fn trim_heap() {
    // SAFETY: it takes the locks that it needs.
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    unsafe {
        libc::malloc_trim(0);
    }
}

#[cfg(all(test, target_os = "linux", feature = "mimalloc"))]
mod tests {
    use super::*;

    /// Resident memory of the process, bytes.
    fn resident() -> usize {
        let statm = std::fs::read_to_string("/proc/self/statm").expect("the system's account");
        let pages = statm.split_whitespace().nth(1).expect("a second field");
        pages.parse::<usize>().expect("a number") * 4096
    }

    #[test]
    fn a_large_object_is_gone_when_it_is_freed() {
        const SIZE: usize = 256 << 20;
        keep_nothing_large();
        let before = resident();
        let object = std::hint::black_box(vec![1u8; SIZE]);
        assert!(resident() >= before + SIZE / 2);
        drop(object);
        assert!(resident() < before + SIZE / 2);
    }
}
