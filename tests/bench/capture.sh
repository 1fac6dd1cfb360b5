# shellcheck shell=bash disable=SC2016,SC2034,SC2086,SC2154
# Capturing live traffic, against tcpdump, dumpcap and pmacctd. Sourced by tests/bench/run.

bench_namespaces() {
    trap 'ip netns del "$sender" 2>/dev/null; ip netns del "$receiver" 2>/dev/null' EXIT
    sender=dpbench-tx-$$ receiver=dpbench-rx-$$
    ip netns add "$sender"
    ip netns add "$receiver"
    ip -n "$sender" link add tx0 type veth peer name rx0 netns "$receiver"
    local namespace device
    for namespace in "$sender tx0" "$receiver rx0"; do
        read -r namespace device <<<"$namespace"
        ip netns exec "$namespace" sysctl -qw net.ipv6.conf.all.disable_ipv6=1
        ip -n "$namespace" link set "$device" up
    done
}

# How many single packets the receiving interface has got.
received() {
    ip -n "$receiver" -s link show rx0 | awk '/RX:/ {getline; print $2}'
}

# live NAME RATE COMMAND...: starts the capture, waits until it is ready, sends, ends it. Each recorder prints in its own
# way how many packets it took, so that function took_NAME reads that from $work/out and $work/err.
live() {
    local name=$1 rate=$2 pid sent elapsed user system wall kib code before
    shift 2
    ip netns exec "$receiver" "$bin/bench_cost" "$work/cost" "$@" >"$work/out" 2>"$work/err" &
    pid=$!
    for _ in $(seq 100); do
        grep -qsE 'ready|listening on|Capturing on|Successfully connected|link type is' "$work/out" "$work/err" && break
        sleep 0.05
    done
    sleep 0.5
    before=$(received)
    read -r sent elapsed < <(ip netns exec "$sender" "$bin/bench_blast" tx0 "$rate" "$seconds")
    [ $(($(received) - before)) = "$sent" ] || die "$sent packets were sent, $(($(received) - before)) came out"
    sleep 1
    kill -INT "$pid" 2>/dev/null || true
    wait "$pid" || true
    read -r user system wall kib code <"$work/cost"
    live_cpu=$(calc "($user + $system) / $sent * 1e6" %.3f)
    live_drops=$(($(seen_"$name") - sent))
    live_drops=$((live_drops < 0 ? -live_drops : 0))
    live_rate=$(calc "$sent / $elapsed" %.0f)
}

seen_droppoint() { tail -1 "$work/out" | cut -d' ' -f1; }
seen_ring() { seen_droppoint; }
seen_tcpdump() { sed -n 's/^\([0-9]*\) packets captured.*/\1/p' "$work/err"; }
seen_dumpcap() { capinfos -Mc "$work/live.pcapng" 2>/dev/null | sed -n 's/^Number of packets: *//p'; }
# pmacctd counts into its table; the sum of its packets is what it took.
seen_pmacctd() { awk -F, 'NR > 1 {sum += $(NF - 1)} END {print sum + 0}' "$work/pmacct.csv" 2>/dev/null; }

pmacct_config() {
    cat >"$work/pmacctd.conf" <<CONF
daemonize: false
pcap_interface: rx0
snaplen: 96
plugin_buffer_size: 1024000
plugin_pipe_size: 102400000
plugins: print
aggregate: src_host, dst_host, src_port, dst_port, proto
print_output: csv
print_output_file: $work/pmacct.csv
print_refresh_time: 3600
CONF
}

bench_capture() {
    [ "$(id -u)" = 0 ] || die "capture needs root: it makes network namespaces"
    bench_namespaces
    pmacct_config
    local rate name names="droppoint ring tcpdump" cpus drops i label
    have dumpcap && names+=" dumpcap"
    have pmacctd && names+=" pmacctd"
    declare -A labels=([droppoint]="droppoint-capture and spool" [ring]="the same with a 256 MiB packet ring"
        [tcpdump]='`tcpdump -s 96 -w`' [dumpcap]='`dumpcap -s 96`' [pmacctd]='`pmacctd` (flows in memory)')
    head_row "program" "packets per second sent" "CPU seconds per million packets" "packets dropped" "CPU against tcpdump"
    for rate in $rates; do
        declare -A result=() lost=() speed=()
        for name in $names; do
            cpus=() drops=()
            for ((i = 0; i < repeat; i++)); do
                rm -rf "$work/live" "$work/live.pcap" "$work/live.pcapng" "$work/pmacct.csv"
                mkdir -p "$work/live"
                case $name in
                droppoint) live $name "$rate" "$bin/bench_capture_spool" "$bin/droppoint-capture" rx0 96 "$work/live" 0 ;;
                ring) live $name "$rate" "$bin/bench_capture_spool" "$bin/droppoint-capture" rx0 96 "$work/live" 268435456 ;;
                tcpdump) live $name "$rate" tcpdump -Z root -i rx0 -s 96 -w "$work/live.pcap" ;;
                dumpcap) live $name "$rate" dumpcap -q -i rx0 -s 96 -w "$work/live.pcapng" ;;
                pmacctd) live $name "$rate" pmacctd -f "$work/pmacctd.conf" ;;
                esac
                if [ $name = droppoint ]; then
                    read -r _ _ wire_records wire_bytes _ < <(tail -1 "$work/out")
                fi
                cpus+=("$live_cpu") drops+=("$live_drops") speed[$name]=$live_rate
            done
            result[$name]=$(median "${cpus[@]}")
            lost[$name]=$(median "${drops[@]}")
        done
        for name in $names; do
            label=${labels[$name]}
            row "$label" "${speed[$name]}" "${result[$name]}" "${lost[$name]}" "$(calc "${result[$name]} / ${result[tcpdump]}")"
        done
    done
    echo
    make_files "$work/captures" "$packets"
    local file_records file_bytes
    read -r file_records file_bytes < <("$bin/bench_batch_size" "$work"/captures/*.pcap)
    echo "On the wire, batches' payload: $(calc "$file_bytes / $file_records") bytes a packet of the simulated TCP of \`locate\` ($file_records packets, 200 flows, loss, jitter); $(calc "$wire_bytes / $wire_records") of the live traffic above, which is more regular than life."
    rm -rf "$work/live" "$work/live.pcap" "$work/live.pcapng"
}
