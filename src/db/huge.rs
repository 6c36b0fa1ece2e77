//! Regions for slabs, in huge pages where they can be had, which a thread of their own makes.
//!
//! A lookup in small pages waits for an address translation first, whose tables are as far away as the entry itself.
//! Huge pages spare that, but the system clears one for 0.1 to 10 ms before it gives it, and no insert shall wait so
//! long: one is made ahead, and who comes before it is ready takes small pages.

use std::sync::LazyLock;

use parking_lot::{Condvar, Mutex};

use super::background::step_back;
use super::memory::{Mapped, Pieces};

/// Regions of all slabs of the process, as an allocator has it.
static MAKER: LazyLock<Option<&'static Maker>> = LazyLock::new(Maker::start);

/// The unit in which a slab takes memory: on average half of one is unused, where it is a part of a huge page.
pub(super) const REGION_BYTES: usize = 64 << 10;

/// The last of the nice values.
const NICE: u8 = 19;

/// A region in a huge page, if one is ready.
pub(super) fn region() -> Option<Mapped<u8>> {
    MAKER.as_ref()?.region()
}

/// A region in small pages.
pub(super) fn small_region() -> Mapped<u8> {
    static OPEN: Mutex<Option<Pieces>> = Mutex::new(None);
    let mut open = OPEN.lock();
    loop {
        if let Some(region) = open.as_mut().and_then(Iterator::next) {
            return region;
        }
        *open = Some(Pieces::of_small_pages(REGION_BYTES));
    }
}

#[derive(Default)]
struct Maker {
    pages: Mutex<Pages>,
    wanted: Condvar,
}

#[derive(Default)]
struct Pages {
    /// The page that regions are taken from.
    open: Option<Pieces>,
    /// The next one.
    ready: Option<Pieces>,
}

impl Maker {
    /// None if the system gives no thread.
    fn start() -> Option<&'static Self> {
        let maker: &'static Self = Box::leak(Box::default());
        let thread = std::thread::Builder::new().name("kvred-memory".to_owned());
        thread.spawn(|| maker.make_pages()).ok().map(|_| maker)
    }

    fn region(&self) -> Option<Mapped<u8>> {
        // Who holds the lock may be the thread, and it may not be running.
        let mut pages = self.pages.try_lock()?;
        if let Some(region) = pages.open.as_mut().and_then(Iterator::next) {
            return Some(region);
        }
        pages.open = pages.ready.take();
        self.wanted.notify_one();
        pages.open.as_mut()?.next()
    }

    fn make_pages(&self) {
        // While a log is loaded both cores have better things to do. Refused, it is in the way a little.
        let _refused = step_back(NICE);
        loop {
            let Some(page) = Pieces::of_huge_page(REGION_BYTES) else { return };
            let mut pages = self.pages.lock();
            pages.ready = Some(page);
            while pages.ready.is_some() {
                self.wanted.wait(&mut pages);
            }
        }
    }
}
