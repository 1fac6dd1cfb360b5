/* What the parts of pairing.c share. */
#ifndef DROPPOINT_COLLECTOR_LOCATE_PAIRING_H
#define DROPPOINT_COLLECTOR_LOCATE_PAIRING_H

#include "collector/locate/engine.h"
#include "collector/locate/strand.h"

/* A flow that some vantage points have not seen: part of it may go by another name there. */
struct stranger {
    struct flow *flow;
    uint64_t seen; /* bit v: vantage point v has */
};

/* Two strangers that may be one flow. */
struct candidate {
    uint32_t a, b;  /* strangers; a < b */
    bool swapped;   /* b's client is a's server */
    double bits;    /* how much what they have in common tells */
    uint32_t marks; /* how many things that is */
};

/* One sweep's work. */
struct pairing {
    struct dp_locate *l;
    int64_t limit;               /* see pairing_sweep */
    struct strand first, second; /* scratch */
    struct stranger *strangers;
    size_t stranger_count, stranger_room;
    struct candidate *candidates;
    size_t candidate_count, candidate_room;
    size_t joined;
};

/* ---- align.c ---- */
/* Makes the vantage points of a flow number it alike. */
int pairing_align(struct pairing *p, struct flow *flow) DP_MUST_CHECK;
/* A difference of numbers as one of positions: so that these two come near each other. */
int64_t pairing_widened(uint32_t by, uint64_t base, uint64_t position);

/* ---- controls.c ---- */
/* How the sequence numbers of packets without payload differ, where it is known how what they acknowledge
 * does: by `acknowledged`. Else where each side has always the same number. False: cannot be told. */
bool pairing_control_shift(const struct lane *first, const struct lane *second, int64_t acknowledged,
                           uint32_t *ret_by);
bool pairing_idle_shift(const struct lane *first, const struct lane *second, uint32_t *ret_by);
/* How what is acknowledged differs: the same packets (`lags`, by their times) acknowledge it at both points.
 */
bool pairing_answer_shift(const struct ack_lane *first, const struct ack_lane *second, const struct lag *lags,
                          size_t count, int64_t *ret_by);
/* Adds what packets without payload that have the same key show of their time stamps and IP IDs. */
void pairing_compare_controls(const struct lane *first, const struct lane *second, struct likeness *like);

/* ---- marks.c ---- */
/* Which strangers have in common what tells flows apart: payload, time stamps of SYNs, endpoints. Fills
 * p->candidates: for each stranger the few that share most with it. */
int pairing_candidates(struct pairing *p) DP_MUST_CHECK;

/* ---- kinship.c ---- */
enum kinship {
    KINSHIP_NONE,    /* not one flow, or nothing says so */
    KINSHIP_UNCLEAR, /* one flow; whether its packets cross what lies between cannot be told yet */
    KINSHIP_THROUGH, /* the same packets, rewritten */
    KINSHIP_ENDED,   /* a host ends the connection and carries the bytes on in one of its own */
};

#define SURE_VOTES 30 /* leave no doubt about the kind of kinship */

struct relation {
    enum kinship kinship;
    int votes;           /* for THROUGH, negative for ENDED */
    double bits;         /* how sure it is that they are one, as of log2 of the odds */
    int64_t by[2];       /* to add to b's positions of a's halves */
    bool known[2];       /* that is known, for this half */
    uint8_t legs[2];     /* a's and b's leg that meet */
    uint8_t views[2][2]; /* a's and b's vantage point that tell so, for each half */
    bool near_known;     /* which way it runs is known: ... */
    bool client_near;    /* ... the client is at the lower vantage points */
};

/* Lays two strangers side by side. */
int pairing_relate(struct pairing *p, const struct candidate *candidate,
                   struct relation *ret_relation) DP_MUST_CHECK;

/* Whether it is known how the clocks of two vantage points differ; *ret_error: to within so much. */
bool pairing_clocks_agree(const struct dp_locate *l, uint32_t a, uint32_t b, int64_t *ret_error);

/* ---- opener.c ---- */
/* Finds out whether a SYN proxy opened a flow, and which packets are its own. */
void pairing_find_opener(struct dp_locate *l, struct flow *flow);

/* ---- legs.c ---- */
/* Whether two flows can be one that a host in between ends: their legs lie one behind the other. */
bool legs_fit(const struct dp_locate *l, const struct flow *a, const struct flow *b);
/* Makes two flows one, as their relation has it. *ret_joined: whether that can be. */
int legs_join(struct pairing *p, struct flow *a, struct flow *b, bool swapped,
              const struct relation *relation, bool *ret_joined) DP_MUST_CHECK;

#endif
