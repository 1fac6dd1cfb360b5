# shellcheck shell=bash
# How scenario tests ask a probe and judge its answer. Source it after lab.sh.
PROBE_BIN=${DROPPOINT_BIN:?}/droppoint
probe_failed=0 probe_number=0

# probe_expect WHAT EXIT CLASS JQ ARGUMENT...: runs the probe on PROBE_HOST (default mx1) of the lab; its exit code, its class
# and the jq condition on the result must hold.
probe_expect() {
    local what=$1 code=$2 class=$3 condition=$4 out got
    shift 4
    probe_number=$((probe_number + 1))
    out=$LAB_DIR/probe.json
    lab_in "${PROBE_HOST:-mx1}" timeout 60 "$PROBE_BIN" probe "$@" --local --json >"$out" 2>"$LAB_DIR/probe.err"
    got=$?
    if [ "$got" = "$code" ] && jq -e --arg class "$class" ".results[0] | .class == \$class and ($condition)" "$out" \
        >"$LAB_DIR/probe.jq" 2>&1; then
        echo "ok: $what: $class"
    else
        probe_failed=$((probe_failed + 1))
        echo "FAILED: $what: expected $class (exit $code) and $condition, got exit $got:"
        echo "    droppoint probe $*"
        jq -c '.results[0]' "$out" 2>/dev/null || cat "$out"
        cat "$LAB_DIR/probe.err" "$LAB_DIR/probe.jq"
    fi
}

# probe_refuses WHAT PATTERN ARGUMENT...: leaves with 2, nothing on standard output, one sentence that fits.
probe_refuses() {
    local what=$1 pattern=$2 got
    shift 2
    probe_number=$((probe_number + 1))
    lab_in "${PROBE_HOST:-mx1}" timeout 60 "$PROBE_BIN" probe "$@" --local --json >"$LAB_DIR/probe.json" 2>"$LAB_DIR/probe.err"
    got=$?
    if [ $got = 2 ] && [ ! -s "$LAB_DIR/probe.json" ] && grep -q -- "$pattern" "$LAB_DIR/probe.err"; then
        echo "ok: $what"
    else
        probe_failed=$((probe_failed + 1))
        echo "FAILED: $what: expected exit 2 and '$pattern', got exit $got:"
        cat "$LAB_DIR/probe.json" "$LAB_DIR/probe.err"
    fi
}

# probe_same WHAT ONE OTHER: two tools say the same.
probe_same() {
    probe_number=$((probe_number + 1))
    if [ "$2" = "$3" ]; then
        echo "ok: $1: $2"
    else
        probe_failed=$((probe_failed + 1))
        echo "FAILED: $1: '$2' is not '$3'"
    fi
}

# probe_end: the sum; the script's exit code.
probe_end() {
    echo "$probe_number checks, $probe_failed failed"
    [ "$probe_failed" = 0 ]
}
