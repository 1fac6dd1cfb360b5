# shellcheck shell=bash disable=SC2016,SC2034,SC2086,SC2154
# From agents' batches to rows in PostgreSQL and a verdict. Sourced by tests/bench/run.

store_user=nobody
small_records=50
as_store_user=() push_pids=() collector_pid='' job_pid='' store=''

store_sql() {
    "${as_store_user[@]}" psql -XqAt -v ON_ERROR_STOP=1 -h "$store/state/postgresql.run" -d "${database:-droppoint}" "$@"
}

# wait_for SECONDS COMMAND...
wait_for() {
    local end=$((SECONDS + $1))
    shift
    until "$@" >/dev/null 2>&1; do
        ((SECONDS < end)) || return 1
        sleep 0.1
    done
}

# job COMMAND...: runs a program (no function: $! must be the program itself) so that a signal to this shell ends both at
# once. A shell that waits acts on a signal, one that runs a command does not.
job() {
    local code=0
    "$@" &
    job_pid=$!
    wait "$job_pid" || code=$?
    job_pid=
    return $code
}

ended() { ! kill -0 "$1" 2>/dev/null; }

end_process() {
    [ -n "$1" ] || return 0
    kill "$1" 2>/dev/null || true
    wait_for 60 ended "$1" || kill -9 "$1" 2>/dev/null || true
    wait "$1" 2>/dev/null || true
}

store_down() {
    local pid server
    for pid in "${push_pids[@]}" $job_pid $collector_pid; do
        end_process "$pid"
    done
    push_pids=() job_pid='' collector_pid=''
    [ -n "$store" ] || return 0
    # The collector stops its PostgreSQL itself; one that had to be killed does not.
    server=$(head -1 "$store/state/postgresql/postmaster.pid" 2>/dev/null) || true
    [ -z "$server" ] || kill -QUIT "$server" 2>/dev/null || true
    rm -rf "$store"
    store=
}

store_collector() {
    : >"$store/collector.log"
    "${as_store_user[@]}" "$store/droppoint-collector" --config "$store/collector.yaml" >>"$store/collector.log" 2>&1 &
    collector_pid=$!
    wait_for 120 grep -q Listening "$store/collector.log" ||
        die "the collector does not come up: $(tail -3 "$store/collector.log")"
}

# The collector with a database of its own in a new directory.
store_up() {
    local endpoint
    as_store_user=(setpriv --reuid "$store_user" --regid "$(id -g "$store_user")" --clear-groups)
    store=$(mktemp -d /var/tmp/droppoint-bench-store.XXXXXX)
    endpoint=tcp://127.0.0.1:$((20000 + RANDOM % 10000))
    droppoint=(env DROPPOINT_COLLECTOR=$endpoint DROPPOINT_KEY=$store/state/operator.key
        DROPPOINT_COLLECTOR_KEY=$store/state/collector.pub "$bin/droppoint")
    mkdir "$store/state"
    cp "$bin/droppoint-collector" "$store/"
    printf 'bind: %s\nstate_directory: %s\n' "$endpoint" "$store/state" >"$store/collector.yaml"
    chmod 755 "$store" "$store/droppoint-collector"
    chown "$store_user" "$store/state"
    chmod 700 "$store/state"
    push=("$bin/bench_push" "$endpoint")
    store_collector
}

pending_fingerprint() {
    "${droppoint[@]}" agent list --json | jq -er '.agents[] | select(.state == "pending") | .fingerprint'
}

in_or_pending() { grep -q ready "$store/$1.out" || pending_fingerprint; }

# store_agent NAME RECORDS POINT...: an agent with the batches of these points' files; approved.
store_agent() {
    local name=$1 records=$2 point files=()
    shift 2
    for point in "$@"; do
        files+=("${point/\//-}=$work/captures/${point/\//-}.pcap")
        path+=("$name/${point/\//-}")
    done
    : >"$store/$name.out"
    "${push[@]}" "$store/$name.key" "$store/state/collector.pub" "$name" "$records" "${files[@]}" \
        >>"$store/$name.out" 2>"$store/$name.err" &
    push_pids+=($!)
    wait_for 120 in_or_pending "$name" || die "the agent does not show up: $(cat "$store/$name.err")"
    if ! grep -q ready "$store/$name.out"; then
        "${droppoint[@]}" agent approve "$(pending_fingerprint)" --name "$name" >/dev/null
        wait_for 60 grep -q ready "$store/$name.out" || die "the agent is not let in"
    fi
}

# store_agents RECORDS AGENTS: the five points' batches, of at most so many records, at one agent or at five.
store_agents() {
    local pid point i=0
    for pid in "${push_pids[@]}"; do
        end_process "$pid"
    done
    push_pids=() path=()
    if (($2 == 1)); then
        store_agent "bench-$1" "$1" "${points[@]}"
    else
        for point in "${points[@]}"; do
            store_agent "bench-$1-$((++i))" "$1" "$point"
        done
    fi
    "${droppoint[@]}" path set bench "${path[@]}" >/dev/null
}

# The verdict must be the one that the files were made for: speed with a wrong answer is none.
check_stored() {
    grep -q "\"lost_packets\": *$lost\\b" "$1" || die "the verdict does not name the $lost lost packets: $(tail -3 "$store/run.err")"
}

# One capture by all agents. Sets records, bytes, batches; rate: packets a second from the first batch sent to the last
# acknowledgement; late: seconds from the last batch sent until the operator had the verdict; stored: bytes in the database.
store_capture() {
    local begun sent acknowledged before now
    : | tee "$store"/bench-*.out
    before=$(store_sql -c "SELECT pg_total_relation_size('droppoint.batch')")
    job "${droppoint[@]}" capture run --path bench --duration 120s --json >"$store/verdict.json" 2>"$store/run.err" || true
    now=${EPOCHREALTIME/./}
    check_stored "$store/verdict.json"
    read -r records bytes batches begun sent acknowledged < <(awk '{r += $1; b += $2; n += $3
        if (!begun || $4 < begun) begun = $4
        if ($5 > sent) sent = $5
        if ($6 > acknowledged) acknowledged = $6}
        END {printf "%.0f %.0f %.0f %.0f %.0f %.0f\n", r, b, n, begun, sent, acknowledged}' "$store"/bench-*.out)
    rate=$(calc "$records / ($acknowledged - $begun) * 1e6" %.0f)
    late=$(calc "($now - $sent) / 1e6")
    stored=$(($(store_sql -c "SELECT pg_total_relation_size('droppoint.batch')") - before))
}

# store_captures RECORDS AGENTS: the same again and again; rate and late become medians.
store_captures() {
    local i rates=() lates=()
    store_agents "$1" "$2"
    for ((i = 0; i < repeat; i++)); do
        store_capture
        rates+=("$rate") lates+=("$late")
    done
    rate=$(median "${rates[@]}")
    late=$(median "${lates[@]}")
}

capture_done() { [ "$(store_sql -c "SELECT state FROM droppoint.capture ORDER BY started_ns DESC LIMIT 1")" = 'done' ]; }

# The last capture once more, as a collector finds it that was killed before the verdict. Sets took: seconds from the
# collector's start until the verdict stands again.
store_recover() {
    local begun id
    id=$(store_sql -c "UPDATE droppoint.capture SET state = 'running', document = NULL WHERE capture_id =
        (SELECT max(capture_id) FROM droppoint.capture) RETURNING capture_id")
    end_process "$collector_pid"
    begun=${EPOCHREALTIME/./}
    store_collector
    wait_for 600 capture_done || die "the verdict is not drawn again: $(tail -3 "$store/collector.log")"
    took=$(calc "(${EPOCHREALTIME/./} - $begun) / 1e6" %.1f)
    "${droppoint[@]}" capture show "$id" --json >"$store/verdict.json" 2>"$store/run.err" || true
    check_stored "$store/verdict.json"
}

# --- what others make of it, in the same PostgreSQL ---

peer_sql() { database=peer store_sql "$@"; }

peer_idle() { [ "$(store_sql -c "SELECT count(*) FROM pg_stat_activity WHERE datname = 'peer'")" = 0 ]; }

# One row for each packet, and nothing else done: COPY from a file on the server. Sets rate and stored (bytes in all).
peer_rows() {
    local begun
    peer_sql -c "CREATE TABLE packet (position smallint, ts_ns bigint, src inet, dst inet, src_port int, dst_port int,
        seq bigint, ack bigint, flags smallint, len int, ttl smallint, ip_id int, hash bigint);
        COPY (SELECT i % 5, 1800000000000000000 + i * 1000, '192.0.2.1'::inet + i % 200, '198.51.100.9'::inet,
        20000 + i % 200, 443, 100000 + i * 1448, 5000, 24, 1448, 64, i % 65536, i * 2654435761
        FROM generate_series(1::bigint, $packets) i) TO '$store/state/rows'"
    begun=${EPOCHREALTIME/./}
    peer_sql -c "COPY packet FROM '$store/state/rows'"
    rate=$(calc "$packets / (${EPOCHREALTIME/./} - $begun) * 1e6" %.0f)
    stored=$(peer_sql -c "SELECT pg_total_relation_size('packet')")
}

# pmacctd_run FILE: pmacctd reads the file into its table, which keeps what tells packets apart. Sets took (microseconds).
pmacctd_run() {
    local begun=${EPOCHREALTIME/./}
    cat >"$store/pmacctd.conf" <<CONF
daemonize: false
pcap_savefile: $1
plugins: pgsql
aggregate: src_host, dst_host, src_port, dst_port, proto, tcpflags, timestamp_arrival
plugin_buffer_size: 1024000
plugin_pipe_size: 1024000000
sql_host: $store/state/postgresql.run
sql_user: $store_user
sql_db: peer
sql_table: acct
sql_optimize_clauses: true
sql_num_protos: true
sql_dont_try_update: true
sql_use_copy: true
sql_refresh_time: 3600
sql_cache_entries: 400009
CONF
    job "${as_store_user[@]}" pmacctd -f "$store/pmacctd.conf" >"$store/pmacctd.log" 2>&1 || true
    wait_for 600 peer_idle || die "pmacctd does not end"
    took=$((${EPOCHREALTIME/./} - begun))
}

# One vantage point's file; what its start and end take (it rests for some seconds) is measured with a file of one packet
# and does not count. Sets peer_packets (those in the database), rate, stored (bytes in all).
peer_pmacctd() {
    local took idle
    peer_sql -c "CREATE TABLE acct (ip_src inet NOT NULL, ip_dst inet NOT NULL, port_src int NOT NULL, port_dst int NOT NULL,
        tcp_flags smallint NOT NULL, ip_proto smallint NOT NULL, timestamp_arrival timestamp NOT NULL,
        timestamp_arrival_residual int NOT NULL, packets bigint NOT NULL, bytes bigint NOT NULL)"
    tcpdump -Z root -r "$work/captures/mx1-eth0.pcap" -c 1 -w "$store/one.pcap" 2>/dev/null
    pmacctd_run "$store/one.pcap"
    idle=$took
    peer_sql -c "TRUNCATE acct"
    pmacctd_run "$work/captures/mx1-eth0.pcap"
    read -r peer_packets stored < <(peer_sql -F ' ' -c "SELECT coalesce(sum(packets), 0), pg_total_relation_size('acct') FROM acct")
    ((peer_packets > 0)) || die "pmacctd stored nothing: $(tail -3 "$store/pmacctd.log")"
    rate=$(calc "$peer_packets / ($took - $idle) * 1e6" %.0f)
}

peers() {
    local own=$1 rate stored peer_packets
    store_sql -c 'CREATE DATABASE peer'
    peer_rows
    row "PostgreSQL alone: one row a packet, \`COPY\` of $packets (one run)" "" "$rate" "$(calc "$own / $rate" %.1f)" \
        "$(calc "$stored / $packets" %.1f)" ""
    if have pmacctd; then
        peer_pmacctd
        row "\`pmacctd\` with its pgsql plugin and \`COPY\`: $peer_packets packets of one file (one run)" "" "$rate" \
            "$(calc "$own / $rate" %.1f)" "$(calc "$stored / $peer_packets" %.1f)" ""
    fi
    store_sql -c 'DROP DATABASE peer'
}

bench_store() {
    [ "$(id -u)" = 0 ] || die "store needs root: PostgreSQL runs as $store_user"
    local lost path=() droppoint push records bytes batches rate late stored took own wire
    trap store_down EXIT
    make_files "$work/captures" "$packets"
    lost=$(awk '/^lost/ {print $2}' "$work/captures/truth")
    store_up
    store_captures 4096 1
    own=$rate wire=$(calc "$bytes / $records")
    head_row "$records packets of five vantage points" batches "packets a second committed" "droppoint's rate against it" \
        "bytes a packet in the database" "seconds from the last batch to the verdict"
    row "droppoint, one agent" "$batches" "$rate" 1 "$(calc "$stored / $records")" "$late"
    peers "$own"
    store_captures 4096 5
    row "droppoint, five agents" "$batches" "$rate" "$(calc "$own / $rate" %.1f)" "$(calc "$stored / $records")" "$late"
    store_captures $small_records 1
    row "droppoint, one agent, at most $small_records packets a batch" "$batches" "$rate" "$(calc "$own / $rate" %.1f)" \
        "$(calc "$stored / $records")" "$late"
    store_recover
    echo
    echo "The batches' payload on the wire: $wire bytes a packet in full batches. A collector that finds the capture of $batches batches without a verdict reads them back and draws it $took s after its own start. Load average after: $(cut -d' ' -f1 /proc/loadavg)."
    store_down
    trap - EXIT
}
