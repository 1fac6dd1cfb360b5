/* Gives a case's digests to the engine, in one of the orders in which they may come. */
#include <stdlib.h>

#include "tests/bench/campaign_sim/campaign.h"

struct cursor {
    size_t digest, flow, note, gap;
};

struct feeding {
    const struct sim *s;
    struct dp_locate *l;
    struct cursor at[MAX_POINTS];
    uint32_t turns;
};

/* The next `count` digests of a vantage point with what belongs to them. */
static int feed(struct feeding *f, uint32_t point, size_t count)
{
    const struct dp_batch *all = &f->s->point[point].batch;
    struct cursor *c = &f->at[point];
    size_t left = all->digest_count - c->digest;
    count = count < left ? count : left;
    struct dp_batch b = {.digests = all->digests + c->digest, .digest_count = count};
    uint32_t most = 0;
    for (size_t i = 0; i < count; i++)
        most = b.digests[i].flow > most ? b.digests[i].flow : most;
    int64_t until = count == left ? INT64_MAX : b.digests[count - 1].ts_ns;
    b.flows = all->flows + c->flow;
    while (c->flow < all->flow_count && count && all->flows[c->flow].flow <= most)
        c->flow++, b.flow_count++;
    b.notes = all->notes + c->note;
    c->digest += count;
    const struct marks *notes = &f->s->point[point].notes, *gaps = &f->s->point[point].gaps;
    while (c->note < notes->count && (count == left || notes->at[c->note] < c->digest))
        c->note++, b.note_count++;
    b.gaps = all->gaps + c->gap;
    while (c->gap < gaps->count && (count == left || gaps->at[c->gap] < c->digest))
        c->gap++, b.gap_count++;
    int code = dp_locate_feed(f->l, point, &b);
    if (code == DP_OK && f->s->c.settle && ++f->turns % 8 == 0)
        code = dp_locate_settle(f->l);
    if (code == DP_OK && f->s->c.advance)
        dp_locate_advance(f->l, point, until);
    return code;
}

static int feed_files(struct feeding *f)
{
    int code = DP_OK;
    for (uint32_t i = 0; i < f->s->c.points && code == DP_OK; i++)
        code = feed(f, i, SIZE_MAX);
    return code;
}

static bool left(const struct feeding *f, uint32_t point)
{
    return f->at[point].digest < f->s->point[point].batch.digest_count;
}

static int feed_in_step(struct feeding *f)
{
    for (;;) {
        uint32_t best = NO_POINT;
        int64_t best_ts = INT64_MAX;
        for (uint32_t i = 0; i < f->s->c.points; i++) {
            if (!left(f, i))
                continue;
            int64_t ts = f->s->point[i].batch.digests[f->at[i].digest].ts_ns;
            if (ts < best_ts) {
                best_ts = ts;
                best = i;
            }
        }
        if (best == NO_POINT)
            return DP_OK;
        int code = feed(f, best, 64);
        if (code)
            return code;
    }
}

static int feed_at_random(struct feeding *f)
{
    struct rng r = rng_of(f->s->c.seed, 77);
    for (;;) {
        uint32_t waiting[MAX_POINTS], n = 0;
        for (uint32_t i = 0; i < f->s->c.points; i++)
            if (left(f, i))
                waiting[n++] = i;
        if (n == 0)
            return DP_OK;
        int code = feed(f, waiting[rng_below(&r, n)], (size_t)rng_log(&r, 1, 4096));
        if (code)
            return code;
    }
}

/* Gaps and notes of points without digests, windows, counts. */
static int tell(struct feeding *f)
{
    for (uint32_t i = 0; i < f->s->c.points; i++) {
        const struct point_config *c = &f->s->c.point[i];
        int code = feed(f, i, 0);
        if (code)
            return code;
        if (c->window_told && (f->s->c.seed & 1))
            dp_locate_window(f->l, i, point_stamp(c, c->from_ns), point_stamp(c, c->to_ns));
        dp_locate_advance(f->l, i, INT64_MAX);
        if (c->miss == MISS_COUNTED)
            dp_locate_capture_dropped(f->l, i, f->s->point[i].missed);
    }
    return DP_OK;
}

int feed_engine(struct sim *s, struct dp_report **ret_report)
{
    const char *names[MAX_POINTS];
    struct feeding f = {.s = s};
    for (uint32_t i = 0; i < s->c.points; i++)
        names[i] = s->c.point[i].name;
    int code = dp_locate_new(names, s->c.points, &(struct dp_locate_options){0}, &f.l);
    if (code)
        return code;
    for (uint32_t i = 0; i < s->c.points; i++) {
        const struct point_config *c = &s->c.point[i];
        if (c->window_told && !(s->c.seed & 1)) /* else told at the end, as files do */
            dp_locate_window(f.l, i, point_stamp(c, c->from_ns), point_stamp(c, c->to_ns));
    }
    static int (*const ways[])(struct feeding *) = {feed_in_step, feed_files, feed_at_random};
    code = ways[s->c.feed](&f);
    if (code == DP_OK)
        code = tell(&f);
    if (code == DP_OK)
        code = dp_locate_finish(f.l, ret_report);
    dp_locate_free(f.l);
    return code;
}
