/* `mtu`: the largest packet that passes to a host and back, who says so, and where larger ones die. */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/probe/core/addresses.h"
#include "agent/probe/kinds.h"
#include "agent/probe/mtu/search.h"
#include "agent/probe/net/dial.h"
#include "agent/probe/net/echo.h"
#include "agent/probe/net/handles.h"
#include "agent/probe/net/resolve.h"

#define FLOOR4 576U
#define FLOOR6 1280U
#define HEADERS4 28U /* IP and ICMP */
#define HEADERS6 48U
#define COPIES 3 /* of each size: a loss is not a size that does not pass */
#define COPY_GAP_MS 60
#define HOPS_MAX 30
#define WAIT_LEAST_MS 700

enum phase { PHASE_SEARCH, PHASE_HOPS, PHASE_DONE };

struct try_out {
    uint32_t size;
    bool answered, refused;
};

struct hop {
    bool small, large; /* a router (or the host) answered */
    char from[DP_ADDRESS_TEXT];
};

struct mtu_probe {
    struct dp_probe *probe;
    struct dp_host_port target;
    struct dp_lookup *lookup;
    struct dp_parts *parts; /* of a name */
    struct dp_echo *echo;
    struct dp_timer *timer;
    struct dp_dial *dial;
    union dp_address address;
    char text[DP_ADDRESS_TEXT];
    enum phase phase;
    struct mtu_search search;
    struct try_out batch[MTU_BATCH];
    size_t batch_count, copies_sent;
    uint16_t batch_seq; /* of the first of the batch: seq = batch_seq + copy * count + index */
    int64_t sent_ns;
    double rtt_ms;
    uint32_t top; /* the interface's MTU */
    uint32_t local_limit;
    unsigned floor_tries;
    struct hop hops[HOPS_MAX + 1];
    uint16_t hops_seq;
    unsigned hop_rounds;
    char ptb_from[DP_ADDRESS_TEXT];
    uint32_t ptb_mtu;
    uint32_t own_mss, peer_mss;
    bool tcp_open, concluded;
};

static bool is_v6(const struct mtu_probe *mtu)
{
    return mtu->address.any.sa_family == AF_INET6;
}

static size_t payload_of(const struct mtu_probe *mtu, uint32_t size)
{
    return size - (is_v6(mtu) ? HEADERS6 : HEADERS4);
}

/* --- what it came to --- */

static json_t *hops_json(const struct mtu_probe *mtu, int *ret_dies_after)
{
    json_t *hops = json_array();
    *ret_dies_after = -1;
    for (int ttl = 1; ttl <= HOPS_MAX; ttl++) {
        const struct hop *hop = &mtu->hops[ttl];
        if (!hop->small && !hop->large)
            continue;
        (void)json_array_append_new(hops, json_pack("{s:i, s:s, s:b, s:b}", "hop", ttl, "address", hop->from,
                                                    "small", hop->small, "large", hop->large));
        if (hop->large)
            *ret_dies_after = ttl;
    }
    // where not even the first router answers the large ones, they die behind this host
    if (*ret_dies_after < 0 && json_array_size(hops))
        *ret_dies_after = 0;
    return hops;
}

static void put_clamp(const struct mtu_probe *mtu, json_t *data, char *rules, size_t size)
{
    uint32_t clamp = mtu_clamp(mtu->search.passes, is_v6(mtu));
    char nft[160], iptables[200];
    (void)snprintf(nft, sizeof nft,
                   "nft add rule inet filter forward tcp flags syn tcp option maxseg size set %u", clamp);
    (void)snprintf(iptables, sizeof iptables,
                   "%s -t mangle -A FORWARD -p tcp --tcp-flags SYN,RST SYN -j TCPMSS --set-mss %u",
                   is_v6(mtu) ? "ip6tables" : "iptables", clamp);
    (void)json_object_set_new(data, "clamp", json_integer(clamp));
    (void)json_object_set_new(data, "clamp_nft", json_string(nft));
    (void)json_object_set_new(data, "clamp_iptables", json_string(iptables));
    (void)snprintf(rules, size, "'%s', or '%s'", nft, iptables);
}

static void finish_black_hole(struct mtu_probe *mtu, int dies_after, const char *rules)
{
    char where[200] = "it cannot be told behind which hop, as the routers do not answer", step[600];
    if (dies_after > 0)
        (void)snprintf(where, sizeof where, "they die behind hop %d (%s)", dies_after,
                       mtu->hops[dies_after].from);
    else if (dies_after == 0)
        (void)snprintf(where, sizeof where, "they die between this host and the first router");
    (void)snprintf(step, sizeof step,
                   "Ask whoever runs that hop to let ICMP \"packet too big\" through (ICMP 3/4, ICMPv6 2) or "
                   "to mend the link; "
                   "until then clamp TCP: %s.",
                   rules);
    dp_probe_finish(mtu->probe, "black-hole", step,
                    "packets to %s of more than %u bytes vanish without a word; the interface takes %u; %s",
                    mtu->text, mtu->search.passes, mtu->top, where);
}

static void conclude(struct mtu_probe *mtu)
{
    if (mtu->concluded)
        return;
    mtu->concluded = true;
    json_t *data = dp_probe_data(mtu->probe);
    int dies_after = -1;
    json_t *hops = hops_json(mtu, &dies_after);
    char rules[480] = "", step[640];
    uint32_t largest = mtu->search.passes;
    bool whole = mtu->search.fails == largest + 1; // the search came to its end
    (void)json_object_set_new(data, "address", json_string(mtu->text));
    (void)json_object_set_new(data, "largest", largest ? json_integer(largest) : json_null());
    (void)json_object_set_new(data, "interface_mtu", json_integer(mtu->top));
    (void)json_object_set_new(data, "ptb_from", mtu->ptb_from[0] ? json_string(mtu->ptb_from) : json_null());
    (void)json_object_set_new(data, "ptb_mtu", mtu->ptb_mtu ? json_integer(mtu->ptb_mtu) : json_null());
    (void)json_object_set_new(data, "mss_own", mtu->own_mss ? json_integer(mtu->own_mss) : json_null());
    (void)json_object_set_new(data, "mss_peer", mtu->peer_mss ? json_integer(mtu->peer_mss) : json_null());
    (void)json_object_set_new(data, "hops", hops);
    if (!largest) {
        (void)json_object_set_new(data, "dies_after", json_null());
        (void)json_object_set_new(data, "clamp", json_null());
        dp_probe_finish(
            mtu->probe, "inconclusive",
            "Echo requests are not answered, so sizes cannot be tried: run the probe from another host, or "
            "let "
            "ICMP echo through; 'droppoint probe ping' and 'probe tcp' tell whether the host is there.",
            "%s answers no echo requests, not even small ones", mtu->text);
        return;
    }
    if (largest < mtu->top)
        put_clamp(mtu, data, rules, sizeof rules);
    else
        (void)json_object_set_new(data, "clamp", json_null());
    bool told = mtu->ptb_mtu && largest == mtu->ptb_mtu;
    (void)json_object_set_new(data, "dies_after",
                              largest < mtu->top && !told && dies_after >= 0 ? json_integer(dies_after)
                                                                             : json_null());
    if (!whole && largest < mtu->top && !told) {
        dp_probe_finish(mtu->probe, "inconclusive", "Give it more time with --timeout.",
                        "%u bytes pass to %s, %u do not; the time was over before the border was found",
                        largest, mtu->text, mtu->search.fails);
    } else if (largest >= mtu->top) {
        dp_probe_finish(mtu->probe, "ok", "",
                        "packets of %u bytes, all that the interface takes, pass to %s and back", largest,
                        mtu->text);
    } else if (told) {
        (void)snprintf(step, sizeof step,
                       "Path MTU discovery works here. Where it is blocked on the way back to other hosts, "
                       "clamp TCP: %s.",
                       rules);
        dp_probe_finish(mtu->probe, "reduced", step,
                        "packets of at most %u bytes pass to %s; %s says so (the interface takes %u)",
                        largest, mtu->text, mtu->ptb_from, mtu->top);
    } else {
        finish_black_hole(mtu, dies_after, rules);
    }
}

/* --- trying sizes --- */

static void on_tick(void *context);

static uint64_t patience(const struct mtu_probe *mtu)
{
    return mtu->rtt_ms * 3 > WAIT_LEAST_MS ? (uint64_t)(mtu->rtt_ms * 3) : WAIT_LEAST_MS;
}

static void begin_batch(struct mtu_probe *mtu)
{
    uint32_t sizes[MTU_BATCH];
    size_t count = mtu_search_next(&mtu->search, sizes);
    mtu->batch_seq = (uint16_t)(mtu->batch_seq + mtu->batch_count * COPIES);
    mtu->batch_count = count;
    mtu->copies_sent = 0;
    for (size_t i = 0; i < count; i++)
        mtu->batch[i] = (struct try_out){.size = sizes[i]};
    if (mtu->search.passes)
        dp_probe_progress(mtu->probe, "%u bytes pass to %s, %u do not yet", mtu->search.passes, mtu->text,
                          mtu->search.fails);
}

static bool batch_is_decided(const struct mtu_probe *mtu)
{
    for (size_t i = 0; i < mtu->batch_count; i++)
        if (!mtu->batch[i].answered && !mtu->batch[i].refused)
            return false;
    return true;
}

static void send_copy(struct mtu_probe *mtu)
{
    for (size_t i = 0; i < mtu->batch_count; i++) {
        struct try_out *one = &mtu->batch[i];
        if (one->answered || one->refused)
            continue;
        uint16_t seq = (uint16_t)(mtu->batch_seq + mtu->copies_sent * mtu->batch_count + i);
        if (dp_echo_send(mtu->echo, seq, payload_of(mtu, one->size), 0, &mtu->sent_ns) == EMSGSIZE) {
            one->refused = true;
            mtu->local_limit = one->size;
        }
    }
    mtu->copies_sent++;
}

static void begin_hops(struct mtu_probe *mtu)
{
    mtu->phase = PHASE_HOPS;
    mtu->hops_seq = (uint16_t)(mtu->batch_seq + mtu->batch_count * COPIES);
    dp_probe_progress(mtu->probe, "looking for the hop behind which packets of %u bytes die",
                      mtu->search.fails);
}

static void end_batch(struct mtu_probe *mtu)
{
    for (size_t i = mtu->batch_count; i-- > 0;)
        if (!mtu->batch[i].answered)
            mtu_search_failed(&mtu->search, mtu->batch[i].size);
    for (size_t i = 0; i < mtu->batch_count; i++)
        if (mtu->batch[i].answered)
            mtu_search_passed(&mtu->search, mtu->batch[i].size);
    if (!mtu->search.passes && ++mtu->floor_tries == 2) {
        conclude(mtu);
        return;
    }
    if (!mtu->search.passes) // the first batch again: `fails` must not hide that nothing passes
        mtu_search_init(&mtu->search, mtu->search.floor, mtu->top);
    begin_batch(mtu);
    if (mtu->batch_count) {
        on_tick(mtu);
        return;
    }
    bool told = mtu->ptb_mtu && mtu->ptb_mtu == mtu->search.passes;
    if (mtu->search.passes >= mtu->top || told) {
        conclude(mtu);
    } else {
        begin_hops(mtu);
        on_tick(mtu);
    }
}

/* Small and large packets that live for so many hops: where the large ones are heard of last, they die
 * behind. */
static void send_hops(struct mtu_probe *mtu)
{
    int64_t ignored;
    uint32_t sizes[2] = {mtu->search.floor, mtu->search.fails};
    for (int ttl = 1; ttl <= HOPS_MAX; ttl++)
        for (unsigned large = 0; large < 2; large++) {
            const struct hop *hop = &mtu->hops[ttl];
            if (large ? hop->large : hop->small)
                continue;
            uint16_t seq =
                (uint16_t)(mtu->hops_seq + mtu->hop_rounds * 2 * (HOPS_MAX + 1) + (unsigned)ttl * 2 + large);
            (void)!dp_echo_send(mtu->echo, seq, payload_of(mtu, sizes[large]), ttl, &ignored);
        }
    mtu->hop_rounds++;
}

static void on_tick(void *context)
{
    struct mtu_probe *mtu = context;
    if (mtu->concluded)
        return;
    if (mtu->phase == PHASE_HOPS) {
        if (mtu->hop_rounds == COPIES) {
            conclude(mtu);
            return;
        }
        send_hops(mtu);
        dp_timer_start(mtu->timer, patience(mtu), 0);
        return;
    }
    if (mtu->copies_sent == COPIES || (mtu->copies_sent && batch_is_decided(mtu))) {
        end_batch(mtu);
        return;
    }
    send_copy(mtu);
    dp_timer_start(mtu->timer, mtu->copies_sent == COPIES ? patience(mtu) : COPY_GAP_MS, 0);
}

/* The batch's member that a sequence number stands for; NULL: none of this batch. */
static struct try_out *member(struct mtu_probe *mtu, uint16_t seq)
{
    uint16_t at = (uint16_t)(seq - mtu->batch_seq);
    if (mtu->phase != PHASE_SEARCH || !mtu->batch_count || at >= mtu->batch_count * COPIES)
        return NULL;
    return &mtu->batch[at % mtu->batch_count];
}

static struct hop *hop_of(struct mtu_probe *mtu, uint16_t seq, bool *ret_large)
{
    unsigned at = (uint16_t)(seq - mtu->hops_seq);
    if (mtu->phase != PHASE_HOPS || at >= COPIES * 2 * (HOPS_MAX + 1))
        return NULL;
    at %= 2 * (HOPS_MAX + 1);
    *ret_large = at & 1;
    return &mtu->hops[at / 2];
}

static void mark_hop(struct hop *hop, bool large, const char *from)
{
    if (large)
        hop->large = true;
    else
        hop->small = true;
    (void)snprintf(hop->from, sizeof hop->from, "%s", from);
}

static void end_early(struct mtu_probe *mtu)
{
    if (mtu->phase == PHASE_SEARCH && mtu->copies_sent && batch_is_decided(mtu))
        dp_timer_start(mtu->timer, 0, 0);
}

static void on_reply(void *context, uint16_t seq, int64_t at_ns, int ttl)
{
    struct mtu_probe *mtu = context;
    bool large = false;
    (void)ttl;
    struct try_out *one = member(mtu, seq);
    struct hop *hop = hop_of(mtu, seq, &large);
    if (one) {
        one->answered = true;
        double rtt = (double)(at_ns - mtu->sent_ns) / 1e6;
        mtu->rtt_ms = rtt > mtu->rtt_ms ? rtt : mtu->rtt_ms;
        end_early(mtu);
    } else if (hop && !large) {
        // every hop from the target on answers: the first of them is the target
        mark_hop(hop, large, mtu->text);
    }
}

static void on_error(void *context, uint16_t seq, const struct dp_icmp *icmp, uint32_t told)
{
    struct mtu_probe *mtu = context;
    bool large = false;
    struct try_out *one = member(mtu, seq);
    struct hop *hop = hop_of(mtu, seq, &large);
    bool expired = icmp->family == AF_INET ? icmp->type == 11 : icmp->type == 3;
    if (hop && expired) {
        mark_hop(hop, large, icmp->from);
    } else if (one && told) {
        one->refused = true;
        mtu_search_told(&mtu->search, one->size, told);
        if (!mtu->ptb_mtu || told < mtu->ptb_mtu) {
            mtu->ptb_mtu = told;
            (void)snprintf(mtu->ptb_from, sizeof mtu->ptb_from, "%s", icmp->from);
        }
        end_early(mtu);
    }
}

static const struct dp_echo_events echo_events = {.reply = on_reply, .error = on_error};

/* --- TCP's word --- */

static void on_dialled(void *context, const struct dp_dial_result *result)
{
    struct mtu_probe *mtu = context;
    struct tcp_info info;
    socklen_t size = sizeof info;
    dp_dial_drop(mtu->dial);
    mtu->dial = NULL;
    if (result->outcome != DP_DIAL_OPEN)
        return;
    memset(&info, 0, sizeof info);
    mtu->tcp_open = true;
    if (getsockopt(result->fd, IPPROTO_TCP, TCP_INFO, &info, &size) == 0) {
        // what is sent in one packet, and the time stamps option that goes with each
        uint32_t stamps = info.tcpi_options & TCPI_OPT_TIMESTAMPS ? 12U : 0U;
        mtu->peer_mss = info.tcpi_snd_mss + stamps;
        mtu->own_mss = info.tcpi_advmss + stamps;
    }
    (void)close(result->fd);
}

/* --- the kind --- */

/* The MTU of the interface that leads there. */
static uint32_t interface_mtu(const struct mtu_probe *mtu)
{
    int value = 0, family = mtu->address.any.sa_family;
    int probe4 = IP_PMTUDISC_PROBE, probe6 = IPV6_PMTUDISC_PROBE;
    socklen_t size = sizeof value;
    union dp_address to = mtu->address;
    dp_address_set_port(&to, 9);
    int fd = socket(family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return 1500;
    bool v4 = family == AF_INET;
    (void)(v4 ? setsockopt(fd, IPPROTO_IP, IP_MTU_DISCOVER, &probe4, sizeof probe4)
              : setsockopt(fd, IPPROTO_IPV6, IPV6_MTU_DISCOVER, &probe6, sizeof probe6));
    if (dp_bind_from(fd, family, dp_probe_request(mtu->probe), 0, NULL) != 0 ||
        connect(fd, &to.any, dp_address_size(&to)) != 0 ||
        getsockopt(fd, v4 ? IPPROTO_IP : IPPROTO_IPV6, v4 ? IP_MTU : IPV6_MTU, &value, &size) != 0)
        value = 1500;
    (void)close(fd);
    return value < (int)FLOOR4 ? FLOOR4 : value > 65535 ? 65535U : (uint32_t)value;
}

static const char *const from_good_to_bad[] = {"ok", "reduced", "inconclusive", "black-hole", NULL};
static const struct dp_parts_rules rules = DP_ADDRESSES_RULES(from_good_to_bad);

static void on_addresses(void *context, int code, const char *why, const union dp_address *addresses,
                         size_t count)
{
    struct mtu_probe *mtu = context;
    struct dp_diag diag = {""};
    if (code) {
        dp_probe_fail(mtu->probe, code, "%s", why);
        return;
    }
    if (dp_addresses_take(mtu->probe, &rules, &mtu->target, NULL, addresses, count, &mtu->parts))
        return;
    mtu->address = addresses[0];
    (void)dp_address_text(&mtu->address, mtu->text);
    mtu->top = interface_mtu(mtu);
    // loopback takes more than an echo request can have
    uint32_t most = DP_ECHO_PAYLOAD_MAX + (is_v6(mtu) ? HEADERS6 : HEADERS4);
    mtu->top = mtu->top > most ? most : mtu->top;
    uint32_t floor = is_v6(mtu) ? FLOOR6 : FLOOR4;
    mtu_search_init(&mtu->search, floor < mtu->top ? floor : mtu->top, mtu->top);
    int rc = dp_echo_open(dp_probe_loop(mtu->probe), dp_probe_request(mtu->probe), &mtu->address,
                          &echo_events, mtu, &mtu->echo, &diag);
    if (rc) {
        dp_probe_fail(mtu->probe, rc, "%s", dp_reason(&diag, rc));
        return;
    }
    dp_echo_forbid_fragments(mtu->echo);
    if (mtu->target.port && dp_dial_start(dp_probe_loop(mtu->probe), dp_probe_request(mtu->probe),
                                          &mtu->address, 5000, on_dialled, mtu, &mtu->dial))
        mtu->dial = NULL; // goes on without TCP's word
    begin_batch(mtu);
    on_tick(mtu);
}

static void mtu_stop(void *state)
{
    struct mtu_probe *mtu = state;
    dp_lookup_drop(mtu->lookup);
    dp_parts_free(mtu->parts);
    dp_dial_drop(mtu->dial);
    dp_echo_close(mtu->echo);
    dp_timer_drop(mtu->timer);
    free(mtu);
}

static int mtu_start(struct dp_probe *probe, void **ret_state, struct dp_diag *diag)
{
    const struct dp_request *request = dp_probe_request(probe);
    struct mtu_probe *mtu = calloc(1, sizeof *mtu);
    if (!mtu)
        return DP_ERR_NOMEM;
    mtu->probe = probe;
    int rc = dp_host_port_parse(dp_request_target(request), &mtu->target, diag);
    if (!rc)
        rc = dp_timer_new(dp_probe_loop(probe), on_tick, mtu, &mtu->timer);
    if (!rc)
        rc = dp_lookup_start(dp_probe_resolver(probe), mtu->target.host, dp_request_family(request),
                             mtu->target.port, on_addresses, mtu, &mtu->lookup);
    if (rc) {
        mtu_stop(mtu);
        return rc;
    }
    *ret_state = mtu;
    return 0;
}

static void mtu_expire(void *state)
{
    struct mtu_probe *mtu = state;
    if (dp_parts_expire(mtu->parts))
        return;
    if (mtu->echo)
        conclude(mtu);
    else
        dp_probe_fail(mtu->probe, DP_ERR_TIMEOUT, "the name %s could not be looked up in time",
                      mtu->target.host);
}

static void mtu_print(const json_t *data, FILE *out)
{
    size_t i;
    json_t *hop;
    const json_t *clamp = json_object_get(data, "clamp");
    dp_parts_print(data, "addresses", "address", out);
    fprintf(out, "interface %lld, largest %lld", json_integer_value(json_object_get(data, "interface_mtu")),
            json_integer_value(json_object_get(data, "largest")));
    if (json_is_integer(json_object_get(data, "mss_peer")))
        fprintf(out, ", MSS announced: own %lld, peer %lld",
                json_integer_value(json_object_get(data, "mss_own")),
                json_integer_value(json_object_get(data, "mss_peer")));
    if (json_is_integer(clamp))
        fprintf(out, ", MSS to set %lld", json_integer_value(clamp));
    fputs("\n", out);
    json_array_foreach(json_object_get(data, "hops"), i, hop)
        fprintf(out, "%3lld  %-40s small %-3s large %s\n", json_integer_value(json_object_get(hop, "hop")),
                json_string_value(json_object_get(hop, "address")),
                json_is_true(json_object_get(hop, "small")) ? "yes" : "no",
                json_is_true(json_object_get(hop, "large")) ? "yes" : "no");
}

static void mtu_perfdata(const json_t *data, FILE *out)
{
    fprintf(out, "largest=%lldB", json_integer_value(json_object_get(data, "largest")));
}

const struct dp_probe_kind dp_probe_mtu = {
    .name = "mtu",
    .about = "The largest packet that passes; an honest reduction or a black hole; the hop where large "
             "packets die.",
    .target_text = "HOST[:PORT]",
    .target = DP_TARGET_REQUIRED,
    .timeout_ms = 30000,
    .examples = "  droppoint probe mtu --local mx.example.net\n"
                "  droppoint probe mtu --local mx.example.net:25     (and the MSS that TCP announces)\n",
    .start = mtu_start,
    .expire = mtu_expire,
    .stop = mtu_stop,
    .print = mtu_print,
    .perfdata = mtu_perfdata,
};
