# Print an optspec for argparse to handle cmd's options that are independent of any subcommand.
function __fish_kvred_global_optspecs
    string join \n color= h/help V/version
end

function __fish_kvred_needs_command
    # Figure out if the current invocation already has a command.
    set -l cmd (commandline -opc)
    set -e cmd[1]
    argparse -s (__fish_kvred_global_optspecs) -- $cmd 2>/dev/null
    or return
    if set -q argv[1]
        # Also print the command, so this can be used to figure out what it is.
        echo $argv[1]
        return 1
    end
    return 0
end

function __fish_kvred_using_subcommand
    set -l cmd (__fish_kvred_needs_command)
    test -z "$cmd"
    and return 1
    contains -- $cmd[1] $argv
end

complete -c kvred -n "__fish_kvred_needs_command" -l color -d 'When to use colour' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set or TERM is dumb'
always\t'Always'
never\t'Never'"
complete -c kvred -n "__fish_kvred_needs_command" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c kvred -n "__fish_kvred_needs_command" -s V -l version -d 'Print version'
complete -c kvred -n "__fish_kvred_needs_command" -f -a "serve" -d 'Run the server'
complete -c kvred -n "__fish_kvred_needs_command" -f -a "aof" -d 'Check, dump or rewrite a log'
complete -c kvred -n "__fish_kvred_needs_command" -f -a "cli" -d 'Talk to a server: a command, a script or a session'
complete -c kvred -n "__fish_kvred_needs_command" -f -a "bench" -d 'Measure a server: throughput and latency'
complete -c kvred -n "__fish_kvred_needs_command" -f -a "completions" -d 'Print the completions for a shell'
complete -c kvred -n "__fish_kvred_needs_command" -f -a "man" -d 'Write the man pages'
complete -c kvred -n "__fish_kvred_using_subcommand serve" -l bind -d 'Address or name to listen on' -r -f
complete -c kvred -n "__fish_kvred_using_subcommand serve" -l port -d 'TCP port, or none' -r -f
complete -c kvred -n "__fish_kvred_using_subcommand serve" -l tls-port -d 'TCP port for TLS' -r -f
complete -c kvred -n "__fish_kvred_using_subcommand serve" -l tls-cert-file -d 'The server\'s certificate, PEM' -r -F
complete -c kvred -n "__fish_kvred_using_subcommand serve" -l tls-key-file -d 'Its private key, PEM' -r -F
complete -c kvred -n "__fish_kvred_using_subcommand serve" -l tls-ca-cert-file -d 'CAs of the clients\' certificates, PEM' -r -F
complete -c kvred -n "__fish_kvred_using_subcommand serve" -l tls-auth-clients -d 'Must clients show a certificate?' -r -f -a "yes\t'They must, signed by one of --tls-ca-cert-file'
optional\t'They may; one that they show must be right'
no\t'They are not asked'"
complete -c kvred -n "__fish_kvred_using_subcommand serve" -l unixsocket -d 'Listen on this unix socket too' -r -F
complete -c kvred -n "__fish_kvred_using_subcommand serve" -l dir -d 'Where the log lies' -r -f -a "(__fish_complete_directories)"
complete -c kvred -n "__fish_kvred_using_subcommand serve" -l appendonly -d 'Keep a log: yes or no' -r -f -a "yes\t'On'
no\t'Off'"
complete -c kvred -n "__fish_kvred_using_subcommand serve" -l appendfilename -d 'Name of the log, in --dir' -r -F
complete -c kvred -n "__fish_kvred_using_subcommand serve" -l fsync -d 'When writes reach the disk' -r -f -a "always\t'Answered once the disk has it: nothing acknowledged is ever lost'
everysec\t'Answered once the kernel has it, synced each second: a power cut takes 1 to 2 seconds at most'
none\t'Synced at shutdown, or once 32 MiB have piled up: a power cut takes what the kernel had not written, and may leave a hole, with which a start is refused'"
complete -c kvred -n "__fish_kvred_using_subcommand serve" -l auto-aof-rewrite-percentage -d 'Growth that starts a rewrite, in %' -r -f
complete -c kvred -n "__fish_kvred_using_subcommand serve" -l auto-aof-rewrite-min-size -d 'Smallest log that is rewritten' -r -f
complete -c kvred -n "__fish_kvred_using_subcommand serve" -l threads -d 'Worker threads' -r -f
complete -c kvred -n "__fish_kvred_using_subcommand serve" -l maxclients -d 'Most clients at a time' -r -f
complete -c kvred -n "__fish_kvred_using_subcommand serve" -l maxmemory -d 'Most memory for the data; 0: no limit' -r -f
complete -c kvred -n "__fish_kvred_using_subcommand serve" -l proto-max-bulk-len -d 'Longest key or value' -r -f
complete -c kvred -n "__fish_kvred_using_subcommand serve" -l client-query-buffer-limit -d 'Most input waiting for one client' -r -f
complete -c kvred -n "__fish_kvred_using_subcommand serve" -l timeout -d 'Close clients idle for that long' -r -f
complete -c kvred -n "__fish_kvred_using_subcommand serve" -l slowlog-log-slower-than -d 'Keep commands that took this long' -r -f
complete -c kvred -n "__fish_kvred_using_subcommand serve" -l slowlog-max-len -d 'Most entries of the slow log' -r -f
complete -c kvred -n "__fish_kvred_using_subcommand serve" -l requirepass-file -d 'File with the password for clients' -r -F
complete -c kvred -n "__fish_kvred_using_subcommand serve" -l protected-mode -d 'Refuse other machines: yes or no' -r -f -a "yes\t'On'
no\t'Off'"
complete -c kvred -n "__fish_kvred_using_subcommand serve" -l log-level -d 'Least severe messages to log' -r -f -a "error\t''
warn\t''
info\t''
debug\t''
trace\t''"
complete -c kvred -n "__fish_kvred_using_subcommand serve" -l log-format -d 'Form of the messages on stderr' -r -f -a "text\t'Lines for people'
json\t'A JSON object a line'"
complete -c kvred -n "__fish_kvred_using_subcommand serve" -l color -d 'When to use colour' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set or TERM is dumb'
always\t'Always'
never\t'Never'"
complete -c kvred -n "__fish_kvred_using_subcommand serve" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c kvred -n "__fish_kvred_using_subcommand aof; and not __fish_seen_subcommand_from check dump rewrite" -l color -d 'When to use colour' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set or TERM is dumb'
always\t'Always'
never\t'Never'"
complete -c kvred -n "__fish_kvred_using_subcommand aof; and not __fish_seen_subcommand_from check dump rewrite" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c kvred -n "__fish_kvred_using_subcommand aof; and not __fish_seen_subcommand_from check dump rewrite" -f -a "check" -d 'Say whether a log is sound, and repair it'
complete -c kvred -n "__fish_kvred_using_subcommand aof; and not __fish_seen_subcommand_from check dump rewrite" -f -a "dump" -d 'Print what a log holds, as commands, JSON, RESP or a table'
complete -c kvred -n "__fish_kvred_using_subcommand aof; and not __fish_seen_subcommand_from check dump rewrite" -f -a "rewrite" -d 'Write a log anew with nothing but its data'
complete -c kvred -n "__fish_kvred_using_subcommand aof; and __fish_seen_subcommand_from check" -l salvage -d 'Save what verifies to a new log' -r -F
complete -c kvred -n "__fish_kvred_using_subcommand aof; and __fish_seen_subcommand_from check" -l color -d 'When to use colour' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set or TERM is dumb'
always\t'Always'
never\t'Never'"
complete -c kvred -n "__fish_kvred_using_subcommand aof; and __fish_seen_subcommand_from check" -l json -d 'Print one JSON document'
complete -c kvred -n "__fish_kvred_using_subcommand aof; and __fish_seen_subcommand_from check" -l fix -d 'Cut a torn log off where it is sound'
complete -c kvred -n "__fish_kvred_using_subcommand aof; and __fish_seen_subcommand_from check" -s y -l yes -d 'Do not ask before --fix'
complete -c kvred -n "__fish_kvred_using_subcommand aof; and __fish_seen_subcommand_from check" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c kvred -n "__fish_kvred_using_subcommand aof; and __fish_seen_subcommand_from dump" -l format -d 'How to print it' -r -f -a "commands\t'One command a line, quoted for `kvred cli` and redis-cli'
json\t'JSON Lines: offset, batch, time, command, args'
resp\t'RESP, for `redis-cli --pipe`'
table\t'For eyes, shortened to the terminal\'s width'"
complete -c kvred -n "__fish_kvred_using_subcommand aof; and __fish_seen_subcommand_from dump" -l key -d 'Only what concerns keys that match' -r -f
complete -c kvred -n "__fish_kvred_using_subcommand aof; and __fish_seen_subcommand_from dump" -l from -d 'Only from this byte of the file on' -r -f
complete -c kvred -n "__fish_kvred_using_subcommand aof; and __fish_seen_subcommand_from dump" -l since -d 'Only what was written at T or later' -r -f
complete -c kvred -n "__fish_kvred_using_subcommand aof; and __fish_seen_subcommand_from dump" -l until -d 'Only what was written until T' -r -f
complete -c kvred -n "__fish_kvred_using_subcommand aof; and __fish_seen_subcommand_from dump" -l limit -d 'Stop after so many commands' -r -f
complete -c kvred -n "__fish_kvred_using_subcommand aof; and __fish_seen_subcommand_from dump" -l color -d 'When to use colour' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set or TERM is dumb'
always\t'Always'
never\t'Never'"
complete -c kvred -n "__fish_kvred_using_subcommand aof; and __fish_seen_subcommand_from dump" -s f -l follow -d 'Go on as a server writes'
complete -c kvred -n "__fish_kvred_using_subcommand aof; and __fish_seen_subcommand_from dump" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c kvred -n "__fish_kvred_using_subcommand aof; and __fish_seen_subcommand_from rewrite" -s o -l output -d 'Write to this new file instead' -r -F
complete -c kvred -n "__fish_kvred_using_subcommand aof; and __fish_seen_subcommand_from rewrite" -l until -d 'The data as it was at T (needs -o)' -r -f
complete -c kvred -n "__fish_kvred_using_subcommand aof; and __fish_seen_subcommand_from rewrite" -l color -d 'When to use colour' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set or TERM is dumb'
always\t'Always'
never\t'Never'"
complete -c kvred -n "__fish_kvred_using_subcommand aof; and __fish_seen_subcommand_from rewrite" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c kvred -n "__fish_kvred_using_subcommand cli" -s h -l host -d 'The server\'s host' -r -f -a "(__fish_print_hostnames)"
complete -c kvred -n "__fish_kvred_using_subcommand cli" -s p -l port -d 'The server\'s port' -r -f
complete -c kvred -n "__fish_kvred_using_subcommand cli" -s s -l socket -d 'The server\'s unix socket; comes before -u, -h and -p' -r -F
complete -c kvred -n "__fish_kvred_using_subcommand cli" -s u -l uri -d 'redis://[[user:]password@]host[:port][/db] (port 6379 unless given), rediss:// for TLS, or unix://[[user:]password@]/path[?db=N]; comes before -h and -p, KVRED_URI before their variables alone' -r -f
complete -c kvred -n "__fish_kvred_using_subcommand cli" -l user -d 'Log in as this user; comes before a URI\'s, and that before KVRED_USER' -r -f
complete -c kvred -n "__fish_kvred_using_subcommand cli" -s a -l pass -d 'Password; others can see it in the process list, so prefer --askpass, --password-file or KVRED_PASSWORD' -r -f
complete -c kvred -n "__fish_kvred_using_subcommand cli" -l password-file -d 'Take the password from the first line of this file [else: KVRED_PASSWORD, REDISCLI_AUTH]' -r -F
complete -c kvred -n "__fish_kvred_using_subcommand cli" -l cacert -d 'Trust these CA certificates, PEM [default: those of the system]' -r -F
complete -c kvred -n "__fish_kvred_using_subcommand cli" -l cert -d 'Show this certificate to the server, PEM' -r -F
complete -c kvred -n "__fish_kvred_using_subcommand cli" -l key -d 'The certificate\'s private key, PEM' -r -F
complete -c kvred -n "__fish_kvred_using_subcommand cli" -l sni -d 'The name to find in the server\'s certificate [default: the host]' -r -f
complete -c kvred -n "__fish_kvred_using_subcommand cli" -s n -l db -d 'Select this database' -r -f
complete -c kvred -n "__fish_kvred_using_subcommand cli" -s t -l connect-timeout -d 'Give up connecting after so many seconds' -r -f
complete -c kvred -n "__fish_kvred_using_subcommand cli" -s r -l repeat -d 'Run the command so many times; for --stat, --latency: print so many lines [-1: without end]' -r -f
complete -c kvred -n "__fish_kvred_using_subcommand cli" -s i -l interval -d 'Wait so many seconds between repetitions, lines of --stat, cycles of --scan; --latency measures for so long' -r -f
complete -c kvred -n "__fish_kvred_using_subcommand cli" -l output -d 'How replies are printed' -r -f -a "auto\t'pretty on a terminal, raw elsewhere'
pretty\t'Typed and quoted, as redis-cli prints at a terminal'
raw\t'The bytes of the value and a newline; errors go to stderr'
csv\t'A line for each reply: strings in quotes (RFC 4180), a null is NULL'
json\t'A line of JSON for each reply, for which RESP3 is asked for: a map is an object; strings that are not UTF-8 are {"base64": "..."}'"
complete -c kvred -n "__fish_kvred_using_subcommand cli" -l pipe-timeout -d 'With --pipe: give up when no reply comes for so many seconds after all was sent; 0: never [default: 30]' -r -f
complete -c kvred -n "__fish_kvred_using_subcommand cli" -l pattern -d 'With --scan and --bigkeys: only keys that match, for instance \'user:*\'' -r -f
complete -c kvred -n "__fish_kvred_using_subcommand cli" -l count -d 'With --scan and --bigkeys: how many keys to ask for at a time' -r -f
complete -c kvred -n "__fish_kvred_using_subcommand cli" -l color -d 'When to use colour' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set or TERM is dumb'
always\t'Always'
never\t'Never'"
complete -c kvred -n "__fish_kvred_using_subcommand cli" -l askpass -d 'Ask for the password at the terminal'
complete -c kvred -n "__fish_kvred_using_subcommand cli" -l tls -d 'Speak TLS; so does a URI of rediss://'
complete -c kvred -n "__fish_kvred_using_subcommand cli" -l insecure -d 'Trust any server: whoever is on the way can read and change everything'
complete -c kvred -n "__fish_kvred_using_subcommand cli" -s 2 -d 'Speak RESP2 also where the output is JSON: no HELLO is sent'
complete -c kvred -n "__fish_kvred_using_subcommand cli" -s 3 -d 'Ask for RESP3 with HELLO'
complete -c kvred -n "__fish_kvred_using_subcommand cli" -s x -d 'Take the last argument from the standard input, byte for byte'
complete -c kvred -n "__fish_kvred_using_subcommand cli" -l quoted-input -d 'Arguments are quoted as in scripts: "\\x00" is a NUL byte'
complete -c kvred -n "__fish_kvred_using_subcommand cli" -l raw -d 'The same as --output raw'
complete -c kvred -n "__fish_kvred_using_subcommand cli" -l no-raw -d 'The same as --output pretty'
complete -c kvred -n "__fish_kvred_using_subcommand cli" -l csv -d 'The same as --output csv'
complete -c kvred -n "__fish_kvred_using_subcommand cli" -l json -d 'The same as --output json'
complete -c kvred -n "__fish_kvred_using_subcommand cli" -l no-newline -d 'Print no newline behind a reply: a value comes out exactly as it was stored'
complete -c kvred -n "__fish_kvred_using_subcommand cli" -l keep-going -d 'In a script: go on after an error, and exit 1 at the end'
complete -c kvred -n "__fish_kvred_using_subcommand cli" -l pipe -d 'Send RESP or command lines from the standard input as fast as they go, and count replies and errors'
complete -c kvred -n "__fish_kvred_using_subcommand cli" -l stat -d 'Print a line of the server\'s figures each second'
complete -c kvred -n "__fish_kvred_using_subcommand cli" -l latency -d 'Measure the time of a PING, until Ctrl-C; for one second with --raw, --csv, --json or no terminal to print to'
complete -c kvred -n "__fish_kvred_using_subcommand cli" -l scan -d 'Print all keys'
complete -c kvred -n "__fish_kvred_using_subcommand cli" -l bigkeys -d 'Find the biggest keys of each type'
complete -c kvred -n "__fish_kvred_using_subcommand cli" -s e -d 'Exit codes always tell of errors; taken for the sake of habit'
complete -c kvred -n "__fish_kvred_using_subcommand cli" -l no-auth-warning -d 'Do not warn about -a'
complete -c kvred -n "__fish_kvred_using_subcommand cli" -l help -d 'Print help'
complete -c kvred -n "__fish_kvred_using_subcommand cli" -s v -l version -d 'Print the version'
complete -c kvred -n "__fish_kvred_using_subcommand bench; and not __fish_seen_subcommand_from diff report" -s h -l host -d 'The server\'s host' -r -f -a "(__fish_print_hostnames)"
complete -c kvred -n "__fish_kvred_using_subcommand bench; and not __fish_seen_subcommand_from diff report" -s p -l port -d 'The server\'s port' -r -f
complete -c kvred -n "__fish_kvred_using_subcommand bench; and not __fish_seen_subcommand_from diff report" -s s -l socket -d 'The server\'s unix socket; comes before -u, -h and -p' -r -F
complete -c kvred -n "__fish_kvred_using_subcommand bench; and not __fish_seen_subcommand_from diff report" -s u -l uri -d 'redis://[[user:]password@]host[:port][/db] (port 6379 unless given), rediss:// for TLS, or unix://[[user:]password@]/path[?db=N]; comes before -h and -p, KVRED_URI before their variables alone' -r -f
complete -c kvred -n "__fish_kvred_using_subcommand bench; and not __fish_seen_subcommand_from diff report" -l user -d 'Log in as this user; comes before a URI\'s, and that before KVRED_USER' -r -f
complete -c kvred -n "__fish_kvred_using_subcommand bench; and not __fish_seen_subcommand_from diff report" -s a -l pass -d 'Password; others can see it in the process list, so prefer --askpass, --password-file or KVRED_PASSWORD' -r -f
complete -c kvred -n "__fish_kvred_using_subcommand bench; and not __fish_seen_subcommand_from diff report" -l password-file -d 'Take the password from the first line of this file [else: KVRED_PASSWORD, REDISCLI_AUTH]' -r -F
complete -c kvred -n "__fish_kvred_using_subcommand bench; and not __fish_seen_subcommand_from diff report" -l cacert -d 'Trust these CA certificates, PEM [default: those of the system]' -r -F
complete -c kvred -n "__fish_kvred_using_subcommand bench; and not __fish_seen_subcommand_from diff report" -l cert -d 'Show this certificate to the server, PEM' -r -F
complete -c kvred -n "__fish_kvred_using_subcommand bench; and not __fish_seen_subcommand_from diff report" -l key -d 'The certificate\'s private key, PEM' -r -F
complete -c kvred -n "__fish_kvred_using_subcommand bench; and not __fish_seen_subcommand_from diff report" -l sni -d 'The name to find in the server\'s certificate [default: the host]' -r -f
complete -c kvred -n "__fish_kvred_using_subcommand bench; and not __fish_seen_subcommand_from diff report" -l db -d 'Select this database' -r -f
complete -c kvred -n "__fish_kvred_using_subcommand bench; and not __fish_seen_subcommand_from diff report" -l connect-timeout -d 'Give up connecting after so many seconds' -r -f
complete -c kvred -n "__fish_kvred_using_subcommand bench; and not __fish_seen_subcommand_from diff report" -s t -l tests -d 'The tests, with commas between them; ping, set, get, exists and del unless given' -r -f -a "ping\t'PING'
set\t'SET of keys in the key space'
get\t'GET of keys that are there'
exists\t'EXISTS of keys that are there'
del\t'DEL of keys that are there, each once'"
complete -c kvred -n "__fish_kvred_using_subcommand bench; and not __fish_seen_subcommand_from diff report" -l ratio -d 'One test of SETs and GETs in this ratio, for instance 1:10' -r -f
complete -c kvred -n "__fish_kvred_using_subcommand bench; and not __fish_seen_subcommand_from diff report" -s n -l requests -d 'Requests of each test [default: 100000]' -r -f
complete -c kvred -n "__fish_kvred_using_subcommand bench; and not __fish_seen_subcommand_from diff report" -l duration -d 'Seconds of each test' -r -f
complete -c kvred -n "__fish_kvred_using_subcommand bench; and not __fish_seen_subcommand_from diff report" -s c -l clients -d 'Connections' -r -f
complete -c kvred -n "__fish_kvred_using_subcommand bench; and not __fish_seen_subcommand_from diff report" -s P -l pipeline -d 'Requests that a connection sends before it waits for their replies' -r -f
complete -c kvred -n "__fish_kvred_using_subcommand bench; and not __fish_seen_subcommand_from diff report" -s d -l data -d 'Bytes of a value: a size, or a range like 16-1024' -r -f
complete -c kvred -n "__fish_kvred_using_subcommand bench; and not __fish_seen_subcommand_from diff report" -s r -l keyspace -d 'How many keys there are' -r -f
complete -c kvred -n "__fish_kvred_using_subcommand bench; and not __fish_seen_subcommand_from diff report" -l distribution -d 'How keys are chosen' -r -f -a "uniform\t'Each as often as any other'
zipf\t'A few very often (exponent 0.99, as in YCSB)'
sequential\t'One after the other'"
complete -c kvred -n "__fish_kvred_using_subcommand bench; and not __fish_seen_subcommand_from diff report" -l threads -d 'Worker threads [default: one for every two cores]' -r -f
complete -c kvred -n "__fish_kvred_using_subcommand bench; and not __fish_seen_subcommand_from diff report" -l rate -d 'Send so many requests a second on a fixed schedule, and measure from when each should have left' -r -f
complete -c kvred -n "__fish_kvred_using_subcommand bench; and not __fish_seen_subcommand_from diff report" -l warmup -d 'Requests before each test that do not count' -r -f
complete -c kvred -n "__fish_kvred_using_subcommand bench; and not __fish_seen_subcommand_from diff report" -l repeats -d 'Run each test so many times: ops/s is the median, all else is over the requests of all runs [default: 1, with --compare 5]' -r -f
complete -c kvred -n "__fish_kvred_using_subcommand bench; and not __fish_seen_subcommand_from diff report" -l seed -d 'What keys and values are chosen by: the same seed, the same requests' -r -f
complete -c kvred -n "__fish_kvred_using_subcommand bench; and not __fish_seen_subcommand_from diff report" -l compare -d 'Measure this server too, in turn with the first: HOST:PORT, with the first one\'s login, database and TLS; or a URI, with its own; --db is for both' -r -f
complete -c kvred -n "__fish_kvred_using_subcommand bench; and not __fish_seen_subcommand_from diff report" -l fail-if -d 'Exit with 1 when this is true, for instance \'p99>2ms\'; may be given several times; with --compare, of the first server' -r -f
complete -c kvred -n "__fish_kvred_using_subcommand bench; and not __fish_seen_subcommand_from diff report" -l format -d 'How the results are printed [default: table, or what the name of -o ends in]' -r -f -a "table\t'For people, at most 80 columns'
json\t'One object'
csv\t'A line for each test'"
complete -c kvred -n "__fish_kvred_using_subcommand bench; and not __fish_seen_subcommand_from diff report" -s o -l output -d 'Write the results to this file; the table then still goes to stdout. -: no table, but the results, as JSON' -r -F
complete -c kvred -n "__fish_kvred_using_subcommand bench; and not __fish_seen_subcommand_from diff report" -l color -d 'When to use colour' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set or TERM is dumb'
always\t'Always'
never\t'Never'"
complete -c kvred -n "__fish_kvred_using_subcommand bench; and not __fish_seen_subcommand_from diff report" -l askpass -d 'Ask for the password at the terminal'
complete -c kvred -n "__fish_kvred_using_subcommand bench; and not __fish_seen_subcommand_from diff report" -l tls -d 'Speak TLS; so does a URI of rediss://'
complete -c kvred -n "__fish_kvred_using_subcommand bench; and not __fish_seen_subcommand_from diff report" -l insecure -d 'Trust any server: whoever is on the way can read and change everything'
complete -c kvred -n "__fish_kvred_using_subcommand bench; and not __fish_seen_subcommand_from diff report" -l verify -d 'Check each value that is read; it follows from key and seed'
complete -c kvred -n "__fish_kvred_using_subcommand bench; and not __fish_seen_subcommand_from diff report" -l help -d 'Print help'
complete -c kvred -n "__fish_kvred_using_subcommand bench; and not __fish_seen_subcommand_from diff report" -f -a "diff" -d 'Compare two results that were saved as JSON'
complete -c kvred -n "__fish_kvred_using_subcommand bench; and not __fish_seen_subcommand_from diff report" -f -a "report" -d 'Measure servers of its own, with charts'
complete -c kvred -n "__fish_kvred_using_subcommand bench; and __fish_seen_subcommand_from diff" -l color -d 'When to use colour' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set or TERM is dumb'
always\t'Always'
never\t'Never'"
complete -c kvred -n "__fish_kvred_using_subcommand bench; and __fish_seen_subcommand_from diff" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c kvred -n "__fish_kvred_using_subcommand bench; and __fish_seen_subcommand_from report" -l server-bin -d 'The kvred to measure [default: this one]' -r -F
complete -c kvred -n "__fish_kvred_using_subcommand bench; and __fish_seen_subcommand_from report" -l fsync -d 'The policies, with commas between them' -r -f -a "always\t'Answered once the disk has it: nothing acknowledged is ever lost'
everysec\t'Answered once the kernel has it, synced each second: a power cut takes 1 to 2 seconds at most'
none\t'Synced at shutdown, or once 32 MiB have piled up: a power cut takes what the kernel had not written, and may leave a hole, with which a start is refused'"
complete -c kvred -n "__fish_kvred_using_subcommand bench; and __fish_seen_subcommand_from report" -l repeats -d 'Runs of each test that count' -r -f
complete -c kvred -n "__fish_kvred_using_subcommand bench; and __fish_seen_subcommand_from report" -l warmup -d 'Runs of each test before those' -r -f
complete -c kvred -n "__fish_kvred_using_subcommand bench; and __fish_seen_subcommand_from report" -l ops-read -d 'Requests in a run of PING, GET and EXISTS' -r -f
complete -c kvred -n "__fish_kvred_using_subcommand bench; and __fish_seen_subcommand_from report" -l ops-write -d 'Requests in a run of SET and DEL' -r -f
complete -c kvred -n "__fish_kvred_using_subcommand bench; and __fish_seen_subcommand_from report" -s d -l data -d 'Bytes of a value: a size, or a range like 16-1024' -r -f
complete -c kvred -n "__fish_kvred_using_subcommand bench; and __fish_seen_subcommand_from report" -l peer -d 'Another server to measure beside it' -r -f
complete -c kvred -n "__fish_kvred_using_subcommand bench; and __fish_seen_subcommand_from report" -s o -l output -d 'The folder to write to' -r -F
complete -c kvred -n "__fish_kvred_using_subcommand bench; and __fish_seen_subcommand_from report" -l resume -d 'Go on with the interrupted report in this folder' -r -F
complete -c kvred -n "__fish_kvred_using_subcommand bench; and __fish_seen_subcommand_from report" -l color -d 'When to use colour' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set or TERM is dumb'
always\t'Always'
never\t'Never'"
complete -c kvred -n "__fish_kvred_using_subcommand bench; and __fish_seen_subcommand_from report" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c kvred -n "__fish_kvred_using_subcommand completions" -l color -d 'When to use colour' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set or TERM is dumb'
always\t'Always'
never\t'Never'"
complete -c kvred -n "__fish_kvred_using_subcommand completions" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c kvred -n "__fish_kvred_using_subcommand man" -l color -d 'When to use colour' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set or TERM is dumb'
always\t'Always'
never\t'Never'"
complete -c kvred -n "__fish_kvred_using_subcommand man" -s h -l help -d 'Print help (see more with \'--help\')'
