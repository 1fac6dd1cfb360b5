#!/bin/bash
# Unusual ways and captures: one direction that goes around a host, a capture that sees each packet twice, headers changed on
# the way, IPv6 NAT, snap lengths of each point's own, captures in mid-connection. Each without a fault and with one:
# `droppoint locate` against what nftables really dropped. SCENARIO_LONG=1 adds what does not come out right each time on a
# busy machine (docs/campaign.md): a fault in mid-connection, TCP without timestamps and IP IDs.
set -u
here=$(dirname "$(readlink -f "$0")")
. "$here/lab.sh"
. "$here/cases.sh"
bin=${DROPPOINT_BIN:?}
only=${1:-*}
failed=0 number=0
points=("${LAB_VANTAGES[@]}")
segments=$(declare -f case_segment) forgets=$(declare -f lab_forget)

# Each way has a way_NAME that makes it, and way_down takes any of them away.

# What remote answers goes through lb2, which stands beside lb1 and has no vantage point.
way_around() {
    ip netns exec "$LAB-edge1" ip route replace 192.0.2.0/24 via 198.51.100.3
}
around_up() {
    LAB_HOSTS+=(lb2)
    ip netns add "$LAB-lb2"
    lab_veth lb2 eth0 w1 p2
    lab_veth lb2 eth1 w2 p2
    lab_in w1 ip link set p2 master br0
    lab_in w2 ip link set p2 master br0
    lab_address lb2 eth0 192.0.2.3/24 2001:db8:1::3/64
    lab_address lb2 eth1 198.51.100.3/25 2001:db8:2::3/64
    lab_in lb2 sh -c 'echo 1 >/proc/sys/net/ipv4/ip_forward'
}

# The bridge w1 is a vantage point, at both of its ports.
way_twice() {
    LAB_VANTAGES=(mx1/eth0 w1/any "${points[@]:1}")
    case_segment() { [ "$1" = w1 ] && echo "w1/any lb1/eth0 link" || echo "lb1/eth0 lb1/eth1 host"; }
}

way_headers() {
    lab_in mx1 sh -c 'echo 1 >/proc/sys/net/ipv4/tcp_ecn'
    lab_in lb1 nft "table ip way { chain post { type filter hook postrouting priority -150;
        oifname != lo ip ttl set 77 ip dscp set af21 ip ecn set not-ect;
        tcp flags syn tcp option maxseg size set 1200; }; }"
}

way_nat6() {
    lab_in lb1 nft "table ip6 way { chain post { type nat hook postrouting priority 100;
        oifname eth1 tcp dport $LAB_PORT snat to 2001:db8:2::1 random; }; }"
}

# The prefix alone is exchanged, ports stay.
way_prefix6() {
    lab_in edge1 ip -6 route replace 2001:db8:99::/64 via 2001:db8:2::1
    lab_in lb1 nft "table ip6 way { chain post { type nat hook postrouting priority 100;
        oifname eth1 tcp dport $LAB_PORT snat ip6 prefix to ip6 saddr map { 2001:db8:1::/64 : 2001:db8:99::/64 }; }; }"
}

# 66 bytes: Ethernet, IPv4, TCP with timestamps and no payload at all.
way_snaps() { LAB_SNAPLENS=([mx1/eth0]=66 [lb1/eth0]=262144 [lb1/eth1]=80 [edge1/eth0]=96 [edge1/eth1]=68); }

# The connections begin before the captures do, and must live on as these begin.
way_midway() { lab_forget() { :; }; }

way_bare() {
    local host
    for host in mx1 remote; do
        lab_in $host sh -c 'echo 0 >/proc/sys/net/ipv4/tcp_timestamps'
        lab_in $host nft "table ip way { chain out { type filter hook output priority 0; ip id set 0; }; }"
    done
}

way_down() {
    local host
    for host in mx1 lb1 remote; do
        lab_in $host sh -c 'nft delete table ip way; nft delete table ip6 way; conntrack -F' >/dev/null 2>&1
        lab_in $host sh -c 'echo 1 >/proc/sys/net/ipv4/tcp_timestamps; echo 2 >/proc/sys/net/ipv4/tcp_ecn'
    done
    lab_in edge1 ip route delete 192.0.2.0/24 2>/dev/null
    LAB_VANTAGES=("${points[@]}") LAB_SNAPLENS=()
    eval "$segments; $forgets"
    lab_forget
}

# seen WAY RESULT: how each flow is seen behind lb1.
seen() {
    local wanted
    case $1 in
    nat6) wanted='(.client | startswith("[2001:db8:2::1]:"))' ;;
    prefix6) wanted='(.client | startswith("[2001:db8:99:"))' ;;
    *) wanted='true' ;;
    esac
    if [ "$wanted" = true ]; then
        jq -e '[.flows[].seen_as // {} | length] | length > 0 and all(. == 0)' "$2" >/dev/null && return 0
    else
        jq -e ".flows | length > 0 and all(.seen_as | .[\"lb1/eth1\"], .[\"edge1/eth0\"], .[\"edge1/eth1\"] | $wanted)" "$2" >/dev/null && return 0
    fi
    echo "seen_as: $(jq -c '[.flows[] | {client, server, seen_as}]' "$2" | cut -c1-600)"
    return 1
}

# In mid-connection the traffic is under way before and after: case_run with its own order of things.
midway_run() { # DIR OFFLOAD IP PLACE DIRECTION PATTERN
    local dir=$1 mode=up traffic from to kind host_drops
    host_drops=$(case_host_drops)
    [ "$5" = forward ] || mode=down
    lab_offload "$2"
    lab_traffic --flows 4 --bytes 900000 --rate 300000 --mode $mode --time 8 >/dev/null &
    traffic=$!
    sleep 0.3
    lab_capture_start "$dir"
    [ "$6" = clean ] || lab_fault "$4" "$5" "$(lab_random 20)"
    wait $traffic
    lab_capture_stop
    lab_truth "$dir" >"$dir/truth.json"
    read -r from to kind <<<"$(case_segment "$4")"
    printf '{"place": "%s", "from": "%s", "to": "%s", "kind": "%s", "direction": "%s", "pattern": "%s", "offload": "%s", "host_drops": %s}\n' \
        "$4" "$from" "$to" "$kind" "$5" "$6" "$2" $(($(case_host_drops) - host_drops)) >"$dir/case.json"
}

# ask DIR WAY: what locate says of the case in DIR.
ask() {
    local dir=$1 code right=0
    mapfile -t files < <(lab_files "$dir")
    timeout 60 "$bin/droppoint" locate --json --filter "tcp port $LAB_PORT" "${files[@]}" >"$dir/result.json" 2>"$dir/stderr" </dev/null
    code=$?
    python3 "$LAB_TOOLS/check_locate.py" "$dir" "$dir/result.json" $code >"$dir/wrong" 2>&1 || right=1
    seen "$2" "$dir/result.json" >>"$dir/wrong" || right=1
    return $right
}

case_of() { # WAY OFFLOAD IP PLACE DIRECTION PATTERN
    local way=$1 name=$1_$4_$5_$2 run=case_run
    # shellcheck disable=SC2254 # a glob on purpose
    case $name in $only) ;; *) return ;; esac
    number=$((number + 1))
    [ "$way" != midway ] || run=midway_run
    "$run" "$LAB_DIR/$name" "${@:2}" </dev/null
    if ask "$LAB_DIR/$name" "$way"; then
        echo "ok   $name"
    else
        failed=$((failed + 1))
        echo "FAIL $name"
        cat "$LAB_DIR/$name/wrong" "$LAB_DIR/$name/stderr"
        [ -z "${SCENARIO_SAVE:-}" ] || cp -r "$LAB_DIR/$name" "$SCENARIO_SAVE/"
    fi
    rm -rf "${LAB_DIR:?}/$name"
}

ways() {
    cat <<'END'
around     on,4,none,forward,clean off,4,lb1,forward,random
twice      on,4,none,forward,clean off,4,w1,forward,random
headers    on,4,none,forward,clean off,4,lb1,forward,random
nat6       on,6,none,forward,clean off,6,lb1,forward,random
prefix6    on,6,none,forward,clean off,6,w2,reverse,size
snaps      on,4,none,forward,clean off,4,w2,forward,random
midway     on,4,none,forward,clean
END
    [ -z "${SCENARIO_LONG:-}" ] || cat <<'END'
midway     off,4,lb1,reverse,random
prefix6    off,6,w2,reverse,random
bare       off,4,none,forward,clean off,4,w2,reverse,random
END
}

lab_trap
lab_up
around_up
lab_serve
while read -r way cases; do
    "way_$way"
    for case in $cases; do
        # shellcheck disable=SC2086 # a case is several words
        case_of "$way" ${case//,/ }
    done
    way_down
done < <(ways)
echo "$number cases, $failed failed"
[ $failed = 0 ] && [ $number -gt 0 ]
