//! What the server tells of itself and what it counts, and what can be set: `HELLO`, `INFO`, `COMMAND` and `CONFIG`.

use crate::helpers::{Reply, Server, command, commands, info_number};

/// Names before values, and nothing is set unless all is right.
#[test]
fn the_first_mistake_of_a_config_set_is_the_one_that_redis_finds_first() {
    let server = Server::start();
    let mut client = server.connect();
    let failed =
        |name: &str, why: &str| format!("-ERR CONFIG SET failed (possibly related to argument '{name}') - {why}\r\n");
    for (settings, reply) in [
        ("timeout 1 maxmemory", "-ERR syntax error\r\n".to_owned()),
        ("timeout", "-ERR wrong number of arguments for 'config|set' command\r\n".to_owned()),
        ("timeout x nothing 2", "-ERR Unknown option or number of arguments for CONFIG SET - 'nothing'\r\n".to_owned()),
        ("timeout x databases 2", failed("databases", "can't set immutable config")),
        ("timeout x maxclients 5 timeout 6", failed("timeout", "duplicate parameter")),
        ("timeout 5 TimeOut 5 nothing 1", failed("TimeOut", "duplicate parameter")),
        ("timeout 5 maxmemory x MaxClients y", failed("maxmemory", "argument must be a memory value")),
        (
            "timeout 5 auto-aof-rewrite-percentage 2147483648",
            failed("auto-aof-rewrite-percentage", "argument must be between 0 and 2147483647 inclusive"),
        ),
        (
            "auto-aof-rewrite-min-size 9223372036854775808",
            failed("auto-aof-rewrite-min-size", "argument must be between 0 and 9223372036854775807 inclusive"),
        ),
    ] {
        client.send(commands(&format!("CONFIG SET {settings}"))).expect(reply);
    }
    client.send(commands("CONFIG GET timeout")).expect("*2\r\n$7\r\ntimeout\r\n$1\r\n0\r\n");
}

/// Programs that know Redis's settings set them without a look.
#[test]
fn what_redis_can_change_and_kvred_cannot_may_be_set_to_what_it_is() {
    let server = Server::start();
    let mut client = server.connect();
    let (port, dir) = (server.port().to_string(), server.launch().dir().display().to_string());
    for settings in [
        &["save", ""][..],
        &["AppendOnly", "YES"],
        &["maxmemory-policy", "NoEviction", "protected-mode", "Yes"],
        &["bind", "127.0.0.1", "port", &port, "tcp-keepalive", "300"],
        &["tls-port", "0", "tls-auth-clients", "yes", "tls-cert-file", "", "timeout", "7"],
    ] {
        client.send(command(&[&["CONFIG", "SET"][..], settings].concat())).expect("+OK\r\n");
    }
    client.send(commands("CONFIG GET timeout")).expect("*2\r\n$7\r\ntimeout\r\n$1\r\n7\r\n");
    for (name, value) in [
        ("save", "60 1"),
        ("appendonly", "no"),
        ("maxmemory-policy", "allkeys-lru"),
        ("bind", "0.0.0.0"),
        ("port", "1"),
        ("tls-cert-file", "/x"),
        // These are fixed in Redis too.
        ("databases", "1"),
        ("appendfilename", "kvred.aof"),
        ("unixsocket", ""),
        ("dir", &dir),
    ] {
        let why = if name == "dir" { "protected" } else { "immutable" };
        client.send(command(&["CONFIG", "SET", "timeout", "8", name, value])).expect(format!(
            "-ERR CONFIG SET failed (possibly related to argument '{name}') - can't set {why} config\r\n"
        ));
    }
    client.send(commands("CONFIG GET timeout")).expect("*2\r\n$7\r\ntimeout\r\n$1\r\n7\r\n");
}

#[test]
fn hello_3_gives_a_map_and_its_null() {
    let server = Server::start();
    let mut client = server.connect();
    client.send(commands("HELLO 3"));
    let raw = client.raw_reply();
    assert!(raw.starts_with(b"%7\r\n$6\r\nserver\r\n$5\r\nredis\r\n"), "{}", raw.escape_ascii());
    client
        .send(commands("GET missing, SET k v GET, CONFIG GET timeout"))
        .expect("_\r\n_\r\n%1\r\n$7\r\ntimeout\r\n$1\r\n0\r\n");
    let hello = client.ask_words("HELLO 2 SETNAME n").into_array();
    assert_eq!(hello.len(), 14);
    client.send(commands("GET missing, CLIENT GETNAME")).expect("$-1\r\n$1\r\nn\r\n");
}

#[test]
fn info_and_command_tell_about_the_server() {
    let server = Server::start();
    let mut client = server.connect();
    client.set("k", "v");
    let info = client.text("INFO");
    for field in
        ["redis_version:7.", "# Persistence", "aof_enabled:1", "db0:keys=1", "connected_clients:1", "process_id:"]
    {
        assert!(info.contains(field), "no {field} in {info}");
    }
    let number = |name: &str| -> f64 {
        let value = info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        value.unwrap_or_else(|| panic!("no {name} in {info}")).parse().unwrap()
    };
    let [used, startup, rss] = ["used_memory", "used_memory_startup", "used_memory_rss"].map(number);
    assert!(0.0 < startup && 0.0 < used && used <= number("used_memory_peak"), "{info}");
    assert!((number("used_memory_overhead") + number("used_memory_dataset") - used).abs() < 1.0, "{info}");
    // A server without data is no fragmented one.
    let ratio = rss / (used + startup);
    assert!((number("mem_fragmentation_ratio") - ratio).abs() < 0.01 && ratio < 16.0, "{info}");
    let one = client.text("INFO keyspace");
    assert!(one.contains("db0:keys=1") && !one.contains("# Server"), "{one}");
    let Reply::Integer(count) = client.ask_words("COMMAND COUNT") else { panic!("no count") };
    assert_eq!(i64::try_from(client.ask_words("COMMAND").into_array().len()), Ok(count));
    client.send(commands("COMMAND GETKEYS SET k v")).expect("*1\r\n$1\r\nk\r\n");
    assert_eq!(client.ask_words("COMMAND INFO get nope").into_array()[1], Reply::Null);
    let list = client.text("CLIENT LIST");
    assert!(list.starts_with("id=") && list.contains("cmd=client|list"), "{list}");
    assert_eq!(client.ask_words("CLIENT ID"), Reply::Integer(1));
}

/// What the template of Zabbix asks for, all of it: an item whose field is missing is an error there.
#[test]
fn each_field_that_a_dashboard_reads_is_there_once() {
    let info = Server::start().connect().text("INFO");
    for field in "
        active_defrag_hits active_defrag_key_hits active_defrag_key_misses active_defrag_misses active_defrag_running
        aof_base_size aof_buffer_length aof_current_rewrite_time_sec aof_current_size aof_delayed_fsync aof_enabled
        aof_last_bgrewrite_status aof_last_cow_size aof_last_rewrite_time_sec aof_last_write_status
        aof_pending_bio_fsync aof_pending_rewrite aof_rewrite_in_progress aof_rewrite_scheduled arch_bits
        blocked_clients client_recent_max_input_buffer client_recent_max_output_buffer cluster_enabled
        connected_clients connected_slaves evicted_keys expired_keys expired_stale_perc expired_time_cap_reached_count
        hz instantaneous_input_kbps instantaneous_ops_per_sec instantaneous_output_kbps keyspace_hits keyspace_misses
        latest_fork_usec lazyfree_pending_objects loading master_repl_offset maxmemory maxmemory_policy mem_allocator
        mem_aof_buffer mem_clients_normal mem_clients_slaves mem_fragmentation_bytes mem_fragmentation_ratio
        mem_not_counted_for_evict mem_replication_backlog migrate_cached_sockets multiplexing_api os process_id
        pubsub_channels pubsub_patterns rdb_bgsave_in_progress rdb_changes_since_last_save rdb_current_bgsave_time_sec
        rdb_last_bgsave_status rdb_last_bgsave_time_sec rdb_last_cow_size rdb_last_save_time redis_mode redis_version
        rejected_connections repl_backlog_active repl_backlog_first_byte_offset repl_backlog_histlen repl_backlog_size
        role run_id second_repl_offset slave_expires_tracked_keys sync_full sync_partial_err sync_partial_ok tcp_port
        total_commands_processed total_connections_received total_net_input_bytes total_net_output_bytes
        total_system_memory uptime_in_seconds used_cpu_sys used_cpu_sys_children used_cpu_user used_cpu_user_children
        used_memory used_memory_dataset used_memory_dataset_perc used_memory_lua used_memory_overhead used_memory_peak
        used_memory_peak_perc used_memory_rss used_memory_startup
    "
    .split_whitespace()
    {
        let lines = info.lines().filter(|line| line.strip_prefix(field).is_some_and(|rest| rest.starts_with(':')));
        assert_eq!(lines.count(), 1, "{field} in {info}");
    }
}

#[test]
fn what_goes_over_the_network_is_counted() {
    let server = Server::start();
    let mut client = server.connect();
    let mut info = || {
        let stats = client.text("INFO stats");
        let number = |name: &str| -> usize {
            let value = stats.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
            value.unwrap_or_else(|| panic!("no {name} in {stats}")).parse().unwrap()
        };
        let counted = ["reads_processed", "writes_processed", "net_input_bytes", "net_output_bytes"];
        let counted = counted.map(|name| number(&format!("total_{name}")));
        for _ in 0..10 {
            client.send("PING\r\n").expect("+PONG\r\n");
        }
        (counted, format!("${}\r\n{stats}\r\n", stats.len()).len())
    };
    let ((before, reply_bytes), (after, _)) = (info(), info());
    // The second reply is not written yet when it is made.
    let asked = command(&["INFO", "stats"]).len();
    let expected = [11, 11, 10 * "PING\r\n".len() + asked, 10 * "+PONG\r\n".len() + reply_bytes];
    assert_eq!([0, 1, 2, 3].map(|n| after[n] - before[n]), expected);
}

#[test]
fn the_most_memory_that_was_used_is_forgotten_with_the_other_counts() {
    const LARGE: usize = 8 << 20;
    let server = Server::start();
    let mut client = server.connect();
    client.set("large", vec![b'v'; LARGE]);
    assert!(info_number(&mut client, "used_memory_peak") as usize >= LARGE);
    client.send("DEL large\r\n").expect(":1\r\n");
    assert!(info_number(&mut client, "used_memory_peak") as usize >= LARGE);
    client.send("CONFIG RESETSTAT\r\n").expect("+OK\r\n");
    assert!((info_number(&mut client, "used_memory_peak") as usize) < LARGE);
}

#[test]
fn lookups_are_counted_where_redis_counts_them() {
    let server = Server::start();
    let mut client = server.connect();
    for (requests, hits, misses) in [
        ("GET k, GET no", 1, 1),
        ("TYPE k, TYPE k, TYPE no", 2, 1),
        ("OBJECT ENCODING k, OBJECT ENCODING no, OBJECT ENCODING no", 1, 2),
        ("SET k v GET, SET k v NX GET, SET no v XX GET", 2, 1),
        ("SET k v XX, SET k v NX, SET no v XX, MEMORY USAGE k, DEL no", 0, 0),
        // In the view of a batch that writes.
        ("SET other v, TYPE k, TYPE no, GET k, STRLEN no, EXISTS k no, DEL other", 3, 3),
    ] {
        client.send(commands(&format!("SET k v, CONFIG RESETSTAT, {requests}, INFO stats")));
        let replies = requests.split(',').count() + 3;
        let stats = (0..replies).map(|_| client.reply()).last().unwrap().into_text();
        let counted = format!("keyspace_hits:{hits}\r\nkeyspace_misses:{misses}\r\n");
        assert!(stats.contains(&counted), "{requests}: {stats}");
    }
}
