/* The road in, against an agent and a store that are this test's own: what happens when there is no room. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "collector/run/run_internal.h"
#include "common/wire/wire.h"

#define BATCHES 300
#define LEN 1000
#define CREDIT ((uint64_t)64 * LEN)

struct job {
    dp_store_batch_done *done;
    void *context;
    uint64_t number;
};

static struct {
    struct dp_run run;
    struct run_capture capture;
    struct run_agent agent;
    /* the agent's side */
    uint64_t credit, next, acked;
    unsigned resumes;
    /* the store's side */
    struct job queue[BATCHES];
    size_t queued, room, pending;
    uint64_t watermark;
    dp_store_stream_done *opened;
    void *opened_context;
} w;

/* --- the store --- */

int dp_store_batch(struct dp_store *store, const struct dp_stream_key *key, uint64_t number, uint32_t records,
                   const uint8_t *payload, size_t len, dp_store_batch_done *done, void *context)
{
    (void)store;
    (void)key;
    (void)records;
    (void)payload;
    (void)len;
    if (w.queued >= w.room)
        return DP_ERR_FULL;
    w.queue[w.queued++] = (struct job){done, context, number};
    return DP_OK;
}

size_t dp_store_pending(const struct dp_store *store)
{
    (void)store;
    return w.pending;
}

int dp_store_stream_open(struct dp_store *store, const struct dp_stream_key *key, const char *agent_key,
                         const char *vantage, int kind, dp_store_stream_done *done, void *context)
{
    (void)store;
    (void)key;
    (void)agent_key;
    (void)vantage;
    (void)kind;
    if (w.room == 0)
        return DP_ERR_FULL;
    w.opened = done;
    w.opened_context = context;
    return DP_OK;
}

int dp_store_stream_close(struct dp_store *store, const struct dp_stream_key *key, uint64_t last,
                          dp_store_done *done, void *context)
{
    (void)store;
    (void)key;
    assert_int_equal(last, BATCHES);
    done(context, DP_OK, "");
    return DP_OK;
}

/* Commits what is queued. */
static void store_works(void)
{
    for (size_t i = 0; i < w.queued; i++) {
        assert_int_equal(w.queue[i].number, w.watermark + 1);
        w.watermark++;
        w.queue[i].done(w.queue[i].context, DP_OK, w.watermark);
    }
    w.queued = 0;
}

/* --- what else the road in needs of collector/run --- */

void run_send(struct dp_run *run, struct dp_peer *peer, uint64_t request, Droppoint__Envelope *envelope)
{
    (void)run;
    (void)peer;
    (void)request;
    if (envelope->body_case == DROPPOINT__ENVELOPE__BODY_CREDIT)
        w.credit += envelope->credit->bytes;
    else if (envelope->body_case == DROPPOINT__ENVELOPE__BODY_STREAM_ACK)
        w.acked = envelope->stream_ack->number;
    else if (envelope->body_case == DROPPOINT__ENVELOPE__BODY_STREAM_RESUME)
        w.next = envelope->stream_resume->next, w.resumes++;
    else
        fail_msg("the agent is sent message %d", (int)envelope->body_case);
}

struct run_capture *run_capture_find(struct dp_run *run, const char *id)
{
    (void)run;
    (void)id;
    return &w.capture;
}

struct run_vantage *run_capture_vantage(struct run_capture *capture, const char *vantage)
{
    (void)vantage;
    return &capture->vantages[0];
}

void run_capture_release(struct run_capture *capture)
{
    capture->holds--;
}

void run_capture_check_end(struct run_capture *capture)
{
    (void)capture;
}

void run_recover_for(struct dp_run *run, struct run_agent *agent, const Droppoint__StreamOpen *open)
{
    (void)run;
    (void)agent;
    (void)open;
    fail();
}

/* No stream here is one of probes. */
void run_probe_stream_open(struct dp_run *run, struct run_agent *agent, const Droppoint__StreamOpen *open)
{
    (void)run;
    (void)agent;
    (void)open;
    fail();
}

bool run_probe_stream_data(struct dp_run *run, struct run_agent *agent, const Droppoint__StreamData *data)
{
    (void)run;
    (void)agent;
    (void)data;
    return false;
}

bool run_probe_stream_close(struct dp_run *run, struct run_agent *agent, const Droppoint__StreamClose *close)
{
    (void)run;
    (void)agent;
    (void)close;
    return false;
}

void run_recover_eaten(struct run_capture *capture)
{
    (void)capture;
    fail();
}

int dp_engine_feed(struct dp_engine *engine, uint32_t vantage, const uint8_t *bytes, size_t len, void *tag)
{
    (void)engine;
    (void)vantage;
    (void)bytes;
    (void)len;
    (void)tag;
    return DP_ERR_NOMEM;
}

/* --- the agent --- */

static void agent_opens(void)
{
    Droppoint__StreamOpen open = DROPPOINT__STREAM_OPEN__INIT;
    open.epoch = 9;
    open.stream = 1;
    open.capture_id = (char *)"c";
    open.vantage = (char *)"mx1/eth0";
    run_stream_open(&w.run, &w.agent, &open);
    if (w.opened != NULL)
        w.opened(w.opened_context, DP_OK, "", 0, false, 0);
    w.opened = NULL;
}

/* Sends as long as credit lasts. */
static void agent_works(void)
{
    static uint8_t payload[LEN];
    for (; w.next != 0 && w.next <= BATCHES && w.credit >= LEN; w.next++) {
        Droppoint__StreamData data = DROPPOINT__STREAM_DATA__INIT;
        data.epoch = 9;
        data.stream = 1;
        data.number = w.next;
        data.records = 1;
        data.crc32c = dp_crc32c(0, payload, sizeof payload);
        data.payload = (ProtobufCBinaryData){.len = sizeof payload, .data = payload};
        w.credit -= LEN;
        run_stream_data(&w.run, &w.agent, &data);
    }
}

static void agent_closes(void)
{
    Droppoint__StreamClose close = DROPPOINT__STREAM_CLOSE__INIT;
    close.epoch = 9;
    close.stream = 1;
    close.last = BATCHES;
    run_stream_close(&w.run, &w.agent, &close);
}

static int begin(void **state)
{
    (void)state;
    memset(&w, 0, sizeof w);
    w.run.agents = NULL;
    HASH_ADD_STR(w.run.agents, row.key, &w.agent);
    w.capture.run = &w.run;
    w.capture.phase = PHASE_RUNNING;
    w.capture.vantage_count = 1;
    w.credit = CREDIT;
    w.room = BATCHES;
    w.run.loop = uv_default_loop();
    return 0;
}

static int end(void **state)
{
    (void)state;
    run_stream_free(w.capture.vantages[0].stream);
    HASH_CLEAR(hh, w.run.agents);
    return 0;
}

/* --- the tests --- */

static void test_everything_is_stored_although_the_store_was_full(void **state)
{
    (void)state;
    agent_opens();
    for (int round = 0; round < 100 && w.acked < BATCHES; round++) {
        w.room = round % 3 == 0 ? 5 : BATCHES; /* full after five in every third round */
        agent_works();
        if (round % 3 == 2)
            store_works();
        run_streams_tick(&w.run);
    }
    assert_int_equal(w.acked, BATCHES);
    agent_closes();
    assert_int_equal(w.credit, CREDIT); /* and not a byte of credit got lost */
    assert_int_equal(w.capture.holds, 0);
    assert_int_equal(w.run.outstanding, 0);
}

static void test_nothing_is_asked_for_while_the_store_is_full(void **state)
{
    (void)state;
    agent_opens();
    assert_int_equal(w.resumes, 1);
    w.room = 10;
    w.pending = 80000;
    for (int round = 0; round < 10; round++) {
        agent_works();
        agent_closes();
        run_streams_tick(&w.run);
    }
    /* Its credit is used up, so that it rests; what it holds stays with it. */
    assert_true(w.credit < LEN);
    assert_int_equal(w.resumes, 1);
    store_works();
    assert_int_equal(w.credit, 10 * LEN);
    w.pending = 0;
    run_streams_tick(&w.run);
    assert_int_equal(w.resumes, 2);
    assert_int_equal(w.next, 11);
    assert_int_equal(w.credit, CREDIT);
    run_streams_tick(&w.run); /* once is enough */
    assert_int_equal(w.resumes, 2);
    assert_int_equal(w.credit, CREDIT);
}

static void test_a_stream_that_can_not_be_opened_now_is_not_refused(void **state)
{
    (void)state;
    w.room = 0;
    agent_opens(); /* the agent would drop its data if it were told anything */
    assert_int_equal(w.resumes, 0);
    assert_null(w.capture.vantages[0].stream);
    assert_int_equal(w.capture.holds, 0);
    w.room = BATCHES;
    agent_opens();
    assert_int_equal(w.resumes, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_everything_is_stored_although_the_store_was_full, begin, end),
        cmocka_unit_test_setup_teardown(test_nothing_is_asked_for_while_the_store_is_full, begin, end),
        cmocka_unit_test_setup_teardown(test_a_stream_that_can_not_be_opened_now_is_not_refused, begin, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
