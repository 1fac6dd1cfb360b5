#include "agent/probe/core/prober.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <utlist.h>

#include "agent/probe/net/handles.h"
#include "agent/probe/net/resolve.h"
#include "agent/probe/net/tls.h"

struct dp_probe {
    struct dp_probe *prev, *next; /* of utlist */
    struct dp_prober *prober;
    const struct dp_request *request;
    void *state;            /* the kind's */
    struct dp_timer *timer; /* the time bound; then the end */
    dp_probe_done *done;
    dp_probe_says *says;
    void *context;
    uint64_t bound_ms; /* of the whole */
    uint64_t begun;    /* uv_hrtime */
    int64_t started_ns;
    json_t *data;
    bool finished, warned, started;
    int code;
    char class[32];
    char summary[600];
    char next_step[600];
    double duration_ms;
};

struct dp_prober {
    uv_loop_t *loop;
    struct dp_resolver *resolver;
    SSL_CTX *tls;
    struct dp_probe *probes;
};

int dp_prober_new(uv_loop_t *loop, struct dp_prober **ret_prober, struct dp_diag *diag)
{
    struct dp_prober *prober = calloc(1, sizeof *prober);
    if (!prober)
        return DP_ERR_NOMEM;
    prober->loop = loop;
    int rc = dp_resolver_new(loop, &prober->resolver, diag);
    if (rc) {
        free(prober);
        return rc;
    }
    *ret_prober = prober;
    return 0;
}

static void remove_probe(struct dp_probe *probe)
{
    DL_DELETE(probe->prober->probes, probe);
    if (probe->started && probe->state)
        dp_request_kind(probe->request)->stop(probe->state);
    dp_timer_drop(probe->timer);
    json_decref(probe->data);
    free(probe);
}

void dp_prober_close(struct dp_prober *prober)
{
    if (!prober)
        return;
    while (prober->probes)
        remove_probe(prober->probes);
    dp_resolver_free(prober->resolver);
    SSL_CTX_free(prober->tls);
    free(prober);
}

size_t dp_prober_running(const struct dp_prober *prober)
{
    size_t count = 0;
    for (const struct dp_probe *p = prober->probes; p; p = p->next)
        count++;
    return count;
}

/* Runs from the loop once a probe has finished: its own callbacks are through by then. */
static void hand_over(struct dp_probe *probe)
{
    struct dp_probe_result result = {
        .code = probe->code,
        .status = dp_class_status(dp_request_kind(probe->request)->name, probe->class),
        .class = probe->class,
        .summary = probe->summary,
        .next_step = probe->next_step,
        .started_ns = probe->started_ns,
        .duration_ms = probe->duration_ms,
        .data = probe->data,
    };
    if (probe->warned && result.status == DP_STATUS_OK)
        result.status = DP_STATUS_WARNING;
    dp_probe_done *done = probe->done;
    done(probe->context, &result);
    remove_probe(probe);
}

static void on_timer(void *context)
{
    struct dp_probe *probe = context;
    if (!probe->finished) {
        dp_request_kind(probe->request)->expire(probe->state);
        if (!probe->finished) // the kind's fault: the bound holds all the same
            dp_probe_fail(probe, DP_ERR_TIMEOUT, "no result within %g s", (double)probe->bound_ms / 1000);
        return; // the end has set the timer anew
    }
    hand_over(probe);
}

static int64_t realtime_ns(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

int dp_prober_start(struct dp_prober *prober, const struct dp_request *request, dp_probe_done *done,
                    dp_probe_says *says, void *context, struct dp_probe **ret_probe, struct dp_diag *diag)
{
    struct dp_probe *probe = calloc(1, sizeof *probe);
    if (!probe)
        return DP_ERR_NOMEM;
    *probe = (struct dp_probe){.prober = prober,
                               .request = request,
                               .done = done,
                               .says = says,
                               .context = context,
                               .begun = uv_hrtime(),
                               .started_ns = realtime_ns()};
    probe->data = json_object();
    int rc = probe->data ? dp_timer_new(prober->loop, on_timer, probe, &probe->timer) : DP_ERR_NOMEM;
    DL_PREPEND(prober->probes, probe);
    if (!rc) {
        uv_update_time(prober->loop);
        probe->bound_ms = dp_request_timeout_ms(request);
        dp_timer_start(probe->timer, probe->bound_ms, 0);
        rc = dp_request_kind(request)->start(probe, &probe->state, diag);
    }
    if (rc) {
        remove_probe(probe);
        return rc;
    }
    probe->started = true;
    if (ret_probe)
        *ret_probe = probe;
    return 0;
}

void dp_probe_cut_short(struct dp_probe *probe)
{
    if (!probe->finished)
        dp_timer_start(probe->timer, 0, 0);
}

const struct dp_request *dp_probe_request(const struct dp_probe *probe)
{
    return probe->request;
}

uv_loop_t *dp_probe_loop(const struct dp_probe *probe)
{
    return probe->prober->loop;
}

struct dp_resolver *dp_probe_resolver(const struct dp_probe *probe)
{
    return probe->prober->resolver;
}

SSL_CTX *dp_probe_tls_context(struct dp_probe *probe)
{
    struct dp_prober *prober = probe->prober;
    if (!prober->tls && dp_tls_context(&prober->tls, NULL) != 0)
        return NULL;
    return prober->tls;
}

double dp_probe_elapsed_ms(const struct dp_probe *probe)
{
    return (double)(uv_hrtime() - probe->begun) / 1e6;
}

void dp_probe_allow(struct dp_probe *probe, uint64_t ms)
{
    if (dp_request_given(probe->request, "--timeout") || probe->finished)
        return;
    probe->bound_ms = ms;
    double passed = dp_probe_elapsed_ms(probe);
    dp_timer_start(probe->timer, passed < (double)ms ? ms - (uint64_t)passed : 0, 0);
}

uint64_t dp_probe_left_ms(const struct dp_probe *probe)
{
    uint64_t all = probe->bound_ms;
    double passed = dp_probe_elapsed_ms(probe);
    return passed + 1 < (double)all ? all - (uint64_t)passed : 1;
}

json_t *dp_probe_data(struct dp_probe *probe)
{
    return probe->data;
}

static void end(struct dp_probe *probe)
{
    probe->finished = true;
    probe->duration_ms = dp_probe_elapsed_ms(probe);
    dp_timer_start(probe->timer, 0, 0);
}

/* What peers say ends up in these texts: control characters become '?', and cut UTF-8 is cut whole. */
DP_PRINTF(3, 0) static void write_text(char *text, size_t size, const char *format, va_list args)
{
    (void)vsnprintf(text, size, format, args);
    for (char *c = text; *c; c++)
        if ((unsigned char)*c < ' ' || *c == 127)
            *c = '?';
    for (size_t length = strlen(text); length; length--) {
        json_t *whole = json_stringn(text, length);
        if (whole) {
            json_decref(whole);
            text[length] = '\0';
            return;
        }
        if (length + 4 < strlen(text)) { // not a cut character: bytes that are no UTF-8
            for (char *c = text; *c; c++)
                if ((unsigned char)*c > 126)
                    *c = '?';
            return;
        }
    }
}

void dp_probe_finish(struct dp_probe *probe, const char *class, const char *next_step, const char *summary,
                     ...)
{
    if (probe->finished)
        return;
    va_list args;
    va_start(args, summary);
    write_text(probe->summary, sizeof probe->summary, summary, args);
    va_end(args);
    (void)snprintf(probe->class, sizeof probe->class, "%s", class);
    (void)snprintf(probe->next_step, sizeof probe->next_step, "%s", next_step);
    end(probe);
}

void dp_probe_warn(struct dp_probe *probe)
{
    probe->warned = true;
}

void dp_probe_fail(struct dp_probe *probe, int code, const char *format, ...)
{
    if (probe->finished)
        return;
    va_list args;
    va_start(args, format);
    write_text(probe->summary, sizeof probe->summary, format, args);
    va_end(args);
    probe->code = code;
    end(probe);
}

void dp_probe_progress(struct dp_probe *probe, const char *format, ...)
{
    char text[400];
    if (!probe->says || probe->finished)
        return;
    va_list args;
    va_start(args, format);
    write_text(text, sizeof text, format, args);
    va_end(args);
    probe->says(probe->context, text);
}

json_t *dp_peer_text(const char *bytes, size_t length)
{
    json_t *text = json_stringn(bytes, length);
    if (text)
        return text;
    char *clean = malloc(length + 1);
    if (!clean)
        return NULL;
    for (size_t i = 0; i < length; i++)
        clean[i] = (char)((unsigned char)bytes[i] < 127 ? bytes[i] : '?');
    text = json_stringn(clean, length);
    free(clean);
    return text;
}
