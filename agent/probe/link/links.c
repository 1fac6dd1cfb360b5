#include "agent/probe/link/links.h"

#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/ethtool.h>
#include <linux/rtnetlink.h>
#include <linux/sockios.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define BUFFER 32768

struct reading {
    struct link_list *list;
    bool nomem;
};

static int on_link(const struct nlmsghdr *message, void *data)
{
    struct reading *reading = data;
    struct link_info link;
    if (message->nlmsg_type != RTM_NEWLINK || reading->list->count == LINKS_MAX ||
        link_parse(mnl_nlmsg_get_payload(message), mnl_nlmsg_get_payload_len(message), &link))
        return MNL_CB_OK;
    void *more = realloc(reading->list->links, (reading->list->count + 1) * sizeof link);
    if (!more) {
        reading->nomem = true;
        return MNL_CB_ERROR;
    }
    reading->list->links = more;
    reading->list->links[reading->list->count++] = link;
    return MNL_CB_OK;
}

/* Asks and reads the whole answer; the kernel answers at once. index 0: all. */
static int ask(struct mnl_socket *socket, int index, int netns, struct reading *reading)
{
    char buffer[BUFFER];
    struct nlmsghdr *message = mnl_nlmsg_put_header(buffer);
    unsigned sequence = (unsigned)time(NULL);
    message->nlmsg_type = RTM_GETLINK;
    message->nlmsg_flags = NLM_F_REQUEST | (index ? 0 : NLM_F_DUMP);
    message->nlmsg_seq = sequence;
    struct ifinfomsg *info = mnl_nlmsg_put_extra_header(message, sizeof *info);
    info->ifi_index = index;
    if (netns >= 0)
        mnl_attr_put_u32(message, IFLA_TARGET_NETNSID, (uint32_t)netns);
    if (mnl_socket_sendto(socket, message, message->nlmsg_len) < 0)
        return -1;
    for (;;) {
        ssize_t got = mnl_socket_recvfrom(socket, buffer, sizeof buffer);
        if (got < 0)
            return -1;
        int rc = mnl_cb_run(buffer, (size_t)got, sequence, mnl_socket_get_portid(socket), on_link, reading);
        if (rc <= MNL_CB_STOP || index)
            return rc;
    }
}

static void read_ethtool(struct link_info *link)
{
    // the settings end in masks of a length that the kernel tells first
    union {
        struct ethtool_link_settings settings;
        uint8_t room[sizeof(struct ethtool_link_settings) + 3 * 127 * sizeof(uint32_t)];
    } request;
    struct ifreq ifr;
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return;
    memset(&ifr, 0, sizeof ifr);
    memset(&request, 0, sizeof request);
    (void)snprintf(ifr.ifr_name, sizeof ifr.ifr_name, "%s", link->name);
    request.settings.cmd = ETHTOOL_GLINKSETTINGS;
    ifr.ifr_data = (void *)&request;
    // the kernel first says how many words a mask has, as a negative number
    if (ioctl(fd, SIOCETHTOOL, &ifr) == 0 && request.settings.link_mode_masks_nwords < 0) {
        request.settings.link_mode_masks_nwords = (int8_t)-request.settings.link_mode_masks_nwords;
        request.settings.cmd = ETHTOOL_GLINKSETTINGS;
        if (ioctl(fd, SIOCETHTOOL, &ifr) == 0) {
            uint32_t speed = request.settings.speed;
            link->speed_mbps = speed && speed != (uint32_t)SPEED_UNKNOWN ? (int)speed : -1;
            link->duplex = request.settings.duplex == DUPLEX_FULL   ? 1
                           : request.settings.duplex == DUPLEX_HALF ? 0
                                                                    : -1;
        }
    }
    (void)close(fd);
}

/* The interface below, or the peer; it may lie in another net namespace. */
static void read_lower(struct mnl_socket *socket, const struct link_list *list, struct link_info *link)
{
    struct link_list other = {.links = NULL};
    struct reading reading = {.list = &other};
    const struct link_info *lower = NULL;
    if (!link->lower)
        return;
    if (link->lower_netns < 0)
        lower = links_find(list, link->lower);
    else if (ask(socket, link->lower, link->lower_netns, &reading) >= 0 && other.count == 1)
        lower = other.links;
    if (lower) {
        link->lower_mtu = lower->mtu;
        memcpy(link->lower_name, lower->name, sizeof link->lower_name);
    }
    free(other.links);
}

int links_read(struct link_list *ret_list, struct dp_diag *diag)
{
    struct link_list list = {.links = NULL};
    struct reading reading = {.list = &list};
    struct mnl_socket *socket = mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC);
    if (!socket)
        return dp_fail(diag, DP_ERR_IO, "no netlink socket: %s", strerror(errno));
    int rc = mnl_socket_bind(socket, 0, MNL_SOCKET_AUTOPID) < 0 || ask(socket, 0, -1, &reading) < 0
                 ? dp_fail(diag, reading.nomem ? DP_ERR_NOMEM : DP_ERR_IO,
                           "the interfaces cannot be read: %s", strerror(errno))
                 : 0;
    for (size_t i = 0; !rc && i < list.count; i++) {
        read_ethtool(&list.links[i]);
        read_lower(socket, &list, &list.links[i]);
    }
    (void)mnl_socket_close(socket);
    if (rc)
        links_free(&list);
    else
        *ret_list = list;
    return rc;
}

void links_free(struct link_list *list)
{
    free(list->links);
    *list = (struct link_list){.links = NULL};
}

const struct link_info *links_find(const struct link_list *list, int index)
{
    for (size_t i = 0; i < list->count; i++)
        if (list->links[i].index == index)
            return &list->links[i];
    return NULL;
}

const struct link_info *links_find_name(const struct link_list *list, const char *name)
{
    for (size_t i = 0; i < list->count; i++)
        if (strcmp(list->links[i].name, name) == 0)
            return &list->links[i];
    return NULL;
}
