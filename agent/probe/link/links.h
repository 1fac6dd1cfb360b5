/* Interfaces as the kernel tells of them by rtnetlink. */
#ifndef DROPPOINT_AGENT_PROBE_LINK_LINKS_H
#define DROPPOINT_AGENT_PROBE_LINK_LINKS_H

#include <linux/if_link.h>
#include <net/if.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/err/err.h"

#define LINKS_MAX 1024

struct link_info {
    int index;
    char name[IF_NAMESIZE];
    char kind[16];  /* "veth", "bridge", "vlan", "bond" ...; "" for hardware */
    unsigned flags; /* IFF_UP ... */
    bool loopback, has_carrier;
    uint8_t operstate; /* IF_OPER_... */
    uint32_t mtu;
    int lower, master;  /* indexes of the interface below (or the peer) and above; 0: none */
    int lower_netns;    /* the net namespace that `lower` lies in, as this one numbers it; -1: this one */
    uint32_t lower_mtu; /* of `lower`; 0: not known */
    char lower_name[IF_NAMESIZE];
    bool has_stats;
    struct rtnl_link_stats64 stats;
    int speed_mbps; /* -1: not known */
    int duplex;     /* 1 full, 0 half, -1 not known */
};

struct link_list {
    struct link_info *links;
    size_t count;
};

/* All interfaces of this net namespace, with speed and duplex by ethtool and the MTU of peers where the
 * kernel lets this user see it. Free with links_free. DP_ERR_IO, DP_ERR_NOMEM. */
int links_read(struct link_list *ret_list, struct dp_diag *diag) DP_MUST_CHECK;
void links_free(struct link_list *list);
const struct link_info *links_find(const struct link_list *list, int index);
const struct link_info *links_find_name(const struct link_list *list, const char *name);

/* One RTM_NEWLINK message from its ifinfomsg on. DP_ERR_FORMAT. I/O-free. */
int link_parse(const void *bytes, size_t length, struct link_info *ret_link) DP_MUST_CHECK;

#endif
