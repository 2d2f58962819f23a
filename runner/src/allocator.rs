//! What the allocator of the C library keeps of memory that was given back.

/// As many arenas as processors, from two to eight, and no large pieces in them: by itself glibc has eight for each processor, and lets pieces of up to 32 MiB
/// into them once such pieces were given back. A daemon whose codecs are swapped under transfers keeps 85 instead of 114 MB so. What
/// `MALLOC_ARENA_MAX` or `MALLOC_MMAP_THRESHOLD_` say comes first (mallopt(3)), what `GLIBC_TUNABLES` says does not. Call it before there is another thread.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
pub fn tune() {
    let arenas = std::thread::available_parallelism().map_or(2, |count| count.get().clamp(2, 8)) as libc::c_int;
    for (name, parameter, value) in
        [("MALLOC_ARENA_MAX", libc::M_ARENA_MAX, arenas), ("MALLOC_MMAP_THRESHOLD_", libc::M_MMAP_THRESHOLD, LARGE)]
    {
        if std::env::var_os(name).is_none() {
            #[expect(unsafe_code, reason = "mallopt(3) has no safe form; it takes numbers and there is one thread")]
            // SAFETY: no pointer is passed, and no other thread is there that could be in the allocator.
            let _taken = unsafe { libc::mallopt(parameter, value) };
        }
    }
}

/// The other allocators have no such habits.
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
pub const fn tune() {}

/// Bytes from which on a piece is mapped alone and given back at once.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
const LARGE: libc::c_int = 128 << 10;
