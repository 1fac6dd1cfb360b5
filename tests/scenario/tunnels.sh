#!/bin/bash
# Between lb1 and edge1 everything travels inside of something, each kind of it with a receiver of its own at remote:
# VXLAN and SRv6 by the kernel; GRE, IP in IP, Geneve, MPLS, PPPoE and QinQ by a relay, which the kernel here lacks.
# Captures before the encapsulation, on the way and behind it; faults on the way, where only the outer packet is seen, and
# inside of both hosts. `droppoint locate` must name segment, direction, packets and bytes exactly, for each kind by itself.
set -u
here=$(dirname "$(readlink -f "$0")")
. "$here/lab.sh"
. "$here/cases.sh"
bin=${DROPPOINT_BIN:?}
MTU=1700 # of the way: an inner packet of 1500 bytes goes through whole
LAB_VANTAGES=(mx1/eth0 lb1/eth0 lb1/t0 lb1/vx0 lb1/eth1 edge1/eth0 edge1/t0 edge1/vx0 edge1/eth1)
LAB_CAPTURE_FILTER='greater 0' # all: outer headers are no TCP

# name, kind, IP version inside, direction of the fault. The kernel's own come last.
TUNNELS=(
    "gre gre 4 forward"
    "gre_with_key gre_all 6 reverse"
    "gretap gretap 4 reverse"
    "ipip ip_in_4 4 forward"
    "6in4 ip_in_4 6 reverse"
    "4in6 ip_in_6 4 forward"
    "6in6 ip_in_6 6 reverse"
    "geneve geneve 6 forward"
    "mpls mpls 4 reverse"
    "mpls_6 mpls 6 forward"
    "pseudowire mpls_word 4 forward"
    "pseudowire_bare mpls_eth 6 reverse"
    "pppoe pppoe 4 forward"
    "pppoe_compressed pppoe_pfc 6 reverse"
    "qinq qinq 4 forward"
    "vxlan vxlan 4 reverse"
    "vxlan_6 vxlan 6 forward"
    "srv6 srv6 4 forward"
    "srv6_6 srv6 6 reverse"
)
failed=0

address_of() { [ "$2" = 4 ] && echo "203.0.113.$((100 + $1))" || echo "2001:db8:3::$((100 + $1))"; }
mac_of() { lab_in "$1" cat "/sys/class/net/$2/address"; }
bits_of() { [ "$1" = 4 ] && echo 32 || echo 128; }

# outer_of SIDE N VERSION: as the relay has it.
outer_of() {
    if [ "$3" = 4 ]; then echo "198.51.100.$(($([ "$1" = 1 ] && echo 160 || echo 192) + $2))"; else printf '2001:db8:2::%x:%x\n' "$1" $(($2 + 1)); fi
}

# match_of N KIND SIDE: nft's match on the way for what SIDE sends. HEADERS: bytes before the inner packet there, by kind.
match_of() {
    case $2 in
    gre | gretap | ip_in_4 | geneve) echo "ip saddr $(outer_of "$3" "$1" 4)" ;;
    gre_all | ip_in_6) echo "ip6 saddr $(outer_of "$3" "$1" 6)" ;;
    mpls*) echo "ether type 0x8847 @nh,0,20 $((1000 * $3 + $1))" ;;
    pppoe*) echo "ether type 0x8864 @nh,16,16 $((256 * $3 + $1))" ;;
    qinq) echo "ether type 8021ad vlan id $((256 * $3 + $1))" ;;
    vxlan) echo "udp dport 4789 @th,96,24 $((100 + $1))" ;;
    srv6) echo "ip6 daddr 2001:db8:2::$([ "$3" = 1 ] && echo e || echo f):$1" ;;
    esac
}
declare -A HEADERS=()
headers_of_all() {
    local kind bytes
    while read -r kind bytes; do HEADERS[$kind]=$bytes; done < <(python3 "$LAB_TOOLS/tunnel_relay.py" --headers)
    HEADERS[vxlan]=50 HEADERS[srv6]=64
    HEADERS[qinq]=4 # the outer tag is not in the logged bytes
}

# From lb1 to the receiver and from edge1 back, by the receiver's address.
route_pair() { # N VERSION VIA_LB1 VIA_EDGE1
    local address=$(address_of "$1" "$2")
    lab_in remote ip address add "$address/$(bits_of "$2")" dev eth0 $([ "$2" = 4 ] || echo nodad)
    lab_in lb1 ip "-$2" route add "$address" $3
    lab_in edge1 ip "-$2" rule add from "$address" lookup $((100 + $1))
    lab_in edge1 ip "-$2" route add default $4 table $((100 + $1))
}

vxlan_up() { # N VERSION: one device, an identifier for each direction of each receiver
    local host other n=$1 gateway=192.0.2.$((200 + $1)) device=vx0
    [ "$2" = 4 ] || gateway=2001:db8:ff::$1 device=vx1
    for host in lb1 edge1; do
        other=$([ $host = lb1 ] && echo 2 || echo 1)
        lab_in $host ip link add $device type vxlan id $((100 + n)) local 198.51.100.$((3 - other)) remote 198.51.100.$other \
            dstport 4789 dev $([ $host = lb1 ] && echo eth1 || echo eth0)
        lab_in $host ip link set $device mtu 1500 addrgenmode none up
    done
    lab_in lb1 ip "-$2" neigh add "$gateway" lladdr "$(mac_of edge1 $device)" dev $device nud permanent
    lab_in edge1 ip "-$2" neigh add "$gateway" lladdr "$(mac_of lb1 $device)" dev $device nud permanent
    route_pair "$n" "$2" "via $gateway dev $device onlink" "via $gateway dev $device onlink"
}

srv6_up() { # N VERSION: the identifiers ...:e:N (to edge1) and ...:f:N (to lb1)
    local action=End.DX$2 to=nh$2 mx1=$MX1_4
    [ "$2" = 4 ] || mx1=$MX1_6
    lab_in lb1 ip -6 neigh add "2001:db8:2::e:$1" lladdr "$(mac_of edge1 eth0)" dev eth1 nud permanent
    lab_in edge1 ip -6 neigh add "2001:db8:2::f:$1" lladdr "$(mac_of lb1 eth1)" dev eth0 nud permanent
    lab_in edge1 ip -6 route add "2001:db8:2::e:$1" encap seg6local action "$action" "$to" "$(address_of "$1" "$2")" dev eth1
    lab_in lb1 ip -6 route add "2001:db8:2::f:$1" encap seg6local action "$action" "$to" "$mx1" dev eth0
    route_pair "$1" "$2" "encap seg6 mode encap segs 2001:db8:2::e:$1 dev eth1" \
        "encap seg6 mode encap segs 2001:db8:2::f:$1 dev eth0"
}

relay_up() {
    local host side device peer n kinds=("$@")
    for host in lb1 edge1; do
        read -r side device peer <<<"$([ $host = lb1 ] && echo "1 eth1 $(mac_of edge1 eth0)" || echo "2 eth0 $(mac_of lb1 eth1)")"
        lab_start relay.$host $host python3 "$LAB_TOOLS/tunnel_relay.py" $side $device "$peer" "${kinds[@]}"
        lab_wait_for 10 grep -q ready "${LAB_LOG[relay.$host]}" || lab_die "the relay does not start: $(cat "${LAB_LOG[relay.$host]}")"
        lab_in $host sh -c "for n in ${!kinds[*]}; do ip link set t\$n mtu 1500 txqueuelen 5000 addrgenmode none up; done"
        # The relay has them; the kernel would answer that it knows no such protocol.
        lab_in $host nft "table inet dprelay { chain in { type filter hook prerouting priority -300;
            ip daddr 198.51.100.160-198.51.100.223 drop; ip6 daddr { 2001:db8:2::1:0/112, 2001:db8:2::2:0/112 } drop; }; }"
    done
}

tunnels_up() {
    local n name kind version direction kinds=() pair
    for n in lb1 edge1; do lab_in $n nft add chain inet dpfault before '{ type filter hook prerouting priority -200; }'; done
    for pair in lb1/eth1 w2/p0 w2/p1 w2/br0 edge1/eth0; do lab_in "${pair%/*}" ip link set "${pair#*/}" mtu $MTU; done
    for pair in lb1/eth1 edge1/eth0; do
        lab_in "${pair%/*}" sh -c "echo 1 >/proc/sys/net/ipv6/conf/all/seg6_enabled; echo 1 >/proc/sys/net/ipv6/conf/${pair#*/}/seg6_enabled"
    done
    for n in "${!TUNNELS[@]}"; do
        read -r name kind version direction <<<"${TUNNELS[n]}"
        case $kind in vxlan | srv6) ;; *) kinds+=("$kind") ;; esac
    done
    relay_up "${kinds[@]}"
    for n in "${!TUNNELS[@]}"; do
        read -r name kind version direction <<<"${TUNNELS[n]}"
        case $kind in
        vxlan) vxlan_up "$n" "$version" ;;
        srv6) srv6_up "$n" "$version" ;;
        *) route_pair "$n" "$version" "dev t$n" "dev t$n" ;;
        esac
    done
}

# fault_on_the_way N PER_MILLE: on w2 nothing but the outermost headers is known of a packet.
fault_on_the_way() {
    local name kind version direction side=1 match
    read -r name kind version direction <<<"${TUNNELS[$1]}"
    [ "$direction" = forward ] || side=2
    match=$(match_of "$1" "$kind" $side)
    lab_in w2 nft add rule bridge dpfault forward "$(lab_ports w2 "$direction")" "$match" "$(lab_random "$2")" \
        counter name dropped log prefix "\"${HEADERS[$kind]}\"" group 5 snaplen 256 queue-threshold 1 drop ||
        lab_die "no fault for $name"
}

# fault_inside N PER_MILLE: before the packet is encapsulated, in lb1 or, on the way back, in edge1. Before routing, as SRv6's
# packets are not forwarded but sent anew.
fault_inside() {
    local name kind version direction place match family=ip
    read -r name kind version direction <<<"${TUNNELS[$1]}"
    [ "$version" = 4 ] || family=ip6
    place=lb1 match="iifname eth0 $family daddr $(address_of "$1" "$version") tcp dport"
    [ "$direction" = forward ] || place=edge1 match="iifname eth1 $family saddr $(address_of "$1" "$version") tcp sport"
    lab_in $place nft add rule inet dpfault before "$match" $LAB_PORT "$(lab_random "$2")" \
        counter name dropped log group 5 snaplen 128 queue-threshold 1 drop || lab_die "no fault for $name"
}

# All kinds at the same time, data the way of the fault.
traffic() { # BYTES N...
    local n name kind version direction bytes=$1 pids=() mode
    local -A hosts=()
    shift
    for n in "$@"; do
        read -r name kind version direction <<<"${TUNNELS[n]}"
        hosts[$direction]+=,$(address_of "$n" "$version")
    done
    for direction in "${!hosts[@]}"; do
        [ "$direction" = forward ] && mode=up || mode=down
        lab_traffic --host "${hosts[$direction]#,}" --flows 2 --bytes "$bytes" --time 6 --mode $mode >"$LAB_DIR/traffic.$mode" &
        pids+=($!)
    done
    wait "${pids[@]}"
}

# The end must be seen inside of the tunnels too.
lab_mark() {
    lab_traffic --host "$REMOTE_4,$(address_of 0 4),$(address_of 15 4)" --port $LAB_MARK_PORT --mode echo --bytes 200 --time 3 \
        >/dev/null || lab_die "no mark"
}

# ask DIR N WHERE OFFLOAD: locate, asked for this receiver alone. WHERE is none, way or inside. Leaves what check_locate.py
# wants in DIR/NAME and adds to CASES.
ask() {
    local dir=$1 n=$2 where=$3 offload=$4 name kind version direction vantage files=() from to link place address code
    read -r name kind version direction <<<"${TUNNELS[n]}"
    address=$(address_of "$n" "$version")
    for vantage in "${LAB_VANTAGES[@]}"; do
        case $vantage in
        */t0) [ "$n" = 0 ] || continue ;;
        */vx0) [ "$name" = vxlan ] || continue ;;
        esac
        files+=("$vantage=$(lab_file "$dir" "$vantage")")
    done
    read -r place from to link <<<"none - - -"
    [ "$where" = way ] && read -r place from to link <<<"w2 lb1/eth1 edge1/eth0 link"
    if [ "$where" = inside ] && [ "$direction" = forward ]; then
        read -r place from to link <<<"lb1 lb1/eth0 lb1/eth1 host"
        case $name in gre) to=lb1/t0 ;; vxlan) to=lb1/vx0 ;; esac
    elif [ "$where" = inside ]; then
        read -r place from to link <<<"edge1 edge1/eth0 edge1/eth1 host"
        case $name in gre) from=edge1/t0 ;; vxlan) from=edge1/vx0 ;; esac
    fi
    mkdir -p "$dir/$name"
    printf '{"place": "%s", "from": "%s", "to": "%s", "kind": "%s", "direction": "%s", "pattern": "%s", "offload": "%s", "ip": %s, "host_drops": %s}\n' \
        $place $from $to $link "$direction" "$([ "$where" = none ] && echo clean || echo random)" "$offload" "$version" "$host_drops" >"$dir/$name/case.json"
    jq --arg address "$address" '.[$address]' "$dir/truths.json" >"$dir/$name/truth.json"
    timeout 60 "$bin/droppoint" locate --json --filter "tcp port $LAB_PORT and host $address" "${files[@]}" \
        >"$dir/$name/result.json" 2>"$dir/$name/stderr" </dev/null
    code=$?
    CASES+=("$dir/$name" "$dir/$name/result.json" $code)
    if [ -s "$dir/$name/stderr" ] || ! jq -e '[.vantages[].packets > 20] | all' "$dir/$name/result.json" >/dev/null; then
        failed=$((failed + 1))
        echo "FAIL $name: warnings, or a vantage point that saw nothing"
        cat "$dir/$name/stderr"
        jq -c '.vantages[]' "$dir/$name/result.json"
    fi
}

# run WHERE OFFLOAD PER_MILLE BYTES N...: one capture of all these kinds, and a verdict for each.
run() {
    local where=$1 offload=$2 rate=$3 bytes=$4 n dir=$LAB_DIR/$1_$2 host_drops=$(case_host_drops) hosts=() name kind version direction
    shift 4
    CASES=()
    lab_offload "$offload"
    lab_capture_start "$dir" 256
    for n in "$@"; do
        read -r name kind version direction <<<"${TUNNELS[n]}"
        hosts+=("$(address_of "$n" "$version")")
        case $where in
        way) fault_on_the_way "$n" "$rate" ;;
        inside) fault_inside "$n" "$rate" ;;
        esac
    done
    traffic "$bytes" "$@"
    lab_capture_stop
    for n in lb1 edge1; do lab_in $n nft flush chain inet dpfault before; done
    lab_truth "$dir" >"$dir/truth.json" || failed=$((failed + 1))
    jq -e '[.[] | .packets == .counter_packets] | all' "$dir/truth.json" >/dev/null ||
        { failed=$((failed + 1)); echo "FAIL fault: $where: not all that was dropped is known"; }
    python3 "$LAB_TOOLS/truth.py" --hosts "$(IFS=,; echo "${hosts[*]}")" "w2=$dir/truth_w2.pcap=" "lb1=$dir/truth_lb1.pcap=" \
        "edge1=$dir/truth_edge1.pcap=" >"$dir/truths.json"
    host_drops=$(($(case_host_drops) - host_drops))
    for n in "$@"; do ask "$dir" "$n" "$where" "$offload"; done
    echo "fault: $where, offload: $offload"
    python3 "$LAB_TOOLS/check_locate.py" "${CASES[@]}" || {
        failed=$((failed + 1))
        cat "$LAB_DIR"/traffic.*
        [ -z "${SCENARIO_SAVE:-}" ] || cp -r "$dir" "$SCENARIO_SAVE/"
    }
}

lab_trap
lab_up
lab_serve
headers_of_all
tunnels_up
all=("${!TUNNELS[@]}")
run none off 0 60000 "${all[@]}"
run way off 60 200000 "${all[@]}"
run inside off 60 200000 "${all[@]}"
# Super-packets, as the kernel's own tunnels carry them: more of them must die for the same number of losses.
run way on 100 2000000 15 16 17 18
echo "$failed failed"
[ $failed = 0 ]
