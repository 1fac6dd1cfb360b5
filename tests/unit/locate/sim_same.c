/* Whether two reports say the same. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "tests/unit/locate/sim.h"

static void same_text(const char *a, const char *b)
{
    assert_int_equal(a == NULL, b == NULL);
    if (a)
        assert_string_equal(a, b);
}

static void same_vantage(const struct dp_vantage_report *a, const struct dp_vantage_report *b)
{
    assert_string_equal(a->name, b->name);
    assert_int_equal(a->packets, b->packets);
    assert_int_equal(a->matched, b->matched);
    assert_int_equal(a->missed, b->missed);
    assert_int_equal(a->has_capture_dropped, b->has_capture_dropped);
    assert_int_equal(a->capture_dropped, b->capture_dropped);
    assert_int_equal(a->clock_offset_ns, b->clock_offset_ns);
    assert_true(a->clock_skew_ppm == b->clock_skew_ppm);
    assert_int_equal(a->clock_error_ns, b->clock_error_ns);
}

static void same_side(const struct dp_segment_side *a, const struct dp_segment_side *b)
{
    assert_int_equal(a->packets, b->packets);
    assert_int_equal(a->bytes, b->bytes);
    assert_int_equal(a->lost_packets, b->lost_packets);
    assert_int_equal(a->lost_bytes, b->lost_bytes);
    assert_int_equal(a->unknown_packets, b->unknown_packets);
    assert_int_equal(a->duplicated_packets, b->duplicated_packets);
    assert_int_equal(a->reordered_packets, b->reordered_packets);
    assert_int_equal(a->delay.known, b->delay.known);
    assert_int_equal(a->delay.min, b->delay.min);
    assert_int_equal(a->delay.p50, b->delay.p50);
    assert_int_equal(a->delay.p99, b->delay.p99);
    assert_int_equal(a->delay.max, b->delay.max);
}

static void same_endpoints(const struct dp_endpoints *a, const struct dp_endpoints *b)
{
    assert_true(dp_addr_equal(&a->client, &b->client));
    assert_true(dp_addr_equal(&a->server, &b->server));
    assert_int_equal(a->client_port, b->client_port);
    assert_int_equal(a->server_port, b->server_port);
}

static void same_flow(const struct dp_flow_report *a, const struct dp_flow_report *b)
{
    assert_int_equal(a->id, b->id);
    assert_int_equal(a->proto, b->proto);
    same_endpoints(&a->endpoints, &b->endpoints);
    assert_string_equal(a->app, b->app);
    assert_int_equal(a->seen_as_count, b->seen_as_count);
    for (size_t i = 0; i < a->seen_as_count; i++) {
        assert_int_equal(a->seen_as[i].vantage, b->seen_as[i].vantage);
        same_endpoints(&a->seen_as[i].endpoints, &b->seen_as[i].endpoints);
    }
    assert_int_equal(a->lost_packets, b->lost_packets);
    assert_int_equal(a->lost_bytes, b->lost_bytes);
}

static void same_finding(const struct dp_finding *a, const struct dp_finding *b)
{
    assert_int_equal(a->code, b->code);
    assert_int_equal(a->from, b->from);
    assert_int_equal(a->to, b->to);
    assert_int_equal(a->direction, b->direction);
    assert_int_equal(a->pattern, b->pattern);
    assert_int_equal(a->size_over, b->size_over);
    assert_int_equal(a->lost_packets, b->lost_packets);
    assert_int_equal(a->lost_bytes, b->lost_bytes);
    assert_true(a->share == b->share);
    assert_true(a->confidence == b->confidence);
    assert_int_equal(a->flow_count, b->flow_count);
    for (size_t i = 0; i < a->flow_count; i++)
        assert_int_equal(a->flows[i], b->flows[i]);
    assert_int_equal(a->smtp_code, b->smtp_code);
    same_text(a->smtp_reply, b->smtp_reply);
    assert_int_equal(a->first_ns, b->first_ns);
    assert_int_equal(a->last_ns, b->last_ns);
    same_text(a->summary, b->summary);
    same_text(a->next_step, b->next_step);
    assert_int_equal(a->packet_count, b->packet_count);
    for (size_t i = 0; i < a->packet_count; i++) {
        const struct dp_lost_packet *x = &a->packets[i], *y = &b->packets[i];
        assert_true(x->vantage == y->vantage && x->ts_ns == y->ts_ns && x->flow == y->flow &&
                    x->seq == y->seq && x->payload_len == y->payload_len && x->lost_bytes == y->lost_bytes &&
                    x->only_shown == y->only_shown);
    }
}

void sim_assert_same(const struct dp_report *a, const struct dp_report *b)
{
    assert_int_equal(a->reference_ns, b->reference_ns);
    assert_int_equal(a->vantage_count, b->vantage_count);
    for (size_t i = 0; i < a->vantage_count; i++)
        same_vantage(&a->vantages[i], &b->vantages[i]);
    assert_int_equal(a->segment_count, b->segment_count);
    for (size_t i = 0; i < a->segment_count; i++) {
        assert_true(a->segments[i].from == b->segments[i].from && a->segments[i].to == b->segments[i].to &&
                    a->segments[i].host == b->segments[i].host);
        for (int d = 0; d < 2; d++)
            same_side(&a->segments[i].side[d], &b->segments[i].side[d]);
    }
    assert_int_equal(a->flow_count, b->flow_count);
    for (size_t i = 0; i < a->flow_count; i++)
        same_flow(&a->flows[i], &b->flows[i]);
    assert_int_equal(a->finding_count, b->finding_count);
    for (size_t i = 0; i < a->finding_count; i++)
        same_finding(&a->findings[i], &b->findings[i]);
    assert_int_equal(a->verdict, b->verdict);
    assert_int_equal(a->verdict_finding, b->verdict_finding);
    same_text(a->verdict_summary, b->verdict_summary);
    same_text(a->verdict_next_step, b->verdict_next_step);
}
