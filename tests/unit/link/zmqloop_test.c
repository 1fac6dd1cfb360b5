#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdbool.h>
#include <uv.h>
#include <zmq.h>

#include "common/zmqloop/zmqloop.h"

#define MESSAGES 500

struct ends {
    uv_loop_t loop;
    uv_timer_t guard;
    void *zmq, *here, *there;
    struct dp_zmqloop *bridge;
    unsigned got, want;
    bool late;
};

static void finish(struct ends *e)
{
    dp_zmqloop_close(e->bridge);
    e->bridge = NULL;
    (void)uv_timer_stop(&e->guard);
    uv_close((uv_handle_t *)&e->guard, NULL);
}

static void on_guard(uv_timer_t *timer)
{
    struct ends *e = timer->data;
    e->late = true;
    finish(e);
}

/* Takes one message; each of the first half is answered to the other end, so that sends lie between the
 * reads. */
static void on_readable(void *context, void *socket)
{
    struct ends *e = context;
    char byte;
    if (zmq_recv(socket, &byte, 1, ZMQ_DONTWAIT) < 0)
        return;
    if (byte == 'a')
        (void)zmq_send(socket, "b", 1, ZMQ_DONTWAIT);
    if (++e->got == e->want)
        finish(e);
}

static void begin(struct ends *e, unsigned want)
{
    int none = 0;
    *e = (struct ends){.want = want};
    e->zmq = zmq_ctx_new();
    e->here = zmq_socket(e->zmq, ZMQ_PAIR);
    e->there = zmq_socket(e->zmq, ZMQ_PAIR);
    (void)zmq_setsockopt(e->here, ZMQ_SNDHWM, &none, sizeof none);
    (void)zmq_setsockopt(e->there, ZMQ_SNDHWM, &none, sizeof none);
    (void)zmq_setsockopt(e->here, ZMQ_RCVHWM, &none, sizeof none);
    assert_int_equal(zmq_bind(e->here, "inproc://x"), 0);
    assert_int_equal(zmq_connect(e->there, "inproc://x"), 0);
    assert_int_equal(uv_loop_init(&e->loop), 0);
    (void)uv_timer_init(&e->loop, &e->guard);
    e->guard.data = e;
    (void)uv_timer_start(&e->guard, on_guard, 3000, 0);
}

static void end(struct ends *e)
{
    assert_int_equal(uv_loop_close(&e->loop), 0);
    (void)zmq_close(e->here);
    (void)zmq_close(e->there);
    (void)zmq_ctx_term(e->zmq);
}

static void test_all_arrives_without_an_edge_for_each(void **state)
{
    (void)state;
    struct ends e;
    begin(&e, MESSAGES);
    for (int i = 0; i < MESSAGES; i++)
        assert_int_equal(zmq_send(e.there, i % 2 ? "a" : "c", 1, ZMQ_DONTWAIT), 1);
    /* Reading the events here takes the edge away before the bridge looks. */
    int events = 0;
    size_t len = sizeof events;
    (void)zmq_getsockopt(e.here, ZMQ_EVENTS, &events, &len);
    assert_int_equal(dp_zmqloop_open(&e.loop, e.here, on_readable, &e, &e.bridge), DP_OK);
    (void)uv_run(&e.loop, UV_RUN_DEFAULT);
    assert_false(e.late);
    assert_int_equal(e.got, MESSAGES);
    end(&e);
}

static void test_bridge_may_close_in_its_own_call(void **state)
{
    (void)state;
    struct ends e;
    begin(&e, 1);
    for (int i = 0; i < 10; i++)
        assert_int_equal(zmq_send(e.there, "c", 1, ZMQ_DONTWAIT), 1);
    assert_int_equal(dp_zmqloop_open(&e.loop, e.here, on_readable, &e, &e.bridge), DP_OK);
    (void)uv_run(&e.loop, UV_RUN_DEFAULT);
    assert_int_equal(e.got, 1);
    end(&e);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_all_arrives_without_an_edge_for_each),
        cmocka_unit_test(test_bridge_may_close_in_its_own_call),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
