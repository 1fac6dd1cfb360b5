#include "tests/fuzz/locate/check.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#define CHECK(condition)                                                                                     \
    do {                                                                                                     \
        if (!(condition)) {                                                                                  \
            (void)fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition);                            \
            abort();                                                                                         \
        }                                                                                                    \
    } while (0)

static void check_side(const struct dp_segment_side *side)
{
    CHECK(side->lost_packets + side->unknown_packets <= side->packets);
    CHECK(side->lost_bytes <= side->bytes);
    CHECK(side->reordered_packets <= side->packets);
    if (side->delay.known) {
        CHECK(side->delay.min <= side->delay.p50);
        CHECK(side->delay.p50 <= side->delay.p99);
        CHECK(side->delay.p99 <= side->delay.max);
    }
}

/* The course of time adds up to the totals. */
static void check_series(const struct dp_report *r, const struct dp_segment_side *side)
{
    uint64_t entered = 0, lost = 0;
    CHECK(r->series_count <= DP_REPORT_MAX_SERIES);
    CHECK((side->series != NULL) == (side->packets > 0));
    for (size_t i = 0; side->series && i < r->series_count; i++) {
        const struct dp_series_point *p = &side->series[i];
        entered += p->entered;
        lost += p->lost;
        CHECK(!p->has_delay || (p->delay_min <= p->delay_p50 && p->delay_p50 <= p->delay_max));
    }
    CHECK(entered == side->packets);
    CHECK(lost == side->lost_packets);
}

static void check_segments(const struct dp_report *r)
{
    CHECK(r->segment_count == r->vantage_count - 1);
    for (size_t i = 0; i < r->segment_count; i++) {
        CHECK(r->segments[i].from == i && r->segments[i].to == i + 1);
        check_side(&r->segments[i].side[0]);
        check_side(&r->segments[i].side[1]);
        check_series(r, &r->segments[i].side[0]);
        check_series(r, &r->segments[i].side[1]);
    }
}

static void check_flow(const struct dp_report *r, size_t index)
{
    const struct dp_flow_report *f = &r->flows[index];
    CHECK(f->id == index + 1);
    CHECK(f->app[0] != '\0');
    for (size_t i = 0; i < f->seen_as_count; i++)
        CHECK(f->seen_as[i].vantage < r->vantage_count);
}

static void check_place(const struct dp_report *r, const struct dp_finding *f)
{
    int last = (int)r->vantage_count - 1;
    if (f->from == DP_POINT_BEFORE)
        CHECK(f->to == 0);
    else if (f->to == DP_POINT_BEYOND)
        CHECK(f->from == last);
    else
        CHECK(f->from >= 0 && f->to > f->from &&
              f->to <= last); /* more than one segment: a point between saw nothing */
}

static void check_packets(const struct dp_report *r, const struct dp_finding *f)
{
    uint64_t bytes = 0;
    CHECK(f->packet_count <= DP_REPORT_MAX_LOST);
    for (size_t i = 0; i < f->packet_count; i++) {
        const struct dp_lost_packet *p = &f->packets[i];
        CHECK(p->vantage < r->vantage_count);
        CHECK(p->flow < r->flow_count);
        CHECK(p->lost_bytes <= p->payload_len);
        bytes += p->lost_bytes;
    }
    if (f->packet_count && f->packet_count < DP_REPORT_MAX_LOST) {
        CHECK(f->packet_count == f->lost_packets);
        CHECK(bytes == f->lost_bytes);
    }
}

/* Losses are counted in the segment that the packets entered. */
static int upstream_segment(const struct dp_finding *f)
{
    return f->direction == DP_FORWARD ? f->from : f->to - 1;
}

static void check_loss(const struct dp_report *r, const struct dp_finding *f)
{
    CHECK(f->lost_packets > 0);
    CHECK(f->pattern >= DP_PATTERN_HANDSHAKE && f->pattern <= DP_PATTERN_RANDOM);
    CHECK((f->pattern == DP_PATTERN_SIZE) == (f->size_over > 0));
    if (f->from < 0 || f->to < 0)
        return;
    const struct dp_segment_side *side = &r->segments[upstream_segment(f)].side[f->direction];
    CHECK(f->lost_packets <= side->lost_packets);
    CHECK(f->lost_bytes <= side->lost_bytes);
}

static void check_finding(const struct dp_report *r, const struct dp_finding *f)
{
    CHECK(f->code > DP_CODE_CLEAN && f->code < DP_CODE_INCONCLUSIVE);
    CHECK(f->direction == DP_FORWARD || f->direction == DP_REVERSE);
    check_place(r, f);
    CHECK(isfinite(f->share) && f->share >= 0 && f->share <= 1);
    CHECK(isfinite(f->confidence) && f->confidence >= 0 && f->confidence <= 1);
    CHECK(f->flow_count > 0);
    for (size_t i = 0; i < f->flow_count; i++)
        CHECK(f->flows[i] >= 1 && f->flows[i] <= r->flow_count);
    CHECK(f->summary && f->summary[0] && f->next_step && f->next_step[0]);
    check_packets(r, f);
    if (f->code == DP_CODE_LOSS)
        check_loss(r, f);
}

static void check_verdict(const struct dp_report *r)
{
    CHECK(r->verdict_summary && r->verdict_summary[0]);
    if (r->finding_count) {
        CHECK(r->verdict_finding == 0);
        CHECK(r->verdict == r->findings[0].code);
        CHECK(dp_report_exit_code(r) == 1);
    } else {
        CHECK(r->verdict_finding == -1);
        CHECK(r->verdict == DP_CODE_CLEAN || r->verdict == DP_CODE_INCONCLUSIVE);
        CHECK(r->verdict == DP_CODE_CLEAN || (r->verdict_next_step && r->verdict_next_step[0]));
    }
    /* Each loss in a segment is in a finding. */
    for (size_t i = 0; i < r->segment_count; i++)
        for (int d = 0; d < 2; d++) {
            uint64_t found = 0;
            bool reset = false; /* may stand for the losses that provoked it */
            for (size_t k = 0; k < r->finding_count; k++) {
                const struct dp_finding *f = &r->findings[k];
                reset = reset || f->code == DP_CODE_RESET;
                if (f->code == DP_CODE_LOSS && f->from >= 0 && f->to >= 0 && (int)f->direction == d &&
                    upstream_segment(f) == (int)i)
                    found += f->lost_packets;
            }
            CHECK(found == r->segments[i].side[d].lost_packets || reset);
        }
}

void check_report(const struct dp_report *r, size_t vantages)
{
    CHECK(r->vantage_count == vantages);
    for (size_t v = 0; v < vantages; v++) {
        CHECK(r->vantages[v].name);
        CHECK(r->vantages[v].matched <= r->vantages[v].packets);
        CHECK(isfinite(r->vantages[v].clock_skew_ppm));
    }
    check_segments(r);
    for (size_t i = 0; i < r->flow_count; i++)
        check_flow(r, i);
    for (size_t i = 0; i < r->finding_count; i++)
        check_finding(r, &r->findings[i]);
    check_verdict(r);
}
