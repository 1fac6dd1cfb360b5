#!/bin/bash
# The same captures in other forms must say the same: clocks that are seconds off, compressed, pcapng, no clock
# correction, a vantage point that missed packets, one vantage point alone, a filter, a merged file.
set -u
here=$(dirname "$(readlink -f "$0")")
. "$here/lab.sh"
. "$here/cases.sh"
bin=${DROPPOINT_BIN:?}
lab_trap
lab_up
lab_serve
failed=0
ok() { echo "ok   $1"; }
fail() { echo "FAIL $1"; failed=$((failed + 1)); }
locate() { timeout 60 "$bin/droppoint" locate --filter "tcp port $LAB_PORT" "$@" </dev/null; }
check() { # NAME COMMAND...: it must succeed
    local name=$1
    shift
    if "$@" >"$LAB_DIR/wrong" 2>&1; then ok "$name"; else fail "$name"; cat "$LAB_DIR/wrong"; fi
}

clean=$LAB_DIR/clean size=$LAB_DIR/size random=$LAB_DIR/random
case_run "$clean" off 4 none forward clean
case_run "$size" on 4 lb1 forward size
case_run "$random" off 4 w2 forward random

declare -A base
for name in clean size random; do
    mapfile -t files < <(lab_files "${!name}")
    locate --json "${files[@]}" >"${!name}/result.json"
    base[$name]=$?
    check "$name as it was captured" python3 "$LAB_TOOLS/check_locate.py" "${!name}" "${!name}/result.json" "${base[$name]}"
done

# variant NAME CASE FILE...: locating FILEs must say what the case's own files said.
variant() {
    local name=$1 dir=${!2} wanted=${base[$2]} code
    shift 2
    locate --json "$@" >"$LAB_DIR/variant.json" 2>"$LAB_DIR/stderr"
    code=$?
    [ $code = "$wanted" ] || { fail "$name: exit code $code"; cat "$LAB_DIR/stderr"; return; }
    check "$name" python3 "$LAB_TOOLS/same_findings.py" "$dir/result.json" "$LAB_DIR/variant.json"
}

# Clocks: edge1 is 3.7 s ahead, lb1 an hour behind. offset_is VANTAGE NANOSECONDS: within half a millisecond.
offset_is() {
    jq -e --arg name "$1" --argjson wanted "$2" '.vantages[] | select(.name == $name) |
        (.clock_offset_ns - $wanted) as $off | ($off | fabs) < 500000' "$LAB_DIR/variant.json" ||
        { jq -c '.vantages[] | [.name, .clock_offset_ns, .clock_error_ns]' "$LAB_DIR/variant.json"; return 1; }
}
for name in clean size random; do
    dir=${!name}
    for file in lb1_eth0 lb1_eth1; do editcap -F nsecpcap -t -3600 "$dir/$file.pcap" "$dir/$file.shifted.pcap"; done
    for file in edge1_eth0 edge1_eth1; do editcap -F nsecpcap -t 3.7 "$dir/$file.pcap" "$dir/$file.shifted.pcap"; done
    variant "$name with clocks that are off" $name mx1/eth0="$dir/mx1_eth0.pcap" lb1/eth0="$dir/lb1_eth0.shifted.pcap" \
        lb1/eth1="$dir/lb1_eth1.shifted.pcap" edge1/eth0="$dir/edge1_eth0.shifted.pcap" edge1/eth1="$dir/edge1_eth1.shifted.pcap"
    check "... lb1's offset" offset_is lb1/eth1 -3600000000000
    check "... edge1's offset" offset_is edge1/eth1 3700000000
done
mapfile -t files < <(lab_files "$random")
variant "without clock correction" random --no-clock-correction "${files[@]}"

# Packings of the same bytes.
for name in size random; do
    dir=${!name}
    files=()
    gzip -k "$dir/mx1_eth0.pcap"
    zstd -q "$dir/lb1_eth0.pcap"
    lz4 -q "$dir/lb1_eth1.pcap" "$dir/lb1_eth1.pcap.lz4"
    editcap -F pcapng "$dir/edge1_eth0.pcap" "$dir/edge1_eth0.pcapng"
    editcap -F pcapng "$dir/edge1_eth1.pcap" "$dir/edge1_eth1.pcapng"
    gzip "$dir/edge1_eth1.pcapng"
    variant "$name as gzip, zstd, lz4, pcapng and pcapng.gz" $name mx1/eth0="$dir/mx1_eth0.pcap.gz" \
        lb1/eth0="$dir/lb1_eth0.pcap.zst" lb1/eth1="$dir/lb1_eth1.pcap.lz4" edge1/eth0="$dir/edge1_eth0.pcapng" \
        edge1/eth1="$dir/edge1_eth1.pcapng.gz"
done

# A filter that leaves nothing.
mapfile -t files < <(lab_files "$random")
"$bin/droppoint" locate --json --filter 'udp port 9' "${files[@]}" >"$LAB_DIR/variant.json"
check "a filter that nothing passes is inconclusive" test $? = 3

# A vantage point whose capture missed packets that are seen farther along: not lost.
total=$(capinfos -Mrc "$clean/lb1_eth1.pcap" -T | awk '{print $NF}')
editcap -F nsecpcap "$clean/lb1_eth1.pcap" "$clean/holes.pcap" 300-319 1000 1001 $((total - 50))-$((total - 43))
locate --json mx1/eth0="$clean/mx1_eth0.pcap" lb1/eth0="$clean/lb1_eth0.pcap" lb1/eth1="$clean/holes.pcap" \
    edge1/eth0="$clean/edge1_eth0.pcap" edge1/eth1="$clean/edge1_eth1.pcap" >"$LAB_DIR/variant.json"
check "a capture with holes: exit code" test $? = 0
check "a capture with holes: 30 packets missed" jq -e '.verdict.code == "clean" and
    ([.segments[] | .forward.lost_packets, .reverse.lost_packets] | add) == 0 and
    (.vantages[] | select(.name == "lb1/eth1") | .missed) == 30' "$LAB_DIR/variant.json"

# One vantage point alone: TCP itself proves that something is lost behind it.
locate --json lb1/eth0="$size/lb1_eth0.pcap" >"$LAB_DIR/variant.json"
check "one vantage point before the fault: exit code" test $? = 1
check "one vantage point before the fault: beyond, forward" jq -e '.findings[.verdict.finding] |
    .code == "loss" and .from == "lb1/eth0" and .to == "beyond" and .direction == "forward"' "$LAB_DIR/variant.json"
locate --json lb1/eth1="$random/edge1_eth0.pcap" >"$LAB_DIR/variant.json"
check "one vantage point behind the fault: exit code" test $? = 1
check "one vantage point behind the fault: before, forward" jq -e '.findings[.verdict.finding] |
    .code == "loss" and .from == "before" and .direction == "forward"' "$LAB_DIR/variant.json"

# The report for a person, and the merged file.
mapfile -t files < <(lab_files "$size")
locate --merge "$LAB_DIR/merged.pcapng" "${files[@]}" >"$LAB_DIR/report.txt"
check "text report: exit code" test $? = 1
over=$(jq '.findings[.verdict.finding].size_over' "$size/result.json")
for word in lb1/eth0 lb1/eth1 forward "${over:0:1},\?${over:1}"; do
    check "text report names $word" grep -q "$word" "$LAB_DIR/report.txt"
done
sum=0
for file in "$size"/{mx1,lb1,edge1}_eth?.pcap; do
    sum=$((sum + $(tcpdump -n -r "$file" "tcp port $LAB_PORT" 2>/dev/null | wc -l)))
done
merged=$(tcpdump -n -r "$LAB_DIR/merged.pcapng" 2>/dev/null | wc -l)
check "the merged file holds all $sum packets" test "$sum" = "$merged"

# The page: what it draws as lost is what the report counts, byte for byte, super-packets and all.
for name in size random; do
    mapfile -t files < <(lab_files "${!name}")
    locate --json --html "$LAB_DIR/page.html" "${files[@]}" >"$LAB_DIR/page.json"
    check "$name: the page is written" test $? = 1
    check "$name: the page draws what the report counts" \
        python3 "$here/../page/check_page.py" "$LAB_DIR/page.html" "$LAB_DIR/page.json" "${files[@]}"
done

echo "$failed failed"
[ $failed = 0 ]
