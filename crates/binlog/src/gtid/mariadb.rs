//! MariaDB's GTID state: the last transaction of each replication domain.

use std::collections::BTreeMap;
use std::fmt;

use super::GtidError;

/// One `domain-server-sequence` for each domain.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct MariadbGtidSet {
    domains: BTreeMap<u32, (u32, u64)>,
}

impl MariadbGtidSet {
    /// Reads `0-1-100,1-2-7`; an empty text is the empty set.
    ///
    /// # Errors
    /// [`GtidError::Text`] names the part that is no GTID.
    pub fn parse(text: &str) -> Result<Self, GtidError> {
        let mut set = Self::default();
        for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
            let mut numbers = part.splitn(3, '-');
            let mut next = || numbers.next();
            let (Some(domain), Some(server), Some(sequence)) = (next(), next(), next()) else {
                return Err(GtidError::text(part, "domain-server-sequence"));
            };
            let (Ok(domain), Ok(server), Ok(sequence)) =
                (domain.parse(), server.parse(), sequence.parse())
            else {
                return Err(GtidError::text(part, "domain-server-sequence"));
            };
            set.update(domain, server, sequence);
        }
        Ok(set)
    }

    /// Sets the last transaction of a domain.
    pub fn update(&mut self, domain: u32, server: u32, sequence: u64) {
        self.domains.insert(domain, (server, sequence));
    }

    /// Whether each domain has come at least as far as in `other`.
    #[must_use]
    pub fn contains(&self, other: &Self) -> bool {
        other.domains.iter().all(|(domain, (_, sequence))| {
            self.domains.get(domain).is_some_and(|(_, reached)| reached >= sequence)
        })
    }

    /// True when no domain is known.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.domains.is_empty()
    }

    /// Domain, server and sequence, by domain.
    pub fn iter(&self) -> impl Iterator<Item = (u32, u32, u64)> {
        self.domains.iter().map(|(&domain, &(server, sequence))| (domain, server, sequence))
    }
}

impl fmt::Display for MariadbGtidSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, (domain, server, sequence)) in self.iter().enumerate() {
            let comma = if i == 0 { "" } else { "," };
            write!(f, "{comma}{domain}-{server}-{sequence}")?;
        }
        Ok(())
    }
}
