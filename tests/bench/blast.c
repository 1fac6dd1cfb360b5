/* Sends bulk TCP out of an interface at a set rate: 200 flows, two data packets to one acknowledgement,
 * timestamps that move. The frames go to a MAC address that nobody has, so that no stack answers them.
 *
 * Usage: blast INTERFACE PACKETS_PER_SECOND SECONDS [FRAME_BYTES]
 * Says on standard output how many packets were sent and in how many seconds. */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define FLOWS 200
#define BURST 32
#define LEAST 66
#define MOST 1514

struct flow {
    uint32_t seq, ack;
    uint16_t ip_id;
    unsigned turn;
};

static struct flow flows[FLOWS];
static uint8_t frames[BURST][MOST];
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

/* Fills one frame with the flow's next packet; returns its length. */
static size_t next_packet(uint8_t *frame, uint32_t number, uint32_t milliseconds)
{
    struct flow *flow = &flows[number];
    int reverse = flow->turn++ % 3 == 2;
    size_t length = reverse ? LEAST : frame_bytes;
    uint32_t payload = (uint32_t)(length - LEAST), sum = 0;
    uint8_t *ip = frame + 14, *tcp = ip + 20;
    memcpy(frame, (const uint8_t[]){2, 0, 0, 0, 0, 99, 2, 0, 0, 0, 0, 1, 8, 0, 0x45, 0}, 16);
    put16(ip + 2, (uint32_t)length - 14);
    put16(ip + 4, flow->ip_id++);
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
    if (payload >= 8) {
        put32(tcp + 32, flow->seq * 2654435761u);
        put32(tcp + 36, flow->seq ^ number << 16);
    }
    if (!reverse)
        flow->seq += payload;
    return length;
}

static int open_socket(const char *interface)
{
    int fd = socket(AF_PACKET, SOCK_RAW, 0), on = 1;
    struct sockaddr_ll address = {.sll_family = AF_PACKET, .sll_ifindex = (int)if_nametoindex(interface)};
    if (!address.sll_ifindex || fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof address) ||
        setsockopt(fd, SOL_PACKET, PACKET_QDISC_BYPASS, &on, sizeof on)) {
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
    if (argc < 4 || rate < 1 || seconds <= 0 || frame_bytes < LEAST || frame_bytes > MOST) {
        fprintf(stderr, "Usage: %s INTERFACE PACKETS_PER_SECOND SECONDS [FRAME_BYTES]\n", argv[0]);
        return 2;
    }
    int fd = open_socket(argv[1]);
    struct mmsghdr messages[BURST] = {0};
    struct iovec pieces[BURST];
    for (unsigned i = 0; i < BURST; i++) {
        pieces[i].iov_base = frames[i];
        messages[i].msg_hdr.msg_iov = &pieces[i];
        messages[i].msg_hdr.msg_iovlen = 1;
    }
    uint64_t start = now_ns(), wanted = (uint64_t)(rate * seconds), sent = 0;
    uint32_t flow = 0;
    while (sent < wanted) {
        uint64_t now = now_ns(), due = (uint64_t)((double)(now - start) * rate / 1e9);
        if (sent >= due) {
            (void)usleep(50);
            continue;
        }
        unsigned count = wanted - sent < BURST ? (unsigned)(wanted - sent) : BURST;
        for (unsigned i = 0; i < count; i++) {
            /* Flows send in short trains, as windows make them. */
            if ((sent + i) % 6 == 0)
                flow = (flow + 1) % FLOWS;
            pieces[i].iov_len = next_packet(frames[i], flow, (uint32_t)(now / 1000000));
        }
        send_burst(fd, messages, count);
        sent += count;
    }
    printf("%llu %.3f\n", (unsigned long long)sent, (double)(now_ns() - start) / 1e9);
    return 0;
}
