#include "collector/locate/stamps.h"

#include <stdlib.h>

#include "collector/locate/grow.h"
#include "common/digest/digest.h"

#define TOLERANCE_NS 20000000LL /* 20 ms */
#define TOLERANCE_MOST_NS 2000000000LL
#define HELD_LEAST 4 /* that must have gone back where nothing more comes */
#define FOLDS_MOST 256

void stamps_begin(struct stamps *s)
{
    s->tolerance_ns = TOLERANCE_NS;
}

void stamps_free(struct stamps *s)
{
    free(s->folds);
    free(s->held);
}

/* What was held was out of order: as much again is nothing to wonder about here. */
static void tolerate(struct stamps *s)
{
    int64_t back = s->high_ns - (s->held[0].ts_ns + s->shift_ns);
    if (back > s->tolerance_ns / 2)
        s->tolerance_ns = back < TOLERANCE_MOST_NS / 2 ? back * 2 : TOLERANCE_MOST_NS;
}

static int fold(struct stamps *s)
{
    int64_t least = s->held[0].ts_ns;
    for (size_t i = 1; i < s->held_count; i++)
        least = s->held[i].ts_ns < least ? s->held[i].ts_ns : least;
    int code = dp_grow(&s->folds, &s->fold_room, s->fold_count + 1, sizeof *s->folds);
    if (code)
        return code;
    int64_t back = s->high_ns - (least + s->shift_ns);
    s->shift_ns += back + 1;
    s->folds[s->fold_count++] = (struct stamp_fold){s->high_ns + 1, s->shift_ns, back};
    return DP_OK;
}

/* Late packets are followed by a leap back to where the others are; a clock that was set goes on smoothly. */
static bool smooth(const struct stamps *s)
{
    int64_t back = s->high_ns - (s->held[0].ts_ns + s->shift_ns), leap = 0;
    for (size_t i = 1; i < s->held_count; i++)
        if (s->held[i].ts_ns - s->held[i - 1].ts_ns > leap)
            leap = s->held[i].ts_ns - s->held[i - 1].ts_ns;
    return leap < back / 2;
}

/* No clock is set back again and again within moments: blocks of several interfaces are what alternates. */
static bool alternates(const struct stamps *s)
{
    if (s->fold_count < 3)
        return false;
    const struct stamp_fold *third = &s->folds[s->fold_count - 3];
    return s->fold_count == FOLDS_MOST || s->high_ns - third->at_ns < 20 * third->back_ns;
}

int stamps_decide(struct stamps *s)
{
    if (s->held_count >= HELD_LEAST && smooth(s) && !alternates(s))
        return fold(s);
    if (s->held_count)
        tolerate(s);
    return DP_OK;
}

int stamps_hold(struct stamps *s, const struct dp_digest *digest, bool *ret_ready)
{
    if (!s->held) {
        s->held = malloc(STAMPS_HELD * sizeof *s->held);
        if (!s->held)
            return DP_ERR_NOMEM;
    }
    s->held[s->held_count++] = *digest;
    *ret_ready = s->held_count == STAMPS_HELD || digest->ts_ns + s->shift_ns >= s->high_ns;
    return DP_OK;
}

int64_t stamps_own(const struct stamps *s, int64_t carried_ns)
{
    size_t i = s->fold_count;
    while (i > 0 && carried_ns < s->folds[i - 1].at_ns)
        i--;
    return i ? carried_ns - s->folds[i - 1].shift_ns : carried_ns;
}
