//! The requests: every command that kvred offers, right ones and wrong ones.

use crate::helpers::{Random, command};

/// A command's words.
pub type Request = Vec<Vec<u8>>;

/// A request as it is sent.
pub struct Call {
    pub request: Request,
    pub bytes: Vec<u8>,
    /// Whether there is a reply.
    pub answered: bool,
}

/// Makes requests, the same for the same seed.
pub struct Generator {
    random: Random,
}

/// Calls as templates: `K` a key, `V` a value, `N` a number or what is none, `P` a pattern, `?` any word, `S` an option
/// of SET; the rest are the words themselves. A call is often changed a little, unless it stands behind a `!`.
const CALLS: &[&str] = &[
    "PING",
    "PING V",
    "ECHO V",
    "TIME",
    "DBSIZE",
    "LASTSAVE",
    "RANDOMKEY",
    "TYPE K",
    "KEYS P",
    "KEYS K",
    "OBJECT ENCODING K",
    "OBJECT HELP",
    "MEMORY USAGE K",
    "MEMORY USAGE K SAMPLES N",
    "MEMORY HELP",
    "SCAN 0 COUNT 1000000",
    "SCAN 0 COUNT 1000000 MATCH P",
    "SCAN 0 COUNT 1000000 TYPE string",
    "SCAN 0 TYPE STRING COUNT 1000000 MATCH P",
    "SCAN 0 COUNT 1000000 TYPE list",
    "SCAN N COUNT",
    "SCAN x",
    "SCAN 0 COUNT N ?",
    "SCAN 0 COUNT N NOVALUES",
    "SCAN -1",
    "SCAN 0 MATCH",
    "SCAN 0 ? ?",
    "SCAN 0 COUNT 0",
    "SCAN 0 COUNT -5",
    "SCAN 99999999999999999999999 COUNT 1000000",
    "FLUSHALL",
    "FLUSHALL ASYNC",
    "FLUSHDB SYNC",
    "FLUSHDB ?",
    "SELECT 0",
    "SELECT N",
    "SELECT ?",
    "HELLO",
    "HELLO 2",
    "HELLO 3",
    "HELLO N",
    "HELLO 3 SETNAME ?",
    "HELLO 2 SETNAME",
    "HELLO 3 AUTH default ?",
    "HELLO 2 AUTH ? ?",
    "HELLO 3 ? ?",
    "!RESET",
    "AUTH ?",
    "AUTH default ?",
    "AUTH ? ?",
    "AUTH",
    "CLIENT ID",
    "CLIENT GETNAME",
    "CLIENT SETNAME ?",
    "CLIENT SETNAME V",
    "CLIENT SETINFO LIB-NAME ?",
    "CLIENT SETINFO lib-ver V",
    "CLIENT SETINFO ? ?",
    "CLIENT INFO",
    "CLIENT LIST",
    "CLIENT LIST TYPE normal",
    "CLIENT LIST TYPE ?",
    "CLIENT LIST ID N",
    "CLIENT LIST ID N N",
    "CLIENT LIST ID ?",
    "CLIENT LIST TYPE pubsub",
    "CLIENT LIST TYPE replica",
    "CLIENT LIST TYPE master",
    "CLIENT LIST ?",
    "!CLIENT KILL 1.2.3.4:5",
    "!CLIENT KILL ?",
    "!CLIENT KILL ID 999999999",
    "!CLIENT KILL ID N SKIPME yes",
    "!CLIENT KILL ADDR ? SKIPME YES",
    "!CLIENT KILL LADDR 1.1.1.1:1",
    "!CLIENT KILL TYPE pubsub",
    "!CLIENT KILL TYPE ?",
    "!CLIENT KILL USER nobody",
    "!CLIENT KILL MAXAGE N",
    "!CLIENT KILL ID",
    "!CLIENT KILL SKIPME maybe",
    "!CLIENT KILL ID 0",
    "!CLIENT KILL ID x",
    "!CLIENT KILL MAXAGE 100000",
    "!CLIENT KILL ID 5 ? ?",
    "!CLIENT KILL ID 999999999 ADDR",
    "!CLIENT KILL ID x ADDR",
    "!CLIENT KILL TYPE ? ADDR",
    "!CLIENT KILL MAXAGE N ADDR",
    "!CLIENT KILL USER ? ID",
    "!CLIENT KILL SKIPME ? SKIPME",
    "!CLIENT KILL ? 1 ID",
    "!CLIENT KILL TYPE normal TYPE pubsub",
    "!CLIENT KILL ADDR ? ADDR 1.1.1.1:1 ID 5 ID 999999999",
    "CLIENT NO-EVICT ON",
    "CLIENT NO-EVICT off",
    "CLIENT NO-EVICT ?",
    "CLIENT NO-TOUCH ON",
    "CLIENT NO-TOUCH Off",
    "CLIENT NO-TOUCH ?",
    "!CLIENT REPLY ON",
    "!CLIENT REPLY ?",
    "!CLIENT REPLY",
    "!CLIENT REPLY ON ?",
    "CLIENT HELP",
    "CLIENT",
    "CLIENT ?",
    "COMMAND COUNT",
    "COMMAND LIST",
    "COMMAND LIST FILTERBY PATTERN get",
    "COMMAND LIST FILTERBY PATTERN [\\g^-z]et",
    "COMMAND LIST FILTERBY PATTERN ?",
    "COMMAND LIST FILTERBY MODULE x",
    "COMMAND LIST FILTERBY ? ?",
    "COMMAND LIST ?",
    "COMMAND INFO get",
    "COMMAND INFO set strlen",
    "COMMAND INFO ? del",
    "COMMAND INFO exists type ping echo",
    "COMMAND DOCS get",
    "COMMAND DOCS ?",
    "COMMAND GETKEYS GET K",
    "COMMAND GETKEYS SET K V",
    "COMMAND GETKEYS DEL K K K",
    "COMMAND GETKEYS EXISTS K",
    "COMMAND GETKEYS PING",
    "COMMAND GETKEYS ?",
    "COMMAND GETKEYS GET",
    "COMMAND GETKEYS MEMORY USAGE K",
    "COMMAND GETKEYS OBJECT ENCODING K",
    "COMMAND GETKEYS TYPE K",
    "COMMAND GETKEYS CLIENT ID",
    "COMMAND HELP",
    "COMMAND ?",
    "CONFIG GET C",
    "CONFIG GET C C",
    "CONFIG GET C C C",
    "CONFIG GET ?",
    "CONFIG GET",
    "CONFIG HELP",
    "CONFIG ?",
    "!CONFIG RESETSTAT",
    "CONFIG RESETSTAT ?",
    "!CONFIG SET slowlog-max-len N",
    "!CONFIG SET timeout 3600",
    "!CONFIG SET maxmemory 8gb",
    "!CONFIG SET maxmemory 0",
    "!CONFIG SET maxmemory ?",
    "!CONFIG SET maxclients 5000 timeout x",
    "!CONFIG SET maxclients 5000 timeout 0",
    "!CONFIG SET ? ?",
    "!CONFIG SET timeout",
    "!CONFIG SET",
    "!CONFIG SET auto-aof-rewrite-min-size 100mb",
    "!CONFIG SET auto-aof-rewrite-percentage x",
    "!CONFIG SET proto-max-bulk-len 1mb",
    "!CONFIG SET proto-max-bulk-len 512mb",
    "!CONFIG SET proto-max-bulk-len 1",
    "!CONFIG SET appendfsync ?",
    "!CONFIG SET appendfsync ALWAYS",
    "!CONFIG SET slowlog-log-slower-than -1",
    "!CONFIG SET slowlog-log-slower-than -2",
    "!CONFIG SET slowlog-log-slower-than x",
    "!CONFIG SET client-query-buffer-limit 1gb",
    "!CONFIG SET client-query-buffer-limit 1",
    "!CONFIG SET timeout 99999999999",
    "!CONFIG SET timeout -1",
    "!CONFIG SET timeout 5 timeout 6",
    "!CONFIG SET databases 3",
    "!CONFIG SET dir ?",
    "!CONFIG SET appendonly YES",
    "!CONFIG SET maxmemory-policy NoEviction tcp-keepalive 300",
    "!CONFIG SET protected-mode yes appendonly yes databases 1",
    "!CONFIG SET maxmemory 12xb",
    "!CONFIG SET timeout 1 nothing 2",
    "!CONFIG SET bind",
    "!CONFIG SET timeout 1 maxmemory",
    "!CONFIG SET timeout x databases 2",
    "!CONFIG SET timeout x nothing 2",
    "!CONFIG SET timeout x TIMEOUT 2",
    "!CONFIG SET auto-aof-rewrite-percentage 2147483648",
    "!CONFIG SET auto-aof-rewrite-min-size 9223372036854775808",
    "INFO",
    "INFO ?",
    "INFO server",
    "INFO keyspace",
    "INFO KEYSPACE cluster",
    "INFO nothing",
    "SLOWLOG GET",
    "SLOWLOG GET -1",
    "SLOWLOG GET N",
    "SLOWLOG GET ?",
    "SLOWLOG LEN",
    "SLOWLOG RESET",
    "SLOWLOG HELP",
    "SLOWLOG ?",
    "SLOWLOG GET 1 ?",
    "LATENCY LATEST",
    "LATENCY HISTORY ?",
    "LATENCY HISTORY command",
    "LATENCY RESET",
    "LATENCY RESET ? ?",
    "LATENCY DOCTOR",
    "LATENCY HELP",
    "LATENCY ?",
    "!SHUTDOWN ?",
    "!SHUTDOWN ABORT",
    "!SHUTDOWN NOSAVE ?",
    "!SHUTDOWN NOSAVE SAVE",
    "!SHUTDOWN SAVE ABORT",
    "!SHUTDOWN ABORT NOW",
    "!SHUTDOWN ABORT ABORT",
    "BGREWRITEAOF",
    "WAITAOF 0 0 0",
    "WAITAOF 1 0 0",
    "WAITAOF 1 0 1000",
    "WAITAOF N 0 10000",
    "WAITAOF ? 0 ?",
    "WAITAOF 1 ? 0",
    "WAITAOF 1 0 ?",
    "WAITAOF 2 0 0",
    "WAITAOF 1 0 -1",
    "WAITAOF 1 0 9223372036854775807",
    "? ? ?",
    "V",
    "?",
    "foo K V",
    "",
];

/// The commands that most of the stream is made of.
const MAIN_CALLS: &[&str] = &[
    "GET K",
    "GET K",
    "SET K V",
    "SET K V",
    "SET K V S",
    "SET K V S S",
    "SET K V S S S",
    "SET K V ?",
    "SET K N",
    "DEL K",
    "DEL K K",
    "DEL K K K K",
    "EXISTS K",
    "STRLEN K",
    "EXISTS K K K",
    "TYPE K",
    "OBJECT ENCODING K",
    "DBSIZE",
    "PING",
    "ECHO V",
];

/// Whether calls of a command are made, as of all that kvred offers.
pub fn offers(name: &[u8]) -> bool {
    let is_of =
        |call: &&str| call.trim_start_matches('!').split(' ').next().unwrap().as_bytes().eq_ignore_ascii_case(name);
    MAIN_CALLS.iter().chain(CALLS).any(is_of)
}

/// Settings whose values can be compared.
const SETTINGS: &[&str] = &[
    "appendonly",
    "APPENDFSYNC",
    "timeout",
    "maxclients",
    "maxmemory",
    "maxmemory-policy",
    "databases",
    "save",
    "slowlog-max-len",
    "slowlog-log-slower-than",
    "auto-aof-rewrite-percentage",
    "auto-aof-rewrite-min-size",
    "client-query-buffer-limit",
    "proto-max-bulk-len",
    "tcp-keepalive",
    "protected-mode",
    "slowlog-*",
    "auto-aof-*",
    "maxmemor?",
    "time[o]ut",
    "time*",
    "TimeOut",
    "time\\out",
    "time[Z-a]ut",
    "time[\\O]ut",
    "no-such-setting",
];

const WORDS: &[&str] = &[
    "",
    "x",
    "nope",
    "0",
    "-1",
    "default",
    "ON",
    "GET",
    "a b",
    "yes",
    "\u{e9}",
    "new\nline",
    "cr\r\nlf",
    "tab\t",
    "nul\0nul",
    "%s%n",
    "'",
    "\"",
    "normal",
    "string",
    "COUNT",
    "MATCH",
    "id",
    "1.5",
    "+1",
    "0x10",
    " 1",
    "1 ",
    "18446744073709551616",
    "help",
    "DOCS",
];

const NUMBERS: &[&str] = &[
    "0",
    "1",
    "-1",
    "2",
    "3",
    "10",
    "100",
    "007",
    "+5",
    "1.5",
    "1e3",
    "",
    " 1",
    "9223372036854775807",
    "9223372036854775808",
    "-9223372036854775808",
    "-9223372036854775809",
    "18446744073709551615",
    "99999999999999999999",
    "x",
    "-0",
    "-",
    "2147483648",
    "nan",
];

const PATTERNS: &[&[u8]] = &[
    b"*",
    b"k*",
    b"k?",
    b"k[0-4]",
    b"k[^0-4]",
    b"[k",
    b"k[4-0]",
    b"*[\\]]*",
    b"\\k1",
    b"k\\",
    b"?*?",
    b"**",
    b"",
    b"\0*",
    b"[!a]*",
    b"k[-9]",
    b"*a*b*",
    b"K1",
    b"[]k]1",
    b"[^]k]1",
    b"k[a-",
    b"[\\",
    b"[\x01-\xff]*",
    b"k[z-\xff]",
    b"[^k-\xfe]*",
    b"[\xf0-\xff]?[\x80-\x02]",
];

/// Openings that end a connection, right and wrong ones.
const LAST_WORDS: &[&str] = &[
    "QUIT\r\n",
    "quit x y\r\n",
    "*1\r\n$4\r\nQuit\r\nPING\r\n",
    "*x\r\n",
    "*1\r\n$x\r\n",
    "*1\r\n:1\r\n",
    "*1\r\n$-1\r\n",
    "*1\r\n$\r\n",
    "*1\r\n\r\n",
    "*1\r\n\r4\r\n",
    "*2\r\n$4\r\nECHO\r\n+hi\r\n",
    "*99999999999\r\n",
    "*2147483648\r\n",
    "*1\r\n$536870913\r\n",
    "*1\r\n$1073741825\r\n",
    "SET k 'x\r\n",
    "SET k \"x\"y\r\n",
    "GET \"\r\n",
    "*-9\r\nQUIT\r\n",
    "*0\r\nQUIT\r\n",
    "\r\n\r\nQUIT\r\n",
    "\nQUIT\n",
    "*1\r\n$ 4\r\nPING\r\n",
    "*01\r\n$4\r\nQUIT\r\n",
    "*+1\r\n$4\r\nQUIT\r\n",
    "* 1\r\n",
    "*\r\n",
    "PING 'a\\'b' \"c\\x41\\n\"\r\nQUIT\r\n",
    "*1\r\n$4\r\nPINGxxQUIT\r\n",
    "\u{b}ECHO a\u{b}b\u{c}c\r\n\u{c}ECHO\t'd'\u{b}\u{c}\r\nECHO \"e\"\u{b}f\r\nQUIT\r\n",
    "ECHO\u{b}a\r\nECHO 'a'\u{85}\r\nQUIT\r\n",
    "POST / HTTP/1.1\r\nFLUSHALL\r\n",
    "GET / HTTP/1.1\r\nHost: x\r\nFLUSHALL\r\n",
    "*1\r\n$5\r\nhOST:\r\n*1\r\n$4\r\nPING\r\n",
    "SET a b\r\nHost: x\r\n",
];

impl Generator {
    pub fn new(seed: u64) -> Self {
        Self { random: Random::new(seed) }
    }

    /// Calls that are sent together.
    pub fn pipeline(&mut self) -> Vec<Call> {
        let len = if self.random.below(4) == 0 { 1 } else { 1 + self.random.below(60) };
        let mut calls: Vec<Call> = (0..len).flat_map(|_| self.calls()).collect();
        // Redis 8 does not answer a wrong password while an earlier reply has not been sent (`addAuthErrReply`): such a
        // request comes first.
        if let Some(at) = calls.iter().position(|call| gives_password(&call.request)) {
            calls.drain(..at);
            let mut first = true;
            calls.retain(|call| std::mem::take(&mut first) || !gives_password(&call.request));
        }
        calls
    }

    /// Whether the connection is to end here.
    pub fn ends_connection(&mut self) -> bool {
        self.random.below(10) == 0
    }

    pub fn last_words(&mut self) -> Vec<u8> {
        self.pick(LAST_WORDS).as_bytes().to_vec()
    }

    pub fn scan_options(&mut self) -> Request {
        let mut options = Request::new();
        if self.random.below(2) == 0 {
            options.extend([b"MATCH".to_vec(), self.pick(PATTERNS).to_vec()]);
        }
        if self.random.below(2) == 0 {
            options.extend([b"count".to_vec(), (1 + self.random.below(50)).to_string().into_bytes()]);
        }
        if self.random.below(3) == 0 {
            options.extend([b"TYPE".to_vec(), self.pick(&["string", "hash", "STRING", "list"]).as_bytes().to_vec()]);
        }
        options
    }

    fn calls(&mut self) -> Vec<Call> {
        match self.random.below(100) {
            // An expiry: Redis takes it and kvred does not, so the key goes again, and nobody hears of that.
            0 => {
                let key = self.key();
                let option = self.pick(&[
                    "EX 100",
                    "px 100000",
                    "EXAT 99999999999",
                    "PXAT 99999999999999",
                    "KEEPTTL",
                    "NX EX 5000",
                    "EX 5000 GET",
                ]);
                let mut set = vec![b"SET".to_vec(), key.clone(), b"v".to_vec()];
                set.extend(option.split(' ').map(|w| w.as_bytes().to_vec()));
                let skip = vec![b"CLIENT".to_vec(), b"REPLY".to_vec(), b"SKIP".to_vec()];
                let del = vec![b"DEL".to_vec(), key];
                vec![self.call(set, true), self.call(skip, false), self.call(del, false)]
            }
            // What comes behind a SKIP is done, and not answered.
            1 => {
                let skip = vec![b"client".to_vec(), b"reply".to_vec(), b"skip".to_vec()];
                let skipped = vec![b"SET".to_vec(), self.key(), self.value()];
                vec![self.call(skip, false), self.call(skipped, false)]
            }
            // What needs memory is refused for the lack of it, whatever else is wrong with it. An empty kvred has no
            // lack.
            2 => {
                let words = |words: &str| words.split(' ').map(|w| w.as_bytes().to_vec()).collect();
                let set = self.call(words("SET k1 v"), true);
                let limit = self.call(words("CONFIG SET maxmemory 1"), true);
                let refused = self.one(MAIN_CALLS);
                vec![set, limit, refused, self.call(words("CONFIG SET maxmemory 0"), true)]
            }
            3..62 => vec![self.one(MAIN_CALLS)],
            _ => vec![self.one(CALLS)],
        }
    }

    fn one(&mut self, from: &[&str]) -> Call {
        loop {
            let template = self.pick(from);
            let fixed = template.starts_with('!');
            let mut request: Request =
                template.trim_start_matches('!').split_whitespace().map(|word| self.fill(word)).collect();
            if !fixed {
                self.change(&mut request);
            }
            if request.is_empty() || forbidden(&request) {
                continue;
            }
            return self.call(request, true);
        }
    }

    fn call(&mut self, request: Request, answered: bool) -> Call {
        let small = request.iter().map(Vec::len).sum::<usize>() < 2000;
        // An inline command of nothing but an empty word is one all the same.
        let bytes = if small && self.random.below(10) == 0 { self.inline(&request) } else { command(&request) };
        Call { request, bytes, answered }
    }

    fn fill(&mut self, word: &str) -> Vec<u8> {
        match word {
            "K" => self.key(),
            "V" => self.value(),
            "N" => self.pick(NUMBERS).as_bytes().to_vec(),
            "P" => self.pick(PATTERNS).to_vec(),
            "C" => self.pick(SETTINGS).as_bytes().to_vec(),
            "S" => self.pick(&["NX", "XX", "GET", "nx", "Xx", "get"]).as_bytes().to_vec(),
            "?" => self.pick(WORDS).as_bytes().to_vec(),
            word => self.letter_case(word),
        }
    }

    /// Adds, drops or replaces a word, now and then.
    fn change(&mut self, request: &mut Request) {
        match self.random.below(24) {
            0 => drop(request.pop()),
            1 => request.push(self.fill("?")),
            2 => {
                let key = self.key();
                request.push(key);
            }
            3 if request.len() > 1 => {
                let at = 1 + self.random.below(request.len() - 1);
                request[at] = self.fill("?");
            }
            _ => {}
        }
    }

    fn letter_case(&mut self, word: &str) -> Vec<u8> {
        match self.random.below(3) {
            0 => word.to_ascii_lowercase().into_bytes(),
            1 => word
                .bytes()
                .map(|b| if self.random.below(2) == 0 { b.to_ascii_uppercase() } else { b.to_ascii_lowercase() })
                .collect(),
            _ => word.as_bytes().to_vec(),
        }
    }

    fn key(&mut self) -> Vec<u8> {
        match self.random.below(20) {
            0 => Vec::new(),
            1 => b"\r\n\0".to_vec(),
            2 => vec![0xff, 0xfe, self.random.below(4) as u8],
            3 => vec![b'l'; 300 + self.random.below(3)],
            4 => b"with space".to_vec(),
            _ => format!("k{}", self.random.below(10)).into_bytes(),
        }
    }

    fn value(&mut self) -> Vec<u8> {
        match self.random.below(14) {
            0 => Vec::new(),
            1 => self.pick(NUMBERS).as_bytes().to_vec(),
            2 => {
                let len = self.random.below(100);
                self.random.bytes(len)
            }
            // Around the length where Redis embeds no more.
            3 => vec![b'e'; 40 + self.random.below(10)],
            4 => vec![b'v'; self.random.below(5000)],
            5 if self.random.below(20) == 0 => vec![b'V'; 15_000 + self.random.below(300_000)],
            6 => self.pick(WORDS).as_bytes().to_vec(),
            _ => (self.random.next() as i64 >> self.random.below(60)).to_string().into_bytes(),
        }
    }

    /// The request as a line with quotes.
    fn inline(&mut self, request: &Request) -> Vec<u8> {
        let mut line = Vec::new();
        for word in request {
            let plain = !word.is_empty() && word.iter().all(|c| c.is_ascii_alphanumeric() || b"*?:.-_".contains(c));
            // A line that begins with a star would be the header of an array.
            if plain && !(line.is_empty() && word[0] == b'*') && self.random.below(2) == 0 {
                line.extend_from_slice(word);
            } else {
                line.push(b'"');
                for &byte in word {
                    match byte {
                        b'"' | b'\\' => line.extend([b'\\', byte]),
                        b'\n' => line.extend(b"\\n"),
                        b'\r' => line.extend(b"\\r"),
                        b'\t' => line.extend(b"\\t"),
                        b' '..=b'~' if self.random.below(20) > 0 => line.push(byte),
                        _ => line.extend(format!("\\x{byte:02x}").into_bytes()),
                    }
                }
                line.push(b'"');
            }
            line.extend_from_slice(if self.random.below(10) == 0 { b"  \t" } else { b" " });
        }
        line.extend_from_slice(if self.random.below(2) == 0 { b"\n" } else { b"\r\n" });
        line
    }

    fn pick<'a, T: ?Sized>(&mut self, from: &[&'a T]) -> &'a T {
        from[self.random.below(from.len())]
    }
}

fn gives_password(request: &Request) -> bool {
    request[0].eq_ignore_ascii_case(b"auth")
        || request[0].eq_ignore_ascii_case(b"hello") && request.iter().any(|w| w.eq_ignore_ascii_case(b"auth"))
}

/// What would end a server or a connection, or make the two differ for good.
fn forbidden(request: &Request) -> bool {
    let word = |i: usize| request.get(i).map(|w| w.to_ascii_lowercase()).unwrap_or_default();
    let name = word(0);
    name == b"quit"
        // Redis takes a size beyond 64 bits for the largest that there is, and none for 0; kvred refuses both.
        || name == b"config" && word(1) == b"set" && (word(3) == b"18446744073709551616" || word(3).is_empty())
        || name == b"shutdown" && request[1..].iter().all(|w| [&b"nosave"[..], b"save", b"now", b"force"].contains(&&w.to_ascii_lowercase()[..]))
        || name == b"client" && word(1) == b"kill" && request.len() == 2
        || name == b"client" && word(1) == b"reply" && [&b"off"[..], b"skip"].contains(&&word(2)[..])
}
