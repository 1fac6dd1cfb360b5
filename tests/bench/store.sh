# From batches to rows, end to end. Sourced by tests/bench/run.

bench_store() {
    echo "Not measured yet."
}
