#!/bin/bash
# The demo as a test: it checks its own verdicts.
set -u
root=$(dirname "$(readlink -f "$0")")/../..
log=$(mktemp)
trap 'rm -f "$log"' EXIT
"$root/deploy/demo" >"$log" 2>&1
code=$?
cat "$log"
result=$(sed -n 's/.*of both captures are in //p' "$log")
[ -z "$result" ] || rm -rf "$result"
[ $code = 0 ] || exit $code
grep -Eq '^[0-9]+ s left \| lost [0-9,]+ packets?, ' "$log" || { echo "no loss was told while the capture ran"; exit 1; }
