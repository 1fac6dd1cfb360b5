# shellcheck shell=bash disable=SC2034,SC2086
# Cases: one kind of traffic and one fault each, with captures and ground truth. Needs lab.sh and a lab that is up.
#
# case_run DIR OFFLOAD IP PLACE DIRECTION PATTERN
#   OFFLOAD on|off, IP 4|6, PLACE w1|lb1|w2|edge1|none, DIRECTION forward|reverse
#   PATTERN clean size random all handshake flows burst rate reset
# leaves DIR/*.pcap, DIR/truth.json (what was dropped, by place) and DIR/case.json (what was asked for).

CASE_PORT=40000

case_segment() {
    case $1 in
    w1) echo "mx1/eth0 lb1/eth0 link" ;;
    lb1) echo "lb1/eth0 lb1/eth1 host" ;;
    w2) echo "lb1/eth1 edge1/eth0 link" ;;
    edge1) echo "edge1/eth0 edge1/eth1 host" ;;
    w3) echo "edge1/eth1 beyond link" ;;
    *) echo "- - -" ;;
    esac
}

# What the end hosts' own TCP dropped after their capture saw it, as the kernel counts it: a full backlog or receive buffer, a
# timestamp that runs backwards after reordering or echoes what was never sent (RFC 7323). TCP sends that again as well, and
# locate rightly reports it as lost before or beyond the vantage points. And copies that arrived twice of which no DSACK told in
# the end, because a later one took its place in the same acknowledgement: nothing on the wire tells these from lost ones.
case_host_drops() {
    local host
    for host in mx1 remote; do lab_in $host nstat -asz 2>/dev/null; done | awk '
        $1 ~ /BacklogDrop|RcvQDrop|Prune|OFODrop|PAWSEstab|BeyondWindow|TSEcrRejected/ { sum += $2 }
        $1 ~ /TCPDSACK(Old|Ofo)Sent/ { sum += $2 }
        $1 ~ /TCPDSACK(Ofo)?Recv$/ { sum -= $2 }
        END { print sum + 0 }'
}

# Data goes the way of the fault, so that the fault meets data and not only acknowledgements.
case_run() {
    local host_drops=$(case_host_drops)
    local dir=$1 offload=$2 ip=$3 place=$4 direction=$5 pattern=$6 host=$REMOTE_4 mode=up port=sport background=()
    local from to kind
    [ "$ip" = 4 ] || host=$REMOTE_6
    [ "$direction" = forward ] || { mode=down port=dport; }
    lab_offload "$offload"
    lab_capture_start "$dir"
    case $pattern in
    clean)
        lab_traffic --host $host --flows 2 --bytes 3000000 --mode up &
        background=($!)
        lab_traffic --host $host --flows 2 --bytes 3000000 --mode down &
        background+=($!)
        lab_traffic --host $host --flows 2 --bytes 20000 --mode echo
        ;;
    size)
        lab_fault "$place" "$direction" "$LAB_SIZE"
        lab_traffic --host $host --flows 2 --bytes 6000 --mode echo
        lab_traffic --host $host --flows 2 --bytes 100000 --mode $mode --time 3
        ;;
    random)
        # Super-packets are few: more of them must die for the same number of losses.
        lab_fault "$place" "$direction" "$(lab_random $([ "$offload" = on ] && echo 30 || echo 10))"
        lab_traffic --host $host --flows 4 --bytes 2500000 --mode $mode --time 20
        ;;
    all)
        lab_traffic --host $host --flows 2 --bytes 9000000 --rate 500000 --mode $mode --time 4 &
        background=($!)
        sleep 1.5
        lab_fault "$place" "$direction" ""
        ;;
    handshake)
        lab_traffic --host $host --flows 1 --bytes 500000 --rate 200000 --mode $mode --time 5 &
        background=($!)
        sleep 0.5
        if [ "$direction" = forward ]; then
            lab_fault "$place" forward "$LAB_SYN"
        else
            lab_fault "$place" reverse "$LAB_SYNACK"
        fi
        lab_traffic --host $host --flows 2 --bytes 1000 --time 4
        ;;
    flows)
        CASE_PORT=$((CASE_PORT + 10)) # another case's connections may still linger on the last ones
        lab_traffic --host $host --flows 6 --bytes 900000 --rate 300000 --mode $mode --sport $CASE_PORT --time 4 &
        background=($!)
        sleep 1
        lab_fault "$place" "$direction" "tcp $port { $((CASE_PORT + 1)), $((CASE_PORT + 4)) }"
        ;;
    burst)
        lab_traffic --host $host --flows 3 --bytes 2000000 --rate 400000 --mode $mode --time 9 &
        background=($!)
        lab_burst "$place" "$direction" 3 0.15 1
        ;;
    rate)
        lab_fault "$place" "$direction" "$(lab_policer 1500 256)"
        lab_traffic --host $host --flows 2 --bytes 3000000 --mode $mode --time 5
        ;;
    reset)
        lab_traffic --host $host --flows 2 --bytes 900000 --rate 300000 --mode $mode --time 4 &
        background=($!)
        sleep 1
        lab_fault "$place" "$direction" "" "reject with tcp reset"
        ;;
    *) lab_die "no such pattern: $pattern" ;;
    esac >"$dir/traffic.log"
    [ ${#background[@]} = 0 ] || wait "${background[@]}"
    lab_capture_stop
    lab_truth "$dir" >"$dir/truth.json"
    read -r from to kind <<<"$(case_segment "$place")"
    host_drops=$(($(case_host_drops) - host_drops))
    printf '{"place": "%s", "from": "%s", "to": "%s", "kind": "%s", "direction": "%s", "pattern": "%s", "offload": "%s", "ip": %s, "host_drops": %s}\n' \
        "$place" "$from" "$to" "$kind" "$direction" "$pattern" "$offload" "$ip" "$host_drops" >"$dir/case.json"
}
