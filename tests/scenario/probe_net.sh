#!/bin/bash
# The probes of the network from mx1 towards remote, over two routers, with a real cause for each class.
set -u
here=$(dirname "$(readlink -f "$0")")
. "$here/lab.sh"
. "$here/probe_lib.sh"
only=${1:-}
EDGE1_4=198.51.100.2 LB1_4=192.0.2.1

# rules HOST TEXT: a filter table there in place of the last one.
rules() {
    lab_in "$1" sh -c 'nft delete table inet probe 2>/dev/null; exit 0'
    [ -z "${2:-}" ] || lab_in "$1" nft "table inet probe { $2 }" || lab_die "nft on $1"
}
forward() { rules edge1 "chain f { type filter hook forward priority 0; $1 };"; }

serve() { # PORT PYTHON: handles each connection `c` that way
    lab_start "serve$1" remote python3 -c "
import socket, time, struct
s = socket.create_server(('::', $1), family=socket.AF_INET6, dualstack_ipv6=True)
while True:
    c, _ = s.accept()
    $2
    c.close()
"
    lab_wait_for 5 lab_in remote bash -c "ss -ltn | grep -q :$1" || lab_die "port $1"
}

probe_tcp() {
    serve 2525 "c.sendall(b'220 mx.example.net ESMTP\r\n')"
    serve 2526 "c.sendall(b'554 5.7.1 go away\r\n')"
    serve 2527 "pass"
    serve 2528 "c.sendall(b'220-wait\r\n'); time.sleep(0.3); c.sendall(b'421 4.3.2 too busy\r\n')"
    serve 2529 "time.sleep(3)"
    serve 2530 "c.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0))"
    local a
    for a in $REMOTE_4 "[$REMOTE_6]"; do
        probe_expect "a port that greets" 0 open '.data.banner == "220 mx.example.net ESMTP" and .data.connect_ms > 0' tcp "$a:2525"
        probe_expect "a greeting with 554" 1 rejected-banner '.data.banner | startswith("554 ")' tcp "$a:2526"
        probe_expect "hung up at once" 1 closed-by-peer '.data.closed_with == "FIN"' tcp "$a:2527"
        probe_expect "a greeting of two lines, the last with 421" 1 rejected-banner '.data.banner | contains("421")' tcp "$a:2528"
        probe_expect "a port that keeps silent" 0 open '.data.banner == null' tcp --wait 0.3 "$a:2529"
        probe_expect "reset at once" 1 closed-by-peer '.data.closed_with == "RST"' tcp "$a:2530"
        probe_expect "nobody listens" 1 refused '.data.addresses | length == 1' tcp "$a:9"
    done
    forward 'ip daddr 203.0.113.0/24 tcp dport 25 drop; ip6 daddr 2001:db8:3::/64 tcp dport 25 drop;'
    probe_expect "dropped on the way" 1 filtered '.data.icmp_from == null' tcp --timeout 1.5 $REMOTE_4:25
    probe_expect "dropped on the way, IPv6" 1 filtered '.data.family == "ipv6"' tcp --timeout 1.5 "[$REMOTE_6]:25"
    local code
    for code in net-unreachable=0 host-unreachable=1 port-unreachable=3 net-prohibited=9 host-prohibited=10 admin-prohibited=13; do
        forward "ip daddr $REMOTE_4 tcp dport 25 reject with icmp type ${code%=*};"
        probe_expect "rejected with ${code%=*}" 1 unreachable \
            ".data.icmp_type == 3 and .data.icmp_code == ${code#*=} and .data.icmp_from == \"$EDGE1_4\"" tcp $REMOTE_4:25
    done
    for code in no-route=0 admin-prohibited=1 addr-unreachable=3 port-unreachable=4; do
        forward "ip6 daddr $REMOTE_6 tcp dport 25 reject with icmpv6 type ${code%=*};"
        probe_expect "rejected with ICMPv6 ${code%=*}" 1 unreachable \
            ".data.icmp_type == 1 and .data.icmp_code == ${code#*=} and (.data.icmp_from | startswith(\"2001:db8:\"))" tcp "[$REMOTE_6]:25"
    done
    forward "ip daddr $REMOTE_4 tcp dport 25 reject with tcp reset;"
    probe_expect "rejected with a reset" 1 refused 'true' tcp $REMOTE_4:25
    forward ''
    probe_expect "no host of that address" 1 unreachable ".data.icmp_from == \"$EDGE1_4\" and .data.icmp_code == 1" tcp 203.0.113.99:25
    probe_expect "no neighbour of that address" 1 unreachable '.summary | contains("this host itself")' tcp 192.0.2.77:25
    lab_in mx1 ip route add unreachable 198.18.0.0/15
    probe_expect "no route" 1 unreachable '.data.icmp_from == null' tcp 198.18.0.1:25
    probe_refuses "a name that nothing knows" "has no address\|no resolver\|could not be looked up" tcp --timeout 3 nothing.invalid:25
    probe_refuses "no port" "names no port" tcp $REMOTE_4
    probe_refuses "the other family" "is no IPv6 address" tcp -6 $REMOTE_4:25
    probe_refuses "an absent interface" "no such interface" tcp --interface nope0 $REMOTE_4:25
    probe_refuses "an address that is not this host's" "cannot send from" tcp --source 192.0.2.200 $REMOTE_4:25
    probe_same "nmap on an open, a closed and a filtered port" \
        "$(forward "ip daddr $REMOTE_4 tcp dport 25 drop;"; lab_in mx1 nmap -n -Pn -sT -p 25,9,2525 $REMOTE_4 |
            awk '/^[0-9]+\/tcp/ {print $1, $2}' | sort -n | tr '\n' ' ')" "9/tcp closed 25/tcp filtered 2525/tcp open "
    forward ''
}

probe_ping() {
    local fping
    probe_expect "a host that answers" 0 ok '.data.received == 5 and .data.loss == 0 and .data.ttl == 62 and .data.rtt_ms.min > 0' \
        ping --interval 0.05 $REMOTE_4
    probe_expect "a host that answers, IPv6" 0 ok '.data.received == 5 and .data.ttl == 62' ping --interval 0.05 $REMOTE_6
    probe_expect "from an address, by an interface, unprivileged" 0 ok '.data.received == 2' \
        ping --interval 0.05 --count 2 --source $MX1_4 --interface eth0 $REMOTE_4
    forward 'ip daddr 203.0.113.25 icmp type echo-request numgen inc mod 4 == 0 drop;'
    probe_expect "every fourth lost" 1 loss '.data.sent == 20 and .data.received == 15 and .data.loss == 0.25' \
        ping --interval 0.02 --count 20 $REMOTE_4
    fping=$(lab_in mx1 fping -q -c 20 -p 20 $REMOTE_4 2>&1 | sed -n 's/.*%loss = \([0-9/]*\).*/\1/p')
    probe_same "fping's count" "$fping" "20/15/25"
    forward 'ip daddr 203.0.113.25 icmp type echo-request drop;'
    probe_expect "no answer" 1 silent '.data.received == 0 and .data.loss == 1' ping --interval 0.05 --count 3 $REMOTE_4
    forward 'ip daddr 203.0.113.25 reject with icmp type admin-prohibited;'
    probe_expect "prohibited" 1 unreachable ".data.icmp_from == \"$EDGE1_4\" and .data.icmp_code == 13" \
        ping --interval 0.05 --count 3 $REMOTE_4
    forward ''
    probe_expect "a host that is not there" 1 unreachable ".data.icmp_from == \"$EDGE1_4\" and .data.icmp_code == 1" \
        ping --count 1 --timeout 5 203.0.113.99
    lab_in edge1 ip link set eth1 mtu 1300
    probe_expect "too large to go unfragmented" 1 unreachable \
        ".data.mtu == 1300 and .data.icmp_code == 4 and .data.icmp_from == \"$EDGE1_4\"" ping --df --size 1400 --count 2 --interval 0.1 $REMOTE_4
    probe_expect "larger than one's own interface" 1 unreachable '.data.sent == 0' ping --df --size 2000 --count 1 $REMOTE_4
    lab_in edge1 ip link set eth1 mtu 1500
    lab_in mx1 ip route flush cache
}

probe_mtu() {
    serve 2531 "time.sleep(1)"
    local a
    for a in $REMOTE_4 $REMOTE_6; do
        probe_expect "nothing in the way" 0 ok '.data.largest == 1500 and .data.clamp == null' mtu "$a"
    done
    probe_expect "the MSS that TCP announces" 0 ok '.data.mss_own == 1460 and .data.mss_peer == 1460' mtu $REMOTE_4:2531
    lab_in edge1 ip link set eth1 mtu 1400
    probe_expect "a reduction that is told" 0 reduced \
        ".data.largest == 1400 and .data.ptb_mtu == 1400 and .data.ptb_from == \"$EDGE1_4\" and .data.clamp == 1360 and .status == \"warning\"" mtu $REMOTE_4
    probe_expect "a reduction that is told, IPv6" 0 reduced '.data.largest == 1400 and .data.ptb_mtu == 1400 and .data.clamp == 1340' mtu $REMOTE_6
    probe_same "tracepath's MTU" "$(lab_in mx1 tracepath -n $REMOTE_4 | sed -n 's/.*Resume: pmtu \([0-9]*\).*/\1/p')" 1400
    rules edge1 'chain o { type filter hook output priority 0; icmp type destination-unreachable drop; icmpv6 type packet-too-big drop; };'
    lab_in mx1 sh -c 'ip route flush cache; ip -6 route flush cache'
    probe_expect "a black hole" 1 black-hole '.data.largest == 1400 and .data.ptb_from == null and .data.dies_after == 2 and .data.clamp == 1360' mtu $REMOTE_4
    probe_expect "a black hole, IPv6" 1 black-hole '.data.largest == 1400 and .data.dies_after == 2' mtu $REMOTE_6
    rules edge1
    lab_in edge1 ip link set eth1 mtu 1500
    rules lb1 'chain f { type filter hook forward priority 0; meta length > 1432 drop; };'
    probe_expect "a host that swallows large packets" 1 black-hole '.data.largest == 1432 and .data.dies_after == 1' mtu $REMOTE_4
    rules lb1
    forward 'icmp type echo-request drop;'
    probe_expect "no echo" 3 inconclusive '.data.largest == null' mtu $REMOTE_4
    forward ''
}

probe_trace() {
    local mode mtr
    serve 2532 "pass"
    for mode in icmp udp tcp; do
        probe_expect "all hops, $mode" 0 reached \
            ".data.mode == \"$mode\" and ([.data.hops[].addresses[0]] == [\"$LB1_4\", \"$EDGE1_4\", \"$REMOTE_4\"]) and .data.stops_after == null and (.data.hops | all(.loss == 0 and .sent == 2)) and .status == \"ok\"" \
            trace --mode $mode --rounds 2 --interval 0.1 $REMOTE_4:2532
        probe_expect "all hops, $mode, IPv6" 0 reached '.data.hops | length == 3' trace --mode $mode --rounds 1 "[$REMOTE_6]:2532"
    done
    mtr=$(lab_in mx1 mtr -n -r -c 1 $REMOTE_4 | awk '/\|--/ {print $2}' | tr '\n' ' ')
    probe_same "mtr's hops" "$mtr" "$LB1_4 $EDGE1_4 $REMOTE_4 "
    forward "ip daddr $REMOTE_4 tcp dport 25 drop;"
    probe_expect "stops behind the second hop" 1 stopped '.data.stops_after == 2' trace --rounds 1 $REMOTE_4:25
    forward "ip daddr $REMOTE_4 tcp dport 25 reject with icmp type admin-prohibited;"
    probe_expect "prohibited at the second hop" 1 unreachable '.data.stops_after == 2 and .data.hops[1].icmp_code == 13' trace --rounds 1 $REMOTE_4:25
    forward ''
    rules lb1 'chain o { type filter hook output priority 0; icmp type time-exceeded drop; };'
    probe_expect "a router that does not answer" 0 reached '.data.hops[0].addresses == [] and .data.hops[2].target and .status == "ok"' trace --rounds 1 $REMOTE_4
    rules lb1 'chain o { type filter hook output priority 0; icmp type time-exceeded numgen inc mod 2 == 0 drop; };'
    probe_expect "loss that does not carry on" 0 reached \
        '.data.hops[0].loss == 0.5 and .data.hops[0].carried_loss == 0 and .status == "ok"' trace --rounds 4 --interval 0.1 $REMOTE_4
    rules lb1
    forward "ip daddr $REMOTE_4 icmp type echo-request numgen inc mod 3 == 1 drop;"
    probe_expect "loss that carries on" 0 reached '.data.hops[2].loss > 0 and .data.hops[2].loss < 0.6 and .status == "warning" and (.summary | contains("begins at hop 3"))' \
        trace --rounds 8 --interval 0.1 $REMOTE_4
    forward ''
    probe_same "a terminal: the table is drawn anew in its place, and taken away at the end" \
        "$(lab_in mx1 env TERM=xterm script -qec "stty cols 40 rows 10; '$PROBE_BIN' probe trace --local --rounds 4 --interval 0.4 $REMOTE_4" /dev/null |
            tr -d '\r' | tee "$LAB_DIR/live" | awk '/\033\[5A/ {up++} {gsub(/\033\[[0-9]*[A-Z]/, "")} /^reached/ {done = 1} length > 40 && !done {wide++}
                END {print (up >= 2), wide + 0, done}')" "1 0 1"
    probe_same "no terminal that can do so: lines" \
        "$(lab_in mx1 env TERM=dumb script -qec "'$PROBE_BIN' probe trace --local --rounds 2 --interval 0.1 $REMOTE_4" /dev/null | grep -c -e "$(printf '\033')")" 0
    probe_same "asked for JSON: nothing but the document" \
        "$(lab_in mx1 env TERM=xterm script -qec "'$PROBE_BIN' probe trace --local --json --rounds 2 --interval 0.1 $REMOTE_4" /dev/null | jq -r '.results[0].class')" reached
    probe_expect "a host that is not there" 1 unreachable '.data.stops_after == 2' trace --rounds 1 --timeout 20 203.0.113.99
}

probe_link() {
    probe_expect "an interface that is well" 0 ok \
        '.data.interfaces[0] | .up and .carrier and .mtu == 1500 and .speed_mbps == 10000 and .duplex == "full" and (.addresses | index("192.0.2.10"))' \
        link --period 0.1 eth0
    probe_expect "all of them" 0 ok '[.data.interfaces[].name] | index("lo") and index("eth0")' link --period 0.1
    lab_start traffic mx1 "$PROBE_BIN" probe ping --local --interval 0.02 --count 100 $REMOTE_4
    sleep 0.2
    probe_expect "growth" 0 ok '.data.interfaces[0].growth | .rx.packets > 5 and .tx.bytes > 300' link --period 0.5 eth0
    lab_stop traffic
    probe_same "the kernel's own counter of bytes" \
        "$(lab_in mx1 "$PROBE_BIN" probe link --local --json --period 0.01 eth0 | jq '.results[0].data.interfaces[0].counters.rx.packets')" \
        "$(lab_in mx1 cat /sys/class/net/eth0/statistics/rx_packets)"
    lab_in mx1 ip link add dp0 type veth peer name dp1
    lab_in mx1 ip link set dp0 up
    probe_expect "no carrier" 1 down '.data.interfaces[0] | .up and (.carrier | not)' link --period 0.05 dp0
    probe_expect "no carrier, seen among all" 1 down '.summary | contains("dp0")' link --period 0.05
    lab_in mx1 ip link set dp1 up
    probe_expect "up again" 0 ok 'true' link --period 0.05 dp0
    lab_in mx1 ip link set dp1 mtu 1400
    probe_expect "a peer with another MTU" 1 mtu '.data.interfaces[0] | .mtu == 1500 and .peer_mtu == 1400' link --period 0.05 dp0
    lab_in mx1 ip link set dp1 mtu 1500
    lab_in lb1 ip link set eth1 mtu 1400
    PROBE_HOST=w2 probe_expect "a peer in another namespace with another MTU" 1 mtu '.data.interfaces | any(.peer_mtu == 1400)' link --period 0.05
    lab_in lb1 ip link set eth1 mtu 1500
    lab_in mx1 ethtool -s dp0 duplex half 2>/dev/null &&
        probe_expect "half duplex" 1 duplex '.data.interfaces[0].duplex == "half"' link --period 0.05 dp0
    lab_in mx1 ip link set dp0 down
    lab_in mx1 ip link set dp1 down
    probe_expect "switched off" 1 down '.data.interfaces[0].up == false' link --period 0.05 dp0
    probe_expect "switched off, nobody asked" 0 ok 'true' link --period 0.05
    lab_in mx1 ip link set dp0 up
    (sleep 0.5; lab_in mx1 ip link del dp0) &
    probe_expect "an interface that vanishes" 1 down '.summary | contains("vanished")' link --period 1.5 dp0
    wait $!
    probe_refuses "an absent interface" "no interface" link nope0
}

# vrrp_routers [use_vmac]: keepalived on alice and mallory, 192.0.2.100 at alice's.
vrrp_routers() {
    local host priority=150
    vip='[.data.table[] | select(.address == "192.0.2.100")][0]'
    for host in alice mallory; do
        cat >"$LAB_DIR/vrrp_$host.conf" <<END
global_defs {
  router_id $host
}
vrrp_instance lab {
  state BACKUP
  interface eth0
  virtual_router_id 11
  priority $priority
  advert_int 0.2
  ${1:+use_vmac vrrp11
  vmac_xmit_base}
  virtual_ipaddress {
    192.0.2.100/24
  }
}
END
        lab_start "vrrp_$host" $host keepalived -n -l -D -f "$LAB_DIR/vrrp_$host.conf" -p "$LAB_DIR/vrrp_$host.pid" -r "$LAB_DIR/vrrp_$host.vrrp" -P
        priority=100
    done
    lab_wait_for 15 lab_in alice bash -c 'ip -4 -o address | grep -q 192.0.2.100' || lab_die "VRRP: $(cat "${LAB_LOG[vrrp_alice]}")"
}

probe_arp() { # on the net of mx1 and lb1: two more hosts on their wire
    local host vip number=50
    export XDG_STATE_HOME=$LAB_DIR/state
    lab_in mx1 ip route replace default via $LB1_4
    for host in alice mallory; do
        number=$((number + 1))
        ip netns add "$LAB-$host"
        ip link add eth0 netns "$LAB-$host" type veth peer name "p$host" netns "$LAB-w1"
        lab_in w1 ip link set "p$host" master br0 up
        lab_in $host ip address add 192.0.2.$number/24 dev eth0
        lab_in $host ip link set eth0 up
    done
    probe_expect "a net that is well" 0 ok \
        ".data.gateway == \"$LB1_4\" and ([.data.table[].address] == [\"$LB1_4\", \"192.0.2.51\", \"192.0.2.52\"]) and .data.first_run and .data.remembered and .data.table[0].gateway" arp eth0
    probe_same "the kernel's MAC of the gateway" "$(jq -r '.results[0].data.table[0].mac' "$LAB_DIR/probe.json")" \
        "$(lab_in lb1 cat /sys/class/net/eth0/address)"
    lab_in alice ip address add 192.0.2.61/24 dev eth0
    probe_expect "one MAC with two addresses" 0 ok '.data.shared_macs[0].addresses == ["192.0.2.51", "192.0.2.61"] and (.data.first_run | not)' arp eth0
    lab_in alice ip link set eth0 address 02:00:00:00:00:51
    probe_expect "another card" 1 changed '[.data.changes[] | select(.address == "192.0.2.51")][0].now == "02:00:00:00:00:51"' arp eth0
    probe_expect "taken for granted then" 0 ok '.data.changes == []' arp 192.0.2.0/24
    lab_in mallory ip address add 192.0.2.51/24 dev eth0
    probe_expect "two that claim one address" 1 duplicate '.data.duplicates[0] | .address == "192.0.2.51" and (.macs | length == 2)' arp eth0
    lab_in mallory ip address del 192.0.2.51/24 dev eth0
    lab_in mallory ip address add $LB1_4/24 dev eth0
    probe_expect "one that claims to be the gateway" 1 gateway-spoofed ".summary | contains(\"$LB1_4\")" arp eth0
    lab_in mallory ip address del $LB1_4/24 dev eth0
    lab_in alice ip link set eth0 address 00:00:5e:00:01:0a # as a VRRP router has it
    probe_expect "a VRRP router takes over" 0 ok '[.data.table[] | select(.address == "192.0.2.51")][0].virtual | contains("VRRP")' arp eth0
    probe_refuses "an absent interface" "neither an interface" arp nope0
    probe_refuses "a foreign prefix" "no interface of this host" arp 198.18.0.0/24
    probe_refuses "no Ethernet" "no Ethernet" arp lo
    lab_in alice ip link set eth0 address 02:00:00:00:00:51
    vrrp_routers use_vmac
    probe_expect "keepalived with the MAC of the group" 0 ok "$vip | .mac == \"00:00:5e:00:01:0b\" and (.virtual | contains(\"VRRP\"))" arp eth0
    lab_stop vrrp_alice
    lab_wait_for 10 lab_in mallory bash -c 'ip -4 -o address | grep -q 192.0.2.100' || lab_die "no failover: $(cat "${LAB_LOG[vrrp_mallory]}")"
    probe_expect "the other router takes over" 0 ok "$vip.mac == \"00:00:5e:00:01:0b\" and .data.changes == []" arp eth0
    lab_stop vrrp_mallory
    vrrp_routers
    probe_expect "keepalived with the routers' own MACs" 0 ok "$vip.virtual == null" arp eth0
    lab_stop vrrp_alice
    lab_wait_for 10 lab_in mallory bash -c 'ip -4 -o address | grep -q 192.0.2.100' || lab_die "no failover"
    probe_expect "which at a failover is a change" 1 changed '[.data.changes[] | select(.address == "192.0.2.100")] | length == 1' arp eth0
    lab_stop vrrp_mallory
    for host in alice mallory; do
        for number in $(ip netns pids "$LAB-$host"); do kill "$number"; done
        ip netns del "$LAB-$host"
    done
    unset XDG_STATE_HOME
}

probe_firewall() {
    serve 2533 "time.sleep(1)"
    out() { rules mx1 "chain own { type filter hook output priority 0; $1 };"; }
    probe_expect "no rule at all" 0 permitted '.data.rule == null or .data.rule.policy' firewall $REMOTE_4:2533
    out 'tcp dport 2533 accept comment "mail may go";'
    probe_expect "a rule that accepts" 0 permitted \
        '.data.rule | .table == "probe" and .chain == "own" and .comment == "mail may go" and (.handle | type == "number")' firewall $REMOTE_4:2533
    out 'tcp dport 2533 drop comment "nobody leaves";'
    probe_expect "a rule that drops without log or counter" 1 dropped \
        '.data.rule.comment == "nobody leaves" and .data.attempt == "silent"' firewall $REMOTE_4:2533
    probe_same "nft's handle" "$(jq '.results[0].data.rule.handle' "$LAB_DIR/probe.json")" \
        "$(lab_in mx1 nft -a list chain inet probe own | sed -n 's/.*nobody leaves.*handle \([0-9]*\).*/\1/p')"
    probe_same "tables left behind" "$(lab_in mx1 nft list tables | grep -c droppoint)" 0
    out 'tcp dport 2533 counter reject with tcp reset;'
    probe_expect "a rule that rejects, with a counter" 1 rejected '.data.counters[0].packets >= 1 and .data.attempt == "refused"' firewall $REMOTE_4:2533
    rules mx1 'chain own { type filter hook output priority 0; policy drop; tcp dport 9 accept; };'
    probe_expect "a policy that drops" 1 dropped '.data.rule.policy and .data.rule.chain == "own"' firewall $REMOTE_4:2533
    rules mx1 'chain nat { type nat hook output priority -100; tcp dport 2533 dnat ip to 203.0.113.25:2534; };'
    probe_expect "sent to another port" 0 permitted '.data.translation[0] | .what == "destination" and .to == "203.0.113.25:2534"' firewall $REMOTE_4:2533
    rules mx1 'chain nat { type nat hook output priority -100; tcp dport 2533 redirect to :2535; };'
    lab_start proxy mx1 python3 -c "
import socket, time
s = socket.create_server(('', 2535))
while True: c, _ = s.accept(); time.sleep(1); c.close()"
    lab_wait_for 5 lab_in mx1 bash -c 'ss -ltn | grep -q :2535'
    probe_expect "handed over to a process here" 0 proxied '.status == "warning"' firewall $REMOTE_4:2533
    rules mx1
    lab_in mx1 iptables-nft -A OUTPUT -p tcp --dport 2533 -j DROP
    probe_expect "a rule of iptables" 1 dropped '.data.rule | .table == "filter" and .chain == "OUTPUT"' firewall $REMOTE_4:2533
    lab_in mx1 iptables-nft -F OUTPUT
    lab_in lb1 nft 'table ip way { chain f { type filter hook forward priority 0; tcp dport 2533 drop comment "not on my way"; }; }'
    (sleep 1; lab_in mx1 timeout 1 bash -c "exec 3<>/dev/tcp/$REMOTE_4/2533" 2>/dev/null) &
    PROBE_HOST=lb1 probe_expect "traffic of others, forwarded" 1 dropped '.data.rule.comment == "not on my way"' firewall --passive --timeout 4 $REMOTE_4:2533
    wait $!
    lab_in lb1 nft delete table ip way
    PROBE_HOST=edge1 probe_expect "no traffic" 3 not-seen 'true' firewall --passive --timeout 1 $REMOTE_4:2533
    probe_refuses "no port" "names no port" firewall $REMOTE_4
    probe_same "without permission" "$(lab_in mx1 setpriv --reuid nobody --clear-groups "$PROBE_BIN" probe firewall --local $REMOTE_4:25 2>&1 | grep -c CAP_NET_ADMIN)" 1
}

# Names with several addresses, as a hosts file has them: each address has its entry, and the worst one's class counts.
probe_names() {
    local both="both.example.net" half="half.example.net" hosts=/etc/netns/$LAB-mx1/hosts kind
    mkdir -p "${hosts%/*}"
    printf '%s both.example.net half.example.net one.example.net\n%s both.example.net\n203.0.113.99 half.example.net\n198.51.100.99 nobody.example.net\n' \
        $REMOTE_4 $REMOTE_6 >"$hosts"
    serve 2540 "pass"
    serve 2542 "c.sendall(b'220 mx.example.net ESMTP\r\n')"
    local entries="([.data.addresses[].address] | sort == [\"2001:db8:3::25\", \"$REMOTE_4\"])"
    entries=${entries/2001:db8:3::25/$REMOTE_6}
    probe_expect "both answer" 0 ok "$entries and (.data.addresses | all(.class == \"ok\" and .received == 2)) and .data.received == 2 and (.summary | contains(\"2 addresses\"))" \
        ping --count 2 --interval 0.05 $both
    probe_expect "one address: its fields, and one entry" 0 ok '.data.addresses == [.data.addresses[0]] and .data.address == .data.addresses[0].address' \
        ping --count 2 --interval 0.05 one.example.net
    probe_expect "only one family is asked for" 0 ok '.data.addresses | length == 1 and .[0].family == "ipv6"' ping -6 --count 1 $both
    probe_expect "the worst counts" 1 unreachable \
        '.data.address == "203.0.113.99" and .data.icmp_code == 1 and ([.data.addresses[].class] | sort == ["ok", "unreachable"]) and (.summary | contains("1 of 2 addresses is well"))' \
        ping --count 1 $half
    probe_expect "within the time that was given" 1 silent '([.data.addresses[].class] | sort == ["ok", "silent"])' ping --count 1 --timeout 1 $half
    forward "ip6 daddr $REMOTE_6 drop;"
    probe_expect "one family is dropped" 1 silent ".data.address == \"$REMOTE_6\"" ping --count 2 --interval 0.05 --timeout 3 $both
    probe_expect "a path that stops, and one that does not" 1 stopped \
        "$entries and .data.address == \"$REMOTE_6\" and ([.data.addresses[] | select(.class == \"reached\")][0].hops | length == 3)" trace --rounds 1 $both
    forward ''
    probe_expect "all paths" 0 reached "$entries and (.data.addresses | all(.hops | length == 3)) and (.data.hops | length == 3)" trace --mode tcp --rounds 1 $both:2540
    probe_expect "all that the interface takes, both" 0 ok "$entries and (.data.addresses | all(.largest == 1500))" mtu $both
    lab_in edge1 ip link set eth1 mtu 1400
    rules edge1 'chain o { type filter hook output priority 0; icmpv6 type packet-too-big drop; };'
    lab_in mx1 sh -c 'ip route flush cache; ip -6 route flush cache'
    probe_expect "told in one family, a black hole in the other" 1 black-hole \
        "$entries and .data.address == \"$REMOTE_6\" and ([.data.addresses[].class] | sort == [\"black-hole\", \"reduced\"])" mtu $both
    rules edge1
    lab_in edge1 ip link set eth1 mtu 1500
    probe_expect "ports of both" 0 ok "$entries and (.data.addresses | all(.ports[0].protocol == \"smtp\"))" services --ports 2542 $both
    forward "ip6 daddr $REMOTE_6 tcp dport 2542 drop;"
    probe_expect "an open port at one of them only" 1 unexpected ".data.address == \"$REMOTE_4\"" services --ports 2542 --expect none $both
    forward ''
    openssl req -x509 -newkey rsa:2048 -nodes -keyout "$LAB_DIR/k.pem" -out "$LAB_DIR/c.pem" -days 30 -subj /CN=x \
        -addext subjectAltName=DNS:both.example.net 2>/dev/null
    openssl req -x509 -newkey rsa:2048 -nodes -keyout "$LAB_DIR/k6.pem" -out "$LAB_DIR/c6.pem" -days 30 -subj /CN=y \
        -addext subjectAltName=DNS:else.example.net 2>/dev/null
    cat "$LAB_DIR/c.pem" "$LAB_DIR/c6.pem" >"$LAB_DIR/trust.pem"
    lab_start tls4 remote openssl s_server -quiet -accept $REMOTE_4:2541 -cert "$LAB_DIR/c.pem" -key "$LAB_DIR/k.pem" -min_protocol TLSv1.2
    lab_start tls6 remote openssl s_server -quiet -accept "[$REMOTE_6]:2541" -cert "$LAB_DIR/c6.pem" -key "$LAB_DIR/k6.pem" -min_protocol TLSv1.2
    lab_wait_for 5 lab_in remote bash -c '[ "$(ss -Hltn sport = :2541 | wc -l)" = 2 ]' || lab_die "TLS servers"
    SSL_CERT_FILE=$LAB_DIR/trust.pem probe_expect "two certificates, one of another name" 1 mismatch \
        "$entries and .data.address == \"$REMOTE_6\" and ([.data.addresses[].class] | sort == [\"mismatch\", \"ok\"])" tls $both:2541
    for kind in "ping --count 1" "mtu"; do
        probe_expect "$kind: no route to one family: left out" 0 ok '([.data.addresses[] | select(.skipped)] | length == 1) and (.summary | contains("no IPv6"))' \
            $(lab_in mx1 ip -6 route flush table main; echo $kind) $both
    done
    rm -rf "${hosts%/*}"
}

lab_trap
lab_up || lab_die "no lab"
lab_in remote sysctl -q net.ipv4.icmp_ratelimit=0 net.ipv6.icmp.ratelimit=0
for host in lb1 edge1; do lab_in $host sysctl -q net.ipv4.icmp_ratelimit=0 net.ipv6.icmp.ratelimit=0 net.ipv4.icmp_msgs_per_sec=10000; done
for kind in ${only:-link tcp ping mtu trace arp firewall names}; do "probe_$kind"; done
probe_end
