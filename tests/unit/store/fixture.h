/* A real PostgreSQL for the store's tests: a private cluster in a directory of its own, as an unprivileged
 * user. */
#ifndef DROPPOINT_TESTS_UNIT_STORE_FIXTURE_H
#define DROPPOINT_TESTS_UNIT_STORE_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <libpq-fe.h>
#include <uv.h>

#include "collector/store/cluster.h"
#include "collector/store/store.h"

struct fixture {
    char state[64];
    struct dp_cluster *cluster;
    uv_loop_t loop;
    struct dp_store *store;
    /* what the last plain completion said */
    int done, code;
    char text[512];
};

/* Makes the directory and becomes an unprivileged user; skips (exit 77) where there is none. Before all else.
 */
void fixture_begin(struct fixture *f);
void fixture_end(struct fixture *f);

void open_store(struct fixture *f);
void close_store(struct fixture *f);
/* Runs the loop until *counter reaches `target`, at most a minute. */
void run_until(struct fixture *f, const int *counter, int target);
dp_store_done on_done; /* context: the fixture */

/* One number from the database, over a connection of its own. */
int64_t ask(struct fixture *f, const char *sql);
void must_sql(struct fixture *f, const char *sql);

int group_recovery(struct fixture *f);
int group_probes(struct fixture *f);

#endif
