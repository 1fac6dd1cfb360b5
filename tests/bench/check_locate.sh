#!/bin/bash
# Whether `droppoint locate` finds exactly the packets that make_captures lost: a simulation that shares no code with the
# engine, at several rates of loss, with few and many flows. Times nothing.
#
# Usage: check_locate.sh DROPPOINT MAKE_CAPTURES
set -euo pipefail
droppoint=$1 make=$2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failed=0

check() { # LOSS_PER_MILLION SEED FLOWS
    local packets bytes wanted got code=0 expected=0
    "$make" "$work" --packets 20000 --loss "$1" --seed "$2" --flows "$3" >"$work/truth"
    read -r packets bytes < <(awk '/^lost/ {print $2, $4}' "$work/truth")
    "$droppoint" locate --json mx1/eth0="$work/mx1-eth0.pcap" lb1/eth0="$work/lb1-eth0.pcap" \
        lb1/eth1="$work/lb1-eth1.pcap" edge1/eth0="$work/edge1-eth0.pcap" edge1/eth1="$work/edge1-eth1.pcap" \
        >"$work/verdict.json" || code=$?
    wanted="clean"
    if ((packets)); then
        expected=1
        wanted="loss lb1/eth0 lb1/eth1 forward random $packets $bytes"
    fi
    got=$(jq -r '(if .verdict.finding == null then [] else (.findings[.verdict.finding] |
        [.from, .to, .direction, .pattern, .lost_packets, .lost_bytes]) end) as $f | [.verdict.code] + $f | join(" ")' \
        "$work/verdict.json")
    # All five points saw all the rest, and no segment lost anything else.
    wanted+=" | $packets 0"
    got+=" | $(jq -r '"\([.segments[] | .forward.lost_packets, .reverse.lost_packets] | add) \([.vantages[].missed] | add)"' \
        "$work/verdict.json")"
    if [ "$got" != "$wanted" ] || [ $code != $expected ]; then
        echo "loss $1 seed $2 flows $3: wanted '$wanted' (exit $expected), got '$got' (exit $code)"
        failed=1
    fi
}

for seed in 1 2 3; do
    for loss in 0 1000 10000 50000 200000; do
        check $loss $seed 200
        check $loss $seed 3
    done
done
exit $failed
