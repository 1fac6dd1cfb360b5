#include "sample.h"

#define V4(a, b, c, d)                                                                                       \
    {                                                                                                        \
        .family = 4, .bytes = { a, b, c, d }                                                                 \
    }

static struct dp_vantage_report vantages[] = {
    {.name = "mx1/eth0", .packets = 1234567, .matched = 1234500, .missed = 0, .clock_error_ns = 0},
    {.name = "lb1/eth0",
     .packets = 1234560,
     .matched = 1234500,
     .missed = 7,
     .has_capture_dropped = true,
     .capture_dropped = 12,
     .clock_offset_ns = -2500123456,
     .clock_skew_ppm = 12.3456789,
     .clock_error_ns = 15300},
    {.name = "lb1/eth1",
     .packets = 3,
     .matched = 2,
     .has_capture_dropped = true,
     .capture_dropped = 0,
     .clock_offset_ns = 800,
     .clock_skew_ppm = -0.5,
     .clock_error_ns = -1},
};

static struct dp_segment_report segments[] = {
    {.from = 0,
     .to = 1,
     .host = false,
     .side = {{.packets = 600,
               .bytes = 840000,
               .duplicated_packets = 1,
               .reordered_packets = 2,
               .delay = {.known = true, .min = 90, .p50 = 120500, .p99 = 1200000, .max = 2500000000}},
              {.packets = 400,
               .unknown_packets = 5,
               .delay = {.known = true, .min = -20, .p50 = 1, .p99 = 2}}}},
    {.from = 1,
     .to = 2,
     .host = true,
     .side = {{.packets = 90, .bytes = 84000, .lost_packets = 38, .lost_bytes = 54416}, {.packets = 400}}},
};

static struct dp_seen_as seen_as[] = {
    {.vantage = 2,
     .endpoints = {.client = V4(203, 0, 113, 5),
                   .server = V4(198, 51, 100, 9),
                   .client_port = 1024,
                   .server_port = 25}},
};

static struct dp_flow_report flows[] = {
    {.id = 1,
     .proto = 6,
     .endpoints =
         {.client = V4(192, 0, 2, 1), .server = V4(198, 51, 100, 9), .client_port = 40000, .server_port = 25},
     .app = "smtp",
     .seen_as = seen_as,
     .seen_as_count = 1,
     .lost_packets = 38,
     .lost_bytes = 54416},
    {.id = 2,
     .proto = 17,
     .endpoints = {.client = {.family = 6, .bytes = {0x20, 0x01, 0x0d, 0xb8, [15] = 1}},
                   .server = {.family = 6, .bytes = {0x20, 0x01, 0x0d, 0xb8, [15] = 2}},
                   .client_port = 5353,
                   .server_port = 53},
     .app = "dns"},
};

static uint32_t first_flows[] = {1};
static uint32_t second_flows[] = {1, 2};

static struct dp_finding findings[] = {
    {.code = DP_CODE_LOSS,
     .from = 1,
     .to = 2,
     .direction = DP_FORWARD,
     .pattern = DP_PATTERN_SIZE,
     .size_over = 1400,
     .lost_packets = 38,
     .lost_bytes = 54416,
     .share = 0.42222222222,
     .confidence = 0.999,
     .flows = first_flows,
     .flow_count = 1,
     .smtp_code = 421,
     .smtp_reply = "4.4.2 mx.example.net timeout \xff exceeded",
     .first_ns = 1700000000123456789,
     .last_ns = 1700000060000000001,
     .summary = "lb1 swallows packets above 1400 bytes.",
     .next_step = "Look at lb1's firewall: nft list ruleset."},
    {.code = DP_CODE_LOSS,
     .from = 2,
     .to = DP_POINT_BEYOND,
     .direction = DP_REVERSE,
     .pattern = DP_PATTERN_RANDOM,
     .lost_packets = 1,
     .lost_bytes = 0,
     .share = 0.0000004,
     .confidence = 0.5,
     .flows = second_flows,
     .flow_count = 2,
     .summary =
         "A packet was lost beyond lb1/eth1, and this sentence is long enough to show how a paragraph is "
         "broken into lines that keep their indentation.",
     .next_step = "Capture one hop farther along."},
    {.code = DP_CODE_STALL,
     .from = DP_POINT_BEFORE,
     .to = 0,
     .direction = DP_FORWARD,
     .confidence = 1,
     .summary = "The client stopped reading.",
     .next_step = "Look at the client."},
};

static struct dp_report report = {
    .vantages = vantages,
    .vantage_count = 3,
    .segments = segments,
    .segment_count = 2,
    .flows = flows,
    .flow_count = 2,
    .findings = findings,
    .finding_count = 3,
    .verdict = DP_CODE_LOSS,
    .verdict_finding = 0,
    .verdict_summary =
        "38 packets (54,416 payload bytes) entered lb1 on eth0 and never left it on eth1: everything up to "
        "1,400 bytes passed, nothing above. This is lb1, not your reputation.",
};

const struct dp_report *sample_report(void)
{
    return &report;
}
