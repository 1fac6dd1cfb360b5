/* Vantage points that know a flow by the same name but number it differently: a firewall makes sequence
 * numbers random, a SYN proxy answers for the server, time stamps or IP IDs are rewritten on the way. Their
 * difference is constant for each half; what both points saw tells it. */
#include <stdlib.h>

#include "collector/locate/pairing.h"

#define SYNS 4
#define ENOUGH 8 /* packets that were compared */

/* ---- sequence numbers ---- */

/* The numbers of the SYNs that a vantage point saw, each once. */
static size_t syns_of(const struct lane *lane, uint64_t at[SYNS])
{
    size_t count = 0;
    for (size_t i = 0; i < lane->count && i < 64; i++) {
        const struct observation *o = lane_at(lane, i);
        size_t k = 0;
        if (!(o->tcp_flags & DP_TCP_SYN))
            continue;
        while (k < count && at[k] != o->start)
            k++;
        if (k == count && count < SYNS)
            at[count++] = o->start;
    }
    return count;
}

struct syns {
    bool common; /* a number that both points saw */
    bool single; /* each saw one, and not the same */
    int64_t by;
};

static struct syns compare_syns(const struct lane *base, const struct lane *lane)
{
    uint64_t a[SYNS], b[SYNS];
    size_t n = syns_of(base, a), m = syns_of(lane, b);
    struct syns syns = {.single = n == 1 && m == 1};
    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k < m; k++)
            syns.common = syns.common || a[i] == b[k];
    if (syns.single)
        syns.by = (int64_t)(a[0] - b[0]);
    syns.single = syns.single && !syns.common;
    return syns;
}

int64_t pairing_widened(uint32_t by, uint64_t base, uint64_t position)
{
    int64_t wide = (int32_t)by;
    if (base == 0 || position == 0)
        return wide;
    int64_t off = (int64_t)(position + (uint64_t)wide - base);
    while (off > INT32_MAX) {
        off -= 1LL << 32;
        wide -= 1LL << 32;
    }
    while (off < INT32_MIN) {
        off += 1LL << 32;
        wide += 1LL << 32;
    }
    return wide;
}

static bool agrees(const struct likeness *like)
{
    return like->same > 0 && like->different * 16 <= like->same;
}

/* How a view's numbers differ from the base's, by their payload and SYNs. */
static int find_difference(struct pairing *p, const struct lane *base, const struct lane *lane,
                           bool *ret_found, int64_t *ret_by)
{
    struct likeness like;
    struct syns syns = compare_syns(base, lane);
    *ret_found = true;
    *ret_by = 0;
    strands_compare(&p->first, &p->second, 0, &like);
    if (like.same > like.different || syns.common)
        return DP_OK;
    struct shift shift;
    int code = strands_shift(&p->first, &p->second, &shift);
    if (code)
        return code;
    if (shift_trusted(&shift)) {
        strands_compare(&p->first, &p->second, shift.by, &like);
        *ret_by = shift.by;
        if (agrees(&like))
            return DP_OK;
    }
    if (syns.single) {
        strands_compare(&p->first, &p->second, syns.by, &like);
        *ret_by = syns.by;
        if (like.different == 0 || agrees(&like))
            return DP_OK;
    }
    *ret_found = false;
    return DP_OK;
}

/* Points farther away from the base that nothing is known of yet number as this one does: it took a host on
 * the way to change that, and there is one already. */
static void shift_beyond(struct dp_locate *l, struct flow *flow, int half, uint32_t base, uint32_t v,
                         int64_t by)
{
    for (uint32_t i = 0; i < l->vantage_count; i++)
        if ((base < v ? i > v : i < v) && flow->seen_at[i] && flow->views[i].leg == flow->views[v].leg &&
            !flow->views[i].aligned[half])
            view_shift(l, flow, half, i, by);
}

static void settle_numbers(struct dp_locate *l, struct flow *flow, int half, uint32_t base, uint32_t v,
                           int64_t by)
{
    flow->views[v].aligned[half] = true;
    if (by) {
        flow->renumbered = true;
        view_shift(l, flow, half, v, by);
        shift_beyond(l, flow, half, base, v, by);
    }
}

static int align_by_payload(struct pairing *p, struct flow *flow, int half, uint32_t base, uint32_t v)
{
    const struct half *h = &flow->half[half];
    bool found = false;
    int64_t by = 0;
    if (h->data[base].count == 0 || h->data[v].count == 0)
        return DP_OK;
    int code = find_difference(p, &h->data[base], &h->data[v], &found, &by);
    if (code == DP_OK && found)
        settle_numbers(p->l, flow, half, base, v, by);
    return code;
}

/* A half that is known by its acknowledgements only. */
static void align_by_controls(struct pairing *p, struct flow *flow, int half, uint32_t base, uint32_t v)
{
    const struct half *h = &flow->half[half];
    const struct lane *a = &h->control[base], *b = &h->control[v];
    bool other = flow->views[base].aligned[1 - half] && flow->views[v].aligned[1 - half];
    uint32_t by = 0;
    bool found = other && pairing_control_shift(a, b, 0, &by);
    if (!found && h->data[base].seen == 0 && h->data[v].seen == 0)
        found = pairing_idle_shift(a, b, &by);
    if (found)
        settle_numbers(p->l, flow, half, base, v,
                       pairing_widened(by, flow->views[base].position[half], flow->views[v].position[half]));
}

/* ---- time stamps and IP IDs ---- */

/* As shift_beyond. */
static void shift_ts_beyond(struct dp_locate *l, struct flow *flow, int half, uint32_t base, uint32_t v,
                            uint32_t by)
{
    for (uint32_t i = 0; i < l->vantage_count; i++)
        if ((base < v ? i > v : i < v) && flow->seen_at[i] && flow->views[i].leg == flow->views[v].leg &&
            !flow->views[i].compared[half])
            view_shift_ts(flow, half, i, by);
}

/* Whether something between two points gives packets IP IDs of its own. Of a flow with no two packets to tell
 * by, the others there tell. */
static bool ids_rewritten(struct dp_locate *l, uint32_t base, uint32_t v, const struct likeness *like)
{
    bool rewritten = like->equal_ids * 5 < like->ids;
    struct seam *seam = base + 1 == v ? &l->seams[base] : v + 1 == base ? &l->seams[v] : NULL;
    if (like->ids >= 2) {
        if (seam)
            (*(rewritten ? &seam->ids_new : &seam->ids_kept))++;
        return rewritten;
    }
    return seam && seam->ids_new >= 4 + 4 * seam->ids_kept && (rewritten || like->ids == 0);
}

static void align_fields(struct dp_locate *l, struct flow *flow, int half, uint32_t base, uint32_t v,
                         const struct likeness *like)
{
    if (like->stamps && like->equal_stamps * 10 < like->stamps) {
        if (like->ts_votes >= 2 && like->ts_votes * 10 >= like->ts_asked * 9) {
            view_shift_ts(flow, half, v, like->ts_by);
            shift_ts_beyond(l, flow, half, base, v, like->ts_by);
        } else if (like->stamps >= 4) {
            flow_ignore_ts(l, flow, half);
        }
    } else if (like->stamps == 0 && like->half_stamped >= 2) {
        flow_ignore_ts(l, flow, half);
    }
    if (ids_rewritten(l, base, v, like))
        flow_ignore_ids(l, flow, half);
    if (like->windows >= 2 && like->equal_windows * 5 < like->windows)
        flow_ignore_windows(l, flow, half);
}

/* Of a connection that never came up there are only SYNs: the same number of them, and all time stamps off by
 * the same. A SYN proxy's own SYN differs once. */
static void compare_syn_stamps(const struct lane *base, const struct lane *lane, struct likeness *like)
{
    if (like->stamps || base->count != lane->count || base->count < 2)
        return;
    uint32_t by = lane_at(base, 0)->tsval - lane_at(lane, 0)->tsval;
    for (size_t i = 0; i < base->count; i++) {
        const struct observation *x = lane_at(base, i), *y = lane_at(lane, i);
        if (!(x->tcp_flags & y->tcp_flags & DP_TCP_SYN) || !(x->marks & y->marks & MARK_HAS_TS) ||
            x->tsval - y->tsval != by)
            return;
    }
    like->stamps = like->ts_asked = like->ts_votes = (uint32_t)base->count;
    like->equal_stamps = by == 0 ? like->stamps : 0;
    like->ts_by = by;
}

/* What a packet or two say of the time stamps, the SYNs may bear out. */
static void compare_syn_stamp(const struct lane *base, const struct lane *lane, struct likeness *like)
{
    const struct observation *x = strand_syn(base), *y = strand_syn(lane);
    if (!x || !y || !(x->marks & y->marks & MARK_HAS_TS) || like->stamps == 0 || like->equal_stamps ||
        like->ts_votes == 0 || x->tsval - y->tsval != like->ts_by)
        return;
    like->stamps++;
    like->ts_asked++;
    like->ts_votes++;
}

#define COPIES_LOOKED_AT 64

/* Of copies of the same bytes it takes the IP ID to tell which is which; then all their time stamps are off
 * by the same. */
static void compare_copies(const struct lane *base, const struct lane *lane, struct likeness *like)
{
    uint32_t votes = 0, by = 0;
    if (like->equal_stamps || like->ts_votes >= 2)
        return;
    for (size_t i = 0; i < base->count && i < COPIES_LOOKED_AT; i++)
        for (size_t k = 0; k < lane->count && k < COPIES_LOOKED_AT; k++) {
            const struct observation *x = lane_at(base, i), *y = lane_at(lane, k);
            uint16_t both = x->marks & y->marks;
            if (x->start != y->start || x->span != y->span || !(both & MARK_HAS_TS) ||
                !(both & MARK_HAS_IP_ID) || x->ip_id != y->ip_id)
                continue;
            if (votes && x->tsval - y->tsval != by)
                return;
            by = x->tsval - y->tsval;
            votes++;
        }
    if (votes < 2 || by == 0)
        return;
    like->stamps = like->ts_asked = like->ts_votes = votes;
    like->ts_by = by;
}

/* ... and no IP ID in common. */
static void compare_syn_ids(const struct lane *base, const struct lane *lane, struct likeness *like)
{
    uint32_t asked = 0, equal = 0;
    if (like->ids || base->count < 2 || lane->count < 2)
        return;
    for (size_t i = 0; i < lane->count && i < 64; i++) {
        const struct observation *y = lane_at(lane, i);
        if (!(y->tcp_flags & DP_TCP_SYN) || !(y->marks & MARK_HAS_IP_ID))
            return;
        asked++;
        for (size_t k = 0; k < base->count && k < 64; k++) {
            const struct observation *x = lane_at(base, k);
            if (!(x->tcp_flags & DP_TCP_SYN) || !(x->marks & MARK_HAS_IP_ID))
                return;
            equal += x->ip_id == y->ip_id;
        }
    }
    like->ids = asked;
    like->equal_ids = equal;
}

static void compare_fields(struct pairing *p, struct flow *flow, int half, uint32_t base, uint32_t v)
{
    const struct half *h = &flow->half[half];
    struct likeness like;
    strands_compare(&p->first, &p->second, 0, &like);
    pairing_compare_controls(&h->control[base], &h->control[v], &like);
    compare_syn_stamps(&h->data[base], &h->data[v], &like);
    compare_syn_stamp(&h->data[base], &h->data[v], &like);
    compare_copies(&h->data[base], &h->data[v], &like);
    compare_syn_ids(&h->data[base], &h->data[v], &like);
    align_fields(p->l, flow, half, base, v, &like);
    flow->views[v].compared[half] = like.same >= ENOUGH;
}

/* ---- views ---- */

static uint32_t apart(uint32_t a, uint32_t b)
{
    return a < b ? b - a : a - b;
}

/* The vantage point of the same leg that a view is compared with: the nearest that is aligned already, else
 * the lowest. Of those that saw data, where it did. */
static uint32_t base_of(const struct dp_locate *l, const struct flow *flow, int half, uint32_t v)
{
    const struct half *h = &flow->half[half];
    uint32_t base = NO_VANTAGE;
    bool aligned = false;
    for (uint32_t i = 0; i < l->vantage_count; i++) {
        const struct view *view = &flow->views[i];
        bool saw = h->data[v].seen ? h->data[i].seen != 0 : h->control[i].seen != 0;
        if (!flow->seen_at[i] || view->leg != flow->views[v].leg || !saw || (aligned && !view->aligned[half]))
            continue;
        if (i != v && view->aligned[half] && (!aligned || apart(i, v) < apart(base, v))) {
            base = i;
            aligned = true;
        } else if (base == NO_VANTAGE) {
            base = i;
        }
    }
    return base;
}

/* The first point that saw data: those that saw none are compared with it from now on. */
static void set_base(struct dp_locate *l, struct flow *flow, int half, uint32_t v)
{
    for (uint32_t i = 0; i < l->vantage_count; i++)
        if (flow->seen_at[i] && flow->views[i].leg == flow->views[v].leg) {
            flow->views[i].aligned[half] = i == v;
            flow->views[i].tried[half] = 0;
        }
    flow->views[v].compared[half] = true;
}

/* A half of which a point may have seen nothing but what answers it. */
static int align_by_answers(struct pairing *p, struct flow *flow, int half, uint32_t v)
{
    const struct half *answers = &flow->half[1 - half];
    struct view *view = &flow->views[v];
    uint32_t base = NO_VANTAGE;
    for (uint32_t i = 0; i < p->l->vantage_count; i++)
        if (i != v && flow->seen_at[i] && flow->views[i].leg == view->leg && flow->views[i].aligned[half] &&
            flow->views[i].aligned[1 - half] && flow->half[half].acks[i].count &&
            (base == NO_VANTAGE || apart(i, v) < apart(base, v)))
            base = i;
    if (base == NO_VANTAGE || !view->aligned[1 - half] || flow->half[half].acks[v].count == 0)
        return DP_OK;
    int code = strand_take(&answers->data[base], &p->first);
    if (code == DP_OK)
        code = strand_take(&answers->data[v], &p->second);
    if (code)
        return code;
    struct likeness like;
    int64_t by = 0;
    strands_compare(&p->first, &p->second, 0, &like);
    bool found = pairing_answer_shift(&flow->half[half].acks[base], &flow->half[half].acks[v], like.lags,
                                      like.lag_count, &by);
    const struct observation *x = strand_syn(&answers->data[base]), *y = strand_syn(&answers->data[v]);
    if (!found && x && y && x->start == y->start)
        found = pairing_answer_shift(&flow->half[half].acks[base], &flow->half[half].acks[v],
                                     &(struct lag){x->ts_ns, y->ts_ns}, 1, &by);
    if (found)
        settle_numbers(p->l, flow, half, base, v, by);
    return DP_OK;
}

/* As nearly all flows are: the first packets show at the same numbers. */
static int at_first_glance(struct pairing *p, struct flow *flow, int half, uint32_t base, uint32_t v)
{
    const struct half *h = &flow->half[half];
    int code = strand_glance(&h->data[base], &p->first);
    if (code == DP_OK)
        code = strand_glance(&h->data[v], &p->second);
    if (code)
        return code;
    struct likeness like;
    strands_compare(&p->first, &p->second, 0, &like);
    if (like.same < ENOUGH || like.different)
        return DP_OK;
    flow->views[v].aligned[half] = true;
    compare_fields(p, flow, half, base, v);
    return DP_OK;
}

#define FEW 32 /* packets: each one more may tell */

static int align_view(struct pairing *p, struct flow *flow, int half, uint32_t v)
{
    struct half *h = &flow->half[half];
    struct view *view = &flow->views[v];
    uint64_t there = h->data[v].seen + h->control[v].seen;
    uint64_t again_at = view->tried[half] < FEW ? view->tried[half] + 1 : 2 * view->tried[half];
    if ((view->aligned[half] && view->compared[half]) || there == 0 || there < again_at)
        return DP_OK;
    uint32_t base = base_of(p->l, flow, half, v);
    if (base == v) {
        set_base(p->l, flow, half, v);
        return DP_OK;
    }
    view->tried[half] = there;
    int code = at_first_glance(p, flow, half, base, v);
    if (code || view->compared[half])
        return code;
    code = strand_take(&h->data[base], &p->first);
    if (code == DP_OK)
        code = strand_take(&h->data[v], &p->second);
    if (code == DP_OK && !view->aligned[half])
        code = align_by_payload(p, flow, half, base, v);
    if (code == DP_OK && !view->aligned[half])
        align_by_controls(p, flow, half, base, v);
    if (code == DP_OK && view->aligned[half])
        compare_fields(p, flow, half, base, v);
    return code;
}

/* One pass over all views. *ret_more: numbers were found that may tell of others. */
static int align_all(struct pairing *p, struct flow *flow, bool *ret_more)
{
    for (int half = 0; half < 2; half++)
        for (uint32_t v = 0; v < p->l->vantage_count; v++) {
            struct view *view = &flow->views[v];
            bool before = view->aligned[half];
            uint32_t shift = view->shift[half];
            if (!flow->seen_at[v])
                continue;
            int code = align_view(p, flow, half, v);
            if (code == DP_OK && !view->aligned[half])
                code = align_by_answers(p, flow, half, v);
            if (code)
                return code;
            if (before || !view->aligned[half] || (shift == view->shift[half] && view->aligned[1 - half]))
                continue;
            *ret_more = true; /* the other half's packets can be recognised by this one's numbers */
            view->tried[1 - half] = 0;
            view->compared[half] = view->compared[1 - half] = false;
        }
    return DP_OK;
}

#define PASSES 3

int pairing_align(struct pairing *p, struct flow *flow)
{
    bool more = flow->proto == 6;
    for (int pass = 0; pass < PASSES && more; pass++) {
        more = false;
        int code = align_all(p, flow, &more);
        if (code)
            return code;
    }
    return DP_OK;
}
