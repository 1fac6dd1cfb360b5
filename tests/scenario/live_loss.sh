#!/bin/bash
# What the operator sees while a capture runs: lb1 drops everything from some moment on, so that every point behind it is
# silent, and the live line must name the losses before the capture ends; as many as really died by then, and no more.
# Then the same where those points never saw a packet, where the collector is killed meanwhile, and lb1's agent.
set -u
here=$(dirname "$(readlink -f "$0")")
. "$here/lab.sh"
. "$here/live_lib.sh"
bin=${DROPPOINT_BIN:?}
failed=0
check() { # NAME COMMAND...: it must succeed
    local name=$1
    shift
    if "$@" >"$LAB_DIR/wrong" 2>&1; then
        echo "ok   $name"
    else
        echo "FAIL $name"
        cat "$LAB_DIR/wrong"
        failed=$((failed + 1))
    fi
}
end() {
    local rc=$?
    trap - EXIT
    [ $rc = 0 ] || tail -n 20 "${LAB_LOG[collector]:-/dev/null}" "${LAB_LOG[agent.lb1]:-/dev/null}"
    lab_stop collector
    lab_down
    live_user_remove
    rm -rf "$LIVE"
    exit $rc
}
LIVE=$(mktemp -d /tmp/dplloss.XXXXXX)
chmod 755 "$LIVE"
trap end EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP
lab_up
live_user
live_network
live_programs "$bin"
lab_serve
live_collector_start
for host in "${LIVE_AGENTS[@]}"; do live_agent_start "$host"; done
for host in "${LIVE_AGENTS[@]}"; do live_enrol "$host"; done
live path set mail-out "${LAB_VANTAGES[@]}" >/dev/null || lab_die "no path"
lab_offload off # then a packet is a packet, at nflog and at every point

running() { live capture list --limit 1 --json | jq -e '.captures[0].state == "running"'; }
last_id() { live capture list --limit 1 --json | jq -r '.captures[0].id'; }

# died: packets that nflog has told of so far.
died() { tcpdump -n -r "$dir/truth.pcap" 2>/dev/null | wc -l; }
# told: lost packets as the last live line has them; passed VANTAGE: packets that it names there.
told() { grep -o 'lost [0-9,]* packet' "$dir/line" | tail -1 | tr -dc 0-9; }
passed() { grep -o "$1 [0-9,]*" "$dir/line" | tail -1 | sed 's/.* //' | tr -dc 0-9; }
alive() { [ -e "/proc/$run" ]; }

# begin NAME: captures in the background, of losses at lb1 too; $dir/line gets what the operator sees.
begin() {
    echo "--- $1"
    dir=$LAB_DIR/$1
    mkdir -p "$dir"
    lab_forget
    lab_heal lb1
    lab_dropped lb1 >/dev/null
    lab_start capture.truth lb1 tcpdump -n -U -i nflog:5 -B 8192 -Z root -w "$dir/truth.pcap"
    lab_wait_for 10 lab_listening capture.truth || lab_die "no capture of what dies"
    live capture run --path mail-out --filter 'tcp port 5001' --duration 90s >"$dir/report" 2>"$dir/line" </dev/null &
    run=$!
    lab_wait_for 20 running || { cat "$dir/line"; lab_die "$1 does not start"; }
    id=$(last_id)
    sleep 0.5
}
# Connections that go on all along.
traffic() {
    lab_start traffic mx1 python3 "$LAB_TOOLS/traffic.py" run --host "$REMOTE_4" --flows 4 --bytes 9000000 --rate 100000 --mode up --time 80
}
# names_them: the live line names as many as had died when it was asked, while the capture still runs.
names_them() {
    local dead now
    dead=$(died)
    [ "$dead" -ge 10 ] || { echo "only $dead died"; return 1; }
    until now=$(told); [ "${now:-0}" -ge "$dead" ]; do
        alive || { echo "the capture ended; the line named ${now:-0} of $dead"; return 1; }
        [ $SECONDS -lt $deadline ] || { echo "the line names ${now:-0} of $dead:"; tail -3 "$dir/line"; return 1; }
        sleep 0.2
    done
    alive || { echo "the capture ended"; return 1; }
    dead=$(died)
    [ "$now" -le "$dead" ] || { echo "the line names $now, $dead died"; return 1; }
}
enough_died() { [ "$(died)" -ge 20 ]; }
# verdict_is JQ-CONDITION: of the loss at lb1, forward.
verdict_is() {
    live capture show "$id" --json >"$dir/show.json"
    jq -e ".verdict.code == \"loss\" and (.findings[.verdict.finding] | .from == \"lb1/eth0\" and .to == \"lb1/eth1\" and
        .direction == \"forward\" and .lost_packets $1)" "$dir/show.json" >/dev/null || { jq -c '.verdict, .findings, .capture.problems' "$dir/show.json"; return 1; }
}
# finish: silences the ends first, so that nothing dies as the capture stops.
finish() {
    local pid
    lab_quiet on
    sleep 0.7
    pid=$(pgrep -P "$run" | head -1)
    kill -INT "${pid:-$run}" 2>/dev/null
    wait "$run"
    code=$?
    lab_stop traffic
    lab_stop capture.truth INT
}

begin all
traffic
sees() { [ "$(passed edge1/eth1)" -gt 100 ]; }
check "all: every point sees packets at first" lab_wait_for 20 sees
check "all: no loss is named before there is one" test -z "$(told)"
lab_fault lb1 forward ''
lab_wait_for 20 enough_died || lab_die "nothing died"
deadline=$((SECONDS + 40))
check "all: the line names the losses while the capture runs" names_them
later=$(died)
more_died() { [ "$(died)" -gt "$later" ]; }
lab_wait_for 40 more_died # a retransmission, some seconds later
deadline=$((SECONDS + 40))
check "all: ... and those that follow" names_them
finish
check "all: exit code" test $code = 1
check "all: the verdict counts all that died" verdict_is "== $(died)"
check "all: as nft's own counter" test "$(died)" = "$(lab_dropped lb1)"

lab_fault lb1 forward ''
begin never
lab_fault lb1 forward ''
traffic
lab_wait_for 20 enough_died || lab_die "nothing died"
deadline=$((SECONDS + 40))
check "never: the line names the losses while the capture runs" names_them
check "never: nothing came out" test "$(passed edge1/eth1)" = 0
finish
check "never: exit code" test $code = 1
check "never: the verdict counts all that died" verdict_is "== $(died)"

# The collector is killed: it draws the verdict from what the agents bring it later.
begin collector
traffic
check "collector: every point sees packets at first" lab_wait_for 20 sees
lab_fault lb1 forward ''
lab_wait_for 20 enough_died || lab_die "nothing died"
sleep 3
before=$(died)
lab_stop collector KILL
sleep 1
live_collector_start
finish
done_now() { [ "$(live capture list --json | jq -r --arg id "$id" '.captures[] | select(.id == $id).state')" = done ]; }
check "collector: the capture is done" lab_wait_for 90 done_now
check "collector: the verdict counts what died before, and no more than ever" verdict_is ">= $before and .lost_packets <= $(died)"

# lb1's agent is killed: what its silent point told until then still counts, although its last packet is long ago.
begin agent
traffic
check "agent: every point sees packets at first" lab_wait_for 20 sees
lab_fault lb1 forward ''
lab_wait_for 20 enough_died || lab_die "nothing died"
sleep 4
before=$(died)
deadline=$((SECONDS + 40))
check "agent: the line names the losses while the capture runs" names_them
lab_stop agent.lb1 KILL
says_away() { grep -q 'lb1/eth1: Agent lb1 is not connected' "$dir/line" && grep -q 'lb1/eth1 away' "$dir/line"; }
check "agent: the operator hears at once that it is gone" lab_wait_for 20 says_away
finish
check "agent: exit code" test $code = 1
check "agent: the verdict counts what died before" verdict_is ">= $before"

echo "$failed failed"
[ $failed = 0 ]
