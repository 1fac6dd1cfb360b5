#!/usr/bin/env python3
"""check_page.py PAGE RESULT.json [NAME=FILE ...]: the page must hold the document of `locate --json` for the same
captures, draw as lost exactly what the document counts, and say of each packet what the capture files say."""
import json
import struct
import sys

import ladder


def fail(message):
    sys.exit(f"wrong page: {message}")


def same_document(page, result):
    own = page["report"]
    if own != result:
        for key in result:
            if own.get(key) != result[key]:
                fail(f"its document differs in {key}: {own.get(key)} instead of {result[key]}")
        fail("its document has members of its own")


def check_lost(page, result):
    """Each finding's lost packets are drawn, no others, and with them all lost bytes."""
    drawn = {}
    lost_bytes = {}
    for scene in page["ladder"]["scenes"]:
        for p in ladder.packets(scene, page["ladder"]["offsets"]):
            if not p["marks"] & (ladder.LOST | ladder.LOST_BEYOND | ladder.SHOWS_BEFORE):
                continue
            last = p["seen"][0 if p["marks"] & ladder.SHOWS_BEFORE else -1]
            key = (scene["flow"], last["vantage"], last["ts_ns"], last["seq"], last["payload"])
            drawn.setdefault(p["finding"], set()).add(key)
            lost_bytes[p["finding"]] = lost_bytes.get(p["finding"], 0) + (p["length"] if last["payload"] else 0)
            finding = result["findings"][p["finding"]]
            names = [v["name"] for v in result["vantages"]]
            upstream = finding["to"] if p["reverse"] else finding["from"]
            if p["marks"] & ladder.LOST and names[last["vantage"]] != upstream:
                fail(f"a packet lost behind {names[last['vantage']]} is said to be finding {p['finding']}: {finding}")
            if (finding["direction"] == "reverse") != p["reverse"]:
                fail("a lost packet goes the other way than its finding")
    shown = {scene["flow"] for scene in page["ladder"]["scenes"]}
    for n, finding in enumerate(result["findings"]):
        if finding["code"] != "loss":
            continue
        if not set(finding["flows"]) <= shown:
            continue  # more flows than a page shows
        count = len(drawn.get(n, ()))
        if count != finding["lost_packets"]:
            fail(f"finding {n} lost {finding['lost_packets']} packets, {count} are drawn")
        inside = finding["from"] != "before" and finding["to"] != "beyond"
        if inside and lost_bytes.get(n, 0) != finding["lost_bytes"]:
            fail(f"finding {n} lost {finding['lost_bytes']} bytes, {lost_bytes.get(n, 0)} are drawn")
    if set(drawn) - set(range(len(result["findings"]))):
        fail("packets are drawn as lost that no finding counts")
    return sum(len(keys) for keys in drawn.values())


def tcp_packets(path):
    """Time stamp -> [(seq, ack, window)] of a classic pcap file of Ethernet and IPv4 without options."""
    data = open(path, "rb").read()
    nano = struct.unpack_from("<I", data)[0] == 0xa1b23c4d
    at, found = 24, {}
    while at < len(data):
        sec, part, captured, _ = struct.unpack_from("<IIII", data, at)
        frame = data[at + 16:at + 16 + captured]
        at += 16 + captured
        if len(frame) < 50 or frame[12:14] != b"\x08\x00" or frame[14] != 0x45 or frame[23] != 6:
            continue
        seq, ack, _, window = struct.unpack_from(">IIHH", frame, 38)
        found.setdefault(sec * 10**9 + part * (1 if nano else 1000), []).append((seq, ack, window))
    return found


def check_fields(page, files):
    checked = 0
    names = [v["name"] for v in page["report"]["vantages"]]
    captures = {names.index(name): tcp_packets(path) for name, path in (f.split("=", 1) for f in files)}
    for scene in page["ladder"]["scenes"]:
        for p in ladder.packets(scene, page["ladder"]["offsets"]):
            for s in p["seen"]:
                if s["vantage"] not in captures:
                    continue
                if not s["known"] & 1:
                    fail(f"what the capture says of a packet is not known: {s}")
                if (s["seq"], s["ack"], s["window"]) not in captures[s["vantage"]].get(s["ts_ns"], []):
                    fail(f"no such packet is in the capture of {names[s['vantage']]}: {s}")
                checked += 1
    if files and not checked:
        fail("no packet could be compared")
    return checked


def main():
    text = open(sys.argv[1], encoding="utf-8").read()
    result = json.load(open(sys.argv[2], encoding="utf-8"))
    page = ladder.Page(text).value()
    same_document(page, result)
    lost = check_lost(page, result)
    checked = check_fields(page, sys.argv[3:])
    print(f"the page is right: {lost} lost packets drawn, {checked} sightings compared, {len(text)} bytes")


main()
