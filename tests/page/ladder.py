"""Reads a report page without a browser: its document, and the packets of its ladder. Knows the packing from
collector/report/html_ladder.c, and shares no code with the page's own script."""
import base64
import html.parser
import json
import zlib

FATES = ["arrived", "lost", "missed", "unknown", "outside"]
LOST, LOST_BEYOND, SHOWS_BEYOND, SHOWS_BEFORE = 1, 2, 4, 8
FIELDS = ["seq", "ack", "payload", "ip_length", "flags", "window", "ip_id", "ttl", "known", "tsval", "tsecr"]


class Page(html.parser.HTMLParser):
    """What the page is made of: tags in order, attributes, and the text of its data."""

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.tags = []
        self.data = None
        self._in_data = False
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        self._in_data = tag == "script" and ("id", "data") in attributes
        if self._in_data:
            self.data = ""

    def handle_endtag(self, tag):
        self._in_data = False

    def handle_data(self, text):
        if self._in_data:
            self.data += text

    def value(self):
        return json.loads(self.data)


class _Numbers:
    def __init__(self, data):
        self.data = data
        self.at = 0

    def number(self):
        value = shift = 0
        while True:
            byte = self.data[self.at]
            self.at += 1
            value |= (byte & 127) << shift
            if byte < 128:
                return value
            shift += 7

    def difference(self):
        value = self.number()
        return value >> 1 if value % 2 == 0 else -((value + 1) >> 1)


def packets(scene, offsets):
    """The packets of a flow, as dictionaries; each with its sightings, along its way."""
    read = _Numbers(zlib.decompress(base64.b64decode(scene["data"])))
    count, base = scene["packets"], int(scene["base"])
    heads = [read.number() for _ in range(count)]
    found = [{"half": h & 1, "reverse": bool(h >> 1 & 1), "has_bytes": bool(h >> 2 & 1), "duplicate": bool(h >> 3 & 1),
              "fate": FATES[h >> 4 & 7], "marks": h >> 7} for h in heads]
    for p in found:
        p["finding"] = read.number() - 1
    for p in found:
        p["copy"] = read.number() + 1
    steps = [read.difference() for _ in range(count)]
    for p in found:
        p["length"] = read.number()
    following = [0, 0]
    for p, step in zip(found, steps):
        p["offset"] = following[p["half"]] + step
        following[p["half"]] = p["offset"] + p["length"]
    for p in found:
        p["seen"] = [{} for _ in range(read.number())]
    for p in found:
        for s in p["seen"]:
            s["vantage"] = read.number()
    previous = base
    for p in found:
        before = previous
        for s in p["seen"]:
            s["t_ns"] = before = before + read.difference()
        previous = p["seen"][0]["t_ns"]
    shifts = {}
    for p in found:
        for s in p["seen"]:
            v = s["vantage"]
            shifts[v] = shifts.get(v, 0) + read.difference()
            s["ts_ns"] = s["t_ns"] + int(offsets[v]) + shifts[v]
    for field in FIELDS:
        first = [0, 0]
        for p in found:
            expected = first[p["half"]]
            for s in p["seen"]:
                s[field] = expected = (expected + read.difference()) & 0xffffffff
            first[p["half"]] = p["seen"][0][field]
    sacks = [read.number() for _ in range(count)]
    for p, blocks in zip(found, sacks):
        ack = p["seen"][0]["ack"]
        p["sacks"] = []
        for _ in range(blocks):
            left = (ack + read.difference()) & 0xffffffff
            p["sacks"].append((left, (left + read.difference()) & 0xffffffff))
    assert read.at == len(read.data), "the packed columns are longer than they should be"
    return found
