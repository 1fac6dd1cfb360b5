#include "agent/probe/firewall/trace.h"

#include <arpa/inet.h>
#include <endian.h>
#include <libmnl/libmnl.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_conntrack_common.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_conntrack.h>
#include <stdio.h>
#include <string.h>

#define TYPES_MAX 32

struct attributes {
    const struct nlattr *by_type[TYPES_MAX];
};

static int take(const struct nlattr *attr, void *data)
{
    struct attributes *attributes = data;
    if (mnl_attr_get_type(attr) < TYPES_MAX)
        attributes->by_type[mnl_attr_get_type(attr)] = attr;
    return MNL_CB_OK;
}

static bool read_payload(const void *bytes, size_t length, struct attributes *ret_attributes,
                         struct nfgenmsg *ret_head)
{
    memset(ret_attributes, 0, sizeof *ret_attributes);
    if (length < sizeof *ret_head) // a multiple of four, so that attributes follow at once
        return false;
    memcpy(ret_head, bytes, sizeof *ret_head);
    return mnl_attr_parse_payload((const char *)bytes + sizeof *ret_head, length - sizeof *ret_head, take,
                                  ret_attributes) >= 0;
}

static bool has(const struct nlattr *attr, size_t length)
{
    return attr && mnl_attr_get_payload_len(attr) >= length;
}

static uint32_t get32(const struct nlattr *attr)
{
    return has(attr, 4) ? ntohl(mnl_attr_get_u32(attr)) : 0;
}

static void copy_name(const struct nlattr *attr, char name[FW_NAME])
{
    name[0] = '\0';
    if (!attr)
        return;
    size_t length = strnlen(mnl_attr_get_payload(attr), mnl_attr_get_payload_len(attr));
    length = length < FW_NAME ? length : FW_NAME - 1;
    memcpy(name, mnl_attr_get_payload(attr), length);
    for (size_t i = 0; i < length; i++)
        if (name[i] < ' ' || name[i] > '~')
            name[i] = '?';
    name[length] = '\0';
}

static enum fw_verdict verdict_of(uint32_t code)
{
    switch ((int32_t)code) {
    case NFT_CONTINUE:
    case NFT_BREAK:
    case NFT_JUMP:
    case NFT_GOTO:
    case NFT_RETURN:
        return FW_CONTINUE;
    case NF_ACCEPT:
    case NF_STOP:
        return FW_ACCEPT;
    case NF_DROP:
        return FW_DROP;
    default:
        return FW_OTHER;
    }
}

int fw_event_parse(const void *bytes, size_t length, struct fw_event *ret_event)
{
    struct attributes a, v;
    struct nfgenmsg head;
    struct fw_event event = {.id = 0};
    if (!read_payload(bytes, length, &a, &head) || !a.by_type[NFTA_TRACE_TABLE] ||
        !has(a.by_type[NFTA_TRACE_TYPE], 4))
        return DP_ERR_FORMAT;
    event.family = head.nfgen_family;
    copy_name(a.by_type[NFTA_TRACE_TABLE], event.table);
    copy_name(a.by_type[NFTA_TRACE_CHAIN], event.chain);
    event.id = get32(a.by_type[NFTA_TRACE_ID]);
    if (has(a.by_type[NFTA_TRACE_RULE_HANDLE], 8))
        event.handle = be64toh(mnl_attr_get_u64(a.by_type[NFTA_TRACE_RULE_HANDLE]));
    uint32_t type = get32(a.by_type[NFTA_TRACE_TYPE]);
    event.step = type == NFT_TRACETYPE_POLICY   ? FW_POLICY
                 : type == NFT_TRACETYPE_RETURN ? FW_RETURN
                                                : FW_RULE;
    if (event.step == FW_POLICY) {
        event.verdict = verdict_of(get32(a.by_type[NFTA_TRACE_POLICY]));
    } else if (a.by_type[NFTA_TRACE_VERDICT]) {
        memset(&v, 0, sizeof v);
        if (mnl_attr_parse_nested(a.by_type[NFTA_TRACE_VERDICT], take, &v) < 0)
            return DP_ERR_FORMAT;
        event.verdict =
            v.by_type[NFTA_VERDICT_CODE] ? verdict_of(get32(v.by_type[NFTA_VERDICT_CODE])) : FW_CONTINUE;
    }
    *ret_event = event;
    return 0;
}

const char *fw_family_name(uint8_t family)
{
    switch (family) {
    case NFPROTO_INET:
        return "inet";
    case NFPROTO_IPV4:
        return "ip";
    case NFPROTO_IPV6:
        return "ip6";
    case NFPROTO_ARP:
        return "arp";
    case NFPROTO_NETDEV:
        return "netdev";
    case NFPROTO_BRIDGE:
        return "bridge";
    default:
        return "unknown";
    }
}

static bool read_addresses(const struct nlattr *ip, struct fw_tuple *tuple)
{
    struct attributes a;
    memset(&a, 0, sizeof a);
    if (!ip || mnl_attr_parse_nested(ip, take, &a) < 0)
        return false;
    bool v4 = has(a.by_type[CTA_IP_V4_SRC], 4) && has(a.by_type[CTA_IP_V4_DST], 4);
    bool v6 = has(a.by_type[CTA_IP_V6_SRC], 16) && has(a.by_type[CTA_IP_V6_DST], 16);
    if (!v4 && !v6)
        return false;
    const struct nlattr *source = a.by_type[v4 ? CTA_IP_V4_SRC : CTA_IP_V6_SRC];
    const struct nlattr *destination = a.by_type[v4 ? CTA_IP_V4_DST : CTA_IP_V6_DST];
    tuple->family = v4 ? AF_INET : AF_INET6;
    return inet_ntop(tuple->family, mnl_attr_get_payload(source), tuple->source, sizeof tuple->source) &&
           inet_ntop(tuple->family, mnl_attr_get_payload(destination), tuple->destination,
                     sizeof tuple->destination);
}

static bool read_tuple(const struct nlattr *attr, struct fw_tuple *tuple)
{
    struct attributes a, p;
    memset(&a, 0, sizeof a);
    memset(&p, 0, sizeof p);
    if (!attr || mnl_attr_parse_nested(attr, take, &a) < 0 || !read_addresses(a.by_type[CTA_TUPLE_IP], tuple))
        return false;
    const struct nlattr *proto = a.by_type[CTA_TUPLE_PROTO];
    if (!proto || mnl_attr_parse_nested(proto, take, &p) < 0 || !has(p.by_type[CTA_PROTO_NUM], 1))
        return false;
    tuple->protocol = mnl_attr_get_u8(p.by_type[CTA_PROTO_NUM]);
    if (has(p.by_type[CTA_PROTO_SRC_PORT], 2))
        tuple->source_port = ntohs(mnl_attr_get_u16(p.by_type[CTA_PROTO_SRC_PORT]));
    if (has(p.by_type[CTA_PROTO_DST_PORT], 2))
        tuple->destination_port = ntohs(mnl_attr_get_u16(p.by_type[CTA_PROTO_DST_PORT]));
    return true;
}

int fw_connection_parse(const void *bytes, size_t length, struct fw_connection *ret_connection)
{
    struct attributes a;
    struct nfgenmsg head;
    struct fw_connection connection;
    memset(&connection, 0, sizeof connection);
    if (!read_payload(bytes, length, &a, &head) ||
        !read_tuple(a.by_type[CTA_TUPLE_ORIG], &connection.original) ||
        !read_tuple(a.by_type[CTA_TUPLE_REPLY], &connection.reply))
        return DP_ERR_FORMAT;
    *ret_connection = connection;
    return 0;
}
