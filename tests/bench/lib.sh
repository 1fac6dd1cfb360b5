# shellcheck shell=bash disable=SC2016,SC2034,SC2086,SC2154
# Helpers of tests/bench/run: costs, medians, tables. To be sourced by bash.

die() {
    echo "bench: $*" >&2
    exit 2
}

have() {
    command -v "$1" >/dev/null
}

# median NUMBER...: the middle one (of an even count the lower of the two).
median() {
    printf '%s\n' "$@" | sort -g | awk '{v[NR] = $1} END {print v[int((NR + 1) / 2)]}'
}

# calc EXPRESSION [FORMAT]: arithmetic with fractions.
calc() {
    awk "BEGIN {printf \"${2:-%.2f}\", $1}"
}

# cost NAME COMMAND...: runs it $repeat times. Sets cpu_NAME, wall_NAME (medians, seconds) and peak_NAME (MiB, greatest).
# Exit codes up to 3 are results of droppoint's own; more is a failure.
cost() {
    local name=$1 cpu=() wall=() peak=0 i user system seconds kib code
    shift
    for ((i = 0; i < repeat; i++)); do
        "$bin/bench_cost" "$work/cost" "$@" >"$work/out" 2>"$work/err" || true
        read -r user system seconds kib code <"$work/cost"
        ((code <= 3)) || die "$1 failed with $code: $(tail -3 "$work/err")"
        cpu+=("$(calc "$user + $system" %.3f)")
        wall+=("$seconds")
        ((kib > peak)) && peak=$kib
    done
    printf -v "cpu_$name" %s "$(median "${cpu[@]}")"
    printf -v "wall_$name" %s "$(median "${wall[@]}")"
    printf -v "peak_$name" %s "$((peak / 1024))"
}

# row CELL...: a line of a table.
row() {
    local cell
    printf '|'
    for cell in "$@"; do
        printf ' %s |' "$cell"
    done
    printf '\n'
}

# head CELL...: a table's first lines; the first column is text, the others are numbers.
head_row() {
    row "$@"
    printf '| --- |'
    shift
    for _ in "$@"; do
        printf ' ---: |'
    done
    printf '\n'
}

# put_section FILE NAME: puts standard input between the lines "<!-- NAME -->" and "<!-- end NAME -->" of FILE.
put_section() {
    local text
    text=$(cat)
    grep -q "^<!-- $2 -->$" "$1" || die "$1 has no section $2"
    TEXT=$text awk -v name="$2" '
        $0 == "<!-- end " name " -->" {skip = 0}
        !skip {print}
        $0 == "<!-- " name " -->" {skip = 1; print ENVIRON["TEXT"]}' "$1" >"$1.new"
    mv "$1.new" "$1"
}
