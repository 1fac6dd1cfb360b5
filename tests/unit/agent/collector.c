#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/agent/collector.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/digest/digest.h"

static void answer(struct collector *c, Droppoint__Envelope__BodyCase body_case, void *body)
{
    Droppoint__Envelope envelope = DROPPOINT__ENVELOPE__INIT;
    envelope.body_case = body_case;
    envelope.ping = body; /* all members of the union are pointers */
    envelope.request = 5;
    if (c->peer)
        assert_int_equal(dp_link_send(c->link, c->peer, &envelope), DP_OK);
}

static enum dp_peer_role who(void *context, const char *public_z85, const char *address)
{
    struct collector *c = context;
    (void)public_z85;
    (void)address;
    c->asked++;
    return c->role;
}

static struct seen_stream *seen(struct collector *c, uint64_t epoch, uint64_t number)
{
    for (size_t i = 0; i < c->stream_count; i++)
        if (c->streams[i].epoch == epoch && c->streams[i].number == number)
            return &c->streams[i];
    return NULL;
}

static void acknowledge(struct collector *c, const struct seen_stream *stream)
{
    Droppoint__StreamAck ack = DROPPOINT__STREAM_ACK__INIT;
    ack.epoch = stream->epoch;
    ack.stream = stream->number;
    ack.number = stream->received;
    answer(c, DROPPOINT__ENVELOPE__BODY_STREAM_ACK, &ack);
}

static void take_hello(struct collector *c, const Droppoint__AgentHello *hello)
{
    Droppoint__Welcome welcome = DROPPOINT__WELCOME__INIT;
    c->hellos++;
    c->epoch = hello->epoch;
    (void)snprintf(c->name, sizeof c->name, "%s", hello->name);
    welcome.name = hello->name;
    welcome.heartbeat_ms = 200;
    welcome.credit_bytes = c->credit;
    answer(c, DROPPOINT__ENVELOPE__BODY_WELCOME, &welcome);
}

static void resume(struct collector *c, const struct seen_stream *stream)
{
    Droppoint__StreamResume body = DROPPOINT__STREAM_RESUME__INIT;
    body.epoch = stream->epoch;
    body.stream = stream->number;
    body.next = stream->received + 1;
    answer(c, DROPPOINT__ENVELOPE__BODY_STREAM_RESUME, &body);
}

static void take_open(struct collector *c, const Droppoint__StreamOpen *open)
{
    if (c->refuse_streams) {
        Droppoint__StreamClose close = DROPPOINT__STREAM_CLOSE__INIT;
        close.epoch = open->epoch;
        close.stream = open->stream;
        answer(c, DROPPOINT__ENVELOPE__BODY_STREAM_CLOSE, &close);
        return;
    }
    struct seen_stream *stream = seen(c, open->epoch, open->stream);
    if (!stream) {
        assert_true(c->stream_count < STREAMS_MAX);
        stream = &c->streams[c->stream_count++];
        stream->epoch = open->epoch;
        stream->number = open->stream;
        (void)snprintf(stream->capture_id, sizeof stream->capture_id, "%s", open->capture_id);
        (void)snprintf(stream->vantage, sizeof stream->vantage, "%s", open->vantage);
    }
    stream->opened++;
    resume(c, stream);
}

static void take_data(struct collector *c, const Droppoint__StreamData *data)
{
    struct seen_stream *stream = seen(c, data->epoch, data->stream);
    struct dp_batch batch = {.digest_count = 0};
    if (c->deaf || (stream && c->lost && data->number > stream->received + 1)) {
        c->lost++; /* also what was on its way before the agent heard that others are missing */
        return;
    }
    if (!stream || data->number != stream->received + 1 ||
        dp_crc32c(0, data->payload.data, data->payload.len) != data->crc32c ||
        dp_batch_decode(data->payload.data, data->payload.len, &batch, NULL) != DP_OK) {
        c->faults++;
        return;
    }
    stream->received = data->number;
    stream->records += batch.digest_count;
    stream->bytes += data->payload.len;
    stream->gaps += batch.gap_count;
    for (size_t i = 0; i < batch.gap_count; i++)
        stream->gap_packets += batch.gaps[i].packets;
    if (batch.complete_ns && batch.complete_ns <= stream->complete_ns)
        c->faults++; /* a stream is complete until later and later */
    if (batch.complete_ns)
        stream->complete_ns = batch.complete_ns;
    for (size_t i = 0; i < batch.note_count; i++)
        stream->texts |= batch.notes[i].text[0] != '\0';
    dp_batch_free(&batch);
    c->batches++;
    if (!c->hold_acks)
        acknowledge(c, stream);
    if (c->return_credit)
        send_credit(c, data->payload.len);
}

static void take_close(struct collector *c, const Droppoint__StreamClose *close)
{
    struct seen_stream *stream = seen(c, close->epoch, close->stream);
    if (!stream || close->last != stream->received) {
        c->faults++;
        return;
    }
    stream->closed = true;
    c->closes++;
    if (!c->hold_acks)
        acknowledge(c, stream);
}

static void take_ready(struct collector *c, const Droppoint__CaptureReady *ready)
{
    c->readies++;
    c->ready_ok = ready->ok;
    (void)snprintf(c->ready_error, sizeof c->ready_error, "%s", ready->error);
    (void)snprintf(c->ready_filter, sizeof c->ready_filter, "%s", ready->filter);
    (void)snprintf(c->ready_text, sizeof c->ready_text, "%s", ready->error_text);
}

static void take_state(struct collector *c, const Droppoint__CaptureState *state)
{
    if (state->running) {
        c->states_running++;
        return;
    }
    c->states_ended++;
    (void)snprintf(c->end_reason, sizeof c->end_reason, "%s", state->reason);
}

static void on_message(void *context, struct dp_peer *peer, const Droppoint__Envelope *envelope)
{
    struct collector *c = context;
    c->peer = peer;
    switch (envelope->body_case) {
    case DROPPOINT__ENVELOPE__BODY_AGENT_HELLO:
        take_hello(c, envelope->agent_hello);
        break;
    case DROPPOINT__ENVELOPE__BODY_CAPTURE_READY:
        take_ready(c, envelope->capture_ready);
        break;
    case DROPPOINT__ENVELOPE__BODY_CAPTURE_STATE:
        take_state(c, envelope->capture_state);
        break;
    case DROPPOINT__ENVELOPE__BODY_STREAM_OPEN:
        take_open(c, envelope->stream_open);
        break;
    case DROPPOINT__ENVELOPE__BODY_STREAM_DATA:
        take_data(c, envelope->stream_data);
        break;
    case DROPPOINT__ENVELOPE__BODY_STREAM_CLOSE:
        take_close(c, envelope->stream_close);
        break;
    case DROPPOINT__ENVELOPE__BODY_EXPORT_CHUNK:
        c->chunks++;
        (void)snprintf(c->chunk_error, sizeof c->chunk_error, "%s", envelope->export_chunk->error);
        break;
    default:
        c->faults++;
        break;
    }
}

static void on_gone(void *context, struct dp_peer *peer)
{
    struct collector *c = context;
    if (c->peer == peer)
        c->peer = NULL;
}

static void on_notice(void *context, const char *text)
{
    struct collector *c = context;
    if (!strstr(text, "connected again")) {
        print_message("collector: %s\n", text);
        c->faults++;
    }
}

void collector_listen(struct collector *c, const char *bind)
{
    static const struct dp_link_events events = {who, on_message, on_gone, NULL, on_notice};
    struct dp_link_options options = {.bind = bind, .keys = &c->keys, .heartbeat_ms = 200};
    struct dp_diag diag = {""};
    int code = dp_link_open(&c->loop, &options, &events, c, &c->link, &diag);
    if (code != DP_OK)
        fail_msg("%s", dp_reason(&diag, code));
    (void)snprintf(c->endpoint, sizeof c->endpoint, "%s", dp_link_endpoint(c->link));
}

void collector_open(struct collector *c)
{
    char path[128];
    struct dp_diag diag = {""};
    memset(c, 0, sizeof *c);
    assert_int_equal(uv_loop_init(&c->loop), 0);
    (void)uv_timer_init(&c->loop, &c->clock);
    c->clock.data = c;
    c->role = DP_ROLE_AGENT;
    c->credit = 64 << 20;
    c->ring_bytes = 1 << 20;
    c->return_credit = true;
    (void)snprintf(c->directory, sizeof c->directory, "/tmp/droppoint-agent-test-XXXXXX");
    assert_non_null(mkdtemp(c->directory));
    (void)snprintf(path, sizeof path, "%s/collector.key", c->directory);
    int code = dp_keypair_load_or_make(path, &c->keys, &diag);
    if (code != DP_OK)
        fail_msg("%s", dp_reason(&diag, code));
    collector_listen(c, "tcp://127.0.0.1:*");
}

static void on_exit_of_agent(uv_process_t *process, int64_t status, int signal)
{
    struct collector *c = process->data;
    c->running = false;
    c->exits++;
    c->exit_status = status;
    c->exit_signal = signal;
    uv_close((uv_handle_t *)process, NULL);
}

static void write_file(const char *path, const char *text)
{
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

void agent_start(struct collector *c, const char *configuration, const char *policy)
{
    char config[128], policy_path[128], state[128], text[2048];
    (void)snprintf(config, sizeof config, "%s/agent.yaml", c->directory);
    (void)snprintf(policy_path, sizeof policy_path, "%s/policy.yaml", c->directory);
    (void)snprintf(state, sizeof state, "%s/state", c->directory);
    (void)snprintf(text, sizeof text,
                   "name: mx1\ncollector: %s\nstate_directory: %s\npolicy: %s\ncapture_program: %s\n%s",
                   c->endpoint, state, policy_path, CAPTURE_PROGRAM, configuration);
    write_file(config, text);
    write_file(policy_path, policy);
    char *args[] = {(char *)AGENT_PROGRAM,     (char *)"--config", config,
                    (char *)"--collector-key", c->keys.public_z85, NULL};
    uv_stdio_container_t stdio[3] = {
        {.flags = UV_IGNORE}, {.flags = UV_INHERIT_FD, .data.fd = 1}, {.flags = UV_INHERIT_FD, .data.fd = 2}};
    uv_process_options_t options = {
        .file = AGENT_PROGRAM, .args = args, .exit_cb = on_exit_of_agent, .stdio = stdio, .stdio_count = 3};
    c->process.data = c;
    assert_int_equal(uv_spawn(&c->loop, &c->process, &options), 0);
    c->running = true;
}

void agent_signal(struct collector *c, int number)
{
    assert_int_equal(uv_process_kill(&c->process, number), 0);
}

void collector_close(struct collector *c)
{
    char command[128];
    if (c->running) {
        agent_signal(c, SIGKILL);
        (void)run_until(c, &c->exits, c->exits + 1, 10000);
    }
    dp_link_close(c->link);
    uv_close((uv_handle_t *)&c->clock, NULL);
    (void)uv_run(&c->loop, UV_RUN_DEFAULT);
    (void)uv_loop_close(&c->loop);
    (void)snprintf(command, sizeof command, "rm -rf %s", c->directory);
    assert_int_equal(system(command), 0);
}

static void on_late(uv_timer_t *timer)
{
    struct collector *c = timer->data;
    c->late = true;
}

bool run_until(struct collector *c, const unsigned *counter, unsigned value, uint64_t ms)
{
    c->late = false;
    (void)uv_timer_start(&c->clock, on_late, ms, 0);
    while (!c->late && *counter < value)
        (void)uv_run(&c->loop, UV_RUN_ONCE);
    (void)uv_timer_stop(&c->clock);
    return *counter >= value;
}

void run_for(struct collector *c, uint64_t ms)
{
    unsigned never = 0;
    (void)run_until(c, &never, 1, ms);
}

void send_prepare(struct collector *c, const char *capture_id, const char *interface, const char *filter)
{
    char vantage[96];
    uint8_t key[16] = {1};
    Droppoint__CapturePrepare prepare = DROPPOINT__CAPTURE_PREPARE__INIT;
    (void)snprintf(vantage, sizeof vantage, "mx1/%s", interface);
    prepare.capture_id = (char *)capture_id;
    prepare.vantage = vantage;
    prepare.interface = (char *)interface;
    prepare.filter = (char *)filter;
    prepare.snaplen = 96;
    prepare.duration_ms = 60000;
    prepare.ring_bytes = c->ring_bytes;
    prepare.hash_key = (ProtobufCBinaryData){.len = sizeof key, .data = key};
    answer(c, DROPPOINT__ENVELOPE__BODY_CAPTURE_PREPARE, &prepare);
}

void send_start(struct collector *c, const char *capture_id)
{
    Droppoint__CaptureStart start = DROPPOINT__CAPTURE_START__INIT;
    start.capture_id = (char *)capture_id;
    answer(c, DROPPOINT__ENVELOPE__BODY_CAPTURE_START, &start);
}

void send_stop(struct collector *c, const char *capture_id)
{
    Droppoint__CaptureStop stop = DROPPOINT__CAPTURE_STOP__INIT;
    stop.capture_id = (char *)capture_id;
    stop.reason = (char *)"stopped";
    answer(c, DROPPOINT__ENVELOPE__BODY_CAPTURE_STOP, &stop);
}

void send_credit(struct collector *c, uint64_t bytes)
{
    Droppoint__Credit credit = DROPPOINT__CREDIT__INIT;
    credit.bytes = bytes;
    answer(c, DROPPOINT__ENVELOPE__BODY_CREDIT, &credit);
}

void send_export(struct collector *c, const char *capture_id, const char *vantage)
{
    Droppoint__ExportRequest request = DROPPOINT__EXPORT_REQUEST__INIT;
    request.capture_id = (char *)capture_id;
    request.vantage = (char *)vantage;
    answer(c, DROPPOINT__ENVELOPE__BODY_EXPORT_REQUEST, &request);
}

void send_acks(struct collector *c)
{
    for (size_t i = 0; i < c->stream_count; i++)
        acknowledge(c, &c->streams[i]);
}

void send_resumes(struct collector *c)
{
    for (size_t i = 0; i < c->stream_count; i++)
        resume(c, &c->streams[i]);
}
