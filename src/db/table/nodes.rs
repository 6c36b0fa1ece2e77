//! The overflow nodes of a table: what does not fit into its buckets.

/// Slots of an overflow node: most overflowing buckets miss one to four.
pub(super) const NODE_SLOTS: usize = 4;
/// Nodes that are allocated at once.
const CHUNK_NODES: usize = 128;

/// Slots that did not fit into a bucket, in use from the first on.
#[derive(Clone, Copy)]
pub(super) struct Node {
    pub(super) handles: [u32; NODE_SLOTS],
    /// 0 is an unused slot.
    pub(super) tags: [u8; NODE_SLOTS],
    /// The next node of the bucket (or free node), numbered from 1; 0 is none.
    pub(super) next: u32,
}

impl Node {
    pub(super) const EMPTY: Self = Self { handles: [0; NODE_SLOTS], tags: [0; NODE_SLOTS], next: 0 };

    pub(super) fn used(&self) -> usize {
        self.tags.iter().position(|tag| *tag == 0).unwrap_or(NODE_SLOTS)
    }
}

/// The overflow nodes of a table, numbered from 1, in chunks so that growth copies nothing.
pub(super) struct Nodes {
    chunks: Vec<Box<[Node]>>,
    free: u32,
    /// Nodes ever in use.
    fresh: u32,
    len: u32,
}

impl Nodes {
    pub(super) const fn new() -> Self {
        Self { chunks: Vec::new(), free: 0, fresh: 0, len: 0 }
    }

    pub(super) fn bytes(&self) -> usize {
        self.chunks.len() * size_of::<[Node; CHUNK_NODES]>()
    }

    #[inline]
    pub(super) fn get(&self, number: u32) -> &Node {
        let index = number as usize - 1;
        &self.chunks[index / CHUNK_NODES][index % CHUNK_NODES]
    }

    pub(super) fn get_mut(&mut self, number: u32) -> &mut Node {
        let index = number as usize - 1;
        &mut self.chunks[index / CHUNK_NODES][index % CHUNK_NODES]
    }

    /// An empty node with this one after it.
    pub(super) fn allocate(&mut self, next: u32) -> u32 {
        self.len += 1;
        let mut number = self.free;
        if number != 0 {
            self.free = self.get(number).next;
        } else {
            if self.fresh as usize == self.chunks.len() * CHUNK_NODES {
                self.chunks.push(vec![Node::EMPTY; CHUNK_NODES].into_boxed_slice());
            }
            self.fresh += 1;
            number = self.fresh;
        }
        *self.get_mut(number) = Node { next, ..Node::EMPTY };
        number
    }

    /// Frees a node and tells which came after it. The last one takes all memory with it.
    pub(super) fn free(&mut self, number: u32) -> u32 {
        let free = self.free;
        let next = std::mem::replace(&mut self.get_mut(number).next, free);
        self.free = number;
        self.len -= 1;
        if self.len == 0 {
            *self = Self::new();
        }
        next
    }
}
