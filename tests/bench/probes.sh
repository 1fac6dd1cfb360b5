#!/bin/bash
# Measures probes against the tools that do the same, in namespaces of its own: connections against nmap, echo requests against
# fping, TLS enumeration against sslscan, SMTP dialogues against Postfix' smtp-source (and its smtp-sink as server). Root.
#
# Usage: tests/bench/probes.sh [--build DIR]
set -u
here=$(dirname "$(readlink -f "$0")")
root=$(dirname "$(dirname "$here")")
build=$root/build/release
[ "${1:-}" = --build ] && build=$2
. "$root/tests/scenario/lab.sh"
cmake --build "$build" --target bench_probes droppoint >/dev/null || lab_die "build"
ours() { lab_in mx1 "$build/bin/bench_probes" "$@"; }
seconds() { # COMMAND...: how long it takes
    local begun=$EPOCHREALTIME
    "$@" >"$LAB_DIR/out" 2>&1
    awk "BEGIN {printf \"%.3f\", $EPOCHREALTIME - $begun}"
}
ratio() { awk "BEGIN {printf \"%.2f\", $1 / $2}"; }

lab_trap
lab_up || lab_die "no lab"
for host in mx1 lb1 edge1 remote; do lab_in $host sysctl -q net.ipv4.icmp_ratelimit=0 net.ipv4.icmp_msgs_per_sec=100000 net.core.somaxconn=20000; done

lab_start sink remote smtp-sink -u postfix -c "$REMOTE_4:2500" 2000
lab_start many remote python3 -c "
import socket, threading
s = socket.create_server(('$REMOTE_4', 2501), backlog=20000)
while True:
    c, _ = s.accept(); c.sendall(b'220 x\r\n'); c.close()"
openssl req -x509 -newkey rsa:2048 -nodes -keyout "$LAB_DIR/key" -out "$LAB_DIR/pem" -days 2 -subj /CN=x 2>/dev/null
lab_start tls remote openssl s_server -quiet -accept 2502 -cert "$LAB_DIR/pem" -key "$LAB_DIR/key" -min_protocol TLSv1 -cipher 'ALL:@SECLEVEL=0'
lab_wait_for 10 lab_in remote bash -c 'ss -ltn | grep -q :2502 && ss -ltn | grep -q :2500 && ss -ltn | grep -q :2501' || lab_die "servers"

echo "== 5,000 tcp probes at once, to a port that greets"
ours tcp 5000 5000 --timeout 60 $REMOTE_4:2501
echo "== 5,000 tcp probes at once, to a port that nobody listens on; nmap -sT on 5,000 ports"
a=$(ours tcp 5000 5000 --timeout 60 $REMOTE_4:9)
echo "$a"
b=$(seconds lab_in mx1 nmap -n -Pn -sT -T5 --min-parallelism 500 -p 10001-15000 $REMOTE_4)
echo "nmap: $b s; nmap takes $(ratio "$b" "$(jq .seconds <<<"$a")") times as long"
echo "== 1,000 ping targets in a second, one request each; fping with the same"
a=$(ours ping 1000 1000 --count 1 $REMOTE_4)
echo "$a"
for i in $(seq 1000); do echo $REMOTE_4; done >"$LAB_DIR/targets"
b=$(seconds lab_in mx1 fping -q -c 1 -i 1 -f "$LAB_DIR/targets")
echo "fping: $b s; fping takes $(ratio "$b" "$(jq .seconds <<<"$a")") times as long"
echo "== SMTP: 5,000 dialogues (EHLO, MAIL, RCPT, QUIT), 1,000 at once; smtp-source with as many sessions, whole messages"
a=$(ours smtp 5000 1000 --timeout 100 --helo bench.example.org --mail-from a@example.org --rcpt-to b@example.net $REMOTE_4:2500)
echo "$a"
b=$(seconds lab_in mx1 smtp-source -s 1000 -m 5000 -d -l 100 $REMOTE_4:2500)
echo "smtp-source: $b s; $(ratio 5000 "$b") a second; ours is $(ratio "$(jq .per_second <<<"$a")" "$(ratio 5000 "$b")") of it"
echo "== TLS enumeration of one server; sslscan"
a=$(seconds lab_in mx1 "$build/bin/droppoint" probe tls --local --json $REMOTE_4:2502)
jq -c '.results[0].data | {connections, suites: ([.protocols[].ciphers | length] | add)}' "$LAB_DIR/out"
b=$(seconds lab_in mx1 sslscan --no-colour --no-heartbleed --no-renegotiation --no-fallback --no-compression --no-groups $REMOTE_4:2502)
echo "ours: $a s; sslscan: $b s; sslscan takes $(ratio "$b" "$a") times as long"
