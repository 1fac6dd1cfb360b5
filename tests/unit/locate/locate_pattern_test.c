/* Each pattern of loss, made by its cause, with twenty different courses of events. */
#include "tests/unit/locate/sim_fixture.h"
#include "tests/unit/locate/sim_load.h"

enum { SEEDS = 20 };

/* What a fault remembers. */
struct fault {
    int64_t from;  /* of an outage of everything */
    double tokens; /* of a policer, bytes */
    double rate;   /* bytes in a second */
    double depth;
    int64_t last;
    uint32_t largest_passed;
};

struct cause {
    enum dp_pattern pattern;
    bool (*drop)(struct sim *sim, void *context, const struct sim_crossing *crossing);
    struct sim_load load;
    struct fault fault;
    double share_from, share_to;
};

static void run_cause(const struct cause *cause, uint64_t seed)
{
    struct sim sim;
    sim_begin(&sim, 3);
    sim.random ^= seed * 0x9e3779b97f4a7c15ULL;
    struct fault fault = cause->fault;
    struct sim_load load = cause->load;
    load.begin = 100 * SIM_MS;
    load.segment = 1;
    load.drop = cause->drop;
    load.context = &fault;
    sim_load(&sim, &load);
    struct dp_report *r = sim_run(&sim, SIM_FILES);
    if (r->verdict != DP_CODE_LOSS || r->findings[0].pattern != cause->pattern)
        print_error("seed %llu: %s\n", (unsigned long long)seed, r->verdict_summary);
    sim_assert_loss_at(&sim, r, 1, DP_FORWARD);
    const struct dp_finding *f = &r->findings[0];
    assert_int_equal(f->pattern, cause->pattern);
    assert_true(f->share >= cause->share_from && f->share <= cause->share_to);
    assert_true(f->confidence > 0.5 && f->confidence <= 1);
    if (cause->pattern == DP_PATTERN_SIZE)
        assert_int_equal(f->size_over, fault.largest_passed);
    dp_report_free(r);
    sim_end(&sim);
}

static void run_seeds(const struct cause *cause)
{
    for (uint64_t seed = 1; seed <= SEEDS; seed++)
        run_cause(cause, seed);
}

#define USUAL_LOAD                                                                                           \
    {                                                                                                        \
        .flows = 12, .spread = SIM_S, .packets = 150, .apart = 8 * SIM_MS, .small = 30                       \
    }

/* One client in four does not get through. */
static bool drop_syns(struct sim *sim, void *context, const struct sim_crossing *x)
{
    (void)sim;
    (void)context;
    return x->direction == DP_FORWARD && (x->flags & DP_TCP_SYN) && x->flow % 4 == 1;
}

static void test_handshake(void **state)
{
    (void)state;
    run_seeds(&(struct cause){DP_PATTERN_HANDSHAKE, drop_syns, USUAL_LOAD, {0}, 0.001, 0.05});
}

static bool drop_large(struct sim *sim, void *context, const struct sim_crossing *x)
{
    struct fault *fault = context;
    (void)sim;
    if (x->direction == DP_FORWARD && x->ip_len > 1400)
        return true;
    if (x->direction == DP_FORWARD && x->ip_len > fault->largest_passed)
        fault->largest_passed = x->ip_len;
    return false;
}

static void test_size(void **state)
{
    (void)state;
    run_seeds(&(struct cause){DP_PATTERN_SIZE,
                              drop_large,
                              {.flows = 12, .spread = SIM_S, .packets = 60, .apart = 8 * SIM_MS, .small = 60},
                              {0},
                              0.1,
                              0.95});
}

/* From some moment on one flow in five passes nothing. */
static bool drop_some_flows(struct sim *sim, void *context, const struct sim_crossing *x)
{
    const struct fault *fault = context;
    (void)sim;
    return x->direction == DP_FORWARD && x->flow % 5 == 2 && x->t > fault->from;
}

static void test_flows(void **state)
{
    (void)state;
    run_seeds(
        &(struct cause){DP_PATTERN_FLOWS, drop_some_flows, USUAL_LOAD, {.from = 1300 * SIM_MS}, 0.01, 0.6});
}

static bool drop_all(struct sim *sim, void *context, const struct sim_crossing *x)
{
    const struct fault *fault = context;
    (void)sim;
    return x->direction == DP_FORWARD && x->t > fault->from;
}

static void test_all(void **state)
{
    (void)state;
    run_seeds(&(struct cause){
        DP_PATTERN_ALL,
        drop_all,
        {.flows = 12, .spread = SIM_S, .packets = 150, .apart = 8 * SIM_MS, .small = 30, .until = 6 * SIM_S},
        {.from = 1600 * SIM_MS},
        0.05,
        0.9});
}

/* Everything is lost for 60 ms now and then. */
static bool drop_in_outages(struct sim *sim, void *context, const struct sim_crossing *x)
{
    (void)sim;
    (void)context;
    return x->direction == DP_FORWARD && (x->t + 100 * SIM_MS) % (500 * SIM_MS) < 60 * SIM_MS;
}

static void test_burst(void **state)
{
    (void)state;
    run_seeds(&(struct cause){DP_PATTERN_BURST, drop_in_outages, USUAL_LOAD, {0}, 0.03, 0.3});
}

/* A policer: what finds the bucket empty is dropped. */
static bool police(struct sim *sim, void *context, const struct sim_crossing *x)
{
    struct fault *fault = context;
    (void)sim;
    if (x->direction != DP_FORWARD)
        return false;
    fault->tokens += (double)(x->t - fault->last) / 1e9 * fault->rate;
    fault->last = x->t;
    if (fault->tokens > fault->depth)
        fault->tokens = fault->depth;
    if (fault->tokens < x->ip_len)
        return true;
    fault->tokens -= x->ip_len;
    return false;
}

static void test_rate(void **state)
{
    (void)state;
    run_seeds(&(struct cause){
        DP_PATTERN_RATE,
        police,
        {.flows = 12, .spread = SIM_S, .packets = 300, .apart = 60 * SIM_MS, .train = 10, .small = 10},
        {.rate = 2.5e6, .depth = 30000, .tokens = 30000},
        0.005,
        0.5});
}

static bool drop_at_random(struct sim *sim, void *context, const struct sim_crossing *x)
{
    (void)context;
    return x->direction == DP_FORWARD && sim_random(sim, 1000) < 20;
}

static void test_random(void **state)
{
    (void)state;
    run_seeds(&(struct cause){DP_PATTERN_RANDOM, drop_at_random, USUAL_LOAD, {0}, 0.008, 0.04});
}

/* A lossy link loses also where the load comes in trains. */
static void test_random_of_trains(void **state)
{
    (void)state;
    run_seeds(&(struct cause){
        DP_PATTERN_RANDOM,
        drop_at_random,
        {.flows = 12, .spread = SIM_S, .packets = 300, .apart = 60 * SIM_MS, .train = 10, .small = 10},
        {0},
        0.008,
        0.04});
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_handshake), cmocka_unit_test(test_size),
        cmocka_unit_test(test_flows),     cmocka_unit_test(test_all),
        cmocka_unit_test(test_burst),     cmocka_unit_test(test_rate),
        cmocka_unit_test(test_random),    cmocka_unit_test(test_random_of_trains),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
