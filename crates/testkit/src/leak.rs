//! What a process holds, to be compared before and after: memory to the byte, threads, descriptors,
//! sockets.
#![expect(unsafe_code, reason = "an allocator cannot be written without")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::collections::HashSet;
use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The system's allocator, which counts the bytes that are given out. Set it up as
///
/// ```
/// #[global_allocator]
/// static ALLOCATED: towpath_testkit::CountingAllocator = towpath_testkit::CountingAllocator::new();
/// assert!(ALLOCATED.bytes() > 0);
/// ```
#[derive(Debug, Default)]
pub struct CountingAllocator {
    bytes: AtomicUsize,
}

impl CountingAllocator {
    /// Nothing is given out yet.
    #[must_use]
    pub const fn new() -> Self {
        Self { bytes: AtomicUsize::new(0) }
    }

    /// Bytes that are given out, as they were asked for.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }

    fn given<T>(&self, memory: *mut T, len: usize) -> *mut T {
        if !memory.is_null() {
            self.bytes.fetch_add(len, Ordering::Relaxed);
        }
        memory
    }
}

// SAFETY: every call goes to the system's allocator as it came.
unsafe impl GlobalAlloc for CountingAllocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as the caller promises.
        self.given(unsafe { System.alloc(layout) }, layout.size())
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as the caller promises.
        self.given(unsafe { System.alloc_zeroed(layout) }, layout.size())
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, len: usize) -> *mut u8 {
        // SAFETY: as the caller promises.
        let moved = self.given(unsafe { System.realloc(memory, layout, len) }, len);
        if !moved.is_null() {
            self.bytes.fetch_sub(layout.size(), Ordering::Relaxed);
        }
        moved
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        // SAFETY: as the caller promises.
        unsafe { System.dealloc(memory, layout) };
        self.bytes.fetch_sub(layout.size(), Ordering::Relaxed);
    }
}

/// What a process holds, as its system counts it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Footprint {
    /// Memory that is resident.
    pub resident_bytes: u64,
    /// Its threads.
    pub threads: u64,
    /// Open descriptors of every kind.
    pub descriptors: usize,
    /// Sockets among them.
    pub sockets: usize,
    /// Local ports of its TCP connections, sorted.
    pub ports: Vec<u16>,
}

impl Footprint {
    /// That of this process.
    ///
    /// # Panics
    /// Where there is no `/proc`.
    #[must_use]
    pub fn own() -> Self {
        Self::of(std::process::id())
    }

    /// That of another process of this user.
    ///
    /// # Panics
    /// When there is none.
    #[must_use]
    pub fn of(process: u32) -> Self {
        let folder = PathBuf::from(format!("/proc/{process}"));
        let read = |file: &str| match fs::read_to_string(folder.join(file)) {
            Ok(text) => text,
            Err(error) => panic!("{}: {error}", folder.join(file).display()),
        };
        let status = read("status");
        let figure = |name: &str| -> u64 {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            let word = line.and_then(|rest| rest.split_whitespace().next());
            word.and_then(|word| word.parse().ok()).unwrap_or_default()
        };
        let descriptors: Vec<PathBuf> = match fs::read_dir(folder.join("fd")) {
            Ok(entries) => entries
                .filter_map(|entry| fs::read_link(entry.ok()?.path()).ok())
                // The folder that is being read.
                .filter(|target| !target.starts_with("/proc"))
                .collect(),
            Err(error) => panic!("{}/fd: {error}", folder.display()),
        };
        let inodes: HashSet<&str> = descriptors
            .iter()
            .filter_map(|target| target.to_str()?.strip_prefix("socket:[")?.strip_suffix(']'))
            .collect();
        let mut ports: Vec<u16> = [read("net/tcp"), read("net/tcp6")]
            .iter()
            .flat_map(|table| table.lines().skip(1))
            .filter_map(|line| {
                let words: Vec<&str> = line.split_whitespace().collect();
                let (address, inode) = (words.get(1)?, words.get(9)?);
                let port = address.rsplit_once(':')?.1;
                inodes.contains(inode).then(|| u16::from_str_radix(port, 16).ok())?
            })
            .collect();
        ports.sort_unstable();
        Self {
            resident_bytes: figure("VmRSS:") * 1024,
            threads: figure("Threads:"),
            sockets: inodes.len(),
            descriptors: descriptors.len(),
            ports,
        }
    }
}
