/* An agent that has its batches ready: encodes capture files before anything is timed, then takes part in
 * captures, one vantage point for each file, and in each sends everything as fast as the collector grants
 * credit. Measures what the collector's side can take: transport, checks, commit, and the locating engine
 * beside it.
 *
 * Usage: push ENDPOINT KEY_FILE COLLECTOR_KEY NAME RECORDS INTERFACE=FILE ...
 * RECORDS: the most that one batch holds.
 * Says "ready" once it is welcomed, and for each capture, when all is acknowledged, "records payload_bytes
 * batches begun sent acknowledged": when the first batch was sent, when the last was, and when the last
 * acknowledgement came, in microseconds since the Unix epoch. */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <uv.h>

#include "agent/link/link.h"
#include "common/capfile/capfile.h"
#include "common/digest/digest.h"
#include "common/wire/wire.h"

#define MOST_STREAMS 64

struct sealed {
    uint8_t *bytes;
    size_t length;
    uint32_t records, crc32c;
};

struct stream {
    char interface[16], vantage[96];
    struct sealed *batches;
    size_t count, room;
    uint64_t number, next, acked; /* of the capture in hand; batches count from 1 */
    uint64_t packets, bytes;
    int64_t first_ns, last_ns;
    bool resumed, closed;
};

struct push {
    uv_loop_t loop;
    uv_idle_t pump;
    struct dp_dialer *dialer;
    struct dp_keypair keys;
    const char *name;
    uint64_t epoch, credit, last_number;
    char capture_id[64];
    struct stream streams[MOST_STREAMS];
    size_t count, turn;
    long long begun_us, sent_us;
};

static void die(const char *what, const char *why)
{
    fprintf(stderr, "push: %s: %s\n", what, why);
    exit(2);
}

static void must(int code, const char *what)
{
    if (code)
        die(what, dp_err_sentence(code));
}

static long long now_us(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_REALTIME, &now); /* what the shell's EPOCHREALTIME tells as well */
    return (long long)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

/* --- the batches --- */

static void seal(struct stream *stream, struct dp_batch *batch)
{
    if (!batch->digest_count)
        return;
    if (stream->count == stream->room) {
        stream->room = stream->room ? 2 * stream->room : 256;
        stream->batches = realloc(stream->batches, stream->room * sizeof *stream->batches);
        if (!stream->batches)
            die(stream->interface, "out of memory");
    }
    struct sealed *sealed = &stream->batches[stream->count++];
    must(dp_batch_encode(batch, &sealed->bytes, &sealed->length), "encode");
    sealed->records = (uint32_t)batch->digest_count;
    sealed->crc32c = dp_crc32c(0, sealed->bytes, sealed->length);
    if (!stream->packets)
        stream->first_ns = batch->digests[0].ts_ns;
    stream->last_ns = batch->digests[batch->digest_count - 1].ts_ns;
    stream->packets += batch->digest_count;
    stream->bytes += sealed->length;
    dp_batch_clear(batch);
}

static void load(struct stream *stream, const char *path, size_t batch_records)
{
    static const uint8_t key[DP_HASH_KEY_SIZE] = {
        1}; /* the same at all vantage points; the files are no secret */
    struct dp_diag diag = {""};
    struct dp_capfile *file = NULL;
    struct dp_digester *digester = NULL;
    struct dp_batch batch = {.digests = NULL};
    struct dp_capfile_packet packet;
    if (dp_capfile_open(path, &file, &diag))
        die(path, diag.text);
    must(dp_digester_new(key, &digester), path);
    int code;
    while (!(code = dp_capfile_next(file, &packet, &diag))) {
        must(dp_digester_frame(digester, packet.link_type, packet.ts_ns, packet.data, packet.captured,
                               packet.wire_len, &batch),
             path);
        if (batch.digest_count >= batch_records)
            seal(stream, &batch);
    }
    if (code != DP_ERR_END)
        die(path, dp_reason(&diag, code));
    seal(stream, &batch);
    dp_batch_free(&batch);
    dp_digester_free(digester);
    dp_capfile_close(file);
}

/* --- the conversation --- */

static void send_message(struct push *push, uint64_t request, Droppoint__Envelope__BodyCase body,
                         void *message)
{
    Droppoint__Envelope envelope = DROPPOINT__ENVELOPE__INIT;
    envelope.request = request;
    envelope.body_case = body;
    envelope.agent_hello = message; /* the union's members are all pointers */
    must(dp_dialer_send(push->dialer, &envelope), "send");
}

static void hello(struct push *push)
{
    Droppoint__AgentHello message = DROPPOINT__AGENT_HELLO__INIT;
    char *interfaces[MOST_STREAMS];
    for (size_t i = 0; i < push->count; i++)
        interfaces[i] = push->streams[i].interface;
    message.name = (char *)push->name;
    message.epoch = push->epoch;
    message.software = (char *)"push";
    message.n_interfaces = push->count;
    message.interfaces = interfaces;
    send_message(push, 0, DROPPOINT__ENVELOPE__BODY_AGENT_HELLO, &message);
}

static void send_state(struct push *push, const struct stream *stream, bool running)
{
    Droppoint__CaptureState message = DROPPOINT__CAPTURE_STATE__INIT;
    message.capture_id = push->capture_id;
    message.vantage = (char *)stream->vantage;
    message.running = running;
    message.packets = stream->packets;
    message.started_ns = stream->first_ns;
    message.ended_ns = running ? 0 : stream->last_ns;
    message.reason = (char *)(running ? "" : "duration");
    send_message(push, 0, DROPPOINT__ENVELOPE__BODY_CAPTURE_STATE, &message);
}

/* Everything is to be sent once more, in streams of their own. */
static void begin_capture(struct push *push, const char *id)
{
    (void)snprintf(push->capture_id, sizeof push->capture_id, "%s", id);
    for (size_t i = 0; i < push->count; i++) {
        struct stream *stream = &push->streams[i];
        stream->number = ++push->last_number;
        stream->next = 1;
        stream->acked = 0;
        stream->resumed = stream->closed = false;
    }
    push->begun_us = 0;
}

static struct stream *find(struct push *push, uint64_t epoch, uint64_t number)
{
    for (size_t i = 0; i < push->count; i++)
        if (epoch == push->epoch && push->streams[i].number == number)
            return &push->streams[i];
    return NULL; /* of a capture before */
}

static void on_prepare(struct push *push, uint64_t request, const Droppoint__CapturePrepare *prepare)
{
    Droppoint__CaptureReady message = DROPPOINT__CAPTURE_READY__INIT;
    if (strcmp(push->capture_id, prepare->capture_id) != 0)
        begin_capture(push, prepare->capture_id);
    for (size_t i = 0; i < push->count; i++)
        if (!strcmp(push->streams[i].interface, prepare->interface))
            (void)snprintf(push->streams[i].vantage, sizeof push->streams[i].vantage, "%s", prepare->vantage);
    message.capture_id = prepare->capture_id;
    message.vantage = prepare->vantage;
    message.ok = 1;
    message.link_type = 1;
    send_message(push, request, DROPPOINT__ENVELOPE__BODY_CAPTURE_READY, &message);
}

static void on_start(struct push *push)
{
    for (size_t i = 0; i < push->count; i++) {
        Droppoint__StreamOpen message = DROPPOINT__STREAM_OPEN__INIT;
        struct stream *stream = &push->streams[i];
        message.epoch = push->epoch;
        message.stream = stream->number;
        message.kind = DROPPOINT__STREAM_KIND__STREAM_KIND_DIGESTS;
        message.capture_id = push->capture_id;
        message.vantage = stream->vantage;
        send_message(push, 0, DROPPOINT__ENVELOPE__BODY_STREAM_OPEN, &message);
        send_state(push, stream, true);
    }
}

static void close_stream(struct push *push, struct stream *stream)
{
    Droppoint__StreamClose message = DROPPOINT__STREAM_CLOSE__INIT;
    message.epoch = push->epoch;
    message.stream = stream->number;
    message.last = stream->count;
    send_state(push, stream, false);
    send_message(push, 0, DROPPOINT__ENVELOPE__BODY_STREAM_CLOSE, &message);
    stream->closed = true;
}

/* One batch of the next stream that has one. false: nothing to send, or no credit. */
static bool send_one(struct push *push)
{
    for (size_t tried = 0; tried < push->count; tried++) {
        struct stream *stream = &push->streams[push->turn];
        push->turn = (push->turn + 1) % push->count;
        if (!stream->resumed || stream->closed)
            continue;
        if (stream->next > stream->count) {
            close_stream(push, stream);
            continue;
        }
        const struct sealed *sealed = &stream->batches[stream->next - 1];
        if (sealed->length > push->credit) {
            push->turn = (push->turn + push->count - 1) % push->count;
            return false;
        }
        Droppoint__StreamData message = DROPPOINT__STREAM_DATA__INIT;
        message.epoch = push->epoch;
        message.stream = stream->number;
        message.number = stream->next++;
        message.crc32c = sealed->crc32c;
        message.records = sealed->records;
        message.payload = (ProtobufCBinaryData){sealed->length, sealed->bytes};
        push->sent_us = now_us();
        if (!push->begun_us)
            push->begun_us = push->sent_us;
        send_message(push, 0, DROPPOINT__ENVELOPE__BODY_STREAM_DATA, &message);
        push->credit -= sealed->length;
        return true;
    }
    return false;
}

static void on_pump(uv_idle_t *idle)
{
    for (int i = 0; i < 16; i++)
        if (!send_one(idle->data)) {
            (void)uv_idle_stop(idle);
            return;
        }
}

static void on_acknowledged(struct push *push, const Droppoint__StreamAck *ack)
{
    uint64_t records = 0, bytes = 0, batches = 0;
    struct stream *of = find(push, ack->epoch, ack->stream);
    if (of)
        of->acked = ack->number;
    for (size_t i = 0; i < push->count; i++) {
        const struct stream *stream = &push->streams[i];
        if (stream->acked < stream->count)
            return;
        records += stream->packets;
        batches += stream->count;
        bytes += stream->bytes;
    }
    if (!push->begun_us)
        return;
    printf("%llu %llu %llu %lld %lld %lld\n", (unsigned long long)records, (unsigned long long)bytes,
           (unsigned long long)batches, push->begun_us, push->sent_us, now_us());
    (void)fflush(stdout);
    push->begun_us = 0;
}

static void on_resume(struct push *push, const Droppoint__StreamResume *resume)
{
    struct stream *stream = find(push, resume->epoch, resume->stream);
    if (!stream)
        return;
    stream->next = resume->next;
    stream->resumed = true;
    stream->closed = false;
}

static void on_message(void *context, const Droppoint__Envelope *envelope)
{
    struct push *push = context;
    switch (envelope->body_case) {
    case DROPPOINT__ENVELOPE__BODY_WELCOME:
        push->credit = envelope->welcome->credit_bytes;
        printf("ready\n");
        (void)fflush(stdout);
        break;
    case DROPPOINT__ENVELOPE__BODY_CAPTURE_PREPARE:
        on_prepare(push, envelope->request, envelope->capture_prepare);
        break;
    case DROPPOINT__ENVELOPE__BODY_CAPTURE_START:
        on_start(push);
        break;
    case DROPPOINT__ENVELOPE__BODY_STREAM_RESUME:
        on_resume(push, envelope->stream_resume);
        break;
    case DROPPOINT__ENVELOPE__BODY_CREDIT:
        push->credit += envelope->credit->bytes;
        break;
    case DROPPOINT__ENVELOPE__BODY_STREAM_ACK:
        on_acknowledged(push, envelope->stream_ack);
        break;
    case DROPPOINT__ENVELOPE__BODY_REFUSED:
        die("refused", envelope->refused->text);
    default:
        break;
    }
    (void)uv_idle_start(&push->pump, on_pump);
}

static void on_state(void *context, enum dp_dialer_state state, const char *text)
{
    if (state == DP_DIALER_CONNECTED)
        hello(context);
    else if (state == DP_DIALER_LOST && ((struct push *)context)->capture_id[0])
        die("connection", text); /* a benchmark does not go on after that */
}

int main(int argc, char **argv)
{
    static const struct dp_dialer_events events = {.state = on_state, .message = on_message};
    static struct push push;
    struct dp_diag diag = {""};
    char collector_z85[DP_KEY_Z85];
    long batch_records = argc > 6 ? strtol(argv[5], NULL, 10) : 0;
    if (batch_records < 1 || batch_records > DP_BATCH_MAX_RECORDS || argc - 6 > MOST_STREAMS) {
        fprintf(stderr, "Usage: %s ENDPOINT KEY_FILE COLLECTOR_KEY NAME RECORDS INTERFACE=FILE ...\n",
                argv[0]);
        return 2;
    }
    push.name = argv[4];
    push.epoch = (uint64_t)time(NULL) * 1000000000;
    for (int i = 6; i < argc; i++) {
        struct stream *stream = &push.streams[push.count++];
        char *file = strchr(argv[i], '=');
        if (!file || file - argv[i] > 15)
            die(argv[i], "not INTERFACE=FILE");
        memcpy(stream->interface, argv[i], (size_t)(file - argv[i]));
        load(stream, file + 1, (size_t)batch_records);
    }
    if (dp_keypair_load_or_make(argv[2], &push.keys, &diag) ||
        dp_public_key_read(argv[3], collector_z85, &diag))
        die("keys", diag.text);
    (void)uv_loop_init(&push.loop);
    (void)uv_idle_init(&push.loop, &push.pump);
    push.pump.data = &push;
    const struct dp_dialer_options options = {
        .endpoint = argv[1], .keys = &push.keys, .collector_z85 = collector_z85};
    if (dp_dialer_open(&push.loop, &options, &events, &push, &push.dialer, &diag))
        die("dialer", diag.text);
    return uv_run(&push.loop, UV_RUN_DEFAULT);
}
