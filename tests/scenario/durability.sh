#!/bin/bash
# Nothing that an agent synced is lost and nothing is stored twice, whoever is killed (kill -9) in mid-capture: an agent,
# the collector, PostgreSQL. Real programs on the loopback of a network namespace of their own. Needs root.
set -u
bin=${DROPPOINT_BIN:?}
[ "$(id -u)" = 0 ] || { echo "needs root"; exit 77; }
# shellcheck disable=SC2012
psql=$(ls /usr/lib/postgresql/*/bin/psql 2>/dev/null | sort -V | tail -1)
[ -n "$psql" ] || { echo "PostgreSQL is not installed"; exit 77; }

ns=dpdur$$
base=$(mktemp -d /tmp/dpdur.XXXXXX)
user=droppoint
made_user=
failed=0
endpoint=tcp://127.0.0.1:9910
declare -A pid

say() { echo "--- $*"; }
die() { echo "FAIL $*"; exit 1; }
check() { # NAME COMMAND...
    local name=$1
    shift
    if "$@" >"$base/wrong" 2>&1; then
        echo "ok   $name"
    else
        echo "FAIL $name"
        cat "$base/wrong"
        failed=$((failed + 1))
    fi
}
wait_for() { # SECONDS COMMAND...
    local end=$((SECONDS + $1))
    shift
    until "$@" >/dev/null 2>&1; do
        [ $SECONDS -lt $end ] || return 1
        sleep 0.2
    done
}
inside() { ip netns exec "$ns" "$@"; }
# start NAME COMMAND...: in the background; pid[NAME] is the program itself, since setpriv and ip only exec.
start() {
    local name=$1
    shift
    ip netns exec "$ns" setpriv --reuid $user --regid $user --init-groups "$@" >>"$base/log.$name" 2>&1 &
    pid[$name]=$!
}
kill_hard() {
    kill -9 "${pid[$1]}"
    wait "${pid[$1]}" 2>/dev/null
}
postmaster() { head -1 "$base/collector/postgresql/postmaster.pid" 2>/dev/null; }

end() {
    local rc=$? name
    trap - EXIT
    [ $rc = 0 ] || tail -n 15 "$base"/log.*
    for name in "${!pid[@]}"; do kill "${pid[$name]}" 2>/dev/null; done
    for name in "${!pid[@]}"; do wait "${pid[$name]}" 2>/dev/null; done
    local server
    server=$(postmaster)
    if [ -n "$server" ]; then
        kill -INT "$server" 2>/dev/null
        wait_for 10 test ! -e "/proc/$server" || kill -QUIT "$server" 2>/dev/null
    fi
    ip netns del "$ns" 2>/dev/null
    [ -z "$made_user" ] || userdel $user
    rm -rf "$base"
    exit $rc
}
trap end EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

ip netns add "$ns" || die "no network namespace"
inside ip link set lo up
id -u $user >/dev/null 2>&1 || { useradd --system --no-create-home --shell /usr/sbin/nologin $user && made_user=yes; }
chmod 755 "$base"
mkdir "$base/bin"
cp "$bin"/droppoint "$bin"/droppoint-collector "$bin"/droppoint-agent "$bin"/droppoint-capture "$base/bin/" || die "not built"
chmod 755 "$base"/bin/*
setcap cap_net_raw=ep "$base/bin/droppoint-capture" || die "no setcap"
for name in collector a1 a2; do install -d -m 700 -o $user -g $user "$base/$name"; done

collector() { start collector "$base/bin/droppoint-collector" --bind $endpoint --state-directory "$base/collector"; }
agent() {
    start "$1" "$base/bin/droppoint-agent" --name "$1" --collector $endpoint --collector-key "$base/collector.pub" \
        --state-directory "$base/$1"
}
live() {
    inside env DROPPOINT_COLLECTOR=$endpoint DROPPOINT_KEY="$base/collector/operator.key" \
        DROPPOINT_COLLECTOR_KEY="$base/collector/collector.pub" "$base/bin/droppoint" "$@"
}
sql() {
    setpriv --reuid $user --regid $user --init-groups "$psql" -h "$base/collector/postgresql.run" -d droppoint -U $user -X \
        -At -c "SET search_path = droppoint" -c "$1" | tail -1
}
connected() {
    live agent list --json | jq -e --arg name "$1" '.agents[] | select(.name == $name) | .connected' >/dev/null
}

say "collector and two agents"
collector
wait_for 60 live agent list || die "the collector does not come up"
install -m 644 "$base/collector/collector.pub" "$base/collector.pub"
for name in a1 a2; do
    agent $name
    wait_for 20 sh -c "[ -f $base/$name/agent.key ]" || true
done
two() { [ "$(live agent list --json | jq '.agents | length')" = 2 ]; }
wait_for 20 two || die "the agents do not show up"
for name in a1 a2; do
    fingerprint=$(setpriv --reuid $user --regid $user --init-groups "$base/bin/droppoint-agent" --name $name \
        --collector $endpoint --collector-key "$base/collector.pub" --state-directory "$base/$name" --show-key |
        sed -n 's/^fingerprint: *//p')
    live agent approve "$fingerprint" --name $name >/dev/null || die "$name can't be approved"
done
for name in a1 a2; do wait_for 20 connected $name || die "$name does not connect"; done
live path set both a1/lo a2/lo >/dev/null || die "no path"

# Traffic all along: small datagrams, about four thousand a second.
# Not by `inside`: a function in the background would be a shell of its own, and outlive its kill.
ip netns exec "$ns" python3 - >/dev/null 2>&1 <<'END' &
import socket, time
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
sink = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
sink.bind(("127.0.0.1", 9999))
while True:
    for _ in range(40):
        s.sendto(b"x" * 100, ("127.0.0.1", 9999))
    time.sleep(0.01)
END
pid[traffic]=$!

# whole ID: every stream's batches are numbered 1, 2, 3 ... to its watermark, and the agent has closed it there.
whole() {
    local id=$1 broken
    broken=$(sql "SELECT count(*) FROM stream s LEFT JOIN LATERAL (SELECT count(*) AS n, min(number) AS low, max(number) AS
        high, count(DISTINCT number) AS different FROM batch b WHERE (b.capture_id, b.position, b.epoch, b.stream) =
        (s.capture_id, s.position, s.epoch, s.stream)) b ON true WHERE s.capture_id = '$id' AND NOT (s.last = b.n AND b.n > 0
        AND b.low = 1 AND b.high = b.n AND b.different = b.n AND s.closed = s.last)")
    [ "$broken" = 0 ] || { sql "SELECT json_agg(s) FROM stream s WHERE capture_id = '$id'"; return 1; }
    [ "$(sql "SELECT count(*) FROM stream WHERE capture_id = '$id'")" = 2 ] || { echo "not two streams"; return 1; }
}
# counted ID VANTAGE: as many records as its agent says it captured.
counted() {
    local stored said
    stored=$(sql "SELECT sum(records) FROM batch JOIN capture_vantage USING (capture_id, position) WHERE capture_id = '$1' AND
        vantage = '$2'")
    said=$(sql "SELECT packets FROM capture_vantage WHERE capture_id = '$1' AND vantage = '$2'")
    [ -n "$said" ] && [ "$said" -gt 0 ] && [ "$stored" = "$said" ] || { echo "stored $stored, captured $said"; return 1; }
}
spool_empty() { ! find "$base/$1/spool" -type f -size +0 -name '*.seg*' 2>/dev/null | grep -q .; }
settled() { [ "$(sql "SELECT state FROM capture WHERE capture_id = '$1'")" = done ] && whole "$1"; }
last_id() { live capture list --limit 1 --json | jq -r '.captures[0].id'; }
# begin NAME: a capture of 12 seconds in the background, and 4 seconds into it.
begin() {
    say "$1"
    live capture run --path both --filter 'udp port 9999' --duration 12s --json >"$base/run.json" 2>"$base/run.err" </dev/null &
    pid[run]=$!
    sleep 4
    id=$(last_id)
}
finish() {
    wait "${pid[run]}"
    echo "     (capture run ended with $?)"
    check "$1: the capture is done and whole in the database" wait_for 100 settled "$id"
    check "$1: shown with a verdict" sh -c "[ -n \"\$(cat)\" ]" < <(live capture show "$id" --json 2>&1 | jq -r .verdict.code)
}

begin "nobody is killed"
finish "nobody"
check "nobody: all packets of a1" counted "$id" a1/lo
check "nobody: all packets of a2" counted "$id" a2/lo

begin "the database is killed"
server=$(postmaster)
kill -9 "$server"
finish "database"
check "database: all packets of a1" counted "$id" a1/lo
check "database: all packets of a2" counted "$id" a2/lo

begin "an agent is killed"
kill_hard a1
sleep 1
agent a1
finish "agent"
check "agent: all packets of a2" counted "$id" a2/lo
check "agent: the document says that a1 was lost" sh -c "jq -e '.capture.problems | length > 0' '$base/run.json'"

begin "the collector is killed"
kill_hard collector
sleep 2
collector
wait_for 30 live agent list || die "the collector does not come back"
finish "collector"
check "collector: all packets of a1" counted "$id" a1/lo
check "collector: all packets of a2" counted "$id" a2/lo
check "collector: its problems name the restart" grep -q restarted <(live capture show "$id" --json | jq -r '.capture.problems[]')

[ $failed = 0 ] || { echo "$failed failed"; exit 1; }
echo "all whole"
