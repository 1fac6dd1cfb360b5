#!/bin/bash
# lb1 rewrites or ends the connections that cross it, with real middleboxes: masquerade to another port, DNAT, a SYN proxy, and
# with SCENARIO_LONG=1 HAProxy. Each without a fault or with one on either side of it. `droppoint locate` against what nftables
# really dropped, and how it says that the flow is seen behind lb1 against the real addresses.
set -u
here=$(dirname "$(readlink -f "$0")")
. "$here/lab.sh"
. "$here/cases.sh"
bin=${DROPPOINT_BIN:?}
only=${1:-*}
OTHER_4=203.0.113.26 # remote's, too
failed=0 number=0

box_masquerade() {
    lab_in lb1 nft "table ip box { chain post { type nat hook postrouting priority 100;
        oifname eth1 tcp dport $LAB_PORT masquerade random; }; }"
}
box_dnat() {
    lab_in lb1 nft "table ip box { chain pre { type nat hook prerouting priority -100;
        ip daddr $REMOTE_4 tcp dport $LAB_PORT dnat to $OTHER_4; }; }"
}
box_synproxy() {
    lab_in lb1 sh -c 'echo 0 >/proc/sys/net/netfilter/nf_conntrack_tcp_loose; echo 1 >/proc/sys/net/ipv4/tcp_syncookies'
    lab_in lb1 nft "table inet box {
        chain pre { type filter hook prerouting priority -300; tcp dport $LAB_PORT tcp flags syn notrack; };
        chain way { type filter hook forward priority 0;
            tcp dport $LAB_PORT ct state invalid,untracked synproxy mss 1460 wscale 7 timestamp sack-perm;
            tcp dport $LAB_PORT ct state invalid drop; }; }"
}
box_haproxy() { # what mx1 sends to remote ends here, and goes on in a connection of HAProxy's own
    cat >"$LAB_DIR/haproxy.cfg" <<END
defaults
    mode tcp
    timeout connect 5s
    timeout client 60s
    timeout server 60s
listen way
    bind 192.0.2.1:$LAB_PORT
    server remote $REMOTE_4:$LAB_PORT
END
    lab_start haproxy lb1 haproxy -db -f "$LAB_DIR/haproxy.cfg"
    lab_wait_for 10 lab_in lb1 bash -c "exec 3<>/dev/tcp/192.0.2.1/$LAB_PORT" || lab_die "HAProxy: $(cat "${LAB_LOG[haproxy]}")"
    lab_in lb1 nft "table ip box { chain pre { type nat hook prerouting priority -100;
        iifname eth0 ip daddr $REMOTE_4 tcp dport $LAB_PORT redirect; }; }"
}
box_down() {
    lab_stop haproxy
    lab_in lb1 sh -c 'nft delete table ip box; nft delete table inet box; conntrack -F' >/dev/null 2>&1
}

# seen BOX RESULT: how each flow is seen behind lb1.
seen() {
    local wanted
    case $1 in
    masquerade) wanted='(.client | startswith("198.51.100.1:")) and .server == "203.0.113.25:5001"' ;;
    dnat) wanted='(.client | startswith("192.0.2.10:")) and .server == "203.0.113.26:5001"' ;;
    haproxy) wanted='(.client | startswith("198.51.100.1:")) and .server == "203.0.113.25:5001"' ;;
    synproxy) jq -e '[.flows[].seen_as // {} | length] | all(. == 0)' "$2" >/dev/null && return 0 ;;
    esac
    jq -e ".flows | length > 0 and all(.client | startswith(\"192.0.2.10:\")) and
        all(.seen_as | .[\"lb1/eth1\"], .[\"edge1/eth0\"], .[\"edge1/eth1\"] | $wanted)" "$2" >/dev/null && return 0
    echo "seen_as: $(jq -c '[.flows[] | {client, server, seen_as}]' "$2" | cut -c1-600)"
    return 1
}

# ask DIR BOX: what locate says of the case in DIR.
ask() {
    local dir=$1 box=$2 code right=0
    mapfile -t files < <(lab_files "$dir")
    timeout 60 "$bin/droppoint" locate --json --filter "tcp port $LAB_PORT" "${files[@]}" >"$dir/result.json" 2>"$dir/stderr" </dev/null
    code=$?
    python3 "$LAB_TOOLS/check_locate.py" "$dir" "$dir/result.json" $code >"$dir/wrong" 2>&1 || right=1
    seen "$box" "$dir/result.json" >>"$dir/wrong" || right=1
    return $right
}

# An altered truth must not pass: one byte more, or the segment beside.
checks_bite() {
    local dir=$1 code=$2
    mkdir "$dir/altered"
    cp "$dir/case.json" "$dir/altered/"
    jq 'with_entries(if .value.bytes > 0 then .value.bytes += 1 else . end)' "$dir/truth.json" >"$dir/altered/truth.json"
    ! python3 "$LAB_TOOLS/check_locate.py" "$dir/altered" "$dir/result.json" "$code" >/dev/null 2>&1 || return 1
    cp "$dir/truth.json" "$dir/altered/"
    jq '.from = "edge1/eth0" | .to = "edge1/eth1" | .kind = "host"' "$dir/case.json" >"$dir/altered/case.json"
    ! python3 "$LAB_TOOLS/check_locate.py" "$dir/altered" "$dir/result.json" "$code" >/dev/null 2>&1
}

case_of() { # BOX OFFLOAD PLACE DIRECTION PATTERN
    local box=$1 offload=$2 place=$3 direction=$4 pattern=$5 name=$1_$3_$4_$2
    # shellcheck disable=SC2254 # a glob on purpose
    case $name in $only) ;; *) return ;; esac
    number=$((number + 1))
    case_run "$LAB_DIR/$name" "$offload" 4 "$place" "$direction" "$pattern" </dev/null
    if ! ask "$LAB_DIR/$name" "$box"; then
        failed=$((failed + 1))
        echo "FAIL $name"
        cat "$LAB_DIR/$name/wrong" "$LAB_DIR/$name/stderr"
        [ -z "${SCENARIO_SAVE:-}" ] || cp -r "$LAB_DIR/$name" "$SCENARIO_SAVE/"
    elif [ "$pattern" != clean ] && ! checks_bite "$LAB_DIR/$name" 1; then
        failed=$((failed + 1))
        echo "FAIL $name: an altered truth passes the check"
    else
        echo "ok   $name"
        rm -rf "${LAB_DIR:?}/$name"
    fi
}

lab_trap
lab_up
lab_in remote ip address add $OTHER_4/24 dev eth0
lab_serve
boxes() {
    cat <<'END'
masquerade on,none,forward,clean off,w2,forward,random off,w1,reverse,random
dnat       on,none,forward,clean off,w2,forward,random
synproxy   off,w2,forward,random
END
    # HAProxy cuts the stream anew, and one connection in ten or so is not recognised behind it (docs/campaign.md).
    [ -z "${SCENARIO_LONG:-}" ] || echo "haproxy on,none,forward,clean off,w2,forward,random off,w1,reverse,random"
}
while read -r box cases; do
    "box_$box"
    for case in $cases; do
        # shellcheck disable=SC2086 # a case is several words
        case_of "$box" ${case//,/ }
    done
    box_down
done < <(boxes)
echo "$number cases, $failed failed"
[ $failed = 0 ] && [ $number -gt 0 ]
