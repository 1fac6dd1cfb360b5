# shellcheck shell=bash disable=SC2016,SC2034,SC2086,SC2154
# From an agent's batches to rows in PostgreSQL and a verdict. Sourced by tests/bench/run.

store_user=nobody

as_store_user() {
    setpriv --reuid "$store_user" --regid "$(id -g "$store_user")" --clear-groups "$@"
}

store_droppoint() {
    DROPPOINT_COLLECTOR=$store_endpoint DROPPOINT_KEY=$store/state/operator.key \
        DROPPOINT_COLLECTOR_KEY=$store/state/collector.pub "$bin/droppoint" "$@"
}

store_sql() {
    as_store_user psql -qAt -h "$(dirname "$(find "$store/state" /tmp -maxdepth 3 -name '.s.PGSQL.5432' -user "$store_user" 2>/dev/null | head -1)")" -d droppoint -c "$1"
}

# wait_for SECONDS COMMAND...
wait_for() {
    local end=$((SECONDS + $1))
    shift
    until "$@" >/dev/null 2>&1; do
        ((SECONDS < end)) || return 1
        sleep 0.2
    done
}

store_down() {
    [ -z "${push_pid:-}" ] || kill "$push_pid" 2>/dev/null || true
    [ -z "${collector_pid:-}" ] || { kill "$collector_pid" 2>/dev/null && wait "$collector_pid" 2>/dev/null; } || true
    [ -z "${store:-}" ] || rm -rf "$store"
}

# The collector with a database of its own in a new directory.
store_up() {
    store=$(mktemp -d /var/tmp/droppoint-bench-store.XXXXXX)
    store_endpoint=tcp://127.0.0.1:$((20000 + RANDOM % 10000))
    mkdir "$store/state"
    cp "$bin/droppoint-collector" "$store/"
    printf 'bind: %s\nstate_directory: %s\n' "$store_endpoint" "$store/state" >"$store/collector.yaml"
    chmod 755 "$store" "$store/droppoint-collector"
    chown "$store_user" "$store/state"
    chmod 700 "$store/state"
    as_store_user "$store/droppoint-collector" --config "$store/collector.yaml" >"$store/collector.log" 2>&1 &
    collector_pid=$!
    wait_for 60 store_droppoint agent list || die "the collector does not come up: $(tail -3 "$store/collector.log")"
}

# The agent with the five files' batches; approved.
store_agent() {
    local point arguments=()
    for point in "${points[@]}"; do
        arguments+=("${point/\//-}=$work/captures/${point/\//-}.pcap")
    done
    "$bin/bench_push" "$store_endpoint" "$store/push.key" "$store/state/collector.pub" bench "${arguments[@]}" \
        >"$store/push.out" 2>"$store/push.err" &
    push_pid=$!
    wait_for 60 pending_fingerprint || die "the agent does not show up: $(cat "$store/push.err")"
    store_droppoint agent approve "$(pending_fingerprint)" --name bench >/dev/null
    wait_for 60 grep -q ready "$store/push.out" || die "the agent is not let in"
    store_droppoint path set bench bench/mx1-eth0 bench/lb1-eth0 bench/lb1-eth1 bench/edge1-eth0 bench/edge1-eth1 >/dev/null
}

pending_fingerprint() {
    store_droppoint agent list --json | sed -n 's/.*"fingerprint": "\([^"]*\)".*/\1/p' | grep .
}

bench_store() {
    [ "$(id -u)" = 0 ] || die "store needs root: PostgreSQL runs as $store_user"
    local records bytes batches took i rates_seen=() size before lost
    trap store_down EXIT
    make_files "$work/captures" "$packets"
    lost=$(awk '/^lost/ {print $2}' "$work/captures/truth")
    store_up
    store_agent
    for ((i = 0; i < repeat; i++)); do
        : >"$store/push.out"
        before=$(store_sql "SELECT pg_total_relation_size('droppoint.batch')")
        store_droppoint capture run --path bench --duration 120s --json >"$store/verdict.json" 2>"$store/run.err" || true
        grep -q "\"lost_packets\": *$lost\\b" "$store/verdict.json" ||
            die "the live verdict does not name the $lost lost packets: $(tail -3 "$store/run.err")"
        read -r records bytes batches took < <(grep -av ready "$store/push.out")
        size=$(($(store_sql "SELECT pg_total_relation_size('droppoint.batch')") - before))
        rates_seen+=("$(calc "$records / $took" %.0f)")
    done
    head_row "five streams of one agent, $records packets" ""
    row "packets committed per second" "$(median "${rates_seen[@]}")"
    row "bytes a packet on the wire (batches' payload)" "$(calc "$bytes / $records")"
    row "bytes a packet in the database (\`pg_total_relation_size\`)" "$(calc "$size / $records")"
    store_down
    trap - EXIT
}
