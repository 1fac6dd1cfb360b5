/* What custody is put together from: the pending observations of one half of a flow in order of stream
 * position, and the groups among them that cover each other. Shared by sampling.c, copies.c and custody.c. */
#ifndef DROPPOINT_COLLECTOR_LOCATE_GROUPS_H
#define DROPPOINT_COLLECTOR_LOCATE_GROUPS_H

#include "collector/locate/engine.h"

/* An observation in its place. For packets without stream positions `start` is their key. */
struct reference {
    uint64_t start, end;
    struct observation *o;
    int64_t t_ns; /* reference clock */
    uint32_t place;
};

/* What is being put together: one half of a flow. */
struct work {
    struct dp_locate *l;
    struct flow *flow;
    int half;
    bool control;
    uint32_t low, high;           /* the vantage points [low, high) to look at: those of one leg, or all */
    int64_t limit, limit_for_all; /* as of custody_sweep */
    bool looking;                 /* nothing is booked: account_unbooked for what set out before the limit */
    size_t count;                 /* of l->references */
    /* Which part of each lane to look at: window number `window` of `windows`, or all where windows is 0. */
    size_t window, windows;
};

#define WINDOW_SIZE 256 /* observations of a lane in one window */

/* The half's observations by vantage point: data, or packets without stream positions. */
struct lane *lanes_of(struct work *w);

/* Has it look at all vantage points, or only at those of one leg of the flow. */
void work_on_all(struct work *w);
void work_on_leg(struct work *w, uint32_t leg);

/* Collects the pending observations of all vantage points into l->references, in order of stream position. */
int collect(struct work *w) DP_MUST_CHECK;

/* The end of the group that begins at i: references that overlap, or that have the same key. */
size_t group_end(const struct work *w, size_t i);

/* Whether every vantage point saw the group at most once and in the same shape: then nothing has to be told
 * apart. */
bool plain_group(const struct reference *r, size_t count);

/* Adds to the clocks' samples what a group tells without any clock. (sampling.c) */
int sample_any(struct work *w, const struct reference *r, size_t count) DP_MUST_CHECK;

/* Whether two sightings cannot be the same packet, or must be, by TCP time stamp and IP ID. (copies.c) */
bool copies_differ(const struct observation *a, const struct observation *b);
bool copies_same(const struct observation *a, const struct observation *b);
/* ... by TCP time stamp alone: IP IDs are rewritten here and there. */
static inline bool stamps_differ(const struct observation *a, const struct observation *b)
{
    return (a->marks & MARK_HAS_TS) && (b->marks & MARK_HAS_TS) && a->tsval != b->tsval;
}

/* A fresh transmission in l->open; NULL without memory. (copies.c) */
struct transmission *transmission_new(struct work *w, size_t *count);

/* Puts the covers of one interval of stream positions (or of one key: start = end) together and accounts for
 * each transmission. Sorts `covers`. (copies.c) */
int match_interval(struct work *w, struct reference **covers, size_t count, uint64_t start,
                   uint64_t end) DP_MUST_CHECK;

#endif
