#include "agent/session.h"

#include <net/if.h>
#include <stdlib.h>
#include <string.h>

#include "agent/captures.h"
#include "agent/exports.h"
#include "agent/probes.h"
#include "agent/streams.h"

#define INTERFACES_MAX 1024
#define HELLO_AGAIN_MS 10000

int agent_send(struct agent *agent, Droppoint__Envelope *envelope)
{
    return agent->up ? dp_dialer_send(agent->dialer, envelope) : DP_ERR_UNAVAILABLE;
}

/* Interfaces on which the policy allows captures. */
static size_t list_interfaces(const struct agent *agent, struct if_nameindex *all,
                              char *names[INTERFACES_MAX])
{
    size_t count = 0;
    for (struct if_nameindex *p = all; p && p->if_index != 0 && count < INTERFACES_MAX; p++)
        if (dp_policy_interface_allowed(agent->policy, p->if_name))
            names[count++] = p->if_name;
    return count;
}

static void say_hello(struct agent *agent)
{
    char *names[INTERFACES_MAX];
    struct if_nameindex *all = if_nameindex();
    Droppoint__AgentHello hello = DROPPOINT__AGENT_HELLO__INIT;
    Droppoint__Envelope envelope = DROPPOINT__ENVELOPE__INIT;
    envelope.body_case = DROPPOINT__ENVELOPE__BODY_AGENT_HELLO;
    envelope.agent_hello = &hello;
    hello.name = agent->settings.name;
    hello.epoch = agent->epoch;
    hello.software = (char *)("droppoint-agent " DROPPOINT_VERSION);
    hello.n_interfaces = list_interfaces(agent, all, names);
    hello.interfaces = names;
    int code = dp_dialer_send(agent->dialer, &envelope);
    if (code != DP_OK)
        dp_log(&agent->log, DP_LOG_WARNING, "Cannot greet the collector: %s", dp_err_sentence(code));
    if (all)
        if_freenameindex(all);
}

static void on_hello_timer(uv_timer_t *timer)
{
    struct agent *agent = timer->data;
    if (agent->connected && !agent->up)
        say_hello(agent);
}

static void go_down(struct agent *agent)
{
    bool was_up = agent->up;
    agent->connected = agent->up = false;
    (void)uv_timer_stop(&agent->hello_timer);
    if (!was_up)
        return;
    agent_streams_down(agent);
    agent_exports_down(agent);
    agent_captures_down(agent);
    agent_probes_down(agent);
}

/* Attempts repeat for as long as it takes; the log has each new state once. */
static void log_state(struct agent *agent, enum dp_dialer_state state, const char *text)
{
    if (state == DP_DIALER_CONNECTING || state == agent->told)
        return;
    agent->told = state;
    if (state == DP_DIALER_REFUSED)
        dp_log(&agent->log, DP_LOG_WARNING,
               "%s Waiting for approval: run \"droppoint agent approve %s\" at the collector.", text,
               agent->fingerprint);
    else if (state == DP_DIALER_CONNECTED)
        dp_log(&agent->log, DP_LOG_INFO, "Connected to the collector at %s.", agent->settings.collector);
    else
        dp_log(&agent->log, DP_LOG_WARNING, "%s Dialling again until it answers.", text);
}

static void on_state(void *context, enum dp_dialer_state state, const char *text)
{
    struct agent *agent = context;
    log_state(agent, state, text);
    if (state == DP_DIALER_CONNECTED) {
        agent->connected = true;
        say_hello(agent);
    } else {
        go_down(agent);
    }
}

static void take_welcome(struct agent *agent, const Droppoint__Welcome *welcome)
{
    if (agent->up)
        return;
    agent->up = true;
    (void)uv_timer_stop(&agent->hello_timer);
    dp_log(&agent->log, DP_LOG_INFO, "The collector welcomes this agent as \"%s\".",
           welcome->name[0] ? welcome->name : agent->settings.name);
    agent_captures_up(agent);
    agent_streams_up(agent, welcome->credit_bytes);
}

static void take_refused(struct agent *agent, const Droppoint__Refused *refused)
{
    dp_log(&agent->log, DP_LOG_WARNING, "The collector refuses this agent (%s): %s", refused->reason,
           refused->text);
    (void)uv_timer_start(&agent->hello_timer, on_hello_timer, HELLO_AGAIN_MS, 0);
}

/* Messages that need a standing session. */
static void take_in_session(struct agent *agent, const Droppoint__Envelope *envelope)
{
    switch (envelope->body_case) {
    case DROPPOINT__ENVELOPE__BODY_CAPTURE_PREPARE:
        agent_capture_prepare(agent, envelope->request, envelope->capture_prepare);
        break;
    case DROPPOINT__ENVELOPE__BODY_CAPTURE_START:
        agent_capture_start(agent, envelope->capture_start);
        break;
    case DROPPOINT__ENVELOPE__BODY_CAPTURE_STOP:
        agent_capture_stop(agent, envelope->capture_stop);
        break;
    case DROPPOINT__ENVELOPE__BODY_PROBE_PREPARE:
        agent_probe_prepare(agent, envelope->request, envelope->probe_prepare);
        break;
    case DROPPOINT__ENVELOPE__BODY_PROBE_START:
        agent_probe_start(agent, envelope->probe_start);
        break;
    case DROPPOINT__ENVELOPE__BODY_PROBE_CANCEL:
        agent_probe_cancel(agent, envelope->probe_cancel->probe_id);
        break;
    case DROPPOINT__ENVELOPE__BODY_STREAM_RESUME:
        agent_streams_resume(agent, envelope->stream_resume);
        break;
    case DROPPOINT__ENVELOPE__BODY_STREAM_ACK:
        agent_streams_ack(agent, envelope->stream_ack);
        break;
    case DROPPOINT__ENVELOPE__BODY_STREAM_CLOSE:
        agent_streams_unwanted(agent, envelope->stream_close);
        break;
    case DROPPOINT__ENVELOPE__BODY_CREDIT:
        agent_streams_credit(agent, envelope->credit);
        break;
    case DROPPOINT__ENVELOPE__BODY_EXPORT_REQUEST:
        agent_export_begin(agent, envelope->request, envelope->export_request);
        break;
    case DROPPOINT__ENVELOPE__BODY_EXPORT_CREDIT:
        agent_export_credit(agent, envelope->export_credit);
        break;
    default:
        dp_log(&agent->log, DP_LOG_WARNING,
               "The collector sent a message that is not for agents (number %d).", (int)envelope->body_case);
        break;
    }
}

static void on_message(void *context, const Droppoint__Envelope *envelope)
{
    struct agent *agent = context;
    if (envelope->body_case == DROPPOINT__ENVELOPE__BODY_WELCOME)
        take_welcome(agent, envelope->welcome);
    else if (envelope->body_case == DROPPOINT__ENVELOPE__BODY_REFUSED)
        take_refused(agent, envelope->refused);
    else if (envelope->body_case == DROPPOINT__ENVELOPE__BODY_RESULT)
        dp_log(&agent->log, envelope->result->code == 0 ? DP_LOG_INFO : DP_LOG_WARNING,
               "The collector says: %s", envelope->result->text);
    else if (agent->up)
        take_in_session(agent, envelope);
}

int agent_session_open(struct agent *agent, struct dp_diag *diag)
{
    static const struct dp_dialer_events events = {on_state, on_message};
    struct dp_dialer_options options = {.endpoint = agent->settings.collector,
                                        .keys = &agent->keys,
                                        .collector_z85 = agent->settings.collector_z85};
    agent->told = DP_DIALER_CONNECTING;
    return dp_dialer_open(agent->loop, &options, &events, agent, &agent->dialer, diag);
}

void agent_session_close(struct agent *agent)
{
    agent->connected = agent->up = false;
    dp_dialer_close(agent->dialer);
    agent->dialer = NULL;
}
