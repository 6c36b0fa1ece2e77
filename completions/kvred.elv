
use builtin;
use str;

set edit:completion:arg-completer[kvred] = {|@words|
    fn spaces {|n|
        builtin:repeat $n ' ' | str:join ''
    }
    fn cand {|text desc|
        edit:complex-candidate $text &display=$text' '(spaces (- 14 (wcswidth $text)))$desc
    }
    var command = 'kvred'
    for word $words[1..-1] {
        if (str:has-prefix $word '-') {
            break
        }
        set command = $command';'$word
    }
    var completions = [
        &'kvred'= {
            cand --color 'When to use colour'
            cand -h 'Print help (see more with ''--help'')'
            cand --help 'Print help (see more with ''--help'')'
            cand -V 'Print version'
            cand --version 'Print version'
            cand serve 'Run the server'
            cand aof 'Check, dump or rewrite a log'
            cand cli 'Talk to a server: a command, a script or a session'
            cand bench 'Measure a server: throughput and latency'
            cand completions 'Print the completions for a shell'
            cand man 'Write the man pages'
        }
        &'kvred;serve'= {
            cand --bind 'Address or name to listen on'
            cand --port 'TCP port, or none'
            cand --tls-port 'TCP port for TLS'
            cand --tls-cert-file 'The server''s certificate, PEM'
            cand --tls-key-file 'Its private key, PEM'
            cand --tls-ca-cert-file 'CAs of the clients'' certificates, PEM'
            cand --tls-auth-clients 'Must clients show a certificate?'
            cand --unixsocket 'Listen on this unix socket too'
            cand --dir 'Where the log lies'
            cand --appendonly 'Keep a log: yes or no'
            cand --appendfilename 'Name of the log, in --dir'
            cand --fsync 'When writes reach the disk'
            cand --auto-aof-rewrite-percentage 'Growth that starts a rewrite, in %'
            cand --auto-aof-rewrite-min-size 'Smallest log that is rewritten'
            cand --threads 'Worker threads'
            cand --maxclients 'Most clients at a time'
            cand --maxmemory 'Most memory for the data; 0: no limit'
            cand --proto-max-bulk-len 'Longest key or value'
            cand --client-query-buffer-limit 'Most input waiting for one client'
            cand --timeout 'Close clients idle for that long'
            cand --slowlog-log-slower-than 'Keep commands that took this long'
            cand --slowlog-max-len 'Most entries of the slow log'
            cand --requirepass-file 'File with the password for clients'
            cand --protected-mode 'Refuse other machines: yes or no'
            cand --log-level 'Least severe messages to log'
            cand --log-format 'Form of the messages on stderr'
            cand --color 'When to use colour'
            cand -h 'Print help (see more with ''--help'')'
            cand --help 'Print help (see more with ''--help'')'
        }
        &'kvred;aof'= {
            cand --color 'When to use colour'
            cand -h 'Print help (see more with ''--help'')'
            cand --help 'Print help (see more with ''--help'')'
            cand check 'Say whether a log is sound, and repair it'
            cand dump 'Print what a log holds, as commands, JSON, RESP or a table'
            cand rewrite 'Write a log anew with nothing but its data'
        }
        &'kvred;aof;check'= {
            cand --salvage 'Save what verifies to a new log'
            cand --color 'When to use colour'
            cand --json 'Print one JSON document'
            cand --fix 'Cut a torn log off where it is sound'
            cand -y 'Do not ask before --fix'
            cand --yes 'Do not ask before --fix'
            cand -h 'Print help (see more with ''--help'')'
            cand --help 'Print help (see more with ''--help'')'
        }
        &'kvred;aof;dump'= {
            cand --format 'How to print it'
            cand --key 'Only what concerns keys that match'
            cand --from 'Only from this byte of the file on'
            cand --since 'Only what was written at T or later'
            cand --until 'Only what was written until T'
            cand --limit 'Stop after so many commands'
            cand --color 'When to use colour'
            cand -f 'Go on as a server writes'
            cand --follow 'Go on as a server writes'
            cand -h 'Print help (see more with ''--help'')'
            cand --help 'Print help (see more with ''--help'')'
        }
        &'kvred;aof;rewrite'= {
            cand -o 'Write to this new file instead'
            cand --output 'Write to this new file instead'
            cand --until 'The data as it was at T (needs -o)'
            cand --color 'When to use colour'
            cand -h 'Print help (see more with ''--help'')'
            cand --help 'Print help (see more with ''--help'')'
        }
        &'kvred;cli'= {
            cand -h 'The server''s host'
            cand --host 'The server''s host'
            cand -p 'The server''s port'
            cand --port 'The server''s port'
            cand -s 'The server''s unix socket; comes before -u, -h and -p'
            cand --socket 'The server''s unix socket; comes before -u, -h and -p'
            cand -u 'redis://[[user:]password@]host[:port][/db] (port 6379 unless given), rediss:// for TLS, or unix://[[user:]password@]/path[?db=N]; comes before -h and -p, KVRED_URI before their variables alone'
            cand --uri 'redis://[[user:]password@]host[:port][/db] (port 6379 unless given), rediss:// for TLS, or unix://[[user:]password@]/path[?db=N]; comes before -h and -p, KVRED_URI before their variables alone'
            cand --user 'Log in as this user; comes before a URI''s, and that before KVRED_USER'
            cand -a 'Password; others can see it in the process list, so prefer --askpass, --password-file or KVRED_PASSWORD'
            cand --pass 'Password; others can see it in the process list, so prefer --askpass, --password-file or KVRED_PASSWORD'
            cand --password-file 'Take the password from the first line of this file [else: KVRED_PASSWORD, REDISCLI_AUTH]'
            cand --cacert 'Trust these CA certificates, PEM [default: those of the system]'
            cand --cert 'Show this certificate to the server, PEM'
            cand --key 'The certificate''s private key, PEM'
            cand --sni 'The name to find in the server''s certificate [default: the host]'
            cand -n 'Select this database'
            cand --db 'Select this database'
            cand -t 'Give up connecting after so many seconds'
            cand --connect-timeout 'Give up connecting after so many seconds'
            cand -r 'Run the command so many times; for --stat, --latency: print so many lines [-1: without end]'
            cand --repeat 'Run the command so many times; for --stat, --latency: print so many lines [-1: without end]'
            cand -i 'Wait so many seconds between repetitions, lines of --stat, cycles of --scan; --latency measures for so long'
            cand --interval 'Wait so many seconds between repetitions, lines of --stat, cycles of --scan; --latency measures for so long'
            cand --output 'How replies are printed'
            cand --pipe-timeout 'With --pipe: give up when no reply comes for so many seconds after all was sent; 0: never [default: 30]'
            cand --pattern 'With --scan and --bigkeys: only keys that match, for instance ''user:*'''
            cand --count 'With --scan and --bigkeys: how many keys to ask for at a time'
            cand --color 'When to use colour'
            cand --askpass 'Ask for the password at the terminal'
            cand --tls 'Speak TLS; so does a URI of rediss://'
            cand --insecure 'Trust any server: whoever is on the way can read and change everything'
            cand -2 'Speak RESP2 also where the output is JSON: no HELLO is sent'
            cand -3 'Ask for RESP3 with HELLO'
            cand -x 'Take the last argument from the standard input, byte for byte'
            cand --quoted-input 'Arguments are quoted as in scripts: "\x00" is a NUL byte'
            cand --raw 'The same as --output raw'
            cand --no-raw 'The same as --output pretty'
            cand --csv 'The same as --output csv'
            cand --json 'The same as --output json'
            cand --no-newline 'Print no newline behind a reply: a value comes out exactly as it was stored'
            cand --keep-going 'In a script: go on after an error, and exit 1 at the end'
            cand --pipe 'Send RESP or command lines from the standard input as fast as they go, and count replies and errors'
            cand --stat 'Print a line of the server''s figures each second'
            cand --latency 'Measure the time of a PING, until Ctrl-C; for one second with --raw, --csv, --json or no terminal to print to'
            cand --scan 'Print all keys'
            cand --bigkeys 'Find the biggest keys of each type'
            cand -e 'Exit codes always tell of errors; taken for the sake of habit'
            cand --no-auth-warning 'Do not warn about -a'
            cand --help 'Print help'
            cand -v 'Print the version'
            cand --version 'Print the version'
        }
        &'kvred;bench'= {
            cand -h 'The server''s host'
            cand --host 'The server''s host'
            cand -p 'The server''s port'
            cand --port 'The server''s port'
            cand -s 'The server''s unix socket; comes before -u, -h and -p'
            cand --socket 'The server''s unix socket; comes before -u, -h and -p'
            cand -u 'redis://[[user:]password@]host[:port][/db] (port 6379 unless given), rediss:// for TLS, or unix://[[user:]password@]/path[?db=N]; comes before -h and -p, KVRED_URI before their variables alone'
            cand --uri 'redis://[[user:]password@]host[:port][/db] (port 6379 unless given), rediss:// for TLS, or unix://[[user:]password@]/path[?db=N]; comes before -h and -p, KVRED_URI before their variables alone'
            cand --user 'Log in as this user; comes before a URI''s, and that before KVRED_USER'
            cand -a 'Password; others can see it in the process list, so prefer --askpass, --password-file or KVRED_PASSWORD'
            cand --pass 'Password; others can see it in the process list, so prefer --askpass, --password-file or KVRED_PASSWORD'
            cand --password-file 'Take the password from the first line of this file [else: KVRED_PASSWORD, REDISCLI_AUTH]'
            cand --cacert 'Trust these CA certificates, PEM [default: those of the system]'
            cand --cert 'Show this certificate to the server, PEM'
            cand --key 'The certificate''s private key, PEM'
            cand --sni 'The name to find in the server''s certificate [default: the host]'
            cand --db 'Select this database'
            cand --connect-timeout 'Give up connecting after so many seconds'
            cand -t 'The tests, with commas between them; ping, set, get, exists and del unless given'
            cand --tests 'The tests, with commas between them; ping, set, get, exists and del unless given'
            cand --ratio 'One test of SETs and GETs in this ratio, for instance 1:10'
            cand -n 'Requests of each test [default: 100000]'
            cand --requests 'Requests of each test [default: 100000]'
            cand --duration 'Seconds of each test'
            cand -c 'Connections'
            cand --clients 'Connections'
            cand -P 'Requests that a connection sends before it waits for their replies'
            cand --pipeline 'Requests that a connection sends before it waits for their replies'
            cand -d 'Bytes of a value: a size, or a range like 16-1024'
            cand --data 'Bytes of a value: a size, or a range like 16-1024'
            cand -r 'How many keys there are'
            cand --keyspace 'How many keys there are'
            cand --distribution 'How keys are chosen'
            cand --threads 'Worker threads [default: one for every two cores]'
            cand --rate 'Send so many requests a second on a fixed schedule, and measure from when each should have left'
            cand --warmup 'Requests before each test that do not count'
            cand --repeats 'Run each test so many times: ops/s is the median, all else is over the requests of all runs [default: 1, with --compare 5]'
            cand --seed 'What keys and values are chosen by: the same seed, the same requests'
            cand --compare 'Measure this server too, in turn with the first: HOST:PORT, with the first one''s login, database and TLS; or a URI, with its own; --db is for both'
            cand --fail-if 'Exit with 1 when this is true, for instance ''p99>2ms''; may be given several times; with --compare, of the first server'
            cand --format 'How the results are printed [default: table, or what the name of -o ends in]'
            cand -o 'Write the results to this file; the table then still goes to stdout. -: no table, but the results, as JSON'
            cand --output 'Write the results to this file; the table then still goes to stdout. -: no table, but the results, as JSON'
            cand --color 'When to use colour'
            cand --askpass 'Ask for the password at the terminal'
            cand --tls 'Speak TLS; so does a URI of rediss://'
            cand --insecure 'Trust any server: whoever is on the way can read and change everything'
            cand --verify 'Check each value that is read; it follows from key and seed'
            cand --help 'Print help'
            cand diff 'Compare two results that were saved as JSON'
            cand report 'Measure servers of its own, with charts'
        }
        &'kvred;bench;diff'= {
            cand --color 'When to use colour'
            cand -h 'Print help (see more with ''--help'')'
            cand --help 'Print help (see more with ''--help'')'
        }
        &'kvred;bench;report'= {
            cand --server-bin 'The kvred to measure [default: this one]'
            cand --fsync 'The policies, with commas between them'
            cand --repeats 'Runs of each test that count'
            cand --warmup 'Runs of each test before those'
            cand --ops-read 'Requests in a run of PING, GET and EXISTS'
            cand --ops-write 'Requests in a run of SET and DEL'
            cand -d 'Bytes of a value: a size, or a range like 16-1024'
            cand --data 'Bytes of a value: a size, or a range like 16-1024'
            cand --peer 'Another server to measure beside it'
            cand -o 'The folder to write to'
            cand --output 'The folder to write to'
            cand --resume 'Go on with the interrupted report in this folder'
            cand --color 'When to use colour'
            cand -h 'Print help (see more with ''--help'')'
            cand --help 'Print help (see more with ''--help'')'
        }
        &'kvred;completions'= {
            cand --color 'When to use colour'
            cand -h 'Print help (see more with ''--help'')'
            cand --help 'Print help (see more with ''--help'')'
        }
        &'kvred;man'= {
            cand --color 'When to use colour'
            cand -h 'Print help (see more with ''--help'')'
            cand --help 'Print help (see more with ''--help'')'
        }
    ]
    var values = [
        &'kvred;--color'= {
            cand auto 'On a terminal, unless NO_COLOR is set or TERM is dumb'
            cand always 'Always'
            cand never 'Never'
        }
        &'kvred;serve;--bind'= {
        }
        &'kvred;serve;--port'= {
        }
        &'kvred;serve;--tls-port'= {
        }
        &'kvred;serve;--tls-cert-file'= { edit:complete-filename $@words }
        &'kvred;serve;--tls-key-file'= { edit:complete-filename $@words }
        &'kvred;serve;--tls-ca-cert-file'= { edit:complete-filename $@words }
        &'kvred;serve;--tls-auth-clients'= {
            cand yes 'They must, signed by one of --tls-ca-cert-file'
            cand optional 'They may; one that they show must be right'
            cand no 'They are not asked'
        }
        &'kvred;serve;--unixsocket'= { edit:complete-filename $@words }
        &'kvred;serve;--dir'= { edit:complete-filename $@words }
        &'kvred;serve;--appendonly'= {
            cand yes 'On'
            cand no 'Off'
        }
        &'kvred;serve;--appendfilename'= { edit:complete-filename $@words }
        &'kvred;serve;--fsync'= {
            cand always 'Answered once the disk has it: nothing acknowledged is ever lost'
            cand everysec 'Answered once the kernel has it, synced each second: a power cut takes 1 to 2 seconds at most'
            cand none 'Synced at shutdown, or once 32 MiB have piled up: a power cut takes what the kernel had not written, and may leave a hole, with which a start is refused'
        }
        &'kvred;serve;--auto-aof-rewrite-percentage'= {
        }
        &'kvred;serve;--auto-aof-rewrite-min-size'= {
        }
        &'kvred;serve;--threads'= {
        }
        &'kvred;serve;--maxclients'= {
        }
        &'kvred;serve;--maxmemory'= {
        }
        &'kvred;serve;--proto-max-bulk-len'= {
        }
        &'kvred;serve;--client-query-buffer-limit'= {
        }
        &'kvred;serve;--timeout'= {
        }
        &'kvred;serve;--slowlog-log-slower-than'= {
        }
        &'kvred;serve;--slowlog-max-len'= {
        }
        &'kvred;serve;--requirepass-file'= { edit:complete-filename $@words }
        &'kvred;serve;--protected-mode'= {
            cand yes 'On'
            cand no 'Off'
        }
        &'kvred;serve;--log-level'= {
            cand error ''
            cand warn ''
            cand info ''
            cand debug ''
            cand trace ''
        }
        &'kvred;serve;--log-format'= {
            cand text 'Lines for people'
            cand json 'A JSON object a line'
        }
        &'kvred;serve;--color'= {
            cand auto 'On a terminal, unless NO_COLOR is set or TERM is dumb'
            cand always 'Always'
            cand never 'Never'
        }
        &'kvred;aof;--color'= {
            cand auto 'On a terminal, unless NO_COLOR is set or TERM is dumb'
            cand always 'Always'
            cand never 'Never'
        }
        &'kvred;aof;check;--salvage'= { edit:complete-filename $@words }
        &'kvred;aof;check;--color'= {
            cand auto 'On a terminal, unless NO_COLOR is set or TERM is dumb'
            cand always 'Always'
            cand never 'Never'
        }
        &'kvred;aof;dump;--format'= {
            cand commands 'One command a line, quoted for `kvred cli` and redis-cli'
            cand json 'JSON Lines: offset, batch, time, command, args'
            cand resp 'RESP, for `redis-cli --pipe`'
            cand table 'For eyes, shortened to the terminal''s width'
        }
        &'kvred;aof;dump;--key'= {
        }
        &'kvred;aof;dump;--from'= {
        }
        &'kvred;aof;dump;--since'= {
        }
        &'kvred;aof;dump;--until'= {
        }
        &'kvred;aof;dump;--limit'= {
        }
        &'kvred;aof;dump;--color'= {
            cand auto 'On a terminal, unless NO_COLOR is set or TERM is dumb'
            cand always 'Always'
            cand never 'Never'
        }
        &'kvred;aof;rewrite;--output'= { edit:complete-filename $@words }
        &'kvred;aof;rewrite;-o'= { edit:complete-filename $@words }
        &'kvred;aof;rewrite;--until'= {
        }
        &'kvred;aof;rewrite;--color'= {
            cand auto 'On a terminal, unless NO_COLOR is set or TERM is dumb'
            cand always 'Always'
            cand never 'Never'
        }
        &'kvred;cli;--host'= {
        }
        &'kvred;cli;-h'= {
        }
        &'kvred;cli;--port'= {
        }
        &'kvred;cli;-p'= {
        }
        &'kvred;cli;--socket'= { edit:complete-filename $@words }
        &'kvred;cli;-s'= { edit:complete-filename $@words }
        &'kvred;cli;--uri'= {
        }
        &'kvred;cli;-u'= {
        }
        &'kvred;cli;--user'= {
        }
        &'kvred;cli;--pass'= {
        }
        &'kvred;cli;-a'= {
        }
        &'kvred;cli;--password-file'= { edit:complete-filename $@words }
        &'kvred;cli;--cacert'= { edit:complete-filename $@words }
        &'kvred;cli;--cert'= { edit:complete-filename $@words }
        &'kvred;cli;--key'= { edit:complete-filename $@words }
        &'kvred;cli;--sni'= {
        }
        &'kvred;cli;--db'= {
        }
        &'kvred;cli;-n'= {
        }
        &'kvred;cli;--connect-timeout'= {
        }
        &'kvred;cli;-t'= {
        }
        &'kvred;cli;--repeat'= {
        }
        &'kvred;cli;-r'= {
        }
        &'kvred;cli;--interval'= {
        }
        &'kvred;cli;-i'= {
        }
        &'kvred;cli;--output'= {
            cand auto 'pretty on a terminal, raw elsewhere'
            cand pretty 'Typed and quoted, as redis-cli prints at a terminal'
            cand raw 'The bytes of the value and a newline; errors go to stderr'
            cand csv 'A line for each reply: strings in quotes (RFC 4180), a null is NULL'
            cand json 'A line of JSON for each reply, for which RESP3 is asked for: a map is an object; strings that are not UTF-8 are {"base64": "..."}'
        }
        &'kvred;cli;--pipe-timeout'= {
        }
        &'kvred;cli;--pattern'= {
        }
        &'kvred;cli;--count'= {
        }
        &'kvred;cli;--color'= {
            cand auto 'On a terminal, unless NO_COLOR is set or TERM is dumb'
            cand always 'Always'
            cand never 'Never'
        }
        &'kvred;bench;--host'= {
        }
        &'kvred;bench;-h'= {
        }
        &'kvred;bench;--port'= {
        }
        &'kvred;bench;-p'= {
        }
        &'kvred;bench;--socket'= { edit:complete-filename $@words }
        &'kvred;bench;-s'= { edit:complete-filename $@words }
        &'kvred;bench;--uri'= {
        }
        &'kvred;bench;-u'= {
        }
        &'kvred;bench;--user'= {
        }
        &'kvred;bench;--pass'= {
        }
        &'kvred;bench;-a'= {
        }
        &'kvred;bench;--password-file'= { edit:complete-filename $@words }
        &'kvred;bench;--cacert'= { edit:complete-filename $@words }
        &'kvred;bench;--cert'= { edit:complete-filename $@words }
        &'kvred;bench;--key'= { edit:complete-filename $@words }
        &'kvred;bench;--sni'= {
        }
        &'kvred;bench;--db'= {
        }
        &'kvred;bench;--connect-timeout'= {
        }
        &'kvred;bench;--tests'= {
            cand ping 'PING'
            cand set 'SET of keys in the key space'
            cand get 'GET of keys that are there'
            cand exists 'EXISTS of keys that are there'
            cand del 'DEL of keys that are there, each once'
        }
        &'kvred;bench;-t'= {
            cand ping 'PING'
            cand set 'SET of keys in the key space'
            cand get 'GET of keys that are there'
            cand exists 'EXISTS of keys that are there'
            cand del 'DEL of keys that are there, each once'
        }
        &'kvred;bench;--ratio'= {
        }
        &'kvred;bench;--requests'= {
        }
        &'kvred;bench;-n'= {
        }
        &'kvred;bench;--duration'= {
        }
        &'kvred;bench;--clients'= {
        }
        &'kvred;bench;-c'= {
        }
        &'kvred;bench;--pipeline'= {
        }
        &'kvred;bench;-P'= {
        }
        &'kvred;bench;--data'= {
        }
        &'kvred;bench;-d'= {
        }
        &'kvred;bench;--keyspace'= {
        }
        &'kvred;bench;-r'= {
        }
        &'kvred;bench;--distribution'= {
            cand uniform 'Each as often as any other'
            cand zipf 'A few very often (exponent 0.99, as in YCSB)'
            cand sequential 'One after the other'
        }
        &'kvred;bench;--threads'= {
        }
        &'kvred;bench;--rate'= {
        }
        &'kvred;bench;--warmup'= {
        }
        &'kvred;bench;--repeats'= {
        }
        &'kvred;bench;--seed'= {
        }
        &'kvred;bench;--compare'= {
        }
        &'kvred;bench;--fail-if'= {
        }
        &'kvred;bench;--format'= {
            cand table 'For people, at most 80 columns'
            cand json 'One object'
            cand csv 'A line for each test'
        }
        &'kvred;bench;--output'= { edit:complete-filename $@words }
        &'kvred;bench;-o'= { edit:complete-filename $@words }
        &'kvred;bench;--color'= {
            cand auto 'On a terminal, unless NO_COLOR is set or TERM is dumb'
            cand always 'Always'
            cand never 'Never'
        }
        &'kvred;bench;diff;--color'= {
            cand auto 'On a terminal, unless NO_COLOR is set or TERM is dumb'
            cand always 'Always'
            cand never 'Never'
        }
        &'kvred;bench;report;--server-bin'= { edit:complete-filename $@words }
        &'kvred;bench;report;--fsync'= {
            cand always 'Answered once the disk has it: nothing acknowledged is ever lost'
            cand everysec 'Answered once the kernel has it, synced each second: a power cut takes 1 to 2 seconds at most'
            cand none 'Synced at shutdown, or once 32 MiB have piled up: a power cut takes what the kernel had not written, and may leave a hole, with which a start is refused'
        }
        &'kvred;bench;report;--repeats'= {
        }
        &'kvred;bench;report;--warmup'= {
        }
        &'kvred;bench;report;--ops-read'= {
        }
        &'kvred;bench;report;--ops-write'= {
        }
        &'kvred;bench;report;--data'= {
        }
        &'kvred;bench;report;-d'= {
        }
        &'kvred;bench;report;--peer'= {
        }
        &'kvred;bench;report;--output'= { edit:complete-filename $@words }
        &'kvred;bench;report;-o'= { edit:complete-filename $@words }
        &'kvred;bench;report;--resume'= { edit:complete-filename $@words }
        &'kvred;bench;report;--color'= {
            cand auto 'On a terminal, unless NO_COLOR is set or TERM is dumb'
            cand always 'Always'
            cand never 'Never'
        }
        &'kvred;completions;--color'= {
            cand auto 'On a terminal, unless NO_COLOR is set or TERM is dumb'
            cand always 'Always'
            cand never 'Never'
        }
        &'kvred;man;--color'= {
            cand auto 'On a terminal, unless NO_COLOR is set or TERM is dumb'
            cand always 'Always'
            cand never 'Never'
        }
    ]
    var files = [
        &'kvred;aof;check'= $true
        &'kvred;aof;dump'= $true
        &'kvred;aof;rewrite'= $true
        &'kvred;bench;diff'= $true
        &'kvred;bench;diff'= $true
        &'kvred;man'= $true
    ]
    var flag = $command';'$words[-2]
    if (has-key $values $flag) {
        $values[$flag]
    } elif (and (has-key $files $command) (not (str:has-prefix $words[-1] '-'))) {
        edit:complete-filename $@words
    } elif (has-key $completions $command) {
        $completions[$command]
    } else {
        edit:complete-filename $@words
    }
}
