/* Finds out what speaks on one port: waits for its words, tries TLS, HTTP, DNS; asks for STARTTLS. */
#ifndef DROPPOINT_AGENT_PROBE_SERVICES_KNOCK_H
#define DROPPOINT_AGENT_PROBE_SERVICES_KNOCK_H

#include "agent/probe/core/kind.h"
#include "agent/probe/net/dial.h"

struct service_knock;
typedef void service_knock_done(void *context);

struct service_found {
    const char *class;    /* as of the probe tcp */
    const char *protocol; /* NULL: not recognised */
    bool tls, starttls;
    char banner[256];
    double connect_ms;
    struct dp_icmp icmp;
};

/* `done` comes once, never from within. DP_ERR_NOMEM. */
int service_knock_start(struct dp_probe *probe, const union dp_address *to, const char *name,
                        service_knock_done *done, void *context,
                        struct service_knock **ret_knock) DP_MUST_CHECK;
/* What is known so far. */
const struct service_found *service_knock_found(const struct service_knock *knock);
void service_knock_free(struct service_knock *knock); /* NULL is fine */

#endif
