//! Slots for connections: small indices, and generations so that an old id never reaches a new connection.

use crate::base::ConnId;

/// Values by [`ConnId`].
#[derive(Debug)]
pub(crate) struct Slab<T> {
    slots: Vec<Slot<T>>,
    free: Vec<u32>,
    len: usize,
}

#[derive(Debug)]
struct Slot<T> {
    generation: u32,
    value: Option<T>,
}

impl<T> Default for Slab<T> {
    fn default() -> Self {
        Self { slots: Vec::new(), free: Vec::new(), len: 0 }
    }
}

impl<T> Slab<T> {
    pub(crate) fn insert(&mut self, value: T) -> ConnId {
        self.len += 1;
        if let Some(slot) = self.free.pop() {
            let place = &mut self.slots[slot as usize];
            place.value = Some(value);
            return ConnId { slot, generation: place.generation };
        }
        let slot = u32::try_from(self.slots.len())
            .expect("fewer connections than file descriptors, fewer of those than 2^32");
        self.slots.push(Slot { generation: 0, value: Some(value) });
        ConnId { slot, generation: 0 }
    }

    pub(crate) fn get(&self, id: ConnId) -> Option<&T> {
        self.slots.get(id.slot as usize).filter(|slot| slot.generation == id.generation)?.value.as_ref()
    }

    pub(crate) fn get_mut(&mut self, id: ConnId) -> Option<&mut T> {
        self.slots.get_mut(id.slot as usize).filter(|slot| slot.generation == id.generation)?.value.as_mut()
    }

    pub(crate) fn remove(&mut self, id: ConnId) -> Option<T> {
        let slot = self.slots.get_mut(id.slot as usize).filter(|slot| slot.generation == id.generation)?;
        let value = slot.value.take()?;
        slot.generation = slot.generation.wrapping_add(1);
        self.free.push(id.slot);
        self.len -= 1;
        Some(value)
    }

    /// The id of a slot's present value.
    pub(crate) fn id_at(&self, slot: usize) -> Option<ConnId> {
        let place = self.slots.get(slot)?;
        place.value.as_ref().map(|_| ConnId { slot: slot as u32, generation: place.generation })
    }

    pub(crate) fn ids(&self) -> impl Iterator<Item = ConnId> + '_ {
        (0..self.slots.len()).filter_map(|slot| self.id_at(slot))
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_old_id_finds_nothing_in_a_used_slot() {
        let mut slab = Slab::default();
        let first = slab.insert('a');
        assert_eq!(slab.remove(first), Some('a'));
        let second = slab.insert('b');
        assert_eq!(first.slot, second.slot);
        assert_eq!(slab.get(first), None);
        assert_eq!(slab.remove(first), None);
        assert_eq!(slab.get(second), Some(&'b'));
        assert_eq!(slab.ids().collect::<Vec<_>>(), [second]);
        assert_eq!(slab.len(), 1);
    }
}
