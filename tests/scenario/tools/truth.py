#!/usr/bin/env python3
"""What really was dropped: truth.py PLACE=FILE=COUNT ... , FILE a capture of an nflog group (link type 239), COUNT what
nft's counter says (empty: unknown). Prints JSON per place: packets, payload bytes, SYNs, flows, IP lengths."""
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
        pos = 4
        while pos + 4 <= len(record):
            length, kind = struct.unpack("<HH", record[pos:pos + 4])
            if length < 4:
                break
            if kind & 0x7FFF == 9:  # NFULA_PAYLOAD
                yield sec + frac / scale, record[pos + 4:pos + length]
            pos += (length + 3) & ~3


def parse(ip):
    if ip[0] >> 4 == 4:
        header, total = (ip[0] & 15) * 4, struct.unpack(">H", ip[2:4])[0]
        src, dst = ipaddress.ip_address(ip[12:16]), ipaddress.ip_address(ip[16:20])
    else:
        header, total = 40, 40 + struct.unpack(">H", ip[4:6])[0]
        src, dst = ipaddress.ip_address(ip[8:24]), ipaddress.ip_address(ip[24:40])
    tcp = ip[header:]
    sport, dport, seq = struct.unpack(">HHI", tcp[:8])
    return {"ip_length": total, "flow": f"{src}.{sport}>{dst}.{dport}", "seq": seq, "flags": tcp[13],
            "payload": total - header - (tcp[12] >> 4) * 4}


def main():
    result = {}
    for argument in sys.argv[1:]:
        place, path, count = argument.split("=")
        seen = [dict(parse(ip), time=when) for when, ip in packets(path)]
        if not seen and count in ("", "0"):
            continue
        flows = {}
        for p in seen:
            f = flows.setdefault(p["flow"], {"packets": 0, "bytes": 0})
            f["packets"] += 1
            f["bytes"] += p["payload"]
        result[place] = {
            "packets": len(seen), "bytes": sum(p["payload"] for p in seen),
            "counter_packets": int(count) if count else None,
            "syn": sum(1 for p in seen if p["flags"] & 2), "no_payload": sum(1 for p in seen if not p["payload"]),
            "ip_length_min": min((p["ip_length"] for p in seen), default=None),
            "ip_length_max": max((p["ip_length"] for p in seen), default=None),
            "first": min((p["time"] for p in seen), default=None), "last": max((p["time"] for p in seen), default=None),
            "flows": flows,
        }
    json.dump(result, sys.stdout, indent=1)
    print()


main()
