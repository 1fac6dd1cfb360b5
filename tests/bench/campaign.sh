#!/bin/sh
# Runs the campaign of random cases against the locating engine; builds it first. Arguments: docs/campaign.md.
set -eu
root=$(cd "$(dirname "$0")/../.." && pwd)
build=${DROPPOINT_BUILD:-$root/build/release}
[ -f "$build/CMakeCache.txt" ] || cmake -S "$root" --preset release -B "$build" >/dev/null
cmake --build "$build" --target bench_campaign >/dev/null
exec "$build/bin/bench_campaign" "$@"
