#include <libmnl/libmnl.h>
#include <linux/rtnetlink.h>
#include <net/if_arp.h>
#include <stdio.h>
#include <string.h>

#include "agent/probe/link/links.h"

static int take_kind(const struct nlattr *attr, void *data)
{
    struct link_info *link = data;
    if (mnl_attr_get_type(attr) == IFLA_INFO_KIND)
        (void)snprintf(link->kind, sizeof link->kind, "%.*s", (int)mnl_attr_get_payload_len(attr),
                       (const char *)mnl_attr_get_payload(attr));
    return MNL_CB_OK;
}

static void take_number(const struct nlattr *attr, struct link_info *link)
{
    uint32_t value = mnl_attr_get_u32(attr);
    switch (mnl_attr_get_type(attr)) {
    case IFLA_MTU:
        link->mtu = value;
        break;
    case IFLA_LINK:
        link->lower = (int)value;
        break;
    case IFLA_MASTER:
        link->master = (int)value;
        break;
    case IFLA_LINK_NETNSID:
        link->lower_netns = (int)value;
        break;
    default:
        break;
    }
}

static int take_attribute(const struct nlattr *attr, void *data)
{
    struct link_info *link = data;
    size_t length = mnl_attr_get_payload_len(attr);
    const void *payload = mnl_attr_get_payload(attr);
    switch (mnl_attr_get_type(attr)) {
    case IFLA_IFNAME:
        (void)snprintf(link->name, sizeof link->name, "%.*s", (int)length, (const char *)payload);
        break;
    case IFLA_OPERSTATE:
        link->operstate = length >= 1 ? *(const uint8_t *)payload : 0;
        break;
    case IFLA_CARRIER:
        link->has_carrier = length >= 1 && *(const uint8_t *)payload;
        break;
    case IFLA_LINKINFO:
        (void)mnl_attr_parse_nested(attr, take_kind, link);
        break;
    case IFLA_STATS64: // kernels append fields: what both know is taken
        link->has_stats = true;
        memcpy(&link->stats, payload, length < sizeof link->stats ? length : sizeof link->stats);
        break;
    default:
        if (length == sizeof(uint32_t))
            take_number(attr, link);
    }
    return MNL_CB_OK;
}

int link_parse(const void *bytes, size_t length, struct link_info *ret_link)
{
    const size_t header = (sizeof(struct ifinfomsg) + MNL_ALIGNTO - 1) / MNL_ALIGNTO * MNL_ALIGNTO;
    struct link_info link = {.lower_netns = -1, .speed_mbps = -1, .duplex = -1};
    struct ifinfomsg info;
    if (length < header)
        return DP_ERR_FORMAT;
    memcpy(&info, bytes, sizeof info);
    link.index = info.ifi_index;
    link.flags = info.ifi_flags;
    link.loopback = info.ifi_type == ARPHRD_LOOPBACK;
    if (mnl_attr_parse_payload((const char *)bytes + header, length - header, take_attribute, &link) < 0)
        return DP_ERR_FORMAT;
    if (!link.name[0])
        return DP_ERR_FORMAT;
    if (link.lower == link.index && link.lower_netns < 0) // numbers of another namespace may be the same
        link.lower = 0;
    *ret_link = link;
    return 0;
}
