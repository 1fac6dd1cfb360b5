/* Makes capture files of the same bulk TCP traffic at five vantage points, as tcpdump would have written
 * them, with known loss in one segment. A small simulation of its own: 200 senders with a fixed window,
 * receivers that acknowledge every second packet, SACK, fast retransmission. Shares no code with the engine
 * that it measures.
 *
 * Usage: make_captures DIRECTORY [--packets N] [--full] [--loss PER_MILLION] [--flows N] [--seed N]
 * Writes DIRECTORY/{mx1-eth0,lb1-eth0,lb1-eth1,edge1-eth0,edge1-eth1}.pcap, each of about N packets (default
 * 1,000,000), of which 96 bytes each are kept (--full: all). Says on standard output what was lost. */
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define POINTS 5
#define LOSSY 1 /* from point 1 (lb1/eth0) to point 2 (lb1/eth1) */
#define PAYLOAD 1448
#define HEADERS 66 /* Ethernet, IPv4, TCP with timestamps */
#define MOST_HEADERS (HEADERS + 12)
#define WINDOW 16 /* packets; the receiver's bitmap holds 64 */
#define SNAPLEN 96
#define RTO_NS 200000000
#define MOST_FLOWS 10000

enum flag { FIN = 1, SYN = 2, PSH = 8, ACK = 16 };
enum kind { AT_POINT, BEGIN, TIMER };

struct packet {
    uint32_t flow, seq, ack, length, tsval, tsecr;
    uint32_t sack[2]; /* equal: none */
    uint16_t ip_id;
    uint8_t flags;
    uint8_t reverse;
};

struct event {
    int64_t time;
    uint64_t order; /* keeps events of the same time in order */
    enum kind kind;
    int point;
    struct packet packet;
};

struct flow {
    uint32_t isn[2];
    uint32_t sent, acked; /* data packets, counted from 0 */
    uint32_t recover;     /* fast retransmission goes on up to here */
    uint32_t duplicates, timer_acked;
    bool closing, closed;
    uint32_t received; /* all before this one */
    uint64_t early;    /* received beyond a hole: bit 0 is `received` itself */
    uint32_t unacked;  /* received since the last acknowledgement */
    uint32_t last_tsval[2];
    uint16_t ip_id[2];
};

static const char *const names[POINTS] = {"mx1-eth0", "lb1-eth0", "lb1-eth1", "edge1-eth0", "edge1-eth1"};
static const int64_t clock_offset[POINTS] = {0, 3125000, 3125000, -7400000, -7400000};
static const uint8_t ttl_forward[POINTS] = {64, 64, 63, 63, 62};
static const uint8_t ttl_reverse[POINTS] = {53, 53, 54, 54, 55};
static const int64_t delay[POINTS] = {100000, 20000, 200000, 15000,
                                      2000000}; /* to the next point; last: to the server */

static struct flow flows[MOST_FLOWS];
static struct event *heap;
static size_t heap_count, heap_room;
static uint64_t event_order;
static int64_t segment_free[POINTS][2]; /* when the last packet came out: nobody overtakes */
static FILE *files[POINTS];
static uint64_t counts[POINTS], lost_packets, lost_bytes, random_state = 1;
static uint64_t wanted = 1000000, loss_per_million = 1000;
static uint32_t flow_count = 200;
static bool full;

static void die(const char *what)
{
    perror(what);
    exit(2);
}

static uint64_t mix(uint64_t x) /* splitmix64 */
{
    x += 0x9e3779b97f4a7c15;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9;
    x = (x ^ (x >> 27)) * 0x94d049bb133111eb;
    return x ^ (x >> 31);
}

static uint64_t random_below(uint64_t bound)
{
    random_state = mix(random_state);
    return random_state % bound;
}

static bool earlier(const struct event *a, const struct event *b)
{
    return a->time != b->time ? a->time < b->time : a->order < b->order;
}

static void push(struct event event)
{
    if (heap_count == heap_room) {
        heap_room = heap_room ? 2 * heap_room : 4096;
        heap = realloc(heap, heap_room * sizeof *heap);
        if (!heap)
            die("memory");
    }
    event.order = event_order++;
    size_t at = heap_count++;
    for (; at && earlier(&event, &heap[(at - 1) / 2]); at = (at - 1) / 2)
        heap[at] = heap[(at - 1) / 2];
    heap[at] = event;
}

static struct event pop(void)
{
    struct event top = heap[0], last = heap[--heap_count];
    size_t at = 0;
    for (;;) {
        size_t child = 2 * at + 1;
        if (child >= heap_count)
            break;
        if (child + 1 < heap_count && earlier(&heap[child + 1], &heap[child]))
            child++;
        if (!earlier(&heap[child], &last))
            break;
        heap[at] = heap[child];
        at = child;
    }
    heap[at] = last;
    return top;
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

static uint32_t options_of(const struct packet *packet, uint8_t *at)
{
    uint32_t length = 0;
    if (packet->flags & SYN) {
        static const uint8_t syn[] = {2, 4, 5, 180, 4, 2, 8, 10, 0, 0, 0, 0, 0, 0, 0, 0, 1, 3, 3, 7};
        memcpy(at, syn, sizeof syn);
        put32(at + 8, packet->tsval);
        put32(at + 12, packet->tsecr);
        return sizeof syn;
    }
    memcpy(at, (const uint8_t[]){1, 1, 8, 10}, 4);
    put32(at + 4, packet->tsval);
    put32(at + 8, packet->tsecr);
    length = 12;
    if (packet->sack[0] != packet->sack[1]) {
        memcpy(at + 12, (const uint8_t[]){1, 1, 5, 10}, 4);
        put32(at + 16, packet->sack[0]);
        put32(at + 20, packet->sack[1]);
        length = 24;
    }
    return length;
}

static void ip_header(uint8_t *ip, const struct packet *packet, uint32_t length, int point)
{
    uint32_t client = 0xc0000200 + 1 + packet->flow % 8, server = 0xc6336400 + 1 + packet->flow / 8 % 200,
             sum = 0;
    ip[0] = 0x45;
    put16(ip + 2, length);
    put16(ip + 4, packet->ip_id);
    ip[6] = 0x40;
    ip[8] = packet->reverse ? ttl_reverse[point] : ttl_forward[point];
    ip[9] = 6;
    put32(ip + 12, packet->reverse ? server : client);
    put32(ip + 16, packet->reverse ? client : server);
    for (int i = 0; i < 20; i += 2)
        sum += (uint32_t)ip[i] << 8 | ip[i + 1];
    sum = (sum & 0xffff) + (sum >> 16);
    sum = (sum & 0xffff) + (sum >> 16);
    put16(ip + 10, ~sum);
}

/* Payload that depends on flow and stream position alone, so that a retransmission repeats it. */
static void fill(uint8_t *at, size_t length, const struct packet *packet)
{
    uint64_t word = ((uint64_t)packet->flow << 32 | packet->seq) * 2654435761;
    for (size_t i = 0; i < length; i += 8) {
        word = mix(word);
        memcpy(at + i, &word, length - i < 8 ? length - i : 8);
    }
}

static void write_record(int point, int64_t time, const struct packet *packet)
{
    uint8_t frame[16 + MOST_HEADERS + PAYLOAD + 8] = {0};
    uint8_t *ethernet = frame + 16, *ip = ethernet + 14, *tcp = ip + 20;
    uint32_t port = 20000 + packet->flow;
    uint32_t options = options_of(packet, tcp + 20);
    uint32_t headers = 54 + options, wire = headers + packet->length;
    uint32_t kept = full || wire < SNAPLEN ? wire : SNAPLEN;
    ethernet[5] = (uint8_t)(point + 1);
    ethernet[11] = (uint8_t)(point + 2);
    ethernet[12] = 8;
    ip_header(ip, packet, wire - 14, point);
    put16(tcp, packet->reverse ? 443 : port);
    put16(tcp + 2, packet->reverse ? port : 443);
    put32(tcp + 4, packet->seq);
    put32(tcp + 8, packet->flags & ACK ? packet->ack : 0);
    tcp[12] = (uint8_t)((20 + options) / 4 << 4);
    tcp[13] = packet->flags;
    put16(tcp + 14, 502);
    if (kept > headers)
        fill(ethernet + headers, kept - headers, packet);
    time += clock_offset[point];
    const uint32_t head[4] = {(uint32_t)(time / 1000000000), (uint32_t)(time % 1000000000), kept, wire};
    memcpy(frame, head, sizeof head);
    if (fwrite(frame, 16 + kept, 1, files[point]) != 1)
        die(names[point]);
    counts[point]++;
}

/* Puts a packet onto its way, at the first vantage point that it passes. */
static void emit(int64_t time, struct packet packet)
{
    struct flow *flow = &flows[packet.flow];
    int side = packet.reverse, point = side ? POINTS - 1 : 0;
    packet.tsval = (uint32_t)(time / 1000000) + flow->isn[side];
    packet.tsecr = packet.flags == SYN ? 0 : flow->last_tsval[!side];
    packet.ip_id = flow->ip_id[side]++;
    time += side ? delay[POINTS - 1] + (int64_t)random_below(20000) : 5000;
    if (time <= segment_free[POINTS - 1][side])
        time = segment_free[POINTS - 1][side] + 50;
    segment_free[POINTS - 1][side] = time;
    push((struct event){.time = time, .kind = AT_POINT, .point = point, .packet = packet});
}

static struct packet client_packet(uint32_t number, uint8_t flags)
{
    const struct flow *flow = &flows[number];
    return (struct packet){.flow = number, .flags = flags, .ack = flow->isn[1] + 1};
}

static void send_data(int64_t time, uint32_t number, uint32_t index)
{
    struct packet packet = client_packet(number, ACK | (index % 8 == 7 ? PSH : 0));
    packet.seq = flows[number].isn[0] + 1 + index * PAYLOAD;
    packet.length = PAYLOAD;
    emit(time, packet);
}

static void send_fin(int64_t time, uint32_t number)
{
    struct packet packet = client_packet(number, FIN | ACK);
    packet.seq = flows[number].isn[0] + 1 + flows[number].sent * PAYLOAD;
    flows[number].closing = true;
    emit(time, packet);
}

/* Sends what the window allows; ends the connection once enough has been made and all is acknowledged. */
static void send_more(int64_t time, uint32_t number)
{
    struct flow *flow = &flows[number];
    if (counts[0] < wanted) {
        for (; flow->sent < flow->acked + WINDOW; time += 1200)
            send_data(time, number, flow->sent++);
    } else if (flow->acked + 1 >= flow->sent && !flow->closing) {
        send_fin(time, number);
    }
}

static void on_client(int64_t time, const struct packet *packet)
{
    struct flow *flow = &flows[packet->flow];
    if (packet->flags & SYN) {
        struct packet reply = client_packet(packet->flow, ACK);
        reply.seq = flow->isn[0] + 1;
        emit(time, reply);
        send_more(time + 1000, packet->flow);
        return;
    }
    if (packet->flags & FIN) {
        struct packet reply = client_packet(packet->flow, ACK);
        reply.seq = flow->isn[0] + 2 + flow->sent * PAYLOAD;
        reply.ack = flow->isn[1] + 2;
        flow->closed = true;
        emit(time, reply);
        return;
    }
    uint32_t acked = (packet->ack - flow->isn[0] - 1) / PAYLOAD;
    if (acked > flow->acked) {
        flow->acked = acked;
        flow->duplicates = 0;
        if (acked < flow->recover)
            send_data(time, packet->flow, acked); /* the next hole */
    } else if (packet->sack[0] != packet->sack[1] && ++flow->duplicates == 3 &&
               flow->acked >= flow->recover) {
        flow->recover = flow->sent;
        send_data(time, packet->flow, flow->acked);
    }
    send_more(time + 1000, packet->flow);
}

static void acknowledge(int64_t time, uint32_t number, uint32_t received_last)
{
    struct flow *flow = &flows[number];
    struct packet packet = {.flow = number, .flags = ACK, .reverse = 1, .seq = flow->isn[1] + 1};
    packet.ack = flow->isn[0] + 1 + flow->received * PAYLOAD;
    if (received_last > flow->received) { /* the block beyond the hole that the last packet belongs to */
        uint32_t first = received_last, end = received_last + 1;
        while (first > flow->received && flow->early >> (first - 1 - flow->received) & 1)
            first--;
        while (end - flow->received < 64 && flow->early >> (end - flow->received) & 1)
            end++;
        packet.sack[0] = flow->isn[0] + 1 + first * PAYLOAD;
        packet.sack[1] = flow->isn[0] + 1 + end * PAYLOAD;
    }
    flow->unacked = 0;
    emit(time, packet);
}

static void on_server(int64_t time, const struct packet *packet)
{
    struct flow *flow = &flows[packet->flow];
    struct packet reply = {.flow = packet->flow, .reverse = 1, .seq = flow->isn[1]};
    if (packet->flags & SYN) {
        reply.flags = SYN | ACK;
        reply.ack = flow->isn[0] + 1;
        emit(time, reply);
    } else if (packet->flags & FIN && packet->seq != flow->isn[0] + 1 + flow->received * PAYLOAD) {
        acknowledge(time, packet->flow, flow->received); /* data is still missing */
    } else if (packet->flags & FIN) {
        reply.flags = FIN | ACK;
        reply.seq = flow->isn[1] + 1;
        reply.ack = packet->seq + 1;
        emit(time, reply);
    } else if (packet->length) {
        uint32_t index = (packet->seq - flow->isn[0] - 1) / PAYLOAD;
        bool hole = flow->early != 0;
        if (index >= flow->received && index - flow->received < 64)
            flow->early |= (uint64_t)1 << (index - flow->received);
        for (; flow->early & 1; flow->early >>= 1)
            flow->received++;
        if (hole || flow->early || index + 1 != flow->received || ++flow->unacked == 2)
            acknowledge(time + 2000, packet->flow, index);
    }
}

/* A packet at a vantage point: recorded, then on to the next, or to its end. */
static void at_point(const struct event *event)
{
    struct packet packet = event->packet;
    int side = packet.reverse, next = event->point + (side ? -1 : 1), segment = side ? next : event->point;
    write_record(event->point, event->time, &packet);
    if (next < 0 || next == POINTS) {
        flows[packet.flow].last_tsval[side] = packet.tsval;
        if (side)
            on_client(event->time + 5000, &packet);
        else
            on_server(event->time + delay[POINTS - 1], &packet);
        return;
    }
    if (segment == LOSSY && !side && packet.length && random_below(1000000) < loss_per_million) {
        lost_packets++;
        lost_bytes += packet.length;
        return;
    }
    int64_t time = event->time + delay[segment] + (int64_t)random_below(4000);
    if (time <= segment_free[segment][side])
        time = segment_free[segment][side] + 50;
    segment_free[segment][side] = time;
    push((struct event){.time = time, .kind = AT_POINT, .point = next, .packet = packet});
}

static void begin(const struct event *event)
{
    struct packet packet = {
        .flow = event->packet.flow, .flags = SYN, .seq = flows[event->packet.flow].isn[0]};
    emit(event->time, packet);
    push((struct event){.time = event->time + RTO_NS, .kind = TIMER, .packet = packet});
}

/* A retransmission was lost, too. */
static void on_timer(const struct event *event)
{
    struct flow *flow = &flows[event->packet.flow];
    if (flow->closed)
        return;
    if (flow->acked == flow->timer_acked && flow->sent > flow->acked)
        send_data(event->time, event->packet.flow, flow->acked);
    if (flow->closing)
        send_fin(event->time + 2000, event->packet.flow);
    flow->timer_acked = flow->acked;
    push((struct event){.time = event->time + RTO_NS, .kind = TIMER, .packet = event->packet});
}

static void open_files(const char *directory)
{
    for (int i = 0; i < POINTS; i++) {
        static const uint32_t head[6] = {0xa1b23c4d, 4 << 16 | 2, 0, 0, 262144, 1};
        char path[4096];
        (void)snprintf(path, sizeof path, "%s/%s.pcap", directory, names[i]);
        files[i] = fopen(path, "wb");
        if (!files[i] || setvbuf(files[i], NULL, _IOFBF, 1 << 20) ||
            fwrite(head, sizeof head, 1, files[i]) != 1)
            die(path);
    }
}

static const char *read_arguments(int argc, char **argv)
{
    const char *directory = NULL;
    for (int i = 1; i < argc; i++) {
        bool more = i + 1 < argc;
        if (!strcmp(argv[i], "--full"))
            full = true;
        else if (!strcmp(argv[i], "--packets") && more)
            wanted = strtoull(argv[++i], NULL, 10);
        else if (!strcmp(argv[i], "--loss") && more)
            loss_per_million = strtoull(argv[++i], NULL, 10);
        else if (!strcmp(argv[i], "--flows") && more)
            flow_count = (uint32_t)strtoul(argv[++i], NULL, 10);
        else if (!strcmp(argv[i], "--seed") && more)
            random_state = strtoull(argv[++i], NULL, 10);
        else if (argv[i][0] != '-' && !directory)
            directory = argv[i];
        else
            directory = "";
    }
    if (!directory || !directory[0] || !flow_count || flow_count > MOST_FLOWS) {
        fprintf(stderr,
                "Usage: %s DIRECTORY [--packets N] [--full] [--loss PER_MILLION] [--flows N] [--seed N]\n",
                argv[0]);
        exit(2);
    }
    return directory;
}

int main(int argc, char **argv)
{
    open_files(read_arguments(argc, argv));
    for (uint32_t i = 0; i < flow_count; i++) {
        flows[i].isn[0] = (uint32_t)random_below(UINT32_MAX);
        flows[i].isn[1] = (uint32_t)random_below(UINT32_MAX);
        flows[i].ip_id[0] = (uint16_t)random_below(65536);
        flows[i].ip_id[1] = (uint16_t)random_below(65536);
        push((struct event){
            .time = 1772370309000000000 + (int64_t)i * 53000, .kind = BEGIN, .packet = {.flow = i}});
    }
    while (heap_count) {
        struct event event = pop();
        if (event.kind == AT_POINT)
            at_point(&event);
        else if (event.kind == BEGIN)
            begin(&event);
        else
            on_timer(&event);
    }
    for (int i = 0; i < POINTS; i++) {
        if (fclose(files[i]))
            die(names[i]);
        printf("%s %llu packets\n", names[i], (unsigned long long)counts[i]);
    }
    printf("lost %llu packets %llu bytes between lb1/eth0 and lb1/eth1, forward\n",
           (unsigned long long)lost_packets, (unsigned long long)lost_bytes);
    return 0;
}
