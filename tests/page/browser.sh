#!/bin/bash
# Makes pages and looks at them in a headless Chromium.
set -u
droppoint=$1 make_captures=$2 make_bulk=$3
here=$(dirname "$(readlink -f "$0")")
type chromium chromedriver >/dev/null 2>&1 || { echo "skipped: needs chromium and chromium-driver"; exit 77; }
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
mkdir "$dir/few" "$dir/bulk" "$dir/long"
cd "$dir" || exit 1
"$make_captures" few || exit 1
"$make_bulk" bulk --packets 20000 --loss 3000 --flows 12 >/dev/null || exit 1
# One flow of more packets than a page holds.
"$make_bulk" long --packets 110000 --loss 300 --flows 1 >/dev/null || exit 1
page() { # NAME FOLDER POINT...
    local name=$1 folder=$2 point points=()
    shift 2
    for point; do points+=("$point=$folder/${point/\//-}.pcap"); done
    "$droppoint" locate --json --html "$name.html" "${points[@]}" >"$name.json"
    [ $? = 1 ] || { echo "$name: no loss is located"; exit 1; }
}
page bulk bulk mx1/eth0 lb1/eth0 lb1/eth1 edge1/eth0 edge1/eth1
page long long mx1/eth0 lb1/eth0 lb1/eth1 edge1/eth0 edge1/eth1
page beyond bulk lb1/eth0
"$droppoint" locate --json --html hostile.html '<script>alert(1)</script>/eth0=few/stuck.pcapng' \
    '"><b>&lt;/eth1=few/swallowed.pcapng' >hostile.json
"$droppoint" locate --json --html pieces.html a=few/large.pcapng b=few/pieces.pcapng >pieces.json
"$droppoint" locate --json --html clean.html a=few/near.pcapng b=few/far.pcapng >clean.json
"$droppoint" locate --json --html nothing.html a=few/none1.pcapng b=few/none2.pcapng >nothing.json
python3 "$here/browser_test.py" "$dir"
