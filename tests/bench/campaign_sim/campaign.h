/* Random cases as ground truth for the locating engine: TCP and UDP over a path of vantage points, simulated
 * event by event, with faults whose every loss is known. Shares no code with the engine; what the vantage
 * points capture are frames, which the agents' own digester turns into digests. */
#ifndef DROPPOINT_TESTS_BENCH_CAMPAIGN_SIM_CAMPAIGN_H
#define DROPPOINT_TESTS_BENCH_CAMPAIGN_SIM_CAMPAIGN_H

#include "collector/locate/locate.h"
#include "tests/bench/campaign_sim/sim.h"

/* ---- engine and judgement (feed.c, judge.c) ---- */
int feed_engine(struct sim *s, struct dp_report **ret_report) DP_MUST_CHECK;

struct judgement {
    uint64_t seed;
    enum fault_kind fault;
    uint32_t dimensions;
    bool lossy;     /* the fault really did something */
    bool decidable; /* by docs/campaign.md */
    bool located;   /* the first finding names the right stretch */
    bool direction_right, pattern_judged, pattern_right;
    bool counts_judged, packets_right, bytes_right;
    bool false_alarm, excused_alarm;
    bool wrong, wrong_sure; /* a finding where nothing is; with confidence of at least 0.9 */
    bool inconclusive;
    bool size_right;
    double confidence; /* of the first finding; negative: none */
    bool first_right;
    double sim_ms, engine_ms;
    uint64_t records;
    char text[640];
};
void judge(const struct sim *s, const struct dp_report *r, struct judgement *ret);

/* What should be found (expect.c). */
struct expected {
    bool any;                /* something happened */
    enum dp_code code, also; /* also: a name that fits as well; 0 none */
    uint32_t stretch;
    int dir;
    uint8_t others; /* bit i: something of the kind happened in stretch i too */
    bool decidable;
    bool either_way; /* the direction cannot be known */
};
struct expected expect(const struct sim *s);
bool misses_nothing(const struct sim *s);

/* ---- the sum of many cases (tally.c) ---- */
struct tally;
struct tally *tally_new(void);
void tally_add(struct tally *t, const struct judgement *j);
/* Returns 0 where the goals are met. */
int tally_print(FILE *out, const struct tally *t);
void tally_free(struct tally *t);

#endif
