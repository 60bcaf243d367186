//! Buffers laid out by lifetime: two that never live at once share memory.

use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap};

use rayon::prelude::*;

/// A buffer of a plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct BufferId(usize);

/// Collects what a plan needs, when, and how large.
#[derive(Debug, Default)]
pub(crate) struct Layout {
    lives: Vec<Life>,
}

#[derive(Clone, Copy, Debug)]
struct Life {
    from: usize,
    to: usize,
    len: usize,
}

impl Layout {
    /// A buffer of `len` values, alive from time `at`.
    pub fn add(&mut self, len: usize, at: usize) -> BufferId {
        self.lives.push(Life { from: at, to: at, len });
        BufferId(self.lives.len() - 1)
    }

    /// Keeps a buffer alive up to and including time `at`.
    pub fn keep(&mut self, buffer: BufferId, at: usize) {
        let life = &mut self.lives[buffer.0];
        life.to = life.to.max(at);
        life.from = life.from.min(at);
    }

    /// Gives every buffer a slot: the smallest free one that fits, else the largest free one, enlarged.
    pub fn assign(&self) -> Slots {
        let mut order: Vec<usize> = (0..self.lives.len()).collect();
        order.sort_by_key(|&b| (self.lives[b].from, b));
        let mut slot_of = vec![0; self.lives.len()];
        let mut sizes: Vec<usize> = Vec::new();
        // Slots in use by the end of it, and free ones by size, the first of equals first.
        let mut busy = BinaryHeap::new();
        let mut free = BTreeSet::new();
        for b in order {
            let Life { from, to, len } = self.lives[b];
            while let Some(&Reverse((_, slot))) = busy.peek().filter(|Reverse((until, _))| *until < from) {
                busy.pop();
                free.insert((sizes[slot], slot));
            }
            let largest = free.last().map_or(0, |&(size, _)| size);
            let best = free.range((len.min(largest), 0)..).next().copied();
            let slot = match best {
                Some(found) => {
                    free.remove(&found);
                    found.1
                }
                None => {
                    sizes.push(0);
                    sizes.len() - 1
                }
            };
            sizes[slot] = sizes[slot].max(len);
            busy.push(Reverse((to, slot)));
            slot_of[b] = slot;
        }
        let buffers = slot_of.into_iter().zip(&self.lives).map(|(slot, life)| (slot, life.len)).collect();
        Slots { buffers, sizes }
    }
}

/// Which slot holds which buffer.
#[derive(Clone, Debug, Default)]
pub(crate) struct Slots {
    buffers: Vec<(usize, usize)>,
    sizes: Vec<usize>,
}

impl Slots {
    /// Values in all slots together.
    pub fn total(&self) -> usize {
        self.sizes.iter().copied().fold(0, usize::saturating_add)
    }

    /// The same buffers, each with a slot of its own.
    #[cfg(test)]
    pub fn apart(&self) -> Slots {
        let sizes: Vec<usize> = self.buffers.iter().map(|b| b.1).collect();
        Slots { buffers: sizes.iter().copied().enumerate().collect(), sizes }
    }
}

/// The memory of a plan, allocated once.
#[derive(Debug)]
pub(crate) struct Memory {
    slots: Slots,
    data: Vec<Vec<f32>>,
}

impl Memory {
    /// Allocates every slot.
    pub fn new(slots: &Slots) -> Self {
        Memory { data: slots.sizes.iter().map(|&n| vec![0.0; n]).collect(), slots: slots.clone() }
    }

    /// Takes the values of memory of the same layout.
    pub fn copy_from(&mut self, other: &Memory) {
        self.data.par_iter_mut().zip(&other.data).for_each(|(to, from)| to.copy_from_slice(from));
    }

    /// The values of a buffer.
    pub fn get(&self, buffer: BufferId) -> &[f32] {
        let (slot, len) = self.slots.buffers[buffer.0];
        &self.data[slot][..len]
    }

    /// Takes the memory of a buffer out, to write it while others are read; [`Memory::put`] gives it back.
    pub fn take(&mut self, buffer: BufferId) -> Taken {
        let (slot, len) = self.slots.buffers[buffer.0];
        Taken { data: std::mem::take(&mut self.data[slot]), slot, len }
    }

    /// Overwrites everything.
    #[cfg(test)]
    pub fn fill(&mut self, value: f32) {
        self.data.iter_mut().for_each(|slot| slot.fill(value));
    }

    /// Gives taken memory back.
    pub fn put(&mut self, taken: Taken) {
        self.data[taken.slot] = taken.data;
    }
}

/// A buffer taken out of its memory.
#[derive(Debug)]
pub(crate) struct Taken {
    data: Vec<f32>,
    slot: usize,
    len: usize,
}

impl std::ops::Deref for Taken {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        &self.data[..self.len]
    }
}

impl std::ops::DerefMut for Taken {
    fn deref_mut(&mut self) -> &mut [f32] {
        &mut self.data[..self.len]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_that_live_together_have_memory_of_their_own() {
        let mut layout = Layout::default();
        let ids: Vec<BufferId> = (0..40).map(|i| layout.add(1 + i * 7 % 13, i)).collect();
        for (i, &id) in ids.iter().enumerate() {
            layout.keep(id, i + i % 5);
        }
        let slots = layout.assign();
        for a in 0..ids.len() {
            for b in 0..a {
                let overlap = layout.lives[a].from <= layout.lives[b].to && layout.lives[b].from <= layout.lives[a].to;
                assert!(!overlap || slots.buffers[a].0 != slots.buffers[b].0, "{a} and {b}");
            }
            assert!(slots.sizes[slots.buffers[a].0] >= slots.buffers[a].1);
        }
        assert!(slots.total() < layout.lives.iter().map(|l| l.len).sum());
    }
}
