use super::*;

/// Fills a slot with a pattern of its handle.
fn fill(slab: &mut Slab, handle: u32) {
    let pattern = handle.to_le_bytes();
    let class = slab.page(handle / PAGE_STEPS).class;
    slab.slot_mut(handle, class).iter_mut().zip(pattern.iter().cycle()).for_each(|(byte, pattern)| *byte = *pattern);
}

fn free_all(slab: &mut Slab, handles: Vec<u32>) {
    for handle in handles {
        slab.free(handle);
    }
}

fn assert_filled(slab: &Slab, handle: u32) {
    let pattern = handle.to_le_bytes();
    let bytes = slab.page(handle / PAGE_STEPS).class.bytes();
    let mut slot = slab.slot(handle)[..bytes].iter().zip(pattern.iter().cycle());
    assert!(slot.all(|(byte, pattern)| byte == pattern), "slot {handle} was overwritten");
}

#[test]
fn slots_never_overlap_and_all_memory_comes_back() {
    let mut slab = Slab::new();
    let mut live = Vec::new();
    let mut random = 0x9E37_79B9_7F4A_7C15_u64;
    let mut next = move || {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        random
    };
    let steps = if cfg!(miri) { 500 } else { 200_000 };
    for step in 0..steps {
        // Growing at first, then shrinking.
        if live.is_empty() || next() % 8 < if step < steps / 2 { 5 } else { 3 } {
            let handle = slab.allocate(Class((next() % CLASSES as u64) as u8));
            fill(&mut slab, handle);
            live.push(handle);
        } else {
            let handle = live.swap_remove(next() as usize % live.len());
            assert_filled(&slab, handle);
            slab.free(handle);
        }
    }
    for handle in &live {
        assert_filled(&slab, *handle);
    }
    free_all(&mut slab, live);
    assert_eq!(slab.pages_in_use, 0);
    assert!(slab.idle_pages <= IDLE_PAGES_MIN);
    assert!(slab.classes.iter().all(|class| class.pages == 0 && class.partial == [NO_PAGE; FULLNESSES]));
}

#[test]
fn emptied_pages_serve_other_sizes() {
    let mut slab = Slab::new();
    let small: Vec<u32> = (0..3_000).map(|_| slab.allocate(Class::holding(40))).collect();
    free_all(&mut slab, small);
    let regions = slab.regions.len();
    let large: Vec<u32> = (0..120).map(|_| slab.allocate(Class::holding(1000))).collect();
    assert_eq!(slab.regions.len(), regions);
    free_all(&mut slab, large);
}

#[test]
fn a_sparse_class_says_which_page_to_empty() {
    let mut slab = Slab::new();
    let class = Class::holding(80);
    let slots = class.slots() as usize;
    let mut live: Vec<u32> = (0..20 * slots).map(|_| slab.allocate(class)).collect();
    for handle in &live {
        fill(&mut slab, *handle);
    }
    assert!(slab.sparse_page(class).is_none());
    // Three of four go, evenly, so that every page stays in use.
    live.retain(|handle| handle / u32::from(class.steps()) % 4 == 0 || (slab.free(*handle), false).1);
    assert_eq!(slab.pages_in_use, 20);
    while let Some(page) = slab.sparse_page(class) {
        for from in page.handles() {
            let index = live.iter().position(|handle| *handle == from).expect("it is one of those in use");
            assert_filled(&slab, from);
            live[index] = slab.copy_slot(from, class);
            fill(&mut slab, live[index]);
        }
        slab.drop_page(&page);
    }
    for handle in &live {
        assert_filled(&slab, *handle);
    }
    assert!(slab.pages_in_use <= 7, "{} pages", slab.pages_in_use);
    free_all(&mut slab, live);
    assert_eq!(slab.pages_in_use, 0);
}

#[test]
fn churn_settles_on_few_pages() {
    let mut slab = Slab::new();
    let class = Class::holding(80);
    let count = if cfg!(miri) { 1_000 } else { 20_000_usize };
    let mut live: Vec<u32> = (0..count).map(|_| slab.allocate(class)).collect();
    // Every other slot goes, which empties no page; then a tenth as many come and go for a while.
    live = live.chunks(2).map(|pair| (slab.free(pair[0]), pair[1]).1).collect();
    for round in 0..10 * count {
        let index = round.wrapping_mul(7919) % live.len();
        slab.free(live[index]);
        live[index] = slab.allocate(class);
    }
    let full = live.len() / class.slots() as usize;
    assert!(slab.pages_in_use as usize <= full * 110 / 100 + 1, "{} pages for {full} full ones", slab.pages_in_use);
}
