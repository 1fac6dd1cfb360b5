#include "agent/probe/arp/net.h"

#include <arpa/inet.h>
#include <errno.h>
#include <ifaddrs.h>
#include <libmnl/libmnl.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <netpacket/packet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define BUFFER 32768

/* A dump of the kernel's; `take` gets each message. */
static bool dump(uint16_t type, int family, mnl_cb_t take, void *context)
{
    char buffer[BUFFER];
    struct mnl_socket *socket = mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC);
    if (!socket || mnl_socket_bind(socket, 0, MNL_SOCKET_AUTOPID) < 0) {
        if (socket)
            (void)mnl_socket_close(socket);
        return false;
    }
    struct nlmsghdr *message = mnl_nlmsg_put_header(buffer);
    unsigned sequence = (unsigned)time(NULL);
    message->nlmsg_type = type;
    message->nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
    message->nlmsg_seq = sequence;
    struct rtmsg *head = mnl_nlmsg_put_extra_header(message, sizeof *head); // as large as ndmsg
    head->rtm_family = (unsigned char)family;
    int rc = mnl_socket_sendto(socket, message, message->nlmsg_len) < 0 ? -1 : MNL_CB_OK;
    while (rc > MNL_CB_STOP) {
        ssize_t got = mnl_socket_recvfrom(socket, buffer, sizeof buffer);
        rc = got < 0
                 ? -1
                 : mnl_cb_run(buffer, (size_t)got, sequence, mnl_socket_get_portid(socket), take, context);
    }
    (void)mnl_socket_close(socket);
    return rc >= 0;
}

struct attributes {
    const struct nlattr *by_type[64];
};

static int take_attribute(const struct nlattr *attr, void *data)
{
    struct attributes *attributes = data;
    if (mnl_attr_get_type(attr) < 64)
        attributes->by_type[mnl_attr_get_type(attr)] = attr;
    return MNL_CB_OK;
}

/* The default route's gateway and interface; of the wanted interface where one is. */
struct route {
    int index; /* wanted, 0: any */
    int found_index;
    uint32_t gateway;
};

static int take_route(const struct nlmsghdr *message, void *data)
{
    struct route *route = data;
    const struct rtmsg *head = mnl_nlmsg_get_payload(message);
    struct attributes a = {{NULL}};
    if (message->nlmsg_type != RTM_NEWROUTE || head->rtm_dst_len != 0 || head->rtm_table != RT_TABLE_MAIN ||
        route->found_index)
        return MNL_CB_OK;
    (void)mnl_attr_parse(message, sizeof *head, take_attribute, &a);
    const struct nlattr *oif = a.by_type[RTA_OIF], *gateway = a.by_type[RTA_GATEWAY];
    if (!oif || mnl_attr_get_payload_len(oif) != 4 ||
        (route->index && (int)mnl_attr_get_u32(oif) != route->index))
        return MNL_CB_OK;
    route->found_index = (int)mnl_attr_get_u32(oif);
    if (gateway && mnl_attr_get_payload_len(gateway) == 4)
        route->gateway = ntohl(mnl_attr_get_u32(gateway));
    return MNL_CB_OK;
}

struct neighbours {
    const struct arp_net *net;
    struct arp_table *table;
    json_t *ipv6;
};

static const char *state_name(uint16_t state)
{
    return state & NUD_PERMANENT    ? "permanent"
           : state & NUD_REACHABLE  ? "reachable"
           : state & NUD_FAILED     ? "failed"
           : state & NUD_INCOMPLETE ? "incomplete"
                                    : "stale";
}

static int take_neighbour(const struct nlmsghdr *message, void *data)
{
    struct neighbours *n = data;
    const struct ndmsg *head = mnl_nlmsg_get_payload(message);
    struct attributes a = {{NULL}};
    if (message->nlmsg_type != RTM_NEWNEIGH || head->ndm_ifindex != n->net->index)
        return MNL_CB_OK;
    (void)mnl_attr_parse(message, sizeof *head, take_attribute, &a);
    const struct nlattr *address = a.by_type[NDA_DST], *link = a.by_type[NDA_LLADDR];
    struct arp_mac mac;
    char text[INET6_ADDRSTRLEN], mac_text[ARP_MAC_TEXT];
    if (!address || !link || mnl_attr_get_payload_len(link) != 6 ||
        head->ndm_state & (NUD_FAILED | NUD_NOARP))
        return MNL_CB_OK;
    memcpy(mac.bytes, mnl_attr_get_payload(link), 6);
    if (head->ndm_family == AF_INET && mnl_attr_get_payload_len(address) == 4)
        (void)arp_table_add(n->table, ntohl(mnl_attr_get_u32(address)), &mac);
    else if (head->ndm_family == AF_INET6 && mnl_attr_get_payload_len(address) == 16 &&
             inet_ntop(AF_INET6, mnl_attr_get_payload(address), text, sizeof text))
        (void)json_array_append_new(n->ipv6, json_pack("{s:s, s:s, s:s}", "address", text, "mac",
                                                       arp_mac_text(&mac, mac_text), "state",
                                                       state_name(head->ndm_state)));
    return MNL_CB_OK;
}

json_t *arp_net_neighbours(const struct arp_net *net, struct arp_table *table)
{
    struct arp_table unused = {.entries = NULL};
    struct neighbours n = {net, table ? table : &unused, json_array()};
    (void)dump(RTM_GETNEIGH, table ? AF_UNSPEC : AF_INET6, take_neighbour, &n);
    arp_table_free(&unused);
    return n.ipv6;
}

static uint32_t host_order(const struct sockaddr *address)
{
    return ntohl(((const struct sockaddr_in *)(const void *)address)->sin_addr.s_addr);
}

/* The prefix of "192.0.2.0/24". False: it is none. */
static bool read_prefix(const char *text, uint32_t *ret_address, uint32_t *ret_mask)
{
    char address[INET_ADDRSTRLEN];
    const char *slash = strchr(text, '/');
    struct in_addr in;
    char *end = NULL;
    if (!slash || (size_t)(slash - text) >= sizeof address)
        return false;
    memcpy(address, text, (size_t)(slash - text));
    address[slash - text] = '\0';
    unsigned long bits = strtoul(slash + 1, &end, 10);
    if (inet_pton(AF_INET, address, &in) != 1 || end == slash + 1 || *end || bits > 32)
        return false;
    *ret_mask = bits ? ~0U << (32 - bits) : 0;
    *ret_address = ntohl(in.s_addr) & *ret_mask;
    return true;
}

static int choose_interface(const char *target, bool is_prefix, struct arp_net *net, struct dp_diag *diag)
{
    if (target[0] && !is_prefix) {
        net->index = (int)if_nametoindex(target);
        if (!net->index)
            return dp_fail(diag, DP_ERR_INTERFACE,
                           "'%.60s' is neither an interface of this host nor a prefix such as 192.0.2.0/24",
                           target);
        (void)snprintf(net->interface, sizeof net->interface, "%s", target);
    } else if (!is_prefix) {
        struct route route = {.index = 0};
        (void)dump(RTM_GETROUTE, AF_INET, take_route, &route);
        if (!route.found_index || !if_indextoname((unsigned)route.found_index, net->interface))
            return dp_fail(diag, DP_ERR_NOT_FOUND,
                           "this host has no default route: name an interface as target");
        net->index = route.found_index;
    }
    return 0;
}

static int take_addresses(struct arp_net *net, bool is_prefix, uint32_t prefix, uint32_t mask,
                          struct dp_diag *diag)
{
    struct ifaddrs *all = NULL;
    bool has_address = false, has_mac = false;
    if (getifaddrs(&all) != 0)
        return dp_fail(diag, DP_ERR_IO, "the addresses of this host cannot be read: %s", strerror(errno));
    for (const struct ifaddrs *a = all; a; a = a->ifa_next) {
        if (!a->ifa_addr || a->ifa_addr->sa_family != AF_INET || !a->ifa_netmask || has_address)
            continue;
        uint32_t own = host_order(a->ifa_addr), its_mask = host_order(a->ifa_netmask);
        bool fits =
            is_prefix ? (own & mask) == prefix && its_mask <= mask : strcmp(a->ifa_name, net->interface) == 0;
        if (!fits)
            continue;
        has_address = true;
        net->own = own;
        net->mask = is_prefix ? mask : its_mask;
        (void)snprintf(net->interface, sizeof net->interface, "%s", a->ifa_name);
        net->index = (int)if_nametoindex(a->ifa_name);
    }
    for (const struct ifaddrs *a = all; a; a = a->ifa_next) {
        const struct sockaddr_ll *link = (const void *)a->ifa_addr;
        if (!a->ifa_addr || a->ifa_addr->sa_family != AF_PACKET || strcmp(a->ifa_name, net->interface) != 0 ||
            link->sll_halen != 6 || a->ifa_flags & IFF_LOOPBACK)
            continue;
        has_mac = true;
        memcpy(net->mac.bytes, link->sll_addr, 6);
    }
    freeifaddrs(all);
    if (!has_address)
        return dp_fail(diag, DP_ERR_NOT_FOUND,
                       is_prefix ? "no interface of this host has an address in that prefix"
                                 : "%s has no IPv4 address",
                       net->interface);
    if (!has_mac)
        return dp_fail(diag, DP_ERR_USAGE, "%s is no Ethernet interface: there is no ARP", net->interface);
    return 0;
}

int arp_net_find(const char *target, struct arp_net *ret_net, struct dp_diag *diag)
{
    struct arp_net net = {.index = 0};
    uint32_t prefix = 0, mask = 0;
    bool is_prefix = strchr(target, '/') != NULL;
    if (is_prefix && !read_prefix(target, &prefix, &mask))
        return dp_fail(diag, DP_ERR_USAGE, "'%.60s' is no IPv4 prefix such as 192.0.2.0/24", target);
    int rc = choose_interface(target, is_prefix, &net, diag);
    if (!rc)
        rc = take_addresses(&net, is_prefix, prefix, mask, diag);
    if (rc)
        return rc;
    struct route route = {.index = net.index};
    (void)dump(RTM_GETROUTE, AF_INET, take_route, &route);
    net.gateway = (route.gateway & net.mask) == (net.own & net.mask) ? route.gateway : 0;
    *ret_net = net;
    return 0;
}

/* --- what is remembered --- */

/* XDG_STATE_HOME/droppoint/arp-INTERFACE-PREFIX.json; the folder is made. False: there is no place. */
static bool memory_path(const struct arp_net *net, bool make, char path[1024])
{
    const char *state = getenv("XDG_STATE_HOME"), *home = getenv("HOME");
    char folder[900];
    if (state && state[0] == '/')
        (void)snprintf(folder, sizeof folder, "%.800s/droppoint", state);
    else if (home && home[0] == '/')
        (void)snprintf(folder, sizeof folder, "%.800s/.local/state/droppoint", home);
    else
        return false;
    for (char *slash = folder + 1; make && (slash = strchr(slash, '/')); slash++) {
        *slash = '\0';
        (void)mkdir(folder, 0755); // what is there already stays
        *slash = '/';
    }
    if (make)
        (void)mkdir(folder, 0700);
    uint32_t prefix = net->own & net->mask;
    (void)snprintf(path, 1024, "%s/arp-%s-%08x-%08x.json", folder, net->interface, prefix, net->mask);
    return true;
}

json_t *arp_memory_load(const struct arp_net *net)
{
    char path[1024];
    json_t *memory = memory_path(net, false, path) ? json_load_file(path, 0, NULL) : NULL;
    if (memory && !json_is_object(memory)) {
        json_decref(memory);
        memory = NULL;
    }
    return memory;
}

int arp_memory_store(const struct arp_net *net, json_t *memory, struct dp_diag *diag)
{
    char path[1024], fresh[1040];
    if (!memory_path(net, true, path))
        return dp_fail(diag, DP_ERR_IO, "neither XDG_STATE_HOME nor HOME is set");
    (void)snprintf(fresh, sizeof fresh, "%s.%d", path, (int)getpid());
    if (json_dump_file(memory, fresh, JSON_INDENT(1) | JSON_SORT_KEYS) != 0 || rename(fresh, path) != 0) {
        int error = errno;
        (void)unlink(fresh);
        return dp_fail(diag, DP_ERR_IO, "%.200s cannot be written: %s", path, strerror(error));
    }
    return 0;
}
