# shellcheck shell=bash disable=SC2034,SC2086
# A lab of network namespaces, for scenario tests and the demo. Source it; it needs root, bash and iproute2.
#
#   mx1 eth0 --w1-- eth0 lb1 eth1 --w2-- eth0 edge1 eth1 --w3-- eth0 remote
#
# mx1 sends, lb1 and edge1 route, remote receives. w1, w2 and w3 are wires: bridges in namespaces of their own, where
# a fault is invisible to the hosts. Addresses are those of documentation (RFC 5737, RFC 3849).
#
# Every fault counts, logs to nflog group 5 and only then drops, so that a capture of that group (the ground truth)
# holds exactly the packets that died.

LAB=${LAB:-dpl$$}
LAB_HOSTS=(mx1 lb1 edge1 remote)
LAB_WIRES=(w1 w2 w3)
LAB_MIDDLE=(w1 lb1 w2 edge1 w3)
LAB_VANTAGES=(mx1/eth0 lb1/eth0 lb1/eth1 edge1/eth0 edge1/eth1)
LAB_PORT=5001      # the traffic that counts
LAB_MARK_PORT=5002
LAB_TOOL=tcpdump
LAB_TOOLS=$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/tools
MX1_4=192.0.2.10 REMOTE_4=203.0.113.25
MX1_6=2001:db8:1::10 REMOTE_6=2001:db8:3::25
declare -A LAB_SNAPLENS=() # vantage point -> its own snap length
declare -A LAB_PID=()    # name -> process id of what runs in the lab
declare -A LAB_LOG=()    # name -> its log

lab_die() { echo "lab: $*" >&2; exit 1; }

# lab_in HOST COMMAND...: runs a command in a host or a wire.
lab_in() { local host=$1; shift; ip netns exec "$LAB-$host" "$@"; }

# lab_start NAME HOST COMMAND...: the same in the background, known by NAME.
lab_start() {
    local name=$1 host=$2
    shift 2
    LAB_LOG[$name]=$LAB_DIR/log.${name//\//_}
    setsid ip netns exec "$LAB-$host" "$@" </dev/null >"${LAB_LOG[$name]}" 2>&1 &
    LAB_PID[$name]=$!
}

# lab_stop NAME [SIGNAL]: ends it and waits. Its exit code is lost on purpose: it was told to go.
lab_stop() {
    local pid=${LAB_PID[$1]:-}
    [ -n "$pid" ] || return 0
    kill "-${2:-TERM}" "$pid" 2>/dev/null
    wait "$pid" 2>/dev/null
    unset "LAB_PID[$1]"
    return 0
}

# lab_wait_for SECONDS COMMAND...: until the command succeeds.
lab_wait_for() {
    local until=$((SECONDS + $1))
    shift
    until "$@" >/dev/null 2>&1; do
        [ $SECONDS -lt $until ] || return 1
        sleep 0.05
    done
}

lab_veth() { # hostA ifA hostB ifB
    ip link add name "$2" netns "$LAB-$1" type veth peer name "$4" netns "$LAB-$3"
    lab_in "$1" ip link set "$2" up
    lab_in "$3" ip link set "$4" up
}

lab_wire() { # wire hostA ifA hostB ifB
    lab_veth "$2" "$3" "$1" p0
    lab_veth "$4" "$5" "$1" p1
    lab_in "$1" ip link add br0 type bridge stp_state 0 forward_delay 0 mcast_snooping 0
    lab_in "$1" ip link set p0 master br0
    lab_in "$1" ip link set p1 master br0
    lab_in "$1" ip link set br0 up
}

lab_address() { # host if v4 v6
    lab_in "$1" ip address add "$3" dev "$2"
    lab_in "$1" ip address add "$4" dev "$2" nodad
}

lab_up() {
    [ "$(id -u)" = 0 ] || { echo "skipped: needs root"; exit 77; }
    LAB_DIR=$(mktemp -d "${TMPDIR:-/tmp}/$LAB.XXXXXX")
    local host
    for host in "${LAB_HOSTS[@]}" "${LAB_WIRES[@]}"; do
        ip netns add "$LAB-$host" || lab_die "can't make network namespaces here"
        lab_in "$host" ip link set lo up
        lab_in "$host" sh -c 'echo 0 >/proc/sys/net/ipv6/conf/all/accept_dad; echo 0 >/proc/sys/net/ipv6/conf/default/accept_dad'
    done
    lab_wire w1 mx1 eth0 lb1 eth0
    lab_wire w2 lb1 eth1 edge1 eth0
    lab_wire w3 edge1 eth1 remote eth0
    lab_address mx1 eth0 $MX1_4/24 $MX1_6/64
    lab_address lb1 eth0 192.0.2.1/24 2001:db8:1::1/64
    lab_address lb1 eth1 198.51.100.1/25 2001:db8:2::1/64
    lab_address edge1 eth0 198.51.100.2/25 2001:db8:2::2/64
    lab_address edge1 eth1 203.0.113.1/24 2001:db8:3::1/64
    lab_address remote eth0 $REMOTE_4/24 $REMOTE_6/64
    for host in lb1 edge1; do
        lab_in "$host" sh -c 'echo 1 >/proc/sys/net/ipv4/ip_forward; echo 1 >/proc/sys/net/ipv6/conf/all/forwarding'
    done
    lab_in mx1 sh -c 'ip route add default via 192.0.2.1; ip -6 route add default via 2001:db8:1::1'
    lab_in lb1 sh -c 'ip route add default via 198.51.100.2; ip -6 route add default via 2001:db8:2::2'
    lab_in edge1 sh -c 'ip route add default via 198.51.100.1; ip -6 route add default via 2001:db8:2::1'
    lab_in remote sh -c 'ip route add default via 203.0.113.1; ip -6 route add default via 2001:db8:3::1'
    for host in "${LAB_MIDDLE[@]}"; do lab_fault_table "$host"; done
    for host in mx1 remote; do
        lab_in "$host" nft 'table inet dpquiet { chain out { type filter hook output priority 0; }; }'
    done
    lab_offload on
    for host in $REMOTE_4 $REMOTE_6; do
        lab_wait_for 10 lab_reaches $host || lab_die "no way from mx1 to $host"
    done
}

# lab_reaches ADDRESS: something answers there, if only with "nobody listens".
lab_reaches() { lab_in mx1 timeout 1 bash -c "exec 3<>/dev/tcp/$1/9" 2>&1 | grep -q refused; }

# Ends everything that runs in the lab, by process id, and takes the lab away.
lab_down() {
    local name host pid
    for name in "${!LAB_PID[@]}"; do kill "${LAB_PID[$name]}" 2>/dev/null; done
    sleep 0.2
    for host in "${LAB_HOSTS[@]}" "${LAB_WIRES[@]}"; do
        [ -e "/run/netns/$LAB-$host" ] || continue
        for pid in $(ip netns pids "$LAB-$host"); do kill -9 "$pid" 2>/dev/null; done
        ip netns delete "$LAB-$host"
    done
    wait 2>/dev/null
    LAB_PID=()
    [ -n "${LAB_KEEP_FILES:-}" ] || rm -rf "${LAB_DIR:?}"
}

# lab_trap: takes the lab away however the script ends.
lab_trap() { trap 'rc=$?; trap - EXIT; lab_down; exit $rc' EXIT; trap 'exit 130' INT; trap 'exit 143' TERM HUP; }

# lab_offload on|off: TSO, GSO and GRO at every interface.
lab_offload() {
    local pair
    for pair in mx1/eth0 lb1/eth0 lb1/eth1 edge1/eth0 edge1/eth1 remote/eth0 w1/p0 w1/p1 w2/p0 w2/p1 w3/p0 w3/p1; do
        lab_in "${pair%/*}" ethtool -K "${pair#*/}" tso "$1" gso "$1" gro "$1" >/dev/null || lab_die "ethtool: $pair"
    done
}

lab_fault_table() {
    local family=inet
    [[ $1 == w* ]] && family=bridge
    lab_in "$1" nft "table $family dpfault {
        counter dropped { }
        chain forward { type filter hook forward priority 0; }
    }"
}

# lab_ports HOST DIRECTION: the nft match for packets that cross HOST in that direction.
lab_ports() {
    local in=eth0 out=eth1
    [[ $1 == w* ]] && in=p0 out=p1
    [ "$2" = forward ] || { local t=$in; in=$out out=$t; }
    echo "iifname $in oifname $out"
}

# lab_fault HOST DIRECTION MATCH [VERDICT]: from now on what matches is logged and dropped there (VERDICT: instead of
# drop). Only TCP is touched, so that neighbour discovery goes on.
lab_fault() {
    local family=inet
    [[ $1 == w* ]] && family=bridge
    lab_in "$1" nft add rule $family dpfault forward "$(lab_ports "$1" "$2") meta l4proto tcp ${3:-} counter name dropped log group 5 snaplen 128 queue-threshold 1 ${4:-drop}"
}

# Patterns, ready to use as MATCH.
LAB_SIZE='meta length > 1400'
LAB_SYN='tcp flags & (syn | ack) == syn'
LAB_SYNACK='tcp flags & (syn | ack) == (syn | ack)'
lab_random() { echo "numgen random mod 1000 < $1"; }                       # per mille
lab_policer() { echo "limit rate over $1 kbytes/second burst ${2:-64} kbytes"; }

# lab_heal HOST: no fault there any more; the counter stays.
lab_heal() {
    local family=inet
    [[ $1 == w* ]] && family=bridge
    lab_in "$1" nft flush chain $family dpfault forward
}

# lab_burst HOST DIRECTION COUNT ON OFF: everything lost for ON seconds, then OFF seconds of peace, COUNT times.
lab_burst() {
    local i
    for ((i = 0; i < $3; i++)); do
        sleep "$5"
        lab_fault "$1" "$2"
        sleep "$4"
        lab_heal "$1"
    done
}

# lab_quiet on|off: the ends send nothing more on LAB_PORT, before any capture could see it, so that no packet is under
# way as a capture stops.
lab_quiet() {
    local host
    for host in mx1 remote; do
        lab_in $host nft flush chain inet dpquiet out
        [ "$1" = off ] || lab_in $host nft add rule inet dpquiet out tcp sport $LAB_PORT drop
        [ "$1" = off ] || lab_in $host nft add rule inet dpquiet out tcp dport $LAB_PORT drop
    done
}

# lab_mark: a connection on another port crosses the whole path: proof that the captures run.
lab_mark() { lab_traffic --port $LAB_MARK_PORT --mode echo --bytes 200 --time 3 >/dev/null || lab_die "no mark"; }

# lab_forget: ends what an earlier case left behind (connections that still retransmit), in silence.
lab_forget() {
    local host
    lab_quiet on
    for host in mx1 remote; do lab_in $host ss -K "( sport = :$LAB_PORT or dport = :$LAB_PORT )" >/dev/null 2>&1; done
    lab_quiet off
}

lab_listening() { grep -qE '^tcpdump: listening on|^File: ' "${LAB_LOG[$1]}"; }

# lab_capture_start DIR [SNAPLEN]: captures at all vantage points and of all ground truth; returns when all listen and have
# seen a mark: what is lost as the first packets of a file pass may have been under way when the capture began.
# LAB_TOOL is tcpdump (pcap) or dumpcap (pcapng).
lab_capture_start() {
    local dir=$1 snaplen filter=${LAB_CAPTURE_FILTER:-tcp} vantage host file name
    mkdir -p "$dir"
    lab_forget
    for vantage in "${LAB_VANTAGES[@]}"; do
        host=${vantage%/*} file=$dir/${vantage/\//_} snaplen=${LAB_SNAPLENS[$vantage]:-${2:-128}}
        if [ "$LAB_TOOL" = dumpcap ]; then
            lab_start "capture.$vantage" "$host" dumpcap -q -i "${vantage#*/}" -s "$snaplen" -B 64 -f "$filter" -w "$file.pcapng"
        else
            lab_start "capture.$vantage" "$host" tcpdump -n -i "${vantage#*/}" -s "$snaplen" -B 65536 \
                --time-stamp-precision nano -Z root -w "$file.pcap" $filter
        fi
    done
    for host in "${LAB_MIDDLE[@]}"; do
        lab_start "capture.truth_$host" "$host" tcpdump -n -i nflog:5 -B 8192 -Z root -w "$dir/truth_$host.pcap"
    done
    for name in "${!LAB_PID[@]}"; do
        [[ $name == capture.* ]] || continue
        lab_wait_for 10 lab_listening "$name" || { cat "${LAB_LOG[$name]}" >&2; lab_die "no capture for $name"; }
    done
    lab_mark
    for host in "${LAB_MIDDLE[@]}"; do lab_dropped "$host" >/dev/null; done
}

# lab_capture_stop: silences the ends, takes the faults away, marks the end, lets everything settle (the kernel hands
# over once a second), stops the captures. A capture file does not say how long its capture went on after its last packet,
# so `droppoint locate` has to see the mark, and to look at LAB_PORT only: --filter "tcp port $LAB_PORT".
lab_capture_stop() {
    local name
    lab_quiet on
    sleep 0.5
    for name in "${LAB_MIDDLE[@]}"; do lab_heal "$name"; done
    lab_mark
    sleep 1.3
    for name in "${!LAB_PID[@]}"; do [[ $name != capture.* ]] || kill -INT "${LAB_PID[$name]}"; done
    for name in "${!LAB_PID[@]}"; do
        [[ $name == capture.* ]] || continue
        wait "${LAB_PID[$name]}"
        unset "LAB_PID[$name]"
        grep -hE '[1-9][0-9]* packets dropped (by kernel|from)' "${LAB_LOG[$name]}" | sed "s|^|lab: $name: |" >&2
    done
    [ -n "${LAB_STAY_QUIET:-}" ] || lab_quiet off
}

# lab_dropped HOST: how many packets nft dropped there since it was last asked.
lab_dropped() {
    local family=inet
    [[ $1 == w* ]] && family=bridge
    lab_in "$1" nft -j reset counter $family dpfault dropped | sed -n 's/.*"packets": *\([0-9]*\).*/\1/p'
}

# lab_truth DIR: what was dropped where, as JSON. nft's own counter stands beside it and must agree.
lab_truth() {
    local host args=()
    for host in "${LAB_MIDDLE[@]}"; do args+=("$host=$1/truth_$host.pcap=$(lab_dropped "$host")"); done
    python3 "$LAB_TOOLS/truth.py" "${args[@]}"
}

# lab_file DIR VANTAGE: its capture there.
lab_file() { ls "$1/${2/\//_}.pcap" "$1/${2/\//_}.pcapng" 2>/dev/null | head -1; }

# lab_files DIR: the captures as `droppoint locate` takes them.
lab_files() {
    local vantage
    for vantage in "${LAB_VANTAGES[@]}"; do echo "$vantage=$(lab_file "$1" "$vantage")"; done
}

# lab_serve [PORT...]: the traffic server on remote, both IP versions; on LAB_PORT and LAB_MARK_PORT unless told.
lab_serve() {
    local port
    for port in ${*:-$LAB_PORT $LAB_MARK_PORT}; do
        lab_start serve.$port remote python3 "$LAB_TOOLS/traffic.py" serve --port $port
        lab_wait_for 10 grep -q ready "${LAB_LOG[serve.$port]}" || lab_die "the traffic server does not start"
    done
}

# lab_traffic OPTION...: the traffic client on mx1; see tools/traffic.py.
lab_traffic() { lab_in mx1 python3 "$LAB_TOOLS/traffic.py" run "$@"; }
