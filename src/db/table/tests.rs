use super::super::hash::KeyHasher;
use super::*;

/// A table whose handles are numbers that hash by themselves.
struct Numbers {
    table: Table,
    hasher: KeyHasher,
}

impl Numbers {
    fn new(kept_bits: u64) -> Self {
        Self { table: Table::new(), hasher: KeyHasher::colliding([1, 2, 3, 4], kept_bits) }
    }

    fn insert(&mut self, number: u32) {
        let Self { table, hasher } = self;
        table.insert(hash(hasher, number), number, |_| {}, |other| hash(hasher, other));
    }

    /// Inserts the numbers below `count`.
    fn fill(&mut self, count: u32) {
        for number in 0..count {
            self.insert(number);
        }
    }

    fn contains(&self, number: u32) -> bool {
        self.table.find(hash(&self.hasher, number), |handle| handle == number).is_some()
    }

    fn remove(&mut self, number: u32) -> bool {
        let found = self.table.find(hash(&self.hasher, number), |handle| handle == number);
        found.map(|spot| self.table.remove(spot)).is_some()
    }
}

fn hash(hasher: &KeyHasher, number: u32) -> KeyHash {
    hasher.hash(&number.to_le_bytes())
}

#[test]
fn it_grows_to_many_and_shrinks_to_nothing() {
    let count = if cfg!(miri) { 2_000 } else { 200_000 };
    let mut numbers = Numbers::new(u64::MAX);
    numbers.fill(count);
    assert!((0..count).all(|number| numbers.contains(number)));
    assert!(!(count..2 * count).any(|number| numbers.contains(number)));
    let bytes_per_key = numbers.table.bytes() as f64 / f64::from(count);
    assert!(bytes_per_key < 9.5, "{bytes_per_key} bytes");
    for number in 0..count {
        assert!(numbers.remove(number));
        assert!(!numbers.remove(number));
        if number % 1009 == 0 {
            assert!((number + 1..count).step_by(97).all(|other| numbers.contains(other)));
        }
    }
    assert_eq!((numbers.table.len(), numbers.table.size.buckets), (0, 1));
    assert!(numbers.table.segments.len() <= 2 && numbers.table.nodes.bytes() == 0);
}

#[test]
fn room_made_ahead_changes_nothing_but_the_moment_of_growth() {
    let count = if cfg!(miri) { 2_000 } else { 50_000 };
    let mut grown = Numbers::new(u64::MAX);
    grown.fill(count);
    for (filled, reserved) in [(0, count), (count / 3, count), (100, 4 * count), (count, 10 * count), (0, 10)] {
        let mut numbers = Numbers::new(u64::MAX);
        numbers.fill(filled);
        let Numbers { table, hasher } = &mut numbers;
        table.reserve(reserved as usize, |_| {}, |other| hash(hasher, other));
        let roomy = table.size.buckets;
        assert!(roomy >= reserved * 4 / 3 / BUCKET_SLOTS as u32, "{roomy} buckets for {reserved}");
        (filled..count).for_each(|number| numbers.insert(number));
        assert_eq!(numbers.table.size.buckets, roomy.max(grown.table.size.buckets), "no more than was needed");
        numbers.table.trim();
        assert_eq!(numbers.table.size.buckets, grown.table.size.buckets);
        assert_eq!(numbers.table.segments.len(), grown.table.segments.len());
        assert!((0..count).all(|number| numbers.contains(number)));
        assert!(!numbers.contains(count));
        (count..2 * count).for_each(|number| numbers.insert(number));
        assert!((0..2 * count).all(|number| numbers.contains(number)), "in what was given back, too");
    }
    let mut empty = Numbers::new(u64::MAX);
    empty.table.trim();
    empty.table.reserve(1_000, |_| {}, |_| unreachable!("there is none"));
    empty.table.trim();
    assert_eq!(empty.table.size.buckets, 1);
}

#[test]
fn a_glance_names_the_handle_or_sends_to_the_nodes() {
    /// One bucket for all, with tags that tell them apart.
    const TAGS_ONLY: u64 = 0xFF << PLACE_BITS;
    let mut numbers = Numbers::new(TAGS_ONLY);
    numbers.fill(40);
    let mut sent = 0;
    for number in 0..40 {
        let hash = hash(&numbers.hasher, number);
        let tag_of = |other| self::hash(&numbers.hasher, other).tag();
        let mut named = Vec::new();
        if numbers.table.glance(hash, |handle| named.push(handle)) {
            assert!(named.is_empty());
            numbers.table.glance_behind(hash, |handle| named.push(handle));
            sent += 1;
            assert!(named.contains(&number));
        }
        // Another one of this tag in the bucket itself may come before one in a node.
        assert!(named.iter().any(|other| tag_of(*other) == hash.tag()));
    }
    assert!(sent > 0);
}

#[test]
fn equal_hashes_only_make_a_long_chain() {
    let mut numbers = Numbers::new(0);
    numbers.fill(500);
    assert!((0..500).all(|number| numbers.contains(number)));
    assert!(!numbers.contains(500));
    assert!((0..500).step_by(2).all(|number| numbers.remove(number)));
    assert!((0..500).all(|number| numbers.contains(number) == (number % 2 == 1)));
    let mut walked = 0;
    let mut position = Some(0);
    while let Some(at) = position {
        position = numbers.table.walk(at, |_| walked += 1);
    }
    assert_eq!(walked, 250);
    assert!((1..500).step_by(2).all(|number| numbers.remove(number)));
    assert_eq!(numbers.table.nodes.bytes(), 0);
}

#[test]
fn a_walk_meets_all_that_stays_while_the_table_grows_and_shrinks() {
    let stable = 1_000_u32;
    for (start, end) in [(0, 30_000), (30_000, 0), (5_000, 5_000)] {
        let mut numbers = Numbers::new(u64::MAX);
        numbers.fill(stable + start);
        let mut others = stable + start;
        let mut met = std::collections::HashSet::new();
        let mut position = Some(0);
        while let Some(at) = position {
            position = numbers.table.walk(at, |handle| _ = met.insert(handle));
            for _ in 0..20 {
                if others < stable + end {
                    numbers.insert(others);
                    others += 1;
                } else if others > stable + end {
                    others -= 1;
                    assert!(numbers.remove(others));
                }
            }
        }
        assert!((0..stable).all(|number| met.contains(&number)), "from {start} to {end} others");
    }
}

#[test]
fn a_walk_of_an_unchanging_table_meets_everything_once() {
    for count in [0, 1, 100, 2_500, 6_000] {
        let mut numbers = Numbers::new(u64::MAX);
        numbers.fill(count);
        let mut met = Vec::new();
        let (mut position, mut buckets) = (Some(0), 0);
        while let Some(at) = position {
            position = numbers.table.walk(at, |handle| met.push(handle));
            buckets += 1;
        }
        assert_eq!(buckets, numbers.table.size.buckets);
        met.sort_unstable();
        assert!(met.into_iter().eq(0..count));
    }
}

#[test]
fn buckets_and_segments_are_numbered_without_gaps() {
    let mut expected = (0, 0);
    for number in 0..10_000 {
        assert_eq!(bucket_position(number), expected);
        let len = (FIRST_SEGMENT_BUCKETS as usize) << expected.0.saturating_sub(1);
        expected = if expected.1 + 1 == len { (expected.0 + 1, 0) } else { (expected.0, expected.1 + 1) };
    }
    for buckets in 1..300 {
        for place in 0..600 {
            let number = Size::of(buckets).bucket_number(place);
            assert!(number < buckets);
            assert_eq!(u64::from(number), place & ((1 << place_bits(number, buckets)) - 1));
        }
    }
}

#[test]
fn every_handle_is_drawn_about_as_often() {
    let mut numbers = Numbers::new(u64::MAX);
    numbers.fill(100);
    let mut drawn = [0_u32; 100];
    let mut random = 1_u64;
    for _ in 0..400_000 {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        if let Some(handle) = numbers.table.probe(random ^ random >> 32) {
            drawn[handle as usize] += 1;
        }
    }
    let (least, most) = (drawn.iter().min().unwrap(), drawn.iter().max().unwrap());
    assert!(*least > 0 && most / least < 2, "{least} to {most} times");
}
