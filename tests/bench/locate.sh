# shellcheck shell=bash disable=SC2016,SC2034,SC2086,SC2154
# `droppoint locate` against reading the same files with tcpdump, and against a tshark pipeline. Sourced by tests/bench/run.

points=(mx1/eth0 lb1/eth0 lb1/eth1 edge1/eth0 edge1/eth1)

# make_files DIRECTORY PACKETS: unless they are there already.
make_files() {
    local mark="$2 $full"
    mkdir -p "$1"
    if [ "$(cat "$1/made" 2>/dev/null)" != "$mark" ]; then
        rm -f "$1/made"
        "$bin/bench_make_captures" "$1" --packets "$2" $full >"$1/truth"
        echo "$mark" >"$1/made"
    fi
    # The page cache's state must not count.
    cat "$1"/*.pcap >/dev/null
}

# arguments DIRECTORY: NAME=FILE for each vantage point.
arguments() {
    local point
    for point in "${points[@]}"; do
        echo "$point=$1/${point/\//-}.pcap"
    done
}

total_packets() {
    awk '/ packets$/ {sum += $2} END {print sum}' "$1/truth"
}

# The verdict must be the one that the files were made for: speed with a wrong answer is none.
check_verdict() {
    local lost
    lost=$(awk '/^lost/ {print $2}' "$1/truth")
    # shellcheck disable=SC2046
    "$bin/droppoint" locate --json $(arguments "$1") >"$work/verdict.json" || true
    grep -q "\"lost_packets\": *$lost\\b" "$work/verdict.json" ||
        die "droppoint locate did not find the $lost lost packets of $1"
}

# All files one after the other, as the comparison of the goal is.
read_all() {
    local file
    for file in "$1"/*.pcap; do
        tcpdump -r "$file" -w /dev/null 2>/dev/null
    done
}

# What an expert does by hand: fields of each file, sorted by what identifies a packet, and neighbours joined: what is in
# the first and not in the second is lost.
tshark_join() {
    local point previous='' file
    for point in "${points[@]}"; do
        file=${point/\//-}
        tshark -n -r "$1/$file.pcap" -T fields -E separator='|' -e ip.src -e tcp.srcport -e ip.dst -e tcp.dstport \
            -e ip.id -e tcp.seq_raw -e tcp.ack_raw -e tcp.len -e frame.time_epoch 2>/dev/null |
            awk -F'|' '{print $1 "," $2 "," $3 "," $4 "," $5 "," $6 "," $7 "," $8, $9}' |
            LC_ALL=C sort >"$work/$file.fields"
        [ -z "$previous" ] || LC_ALL=C join -v 1 "$work/$previous.fields" "$work/$file.fields" | wc -l
        previous=$file
    done
    rm -f "$work"/*.fields
}

bench_locate() {
    local count small_count
    make_files "$work/captures" "$packets"
    check_verdict "$work/captures"
    count=$(total_packets "$work/captures")
    # shellcheck disable=SC2046
    cost locate "$bin/droppoint" locate --json $(arguments "$work/captures")
    cost tcpdump bash -c "$(declare -f read_all); read_all '$work/captures'"
    head_row "$count packets in five files" "CPU seconds" "packets per second a core" "peak memory" "CPU against tcpdump"
    row "\`tcpdump -r FILE -w /dev/null\`, one after the other" "$cpu_tcpdump" "$(calc "$count / $cpu_tcpdump" %.0f)" \
        "$peak_tcpdump MiB" 1
    row "\`droppoint locate\`" "$cpu_locate" "$(calc "$count / $cpu_locate" %.0f)" "$peak_locate MiB" \
        "$(calc "$cpu_locate / $cpu_tcpdump")"
    echo
    if ! have tshark; then
        echo "tshark is not installed: not compared."
        return
    fi
    make_files "$work/small" "$small"
    check_verdict "$work/small"
    small_count=$(total_packets "$work/small")
    # shellcheck disable=SC2046
    cost small "$bin/droppoint" locate --json $(arguments "$work/small")
    local all=$repeat
    repeat=1
    cost tshark bash -c "$(declare -p points); work='$work'; $(declare -f tshark_join); tshark_join '$work/small'"
    repeat=$all
    head_row "$small_count packets in five files" "CPU seconds" "wall-clock seconds" "CPU against droppoint"
    row "\`droppoint locate\`" "$cpu_small" "$wall_small" 1
    row "\`tshark -T fields\` + sort + join (one run)" "$cpu_tshark" "$wall_tshark" "$(calc "$cpu_tshark / $cpu_small" %.0f)"
}
