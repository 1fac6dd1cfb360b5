#!/bin/bash
# Bad input to `droppoint locate`: the right exit code, a sentence that names the place, no crash and no hang.
set -u
here=$(dirname "$(readlink -f "$0")")
. "$here/lab.sh"
. "$here/cases.sh"
bin=${DROPPOINT_BIN:?}
lab_trap
lab_up
lab_serve
failed=0
dir=$LAB_DIR/case
case_run "$dir" off 4 lb1 forward size
a=$dir/lb1_eth0.pcap b=$dir/lb1_eth1.pcap

# expect CODES WORD NAME ARGUMENT...: exit code one of CODES (comma separated); WORD (a pattern, or "-") in what it says.
expect() {
    local codes=$1 word=$2 name=$3 code
    shift 3
    timeout 30 "$bin/droppoint" locate --filter "tcp port $LAB_PORT" "$@" >"$LAB_DIR/out" 2>"$LAB_DIR/err" </dev/null
    code=$?
    if [[ ,$codes, != *,$code,* ]]; then
        echo "FAIL $name: exit code $code, expected $codes"
    elif [ "$word" != - ] && ! cat "$LAB_DIR/out" "$LAB_DIR/err" | grep -qiE -- "$word"; then
        echo "FAIL $name: does not say $word"
    elif [ $code = 2 ] && [ "$(wc -c <"$LAB_DIR/err")" -lt 20 ]; then
        echo "FAIL $name: says nothing"
    elif [ $code = 2 ] && [ -s "$LAB_DIR/out" ] && [[ $* != *--merge* ]]; then
        echo "FAIL $name: prints a result though the input is unusable"
    else
        echo "ok   $name"
        return
    fi
    head -c 600 "$LAB_DIR/err" "$LAB_DIR/out"
    failed=$((failed + 1))
}

expect 1 lb1 "the captures themselves" lb1/eth0=$a lb1/eth1=$b
expect 2 - "no argument"
expect 2 - "an unknown option" --nonsense lb1/eth0=$a
expect 2 '=' "a file without a name" $a
expect 2 - "an empty name" =$a
expect 2 - "standard input" lb1/eth0=-
expect 2 lb1/eth0 "a name twice" lb1/eth0=$a lb1/eth0=$b
expect 2 nowhere.pcap "a file that is not there" lb1/eth0=$a lb1/eth1=$dir/nowhere.pcap
expect 2 "$dir" "a directory" lb1/eth0=$a lb1/eth1=$dir
expect 2 "same file" "the same file twice" lb1/eth0=$a lb1/eth1=$a
cp $a $dir/copy.pcap
expect 2 - "a copy of the file" lb1/eth0=$a lb1/eth1=$dir/copy.pcap
ln -s $a $dir/link.pcap
expect 2 "same file" "a link to the same file" lb1/eth0=$a lb1/eth1=$dir/link.pcap
expect 2 filter "a filter that does not compile" --filter 'tcp prot 25' lb1/eth0=$a lb1/eth1=$b
expect 2 - "a merged file that cannot be written" --merge $dir/no/such/place.pcapng lb1/eth0=$a lb1/eth1=$b
expect 2 /dev/zero "an endless file" lb1/eth0=/dev/zero lb1/eth1=$b
: >$dir/empty.pcap
expect 2 empty.pcap "an empty file" lb1/eth0=$a lb1/eth1=$dir/empty.pcap
head -c 5000 /dev/urandom >$dir/noise.pcap
expect 2 noise.pcap "noise" lb1/eth0=$a lb1/eth1=$dir/noise.pcap
echo 'not a capture at all, a text' >$dir/text.pcap
expect 2 text.pcap "a text" lb1/eth0=$a lb1/eth1=$dir/text.pcap

# 0 packets: nothing to say, which is not the same as nothing lost.
head -c 24 $a >$dir/zero_a.pcap
head -c 24 $b >$dir/zero_b.pcap
expect 3 - "two files of 0 packets" lb1/eth0=$dir/zero_a.pcap lb1/eth1=$dir/zero_b.pcap
expect 3 lb1/eth1 "one file of 0 packets" lb1/eth0=$a lb1/eth1=$dir/zero_b.pcap
expect 3 - "one vantage point with 0 packets" lb1/eth0=$dir/zero_a.pcap

# Cut in the middle of its last record, as a full disk does: what came before counts, and a warning says so.
head -c $(($(stat -c %s $b) - 30)) $b >$dir/cut.pcap
expect 0,1,3 cut.pcap "a file that is cut short" lb1/eth0=$a lb1/eth1=$dir/cut.pcap
gzip -c $b | head -c 600 >$dir/cut.pcap.gz
expect 0,1,2,3 cut.pcap.gz "a gzip file that is cut short" lb1/eth0=$a lb1/eth1=$dir/cut.pcap.gz

# Corrupt: a record's length that lies.
poke() { printf "$3" | dd of="$1" bs=1 seek="$2" conv=notrunc status=none; }
cp $b $dir/long.pcap
poke $dir/long.pcap $((24 + 8)) '\xff\xff\xff\x7f'
expect 2 long.pcap "a pcap record of 2 GB" lb1/eth0=$a lb1/eth1=$dir/long.pcap
editcap -F pcapng $b $dir/good.pcapng
cp $dir/good.pcapng $dir/lying.pcapng
second=$(od -An -tu4 -j4 -N4 $dir/good.pcapng | tr -d ' ')
for value in '\x00\x00\x00\x00' '\x03\x00\x00\x00' '\x0d\x00\x00\x00' '\xff\xff\xff\xff' '\xfc\xff\xff\x7f'; do
    poke $dir/lying.pcapng $((second + 4)) "$value"
    expect 2 lying.pcapng "a pcapng block length of $value" lb1/eth0=$a lb1/eth1=$dir/lying.pcapng
done
cp $dir/good.pcapng $dir/trailer.pcapng
poke $dir/trailer.pcapng $((second - 4)) '\x01\x02\x03\x04'
expect 2 trailer.pcapng "a pcapng block whose two lengths differ" lb1/eth0=$a lb1/eth1=$dir/trailer.pcapng

# Two captures that share no moment and no connection.
lab_capture_start $dir/later
lab_traffic --bytes 50000 --flows 1 >/dev/null
lab_capture_stop
expect 3 - "captures that share no connection" lb1/eth0=$a lb1/eth1=$dir/later/lb1_eth1.pcap

# Noise in the packets themselves: any verdict, but no crash.
for seed in 1 2 3; do
    editcap -F nsecpcap -E 0.05 --seed $seed $b $dir/broken.pcap
    expect 0,1,2,3 - "packets with random errors, $seed" --json lb1/eth0=$a lb1/eth1=$dir/broken.pcap
done

echo "$failed failed"
[ $failed = 0 ]
