#!/usr/bin/env python3
"""split_merged.py MERGED.pcapng DIRECTORY: one pcapng file per interface of a merged file, named after the interface
("/" becomes "_"). Prints NAME=FILE lines, in the file's order, as `droppoint locate` takes them."""
import struct
import sys


def blocks(data):
    at = 0
    while at + 12 <= len(data):
        kind, length = struct.unpack("<II", data[at:at + 8])
        if length < 12 or at + length > len(data):
            raise SystemExit("split: not a well-formed pcapng file")
        yield kind, data[at:at + length]
        at += length


def option(body, wanted):
    at = 0
    while at + 4 <= len(body):
        code, length = struct.unpack("<HH", body[at:at + 4])
        if code == 0:
            return b""
        if code == wanted:
            return body[at + 4:at + 4 + length]
        at += 4 + (length + 3 & ~3)
    return b""


def main():
    with open(sys.argv[1], "rb") as file:
        data = file.read()
    header, files = b"", []
    for kind, block in blocks(data):
        if kind == 0x0A0D0D0A:
            header = block
        elif kind == 1:
            name = option(block[16:-4], 2).decode()
            path = f"{sys.argv[2]}/{name.replace('/', '_')}.pcapng"
            files.append(open(path, "wb"))
            files[-1].write(header + block)
            print(f"{name}={path}")
        elif kind == 6:
            number = struct.unpack("<I", block[8:12])[0]
            files[number].write(block[:8] + struct.pack("<I", 0) + block[12:])
        elif kind == 5:
            number = struct.unpack("<I", block[8:12])[0]
            files[number].write(block[:8] + struct.pack("<I", 0) + block[12:])
    for file in files:
        file.close()


main()
