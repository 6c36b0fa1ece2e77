//! What is too large for a slab page: reference-counted byte strings, found by number. Stored in small chunks, so that
//! growth copies nothing.

use bytes::Bytes;

/// Places of a chunk: one system page of them.
const CHUNK_PLACES: usize = 128;

/// Ends the list of free places.
const NONE: u32 = u32::MAX;

enum Place {
    /// Free, and which place is free after it.
    Free(u32),
    Used(Bytes),
}

/// The large keys and values of a shard.
pub(super) struct Blobs {
    chunks: Vec<Box<[Place]>>,
    free: u32,
    len: usize,
    bytes: usize,
}

impl Blobs {
    pub(super) const fn new() -> Self {
        Self { chunks: Vec::new(), free: NONE, len: 0, bytes: 0 }
    }

    /// Bytes stored.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Memory taken by the places, without what they refer to.
    pub(super) fn place_bytes(&self) -> usize {
        self.chunks.len() * CHUNK_PLACES * size_of::<Place>()
    }

    /// # Panics
    /// When nothing is stored under `index`.
    pub(super) fn get(&self, index: u32) -> &Bytes {
        match &self.chunks[index as usize / CHUNK_PLACES][index as usize % CHUNK_PLACES] {
            Place::Used(blob) => blob,
            Place::Free(_) => panic!("an entry refers to a freed blob"),
        }
    }

    pub(super) fn insert(&mut self, blob: Bytes) -> u32 {
        if self.free == NONE {
            self.add_chunk();
        }
        self.len += 1;
        self.bytes += blob.len();
        let index = self.free;
        let place = self.place_mut(index);
        let Place::Free(next) = *place else { panic!("a free blob is in use") };
        *place = Place::Used(blob);
        self.free = next;
        index
    }

    /// # Panics
    /// When nothing is stored under `index`.
    pub(super) fn replace(&mut self, index: u32, blob: Bytes) -> Bytes {
        self.bytes += blob.len();
        match std::mem::replace(self.place_mut(index), Place::Used(blob)) {
            Place::Used(old) => {
                self.bytes -= old.len();
                old
            }
            Place::Free(_) => panic!("an entry refers to a freed blob"),
        }
    }

    /// # Panics
    /// When nothing is stored under `index`.
    pub(super) fn remove(&mut self, index: u32) -> Bytes {
        let freed = Place::Free(self.free);
        let Place::Used(blob) = std::mem::replace(self.place_mut(index), freed) else {
            panic!("an entry refers to a freed blob")
        };
        self.free = index;
        self.len -= 1;
        self.bytes -= blob.len();
        if self.len == 0 {
            *self = Self::new();
        }
        blob
    }

    fn place_mut(&mut self, index: u32) -> &mut Place {
        &mut self.chunks[index as usize / CHUNK_PLACES][index as usize % CHUNK_PLACES]
    }

    fn add_chunk(&mut self) {
        let start = self.chunks.len() * CHUNK_PLACES;
        let last = u32::try_from(start + CHUNK_PLACES).expect("a shard has fewer than 2^32 entries");
        let mut places: Vec<Place> = (start as u32 + 1..=last).map(Place::Free).collect();
        places[CHUNK_PLACES - 1] = Place::Free(NONE);
        self.chunks.push(places.into_boxed_slice());
        self.free = start as u32;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_reused_and_given_back_with_the_last_blob() {
        let mut blobs = Blobs::new();
        let indexes: Vec<u32> = (0..300_u32).map(|i| blobs.insert(Bytes::from(i.to_string()))).collect();
        let place_bytes = blobs.place_bytes();
        assert_eq!(place_bytes, 3 * CHUNK_PLACES * 32, "a place is as small as its blob");
        for (i, index) in indexes.iter().enumerate().filter(|(i, _)| i % 2 == 0) {
            assert_eq!(blobs.remove(*index), i.to_string());
        }
        let again: Vec<u32> = (0..150_u32).map(|_| blobs.insert(Bytes::from_static(b"again"))).collect();
        assert_eq!(blobs.place_bytes(), place_bytes);
        assert_eq!(blobs.get(indexes[1]), "1");
        assert_eq!(blobs.replace(indexes[1], Bytes::from_static(b"other")), "1");
        assert_eq!(blobs.remove(indexes[1]), "other");
        for index in again.into_iter().chain(indexes.into_iter().skip(3).step_by(2)) {
            blobs.remove(index);
        }
        assert_eq!((blobs.bytes(), blobs.place_bytes()), (0, 0));
    }
}
