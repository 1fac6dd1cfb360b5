#!/bin/bash
# The parts that reason are free of I/O: no ZeroMQ, libpq, libpcap or libuv header, no socket, no file.
set -eu
root=$(cd "$(dirname "$0")/../.." && pwd)
cd "$root"
bad=$(grep -nE '#include *[<"](zmq|libpq|pq|pcap|uv|sys/socket|netinet|fcntl|unistd|sys/stat)' \
    common/packet/*.[ch] common/digest/*.[ch] collector/locate/*.[ch] || true)
bad+=$(grep -nE '\b(fopen|open|socket|clock_gettime|gettimeofday|time)\(' common/packet/*.c common/digest/*.c collector/locate/*.c || true)
# common depends on neither side, and the sides not on each other's insides.
bad+=$(grep -nE '#include "(agent|collector|cli)/' -r common || true)
bad+=$(grep -nE '#include "collector/' -r agent --include=*.[ch] || true)
bad+=$(grep -nE '#include "agent/' -r collector --include=*.[ch] || true)
if [ -n "$bad" ]; then
    echo "These lines break the layers:"
    echo "$bad"
    exit 1
fi
echo "layers are clean"
