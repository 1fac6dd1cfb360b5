/* droppoint-agent as a whole, against a collector's link: enrolment, captures, streams under credit, and what
 * is left when one of the two dies. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <ftw.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/agent/collector.h"

#define SOON 8000

static int setup(void **state)
{
    struct collector *c = malloc(sizeof *c);
    if (!c)
        return -1;
    collector_open(c);
    *state = c;
    return 0;
}

static int teardown(void **state)
{
    collector_close(*state);
    free(*state);
    return 0;
}

static void connect_agent(struct collector *c, const char *configuration, const char *policy)
{
    agent_start(c, configuration, policy);
    assert_true(run_until(c, &c->hellos, 1, SOON));
    assert_string_equal(c->name, "mx1");
}

static void run_capture(struct collector *c, const char *capture_id, const char *interface)
{
    unsigned readies = c->readies;
    send_prepare(c, capture_id, interface, "port 25");
    assert_true(run_until(c, &c->readies, readies + 1, SOON));
    if (!c->ready_ok)
        fail_msg("%s: %s", c->ready_error, c->ready_text);
    send_start(c, capture_id);
}

static void test_unapproved_agent_waits_then_connects(void **state)
{
    struct collector *c = *state;
    c->role = DP_ROLE_NONE;
    agent_start(c, "", "");
    assert_true(run_until(c, &c->asked, 1, SOON));
    run_for(c, 200);
    assert_int_equal(c->hellos, 0);
    c->role = DP_ROLE_AGENT;
    assert_true(run_until(c, &c->hellos, 1, SOON));
}

static void test_capture_arrives_whole_and_closes(void **state)
{
    struct collector *c = *state;
    connect_agent(c, "", "filter: tcp\n");
    run_capture(c, "c1", "fast0");
    assert_string_equal(c->ready_filter, "(tcp) and (port 25)");
    assert_true(run_until(c, &c->closes, 1, SOON));
    assert_int_equal(c->streams[0].received, 5);
    assert_int_equal(c->streams[0].records, 50);
    assert_int_equal(c->streams[0].gaps, 0);
    assert_true(c->streams[0].texts);
    assert_string_equal(c->streams[0].capture_id, "c1");
    assert_string_equal(c->streams[0].vantage, "mx1/fast0");
    assert_true(run_until(c, &c->states_ended, 1, SOON));
    assert_string_equal(c->end_reason, "duration");
    /* All is acknowledged, once the acknowledgement is there: a new connection has nothing to open. */
    run_for(c, 1000);
    dp_link_close(c->link);
    collector_listen(c, c->endpoint);
    assert_true(run_until(c, &c->hellos, 2, SOON));
    run_for(c, 300);
    assert_int_equal(c->streams[0].opened, 1);
    assert_int_equal(c->faults, 0);
}

static void test_two_vantage_points_start_together_and_stop(void **state)
{
    struct collector *c = *state;
    connect_agent(c, "", "");
    send_prepare(c, "c1", "wait0", "");
    send_prepare(c, "c1", "wait1", "");
    assert_true(run_until(c, &c->readies, 2, SOON));
    run_for(c, 200);
    assert_int_equal(c->batches, 0); /* nothing before the start */
    send_start(c, "c1");
    assert_true(run_until(c, &c->batches, 10, SOON));
    assert_int_equal(c->stream_count, 2);
    send_stop(c, "c1");
    assert_true(run_until(c, &c->closes, 2, SOON));
    assert_true(run_until(c, &c->states_ended, 2, SOON));
    assert_string_equal(c->end_reason, "stopped");
    assert_int_equal(c->faults, 0);
}

static void test_refusals_name_the_reason(void **state)
{
    struct collector *c = *state;
    connect_agent(c, "", "interfaces: ['wait*', bad0]\npayload: never\n");
    static const struct {
        const char *interface, *filter, *error;
    } cases[] = {
        {"fast0", "", "denied"},
        {"wait0", "tcp) or (udp", "filter"},
        {"bad0", "", "filter"},
    };
    for (unsigned i = 0; i < 3; i++) {
        send_prepare(c, "c1", cases[i].interface, cases[i].filter);
        assert_true(run_until(c, &c->readies, i + 1, SOON));
        assert_false(c->ready_ok);
        assert_string_equal(c->ready_error, cases[i].error);
        assert_true(c->ready_text[0] != '\0');
    }
    run_capture(c, "c2", "wait0");
    send_prepare(c, "c2", "wait0", "");
    assert_true(run_until(c, &c->readies, 5, SOON));
    assert_string_equal(c->ready_error, "exists");
    send_export(c, "c2", "mx1/wait0");
    assert_true(run_until(c, &c->chunks, 1, SOON));
    assert_string_equal(c->chunk_error, "denied");
    assert_int_equal(c->faults, 0);
}

static void test_export_without_ring_says_so(void **state)
{
    struct collector *c = *state;
    connect_agent(c, "", "");
    send_export(c, "c9", "mx1/wait0");
    assert_true(run_until(c, &c->chunks, 1, SOON));
    assert_string_equal(c->chunk_error, "not-found");
}

static void test_reply_texts_stay_where_the_policy_says_so(void **state)
{
    struct collector *c = *state;
    connect_agent(c, "", "smtp_reply_text: false\n");
    run_capture(c, "c1", "fast0");
    assert_true(run_until(c, &c->closes, 1, SOON));
    assert_int_equal(c->streams[0].records, 50);
    assert_false(c->streams[0].texts);
}

static void test_crash_of_the_capture_process_is_a_gap(void **state)
{
    struct collector *c = *state;
    connect_agent(c, "", "");
    run_capture(c, "c1", "crash0");
    assert_true(run_until(c, &c->closes, 1, SOON));
    assert_int_equal(c->streams[0].records, 20);
    assert_int_equal(c->streams[0].gaps, 1);
    assert_int_equal(c->streams[0].gap_packets, 0); /* an unknown number */
    assert_true(run_until(c, &c->states_ended, 1, SOON));
    assert_string_equal(c->end_reason, "crash");
    assert_int_equal(c->faults, 0);
}

static void test_nothing_is_sent_without_credit(void **state)
{
    struct collector *c = *state;
    c->credit = 0;
    c->return_credit = false;
    connect_agent(c, "", "");
    run_capture(c, "c1", "fast0");
    assert_true(run_until(c, &c->states_ended, 1, SOON));
    run_for(c, 1500);
    assert_int_equal(c->batches, 0);
    send_credit(c, 1 << 20);
    assert_true(run_until(c, &c->closes, 1, SOON));
    assert_int_equal(c->streams[0].received, 5);
    uint64_t first = c->streams[0].bytes;
    /* Credit for one batch and a little is credit for one batch. */
    send_credit(c, 0);
    c->credit = first / 5 + first / 10;
    dp_link_close(c->link);
    collector_listen(c, c->endpoint);
    assert_true(run_until(c, &c->hellos, 2, SOON));
    run_capture(c, "c2", "fast0");
    assert_true(run_until(c, &c->states_ended, 2, SOON));
    run_for(c, 1500);
    assert_int_equal(c->batches, 6);
    assert_int_equal(c->faults, 0);
}

static void test_collector_restart_loses_and_repeats_nothing(void **state)
{
    struct collector *c = *state;
    connect_agent(c, "", "");
    run_capture(c, "c1", "wait0");
    assert_true(run_until(c, &c->batches, 5, SOON));
    c->hold_acks = true; /* committed, but the acknowledgement is lost */
    assert_true(run_until(c, &c->batches, 15, SOON));
    dp_link_close(c->link);
    collector_listen(c, c->endpoint);
    c->hold_acks = false;
    assert_true(run_until(c, &c->hellos, 2, SOON));
    assert_true(run_until(c, &c->batches, 25, SOON));
    send_stop(c, "c1");
    assert_true(run_until(c, &c->closes, 1, SOON));
    assert_int_equal(c->streams[0].opened, 2);
    assert_int_equal(c->streams[0].records, 10 * c->streams[0].received);
    assert_int_equal(c->faults, 0);
}

static void test_lost_batches_are_sent_again(void **state)
{
    struct collector *c = *state;
    connect_agent(c, "", "");
    run_capture(c, "c1", "wait0");
    assert_true(run_until(c, &c->batches, 5, SOON));
    c->deaf = true;
    assert_true(run_until(c, &c->lost, 10, SOON));
    c->deaf = false;
    send_resumes(c); /* in the same session, as on a gap */
    assert_true(run_until(c, &c->batches, 20, SOON));
    c->deaf = true;
    assert_true(run_until(c, &c->lost, 20, SOON));
    dp_link_close(c->link);
    collector_listen(c, c->endpoint);
    c->deaf = false;
    assert_true(run_until(c, &c->batches, 35, SOON));
    send_stop(c, "c1");
    assert_true(run_until(c, &c->closes, 1, SOON));
    assert_int_equal(c->streams[0].records, 10 * c->streams[0].received);
    assert_int_equal(c->faults, 0);
}

static void test_killed_agent_keeps_what_was_synced(void **state)
{
    struct collector *c = *state;
    c->return_credit = false;
    c->credit = 0;
    connect_agent(c, "", "");
    uint64_t epoch = c->epoch;
    run_capture(c, "c1", "wait0");
    run_for(c, 3000); /* some seconds' worth is synced, none is sent */
    agent_signal(c, SIGKILL);
    assert_true(run_until(c, &c->exits, 1, SOON));
    assert_int_equal(c->batches, 0);
    c->credit = 64 << 20;
    agent_start(c, "", "");
    assert_true(run_until(c, &c->hellos, 2, SOON));
    assert_true(c->epoch > epoch);
    assert_true(run_until(c, &c->closes, 1, SOON));
    assert_int_equal(c->streams[0].epoch, epoch);
    assert_true(c->streams[0].received >= 20); /* two seconds of three, a batch each 50 ms */
    assert_string_equal(c->end_reason, "crash");
    assert_int_equal(c->faults, 0);
}

static void test_signal_ends_captures_and_the_agent(void **state)
{
    struct collector *c = *state;
    connect_agent(c, "", "");
    run_capture(c, "c1", "wait0");
    assert_true(run_until(c, &c->batches, 3, SOON));
    agent_signal(c, SIGTERM);
    assert_true(run_until(c, &c->exits, 1, SOON));
    assert_int_equal(c->exit_status, 0);
    assert_int_equal(c->exit_signal, 0);
    run_for(c, 200);
    assert_int_equal(c->states_ended, 1);
    assert_string_equal(c->end_reason, "stopped");
    /* What did not leave in time is there at the next start, and nothing says crash. */
    if (c->closes == 0) {
        agent_start(c, "", "");
        assert_true(run_until(c, &c->closes, 1, SOON));
        assert_string_equal(c->end_reason, "stopped");
    }
    assert_int_equal(c->faults, 0);
}

static void test_unwanted_stream_stops_its_capture(void **state)
{
    struct collector *c = *state;
    c->refuse_streams = true;
    connect_agent(c, "", "");
    run_capture(c, "c1", "wait0");
    assert_true(run_until(c, &c->states_ended, 1, SOON));
    assert_string_equal(c->end_reason, "stopped");
    assert_int_equal(c->batches, 0);
}

static void test_full_spool_holds_the_capture_back(void **state)
{
    struct collector *c = *state;
    c->hold_acks = true;
    connect_agent(c, "spool_bytes: 1MiB\n", "");
    run_capture(c, "c1", "flood0");
    unsigned batches = 0;
    for (int seconds = 0; seconds < 30 && (batches == 0 || batches != c->batches); seconds++) {
        batches = c->batches;
        run_for(c, 1000);
    }
    assert_int_equal(c->batches, batches); /* it stands still */
    uint64_t held = c->streams[0].bytes;
    assert_true(held > 256 << 10 && held <= 1 << 20);
    send_acks(c);
    assert_true(run_until(c, &c->batches, batches + batches / 2, SOON)); /* room again, nothing lost */
    assert_int_equal(c->streams[0].gaps, 0);
    /* Stopped while full: what does not fit is counted, not forgotten. */
    run_for(c, 2000);
    send_stop(c, "c1");
    assert_true(run_until(c, &c->states_ended, 1, 10000));
    c->hold_acks = false;
    send_acks(c);
    assert_true(run_until(c, &c->closes, 1, SOON));
    assert_true(c->streams[0].gaps >= 1 && c->streams[0].gap_packets >= 4096);
    assert_int_equal(c->faults, 0);
}

/* A point that sees nothing says so, through the policy's cut and a collector that dies. What finds the spool
 * full is no loss. */
static void test_silence_is_told_and_leaves_no_gap(void **state)
{
    struct collector *c = *state;
    connect_agent(c, "spool_bytes: 1MiB\n", "smtp_reply_text: false\n");
    run_capture(c, "c1", "idle0");
    assert_true(run_until(c, &c->batches, 10, SOON));
    assert_true(c->streams[0].complete_ns > 1600000000000000000);
    int64_t before = c->streams[0].complete_ns;
    dp_link_close(c->link);
    collector_listen(c, c->endpoint);
    assert_true(run_until(c, &c->hellos, 2, SOON));
    assert_true(run_until(c, &c->batches, c->batches + 10, SOON));
    assert_true(c->streams[0].complete_ns > before);
    c->hold_acks = true;
    run_capture(c, "c2", "flood0");
    unsigned batches = 0;
    for (int seconds = 0; seconds < 30 && (batches == 0 || batches != c->batches); seconds++) {
        batches = c->batches;
        run_for(c, 1000);
    }
    send_stop(c, "c1");
    send_stop(c, "c2");
    assert_true(run_until(c, &c->states_ended, 2, 10000));
    c->hold_acks = false;
    send_acks(c);
    assert_true(run_until(c, &c->closes, 2, SOON));
    assert_int_equal(c->streams[0].records + c->streams[0].gaps, 0);
    assert_true(c->streams[1].gaps >= 1); /* the spool was full indeed */
    assert_int_equal(c->faults, 0);
}

static uint64_t bytes_below; /* nftw has no context */

static int add_bytes(const char *path, const struct stat *st, int type, struct FTW *place)
{
    (void)path;
    (void)place;
    bytes_below += type == FTW_F ? (uint64_t)st->st_size : 0;
    return 0;
}

static uint64_t rings_of(const struct collector *c)
{
    char path[128];
    (void)snprintf(path, sizeof path, "%s/state/rings", c->directory);
    bytes_below = 0;
    (void)nftw(path, add_bytes, 8, FTW_PHYS);
    return bytes_below;
}

/* Running captures and old ones: together never more than the bound, and a late one gets its share. */
static void test_rings_keep_their_bound_together(void **state)
{
    struct collector *c = *state;
    const uint64_t all = 8 << 20;
    c->ring_bytes = 6 << 20;
    connect_agent(c, "ring_bytes: 8MiB\n", "");
    static const char *const interfaces[] = {"ring0", "ring1", "ring2", "ring3", "ring4", "ring5"};
    uint64_t before = 0;
    for (unsigned i = 0; i < 4; i++) { /* 4 MiB, 2, 1 and a half */
        char id[8];
        (void)snprintf(id, sizeof id, "c%u", i);
        run_capture(c, id, interfaces[i]);
        uint64_t now = rings_of(c);
        assert_true(now > before && now <= all);
        before = now;
    }
    run_capture(c, "c4", interfaces[4]); /* too little is left for a ring: it captures all the same */
    assert_int_equal(rings_of(c), before);
    send_stop(c, "c0");
    send_stop(c, "c1");
    assert_true(run_until(c, &c->states_ended, 2, SOON));
    assert_int_equal(rings_of(c), before); /* they stay until room is needed */
    run_capture(c, "c5", interfaces[5]);
    assert_true(rings_of(c) <= all && rings_of(c) > all / 2);
    assert_int_equal(c->faults, 0);
}

static void test_second_agent_on_the_same_state_is_refused(void **state)
{
    struct collector *c = *state;
    connect_agent(c, "", "");
    char command[512];
    (void)snprintf(command, sizeof command,
                   AGENT_PROGRAM " --config %s/agent.yaml --collector-key '%s' 2>/dev/null", c->directory,
                   c->keys.public_z85);
    int status = system(command);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 1);
}

static void test_policy_is_read_anew(void **state)
{
    struct collector *c = *state;
    connect_agent(c, "", "interfaces: [eth9]\n");
    send_prepare(c, "c1", "wait0", "");
    assert_true(run_until(c, &c->readies, 1, SOON));
    assert_false(c->ready_ok);
    char path[128];
    (void)snprintf(path, sizeof path, "%s/policy.yaml", c->directory);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_int_equal(fclose(file), 0);
    agent_signal(c, SIGHUP);
    run_for(c, 300);
    send_prepare(c, "c1", "wait0", "");
    assert_true(run_until(c, &c->readies, 2, SOON));
    assert_true(c->ready_ok);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_unapproved_agent_waits_then_connects),
        TEST(test_capture_arrives_whole_and_closes),
        TEST(test_two_vantage_points_start_together_and_stop),
        TEST(test_refusals_name_the_reason),
        TEST(test_export_without_ring_says_so),
        TEST(test_reply_texts_stay_where_the_policy_says_so),
        TEST(test_crash_of_the_capture_process_is_a_gap),
        TEST(test_nothing_is_sent_without_credit),
        TEST(test_collector_restart_loses_and_repeats_nothing),
        TEST(test_lost_batches_are_sent_again),
        TEST(test_killed_agent_keeps_what_was_synced),
        TEST(test_signal_ends_captures_and_the_agent),
        TEST(test_unwanted_stream_stops_its_capture),
        TEST(test_full_spool_holds_the_capture_back),
        TEST(test_silence_is_told_and_leaves_no_gap),
        TEST(test_rings_keep_their_bound_together),
        TEST(test_second_agent_on_the_same_state_is_refused),
        TEST(test_policy_is_read_anew),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
