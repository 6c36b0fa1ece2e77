//! The register of connected clients: who is there, for `CLIENT LIST` and `KILL`.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Instant;

use parking_lot::Mutex;

use crate::command::errors::c_string;
use crate::protocol::encode::Resp;

/// A connected client, as others may see it.
#[derive(Debug)]
pub struct Client {
    /// Unique for the server's life, ascending.
    pub id: u64,
    /// The peer's address, or the unix socket's path.
    pub addr: String,
    /// The address that it connected to.
    pub laddr: String,
    /// The worker that serves it, or will in a moment.
    pub worker: AtomicUsize,
    connected: Instant,
    /// Seconds after the server's start when it last sent something, or took something that it was sent.
    last_active_seconds: AtomicU64,
    /// Input that is not executed yet, in bytes.
    pub query_bytes: AtomicUsize,
    /// What is allocated for input besides, in bytes.
    pub query_free_bytes: AtomicUsize,
    /// Replies that it has not read yet, in bytes.
    pub reply_bytes: AtomicUsize,
    /// Set when somebody wants it closed; its worker looks.
    pub killed: AtomicBool,
    /// What it said of itself.
    pub about: Mutex<About>,
}

/// What a client said of itself.
#[derive(Debug, Clone, Default)]
pub struct About {
    /// `CLIENT SETNAME`
    pub name: Vec<u8>,
    /// `CLIENT SETINFO LIB-NAME`
    pub lib_name: Vec<u8>,
    /// `CLIENT SETINFO LIB-VER`
    pub lib_version: Vec<u8>,
    /// `HELLO`
    pub resp: Resp,
    /// `CLIENT NO-EVICT`: it is shown, and means nothing where nobody is evicted.
    pub no_evict: bool,
    /// `CLIENT NO-TOUCH`, likewise.
    pub no_touch: bool,
    /// The command it ran last, alone; commands on data are not noted one by one.
    pub last_command: &'static str,
}

/// All connected clients, but for those that were killed and are about to be closed.
#[derive(Debug, Default)]
pub struct Clients {
    next_id: AtomicU64,
    connected: Mutex<BTreeMap<u64, Arc<Client>>>,
}

impl Clients {
    /// Registers a client.
    pub fn add(&self, addr: String, laddr: String, worker: usize, now_seconds: u64) -> Arc<Client> {
        let client = Arc::new(Client {
            id: self.next_id.fetch_add(1, Ordering::Relaxed) + 1,
            addr,
            laddr,
            worker: AtomicUsize::new(worker),
            connected: Instant::now(),
            last_active_seconds: AtomicU64::new(now_seconds),
            query_bytes: AtomicUsize::new(0),
            query_free_bytes: AtomicUsize::new(0),
            reply_bytes: AtomicUsize::new(0),
            killed: AtomicBool::new(false),
            about: Mutex::default(),
        });
        self.connected.lock().insert(client.id, Arc::clone(&client));
        client
    }

    /// Strikes a client off: whether it was still there.
    pub fn remove(&self, client: &Client) -> bool {
        self.connected.lock().remove(&client.id).is_some()
    }

    /// All of them, by id.
    pub fn all(&self) -> Vec<Arc<Client>> {
        self.connected.lock().values().cloned().collect()
    }
}

impl About {
    /// Forgets what `RESET` forgets; the library stays the same.
    pub fn reset(&mut self) {
        self.name.clear();
        self.resp = Resp::V2;
        (self.no_evict, self.no_touch) = (false, false);
    }
}

impl Client {
    /// Notes that it has just sent something, or taken something that it was sent.
    pub fn note_activity(&self, now_seconds: u64) {
        self.last_active_seconds.store(now_seconds, Ordering::Relaxed);
    }

    /// For how long it has done neither.
    pub fn idle_seconds(&self, now_seconds: u64) -> u64 {
        now_seconds.saturating_sub(self.last_active_seconds.load(Ordering::Relaxed))
    }

    /// For how long it is connected.
    pub fn age_seconds(&self) -> u64 {
        self.connected.elapsed().as_secs()
    }

    /// Memory that it takes, in bytes.
    pub fn memory_bytes(&self) -> usize {
        let about = self.about.lock();
        let names = [&about.name, &about.lib_name, &about.lib_version].map(Vec::capacity);
        self.buffer_bytes().iter().chain(&names).sum::<usize>()
            + size_of::<Self>()
            + size_of::<super::worker::connection::Connection>()
    }

    /// Of input that waits, of room for more, and of replies.
    fn buffer_bytes(&self) -> [usize; 3] {
        [&self.query_bytes, &self.query_free_bytes, &self.reply_bytes].map(|bytes| bytes.load(Ordering::Relaxed))
    }

    /// Redis's letters for what is special about it.
    fn flags(&self, about: &About) -> String {
        // Both ends of a unix socket have its path.
        let is_unix = self.addr == self.laddr;
        let special = [(is_unix, 'U'), (about.no_evict, 'e'), (about.no_touch, 'T')];
        let letters: String = special.iter().filter(|(is_so, _)| *is_so).map(|(_, letter)| letter).collect();
        if letters.is_empty() { "N".to_owned() } else { letters }
    }

    /// Its line in `CLIENT LIST`.
    pub fn describe(&self, now_seconds: u64) -> Vec<u8> {
        let about = self.about.lock().clone();
        let resp = match about.resp {
            Resp::V2 => 2,
            Resp::V3 => 3,
        };
        let [query, query_free, replies] = self.buffer_bytes();
        let mut line = format!("id={} addr={} laddr={} fd=-1 name=", self.id, self.addr, self.laddr).into_bytes();
        line.extend_from_slice(c_string(&about.name, usize::MAX));
        line.extend_from_slice(
            format!(
                " age={} idle={} flags={} db=0 sub=0 psub=0 ssub=0 multi=-1 watch=0 qbuf={query} qbuf-free={query_free} \
                 argv-mem=0 multi-mem=0 rbs=0 rbp=0 obl={replies} oll=0 omem={replies} tot-mem={} events=r cmd={} \
                 user=default redir=-1 resp={resp} lib-name=",
                self.age_seconds(),
                self.idle_seconds(now_seconds),
                self.flags(&about),
                self.memory_bytes(),
                if about.last_command.is_empty() { "NULL" } else { about.last_command },
            )
            .as_bytes(),
        );
        line.extend_from_slice(c_string(&about.lib_name, usize::MAX));
        line.extend_from_slice(b" lib-ver=");
        line.extend_from_slice(c_string(&about.lib_version, usize::MAX));
        line.extend_from_slice(format!(" io-thread={}", self.worker.load(Ordering::Relaxed)).as_bytes());
        line
    }
}
