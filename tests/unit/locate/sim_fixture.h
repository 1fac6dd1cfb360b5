/* A test with a simulation of its own, and the session that most tests put something into. */
#ifndef DROPPOINT_TESTS_UNIT_LOCATE_SIM_FIXTURE_H
#define DROPPOINT_TESTS_UNIT_LOCATE_SIM_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/locate/sim.h"

/* What most tests feed: each vantage point's records as a whole, as from files. */
#define SIM_FILES ((struct sim_feed){0})

#define SIM_TEST(function) cmocka_unit_test_setup_teardown(function, sim_setup, sim_teardown)

int sim_setup(void **state);
int sim_teardown(void **state);

/* A session that is up and has sent 20 packets each way, 2 ms apart. Returns its flow; *ret_t: when the
 * client may go on. */
uint32_t sim_session(struct sim *sim, int64_t *ret_t);
/* 20 packets each way 50 ms from t on, and its end. */
void sim_session_end(struct sim *sim, uint32_t flow, int64_t t);

/* 60,000 packets in four flows, some lost in each segment, with the second and third clock off; fed, and
 * compared with the truth. */
void sim_long_run(struct sim *sim, int64_t second, int64_t third, struct sim_feed feed);

#endif
