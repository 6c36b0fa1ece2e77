//! `kvred aof check | dump | rewrite`, as a user runs them: the real binary, real files, real servers.

mod aof {
    mod agreement;
    mod follow;
    mod hostile;
    pub(crate) mod kit;
    mod redis;
    mod roundtrip;
}
