/* Both ends of the transport on one loop, over TCP on loopback: who gets in, who does not, and what happens
 * when one side falls silent. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>
#include <zmq.h>

#include "agent/link/link.h"
#include "collector/link/link.h"

#define HEARTBEAT_MS 50

struct bench {
    uv_loop_t loop;
    uv_timer_t clock;
    bool late;
    struct dp_link *link;
    struct dp_dialer *dialer;
    struct dp_keypair collector, agent;
    enum dp_peer_role role; /* of the agent's key; all others are unknown */
    char endpoint[256];
    uint32_t heartbeat_ms;
    struct dp_peer *peer; /* the last that spoke */
    unsigned asked, messages, gone, clocks, notices;
    unsigned states[DP_DIALER_WRONG_COLLECTOR + 1];
    unsigned answers;
    int result_code;
    uint64_t result_request;
};

static enum dp_peer_role who(void *context, const char *public_z85, const char *address)
{
    struct bench *b = context;
    b->asked++;
    assert_non_null(strstr(address, "127.0.0.1"));
    return strcmp(public_z85, b->agent.public_z85) == 0 ? b->role : DP_ROLE_NONE;
}

static void collector_message(void *context, struct dp_peer *peer, const Droppoint__Envelope *envelope)
{
    struct bench *b = context;
    b->messages++;
    b->peer = peer;
    assert_string_equal(peer->public_z85, b->agent.public_z85);
    if (envelope->body_case != DROPPOINT__ENVELOPE__BODY_AGENT_HELLO)
        return;
    Droppoint__Welcome welcome = DROPPOINT__WELCOME__INIT;
    Droppoint__Envelope answer = DROPPOINT__ENVELOPE__INIT;
    answer.body_case = DROPPOINT__ENVELOPE__BODY_WELCOME;
    answer.welcome = &welcome;
    answer.request = envelope->request;
    welcome.name = envelope->agent_hello->name;
    welcome.heartbeat_ms = HEARTBEAT_MS;
    welcome.credit_bytes = 1000;
    assert_int_equal(dp_link_send(b->link, peer, &answer), DP_OK);
}

static void gone(void *context, struct dp_peer *peer)
{
    struct bench *b = context;
    b->gone++;
    if (b->peer == peer)
        b->peer = NULL;
}

static void clock_measured(void *context, struct dp_peer *peer)
{
    struct bench *b = context;
    b->clocks++;
    /* One machine, one clock. */
    assert_true(peer->clock_error_ns >= 0 && llabs(peer->clock_offset_ns) <= peer->clock_error_ns + 1000000);
}

static void notice(void *context, const char *text)
{
    struct bench *b = context;
    assert_true(text[0] != '\0');
    b->notices++;
}

static void hello(struct dp_dialer *dialer)
{
    Droppoint__AgentHello body = DROPPOINT__AGENT_HELLO__INIT;
    Droppoint__Envelope envelope = DROPPOINT__ENVELOPE__INIT;
    envelope.request = 7;
    envelope.body_case = DROPPOINT__ENVELOPE__BODY_AGENT_HELLO;
    envelope.agent_hello = &body;
    body.name = (char *)"mx1";
    body.epoch = 1;
    assert_int_equal(dp_dialer_send(dialer, &envelope), DP_OK);
}

static void dialer_state(void *context, enum dp_dialer_state state, const char *text)
{
    struct bench *b = context;
    assert_true(text[0] != '\0');
    b->states[state]++;
    if (state == DP_DIALER_CONNECTED)
        hello(b->dialer);
}

static void dialer_message(void *context, const Droppoint__Envelope *envelope)
{
    struct bench *b = context;
    b->answers++;
    if (envelope->body_case == DROPPOINT__ENVELOPE__BODY_WELCOME)
        assert_int_equal(envelope->request, 7);
}

static void on_late(uv_timer_t *timer)
{
    struct bench *b = timer->data;
    b->late = true;
}

/* Runs the loop until *counter reaches `value` or the time is over. Returns whether it did. */
static bool run_until(struct bench *b, const unsigned *counter, unsigned value, uint64_t ms)
{
    b->late = false;
    (void)uv_timer_start(&b->clock, on_late, ms, 0);
    while (!b->late && *counter < value)
        (void)uv_run(&b->loop, UV_RUN_ONCE);
    (void)uv_timer_stop(&b->clock);
    return *counter >= value;
}

static void run_for(struct bench *b, uint64_t ms)
{
    unsigned never = 0;
    (void)run_until(b, &never, 1, ms);
}

static void open_link(struct bench *b, const char *bind)
{
    static const struct dp_link_events events = {who, collector_message, gone, clock_measured, notice};
    struct dp_link_options options = {.bind = bind, .keys = &b->collector, .heartbeat_ms = b->heartbeat_ms};
    struct dp_diag diag = {""};
    int code = dp_link_open(&b->loop, &options, &events, b, &b->link, &diag);
    if (code != DP_OK)
        fail_msg("%s", dp_reason(&diag, code));
    (void)snprintf(b->endpoint, sizeof b->endpoint, "%s", dp_link_endpoint(b->link));
}

static struct dp_dialer *open_dialer(struct bench *b, const char *collector_z85, bool once)
{
    static const struct dp_dialer_events events = {dialer_state, dialer_message};
    struct dp_dialer_options options = {b->endpoint, &b->agent, collector_z85, once};
    struct dp_diag diag = {""};
    struct dp_dialer *dialer = NULL;
    int code = dp_dialer_open(&b->loop, &options, &events, b, &dialer, &diag);
    if (code != DP_OK)
        fail_msg("%s", dp_reason(&diag, code));
    return dialer;
}

static int setup(void **state)
{
    struct bench *b = calloc(1, sizeof *b);
    if (!b || uv_loop_init(&b->loop) != 0)
        return -1;
    (void)uv_timer_init(&b->loop, &b->clock);
    b->clock.data = b;
    b->role = DP_ROLE_AGENT;
    b->heartbeat_ms = HEARTBEAT_MS;
    (void)zmq_curve_keypair(b->collector.public_z85, b->collector.secret_z85);
    (void)zmq_curve_keypair(b->agent.public_z85, b->agent.secret_z85);
    open_link(b, "tcp://127.0.0.1:*");
    *state = b;
    return 0;
}

static int teardown(void **state)
{
    struct bench *b = *state;
    dp_dialer_close(b->dialer);
    dp_link_close(b->link);
    uv_close((uv_handle_t *)&b->clock, NULL);
    (void)uv_run(&b->loop, UV_RUN_DEFAULT);
    int code = uv_loop_close(&b->loop);
    free(b);
    return code;
}

static void test_known_key_talks_and_its_clock_is_measured(void **state)
{
    struct bench *b = *state;
    b->dialer = open_dialer(b, b->collector.public_z85, false);
    assert_true(run_until(b, &b->answers, 1, 5000));
    assert_int_equal(b->states[DP_DIALER_CONNECTED], 1);
    assert_int_equal(b->messages, 1);
    assert_true(run_until(b, &b->clocks, 3, 5000));
    run_for(b, 10 * HEARTBEAT_MS); /* heartbeats alone keep it up */
    assert_int_equal(b->gone, 0);
    assert_int_equal(b->states[DP_DIALER_LOST], 0);
}

static void test_many_messages_all_arrive(void **state)
{
    struct bench *b = *state;
    b->dialer = open_dialer(b, b->collector.public_z85, false);
    assert_true(run_until(b, &b->answers, 1, 5000));
    for (int i = 0; i < 2000; i++)
        hello(b->dialer);
    assert_true(run_until(b, &b->answers, 2001, 20000));
    assert_int_equal(b->messages, 2001);
}

static void test_unknown_key_is_refused_until_approved(void **state)
{
    struct bench *b = *state;
    b->role = DP_ROLE_NONE;
    b->dialer = open_dialer(b, b->collector.public_z85, false);
    assert_true(run_until(b, &b->states[DP_DIALER_REFUSED], 1, 5000));
    assert_true(b->asked >= 1);
    assert_int_equal(b->messages, 0);
    assert_int_equal(b->states[DP_DIALER_CONNECTED], 0);
    b->role = DP_ROLE_AGENT;
    assert_true(run_until(b, &b->answers, 1, 10000)); /* it dials again by itself */
}

static void test_key_revoked_after_the_handshake_is_not_heard(void **state)
{
    struct bench *b = *state;
    b->dialer = open_dialer(b, b->collector.public_z85, true);
    assert_true(run_until(b, &b->asked, 1, 5000));
    b->role = DP_ROLE_NONE;
    run_for(b, 500);
    assert_int_equal(b->messages, 0);
    assert_true(b->asked >= 2);
}

static void test_once_means_one_attempt(void **state)
{
    struct bench *b = *state;
    b->role = DP_ROLE_NONE;
    b->dialer = open_dialer(b, b->collector.public_z85, true);
    assert_true(run_until(b, &b->states[DP_DIALER_REFUSED], 1, 5000));
    unsigned asked = b->asked;
    run_for(b, 3000);
    assert_int_equal(b->asked, asked);
    assert_int_equal(b->states[DP_DIALER_REFUSED], 1);
}

static void test_wrong_collector_key_fails_the_handshake(void **state)
{
    struct bench *b = *state;
    struct dp_keypair other;
    (void)zmq_curve_keypair(other.public_z85, other.secret_z85);
    b->dialer = open_dialer(b, other.public_z85, true);
    assert_true(run_until(b, &b->states[DP_DIALER_WRONG_COLLECTOR], 1, 5000));
    assert_int_equal(b->messages, 0);
    assert_int_equal(b->asked, 0);
}

static void test_nobody_there_is_lost_then_found(void **state)
{
    struct bench *b = *state;
    dp_link_close(b->link);
    b->link = NULL;
    b->dialer = open_dialer(b, b->collector.public_z85, false);
    assert_true(run_until(b, &b->states[DP_DIALER_LOST], 2, 10000));
    open_link(b, b->endpoint);
    assert_true(run_until(b, &b->answers, 1, 10000));
}

static void test_collector_restart_is_survived(void **state)
{
    struct bench *b = *state;
    b->dialer = open_dialer(b, b->collector.public_z85, false);
    assert_true(run_until(b, &b->answers, 1, 5000));
    dp_link_close(b->link);
    b->link = NULL;
    assert_int_equal(b->gone, 1);
    assert_true(run_until(b, &b->states[DP_DIALER_LOST], 1, 5000));
    open_link(b, b->endpoint);
    assert_true(run_until(b, &b->answers, 2, 10000));
}

/* A socket of our own making, for what the dialer never does. */
static void *raw_socket(void *zmq, const struct bench *b, const char *mechanism)
{
    void *socket = zmq_socket(zmq, ZMQ_DEALER);
    int zero = 0;
    (void)zmq_setsockopt(socket, ZMQ_LINGER, &zero, sizeof zero);
    if (strcmp(mechanism, "PLAIN") == 0) {
        (void)zmq_setsockopt(socket, ZMQ_PLAIN_USERNAME, "agent", 5);
        (void)zmq_setsockopt(socket, ZMQ_PLAIN_PASSWORD, "agent", 5);
    } else if (strcmp(mechanism, "CURVE") == 0) {
        (void)zmq_setsockopt(socket, ZMQ_CURVE_SERVERKEY, b->collector.public_z85, DP_KEY_Z85);
        (void)zmq_setsockopt(socket, ZMQ_CURVE_PUBLICKEY, b->agent.public_z85, DP_KEY_Z85);
        (void)zmq_setsockopt(socket, ZMQ_CURVE_SECRETKEY, b->agent.secret_z85, DP_KEY_Z85);
    }
    assert_int_equal(zmq_connect(socket, b->endpoint), 0);
    return socket;
}

static void raw_hello(void *socket, uint64_t request)
{
    Droppoint__AgentHello body = DROPPOINT__AGENT_HELLO__INIT;
    Droppoint__Envelope envelope = DROPPOINT__ENVELOPE__INIT;
    envelope.request = request;
    envelope.body_case = DROPPOINT__ENVELOPE__BODY_AGENT_HELLO;
    envelope.agent_hello = &body;
    body.name = (char *)"mx1";
    body.epoch = 1;
    uint8_t *bytes;
    size_t len;
    assert_int_equal(dp_wire_pack(&envelope, &bytes, &len), DP_OK);
    assert_int_equal(zmq_send(socket, bytes, len, ZMQ_DONTWAIT), (int)len);
    free(bytes);
}

static void test_other_mechanisms_do_not_get_in(void **state)
{
    struct bench *b = *state;
    static const char *const mechanisms[] = {"NULL", "PLAIN"};
    for (size_t i = 0; i < 2; i++) {
        void *zmq = zmq_ctx_new();
        void *socket = raw_socket(zmq, b, mechanisms[i]);
        raw_hello(socket, 1);
        run_for(b, 500);
        assert_int_equal(b->messages, 0);
        assert_int_equal(b->asked, 0);
        (void)zmq_close(socket);
        (void)zmq_ctx_term(zmq);
    }
    /* The same socket with the right mechanism does: the silence above is not an accident. */
    void *zmq = zmq_ctx_new();
    void *socket = raw_socket(zmq, b, "CURVE");
    raw_hello(socket, 1);
    assert_true(run_until(b, &b->messages, 1, 5000));
    (void)zmq_close(socket);
    (void)zmq_ctx_term(zmq);
}

static void test_silent_peer_is_gone_after_three_heartbeats(void **state)
{
    struct bench *b = *state;
    void *zmq = zmq_ctx_new();
    void *socket = raw_socket(zmq, b, "CURVE");
    raw_hello(socket, 1);
    assert_true(run_until(b, &b->messages, 1, 5000));
    assert_int_equal(b->gone, 0);
    assert_true(run_until(b, &b->gone, 1, 20 * HEARTBEAT_MS));
    raw_hello(socket, 2); /* what still comes from it is ignored */
    run_for(b, 200);
    assert_int_equal(b->messages, 1);
    (void)zmq_close(socket);
    (void)zmq_ctx_term(zmq);
}

static void test_second_connection_replaces_the_first(void **state)
{
    struct bench *b = *state;
    void *zmq = zmq_ctx_new();
    void *first = raw_socket(zmq, b, "CURVE");
    raw_hello(first, 1);
    assert_true(run_until(b, &b->messages, 1, 5000));
    void *second = raw_socket(zmq, b, "CURVE");
    raw_hello(second, 1);
    assert_true(run_until(b, &b->messages, 2, 5000));
    assert_int_equal(b->gone, 1);
    assert_int_equal(b->notices, 1);
    raw_hello(first, 1);
    run_for(b, 100);
    assert_int_equal(b->messages, 2);
    (void)zmq_close(first);
    (void)zmq_close(second);
    (void)zmq_ctx_term(zmq);
}

/* Reads what came on a raw socket; the last Result or Refused counts. */
static void read_answers(struct bench *b, void *socket)
{
    uint8_t bytes[4096];
    int got;
    while ((got = zmq_recv(socket, bytes, sizeof bytes, ZMQ_DONTWAIT)) >= 0) {
        Droppoint__Envelope *envelope;
        assert_int_equal(dp_wire_unpack(bytes, (size_t)got, &envelope, NULL), DP_OK);
        if (envelope->body_case == DROPPOINT__ENVELOPE__BODY_RESULT) {
            b->result_code = envelope->result->code;
            b->result_request = envelope->request;
        } else if (envelope->body_case == DROPPOINT__ENVELOPE__BODY_REFUSED) {
            assert_string_equal(envelope->refused->reason, "version");
            b->result_code = DP_ERR_UNSUPPORTED;
        }
        droppoint__envelope__free_unpacked(envelope, NULL);
    }
}

static void test_malformed_messages_are_answered_then_end_the_session(void **state)
{
    struct bench *b = *state;
    dp_link_close(b->link); /* this peer answers no pings: it gets the time */
    b->heartbeat_ms = 10000;
    open_link(b, "tcp://127.0.0.1:*");
    void *zmq = zmq_ctx_new();
    void *socket = raw_socket(zmq, b, "CURVE");
    static const uint8_t other_version[] = {0x08, 0x09, 0x6a, 0x00};
    static const uint8_t bad_enum[] = {0x08, 0x01, 0x10, 0x2a, 0xa2, 0x01, 0x06,
                                       0x08, 0x01, 0x10, 0x01, 0x18, 0x63};
    (void)zmq_send(socket, other_version, sizeof other_version, ZMQ_DONTWAIT);
    assert_true(run_until(b, &b->notices, 1, 5000));
    run_for(b, 100);
    read_answers(b, socket);
    assert_int_equal(b->result_code, DP_ERR_UNSUPPORTED);
    (void)zmq_send(socket, bad_enum, sizeof bad_enum, ZMQ_DONTWAIT);
    assert_true(run_until(b, &b->notices, 2, 5000));
    run_for(b, 100);
    read_answers(b, socket);
    assert_int_equal(b->result_code, DP_ERR_PROTOCOL);
    assert_int_equal(b->result_request, 42);
    assert_int_equal(b->gone, 0);
    for (int i = 0; i < 20; i++)
        (void)zmq_send(socket, "junk", 4, ZMQ_DONTWAIT);
    assert_true(run_until(b, &b->gone, 1, 5000));
    run_for(b, 100);
    assert_int_equal(b->notices, 11); /* ten messages, and the end */
    assert_int_equal(b->messages, 0);
    (void)zmq_close(socket);
    (void)zmq_ctx_term(zmq);
}

static void test_oversized_message_never_arrives(void **state)
{
    struct bench *b = *state;
    void *zmq = zmq_ctx_new();
    void *socket = raw_socket(zmq, b, "CURVE");
    raw_hello(socket, 1);
    assert_true(run_until(b, &b->messages, 1, 5000));
    size_t len = DP_WIRE_MAX_MESSAGE + 4096;
    char *bytes = calloc(1, len);
    assert_non_null(bytes);
    (void)zmq_send(socket, bytes, len, ZMQ_DONTWAIT);
    free(bytes);
    assert_true(run_until(b, &b->gone, 1, 5000));
    assert_int_equal(b->notices, 0); /* it was not even read */
    (void)zmq_close(socket);
    (void)zmq_ctx_term(zmq);
}

static void test_dropped_peer_is_out_at_once_and_notices(void **state)
{
    struct bench *b = *state;
    b->dialer = open_dialer(b, b->collector.public_z85, false);
    assert_true(run_until(b, &b->answers, 1, 5000));
    b->role = DP_ROLE_NONE;
    dp_link_drop(b->link, b->peer);
    assert_int_equal(b->gone, 1);
    hello(b->dialer);
    assert_true(run_until(b, &b->states[DP_DIALER_LOST], 1, 5000));
    assert_true(run_until(b, &b->states[DP_DIALER_REFUSED], 1, 5000));
    assert_int_equal(b->messages, 1);
}

static void test_bad_endpoints_are_usage_errors(void **state)
{
    struct bench *b = *state;
    static const char *const endpoints[] = {"collector.example.net", "tcp://", "tcp://127.0.0.1", "ipc:///x",
                                            "tcp://127.0.0.1:x"};
    static const struct dp_dialer_events events = {dialer_state, dialer_message};
    for (size_t i = 0; i < sizeof endpoints / sizeof endpoints[0]; i++) {
        struct dp_dialer_options options = {endpoints[i], &b->agent, b->collector.public_z85, false};
        struct dp_dialer *dialer = NULL;
        struct dp_diag diag = {""};
        assert_int_equal(dp_dialer_open(&b->loop, &options, &events, b, &dialer, &diag), DP_ERR_USAGE);
        assert_non_null(strstr(diag.text, endpoints[i]));
        assert_null(dialer);
    }
}

static void test_address_in_use_is_named(void **state)
{
    struct bench *b = *state;
    static const struct dp_link_events events = {who, collector_message, gone, NULL, NULL};
    struct dp_link_options options = {.bind = b->endpoint, .keys = &b->collector};
    struct dp_link *link = NULL;
    struct dp_diag diag = {""};
    assert_int_equal(dp_link_open(&b->loop, &options, &events, b, &link, &diag), DP_ERR_IO);
    assert_non_null(strstr(diag.text, b->endpoint));
    assert_null(link);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_known_key_talks_and_its_clock_is_measured),
        TEST(test_many_messages_all_arrive),
        TEST(test_unknown_key_is_refused_until_approved),
        TEST(test_key_revoked_after_the_handshake_is_not_heard),
        TEST(test_once_means_one_attempt),
        TEST(test_wrong_collector_key_fails_the_handshake),
        TEST(test_nobody_there_is_lost_then_found),
        TEST(test_collector_restart_is_survived),
        TEST(test_other_mechanisms_do_not_get_in),
        TEST(test_silent_peer_is_gone_after_three_heartbeats),
        TEST(test_second_connection_replaces_the_first),
        TEST(test_malformed_messages_are_answered_then_end_the_session),
        TEST(test_oversized_message_never_arrives),
        TEST(test_dropped_peer_is_out_at_once_and_notices),
        TEST(test_bad_endpoints_are_usage_errors),
        TEST(test_address_in_use_is_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
