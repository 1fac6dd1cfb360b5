#include "agent/probe/zone/transfer.h"

#include <ares.h>
#include <arpa/nameser.h>
#include <stdlib.h>
#include <string.h>

#include "agent/probe/net/dial.h"
#include "agent/probe/net/dns_codec.h"
#include "agent/probe/net/handles.h"
#include "agent/probe/net/stream.h"

#define ANSWER_MAX (2 + 65535)

struct zone_transfer_try {
    struct dp_probe *probe;
    struct dp_dial *dial;
    struct dp_stream *stream;
    struct dp_timer *timer;
    zone_transfer_done *done;
    void *context;
    uint8_t question[512];
    size_t question_length;
    uint8_t *answer;
    size_t answer_length;
    enum zone_transfer outcome;
};

enum zone_transfer zone_transfer_judge(const uint8_t *bytes, size_t length)
{
    struct dp_dns_message message;
    if (dp_dns_read(bytes, length, &message))
        return ZONE_TRANSFER_UNKNOWN;
    bool soa =
        message.count && message.records[0].type == DP_DNS_SOA && message.records[0].section == DP_DNS_ANSWER;
    enum zone_transfer outcome = message.rcode != DP_DNS_NOERROR ? ZONE_TRANSFER_REFUSED
                                 : soa                           ? ZONE_TRANSFER_ALLOWED
                                                                 : ZONE_TRANSFER_UNKNOWN;
    dp_dns_message_free(&message);
    return outcome;
}

static void finish(void *context)
{
    struct zone_transfer_try *try = context;
    dp_timer_stop(try->timer);
    dp_stream_drop(try->stream);
    try->stream = NULL;
    try->done(try->context, try->outcome); // may free
}

static void settle(struct zone_transfer_try *try, enum zone_transfer outcome)
{
    try->outcome = outcome;
    dp_timer_start(try->timer, 0, 0);
}

static void on_data(void *context, const char *bytes, size_t length)
{
    struct zone_transfer_try *try = context;
    size_t room = ANSWER_MAX - try->answer_length;
    length = length < room ? length : room;
    memcpy(try->answer + try->answer_length, bytes, length);
    try->answer_length += length;
    if (try->answer_length < 2)
        return;
    size_t wanted = (size_t)(try->answer[0] << 8 | try->answer[1]);
    if (try->answer_length >= 2 + wanted)
        settle(try, zone_transfer_judge(try->answer + 2, wanted));
}

static void on_closed(void *context, enum dp_stream_end end, const char *why)
{
    (void)end;
    (void)why;
    settle(context, ZONE_TRANSFER_REFUSED); // it hangs up instead of an answer
}

static const struct dp_stream_events stream_events = {.data = on_data, .closed = on_closed};

static void on_dialled(void *context, const struct dp_dial_result *result)
{
    struct zone_transfer_try *try = context;
    dp_dial_drop(try->dial);
    try->dial = NULL;
    if (result->outcome != DP_DIAL_OPEN) {
        settle(try, ZONE_TRANSFER_UNKNOWN);
        return;
    }
    if (dp_stream_new(dp_probe_loop(try->probe), result->fd, &stream_events, try, &try->stream) ||
        dp_stream_send(try->stream, try->question, try->question_length))
        settle(try, ZONE_TRANSFER_UNKNOWN);
}

int zone_transfer_start(struct dp_probe *probe, const union dp_address *server, const char *zone,
                        uint64_t timeout_ms, zone_transfer_done *done, void *context,
                        struct zone_transfer_try **ret_try)
{
    unsigned char *bytes = NULL;
    int length = 0;
    struct zone_transfer_try *try = calloc(1, sizeof *try);
    if (!try)
        return DP_ERR_NOMEM;
    try->probe = probe;
    try->done = done;
    try->context = context;
    try->answer = malloc(ANSWER_MAX);
    int rc = try->answer ? dp_timer_new(dp_probe_loop(probe), finish, try, &try->timer) : DP_ERR_NOMEM;
    if (!rc && ares_create_query(zone, ns_c_in, ns_t_axfr, 1, 0, &bytes, &length, 0) != ARES_SUCCESS)
        rc = DP_ERR_USAGE;
    if (!rc && length + 2 <= (int)sizeof try->question) {
        try->question[0] = (uint8_t)(length >> 8);
        try->question[1] = (uint8_t)(length & 0xff);
        memcpy(try->question + 2, bytes, (size_t)length);
        try->question_length = (size_t)length + 2;
    }
    ares_free_string(bytes);
    if (!rc)
        rc = dp_dial_start(dp_probe_loop(probe), dp_probe_request(probe), server, timeout_ms, on_dialled, try,
                           &try->dial);
    if (rc) {
        zone_transfer_drop(try);
        return rc;
    }
    dp_timer_start(try->timer, timeout_ms, 0);
    *ret_try = try;
    return 0;
}

void zone_transfer_drop(struct zone_transfer_try *try)
{
    if (!try)
        return;
    dp_dial_drop(try->dial);
    dp_stream_drop(try->stream);
    dp_timer_drop(try->timer);
    free(try->answer);
    free(try);
}
