/* Strands: the payload that one vantage point saw of one half of a flow, in order of position, so that two of
 * them can be laid side by side. What they have in common tells how their numbers differ. */
#ifndef DROPPOINT_COLLECTOR_LOCATE_STRAND_H
#define DROPPOINT_COLLECTOR_LOCATE_STRAND_H

#include "collector/locate/engine.h"

/* Observations in order of position, copies of the same in order of capture. */
struct strand {
    const struct observation **items;
    size_t count, room;
};

/* Takes what waits in a lane, but SYNs; of a long one the beginning, and of the rest what has the lowest
 * hashes, so that two strands of one stream have packets in common. DP_ERR_NOMEM. */
int strand_take(const struct lane *lane, struct strand *strand) DP_MUST_CHECK;
/* Only the first few. DP_ERR_NOMEM. */
int strand_glance(const struct lane *lane, struct strand *strand) DP_MUST_CHECK;
void strand_free(struct strand *strand);
/* The first SYN of a lane; NULL: none. */
const struct observation *strand_syn(const struct lane *lane);

#define LAGS 64

/* When a packet was seen, each by its own vantage point's clock. */
struct lag {
    int64_t first_ns, second_ns;
};

/* Two strands of a half side by side, the second one's positions moved. */
struct likeness {
    uint32_t same, different;        /* positions where both have a packet: with the same payload, or not */
    uint32_t lengths;                /* of the same ones: those of the same length */
    uint32_t stamps, equal_stamps;   /* ... with TCP time stamps */
    uint32_t half_stamped;           /* ... with one in one strand only */
    uint32_t windows, equal_windows; /* ... without payload */
    uint32_t ids, equal_ids;         /* ... with IP IDs: a merged packet has that of the first in it */
    uint32_t ttl_lower, ttl_higher;  /* ... whose TTL is a little lower, or higher, at the second */
    uint32_t ts_by, ts_votes; /* to add to the second one's time stamps, as most have it; so many ... */
    uint32_t ts_asked;        /* ... of these, which were sent once */
    /* The run of equal ones that goes on to the end: how many, and where it begins by the first's numbers. */
    uint32_t run;
    uint64_t from;
    struct lag lags[LAGS]; /* of the run's packets, the first copy of each */
    size_t lag_count;
};
void strands_compare(const struct strand *first, const struct strand *second, int64_t by,
                     struct likeness *ret_likeness);

/* What has to be added to the second one's positions for the same payload to lie at the same position, by
 * what each shows at one position only. */
struct shift {
    int64_t by;
    uint32_t votes;  /* packets for which it is so */
    uint32_t others; /* for which the next best would be */
};
int strands_shift(const struct strand *first, const struct strand *second,
                  struct shift *ret_shift) DP_MUST_CHECK;
/* Whether it is more than chance: packets that only look alike lie near each other. */
bool shift_trusted(const struct shift *shift);

#endif
