/* The locating engine with made-up traffic: the input is a list of operations with small alphabets, so that
 * sequence numbers, keys and times meet again and again. It must end, leak nothing and not contradict itself.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "tests/fuzz/locate/check.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { MAX_VANTAGES = 5, FLOWS = 6, MAX_OPERATIONS = 2000, EXTREME = 0xf0 };

struct input {
    const uint8_t *data;
    size_t left;
};

static uint8_t next(struct input *in)
{
    if (in->left == 0)
        return 0;
    in->left--;
    return *in->data++;
}

struct run {
    struct input in;
    struct dp_locate *locate;
    uint32_t vantages;
    int64_t now[MAX_VANTAGES];
    struct dp_batch batch;
    int64_t tick; /* no two packets have the same time stamp */
    uint8_t wild; /* bit 0: extreme times, bit 1: flows that were not defined */
};

static struct dp_addr address(uint8_t host)
{
    struct dp_addr a = {.family = 4, .bytes = {192, 0, 2, host}};
    return a;
}

static int define_flows(struct run *run, uint8_t kind)
{
    struct dp_flow_def defs[FLOWS];
    for (uint32_t v = 0; v < run->vantages; v++) {
        for (uint32_t i = 0; i < FLOWS; i++) {
            bool nat = (kind & 1) && v > 1 && i == 0;
            defs[i] = (struct dp_flow_def){.flow = i,
                                           .proto = i == 4   ? 17
                                                    : i == 5 ? 1
                                                             : 6,
                                           .a = address(nat ? 77 : 1),
                                           .b = address(9),
                                           .a_port = (uint16_t)(40000 + i),
                                           .b_port = i == 1 ? 40100 : 25};
            if ((kind & 2) && v % 2) { /* the other end was seen first here */
                struct dp_flow_def turned = defs[i];
                defs[i].a = turned.b;
                defs[i].b = turned.a;
                defs[i].a_port = turned.b_port;
                defs[i].b_port = turned.a_port;
            }
        }
        struct dp_batch batch = {.flows = defs, .flow_count = FLOWS};
        if (dp_locate_feed(run->locate, v, &batch) != DP_OK)
            return -1;
    }
    return 0;
}

static const uint32_t lengths[] = {0, 0, 1, 40, 100, 1000, 1448, 2896, 14480, 65000};
static const uint16_t flag_sets[] = {DP_TCP_ACK,
                                     DP_TCP_ACK | DP_TCP_PSH,
                                     DP_TCP_SYN,
                                     DP_TCP_SYN | DP_TCP_ACK,
                                     DP_TCP_FIN | DP_TCP_ACK,
                                     DP_TCP_RST,
                                     DP_TCP_RST | DP_TCP_ACK,
                                     0,
                                     DP_TCP_SYN | DP_TCP_FIN | DP_TCP_RST | DP_TCP_ACK};
static const uint32_t bases[] = {1000, 0xfffffe00u, 0x80000000u, 0};
static const int64_t steps[] = {0, 1, 1000, 20000, 300000, 2000000, 250000000, 3000000000};

static struct dp_digest make_digest(struct run *run, uint32_t vantage)
{
    struct input *in = &run->in;
    uint8_t a = next(in), b = next(in), c = next(in), e = next(in);
    run->now[vantage] += steps[a & 7];
    struct dp_digest d = {
        .ts_ns = run->now[vantage], .flow = (a >> 3) % FLOWS, .dir = a >> 7, .ttl = (uint8_t)(60 + (e & 3))};
    if ((run->wild & 1) && e == EXTREME)
        d.ts_ns = (int64_t)((uint64_t)next(in) << 55);
    if ((run->wild & 2) && e == EXTREME + 1)
        d.flow = 1u << (next(in) & 31);
    d.bits = (uint8_t)(c & 0x0b);
    if (c == 0x44)
        d.bits |= DP_DIGEST_FRAGMENT;
    d.payload_len = lengths[(b & 15) % (sizeof lengths / sizeof lengths[0])];
    d.tcp_flags = flag_sets[(b >> 4) % (sizeof flag_sets / sizeof flag_sets[0])];
    d.ip_len = d.payload_len + 40;
    uint32_t base = bases[d.flow & 3];
    d.seq = base + (uint32_t)(c & 0x3f) * 500;
    d.ack = base + (uint32_t)(e & 0x3f) * 500;
    d.tsval = (uint32_t)(c >> 6);
    d.tsecr = (uint32_t)(e >> 6);
    d.ip_id = (uint16_t)(c & 7);
    d.hash_len = d.payload_len >= 64 ? 64 : (uint8_t)d.payload_len;
    d.hash = e >> 5;
    d.window = (e & 0x10) ? 500 : 0;
    d.wscale = (c & 0x20) ? 7 : 0xff;
    d.mss = (c & 0x10) ? 1460 : (e & 1) ? 1400 : 0;
    d.app = (e == 3) ? DP_SMTP_DATA : 0;
    d.sack_count = (c & 0xc0) == 0xc0 ? (uint8_t)(e % (DP_SACK_MAX + 1)) : 0;
    for (uint8_t i = 0; i < d.sack_count; i++) {
        d.sack[i][0] = base + (uint32_t)((e + i) & 0x3f) * 500;
        d.sack[i][1] = d.sack[i][0] + 500u * (c & 3);
    }
    return d;
}

static int feed_digests(struct run *run, uint32_t first, uint8_t count)
{
    int code = DP_OK;
    struct dp_digest d = make_digest(run, first);
    /* Most packets go on to the points behind, with borders and losses of the input's choice. */
    for (uint32_t v = first; v < run->vantages && (code == DP_OK || code == DP_ERR_RANGE); v++) {
        struct dp_digest stamped = d;
        stamped.ts_ns = (int64_t)((uint64_t)d.ts_ns + (uint64_t)run->tick++);
        struct dp_batch batch = {.digests = &stamped, .digest_count = 1};
        code = dp_locate_feed(run->locate, v, &batch);
        if (v + 1 == run->vantages || count == 0)
            break;
        uint8_t fate = next(&run->in);
        if (fate % 5 == 0)
            break;
        run->now[v + 1] += steps[fate & 3];
        if (run->now[v + 1] < d.ts_ns && d.ts_ns < INT64_MAX / 2)
            run->now[v + 1] = d.ts_ns + steps[fate & 3];
        d.ts_ns = run->now[v + 1];
        if (fate > 250 && d.payload_len > 1) { /* only a part of it */
            d.payload_len /= 2;
            d.seq += fate & 1 ? d.payload_len : 0;
        }
        d.ttl--;
    }
    return code == DP_ERR_RANGE ? DP_OK : code;
}

static int feed_others(struct run *run, uint32_t vantage, uint8_t kind)
{
    struct input *in = &run->in;
    int64_t t = run->now[vantage];
    struct dp_note note = {
        .ts_ns = t, .flow = next(in) % (FLOWS + 1), .dir = 1, .code = (uint16_t)(400 + next(in))};
    struct dp_gap gap = {t - steps[next(in) & 7], t, next(in)};
    memset(note.text, 'x', (run->wild & 4) ? sizeof note.text : 10);
    struct dp_batch batch = {0};
    if (kind & 1) {
        batch.notes = &note;
        batch.note_count = 1;
    } else {
        batch.gaps = &gap;
        batch.gap_count = 1;
    }
    return dp_locate_feed(run->locate, vantage, &batch);
}

static int operate(struct run *run)
{
    uint8_t what = next(&run->in);
    uint32_t v = (what >> 5) % run->vantages;
    int64_t t = run->now[v];
    struct dp_locate_progress progress;
    switch (what & 0x1f) {
    case 0:
    case 1:
        return feed_others(run, v, what);
    case 2:
        dp_locate_window(run->locate, v, t - steps[next(&run->in) & 7], t + steps[next(&run->in) & 7]);
        return DP_OK;
    case 3:
        dp_locate_alive(run->locate, v, t - steps[next(&run->in) & 7], t);
        return DP_OK;
    case 4:
        dp_locate_advance(run->locate, v, next(&run->in) < 40 ? INT64_MAX : t);
        return DP_OK;
    case 5:
        dp_locate_capture_dropped(run->locate, v, next(&run->in) & 3);
        return DP_OK;
    case 6:
        dp_locate_clock_hint(run->locate, v, steps[next(&run->in) & 7], steps[next(&run->in) & 7]);
        return DP_OK;
    case 7: {
        int code = dp_locate_settle(run->locate);
        dp_locate_progress(run->locate, &progress);
        return code;
    }
    case 8:
        run->now[v] -= steps[next(&run->in) & 7];
        return DP_OK;
    default:
        return feed_digests(run, v, what & 0x1f ? 1 : 0);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const names[MAX_VANTAGES] = {"mx1/eth0", "lb1/eth0", "lb1/eth1", "edge1/eth0",
                                                    "label"};
    struct run run = {.in = {data, size}};
    uint8_t kind = next(&run.in);
    run.vantages = 1 + kind % MAX_VANTAGES;
    run.wild = (kind >> 3) & 7;
    struct dp_locate_options options = {.no_clock_correction = kind & 0x80};
    for (uint32_t v = 0; v < run.vantages; v++)
        run.now[v] = 1700000000000000000LL + (int64_t)((kind & 0x40) ? v * 5000000000u : 0);
    if (dp_locate_new(names, run.vantages, &options, &run.locate) != DP_OK)
        abort();
    int code = define_flows(&run, next(&run.in));
    for (size_t i = 0; code == DP_OK && run.in.left && i < MAX_OPERATIONS; i++)
        code = operate(&run);
    struct dp_report *report = NULL;
    if (code != DP_OK || dp_locate_finish(run.locate, &report) != DP_OK)
        abort();
    check_report(report, run.vantages);
    dp_report_free(report);
    dp_locate_free(run.locate);
    return 0;
}
