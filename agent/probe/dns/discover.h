/* Whom to ask about a name: the system's resolvers, those that the user names, and the zone's own servers by
 * its NS records. */
#ifndef DROPPOINT_AGENT_PROBE_DNS_DISCOVER_H
#define DROPPOINT_AGENT_PROBE_DNS_DISCOVER_H

#include <stddef.h>

#include "agent/probe/core/kind.h"
#include "agent/probe/dns/verdict.h"

#define DNS_SERVERS_MAX 40

struct dns_discovery;
/* The zone that the name lies in ("" where nobody tells) and the servers, in the order system, named,
 * authoritative. */
typedef void dns_discovery_done(void *context, const char *zone, const struct dns_server *servers,
                                size_t count);

/* `system` false: without the system's resolvers, where others were named. Servers of a family that this host
 * has no route for are left out and counted. `done` comes once, never from within. DP_ERR_USAGE (--server),
 * DP_ERR_NOMEM, DP_ERR_IO. */
int dns_discovery_start(struct dp_probe *probe, const char *name, dns_discovery_done *done, void *context,
                        struct dns_discovery **ret_discovery, struct dp_diag *diag) DP_MUST_CHECK;
/* Whom to ask for what belongs to no single server: the first resolver that answered; NULL: the system's. */
const char *dns_discovery_asker(const struct dns_discovery *discovery);
size_t dns_discovery_left_out(const struct dns_discovery *discovery);
/* Tells what there is so far, where the time is over. */
void dns_discovery_expire(struct dns_discovery *discovery);
void dns_discovery_free(struct dns_discovery *discovery); /* NULL is fine */

#endif
