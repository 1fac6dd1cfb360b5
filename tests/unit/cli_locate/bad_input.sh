#!/bin/bash
# Runs `droppoint locate` on bad input of every kind: the exit code and a word of the message must be as expected.
set -u
droppoint=$1
make_captures=$2
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
"$make_captures" "$dir" || { echo "captures could not be made"; exit 1; }
cd "$dir" || exit 1
failures=0

# expect CODE WORD ARGUMENT...: the message is on standard error, and nothing on standard output.
expect() {
    local code=$1 word=$2
    shift 2
    local out
    timeout 20 "$droppoint" "$@" >out 2>err </dev/null
    local got=$?
    if [ $got -ne "$code" ] || ! grep -qF -- "$word" err || { [ "$code" = 2 ] && [ -s out ]; }; then
        echo "FAILED: droppoint $*"
        echo "  exit code $got, expected $code; message should say '$word':"
        sed 's/^/    /' err
        failures=$((failures + 1))
    fi
}

# expect_json CODE VERDICT ARGUMENT...
expect_json() {
    local code=$1 verdict=$2
    shift 2
    timeout 20 "$droppoint" locate --json "$@" >out 2>err </dev/null
    local got=$?
    if [ $got -ne "$code" ] || ! python3 -c '
import json, sys
document = json.load(open("out"))
sys.exit(document["verdict"]["code"] != sys.argv[1])' "$verdict"; then
        echo "FAILED: droppoint locate --json $*"
        echo "  exit code $got, expected $code with verdict $verdict:"
        sed 's/^/    /' out err | tail -20
        failures=$((failures + 1))
    fi
}

expect 2 "Usage"
expect 2 "no command 'locat'" locat
expect 2 "No capture file" locate
expect 2 "given twice" locate a=near.pcapng a=far.pcapng
expect 2 "same file" locate a=near.pcapng b=near.pcapng
ln near.pcapng hard.pcapng
expect 2 "same file" locate a=near.pcapng b=hard.pcapng
cp near.pcapng copy.pcapng
expect 2 "is a copy of" locate a=near.pcapng b=copy.pcapng
expect 2 "No such file" locate a=near.pcapng b=gone.pcapng
expect 2 "standard input" locate a=near.pcapng b=-
expect 2 "a directory" locate a=near.pcapng b=.
expect 2 "a device" locate a=near.pcapng b=/dev/zero
mkfifo pipe
expect 2 "a pipe" locate a=near.pcapng b=pipe
: >empty.pcap
expect 2 "empty.pcap: is empty" locate a=near.pcapng b=empty.pcap
echo "Dear all" >letter
expect 2 "looks like text" locate a=near.pcapng b=letter
expect 2 "would overwrite" locate --html far.pcapng a=near.pcapng b=far.pcapng
expect 2 "its folder cannot" locate --html there/is/none.html a=near.pcapng b=far.pcapng
expect 2 "is a directory" locate --html . a=near.pcapng b=far.pcapng
expect 2 "both --merge and --html" locate --html out --merge ./out a=near.pcapng b=far.pcapng
expect 2 "No such file" locate --html x.html a=near.pcapng b=gone.pcapng
[ ! -e x.html ] || { echo "FAILED: a page without a report"; failures=$((failures + 1)); }
expect 2 "does not compile" locate --filter "tcp prot 25" a=near.pcapng b=far.pcapng
expect 2 "does not compile" locate --filter "tcp prot 25" a=none1.pcapng b=none2.pcapng
expect 2 "link type 220" locate a=near.pcapng b=usb.pcapng
expect 2 "would overwrite" locate --merge far.pcapng a=near.pcapng b=far.pcapng
expect 2 "its folder cannot" locate --merge there/is/none.pcapng a=near.pcapng b=far.pcapng
expect 2 "cannot be opened" locate a=near.pcapng b=far.pcapng/x

# A lying length of the first packet block, which follows section header (28 bytes) and interface description.
cp far.pcapng lying.pcapng
interface=$(od -An -tu4 -j32 -N4 far.pcapng)
printf '\x5d\x00\x00\x00' | dd of=lying.pcapng bs=1 seek=$((28 + interface + 4)) conv=notrunc status=none
expect 2 "lying.pcapng: the pcapng block" locate a=near.pcapng b=lying.pcapng
gzip -c far.pcapng | head -c 300 | tr '\245' '\132' >damaged.gz
head -c 300 /dev/urandom >>damaged.gz
expect 2 "damaged.gz" locate a=near.pcapng b=damaged.gz

# Valid input: an answer.
expect_json 0 clean a=near.pcapng b=far.pcapng
gzip -k far.pcapng
expect_json 0 clean a=near.pcapng b=far.pcapng.gz
expect_json 1 loss a=stuck.pcapng b=swallowed.pcapng
expect_json 3 inconclusive a=none1.pcapng b=none2.pcapng
expect_json 3 inconclusive a=near.pcapng b=none2.pcapng
cp none1.pcapng none3.pcapng
expect_json 3 inconclusive a=none1.pcapng b=none3.pcapng
expect_json 3 inconclusive --filter "udp" a=near.pcapng b=far.pcapng

# Cut short: what is there is used, and a warning says so.
head -c -20 far.pcapng >cut.pcapng
timeout 20 "$droppoint" locate a=near.pcapng b=cut.pcapng >out 2>err
if [ $? -eq 2 ] || ! grep -q "warning: cut.pcapng: ends inside the record at byte" err; then
    echo "FAILED: a file that is cut short"
    cat err
    failures=$((failures + 1))
fi

# A disk that is full, and the merged file.
if timeout 20 "$droppoint" locate --json a=near.pcapng b=far.pcapng >/dev/full 2>err || ! grep -q "could not be written" err; then
    echo "FAILED: standard output that cannot be written"
    failures=$((failures + 1))
fi
if ! timeout 20 "$droppoint" locate --merge merged.pcapng a=near.pcapng b=far.pcapng >out || [ ! -s merged.pcapng ]; then
    echo "FAILED: --merge"
    failures=$((failures + 1))
fi
if timeout 20 "$droppoint" locate --html /dev/full a=near.pcapng b=far.pcapng >out 2>err || ! grep -q "/dev/full: cannot be written" err; then
    echo "FAILED: a page that cannot be written"
    cat err
    failures=$((failures + 1))
fi
[ $failures -eq 0 ] && echo "all as expected"
exit $((failures > 0))
