#include "cli/locate/filter.h"

#include <pcap/pcap.h>
#include <stdlib.h>
#include <string.h>

#define MAX_LINK_TYPES 16
#define SNAPLEN 262144
#define LINKTYPE_RAW 101 /* in files; libpcap calls it DLT_RAW inside */
#define LINKTYPE_RAW_OPENBSD 14
#define NFLOG_PAYLOAD 9 /* NFULA_PAYLOAD */

struct program {
    int link_type;
    struct bpf_program bpf;
};

struct dp_filter {
    char *expression; /* NULL: everything passes */
    struct program programs[MAX_LINK_TYPES];
    size_t count;
    size_t last; /* used last: files have one link type as a rule */
};

int dp_filter_new(const char *expression, struct dp_filter **ret_filter)
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
    *ret_filter = filter;
    return DP_OK;
}

void dp_filter_free(struct dp_filter *filter)
{
    if (!filter)
        return;
    for (size_t i = 0; i < filter->count; i++)
        pcap_freecode(&filter->programs[i].bpf);
    free(filter->expression);
    free(filter);
}

/* What libpcap compiles for. It has no filters for nflog: there the IP packet inside is looked at. */
static int compiled_type(int link_type)
{
    bool raw = link_type == LINKTYPE_RAW || link_type == LINKTYPE_RAW_OPENBSD || link_type == DLT_NFLOG;
    return raw ? DLT_RAW : link_type;
}

/* Moves to the IP packet inside an nflog frame: four bytes, then attributes in the byte order of the machine
 * that captured. False where there is none. */
static bool nflog_payload(const uint8_t **frame, size_t *captured, size_t *wire_len)
{
    size_t at = 4;
    while (at + 4 <= *captured) {
        uint16_t len;
        uint16_t type;
        memcpy(&len, *frame + at, sizeof len);
        memcpy(&type, *frame + at + 2, sizeof type);
        if ((type & 0x7f) == 0) {
            /* Types are small numbers, so that this shows the order. */
            len = __builtin_bswap16(len);
            type = __builtin_bswap16(type);
        }
        if (len < 4)
            return false;
        if ((type & 0x7fff) == NFLOG_PAYLOAD) {
            *frame += at + 4;
            *captured -= at + 4;
            *wire_len = len - 4U;
            *captured = *captured < *wire_len ? *captured : *wire_len;
            return true;
        }
        at += (len + 3U) & ~3U;
    }
    return false;
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
    if (link_type == DLT_NFLOG && !nflog_payload(&frame, &captured, &wire_len)) {
        *ret_match = false;
        return DP_OK;
    }
    const struct bpf_program *bpf = &filter->programs[filter->last].bpf;
    *ret_match = bpf_filter(bpf->bf_insns, frame, (u_int)wire_len, (u_int)captured) != 0;
    return DP_OK;
}

const char *dp_filter_link_type_name(int link_type)
{
    return pcap_datalink_val_to_name(link_type);
}
