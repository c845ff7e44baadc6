//! Plans by table id, each at the place that the low bits of its id tell.

use std::sync::Arc;

use super::Kept;

const SLOTS_MIN: usize = 64;

/// Of two tables in use whose ids are equal modulo this, each takes the other's place.
const SLOTS_MAX: usize = 8192;

#[derive(Debug, Default)]
pub(super) struct Cache {
    /// None, or a power of two.
    slots: Vec<Option<Arc<Kept>>>,
}

impl Cache {
    #[inline]
    pub(super) fn get(&self, table_id: u64) -> Option<&Arc<Kept>> {
        let slot = self.slots.get(self.index(table_id))?;
        slot.as_ref().filter(|kept| kept.table_id == table_id)
    }

    pub(super) fn insert(&mut self, kept: Arc<Kept>) {
        let is_other = |slot: &Option<Arc<Kept>>| {
            slot.as_ref().is_some_and(|other| other.table_id != kept.table_id)
        };
        while self.slots.len() < SLOTS_MAX
            && self.slots.get(self.index(kept.table_id)).is_none_or(is_other)
        {
            self.grow();
        }
        let index = self.index(kept.table_id);
        if let Some(slot) = self.slots.get_mut(index) {
            *slot = Some(kept);
        }
    }

    pub(super) fn clear(&mut self) {
        self.slots.clear();
    }

    #[inline]
    fn index(&self, table_id: u64) -> usize {
        let mask = self.slots.len().wrapping_sub(1);
        usize::try_from(table_id & 0xffff_ffff).unwrap_or_default() & mask
    }

    fn grow(&mut self) {
        let len = (2 * self.slots.len()).max(SLOTS_MIN);
        let old = std::mem::take(&mut self.slots);
        self.slots.resize_with(len, || None);
        for kept in old.into_iter().flatten() {
            let index = self.index(kept.table_id);
            if let Some(slot) = self.slots.get_mut(index) {
                *slot = Some(kept);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decoder::tables::TableAtHand;

    fn kept(table_id: u64) -> Arc<Kept> {
        Arc::new(Kept { table_id, body: Box::default(), at_hand: TableAtHand::Skip })
    }

    #[test]
    fn what_was_put_in_is_found_and_the_size_is_bounded() {
        let mut cache = Cache::default();
        assert!(cache.get(0).is_none());
        for id in (0..10_000).chain([1 << 40]) {
            cache.insert(kept(id));
            assert!(cache.get(id).is_some(), "{id}");
        }
        assert_eq!(cache.slots.len(), SLOTS_MAX);
        assert!(cache.get(5_000).is_some() && cache.get(9_999).is_some());
        assert!(cache.get(1_000).is_none(), "9192 took its place");
        assert!(cache.get(1).is_none() && cache.get(0).is_none());
        cache.clear();
        assert!(cache.get(9_999).is_none());
        cache.insert(kept(64));
        cache.insert(kept(0));
        assert!(cache.get(64).is_some() && cache.get(0).is_some());
        assert_eq!(cache.slots.len(), 128);
    }
}
