#!/usr/bin/env python3
"""One end of tunnels that the kernel here does not have: tunnel_relay.py SIDE DEVICE PEER_MAC KIND ...

SIDE 1 or 2. The N-th KIND (from 0) is a TUN device tN; what is routed into it leaves DEVICE encapsulated for PEER_MAC, and
what comes to DEVICE encapsulated the same way comes out of it. Outer addresses, labels and session numbers are
made from N, so that both ends and the lab's rules know them: outer() and the table KINDS.
`tunnel_relay.py --headers` prints for each KIND how many bytes, from the outer network header on, it puts before a packet."""
import errno
import fcntl
import ipaddress
import os
import selectors
import socket
import struct
import sys

TUNSETIFF = 0x400454CA
IFF_TUN, IFF_NO_PI = 0x0001, 0x1000
INNER_MACS = b"\x02\x00\x00\x00\x0a\x02\x02\x00\x00\x00\x0a\x01"


def family(packet):
    return packet[0] >> 4


def ethertype(packet):
    return 0x0800 if family(packet) == 4 else 0x86DD


def checksum(header):
    total = sum(struct.unpack(f">{len(header) // 2}H", header))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def outer(version, side, number):
    """The outer source address of a side."""
    if version == 4:
        return ipaddress.ip_address(f"198.51.100.{(160 if side == 1 else 192) + number}").packed
    return ipaddress.ip_address(f"2001:db8:2::{side}:{number + 1:x}").packed


def ipv4(side, number, proto, payload):
    head = struct.pack(">BBHHHBBH", 0x45, 0, 20 + len(payload), 0, 0x4000, 64, proto, 0)
    head += outer(4, side, number) + outer(4, 3 - side, number)
    return head[:10] + struct.pack(">H", checksum(head)) + head[12:] + payload


def ipv6(side, number, proto, payload):
    return struct.pack(">IHBB", 0x60000000, len(payload), proto, 64) + outer(6, side, number) + outer(6, 3 - side, number) + payload


def frame(packet):
    return INNER_MACS + struct.pack(">H", ethertype(packet)) + packet


def udp(port, payload):
    return struct.pack(">HHHH", 51000, port, 8 + len(payload), 0) + payload


def by_version(packet, four, six):
    return four if family(packet) == 4 else six


# KIND: how a packet is encapsulated by a side: (EtherType of the frame, what follows it).
KINDS = {
    "gre": lambda s, n, p: (0x0800, ipv4(s, n, 47, struct.pack(">HH", 0, ethertype(p)) + p)),
    "gre_all": lambda s, n, p: (0x86DD, ipv6(s, n, 47, struct.pack(">HHHHII", 0xB000, ethertype(p), 0xABCD, 0, n, 7) + p)),
    "gretap": lambda s, n, p: (0x0800, ipv4(s, n, 47, struct.pack(">HHI", 0x2000, 0x6558, n) + frame(p))),
    "ip_in_4": lambda s, n, p: (0x0800, ipv4(s, n, by_version(p, 4, 41), p)),
    "ip_in_6": lambda s, n, p: (0x86DD, ipv6(s, n, by_version(p, 4, 41), p)),
    "geneve": lambda s, n, p: (0x0800, ipv4(s, n, 17, udp(6081, struct.pack(">BBHI", 1, 0, 0x6558, n << 8) + b"\0\1\1\0" + frame(p)))),
    "mpls": lambda s, n, p: (0x8847, struct.pack(">II", (1000 * s + n) << 12 | 64, 77 << 12 | 0x100 | 64) + p),
    "mpls_word": lambda s, n, p: (0x8847, struct.pack(">II", (1000 * s + n) << 12 | 0x100 | 64, 0) + frame(p)),
    "mpls_eth": lambda s, n, p: (0x8847, struct.pack(">I", (1000 * s + n) << 12 | 0x100 | 64) + frame(p)),
    "pppoe": lambda s, n, p: (0x8864, struct.pack(">HHHH", 0x1100, 0x100 * s + n, len(p) + 2, by_version(p, 0x21, 0x57)) + p),
    "pppoe_pfc": lambda s, n, p: (0x8864, struct.pack(">HHHB", 0x1100, 0x100 * s + n, len(p) + 1, by_version(p, 0x21, 0x57)) + p),
    "qinq": lambda s, n, p: (0x88A8, struct.pack(">HHHH", 0x100 * s + n, 0x8100, 5, ethertype(p)) + p),
}


def opener(device):
    fd = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(fd, TUNSETIFF, struct.pack("16sH22x", device.encode(), IFF_TUN | IFF_NO_PI))
    return fd


class Tunnel:
    def __init__(self, kind, number, side, macs):
        self.wrap = KINDS[kind]
        self.side, self.number, self.macs = side, number, macs
        self.fd = opener(f"t{number}")
        # What the peer puts before a packet is the same for all packets of a version, but for lengths and checksums:
        # those bytes differ between packets of different lengths.
        self.expected = []
        for first in (0x45, 0x60):
            samples = [self.wrap(3 - side, number, bytes([first]) + bytes(size - 1)) for size in range(50, 1500, 97)]
            head = len(samples[0][1]) - 50
            bodies = [body[:head] for _, body in samples]
            same = [i for i in range(head) if len({body[i] for body in bodies}) == 1]
            self.expected.append((samples[0][0], head, bodies[0], same))

    def encapsulate(self, packet):
        kind, body = self.wrap(self.side, self.number, packet)
        return self.macs + struct.pack(">H", kind) + body

    def unwrap(self, kind, body):
        """The packet inside, if it is one of this tunnel's."""
        for wanted, head, sample, same in self.expected:
            if kind == wanted and len(body) > head and all(body[i] == sample[i] for i in same):
                return body[head:]
        return None


def restore_tag(data, ancillary):
    """The kernel takes the outermost VLAN tag off; tpacket_auxdata says what it was."""
    for level, kind, value in ancillary:
        if level == 263 and kind == 8:
            status, _, _, _, _, tci, tpid = struct.unpack("IIIHHHH", value[:20])
            if status & 0x10:
                return data[:12] + struct.pack(">HH", tpid or 0x8100, tci) + data[12:]
    return data


def receive(underlay, own_mac, tunnels):
    while True:
        try:
            data, ancillary, _, address = underlay.recvmsg(66000, 256)
        except BlockingIOError:
            return
        if address[2] == 4 or data[:6] != own_mac:  # PACKET_OUTGOING
            continue
        data = restore_tag(data, ancillary)
        kind = struct.unpack(">H", data[12:14])[0]
        for tunnel in tunnels:
            packet = tunnel.unwrap(kind, data[14:])
            if packet is not None:
                hand_over(tunnel, cut_padding(packet))
                break


def hand_over(tunnel, packet):
    try:
        os.write(tunnel.fd, packet)
    except OSError as error:
        # The device is not up yet: what the other side's kernel says of itself (MLD) when its devices come up is early.
        if error.errno != errno.EIO:
            raise


def cut_padding(packet):
    length = struct.unpack(">H", packet[2:4])[0] if family(packet) == 4 else 40 + struct.unpack(">H", packet[4:6])[0]
    return packet[:length]


def send(underlay, tunnel):
    while True:
        try:
            packet = os.read(tunnel.fd, 66000)
        except BlockingIOError:
            return
        underlay.send(tunnel.encapsulate(packet))


def main():
    if sys.argv[1] == "--headers":
        for kind, wrap in KINDS.items():
            print(kind, len(wrap(1, 0, b"\x45" + bytes(99))[1]) - 100)
        return
    side, device, peer = int(sys.argv[1]), sys.argv[2], bytes.fromhex(sys.argv[3].replace(":", ""))
    underlay = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
    underlay.setsockopt(socket.SOL_SOCKET, 33, 32 << 20)  # SO_RCVBUFFORCE
    underlay.setsockopt(263, 8, 1)  # PACKET_AUXDATA
    underlay.bind((device, 3))
    own = underlay.getsockname()[4]
    underlay.setblocking(False)
    tunnels = [Tunnel(kind, number, side, peer + own) for number, kind in enumerate(sys.argv[4:])]
    selector = selectors.DefaultSelector()
    selector.register(underlay, selectors.EVENT_READ, None)
    for tunnel in tunnels:
        selector.register(tunnel.fd, selectors.EVENT_READ, tunnel)
    print("ready", flush=True)
    while True:
        for key, _ in selector.select():
            if key.data is None:
                receive(underlay, own, tunnels)
            else:
                send(underlay, key.data)


main()
