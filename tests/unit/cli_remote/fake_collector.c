#include "fake_collector.h"

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>
#include <uv.h>

#include "collector/link/link.h"
#include "common/capfile/capfile.h"
#include "common/keys/keys.h"

#define CHUNK 100000
#define WINDOW (1024 * 1024)

#define DOCUMENT(code)                                                                                       \
    "{\"schema\":\"droppoint.locate.v1\",\"vantages\":[{\"name\":\"mx1/"                                     \
    "eth0\",\"packets\":2},{\"name\":\"lb1/eth0\","                                                          \
    "\"packets\":1}],\"segments\":[],\"flows\":[],\"findings\":[],\"verdict\":{\"code\":\"" code             \
    "\",\"summary\":\"A summary.\"},\"capture\":{\"id\":\"c1\",\"path\":\"mail-out\"}}"

struct server {
    struct dp_link *link;
    char operator_z85[DP_KEY_Z85];
    uint64_t run_request, export_request, sent, taken;
    struct dp_peer *exporting;
    uint8_t *ring; /* a pcapng file */
    size_t ring_length;
    bool deaf; /* nothing stops its capture */
};

static void must(bool good)
{
    if (!good)
        abort();
}

static void reply(struct server *server, struct dp_peer *peer, Droppoint__Envelope *envelope,
                  uint64_t request)
{
    envelope->request = request;
    must(dp_link_send(server->link, peer, envelope) == 0);
}

static void reply_result(struct server *server, struct dp_peer *peer, uint64_t request, int code,
                         const char *text)
{
    Droppoint__Envelope envelope = DROPPOINT__ENVELOPE__INIT;
    Droppoint__Result result = DROPPOINT__RESULT__INIT;
    result.code = code;
    result.text = (char *)text;
    envelope.body_case = DROPPOINT__ENVELOPE__BODY_RESULT;
    envelope.result = &result;
    reply(server, peer, &envelope, request);
}

static void reply_welcome(struct server *server, struct dp_peer *peer)
{
    Droppoint__Envelope envelope = DROPPOINT__ENVELOPE__INIT;
    Droppoint__Welcome welcome = DROPPOINT__WELCOME__INIT;
    welcome.name = (char *)"operator";
    welcome.heartbeat_ms = 200;
    envelope.body_case = DROPPOINT__ENVELOPE__BODY_WELCOME;
    envelope.welcome = &welcome;
    reply(server, peer, &envelope, 0);
}

static void reply_agents(struct server *server, struct dp_peer *peer, uint64_t request)
{
    Droppoint__Envelope envelope = DROPPOINT__ENVELOPE__INIT;
    Droppoint__AgentList list = DROPPOINT__AGENT_LIST__INIT;
    Droppoint__AgentEntry agent = DROPPOINT__AGENT_ENTRY__INIT, *agents[] = {&agent};
    agent.name = (char *)"lb1";
    agent.fingerprint = (char *)"3f2a-91c0-0000-0000-0000-0000-0000-0001";
    agent.state = (char *)"approved";
    list.n_agents = 1;
    list.agents = agents;
    envelope.body_case = DROPPOINT__ENVELOPE__BODY_AGENT_LIST;
    envelope.agent_list = &list;
    reply(server, peer, &envelope, request);
}

static void reply_progress(struct server *server, struct dp_peer *peer, uint64_t request, const char *phase,
                           const char *lb1_state)
{
    Droppoint__Envelope envelope = DROPPOINT__ENVELOPE__INIT;
    Droppoint__CaptureProgress progress = DROPPOINT__CAPTURE_PROGRESS__INIT;
    Droppoint__VantageProgress mx1 = DROPPOINT__VANTAGE_PROGRESS__INIT, lb1 = mx1, *points[] = {&mx1, &lb1};
    mx1.vantage = (char *)"mx1/eth0";
    mx1.state = (char *)"ready";
    lb1.vantage = (char *)"lb1/eth0";
    lb1.state = (char *)lb1_state;
    if (!strcmp(lb1_state, "absent"))
        lb1.text = (char *)"agent lb1 is not connected";
    progress.capture_id = (char *)"c1";
    progress.phase = (char *)phase;
    progress.n_vantages = 2;
    progress.vantages = points;
    envelope.body_case = DROPPOINT__ENVELOPE__BODY_CAPTURE_PROGRESS;
    envelope.capture_progress = &progress;
    reply(server, peer, &envelope, request);
}

static void reply_done(struct server *server, struct dp_peer *peer, uint64_t request, int code,
                       const char *text, const char *json)
{
    Droppoint__Envelope envelope = DROPPOINT__ENVELOPE__INIT;
    Droppoint__CaptureDone done = DROPPOINT__CAPTURE_DONE__INIT;
    done.capture_id = (char *)"c1";
    done.code = code;
    done.text = (char *)text;
    done.json = (char *)json;
    envelope.body_case = DROPPOINT__ENVELOPE__BODY_CAPTURE_DONE;
    envelope.capture_done = &done;
    reply(server, peer, &envelope, request);
}

static void reply_document(struct server *server, struct dp_peer *peer, uint64_t request)
{
    Droppoint__Envelope envelope = DROPPOINT__ENVELOPE__INIT;
    Droppoint__CaptureDocument document = DROPPOINT__CAPTURE_DOCUMENT__INIT;
    document.capture_id = (char *)"c1";
    document.json = (char *)DOCUMENT("inconclusive");
    envelope.body_case = DROPPOINT__ENVELOPE__BODY_CAPTURE_DOCUMENT;
    envelope.capture_document = &document;
    reply(server, peer, &envelope, request);
}

static void run_capture(struct server *server, struct dp_peer *peer, uint64_t request, const char *path)
{
    server->run_request = request;
    if (!strcmp(path, "away")) {
        reply_result(server, peer, request, DP_ERR_UNAVAILABLE, "The database is away.");
        return;
    }
    if (!strcmp(path, "unknown")) {
        reply_result(server, peer, request, DP_ERR_NOT_FOUND, "There is no path 'unknown'.");
        return;
    }
    bool absent = !strcmp(path, "absent");
    reply_progress(server, peer, request, "preparing", absent ? "absent" : "ready");
    if (absent) {
        reply_done(server, peer, request, DP_ERR_UNAVAILABLE, "lb1/eth0 can't take part.", "");
        return;
    }
    reply_progress(server, peer, request, "running", "running");
    if (!strcmp(path, "clean"))
        reply_done(server, peer, request, 0, "", DOCUMENT("clean"));
    else if (!strcmp(path, "loss"))
        reply_done(server, peer, request, 0, "", DOCUMENT("loss"));
    else if (!strcmp(path, "garbage"))
        reply_done(server, peer, request, 0, "", "{\"schema\":");
}

static void reply_chunk(struct server *server, const char *vantage, size_t length, bool last,
                        const char *error)
{
    Droppoint__Envelope envelope = DROPPOINT__ENVELOPE__INIT;
    Droppoint__ExportChunk chunk = DROPPOINT__EXPORT_CHUNK__INIT;
    chunk.capture_id = (char *)"c1";
    chunk.vantage = (char *)vantage;
    chunk.offset = error ? 0 : server->sent;
    chunk.data.data = error ? NULL : server->ring + server->sent;
    chunk.data.len = length;
    chunk.last = last;
    if (error) {
        chunk.error = (char *)"not-found";
        chunk.error_text = (char *)error;
    }
    envelope.body_case = DROPPOINT__ENVELOPE__BODY_EXPORT_CHUNK;
    envelope.export_chunk = &chunk;
    reply(server, server->exporting, &envelope, server->export_request);
}

/* Sends as far as the reader's credit goes; stops for good where it does not come. */
static void go_on(struct server *server)
{
    while (server->exporting && server->sent + CHUNK <= server->taken + WINDOW) {
        size_t length =
            server->ring_length - server->sent < CHUNK ? server->ring_length - server->sent : CHUNK;
        reply_chunk(server, "mx1/eth0", length, false, NULL);
        server->sent += length;
        if (server->sent < server->ring_length)
            continue;
        reply_chunk(server, "mx1/eth0", 0, true, NULL);
        reply_chunk(server, "lb1/eth0", 0, true, "the ring holds nothing of this capture any more");
        reply_result(server, server->exporting, server->export_request, 0, "");
        server->exporting = NULL;
    }
}

/* UDP packets over Ethernet, one each millisecond. */
static void make_ring(const struct fake_collector *fake, struct server *server)
{
    static const uint8_t head[42] = {
        [12] = 8,   [14] = 0x45, [16] = 5, [22] = 64, [23] = 17, [26] = 192, [28] = 2,  [29] = 1,
        [30] = 192, [32] = 2,    [33] = 2, [35] = 53, [37] = 99, [38] = 4,   [39] = 236};
    uint8_t frame[14 + 0x500] = {0};
    char path[128];
    struct dp_capwriter *writer = NULL;
    struct dp_diag diag;
    uint32_t interface = 0;
    memcpy(frame, head, sizeof head);
    (void)snprintf(path, sizeof path, "%s/ring.pcapng", fake->directory);
    must(dp_capwriter_open(path, &writer, &diag) == 0);
    must(dp_capwriter_interface(writer, "eth0", 1, 0, &interface) == 0);
    for (int64_t i = 0; i < EXPORT_PACKETS; i++)
        must(dp_capwriter_packet(writer, interface, 1772370309000000000 + i * 1000000, frame, sizeof frame,
                                 sizeof frame, NULL) == 0);
    must(dp_capwriter_close(writer, &diag) == 0);
    FILE *in = fopen(path, "r");
    must(in && !fseek(in, 0, SEEK_END));
    server->ring_length = (size_t)ftell(in);
    rewind(in);
    must(server->ring_length > 3 * WINDOW && (server->ring = malloc(server->ring_length)));
    must(fread(server->ring, 1, server->ring_length, in) == server->ring_length);
    (void)fclose(in);
    (void)unlink(path);
}

static void start_export(struct server *server, struct dp_peer *peer, const Droppoint__Envelope *envelope)
{
    server->exporting = peer;
    server->export_request = envelope->request;
    server->sent = server->taken = 0;
    if (envelope->capture_export->all_flows) {
        reply_chunk(server, "mx1/eth0", 0, true, "the agent is away");
        reply_chunk(server, "lb1/eth0", 0, true, "the agent is away");
        reply_result(server, peer, server->export_request, 0, "");
        server->exporting = NULL;
        return;
    }
    go_on(server);
}

static void on_message(void *context, struct dp_peer *peer, const Droppoint__Envelope *envelope)
{
    struct server *server = context;
    uint64_t request = envelope->request;
    switch (envelope->body_case) {
    case DROPPOINT__ENVELOPE__BODY_OPERATOR_HELLO:
        reply_welcome(server, peer);
        break;
    case DROPPOINT__ENVELOPE__BODY_AGENT_LIST_REQUEST:
        reply_agents(server, peer, request);
        break;
    case DROPPOINT__ENVELOPE__BODY_AGENT_APPROVE:
        reply_result(server, peer, request, 0, envelope->agent_approve->fingerprint);
        break;
    case DROPPOINT__ENVELOPE__BODY_PATH_SET:
        reply_result(server, peer, request, DP_ERR_NOT_FOUND, "There is no agent mx9.");
        break;
    case DROPPOINT__ENVELOPE__BODY_PATH_REMOVE: /* no answer */
        break;
    case DROPPOINT__ENVELOPE__BODY_CAPTURE_RUN:
        if (!strcmp(envelope->capture_run->path, "crash")) {
            reply_progress(server, peer, request, "running", "running");
            usleep(300000);
            _exit(0);
        }
        server->deaf = !strcmp(envelope->capture_run->path, "never");
        run_capture(server, peer, request, envelope->capture_run->path);
        break;
    case DROPPOINT__ENVELOPE__BODY_CAPTURE_CANCEL:
        if (server->deaf)
            break;
        reply_result(server, peer, request, 0, "It stops.");
        reply_done(server, peer, server->run_request, 0, "", DOCUMENT("inconclusive"));
        break;
    case DROPPOINT__ENVELOPE__BODY_CAPTURE_SHOW:
        reply_document(server, peer, request);
        break;
    case DROPPOINT__ENVELOPE__BODY_CAPTURE_EXPORT:
        start_export(server, peer, envelope);
        break;
    case DROPPOINT__ENVELOPE__BODY_EXPORT_CREDIT:
        server->taken = envelope->export_credit->taken;
        go_on(server);
        break;
    default:
        abort();
    }
}

static enum dp_peer_role on_who(void *context, const char *public_z85, const char *address)
{
    struct server *server = context;
    (void)address;
    return strcmp(public_z85, server->operator_z85) ? DP_ROLE_NONE : DP_ROLE_OPERATOR;
}

static void on_gone(void *context, struct dp_peer *peer)
{
    struct server *server = context;
    if (server->exporting == peer)
        server->exporting = NULL;
}

static void load(const struct fake_collector *fake, const char *name, struct dp_keypair *ret_pair)
{
    char path[128];
    struct dp_diag diag;
    (void)snprintf(path, sizeof path, "%s/%s", fake->directory, name);
    must(dp_keypair_load_or_make(path, ret_pair, &diag) == 0);
}

static void serve(const struct fake_collector *fake, int ready)
{
    static const struct dp_link_events events = {.who = on_who, .message = on_message, .gone = on_gone};
    struct server server = {.link = NULL};
    struct dp_keypair keys, operator;
    uv_loop_t loop;
    struct dp_diag diag = {""};
    load(fake, "collector.key", &keys);
    load(fake, "operator.key", &operator);
    memcpy(server.operator_z85, operator.public_z85, sizeof server.operator_z85);
    make_ring(fake, &server);
    must(uv_loop_init(&loop) == 0);
    const struct dp_link_options options = {
        .bind = fake->endpoint[0] ? fake->endpoint : "tcp://127.0.0.1:*", .keys = &keys, .heartbeat_ms = 200};
    int rc = -1;
    /* The port of a collector that just went away may take a moment to be free. */
    for (int i = 0; i < 50 && rc; i++, usleep(100000))
        rc = dp_link_open(&loop, &options, &events, &server, &server.link, &diag);
    if (rc)
        fprintf(stderr, "%s\n", diag.text);
    must(rc == 0);
    const char *endpoint = dp_link_endpoint(server.link);
    must(write(ready, endpoint, strlen(endpoint)) > 0);
    (void)close(ready);
    (void)uv_run(&loop, UV_RUN_DEFAULT);
}

void fake_collector_keys(struct fake_collector *fake)
{
    struct dp_keypair pair;
    char path[128];
    *fake = (struct fake_collector){.pid = -1};
    (void)snprintf(fake->directory, sizeof fake->directory, "/tmp/droppoint-cli-test-XXXXXX");
    must(mkdtemp(fake->directory) != NULL);
    load(fake, "operator.key", &pair);
    load(fake, "stranger.key", &pair);
    load(fake, "collector.key", &pair);
    (void)snprintf(path, sizeof path, "%s/collector.pub", fake->directory);
    FILE *out = fopen(path, "w");
    must(out && fprintf(out, "%s\n", pair.public_z85) > 0 && fclose(out) == 0);
    load(fake, "stranger.key", &pair);
    (void)snprintf(path, sizeof path, "%s/stranger.pub", fake->directory);
    out = fopen(path, "w");
    must(out && fprintf(out, "%s\n", pair.public_z85) > 0 && fclose(out) == 0);
}

void fake_collector_start(struct fake_collector *fake)
{
    int ready[2];
    must(pipe(ready) == 0);
    (void)fflush(NULL);
    fake->pid = fork();
    must(fake->pid >= 0);
    if (!fake->pid) {
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        (void)close(ready[0]);
        serve(fake, ready[1]);
        _exit(1);
    }
    (void)close(ready[1]);
    ssize_t got = read(ready[0], fake->endpoint, sizeof fake->endpoint - 1);
    must(got > 0);
    fake->endpoint[got] = '\0';
    (void)close(ready[0]);
}

void fake_collector_stop(struct fake_collector *fake)
{
    if (fake->pid > 0) {
        (void)kill(fake->pid, SIGKILL);
        (void)waitpid(fake->pid, NULL, 0);
    }
    fake->pid = -1;
}

void fake_collector_clean(struct fake_collector *fake)
{
    static const char *const names[] = {"operator.key", "stranger.key", "collector.key", "collector.pub",
                                        "stranger.pub", "stdout",       "stderr",        "out.pcapng"};
    char path[128];
    fake_collector_stop(fake);
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        (void)snprintf(path, sizeof path, "%s/%s", fake->directory, names[i]);
        (void)unlink(path);
    }
    (void)rmdir(fake->directory);
}
