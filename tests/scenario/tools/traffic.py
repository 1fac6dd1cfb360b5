#!/usr/bin/env python3
"""A small TCP sender and receiver for labs.

serve --port P                 accepts any number of connections on IPv4 and IPv6
run --host H[,H...] [--port P] [--mode up|down|echo] [--flows N] [--bytes N] [--rate BYTES/s] [--time SECONDS] [--start-gap S] [--sport FIRST]

There are N flows to each host. The client's first line tells the server what to do: "up N", "down N RATE" or "echo N". A flow that is not done when
--time is over is left as it is. Prints one JSON line: flows done, flows failed, bytes that arrived."""
import argparse
import json
import os
import socket
import sys
import threading
import time

CHUNK = 32768


def pour(sock, total, rate, until, stop=None):
    """Sends `total` bytes, never more than `rate` a second; what it sends is different at every offset and in every
    connection, as what people send is."""
    sent, start, salt = 0, time.monotonic(), os.urandom(2).hex().encode()
    step = CHUNK if not rate else max(1, min(CHUNK, rate // 50))
    while sent < total and time.monotonic() < until:
        n = min(step, total - sent)
        word = b"%s%011d\n" % (salt, sent)
        sock.sendall((word * (n // 16 + 1))[:n])
        sent += n
        if rate:
            ahead = sent / rate - (time.monotonic() - start)
            if ahead > 0:
                time.sleep(ahead)
    return sent


def drain(sock, total):
    got = 0
    while got < total:
        data = sock.recv(min(1 << 18, total - got))
        if not data:
            break
        got += len(data)
    return got


def read_line(sock):
    line = b""
    while not line.endswith(b"\n"):
        c = sock.recv(1)
        if not c:
            return b""
        line += c
    return line


def serve_one(sock):
    try:
        words = read_line(sock).split()
        if not words:
            return
        total = int(words[1])
        if words[0] == b"up":
            drain(sock, total)
            sock.sendall(b"done\n")
        elif words[0] == b"down":
            pour(sock, total, int(words[2]), time.monotonic() + 3600)
        elif words[0] == b"echo":
            left = total
            while left:
                data = sock.recv(min(65536, left))
                if not data:
                    return
                sock.sendall(data)
                left -= len(data)
        sock.recv(1)
    except OSError:
        pass
    finally:
        sock.close()


def serve(args):
    listener = socket.create_server(("::", args.port), family=socket.AF_INET6, backlog=512, dualstack_ipv6=True)
    print("ready", flush=True)
    while True:
        sock, _ = listener.accept()
        threading.Thread(target=serve_one, args=(sock,), daemon=True).start()


def run_one(args, host, results, number):
    got = 0
    try:
        time.sleep(number * args.start_gap)
        until = time.monotonic() + args.time
        source = ("", args.sport + number) if args.sport else None
        with socket.create_connection((host, args.port), timeout=args.time, source_address=source) as sock:
            sock.settimeout(max(0.1, until - time.monotonic()))
            sock.sendall(b"%s %d %d\n" % (args.mode.encode(), args.bytes, args.rate))
            if args.mode == "up":
                pour(sock, args.bytes, args.rate, until)
                got = args.bytes if read_line(sock) == b"done\n" else 0
            elif args.mode == "down":
                got = drain(sock, args.bytes)
            else:
                size, left = args.message, args.bytes
                while left and time.monotonic() < until:
                    n = min(size, left)
                    sock.sendall(os.urandom(n))
                    got += drain(sock, n)
                    left -= n
                    if args.rate:
                        time.sleep(n / args.rate)
    except OSError as error:
        results[number] = {"bytes": got, "error": str(error)}
        return
    results[number] = {"bytes": got, "error": None if got == args.bytes else "short"}


def run(args):
    hosts = args.host.split(",") * args.flows
    results = [{"bytes": 0, "error": "unfinished"} for _ in hosts]
    threads = [threading.Thread(target=run_one, args=(args, host, results, n), daemon=True) for n, host in enumerate(hosts)]
    for thread in threads:
        thread.start()
    until = time.monotonic() + args.time + args.start_gap * len(hosts) + 1
    for thread in threads:
        thread.join(max(0, until - time.monotonic()))
    failed = [r["error"] for r in results if r["error"]]
    print(json.dumps({"done": len(hosts) - len(failed), "failed": len(failed), "errors": sorted(set(failed)),
                      "bytes": sum(r["bytes"] for r in results)}), flush=True)
    sys.stdout.flush()
    # Threads that still wait hold sockets; leaving this way closes them without waiting.
    os._exit(0 if not failed else 1)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("what", choices=["serve", "run"])
    parser.add_argument("--host", default="203.0.113.25")
    parser.add_argument("--port", type=int, default=5001)
    parser.add_argument("--mode", choices=["up", "down", "echo"], default="up")
    parser.add_argument("--flows", type=int, default=1)
    parser.add_argument("--bytes", type=int, default=1000000)
    parser.add_argument("--message", type=int, default=200)
    parser.add_argument("--rate", type=int, default=0)
    parser.add_argument("--time", type=float, default=5)
    parser.add_argument("--sport", type=int, default=0)
    parser.add_argument("--start-gap", type=float, default=0)
    args = parser.parse_args()
    serve(args) if args.what == "serve" else run(args)


main()
