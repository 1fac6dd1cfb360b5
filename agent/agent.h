/* What the files of the agent daemon share. The daemon is one thread on one libuv loop. */
#ifndef DROPPOINT_AGENT_AGENT_H
#define DROPPOINT_AGENT_AGENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

#include "agent/link/link.h"
#include "agent/policy/policy.h"
#include "agent/settings.h"
#include "agent/spool/spool.h"
#include "common/err/err.h"
#include "common/keys/keys.h"
#include "common/log/log.h"

struct agent_stream;
struct agent_capture;
struct agent_export;
struct agent_probes;

struct agent {
    uv_loop_t *loop;
    struct dp_log log;
    struct agent_settings settings;
    struct dp_keypair keys;
    char fingerprint[DP_FINGERPRINT_TEXT];
    struct dp_policy *policy;
    struct dp_spool *spool;
    struct dp_dialer *dialer;
    uint64_t epoch; /* CLOCK_REALTIME of this start, ns */

    bool connected; /* the handshake is done */
    bool up;        /* the collector welcomed us */
    bool stopping;
    enum dp_dialer_state told; /* last state that was logged */
    uv_timer_t hello_timer;    /* asks again after a refusal */
    uv_timer_t lost_timer;     /* ends captures of a collector that stays away */
    uv_timer_t tick;           /* syncs the spool */
    uv_timer_t stop_timer;     /* waits for captures to end when the agent stops */
    uint64_t stop_deadline;    /* uv_now */
    uv_idle_t pump;            /* runs while there is more to send */

    uint64_t credit;              /* bytes of StreamData payload that may go */
    struct agent_stream *streams; /* list */
    struct agent_stream *turn;    /* whose turn it is to send */
    struct agent_capture *captures;
    struct agent_export *exports;
    struct agent_probes *probes;
};

int64_t agent_realtime_ns(void);

#endif
