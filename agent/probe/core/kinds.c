#include <stddef.h>
#include <string.h>

#include "agent/probe/core/prober.h"
#include "agent/probe/kinds.h"

/* In the order of help: the network first, then mail and its neighbours. */
const struct dp_probe_kind *const dp_probe_kinds[] = {
    &dp_probe_ping,     // the network
    &dp_probe_link,     //
    &dp_probe_tcp,      //
    &dp_probe_services, //
    &dp_probe_trace,    //
    &dp_probe_mtu,      //
    &dp_probe_arp,      //
    &dp_probe_firewall, //
    &dp_probe_dns,      // mail and its neighbours
    &dp_probe_zone,     //
    &dp_probe_smtp,     //
    &dp_probe_relay,    //
    &dp_probe_dnsbl,    //
    &dp_probe_tls,      //
    &dp_probe_imap,     //
    &dp_probe_pop3,     //
    &dp_probe_queue,    //
    &dp_probe_mysql,
};
const size_t dp_probe_kind_count = sizeof dp_probe_kinds / sizeof dp_probe_kinds[0];

const struct dp_probe_kind *dp_probe_kind_find(const char *name)
{
    for (size_t i = 0; i < dp_probe_kind_count; i++)
        if (strcmp(dp_probe_kinds[i]->name, name) == 0)
            return dp_probe_kinds[i];
    return NULL;
}
