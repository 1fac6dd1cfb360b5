#include "common/filter/filter.h"

#include <pcap/pcap.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/packet/packet.h"

#define MAX_LINK_TYPES 16
#define SNAPLEN 262144
#define LINKTYPE_RAW 101 /* in files; libpcap calls it DLT_RAW inside */
#define LINKTYPE_RAW_OPENBSD 14
#define ETHERNET_HEADER 14

/* All that common/packet looks into, by what pcap-filter sees of it. No "vlan" or "mpls": these change what
 * the words behind them mean. The extension headers are those that tunnels use. */
#define CARRIERS                                                                                             \
    "udp dst port 4789 or udp dst port 8472 or udp dst port 6081 or udp dst port 6635 or proto 4 or "        \
    "proto 41 or proto 47 or proto 51 or proto 97 or proto 137 or proto 143 or ip6 proto 43 or ip6 proto "   \
    "60 "                                                                                                    \
    "or ether proto 0x8100 or ether proto 0x88a8 or ether proto 0x9100 or ether proto 0x8847 or "            \
    "ether proto 0x8848 or ether proto 0x8864"

struct program {
    int link_type;
    struct bpf_program bpf;
};

struct dp_filter {
    char *expression; /* NULL: everything passes */
    enum dp_filter_level level;
    struct program programs[MAX_LINK_TYPES];
    struct bpf_program inner; /* for an IP packet by itself */
    bool inner_tried, has_inner;
    struct dp_filter_counts counts;
    size_t count;
    size_t last; /* used last: files have one link type as a rule */
};

int dp_filter_new(const char *expression, enum dp_filter_level level, struct dp_filter **ret_filter)
{
    struct dp_filter *filter = calloc(1, sizeof *filter);
    if (!filter)
        return DP_ERR_NOMEM;
    if (expression && expression[0] != '\0') {
        filter->expression = strdup(expression);
        if (!filter->expression) {
            free(filter);
            return DP_ERR_NOMEM;
        }
    }
    filter->level = level;
    *ret_filter = filter;
    return DP_OK;
}

void dp_filter_free(struct dp_filter *filter)
{
    if (!filter)
        return;
    for (size_t i = 0; i < filter->count; i++)
        pcap_freecode(&filter->programs[i].bpf);
    if (filter->has_inner)
        pcap_freecode(&filter->inner);
    free(filter->expression);
    free(filter);
}

/* Link types for which libpcap compiles no filters, or takes everything for PPP. There the packet inside is
 * all that is looked at. */
static bool without_filters(int link_type)
{
    return link_type == DLT_NFLOG || link_type == DLT_PPP_WITH_DIR || link_type == DLT_PPP_SERIAL;
}

/* What libpcap compiles for. */
static int compiled_type(int link_type)
{
    bool raw = link_type == LINKTYPE_RAW || link_type == LINKTYPE_RAW_OPENBSD || without_filters(link_type);
    return raw ? DLT_RAW : link_type;
}

static int compile(struct dp_filter *filter, int link_type, struct dp_diag *diag)
{
    if (filter->count == MAX_LINK_TYPES)
        return dp_fail(diag, DP_ERR_UNSUPPORTED,
                       "The files hold more than %d link types. Locate them separately.", MAX_LINK_TYPES);
    pcap_t *pcap = pcap_open_dead(compiled_type(link_type), SNAPLEN);
    if (!pcap)
        return DP_ERR_NOMEM;
    struct program *program = &filter->programs[filter->count];
    int code = DP_OK;
    if (pcap_compile(pcap, &program->bpf, filter->expression, 1, PCAP_NETMASK_UNKNOWN) != 0) {
        code = dp_fail(diag, DP_ERR_FILTER, "The filter '%s' does not compile: %s. See pcap-filter(7).",
                       filter->expression, pcap_geterr(pcap));
    } else {
        program->link_type = link_type;
        filter->last = filter->count++;
    }
    pcap_close(pcap);
    return code;
}

int dp_filter_check(struct dp_filter *filter, struct dp_diag *diag)
{
    if (!filter->expression || filter->count > 0)
        return DP_OK;
    return compile(filter, DLT_EN10MB, diag);
}

static int choose(struct dp_filter *filter, int link_type, struct dp_diag *diag)
{
    for (size_t i = 0; i < filter->count; i++) {
        if (filter->programs[i].link_type == link_type) {
            filter->last = i;
            return DP_OK;
        }
    }
    return compile(filter, link_type, diag);
}

/* An expression that names what only a frame has (vlan, ether host, mpls) has no program for the packet by
 * itself. */
static bool compile_inner(struct dp_filter *filter)
{
    if (filter->inner_tried)
        return filter->has_inner;
    filter->inner_tried = true;
    pcap_t *pcap = pcap_open_dead(DLT_RAW, SNAPLEN);
    filter->has_inner =
        pcap && pcap_compile(pcap, &filter->inner, filter->expression, 1, PCAP_NETMASK_UNKNOWN) == 0;
    if (pcap)
        pcap_close(pcap);
    return filter->has_inner;
}

static bool run(const struct bpf_program *program, const uint8_t *bytes, size_t captured, size_t wire_len)
{
    return bpf_filter(program->bf_insns, bytes, (u_int)wire_len, (u_int)captured) != 0;
}

/* `len` and what is made of it (greater, less) count as if the packet were in an Ethernet frame, as most are.
 */
static bool inner_matches(const struct dp_filter *filter, const struct dp_packet *packet,
                          const uint8_t *frame, size_t captured)
{
    size_t there = captured - (size_t)(packet->ip - frame);
    return run(&filter->inner, packet->ip, there < packet->ip_len ? there : packet->ip_len,
               packet->ip_len + (size_t)ETHERNET_HEADER);
}

/* By the innermost packet, where that is not the frame's own. */
static bool look_inside(struct dp_filter *filter, int link_type, const uint8_t *frame, size_t captured,
                        size_t wire_len, bool outside)
{
    struct dp_packet packet;
    int code = dp_packet_decode(link_type, frame, captured, wire_len, &packet);
    if (code == DP_ERR_TRUNCATED && !outside)
        filter->counts.cut++;
    if (code != DP_OK)
        return outside;
    bool carried = packet.encapsulations || packet.vlan_depth || without_filters(link_type);
    if (!carried || !compile_inner(filter))
        return outside;
    bool inside = inner_matches(filter, &packet, frame, captured);
    if (outside && !inside)
        filter->counts.only_outside++;
    return inside || (outside && filter->level == DP_FILTER_EITHER);
}

int dp_filter_match(struct dp_filter *filter, int link_type, const uint8_t *frame, size_t captured,
                    size_t wire_len, bool *ret_match, struct dp_diag *diag)
{
    if (!filter->expression) {
        *ret_match = true;
        return DP_OK;
    }
    if (filter->count == 0 || filter->programs[filter->last].link_type != link_type) {
        int code = choose(filter, link_type, diag);
        if (code != DP_OK)
            return code;
    }
    bool blind = without_filters(link_type);
    bool match = !blind && run(&filter->programs[filter->last].bpf, frame, captured, wire_len);
    bool done = filter->level == DP_FILTER_OUTERMOST && !blind;
    if (!done && !dp_packet_is_plain_tcp(link_type, frame, captured))
        match = look_inside(filter, link_type, frame, captured, wire_len, match);
    *ret_match = match;
    return DP_OK;
}

static bool blank(const char *text)
{
    return !text || text[strspn(text, " \t\r\n")] == '\0';
}

int dp_filter_for_kernel(const char *own, const char *expression, char **ret_text)
{
    char *text = NULL;
    int len;
    if (blank(expression))
        len = asprintf(&text, "%s", blank(own) ? "" : own);
    else if (blank(own))
        len = asprintf(&text, "(" CARRIERS ") or (%s)", expression);
    else
        len = asprintf(&text, "(%s) and ((" CARRIERS ") or (%s))", own, expression);
    if (len < 0)
        return DP_ERR_NOMEM;
    *ret_text = text;
    return DP_OK;
}

int dp_filter_prepare(struct dp_filter *filter, int link_type, struct dp_diag *diag)
{
    if (!filter->expression)
        return DP_OK;
    int code = choose(filter, link_type, diag);
    if (code == DP_OK)
        (void)compile_inner(filter);
    return code;
}

bool dp_filter_confirm(struct dp_filter *filter, int link_type, const uint8_t *frame, size_t captured,
                       size_t wire_len)
{
    /* No carrier: the kernel has judged it. */
    if (!filter->expression || dp_packet_is_plain_tcp(link_type, frame, captured))
        return true;
    uint64_t cut = filter->counts.cut;
    bool match = false;
    int code = dp_filter_match(filter, link_type, frame, captured, wire_len, &match, NULL);
    return code != DP_OK || match || filter->counts.cut > cut;
}

struct dp_filter_counts dp_filter_counts(const struct dp_filter *filter)
{
    return filter->counts;
}

const char *dp_filter_link_type_name(int link_type)
{
    return pcap_datalink_val_to_name(link_type);
}
