# shellcheck shell=bash disable=SC2034,SC2086
# A collector and agents in the lab, on a management network of their own. Needs lab.sh; source it before lab_up.
#
# LIVE is a directory that everybody may enter; LIVE_BIN the programs' copies there. The collector listens on
# 198.51.100.129 in the namespace "collector", where `live` runs the operator's command.

LAB_HOSTS+=(collector)
LIVE_USER=droppoint
LIVE_ENDPOINT=tcp://198.51.100.129:9910
LIVE_AGENTS=(mx1 lb1 edge1)

# live_network: a bridge in the collector's namespace, one leg in every agent's host.
live_network() {
    local host number=129
    lab_in collector ip link add mgmt0 type bridge stp_state 0 forward_delay 0
    lab_in collector ip address add 198.51.100.129/25 dev mgmt0
    lab_in collector ip link set mgmt0 up
    for host in "${LIVE_AGENTS[@]}"; do
        number=$((number + 1))
        lab_veth "$host" mgmt0 collector "to-$host"
        lab_in collector ip link set "to-$host" master mgmt0
        lab_in "$host" ip address add 198.51.100.$number/25 dev mgmt0
    done
}

# live_user: the account that collector and agents run under; live_user_remove takes it away if live_user made it.
live_user() {
    LIVE_MADE_USER=
    id -u $LIVE_USER >/dev/null 2>&1 && return 0
    useradd --system --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin $LIVE_USER ||
        lab_die "can't make the user $LIVE_USER"
    LIVE_MADE_USER=yes
}
live_user_remove() { [ -z "${LIVE_MADE_USER:-}" ] || userdel $LIVE_USER; }

# live_programs BIN: copies, where an unprivileged user may reach them. Only droppoint-capture may open interfaces.
live_programs() {
    LIVE_BIN=$LIVE/bin
    mkdir -p "$LIVE_BIN"
    cp "$1"/droppoint "$1"/droppoint-collector "$1"/droppoint-agent "$1"/droppoint-capture "$LIVE_BIN/" ||
        lab_die "not everything is built in $1"
    chmod 755 "$LIVE_BIN"/*
    setcap cap_net_raw=ep "$LIVE_BIN/droppoint-capture" || lab_die "can't give droppoint-capture its capability"
}

live_as_user() { setpriv --reuid $LIVE_USER --regid $LIVE_USER --init-groups "$@"; }

# live NAME...: the operator's command.
live() {
    lab_in collector env DROPPOINT_COLLECTOR=$LIVE_ENDPOINT DROPPOINT_KEY="$LIVE/collector/operator.key" \
        DROPPOINT_COLLECTOR_KEY="$LIVE/collector/collector.pub" "$LIVE_BIN/droppoint" "$@"
}

live_collector_start() {
    mkdir -p "$LIVE/collector"
    chown $LIVE_USER: "$LIVE/collector"
    chmod 700 "$LIVE/collector"
    cat >"$LIVE/collector.yaml" <<END
bind: $LIVE_ENDPOINT
state_directory: $LIVE/collector
END
    lab_start collector collector setpriv --reuid $LIVE_USER --regid $LIVE_USER --init-groups \
        "$LIVE_BIN/droppoint-collector" --config "$LIVE/collector.yaml"
    lab_wait_for 30 live agent list || { cat "${LAB_LOG[collector]}" >&2; lab_die "the collector does not come up"; }
    install -m 644 "$LIVE/collector/collector.pub" "$LIVE/collector.pub"
}

# live_agent_start HOST [CAPABILITY,...]: the agent has these, as a drop-in of its unit may give it; else none.
live_agent_start() {
    local caps=${2:-}
    mkdir -p "$LIVE/$1"
    chown $LIVE_USER: "$LIVE/$1"
    chmod 700 "$LIVE/$1"
    cat >"$LIVE/$1.yaml" <<END
name: $1
collector: $LIVE_ENDPOINT
collector_key: $LIVE/collector.pub
state_directory: $LIVE/$1
capture_program: $LIVE_BIN/droppoint-capture
END
    lab_start "agent.$1" "$1" setpriv --reuid $LIVE_USER --regid $LIVE_USER --init-groups \
        ${caps:+--inh-caps "$caps" --ambient-caps "$caps"} "$LIVE_BIN/droppoint-agent" --config "$LIVE/$1.yaml"
}

# live_fingerprint HOST: of the agent there, as the agent itself shows it.
live_fingerprint() {
    live_as_user "$LIVE_BIN/droppoint-agent" --config "$LIVE/$1.yaml" --show-key | sed -n 's/^fingerprint: *//p'
}
live_known() {
    live agent list --json |
        jq -e --arg fingerprint "$(live_fingerprint "$1")" '.agents[] | select(.fingerprint == $fingerprint)' >/dev/null
}
live_connected() {
    live agent list --json |
        jq -e --arg name "$1" '.agents[] | select(.name == $name) | .state == "approved" and .connected' >/dev/null
}

# live_enrol HOST: waits until it asks to be let in, approves it, waits until it is.
live_enrol() {
    lab_wait_for 20 live_known "$1" || { cat "${LAB_LOG[agent.$1]}" >&2; lab_die "the agent of $1 does not show up"; }
    live agent approve "$(live_fingerprint "$1")" --name "$1" || lab_die "$1 can't be approved"
    lab_wait_for 20 live_connected "$1" || { cat "${LAB_LOG[agent.$1]}" >&2; lab_die "the agent of $1 does not connect"; }
}
