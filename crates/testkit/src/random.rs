//! What decides everything that is random in a test, and the settings that it takes.

/// Random numbers that come again with their seed (SplitMix64).
#[derive(Debug)]
pub struct Random(u64);

impl Random {
    /// The numbers of a seed.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Any number.
    pub const fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    }

    /// From 0 on, below `end`.
    ///
    /// # Panics
    /// When `end` is 0.
    pub const fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    /// From 0 on, below `end`; 0 below 0, too.
    pub fn index(&mut self, end: usize) -> usize {
        usize::try_from(self.below(u64::try_from(end.max(1)).unwrap_or(u64::MAX))).unwrap_or(0)
    }

    /// With a chance of one in `n`.
    pub const fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }

    /// One of several.
    ///
    /// # Panics
    /// When there are none.
    pub fn pick<T: Clone>(&mut self, of: &[T]) -> T {
        match of.get(self.index(of.len())) {
            Some(one) => one.clone(),
            None => panic!("one of none is asked for"),
        }
    }
}

/// A setting of a test, as a number: an environment variable.
///
/// # Panics
/// When the variable is not a number.
#[must_use]
pub fn setting(name: &str) -> Option<u64> {
    let text = std::env::var_os(name)?;
    match text.to_str().map(str::parse) {
        Some(Ok(number)) => Some(number),
        _ => panic!("{name}={} is not a number", text.display()),
    }
}
