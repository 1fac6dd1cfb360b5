#!/usr/bin/env python3
"""What really was dropped: truth.py [--hosts ADDRESS,...] PLACE=FILE=COUNT ... , FILE a capture of an nflog group (link type
239), COUNT what nft's counter says (empty: unknown). Prints JSON per place: packets, payload bytes, SYNs, flows, IP
lengths; with --hosts that for each address, of the TCP packets from or to it. A log prefix that is a number says how many bytes an
encapsulation put before the packet."""
import ipaddress
import json
import struct
import sys


def packets(path):
    """The logged packets of a pcap file: (time in seconds, bytes from the IP header on)."""
    with open(path, "rb") as file:
        data = file.read()
    if len(data) < 24:
        return
    magic = struct.unpack("<I", data[:4])[0]
    scale = 1e9 if magic == 0xA1B23C4D else 1e6
    if struct.unpack("<I", data[20:24])[0] & 0xFFFF != 239:
        raise SystemExit(f"truth: {path} is no nflog capture")
    at = 24
    while at + 16 <= len(data):
        sec, frac, caplen, _ = struct.unpack("<IIII", data[at:at + 16])
        record = data[at + 16:at + 16 + caplen]
        at += 16 + caplen
        pos, skip = 4, 0
        while pos + 4 <= len(record):
            length, kind = struct.unpack("<HH", record[pos:pos + 4])
            if length < 4:
                break
            if kind & 0x7FFF == 10:  # NFULA_PREFIX
                prefix = record[pos + 4:pos + length].rstrip(b"\0")
                skip = int(prefix) if prefix.isdigit() else 0
            if kind & 0x7FFF == 9:  # NFULA_PAYLOAD
                yield sec + frac / scale, record[pos + 4 + skip:pos + length]
            pos += (length + 3) & ~3


def parse(ip):
    """None where the packet is not TCP."""
    if (ip[9] if ip[0] >> 4 == 4 else ip[6]) != 6:
        return None
    if ip[0] >> 4 == 4:
        header, total = (ip[0] & 15) * 4, struct.unpack(">H", ip[2:4])[0]
        src, dst = ipaddress.ip_address(ip[12:16]), ipaddress.ip_address(ip[16:20])
    else:
        header, total = 40, 40 + struct.unpack(">H", ip[4:6])[0]
        src, dst = ipaddress.ip_address(ip[8:24]), ipaddress.ip_address(ip[24:40])
    tcp = ip[header:]
    sport, dport, seq = struct.unpack(">HHI", tcp[:8])
    return {"ip_length": total, "ends": (str(src), str(dst)), "flow": f"{src}.{sport}>{dst}.{dport}", "seq": seq, "flags": tcp[13],
            "payload": total - header - (tcp[12] >> 4) * 4}


def summary(seen, count):
    flows = {}
    for p in seen:
        f = flows.setdefault(p["flow"], {"packets": 0, "bytes": 0})
        f["packets"] += 1
        f["bytes"] += p["payload"]
    return {
        "packets": len(seen), "bytes": sum(p["payload"] for p in seen),
        "counter_packets": int(count) if count else None,
        "syn": sum(1 for p in seen if p["flags"] & 2), "no_payload": sum(1 for p in seen if not p["payload"]),
        "ip_length_min": min((p["ip_length"] for p in seen), default=None),
        "ip_length_max": max((p["ip_length"] for p in seen), default=None),
        "first": min((p["time"] for p in seen), default=None), "last": max((p["time"] for p in seen), default=None),
        "flows": flows,
    }


def main():
    arguments, hosts, result = sys.argv[1:], None, {}
    if arguments[0] == "--hosts":
        hosts, arguments = arguments[1].split(","), arguments[2:]
        result = {host: {} for host in hosts}
    for argument in arguments:
        place, path, count = argument.split("=")
        logged = [(when, parse(ip)) for when, ip in packets(path)]
        if not hosts and any(p is None for _, p in logged):
            raise SystemExit(f"truth: {path} holds packets that are not TCP")
        seen = [dict(p, time=when) for when, p in logged if p]
        if not seen and count in ("", "0"):
            continue
        if not hosts:
            result[place] = summary(seen, count)
        for host in hosts or []:
            mine = [p for p in seen if host in p["ends"]]
            if mine:
                result[host][place] = summary(mine, "")
    json.dump(result, sys.stdout, indent=1)
    print()


main()
