#!/bin/bash
# Faults at every segment, both ways, offloads on and off, every pattern: `droppoint locate` against what nftables
# really dropped. One line per case. SCENARIO_LONG=1 runs every combination (about 20 minutes).
set -u
here=$(dirname "$(readlink -f "$0")")
. "$here/lab.sh"
. "$here/cases.sh"
bin=${DROPPOINT_BIN:?}
only=${1:-*}
lab_trap
lab_up
lab_serve

# offload ip place direction pattern
default_table() {
    cat <<'END'
on  4 none  forward clean
off 4 none  forward clean
on  6 none  forward clean
on  4 lb1   forward size
off 4 lb1   forward size
on  6 lb1   forward size
on  4 w2    reverse size
on  4 w1    forward random
on  4 w1    reverse random
off 4 w1    forward random
on  4 lb1   forward random
on  4 lb1   reverse random
off 4 lb1   forward random
on  4 w2    forward random
on  4 w2    reverse random
off 4 w2    reverse random
on  4 edge1 forward random
on  4 edge1 reverse random
off 6 edge1 forward random
off 4 w3    forward random
on  4 lb1   forward all
off 4 w2    reverse all
on  4 lb1   forward handshake
on  4 w2    reverse handshake
on  4 lb1   forward flows
off 4 edge1 reverse flows
on  4 w2    forward burst
off 4 lb1   forward burst
on  4 lb1   forward rate
off 4 edge1 forward rate
on  4 lb1   forward reset
END
}

long_table() {
    local offload ip place direction pattern
    for offload in on off; do for ip in 4 6; do
        echo "$offload $ip none forward clean"
        for place in w1 lb1 w2 edge1; do for direction in forward reverse; do
            for pattern in size random all handshake flows burst rate; do
                echo "$offload $ip $place $direction $pattern"
            done
        done; done
    done; done
}

failed=0 number=0
while read -r offload ip place direction pattern; do
    name=${pattern}_${place}_${direction}_v${ip}_$offload
    # shellcheck disable=SC2254 # a glob on purpose
    case $name in $only) ;; *) continue ;; esac
    number=$((number + 1))
    dir=$LAB_DIR/$name
    case_run "$dir" "$offload" "$ip" "$place" "$direction" "$pattern" </dev/null
    mapfile -t files < <(lab_files "$dir")
    timeout 60 "$bin/droppoint" locate --json --filter "tcp port $LAB_PORT" "${files[@]}" >"$dir/result.json" 2>"$dir/stderr" </dev/null
    code=$?
    if python3 "$LAB_TOOLS/check_locate.py" "$dir" "$dir/result.json" $code >"$dir/wrong" 2>&1; then
        echo "ok   $name"
        rm -rf "$dir"
    else
        failed=$((failed + 1))
        echo "FAIL $name"
        cat "$dir/wrong" "$dir/stderr"
        [ -z "${SCENARIO_SAVE:-}" ] || cp -r "$dir" "$SCENARIO_SAVE/"
    fi
done < <(if [ -n "${SCENARIO_LONG:-}" ]; then long_table; else default_table; fi)
echo "$number cases, $failed failed"
[ $failed = 0 ] && [ $number -gt 0 ]
