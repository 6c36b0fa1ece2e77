
using namespace System.Management.Automation
using namespace System.Management.Automation.Language

Register-ArgumentCompleter -Native -CommandName 'kvred' -ScriptBlock {
    param($wordToComplete, $commandAst, $cursorPosition)

    $commandElements = $commandAst.CommandElements
    $command = @(
        'kvred'
        for ($i = 1; $i -lt $commandElements.Count; $i++) {
            $element = $commandElements[$i]
            if ($element -isnot [StringConstantExpressionAst] -or
                $element.StringConstantType -ne [StringConstantType]::BareWord -or
                $element.Value.StartsWith('-') -or
                $element.Value -eq $wordToComplete) {
                break
        }
        $element.Value
    }) -join ';'

    $completions = @(switch ($command) {
        'kvred' {
            [CompletionResult]::new('--color', '--color', [CompletionResultType]::ParameterName, 'When to use colour')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('-V', '-V ', [CompletionResultType]::ParameterName, 'Print version')
            [CompletionResult]::new('--version', '--version', [CompletionResultType]::ParameterName, 'Print version')
            [CompletionResult]::new('serve', 'serve', [CompletionResultType]::ParameterValue, 'Run the server')
            [CompletionResult]::new('aof', 'aof', [CompletionResultType]::ParameterValue, 'Check, dump or rewrite a log')
            [CompletionResult]::new('cli', 'cli', [CompletionResultType]::ParameterValue, 'Talk to a server: a command, a script or a session')
            [CompletionResult]::new('bench', 'bench', [CompletionResultType]::ParameterValue, 'Measure a server: throughput and latency')
            [CompletionResult]::new('completions', 'completions', [CompletionResultType]::ParameterValue, 'Print the completions for a shell')
            [CompletionResult]::new('man', 'man', [CompletionResultType]::ParameterValue, 'Write the man pages')
            break
        }
        'kvred;serve' {
            [CompletionResult]::new('--bind', '--bind', [CompletionResultType]::ParameterName, 'Address or name to listen on')
            [CompletionResult]::new('--port', '--port', [CompletionResultType]::ParameterName, 'TCP port, or none')
            [CompletionResult]::new('--tls-port', '--tls-port', [CompletionResultType]::ParameterName, 'TCP port for TLS')
            [CompletionResult]::new('--tls-cert-file', '--tls-cert-file', [CompletionResultType]::ParameterName, 'The server''s certificate, PEM')
            [CompletionResult]::new('--tls-key-file', '--tls-key-file', [CompletionResultType]::ParameterName, 'Its private key, PEM')
            [CompletionResult]::new('--tls-ca-cert-file', '--tls-ca-cert-file', [CompletionResultType]::ParameterName, 'CAs of the clients'' certificates, PEM')
            [CompletionResult]::new('--tls-auth-clients', '--tls-auth-clients', [CompletionResultType]::ParameterName, 'Must clients show a certificate?')
            [CompletionResult]::new('--unixsocket', '--unixsocket', [CompletionResultType]::ParameterName, 'Listen on this unix socket too')
            [CompletionResult]::new('--dir', '--dir', [CompletionResultType]::ParameterName, 'Where the log lies')
            [CompletionResult]::new('--appendonly', '--appendonly', [CompletionResultType]::ParameterName, 'Keep a log: yes or no')
            [CompletionResult]::new('--appendfilename', '--appendfilename', [CompletionResultType]::ParameterName, 'Name of the log, in --dir')
            [CompletionResult]::new('--fsync', '--fsync', [CompletionResultType]::ParameterName, 'When writes reach the disk')
            [CompletionResult]::new('--auto-aof-rewrite-percentage', '--auto-aof-rewrite-percentage', [CompletionResultType]::ParameterName, 'Growth that starts a rewrite, in %')
            [CompletionResult]::new('--auto-aof-rewrite-min-size', '--auto-aof-rewrite-min-size', [CompletionResultType]::ParameterName, 'Smallest log that is rewritten')
            [CompletionResult]::new('--threads', '--threads', [CompletionResultType]::ParameterName, 'Worker threads')
            [CompletionResult]::new('--maxclients', '--maxclients', [CompletionResultType]::ParameterName, 'Most clients at a time')
            [CompletionResult]::new('--maxmemory', '--maxmemory', [CompletionResultType]::ParameterName, 'Most memory for the data; 0: no limit')
            [CompletionResult]::new('--proto-max-bulk-len', '--proto-max-bulk-len', [CompletionResultType]::ParameterName, 'Longest key or value')
            [CompletionResult]::new('--client-query-buffer-limit', '--client-query-buffer-limit', [CompletionResultType]::ParameterName, 'Most input waiting for one client')
            [CompletionResult]::new('--timeout', '--timeout', [CompletionResultType]::ParameterName, 'Close clients idle for that long')
            [CompletionResult]::new('--slowlog-log-slower-than', '--slowlog-log-slower-than', [CompletionResultType]::ParameterName, 'Keep commands that took this long')
            [CompletionResult]::new('--slowlog-max-len', '--slowlog-max-len', [CompletionResultType]::ParameterName, 'Most entries of the slow log')
            [CompletionResult]::new('--requirepass-file', '--requirepass-file', [CompletionResultType]::ParameterName, 'File with the password for clients')
            [CompletionResult]::new('--protected-mode', '--protected-mode', [CompletionResultType]::ParameterName, 'Refuse other machines: yes or no')
            [CompletionResult]::new('--log-level', '--log-level', [CompletionResultType]::ParameterName, 'Least severe messages to log')
            [CompletionResult]::new('--log-format', '--log-format', [CompletionResultType]::ParameterName, 'Form of the messages on stderr')
            [CompletionResult]::new('--color', '--color', [CompletionResultType]::ParameterName, 'When to use colour')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            break
        }
        'kvred;aof' {
            [CompletionResult]::new('--color', '--color', [CompletionResultType]::ParameterName, 'When to use colour')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('check', 'check', [CompletionResultType]::ParameterValue, 'Say whether a log is sound, and repair it')
            [CompletionResult]::new('dump', 'dump', [CompletionResultType]::ParameterValue, 'Print what a log holds, as commands, JSON, RESP or a table')
            [CompletionResult]::new('rewrite', 'rewrite', [CompletionResultType]::ParameterValue, 'Write a log anew with nothing but its data')
            break
        }
        'kvred;aof;check' {
            [CompletionResult]::new('--salvage', '--salvage', [CompletionResultType]::ParameterName, 'Save what verifies to a new log')
            [CompletionResult]::new('--color', '--color', [CompletionResultType]::ParameterName, 'When to use colour')
            [CompletionResult]::new('--json', '--json', [CompletionResultType]::ParameterName, 'Print one JSON document')
            [CompletionResult]::new('--fix', '--fix', [CompletionResultType]::ParameterName, 'Cut a torn log off where it is sound')
            [CompletionResult]::new('-y', '-y', [CompletionResultType]::ParameterName, 'Do not ask before --fix')
            [CompletionResult]::new('--yes', '--yes', [CompletionResultType]::ParameterName, 'Do not ask before --fix')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            break
        }
        'kvred;aof;dump' {
            [CompletionResult]::new('--format', '--format', [CompletionResultType]::ParameterName, 'How to print it')
            [CompletionResult]::new('--key', '--key', [CompletionResultType]::ParameterName, 'Only what concerns keys that match')
            [CompletionResult]::new('--from', '--from', [CompletionResultType]::ParameterName, 'Only from this byte of the file on')
            [CompletionResult]::new('--since', '--since', [CompletionResultType]::ParameterName, 'Only what was written at T or later')
            [CompletionResult]::new('--until', '--until', [CompletionResultType]::ParameterName, 'Only what was written until T')
            [CompletionResult]::new('--limit', '--limit', [CompletionResultType]::ParameterName, 'Stop after so many commands')
            [CompletionResult]::new('--color', '--color', [CompletionResultType]::ParameterName, 'When to use colour')
            [CompletionResult]::new('-f', '-f', [CompletionResultType]::ParameterName, 'Go on as a server writes')
            [CompletionResult]::new('--follow', '--follow', [CompletionResultType]::ParameterName, 'Go on as a server writes')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            break
        }
        'kvred;aof;rewrite' {
            [CompletionResult]::new('-o', '-o', [CompletionResultType]::ParameterName, 'Write to this new file instead')
            [CompletionResult]::new('--output', '--output', [CompletionResultType]::ParameterName, 'Write to this new file instead')
            [CompletionResult]::new('--until', '--until', [CompletionResultType]::ParameterName, 'The data as it was at T (needs -o)')
            [CompletionResult]::new('--color', '--color', [CompletionResultType]::ParameterName, 'When to use colour')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            break
        }
        'kvred;cli' {
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'The server''s host')
            [CompletionResult]::new('--host', '--host', [CompletionResultType]::ParameterName, 'The server''s host')
            [CompletionResult]::new('-p', '-p', [CompletionResultType]::ParameterName, 'The server''s port')
            [CompletionResult]::new('--port', '--port', [CompletionResultType]::ParameterName, 'The server''s port')
            [CompletionResult]::new('-s', '-s', [CompletionResultType]::ParameterName, 'The server''s unix socket; comes before -u, -h and -p')
            [CompletionResult]::new('--socket', '--socket', [CompletionResultType]::ParameterName, 'The server''s unix socket; comes before -u, -h and -p')
            [CompletionResult]::new('-u', '-u', [CompletionResultType]::ParameterName, 'redis://[[user:]password@]host[:port][/db] (port 6379 unless given), rediss:// for TLS, or unix://[[user:]password@]/path[?db=N]; comes before -h and -p, KVRED_URI before their variables alone')
            [CompletionResult]::new('--uri', '--uri', [CompletionResultType]::ParameterName, 'redis://[[user:]password@]host[:port][/db] (port 6379 unless given), rediss:// for TLS, or unix://[[user:]password@]/path[?db=N]; comes before -h and -p, KVRED_URI before their variables alone')
            [CompletionResult]::new('--user', '--user', [CompletionResultType]::ParameterName, 'Log in as this user; comes before a URI''s, and that before KVRED_USER')
            [CompletionResult]::new('-a', '-a', [CompletionResultType]::ParameterName, 'Password; others can see it in the process list, so prefer --askpass, --password-file or KVRED_PASSWORD')
            [CompletionResult]::new('--pass', '--pass', [CompletionResultType]::ParameterName, 'Password; others can see it in the process list, so prefer --askpass, --password-file or KVRED_PASSWORD')
            [CompletionResult]::new('--password-file', '--password-file', [CompletionResultType]::ParameterName, 'Take the password from the first line of this file [else: KVRED_PASSWORD, REDISCLI_AUTH]')
            [CompletionResult]::new('--cacert', '--cacert', [CompletionResultType]::ParameterName, 'Trust these CA certificates, PEM [default: those of the system]')
            [CompletionResult]::new('--cert', '--cert', [CompletionResultType]::ParameterName, 'Show this certificate to the server, PEM')
            [CompletionResult]::new('--key', '--key', [CompletionResultType]::ParameterName, 'The certificate''s private key, PEM')
            [CompletionResult]::new('--sni', '--sni', [CompletionResultType]::ParameterName, 'The name to find in the server''s certificate [default: the host]')
            [CompletionResult]::new('-n', '-n', [CompletionResultType]::ParameterName, 'Select this database')
            [CompletionResult]::new('--db', '--db', [CompletionResultType]::ParameterName, 'Select this database')
            [CompletionResult]::new('-t', '-t', [CompletionResultType]::ParameterName, 'Give up connecting after so many seconds')
            [CompletionResult]::new('--connect-timeout', '--connect-timeout', [CompletionResultType]::ParameterName, 'Give up connecting after so many seconds')
            [CompletionResult]::new('-r', '-r', [CompletionResultType]::ParameterName, 'Run the command so many times; for --stat, --latency: print so many lines [-1: without end]')
            [CompletionResult]::new('--repeat', '--repeat', [CompletionResultType]::ParameterName, 'Run the command so many times; for --stat, --latency: print so many lines [-1: without end]')
            [CompletionResult]::new('-i', '-i', [CompletionResultType]::ParameterName, 'Wait so many seconds between repetitions, lines of --stat, cycles of --scan; --latency measures for so long')
            [CompletionResult]::new('--interval', '--interval', [CompletionResultType]::ParameterName, 'Wait so many seconds between repetitions, lines of --stat, cycles of --scan; --latency measures for so long')
            [CompletionResult]::new('--output', '--output', [CompletionResultType]::ParameterName, 'How replies are printed')
            [CompletionResult]::new('--pipe-timeout', '--pipe-timeout', [CompletionResultType]::ParameterName, 'With --pipe: give up when no reply comes for so many seconds after all was sent; 0: never [default: 30]')
            [CompletionResult]::new('--pattern', '--pattern', [CompletionResultType]::ParameterName, 'With --scan and --bigkeys: only keys that match, for instance ''user:*''')
            [CompletionResult]::new('--count', '--count', [CompletionResultType]::ParameterName, 'With --scan and --bigkeys: how many keys to ask for at a time')
            [CompletionResult]::new('--color', '--color', [CompletionResultType]::ParameterName, 'When to use colour')
            [CompletionResult]::new('--askpass', '--askpass', [CompletionResultType]::ParameterName, 'Ask for the password at the terminal')
            [CompletionResult]::new('--tls', '--tls', [CompletionResultType]::ParameterName, 'Speak TLS; so does a URI of rediss://')
            [CompletionResult]::new('--insecure', '--insecure', [CompletionResultType]::ParameterName, 'Trust any server: whoever is on the way can read and change everything')
            [CompletionResult]::new('-2', '-2', [CompletionResultType]::ParameterName, 'Speak RESP2 also where the output is JSON: no HELLO is sent')
            [CompletionResult]::new('-3', '-3', [CompletionResultType]::ParameterName, 'Ask for RESP3 with HELLO')
            [CompletionResult]::new('-x', '-x', [CompletionResultType]::ParameterName, 'Take the last argument from the standard input, byte for byte')
            [CompletionResult]::new('--quoted-input', '--quoted-input', [CompletionResultType]::ParameterName, 'Arguments are quoted as in scripts: "\x00" is a NUL byte')
            [CompletionResult]::new('--raw', '--raw', [CompletionResultType]::ParameterName, 'The same as --output raw')
            [CompletionResult]::new('--no-raw', '--no-raw', [CompletionResultType]::ParameterName, 'The same as --output pretty')
            [CompletionResult]::new('--csv', '--csv', [CompletionResultType]::ParameterName, 'The same as --output csv')
            [CompletionResult]::new('--json', '--json', [CompletionResultType]::ParameterName, 'The same as --output json')
            [CompletionResult]::new('--no-newline', '--no-newline', [CompletionResultType]::ParameterName, 'Print no newline behind a reply: a value comes out exactly as it was stored')
            [CompletionResult]::new('--keep-going', '--keep-going', [CompletionResultType]::ParameterName, 'In a script: go on after an error, and exit 1 at the end')
            [CompletionResult]::new('--pipe', '--pipe', [CompletionResultType]::ParameterName, 'Send RESP or command lines from the standard input as fast as they go, and count replies and errors')
            [CompletionResult]::new('--stat', '--stat', [CompletionResultType]::ParameterName, 'Print a line of the server''s figures each second')
            [CompletionResult]::new('--latency', '--latency', [CompletionResultType]::ParameterName, 'Measure the time of a PING, until Ctrl-C; for one second with --raw, --csv, --json or no terminal to print to')
            [CompletionResult]::new('--scan', '--scan', [CompletionResultType]::ParameterName, 'Print all keys')
            [CompletionResult]::new('--bigkeys', '--bigkeys', [CompletionResultType]::ParameterName, 'Find the biggest keys of each type')
            [CompletionResult]::new('-e', '-e', [CompletionResultType]::ParameterName, 'Exit codes always tell of errors; taken for the sake of habit')
            [CompletionResult]::new('--no-auth-warning', '--no-auth-warning', [CompletionResultType]::ParameterName, 'Do not warn about -a')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Print the version')
            [CompletionResult]::new('--version', '--version', [CompletionResultType]::ParameterName, 'Print the version')
            break
        }
        'kvred;bench' {
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'The server''s host')
            [CompletionResult]::new('--host', '--host', [CompletionResultType]::ParameterName, 'The server''s host')
            [CompletionResult]::new('-p', '-p', [CompletionResultType]::ParameterName, 'The server''s port')
            [CompletionResult]::new('--port', '--port', [CompletionResultType]::ParameterName, 'The server''s port')
            [CompletionResult]::new('-s', '-s', [CompletionResultType]::ParameterName, 'The server''s unix socket; comes before -u, -h and -p')
            [CompletionResult]::new('--socket', '--socket', [CompletionResultType]::ParameterName, 'The server''s unix socket; comes before -u, -h and -p')
            [CompletionResult]::new('-u', '-u', [CompletionResultType]::ParameterName, 'redis://[[user:]password@]host[:port][/db] (port 6379 unless given), rediss:// for TLS, or unix://[[user:]password@]/path[?db=N]; comes before -h and -p, KVRED_URI before their variables alone')
            [CompletionResult]::new('--uri', '--uri', [CompletionResultType]::ParameterName, 'redis://[[user:]password@]host[:port][/db] (port 6379 unless given), rediss:// for TLS, or unix://[[user:]password@]/path[?db=N]; comes before -h and -p, KVRED_URI before their variables alone')
            [CompletionResult]::new('--user', '--user', [CompletionResultType]::ParameterName, 'Log in as this user; comes before a URI''s, and that before KVRED_USER')
            [CompletionResult]::new('-a', '-a', [CompletionResultType]::ParameterName, 'Password; others can see it in the process list, so prefer --askpass, --password-file or KVRED_PASSWORD')
            [CompletionResult]::new('--pass', '--pass', [CompletionResultType]::ParameterName, 'Password; others can see it in the process list, so prefer --askpass, --password-file or KVRED_PASSWORD')
            [CompletionResult]::new('--password-file', '--password-file', [CompletionResultType]::ParameterName, 'Take the password from the first line of this file [else: KVRED_PASSWORD, REDISCLI_AUTH]')
            [CompletionResult]::new('--cacert', '--cacert', [CompletionResultType]::ParameterName, 'Trust these CA certificates, PEM [default: those of the system]')
            [CompletionResult]::new('--cert', '--cert', [CompletionResultType]::ParameterName, 'Show this certificate to the server, PEM')
            [CompletionResult]::new('--key', '--key', [CompletionResultType]::ParameterName, 'The certificate''s private key, PEM')
            [CompletionResult]::new('--sni', '--sni', [CompletionResultType]::ParameterName, 'The name to find in the server''s certificate [default: the host]')
            [CompletionResult]::new('--db', '--db', [CompletionResultType]::ParameterName, 'Select this database')
            [CompletionResult]::new('--connect-timeout', '--connect-timeout', [CompletionResultType]::ParameterName, 'Give up connecting after so many seconds')
            [CompletionResult]::new('-t', '-t', [CompletionResultType]::ParameterName, 'The tests, with commas between them; ping, set, get, exists and del unless given')
            [CompletionResult]::new('--tests', '--tests', [CompletionResultType]::ParameterName, 'The tests, with commas between them; ping, set, get, exists and del unless given')
            [CompletionResult]::new('--ratio', '--ratio', [CompletionResultType]::ParameterName, 'One test of SETs and GETs in this ratio, for instance 1:10')
            [CompletionResult]::new('-n', '-n', [CompletionResultType]::ParameterName, 'Requests of each test [default: 100000]')
            [CompletionResult]::new('--requests', '--requests', [CompletionResultType]::ParameterName, 'Requests of each test [default: 100000]')
            [CompletionResult]::new('--duration', '--duration', [CompletionResultType]::ParameterName, 'Seconds of each test')
            [CompletionResult]::new('-c', '-c', [CompletionResultType]::ParameterName, 'Connections')
            [CompletionResult]::new('--clients', '--clients', [CompletionResultType]::ParameterName, 'Connections')
            [CompletionResult]::new('-P', '-P ', [CompletionResultType]::ParameterName, 'Requests that a connection sends before it waits for their replies')
            [CompletionResult]::new('--pipeline', '--pipeline', [CompletionResultType]::ParameterName, 'Requests that a connection sends before it waits for their replies')
            [CompletionResult]::new('-d', '-d', [CompletionResultType]::ParameterName, 'Bytes of a value: a size, or a range like 16-1024')
            [CompletionResult]::new('--data', '--data', [CompletionResultType]::ParameterName, 'Bytes of a value: a size, or a range like 16-1024')
            [CompletionResult]::new('-r', '-r', [CompletionResultType]::ParameterName, 'How many keys there are')
            [CompletionResult]::new('--keyspace', '--keyspace', [CompletionResultType]::ParameterName, 'How many keys there are')
            [CompletionResult]::new('--distribution', '--distribution', [CompletionResultType]::ParameterName, 'How keys are chosen')
            [CompletionResult]::new('--threads', '--threads', [CompletionResultType]::ParameterName, 'Worker threads [default: one for every two cores]')
            [CompletionResult]::new('--rate', '--rate', [CompletionResultType]::ParameterName, 'Send so many requests a second on a fixed schedule, and measure from when each should have left')
            [CompletionResult]::new('--warmup', '--warmup', [CompletionResultType]::ParameterName, 'Requests before each test that do not count')
            [CompletionResult]::new('--repeats', '--repeats', [CompletionResultType]::ParameterName, 'Run each test so many times: ops/s is the median, all else is over the requests of all runs [default: 1, with --compare 5]')
            [CompletionResult]::new('--seed', '--seed', [CompletionResultType]::ParameterName, 'What keys and values are chosen by: the same seed, the same requests')
            [CompletionResult]::new('--compare', '--compare', [CompletionResultType]::ParameterName, 'Measure this server too, in turn with the first: HOST:PORT, with the first one''s login, database and TLS; or a URI, with its own; --db is for both')
            [CompletionResult]::new('--fail-if', '--fail-if', [CompletionResultType]::ParameterName, 'Exit with 1 when this is true, for instance ''p99>2ms''; may be given several times; with --compare, of the first server')
            [CompletionResult]::new('--format', '--format', [CompletionResultType]::ParameterName, 'How the results are printed [default: table, or what the name of -o ends in]')
            [CompletionResult]::new('-o', '-o', [CompletionResultType]::ParameterName, 'Write the results to this file; the table then still goes to stdout. -: no table, but the results, as JSON')
            [CompletionResult]::new('--output', '--output', [CompletionResultType]::ParameterName, 'Write the results to this file; the table then still goes to stdout. -: no table, but the results, as JSON')
            [CompletionResult]::new('--color', '--color', [CompletionResultType]::ParameterName, 'When to use colour')
            [CompletionResult]::new('--askpass', '--askpass', [CompletionResultType]::ParameterName, 'Ask for the password at the terminal')
            [CompletionResult]::new('--tls', '--tls', [CompletionResultType]::ParameterName, 'Speak TLS; so does a URI of rediss://')
            [CompletionResult]::new('--insecure', '--insecure', [CompletionResultType]::ParameterName, 'Trust any server: whoever is on the way can read and change everything')
            [CompletionResult]::new('--verify', '--verify', [CompletionResultType]::ParameterName, 'Check each value that is read; it follows from key and seed')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help')
            [CompletionResult]::new('diff', 'diff', [CompletionResultType]::ParameterValue, 'Compare two results that were saved as JSON')
            [CompletionResult]::new('report', 'report', [CompletionResultType]::ParameterValue, 'Measure servers of its own, with charts')
            break
        }
        'kvred;bench;diff' {
            [CompletionResult]::new('--color', '--color', [CompletionResultType]::ParameterName, 'When to use colour')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            break
        }
        'kvred;bench;report' {
            [CompletionResult]::new('--server-bin', '--server-bin', [CompletionResultType]::ParameterName, 'The kvred to measure [default: this one]')
            [CompletionResult]::new('--fsync', '--fsync', [CompletionResultType]::ParameterName, 'The policies, with commas between them')
            [CompletionResult]::new('--repeats', '--repeats', [CompletionResultType]::ParameterName, 'Runs of each test that count')
            [CompletionResult]::new('--warmup', '--warmup', [CompletionResultType]::ParameterName, 'Runs of each test before those')
            [CompletionResult]::new('--ops-read', '--ops-read', [CompletionResultType]::ParameterName, 'Requests in a run of PING, GET and EXISTS')
            [CompletionResult]::new('--ops-write', '--ops-write', [CompletionResultType]::ParameterName, 'Requests in a run of SET and DEL')
            [CompletionResult]::new('-d', '-d', [CompletionResultType]::ParameterName, 'Bytes of a value: a size, or a range like 16-1024')
            [CompletionResult]::new('--data', '--data', [CompletionResultType]::ParameterName, 'Bytes of a value: a size, or a range like 16-1024')
            [CompletionResult]::new('--peer', '--peer', [CompletionResultType]::ParameterName, 'Another server to measure beside it')
            [CompletionResult]::new('-o', '-o', [CompletionResultType]::ParameterName, 'The folder to write to')
            [CompletionResult]::new('--output', '--output', [CompletionResultType]::ParameterName, 'The folder to write to')
            [CompletionResult]::new('--resume', '--resume', [CompletionResultType]::ParameterName, 'Go on with the interrupted report in this folder')
            [CompletionResult]::new('--color', '--color', [CompletionResultType]::ParameterName, 'When to use colour')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            break
        }
        'kvred;completions' {
            [CompletionResult]::new('--color', '--color', [CompletionResultType]::ParameterName, 'When to use colour')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            break
        }
        'kvred;man' {
            [CompletionResult]::new('--color', '--color', [CompletionResultType]::ParameterName, 'When to use colour')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            break
        }
    })

    $completions.Where{ $_.CompletionText -like "$wordToComplete*" } |
        Sort-Object -Property ListItemText
}
