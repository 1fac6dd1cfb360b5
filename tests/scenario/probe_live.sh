#!/bin/bash
# Probes on agents, through the collector: several at the same instant, compared; results over the spool into the database
# and back as history; refusals by policy; agents, collector and operator that go away in the middle.
set -u
here=$(dirname "$(readlink -f "$0")")
. "$here/lab.sh"
. "$here/live_lib.sh"
bin=${DROPPOINT_BIN:?}
failed=0 checks=0

# expect WHAT EXIT JQ COMMAND...: `droppoint COMMAND`; its exit code and a jq condition on its document.
expect() {
    local what=$1 code=$2 condition=$3 got
    shift 3
    checks=$((checks + 1))
    live "$@" >"$LAB_DIR/out" 2>"$LAB_DIR/err" </dev/null
    got=$?
    if [ $got = "$code" ] && jq -e "$condition" "$LAB_DIR/out" >"$LAB_DIR/jq" 2>&1; then
        echo "ok   $what"
    else
        failed=$((failed + 1))
        echo "FAIL $what: expected exit $code and $condition, got exit $got: droppoint $*"
        cat "$LAB_DIR/out" "$LAB_DIR/err" "$LAB_DIR/jq"
    fi
}
# says WHAT EXIT PATTERN COMMAND...: as text, on either output.
says() {
    local what=$1 code=$2 pattern=$3 got
    shift 3
    checks=$((checks + 1))
    live "$@" >"$LAB_DIR/out" 2>&1 </dev/null
    got=$?
    if [ $got = "$code" ] && grep -qE -- "$pattern" "$LAB_DIR/out"; then
        echo "ok   $what"
    else
        failed=$((failed + 1))
        echo "FAIL $what: expected exit $code and '$pattern', got exit $got: droppoint $*"
        cat "$LAB_DIR/out"
    fi
}
check() { # WHAT COMMAND...
    local what=$1
    shift
    checks=$((checks + 1))
    if "$@" >"$LAB_DIR/wrong" 2>&1; then
        echo "ok   $what"
    else
        failed=$((failed + 1))
        echo "FAIL $what"
        cat "$LAB_DIR/wrong"
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
LIVE=$(mktemp -d /tmp/dplive.XXXXXX)
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
live_agent_start mx1 +net_raw,+net_admin
live_agent_start lb1
live_agent_start edge1
for host in "${LIVE_AGENTS[@]}"; do live_enrol "$host" >/dev/null; done
live path set mail-out "${LAB_VANTAGES[@]}" >/dev/null
at=$REMOTE_4:$LAB_PORT

# The same everywhere, and at the same instant.
expect "all reach it" 0 '.schema == "droppoint.probe.v1" and .target == "'$at'" and ([.results[].agent] == ["edge1", "lb1", "mx1"])
    and all(.results[]; .class == "open" and .status == "ok" and .data.addresses[0].class == "open")
    and .comparison.agree and (.comparison.summary == "mx1, lb1 and edge1 all reach it") and (has("failures") | not)' \
    probe tcp --from all --json $at
cp "$LAB_DIR/out" "$LAB_DIR/first.json"
check "... at the same instant" python3 -c '
import json, sys
from datetime import datetime
at = [datetime.fromisoformat(r["started_at"][:-1]).timestamp() for r in json.load(open(sys.argv[1]))["results"]]
print(at)
sys.exit(max(at) - min(at) > 0.2)' "$LAB_DIR/first.json"
expect "one agent alone is not compared" 0 '(.results | length == 1) and (has("comparison") | not)' probe tcp --from lb1 --json $at
says "for a person" 0 '^lb1: open' probe tcp --from lb1,mx1 $at
says "as a plugin" 0 '^tcp OK: open: ' probe tcp --from mx1,lb1 --nagios $at

# Different: where it changes along the path.
lab_in lb1 nft add table inet pl
lab_in lb1 nft add chain inet pl f '{ type filter hook forward priority 10; }'
lab_in lb1 nft add rule inet pl f ip daddr $REMOTE_4 tcp dport $LAB_PORT reject with icmpx type admin-prohibited
expect "one is refused on the way" 1 '(.comparison.agree | not)
    and (.comparison.summary == "lb1 and edge1 reach it; mx1 does not: unreachable, ICMP 3/13 from 192.0.2.1. Along the path mail-out it changes between mx1 and lb1")' \
    probe tcp --from all --json $at
id=$(jq -r .id "$LAB_DIR/out")
cp "$LAB_DIR/out" "$LAB_DIR/differ.json"
lab_in lb1 nft delete table inet pl

# History.
expect "the history has it" 0 '(.probes | length == 3) and all(.probes[]; .id == "'$id'" and .kind == "tcp" and .target == "'$at'")
    and ([.probes[] | select(.status == "critical")] | length == 1 and .[0].agent == "mx1" and .[0].class == "unreachable")' \
    probe history --json --limit 3
expect "filtered" 0 '.probes | length == 1 and .[0].agent == "mx1"' probe history --json --status critical --kind tcp --target $at
expect "of one that has none" 0 '.probes == []' probe history --json --kind mtu
live probe history "$id" --json >"$LAB_DIR/again.json"
check "shown again as it was" diff <(jq -S . "$LAB_DIR/differ.json") <(jq -S '.' "$LAB_DIR/again.json")
says "for a person, too" 1 'changes between mx1 and lb1' probe history "$id"
says "a table" 0 'unreachable' probe history
says "a probe that is not there" 2 'no probe 20200101-000000-0000' probe history 20200101-000000-0000

# Kinds that need capabilities, and agents with and without.
expect "ping, with and without the capability" 3 '(.results | length == 1 and .[0].agent == "mx1" and .[0].class == "ok" and .[0].data.received == 3)
    and (.failures | length == 1 and .[0].agent == "lb1" and .[0].error == "denied" and (.[0].text | contains("ping_group_range")))' \
    probe ping --from mx1,lb1 --count 3 --interval 0.1 --json $REMOTE_4
expect "trace" 0 '.results[0] | .class == "reached" and .data.hops[0].addresses[0] == "192.0.2.1"' probe trace --from mx1 --rounds 1 --json $REMOTE_4
expect "the host's own firewall" 0 '.results[0].class == "permitted"' probe firewall --from mx1 --json $at
expect "link, where there is much to say" 0 'all(.results[]; .data.interfaces | length > 1)' probe link --from all --period 0.2 --json

# Wrong requests.
says "an agent that nobody knows" 2 'named nobody' probe tcp --from mx1,nobody $at
says "no name at all" 2 'no agent' probe tcp --from mx1, $at
says "an option of another kind" 2 'unknown option' probe tcp --from mx1 --df $at
says "a name that does not resolve" 2 'nowhere.invalid' probe tcp --from mx1,lb1 --timeout 5 nowhere.invalid:25
says "an interface that is absent there" 2 'eth7' probe tcp --from mx1 --interface eth7 $at

# Policy. The agent's own word counts.
policy() { # HOST LINE...
    printf '%s\n' "${@:2}" >"$LIVE/$1.policy.yaml"
    grep -q '^policy:' "$LIVE/$1.yaml" || echo "policy: $LIVE/$1.policy.yaml" >>"$LIVE/$1.yaml"
    lab_stop "agent.$1"
    lab_start "agent.$1" "$1" setpriv --reuid $LIVE_USER --regid $LIVE_USER --init-groups "$LIVE_BIN/droppoint-agent" --config "$LIVE/$1.yaml"
    sleep 0.2
    lab_wait_for 20 live_connected "$1" || lab_die "$1 does not come back: $(cat "${LAB_LOG[agent.$1]}")"
}
policy edge1 "probes: [tcp, dns]" "probe_targets: [203.0.113.0/28, '*.example.net']" "max_probe_seconds: 30"
expect "a kind that one agent's policy forbids" 3 '(.results | length == 1) and (.failures | length == 1)
    and .failures[0].agent == "edge1" and .failures[0].error == "denied" and (.failures[0].text | contains("key probes"))' \
    probe link --from edge1,lb1 --json --period 0.1 lo
expect "a target within the policy" 1 '.results[0].class == "refused"' probe tcp --from edge1 --json 203.0.113.1:22
says "a target that the policy forbids" 2 'policy does not allow probes towards 198.51.100.1 ' probe tcp --from edge1 198.51.100.1:25
says "a name that the policy forbids" 2 'towards mx.example.org' probe tcp --from edge1 mx.example.org:25
says "a server that the policy forbids" 2 'towards 192.0.2.10' probe dns --from edge1 --server 192.0.2.10 www.example.net
says "too long for the policy" 2 'at most 30 seconds' probe tcp --from edge1 --timeout 31 203.0.113.1:22
says "a file of the agent's host" 2 'key probe_files' probe smtp --from lb1 --auth-file /etc/shadow $at
policy edge1 "max_probes_per_minute: 2"
expect "a first one" 0 true probe link --from edge1 --json --period 0.1 lo
expect "a second one" 0 true probe link --from edge1 --json --period 0.1 lo
says "the third one in a minute" 2 '2 probes a minute' probe link --from edge1 --period 0.1 lo
policy edge1 "payload: headers"

# Secrets: a file that the policy names, and a server that sends the password back. It is looked for everywhere: what the
# command prints, the database, spools, logs, process lists.
secret='Tr0ub4dor&3'
printf 'user: alice\npassword: %s\n' "$secret" >"$LIVE/auth"
chown $LIVE_USER: "$LIVE/auth"
chmod 600 "$LIVE/auth"
lab_start odd remote python3 "$LAB_TOOLS/odd_smtp.py" 2525 echo_secret
lab_wait_for 5 lab_in remote bash -c "ss -ltn | grep -q :2525" || lab_die "no server"
policy edge1 "probe_files: [$LIVE/auth]"
listen() { while sleep 0.05; do ps -ef; done >"$LAB_DIR/processes" 2>/dev/null; }
listen & listener=$!
expect "a file that the policy names" 1 '.results[0].class == "auth-failed" and (.results[0].data.transcript | tostring | contains("<hidden>"))' \
    probe smtp --from edge1 --auth-file "$LIVE/auth" --json $REMOTE_4:2525
kill $listener
cp "$LAB_DIR/out" "$LAB_DIR/secret.json"
everywhere() {
    live probe history --json --limit 1000 >"$LAB_DIR/secret.history"
    live_as_user pg_dump -h "$LIVE/collector/postgresql.run" -d droppoint >"$LAB_DIR/secret.sql" || return 1
    grep -q 'auth-failed' "$LAB_DIR/secret.sql" || { echo "the result is not in the database"; return 1; }
    grep -q droppoint-agent "$LAB_DIR/processes" || { echo "no process was listed"; return 1; }
    ! grep -rlF -e "$secret" -e "$(printf %s "$secret" | base64)" -e "$(printf '\0alice\0%s' "$secret" | base64)" \
        "$LAB_DIR" "$LIVE/collector" "$LIVE/edge1" "$LIVE/lb1" "$LIVE/mx1"
}
check "the password is nowhere" everywhere
policy edge1 "payload: headers"

# Ends. A port that drops all makes a probe last as long as its time.
lab_in remote nft add table inet silent
lab_in remote nft add chain inet silent i '{ type filter hook input priority 0; }'
lab_in remote nft add rule inet silent i tcp dport 7777 drop
slow="probe tcp --from lb1,mx1 --json $REMOTE_4:7777"
running() { live agent list >/dev/null; grep -q "$1" "${LAB_LOG[collector]}"; }
interrupted() { # the operator stops it
    live $slow --timeout 60 >"$LAB_DIR/out" 2>"$LAB_DIR/err" </dev/null &
    local pid=$!
    sleep 1.5
    kill -INT "$(pgrep -P $pid | head -1)" "$pid" 2>/dev/null
    wait $pid
    echo "exit code $?"
    jq -e '(.results | length == 2) and all(.results[]; .duration_ms < 5000)' "$LAB_DIR/out" || { cat "$LAB_DIR/out" "$LAB_DIR/err"; return 1; }
}
check "Ctrl-C brings what there is" interrupted
killed() { # one agent dies in the middle
    live $slow --timeout 4 >"$LAB_DIR/out" 2>"$LAB_DIR/err" </dev/null &
    local pid=$!
    sleep 1.5
    lab_stop agent.lb1 KILL
    live_agent_start lb1
    wait $pid
    echo "exit code $?"
    jq -e '(.results | length == 1 and .[0].agent == "mx1") and .failures[0].agent == "lb1"' "$LAB_DIR/out" ||
        { cat "$LAB_DIR/out" "$LAB_DIR/err"; return 1; }
}
check "an agent that dies has no result" killed
lab_wait_for 20 live_connected lb1 || lab_die "lb1 does not come back"
cut_off() { # the collector dies while they run; the spools bring the results when it is back
    live $slow --timeout 4 >"$LAB_DIR/out" 2>"$LAB_DIR/err" </dev/null &
    local pid=$!
    sleep 1.5
    lab_stop collector KILL
    wait $pid
    echo "exit code $?"
    cat "$LAB_DIR/err"
    id=$(grep -oE '[0-9]{8}-[0-9]{6}-[0-9a-f]{4}' "$LAB_DIR/err" | head -1)
    [ -n "$id" ] || return 1
    sleep 3
    live_collector_start
    for host in lb1 mx1; do lab_wait_for 40 live_connected $host || return 1; done
    lab_wait_for 20 both_there || { live probe history "$id" --json; return 1; }
}
both_there() { live probe history "$id" --json | jq -e '.results | length == 2'; }
check "results outlive the collector" cut_off
lab_stop agent.lb1
gone() { ! live_connected lb1; }
lab_wait_for 10 gone || lab_die "lb1 stays"
expect "one that is not connected" 3 '(.results | length == 1) and (.failures[0].text | contains("not connected"))' \
    probe tcp --from lb1,mx1 --json $at
says "... as a plugin" 3 '^tcp UNKNOWN: open: .*lb1: no result' probe tcp --from lb1,mx1 --nagios $at
says "... and nobody else" 2 'lb1: Agent lb1 is not connected' probe tcp --from lb1 $at

echo "$checks checks, $failed failed"
[ $failed = 0 ]
