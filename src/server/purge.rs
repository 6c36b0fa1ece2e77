//! Memory that was freed, given back to the system.
//!
//! The allocator does so about a second after, but only while it looks for memory that somebody needs: left to itself,
//! a server that has become quiet keeps for ever what its data once took.
#![allow(unsafe_code, reason = "the allocator's crate does not have this call of it")]

// Linked by name, since where this is tested another allocator is used.
use mimalloc as _;

unsafe extern "C" {
    // SAFETY: this is how `mimalloc.h` declares it. It takes no pointer, any thread may call it at any time, and it
    // changes only what is the allocator's: the calling thread's free memory, and, as all of its calls do, what threads
    // share.
    safe fn mi_collect(force: bool);
}

/// Gives back what is due: of all that the calling thread has allocated, whoever has freed it, and of what belongs to
/// no thread any more. With 3 GB of values this takes a tenth of a millisecond, and besides what the system takes for
/// its part.
pub fn give_back() {
    mi_collect(false);
}
