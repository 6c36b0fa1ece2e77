//! The commands of Redis that kvred knows by name and does not offer, so that the error can say why.
//!
//! The names are those of Redis 8.0 and Valkey 9.1. Only the error path comes here: a search through a list is
//! fast enough. What is in no list here and not in the table is an unknown command, as in any Redis.

use std::fmt;

/// What kvred goes without.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// Keys with a time to live.
    Expiry,
    /// `MULTI`, `EXEC`, `WATCH`.
    Transactions,
    /// Replicas and primaries.
    Replication,
    /// Channels and subscriptions.
    PubSub,
    /// Scripts and functions.
    Scripting,
    /// Slots and several nodes.
    Cluster,
    /// What Redis, too, refuses where it is no node of a cluster.
    ClusterNode,
    /// Databases other than 0.
    SingleDatabase,
    /// Lists, hashes, sets, streams and the like.
    OtherTypes,
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Expiry => "keys of kvred do not expire",
            Self::Transactions => "kvred has no transactions",
            Self::Replication => "kvred has no replication",
            Self::PubSub => "kvred has no pub/sub",
            Self::Scripting => "kvred runs no scripts",
            Self::Cluster | Self::ClusterNode => "kvred has no cluster mode",
            Self::SingleDatabase => "kvred has one database, number 0",
            Self::OtherTypes => "kvred stores strings only",
        })
    }
}

/// Finds the family of a command that kvred does not offer, and its name in lower case.
pub fn find(name: &[u8]) -> Option<(&'static str, Family)> {
    REFUSED.iter().find_map(|(family, names)| {
        let known = names.split(' ').find(|known| known.as_bytes().eq_ignore_ascii_case(name))?;
        Some((known, *family))
    })
}

/// The names of a family, with spaces between them.
const REFUSED: &[(Family, &str)] = &[
    (
        Family::Expiry,
        "expire expireat expiretime getex msetex persist pexpire pexpireat pexpiretime psetex pttl setex ttl",
    ),
    (
        Family::OtherTypes,
        "blmove blmpop blpop brpop brpoplpush lindex linsert llen lmove lmpop lpop lpos lpush lpushx lrange \
         lrem lset ltrim rpop rpoplpush rpush rpushx",
    ),
    (
        Family::OtherTypes,
        "hdel hexists hexpire hexpireat hexpiretime hget hgetall hgetdel hgetex hincrby hincrbyfloat hkeys \
         hlen hmget hmset hpersist hpexpire hpexpireat hpexpiretime hpttl hrandfield hscan hset hsetex \
         hsetnx hstrlen httl hvals",
    ),
    (
        Family::OtherTypes,
        "sadd scard sdiff sdiffstore sinter sintercard sinterstore sismember smembers smismember smove spop \
         srandmember srem sscan sunion sunionstore",
    ),
    (
        Family::OtherTypes,
        "bzmpop bzpopmax bzpopmin zadd zcard zcount zdiff zdiffstore zincrby zinter zintercard zinterstore \
         zlexcount zmpop zmscore zpopmax zpopmin zrandmember zrange zrangebylex zrangebyscore zrangestore \
         zrank zrem zremrangebylex zremrangebyrank zremrangebyscore zrevrange zrevrangebylex \
         zrevrangebyscore zrevrank zscan zscore zunion zunionstore",
    ),
    (
        Family::OtherTypes,
        "xack xadd xautoclaim xclaim xdel xgroup xinfo xlen xpending xrange xread xreadgroup xrevrange \
         xsetid xtrim",
    ),
    (
        Family::OtherTypes,
        "geoadd geodist geohash geopos georadius georadius_ro georadiusbymember georadiusbymember_ro \
         geosearch geosearchstore",
    ),
    (Family::OtherTypes, "pfadd pfcount pfdebug pfmerge pfselftest"),
    (Family::OtherTypes, "vadd vcard vdim vemb vgetattr vinfo vismember vlinks vrandmember vrem vsetattr vsim"),
    (Family::OtherTypes, "sort sort_ro"),
    (Family::Transactions, "discard exec multi unwatch watch"),
    (Family::PubSub, "psubscribe publish pubsub punsubscribe spublish ssubscribe subscribe sunsubscribe unsubscribe"),
    (Family::Scripting, "eval eval_ro evalsha evalsha_ro fcall fcall_ro function script"),
    (Family::Replication, "failover psync replconf replicaof role slaveof sync wait"),
    (Family::Cluster, "clusterscan migrate restore-asking"),
    (Family::ClusterNode, "asking cluster readonly readwrite"),
    (Family::SingleDatabase, "move swapdb"),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::table::lookup;

    #[test]
    fn families_say_what_kvred_lacks() {
        let cases = [
            ("EXPIRE", "keys of kvred do not expire"),
            ("setex", "keys of kvred do not expire"),
            ("GetEx", "keys of kvred do not expire"),
            ("ttl", "keys of kvred do not expire"),
            ("multi", "kvred has no transactions"),
            ("watch", "kvred has no transactions"),
            ("replicaof", "kvred has no replication"),
            ("subscribe", "kvred has no pub/sub"),
            ("eval", "kvred runs no scripts"),
            ("migrate", "kvred has no cluster mode"),
            ("swapdb", "kvred has one database, number 0"),
            ("lpush", "kvred stores strings only"),
            ("hset", "kvred stores strings only"),
            ("zadd", "kvred stores strings only"),
            ("xadd", "kvred stores strings only"),
        ];
        for (name, text) in cases {
            let (known, family) = find(name.as_bytes()).unwrap();
            assert_eq!((known, family.to_string().as_str()), (name.to_ascii_lowercase().as_str(), text));
        }
    }

    #[test]
    fn no_name_is_refused_twice_or_offered_too() {
        let mut names: Vec<_> = REFUSED.iter().flat_map(|(_, names)| names.split(' ')).collect();
        let count = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), count);
        for name in names {
            assert!(!name.is_empty());
            assert_eq!(name, name.to_ascii_lowercase());
            assert!(lookup(name.as_bytes()).is_none(), "{name}");
        }
    }

    #[test]
    fn other_names_are_merely_unknown() {
        for name in ["foo", "", "incr", "lpushy", "lpus", "get"] {
            assert_eq!(find(name.as_bytes()), None, "{name}");
        }
    }
}
