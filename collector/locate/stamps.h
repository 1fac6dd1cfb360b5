/* One vantage point's stamps in order of capture. A clock that is set back makes them go back: from there on
 * they are carried on from the highest one, so that everything behind may rely on stamps that go forward.
 * What the clock was really set by is told by the other vantage points (steps.c).
 *
 * Packets of several processors or interfaces stand in a file a little out of order. That looks the same at
 * first; but then the stamps come back to where they were. */
#ifndef DROPPOINT_COLLECTOR_LOCATE_STAMPS_H
#define DROPPOINT_COLLECTOR_LOCATE_STAMPS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/err/err.h"

struct dp_digest;

/* From this carried-on stamp on, so much is added to what the clock says. */
struct stamp_fold {
    int64_t at_ns;
    int64_t shift_ns;
    int64_t back_ns; /* how far the stamps went back there */
};

#define STAMPS_HELD 32

struct stamps {
    bool any;
    int64_t high_ns;      /* the highest so far, carried on */
    int64_t shift_ns;     /* what is added now */
    int64_t tolerance_ns; /* stamps that are this much out of order mean nothing here */
    struct stamp_fold *folds;
    size_t fold_count, fold_room;
    struct dp_digest *held; /* that went back, until it is clear why */
    size_t held_count;
};

/* Whether a digest has to wait (stamps_hold takes it); else stamps_carry makes its stamp. */
static inline bool stamps_wait(const struct stamps *s, int64_t ts_ns)
{
    return s->held_count || (s->any && ts_ns + s->shift_ns < s->high_ns - s->tolerance_ns);
}

static inline int64_t stamps_carry(struct stamps *s, int64_t ts_ns)
{
    int64_t t = ts_ns + s->shift_ns;
    if (!s->any || t > s->high_ns)
        s->high_ns = t;
    s->any = true;
    return t;
}

void stamps_begin(struct stamps *s);

/* Keeps a copy of the digest. ret_ready: it is clear now why it went back, and time for stamps_decide. */
int stamps_hold(struct stamps *s, const struct dp_digest *digest, bool *ret_ready) DP_MUST_CHECK;

/* Decides by what is held why the stamps went back; then they can be taken over with stamps_carry. */
int stamps_decide(struct stamps *s) DP_MUST_CHECK;

/* The stamp that the clock itself gave, and what was added to it. */
int64_t stamps_own(const struct stamps *s, int64_t carried_ns);

void stamps_free(struct stamps *s);

#endif
