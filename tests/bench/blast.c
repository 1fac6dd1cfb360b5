/* Sends bulk TCP out of an interface at a set rate: 200 flows, eight data packets to one acknowledgement,
 * timestamps that move. A train of data packets goes to the kernel as one packet with a segment size, as a
 * network card's segmentation offload would take it; the kernel cuts it up, because the offload is turned off
 * for the interface, so that what comes out of the other end are single packets. That costs much less than to
 * send each by itself. The frames go to a MAC address that nobody has, so that no stack answers them.
 *
 * Usage: blast INTERFACE PACKETS_PER_SECOND SECONDS [FRAME_BYTES]
 * Says on standard output how many packets were sent and in how many seconds. */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/ethtool.h>
#include <linux/if_packet.h>
#include <linux/sockios.h>
#include <linux/virtio_net.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define FLOWS 200
#define TRAIN 32   /* data packets that go to the kernel at once */
#define ACK_EACH 8 /* data packets to one acknowledgement */
#define ACKS (TRAIN / ACK_EACH)
#define TURN (TRAIN + ACKS) /* packets of a flow's turn */
#define HEADERS 66
#define MOST 1514
#define SEND_BUFFER (16 * 1024 * 1024)

struct flow {
    uint32_t seq, ack;
    uint16_t ip_id[2];
};

struct frame {
    struct virtio_net_hdr kernel; /* what the kernel is told about it */
    uint8_t bytes[HEADERS + TRAIN * (MOST - HEADERS)];
};

static struct flow flows[FLOWS];
static struct frame frames[1 + ACKS];
static size_t frame_bytes = 200;

static uint64_t now_ns(void)
{
    struct timespec time;
    (void)clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * 1000000000 + (uint64_t)time.tv_nsec;
}

static void put16(uint8_t *at, uint32_t value)
{
    at[0] = (uint8_t)(value >> 8);
    at[1] = (uint8_t)value;
}

static void put32(uint8_t *at, uint32_t value)
{
    put16(at, value >> 16);
    put16(at + 2, value);
}

/* Headers of a packet of the flow with so much payload; returns the frame's length. */
static size_t put_headers(uint8_t *frame, uint32_t number, int reverse, size_t payload, uint32_t milliseconds)
{
    struct flow *flow = &flows[number];
    uint32_t sum = 0;
    uint8_t *ip = frame + 14, *tcp = ip + 20;
    memcpy(frame, (const uint8_t[]){2, 0, 0, 0, 0, 99, 2, 0, 0, 0, 0, 1, 8, 0, 0x45, 0}, 16);
    put16(ip + 2, (uint32_t)(HEADERS - 14 + payload));
    put16(ip + 4, flow->ip_id[reverse]);
    put16(ip + 6, 0x4000);
    ip[8] = 64;
    ip[9] = 6;
    put16(ip + 10, 0);
    put32(ip + 12, reverse ? 0xc6336419 : 0xc0000201);
    put32(ip + 16, reverse ? 0xc0000201 : 0xc6336419);
    for (int i = 0; i < 20; i += 2)
        sum += (uint32_t)ip[i] << 8 | ip[i + 1];
    sum = (sum & 0xffff) + (sum >> 16);
    put16(ip + 10, ~((sum & 0xffff) + (sum >> 16)));
    put16(tcp, reverse ? 443 : 20000 + number);
    put16(tcp + 2, reverse ? 20000 + number : 443);
    put32(tcp + 4, reverse ? flow->ack : flow->seq);
    put32(tcp + 8, reverse ? flow->seq : flow->ack);
    memcpy(tcp + 12, (const uint8_t[]){0x80, 0x10, 1, 0xf6, 0, 0, 0, 0, 1, 1, 8, 10}, 12);
    put32(tcp + 24, milliseconds);
    put32(tcp + 28, milliseconds - 10);
    return HEADERS + payload;
}

/* A train of data packets as one frame, that the kernel is to cut up. */
static size_t put_train(struct frame *frame, uint32_t number, uint32_t milliseconds)
{
    struct flow *flow = &flows[number];
    size_t each = frame_bytes - HEADERS, length;
    frame->kernel = (struct virtio_net_hdr){.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
                                            .gso_type = VIRTIO_NET_HDR_GSO_TCPV4,
                                            .hdr_len = HEADERS,
                                            .gso_size = (uint16_t)each,
                                            .csum_start = 34,
                                            .csum_offset = 16};
    length = put_headers(frame->bytes, number, 0, TRAIN * each, milliseconds);
    for (uint32_t i = 0; i < TRAIN && each >= 8; i++) {
        uint8_t *payload = frame->bytes + HEADERS + i * each;
        uint32_t seq = flow->seq + i * (uint32_t)each;
        put32(payload, seq * 2654435761u);
        put32(payload + 4, seq ^ number << 16);
    }
    flow->ip_id[0] = (uint16_t)(flow->ip_id[0] + TRAIN);
    return sizeof frame->kernel + length;
}

/* The acknowledgement of the next ACK_EACH data packets. */
static size_t put_ack(struct frame *frame, uint32_t number, uint32_t milliseconds)
{
    struct flow *flow = &flows[number];
    frame->kernel = (struct virtio_net_hdr){.gso_type = VIRTIO_NET_HDR_GSO_NONE};
    flow->seq += ACK_EACH * (uint32_t)(frame_bytes - HEADERS);
    flow->ip_id[1]++;
    return sizeof frame->kernel + put_headers(frame->bytes, number, 1, 0, milliseconds);
}

static int open_socket(const char *interface)
{
    int fd = socket(AF_PACKET, SOCK_RAW, 0), on = 1, room = SEND_BUFFER;
    struct sockaddr_ll address = {.sll_family = AF_PACKET, .sll_ifindex = (int)if_nametoindex(interface)};
    struct ethtool_value off = {.cmd = ETHTOOL_STSO, .data = 0};
    struct ifreq request = {.ifr_data = (char *)&off};
    (void)snprintf(request.ifr_name, sizeof request.ifr_name, "%s", interface);
    if (!address.sll_ifindex || fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof address) ||
        setsockopt(fd, SOL_PACKET, PACKET_VNET_HDR, &on, sizeof on) ||
        setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &room, sizeof room) || ioctl(fd, SIOCETHTOOL, &request)) {
        perror(interface);
        exit(2);
    }
    return fd;
}

/* Sends all of a burst; a full queue is waited for, not counted as sent. */
static void send_burst(int fd, struct mmsghdr *messages, unsigned count)
{
    for (unsigned done = 0; done < count;) {
        int sent = sendmmsg(fd, messages + done, count - done, 0);
        if (sent > 0) {
            done += (unsigned)sent;
        } else if (errno != ENOBUFS && errno != EAGAIN && errno != EINTR) {
            perror("send");
            exit(2);
        }
    }
}

int main(int argc, char **argv)
{
    double rate = argc > 2 ? strtod(argv[2], NULL) : 0, seconds = argc > 3 ? strtod(argv[3], NULL) : 0;
    if (argc > 4)
        frame_bytes = strtoul(argv[4], NULL, 10);
    if (argc < 4 || rate < 1 || seconds <= 0 || frame_bytes <= HEADERS || frame_bytes > MOST) {
        fprintf(stderr, "Usage: %s INTERFACE PACKETS_PER_SECOND SECONDS [FRAME_BYTES]\n", argv[0]);
        return 2;
    }
    int fd = open_socket(argv[1]);
    struct mmsghdr messages[1 + ACKS] = {0};
    struct iovec pieces[1 + ACKS];
    for (unsigned i = 0; i < 1 + ACKS; i++) {
        pieces[i].iov_base = &frames[i];
        messages[i].msg_hdr.msg_iov = &pieces[i];
        messages[i].msg_hdr.msg_iovlen = 1;
    }
    uint64_t start = now_ns(), wanted = (uint64_t)(rate * seconds), sent = 0;
    for (uint32_t flow = 0; sent < wanted; flow = (flow + 1) % FLOWS) {
        uint64_t now = now_ns();
        while (sent >= (uint64_t)((double)(now - start) * rate / 1e9)) {
            (void)usleep(50);
            now = now_ns();
        }
        pieces[0].iov_len = put_train(&frames[0], flow, (uint32_t)(now / 1000000));
        for (unsigned i = 1; i <= ACKS; i++)
            pieces[i].iov_len = put_ack(&frames[i], flow, (uint32_t)(now / 1000000));
        send_burst(fd, messages, 1 + ACKS);
        sent += TURN;
    }
    printf("%llu %.3f\n", (unsigned long long)sent, (double)(now_ns() - start) / 1e9);
    return 0;
}
