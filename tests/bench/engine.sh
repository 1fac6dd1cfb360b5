# shellcheck shell=bash disable=SC2016,SC2034,SC2086,SC2154
# The locating engine by itself, stage by stage, and what it needs of memory for large captures. Sourced by
# tests/bench/run.

bench_engine() {
    local i file files=() read=() digest=() feed=() finish=() packets_all=0 lost=0 a b c d
    make_files "$work/captures" "$packets"
    for file in "${points[@]}"; do
        files+=("$work/captures/${file/\//-}.pcap")
    done
    for ((i = 0; i < repeat; i++)); do
        read -r packets_all a b c d lost < <("$bin/bench_engine" "${files[@]}")
        [ "$lost" = "$(awk '/^lost/ {print $2}' "$work/captures/truth")" ] || die "the engine found $lost lost packets"
        read+=("$a") digest+=("$b") feed+=("$c") finish+=("$d")
    done
    a=$(median "${read[@]}") b=$(median "${digest[@]}") c=$(median "${feed[@]}") d=$(median "${finish[@]}")
    head_row "$packets_all packets, $(awk '/^lost/ {print $2}' "$work/captures/truth") lost" "CPU seconds" \
        "nanoseconds a packet" "packets per second a core"
    stage_row "reading the files" "$a"
    stage_row "decoding, flow table, digests" "$b"
    stage_row "engine: filing and settling" "$c"
    stage_row "engine: the rest, verdict, report" "$d"
    stage_row "**engine, all of it**" "$(calc "$c + $d" %.4f)"
}

stage_row() { # NAME SECONDS
    row "$1" "$(calc "$2" %.3f)" "$(calc "$2 / $packets_all * 1e9" %.0f)" "$(calc "$packets_all / $2" %.0f)"
}

# memory_row NAME PACKETS FLOWS
memory_row() {
    local directory=$work/memory count all=$repeat
    mkdir -p "$directory"
    rm -f "$directory/made"
    "$bin/bench_make_captures" "$directory" --packets "$2" --flows "$3" >"$directory/truth"
    check_verdict "$directory"
    count=$(total_packets "$directory")
    repeat=1
    # shellcheck disable=SC2046
    cost memory "$bin/droppoint" locate --json $(arguments "$directory")
    repeat=$all
    row "$1" "$count" "$3" "$peak_memory MiB" "$cpu_memory"
    rm -rf "$directory"
}

bench_memory() {
    head_row "capture" "packets in five files" "flows" "peak memory" "CPU seconds (one run)"
    memory_row "as above" "$packets" 200
    memory_row "many flows at once" "$packets" 10000
    memory_row "large" "$large" 200
}
