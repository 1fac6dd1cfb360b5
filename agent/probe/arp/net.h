/* The net that an interface is in: own address and MAC, prefix, gateway, IPv6 neighbours. */
#ifndef DROPPOINT_AGENT_PROBE_ARP_NET_H
#define DROPPOINT_AGENT_PROBE_ARP_NET_H

#include <jansson.h>
#include <net/if.h>
#include <stdint.h>

#include "agent/probe/arp/table.h"
#include "common/err/err.h"

struct arp_net {
    char interface[IF_NAMESIZE];
    int index;
    struct arp_mac mac;
    uint32_t own, mask, gateway; /* host byte order; gateway 0: none in this net */
};

/* `target`: an interface, a prefix ("192.0.2.0/24", of this host's own), or "" for the interface of the
 * default route. DP_ERR_INTERFACE, DP_ERR_NOT_FOUND, DP_ERR_USAGE, DP_ERR_IO with diag. */
int arp_net_find(const char *target, struct arp_net *ret_net, struct dp_diag *diag) DP_MUST_CHECK;
/* Adds the kernel's own IPv4 table of that interface, and gives its IPv6 neighbours as [{address, mac,
 * state}], new reference. */
json_t *arp_net_neighbours(const struct arp_net *net, struct arp_table *table);

/* What the last run saw of that net; NULL: nothing. New reference. */
json_t *arp_memory_load(const struct arp_net *net);
/* Keeps it for the next, below XDG_STATE_HOME. DP_ERR_IO with diag. */
int arp_memory_store(const struct arp_net *net, json_t *memory, struct dp_diag *diag) DP_MUST_CHECK;

#endif
