#!/bin/bash
# Collector and agents in a lab: enrolment, refusals, a capture whose findings are those of `droppoint locate` on
# tcpdump's captures of the same traffic and on the exported packets, and the same again from the database.
set -u
here=$(dirname "$(readlink -f "$0")")
. "$here/lab.sh"
. "$here/live_lib.sh"
. "$here/cases.sh"
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
# refused WORD COMMAND...: must end with exit code 2 and name WORD.
refused() {
    local word=$1 code
    shift
    "$@" >"$LAB_DIR/refused" 2>&1 </dev/null
    code=$?
    [ $code = 2 ] && grep -qi -- "$word" "$LAB_DIR/refused" && return
    echo "exit code $code, expected 2 and a sentence with '$word':"
    cat "$LAB_DIR/refused"
    return 1
}
running() { live capture list --limit 1 --json | jq -e '.captures[0].state == "running"'; }
last_id() { live capture list --limit 1 --json | jq -r '.captures[0].id'; }
# exits CODE COMMAND...
exits() {
    local wanted=$1 code
    shift
    "$@"
    code=$?
    [ $code = "$wanted" ] || { echo "exit code $code, expected $wanted"; return 1; }
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
for host in "${LIVE_AGENTS[@]}"; do live_agent_start "$host"; done

# Enrolment. Until it is approved an agent is nobody.
for host in "${LIVE_AGENTS[@]}"; do lab_wait_for 20 live_known "$host" || lab_die "the agent of $host does not show up"; done
check "agents wait for approval" jq -e '[.agents[].state] == ["pending", "pending", "pending"]' <(live agent list --json)
check "a capture without agents is refused" refused . live capture run --path nothing-yet --duration 1s
for host in "${LIVE_AGENTS[@]}"; do check "enrolling $host" live_enrol "$host"; done
check "a fingerprint that nobody has" refused . live agent approve ffff-ffff-ffff-ffff
check "a path" live path set mail-out "${LAB_VANTAGES[@]}"
check "the path again" jq -e '.vantages == ["mx1/eth0", "lb1/eth0", "lb1/eth1", "edge1/eth0", "edge1/eth1"]' \
    <(live path show mail-out --json | jq 'if has("paths") then .paths[0] else . end')

# capture_case NAME EXIT_CODE CASE...: a capture with tcpdump beside it, and all ways to the same findings.
capture_case() {
    local name=$1 wanted=$2 dir=$LAB_DIR/$1 code id capture files
    shift 2
    mkdir -p "$dir"
    lab_forget
    live capture run --path mail-out --filter 'tcp port 5001' --duration 60s --json >"$dir/live.json" 2>"$dir/live.err" </dev/null &
    capture=$!
    lab_wait_for 20 running || { echo "FAIL $name does not start"; cat "$dir/live.err"; failed=$((failed + 1)); return; }
    sleep 0.3
    LAB_STAY_QUIET=1 case_run "$dir" "$@"
    id=$(last_id)
    kill -INT "$(pgrep -P $capture | head -1)" "$capture" 2>/dev/null
    wait $capture
    code=$?
    lab_quiet off
    check "$name: exit code" test $code = "$wanted"
    check "$name: the live findings are what was dropped" python3 "$LAB_TOOLS/check_locate.py" "$dir" "$dir/live.json" $code
    check "$name: the document names the capture" jq -e --arg id "$id" '.capture.id == $id and .capture.path == "mail-out"' "$dir/live.json"
    live capture show "$id" --json >"$dir/show.json"
    check "$name: shown again from the database" diff <(jq -S . "$dir/live.json") <(jq -S . "$dir/show.json")
    mapfile -t files < <(lab_files "$dir")
    "$bin/droppoint" locate --json --filter "tcp port $LAB_PORT" "${files[@]}" >"$dir/files.json"
    check "$name: locate on tcpdump's files says the same" python3 "$LAB_TOOLS/same_findings.py" "$dir/live.json" "$dir/files.json"
    check "$name: packets can be exported" live capture export "$id" --merge "$dir/merged.pcapng" --all-flows
    mapfile -t files < <(python3 "$LAB_TOOLS/split_merged.py" "$dir/merged.pcapng" "$dir")
    "$bin/droppoint" locate --json --filter "tcp port $LAB_PORT" "${files[@]}" >"$dir/exported.json"
    check "$name: locate on the exported packets says the same" python3 "$LAB_TOOLS/same_findings.py" "$dir/live.json" "$dir/exported.json"
}
capture_case clean 0 on 4 none forward clean
capture_case size 1 on 4 lb1 forward size
capture_case random 1 off 4 w2 reverse random

# Wrong requests.
check "a filter that does not compile" refused filter live capture run --path mail-out --filter 'tcp prot 25' --duration 1s
check "a path that nobody set" refused . live capture run --path nowhere --duration 1s
live path set wrong-if mx1/eth7 lb1/eth0 >/dev/null
check "an interface that is not there" refused mx1/eth7 live capture run --path wrong-if --duration 1s
check "a capture that is not there" refused . live capture show 00000000-0000-0000-0000-000000000000 --json

# Keys. Another operator's key, another collector's key, an agent that was revoked.
check "an operator's key that the collector does not know" refused . live agent list --timeout 3s --key "$LIVE/collector/stranger.key"
check "the wrong collector's key" refused . live agent list --timeout 3s --collector-key 'rq:rM>}U?@Lns47E1%kR.o@n%FcmmsL/@{H8]yf7'
check "revoking lb1" live agent revoke lb1
gone() { ! live_connected lb1; }
check "lb1 is shut out" lab_wait_for 10 gone
check "a capture names the one that is absent" refused lb1 live capture run --path mail-out --duration 1s
check "--partial goes on without it; no traffic is no verdict" exits 3 live capture run --path mail-out --filter 'tcp port 5001' --duration 2s --partial
lab_stop agent.lb1
live_agent_start lb1
sleep 3
check "... and stays out after a restart" gone

echo "$failed failed"
[ $failed = 0 ]
