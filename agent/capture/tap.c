#include "agent/capture/tap.h"

#include <linux/if_packet.h>
#include <pcap/pcap.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "common/filter/filter.h"

#define LINKTYPE_RAW 101
#define MAX_SNAPLEN 262144
#define MIN_SNAPLEN 64 /* shorter ones cut the headers that a digest is made of */
#define MAX_BUFFER ((uint64_t)1024 * 1024 * 1024)
#define MIN_BUFFER ((uint64_t)1024 * 1024)

struct dp_tap {
    pcap_t *pcap;
    struct dp_filter *filter;
    int link_type;
    uint32_t snaplen;
    uint64_t dropped;
    /* libpcap's counters are 32 bits wide and wrap; so do these. */
    uint32_t last_dropped;
    uint32_t handed_on;
    uint32_t passed_over; /* taken by the kernel, but never handed on: see dp_tap_count */
    bool counted;         /* passed_over is set */
};

static int activation_failed(pcap_t *pcap, int status, const char *interface, struct dp_diag *diag)
{
    const char *text = pcap_geterr(pcap);
    const char *why = text[0] ? text : pcap_statustostr(status);
    switch (status) {
    case PCAP_ERROR_NO_SUCH_DEVICE:
        return dp_fail(diag, DP_ERR_INTERFACE,
                       "There is no interface %s here. 'ip link' lists those there are.", interface);
    case PCAP_ERROR_IFACE_NOT_UP:
        return dp_fail(diag, DP_ERR_INTERFACE, "The interface %s is down. Bring it up: ip link set %s up.",
                       interface, interface);
    case PCAP_ERROR_PERM_DENIED:
    case PCAP_ERROR_PROMISC_PERM_DENIED:
        return dp_fail(
            diag, DP_ERR_DENIED,
            "Capturing on %s needs CAP_NET_RAW: start the agent's service from its package, or run "
            "'setcap cap_net_raw+ep' on droppoint-capture.",
            interface);
    default:
        return dp_fail(diag, DP_ERR_IO, "The interface %s can't be opened: %s.", interface, why);
    }
}

static int activate(pcap_t *pcap, const struct dp_pipe_config *config, struct dp_diag *diag)
{
    uint64_t buffer = config->buffer_bytes ? config->buffer_bytes : DP_TAP_BUFFER;
    if (buffer < MIN_BUFFER || buffer > MAX_BUFFER)
        return dp_fail(diag, DP_ERR_RANGE, "The kernel buffer must have 1 MiB to 1 GiB, not %llu bytes.",
                       (unsigned long long)buffer);
    uint32_t snaplen = config->snaplen ? config->snaplen : MAX_SNAPLEN;
    if (snaplen < MIN_SNAPLEN || snaplen > MAX_SNAPLEN)
        return dp_fail(diag, DP_ERR_RANGE, "The snap length must be %d to %d bytes, not %u.", MIN_SNAPLEN,
                       MAX_SNAPLEN, snaplen);
    (void)pcap_set_snaplen(pcap, (int)snaplen);
    (void)pcap_set_promisc(pcap, 0);
    (void)pcap_set_timeout(pcap, DP_TAP_BLOCK_MS);
    (void)pcap_set_immediate_mode(pcap, 0);
    (void)pcap_set_buffer_size(pcap, (int)buffer);
    if (pcap_set_tstamp_precision(pcap, PCAP_TSTAMP_PRECISION_NANO) != 0)
        return dp_fail(diag, DP_ERR_UNSUPPORTED, "The interface %s gives no nanosecond stamps.",
                       config->interface);
    int status = pcap_activate(pcap);
    if (status < 0)
        return activation_failed(pcap, status, config->interface, diag);
    return DP_OK;
}

/* On the loopback every packet comes twice, going out and coming in, and libpcap throws the first away. The
 * kernel may as well not keep it: it would fill the buffer and count among the drops. */
static void ignore_outgoing(pcap_t *pcap, const char *interface)
{
    int on = 1;
    if (strcmp(interface, "lo") == 0)
        (void)setsockopt(pcap_fileno(pcap), SOL_PACKET, PACKET_IGNORE_OUTGOING, &on, sizeof on);
}

/* What was asked for is about the innermost packets, which the kernel doesn't see: it lets through what may
 * carry them, as far as the host's own filter allows, and the rest is seen to as they are read. */
static int set_filter(struct dp_tap *tap, const struct dp_pipe_config *config, struct dp_diag *diag)
{
    char *text = NULL;
    struct bpf_program program;
    int code = dp_filter_new(config->filter, DP_FILTER_INNERMOST, &tap->filter);
    if (code == DP_OK)
        code = dp_filter_prepare(tap->filter, tap->link_type, diag);
    if (code == DP_OK)
        code = dp_filter_for_kernel(config->own_filter, config->filter, &text);
    if (code == DP_OK && pcap_compile(tap->pcap, &program, text, 1, PCAP_NETMASK_UNKNOWN) != 0) {
        code = dp_fail(diag, DP_ERR_FILTER,
                       "The filter \"%.200s\", narrowed by \"%.200s\", does not compile: %s.", config->filter,
                       config->own_filter, pcap_geterr(tap->pcap));
    } else if (code == DP_OK) {
        if (pcap_setfilter(tap->pcap, &program) != 0)
            code = dp_fail(diag, DP_ERR_FILTER, "The kernel does not take the filter: %s.",
                           pcap_geterr(tap->pcap));
        pcap_freecode(&program);
    }
    free(text);
    return code;
}

static int note_link_type(struct dp_tap *tap, const char *interface, struct dp_diag *diag)
{
    /* DLT and LINKTYPE numbers agree, except for raw IP. */
    int type = pcap_datalink(tap->pcap);
    tap->link_type = type == DLT_RAW ? LINKTYPE_RAW : type;
    tap->snaplen = (uint32_t)pcap_snapshot(tap->pcap);
    if (dp_link_type_supported(tap->link_type))
        return DP_OK;
    return dp_fail(diag, DP_ERR_UNSUPPORTED,
                   "The interface %s has link type %d (%s), which droppoint can't read.", interface,
                   tap->link_type, pcap_datalink_val_to_name(type));
}

int dp_tap_open(const struct dp_pipe_config *config, struct dp_tap **ret_tap, struct dp_diag *diag)
{
    char text[PCAP_ERRBUF_SIZE] = "";
    struct dp_tap *tap = calloc(1, sizeof *tap);
    if (!tap)
        return DP_ERR_NOMEM;
    tap->pcap = pcap_create(config->interface, text);
    int code = DP_OK;
    if (!tap->pcap)
        code =
            dp_fail(diag, DP_ERR_INTERFACE, "The interface %s can't be opened: %s.", config->interface, text);
    if (code == DP_OK)
        code = activate(tap->pcap, config, diag);
    if (code == DP_OK)
        code = note_link_type(tap, config->interface, diag);
    if (code == DP_OK)
        ignore_outgoing(tap->pcap, config->interface);
    if (code == DP_OK)
        code = set_filter(tap, config, diag);
    if (code == DP_OK && pcap_setnonblock(tap->pcap, 1, text) != 0)
        code = dp_fail(diag, DP_ERR_IO, "The interface %s can't be read without blocking: %s.",
                       config->interface, text);
    if (code != DP_OK) {
        dp_tap_close(tap);
        return code;
    }
    *ret_tap = tap;
    return DP_OK;
}

void dp_tap_close(struct dp_tap *tap)
{
    if (!tap)
        return;
    if (tap->pcap)
        pcap_close(tap->pcap);
    dp_filter_free(tap->filter);
    free(tap);
}

int dp_tap_link_type(const struct dp_tap *tap)
{
    return tap->link_type;
}

uint32_t dp_tap_snaplen(const struct dp_tap *tap)
{
    return tap->snaplen;
}

int dp_tap_fd(const struct dp_tap *tap)
{
    return pcap_get_selectable_fd(tap->pcap);
}

struct reading {
    struct dp_tap *tap;
    dp_tap_taker taker;
    void *context;
};

static void on_packet(u_char *user, const struct pcap_pkthdr *header, const u_char *frame)
{
    const struct reading *reading = (const struct reading *)(const void *)user;
    if (!dp_filter_confirm(reading->tap->filter, reading->tap->link_type, frame, header->caplen, header->len))
        return;
    /* With nanosecond precision tv_usec holds nanoseconds. */
    int64_t ts_ns = (int64_t)header->ts.tv_sec * 1000000000 + header->ts.tv_usec;
    reading->taker(reading->context, ts_ns, frame, header->caplen, header->len);
}

int dp_tap_read(struct dp_tap *tap, int max, dp_tap_taker taker, void *context, size_t *ret_count,
                struct dp_diag *diag)
{
    struct reading reading = {tap, taker, context};
    int got = pcap_dispatch(tap->pcap, max, on_packet, (u_char *)&reading);
    if (got < 0)
        return dp_fail(diag, DP_ERR_INTERFACE, "%s. What was captured until then is kept.",
                       pcap_geterr(tap->pcap));
    tap->handed_on += (uint32_t)got;
    *ret_count = (size_t)got;
    return DP_OK;
}

/* libpcap throws some packets away that the kernel counted: those that came before the filter stood. So the
 * smallest difference that was ever seen stands for "nothing waits". It may be too large only where something
 * has waited each time so far. */
static bool all_handed_on(struct dp_tap *tap, const struct pcap_stat *stat)
{
    uint32_t missing = stat->ps_recv - stat->ps_drop - tap->handed_on;
    if (!tap->counted || (int32_t)(missing - tap->passed_over) < 0)
        tap->passed_over = missing;
    tap->counted = true;
    return missing == tap->passed_over;
}

void dp_tap_count(struct dp_tap *tap, struct dp_tap_counts *ret_counts)
{
    struct pcap_stat stat;
    bool drained = false;
    if (pcap_stats(tap->pcap, &stat) == 0) {
        uint32_t dropped = stat.ps_drop + stat.ps_ifdrop;
        tap->dropped += dropped - tap->last_dropped;
        tap->last_dropped = dropped;
        drained = all_handed_on(tap, &stat);
    }
    *ret_counts = (struct dp_tap_counts){.dropped = tap->dropped, .drained = drained};
}
