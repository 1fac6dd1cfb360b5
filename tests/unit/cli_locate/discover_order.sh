#!/bin/bash
# droppoint locate --discover-order: files in any order give what they give in the path's order.
# Usage: discover_order.sh DROPPOINT BENCH_MAKE_CAPTURES
set -eu
droppoint=$1 make=$2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"$make" "$work" --packets 3000 --flows 12 >"$work/truth"
cd "$work"
path=(mx1/eth0=mx1-eth0.pcap lb1/eth0=lb1-eth0.pcap lb1/eth1=lb1-eth1.pcap edge1/eth0=edge1-eth0.pcap edge1/eth1=edge1-eth1.pcap)
wrong() { echo "$*"; exit 1; }
run() { "$droppoint" locate --json "$@"; echo "exit code $?"; }
json() { sed '$d' "$1"; }

run "${path[@]}" >ordered || true
[ "$(json ordered | jq '.verdict.code')" = '"loss"' ] || wrong "the captures hold no loss: $(cat ordered)"
for turn in "4 2 0 3 1" "1 0 4 3 2" "2 3 4 0 1"; do
    files=()
    for i in $turn; do files+=("${path[i]}"); done
    run --discover-order "${files[@]}" >found || true
    jq -e '.order.discovered and .order.certain and (.order.reasons | length) == 4' <(json found) >/dev/null ||
        wrong "order: $(json found | jq -c .order)"
    cmp <(json ordered | jq -S .) <(json found | jq -S 'del(.order)') || wrong "another answer for the order $turn"
    [ "$(tail -1 ordered)" = "$(tail -1 found)" ] || wrong "another exit code"
    # Without the option they are taken as given, and the verdict is another one.
    run "${files[@]}" >given || true
    [ "$(json given | jq -c '[.vantages[].name]')" = "$(printf '%s\n' "${files[@]%%=*}" | jq -Rnc '[inputs]')" ] || wrong "the order was not kept"
    cmp -s <(json ordered | jq -S .findings) <(json given | jq -S .findings) && wrong "the order makes no difference: this test tells nothing"
done

# A person reads the path first.
"$droppoint" locate --discover-order "${path[4]}" "${path[0]}" >text || true
head -2 text | grep -q 'mx1/eth0 -> edge1/eth1' || wrong "$(head -5 text)"

# Captures without packets say nothing of their order: it is kept, and told to be unsure.
run --discover-order --filter 'udp' "${path[2]}" "${path[0]}" >none || true
jq -e '.order.certain == false and [.vantages[].name] == ["lb1/eth1", "mx1/eth0"]' <(json none) >/dev/null ||
    wrong "nothing passes the filter, and yet: $(json none | jq -c .order)"
echo "ok"
