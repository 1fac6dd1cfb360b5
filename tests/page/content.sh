#!/bin/bash
# The page of every kind of capture holds the document and draws what the document counts; --html changes neither exit
# code nor JSON, and goes with the other options.
set -u
droppoint=$1 make_captures=$2 make_bulk=$3
here=$(dirname "$(readlink -f "$0")")
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir" || exit 1
mkdir few bulk
"$make_captures" few && "$make_bulk" bulk --packets 8000 --loss 6000 --flows 12 >bulk.txt || exit 1
failures=0
fail() { echo "FAILED: $*"; failures=$((failures + 1)); }

# page NAME CODE ARGUMENT...: writes NAME.html and NAME.json in one run, and compares with a run without --html.
page() {
    local name=$1 code=$2 wanted
    shift 2
    "$droppoint" locate --json "$@" >plain.json 2>plain.err
    wanted=$?
    "$droppoint" locate --json --html "$name.html" "$@" >"$name.json" 2>"$name.err"
    [ $? = "$code" ] && [ "$wanted" = "$code" ] || fail "$name: exit code is not $code"
    cmp -s plain.json "$name.json" || fail "$name: --html changes the JSON"
    cmp -s plain.err "$name.err" || fail "$name: --html changes what is said on standard error"
    [ ! -e "$name.html.part" ] || fail "$name: half a page is left"
    local file files=()
    for file in "$@"; do case $file in *=*.pcap) files+=("$file") ;; esac; done
    python3 "$here/check_page.py" "$name.html" "$name.json" "${files[@]}" || fail "$name"
}

at() { echo "$1=bulk/${1/\//-}.pcap"; }
five="$(at mx1/eth0) $(at lb1/eth0) $(at lb1/eth1) $(at edge1/eth0) $(at edge1/eth1)"
page clean 0 a=few/near.pcapng b=few/far.pcapng
page swallowed 1 a=few/stuck.pcapng b=few/swallowed.pcapng
page pieces 1 a=few/large.pcapng b=few/pieces.pcapng
page nothing 3 a=few/none1.pcapng b=few/none2.pcapng
page five 1 $five
page uncorrected 1 --no-clock-correction $(at lb1/eth0) $(at lb1/eth1)
page filtered 1 --filter 'host 192.0.2.1' $five
page beyond 1 $(at lb1/eth0)
page before 1 $(at lb1/eth1)
page cut 0 "<script>alert(1)</script>/eth0=few/near.pcapng" '"><b>&amp;/eth1=few/far.pcapng'
gzip -k bulk/lb1-eth1.pcap
page packed 1 $(at lb1/eth0) lb1/eth1=bulk/lb1-eth1.pcap.gz

# A file that is cut short is warned of once, though it is read again for the page.
head -c -30 bulk/edge1-eth1.pcap >short.pcap
page short 1 $(at lb1/eth0) edge1/eth1=short.pcap
[ "$(grep -c warning short.err)" = 1 ] || fail "a warning is not said once"

# With --merge, as text, over an older page.
echo old >both.html
"$droppoint" locate --html both.html --merge both.pcapng $five >both.txt
[ $? = 1 ] && [ -s both.pcapng ] && grep -q 'both.html' both.txt || fail "--html with --merge"
cmp -s both.html five.html || fail "the same captures make another page"
[ $failures = 0 ] && echo "all as expected"
exit $((failures > 0))
