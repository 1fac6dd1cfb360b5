/* Connections that carry on what others brought, and what a report says of them. */
#include "collector/locate/relays.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "collector/locate/grow.h"

#define VEILED_CONFIDENCE 0.8
#define OVERDUE_CONFIDENCE 0.3 /* a relay may hold a mail for reasons of its own */

int relays_add(struct relays *relays, uint32_t from, uint32_t to, bool veiled)
{
    for (size_t i = 0; i < relays->count; i++)
        if (relays->items[i].from == from && relays->items[i].to == to)
            return DP_OK;
    int code = dp_grow(&relays->items, &relays->room, relays->count + 1, sizeof *relays->items);
    if (code == DP_OK)
        relays->items[relays->count++] = (struct relayed){.from = from, .to = to, .veiled = veiled};
    return code;
}

void relays_free(struct relays *relays)
{
    free(relays->items);
    free(relays->kept);
}

static void span_of(const struct dp_locate *l, const struct flow *flow, uint32_t *ret_low, uint32_t *ret_high)
{
    *ret_low = NO_VANTAGE;
    *ret_high = 0;
    for (uint32_t v = 0; v < l->vantage_count; v++)
        if (flow->seen_at[v]) {
            *ret_low = *ret_low == NO_VANTAGE ? v : *ret_low;
            *ret_high = v;
        }
}

bool relays_apart(const struct dp_locate *l, const struct flow *a, const struct flow *b,
                  uint32_t *ret_segment)
{
    uint32_t low[2], high[2];
    span_of(l, a, &low[0], &high[0]);
    span_of(l, b, &low[1], &high[1]);
    if (low[0] == NO_VANTAGE || low[1] == NO_VANTAGE || (high[0] >= low[1] && high[1] >= low[0]))
        return false;
    *ret_segment = high[0] < low[1] ? high[0] : high[1];
    return true;
}

int relays_find(struct dp_locate *l)
{
    int code = mails_pair(l);
    return code ? code : veiled_pair(l);
}

const struct flow *relays_other(const struct dp_locate *l, const struct flow *flow, uint32_t vantage)
{
    for (size_t i = 0; i < l->relays.count; i++) {
        const struct relayed *r = &l->relays.items[i];
        if (r->from != flow->id && r->to != flow->id)
            continue;
        const struct flow *other = l->flows[r->from == flow->id ? r->to : r->from];
        if (other->seen_at[vantage])
            return other;
    }
    return NULL;
}

bool relays_same_server(const struct flow *a, const struct flow *b)
{
    return a->endpoints.server_port == b->endpoints.server_port &&
           dp_addr_equal(&a->endpoints.server, &b->endpoints.server);
}

bool relays_end(const struct dp_locate *l, const struct flow *flow)
{
    for (size_t i = 0; i < l->relays.count; i++) {
        const struct relayed *r = &l->relays.items[i];
        if (r->from == flow->id || r->to == flow->id || relays_same_server(l->flows[r->from], flow))
            return true;
    }
    return false;
}

bool relays_cross(const struct dp_locate *l, uint32_t segment)
{
    for (size_t i = 0; i < l->relays.count; i++) {
        const struct flow *from = l->flows[l->relays.items[i].from], *to = l->flows[l->relays.items[i].to];
        uint32_t low[2], high[2];
        span_of(l, from, &low[0], &high[0]);
        span_of(l, to, &low[1], &high[1]);
        uint32_t near = high[0] < low[1] ? high[0] : high[1], far = high[0] < low[1] ? low[1] : low[0];
        if (near <= segment && segment < far)
            return true;
    }
    return false;
}

/* ---- what the report says ---- */

static const struct relayed *relayed_of(const struct dp_locate *l, const struct dp_finding *f)
{
    for (size_t i = 0; i < l->relays.count; i++)
        for (size_t k = 0; k < f->flow_count; k++) {
            const struct relayed *r = &l->relays.items[i];
            if (r->from + 1 == f->flows[k] || r->to + 1 == f->flows[k])
                return r;
        }
    return NULL;
}

static uint32_t seam_of(const struct dp_locate *l, const struct relayed *r)
{
    uint32_t segment = 0;
    (void)relays_apart(l, l->flows[r->from], l->flows[r->to], &segment);
    return segment;
}

/* Replaces a text by itself and more. */
static int append(char **text, const char *more)
{
    char *all = text_format("%s %s", *text, more);
    if (!all)
        return DP_ERR_NOMEM;
    free(*text);
    *text = all;
    return DP_OK;
}

static int explain(const struct dp_locate *l, struct dp_finding *f)
{
    const struct relayed *r = relayed_of(l, f);
    if (!r)
        return DP_OK;
    uint32_t segment = seam_of(l, r);
    const char *near = l->vantages[segment].name, *far = l->vantages[segment + 1].name;
    char *more = r->veiled
                     ? text_format("Between %s and %s a host ends these connections and encrypts anew: the "
                                   "ones on either side of it have no bytes in common and were put together "
                                   "by timing and volume only.",
                                   near, far)
                     : text_format("A mail relay between %s and %s ends these connections; its mails go on "
                                   "in connections of its own.",
                                   near, far);
    int code = more ? append(&f->summary, more) : DP_ERR_NOMEM;
    free(more);
    if (r->veiled)
        f->confidence = fmin(f->confidence, VEILED_CONFIDENCE);
    return code;
}

static int overdue_text(const struct dp_locate *l, struct dp_finding *f, const struct kept_mail *first,
                        size_t count)
{
    const char *near = l->vantages[f->from].name, *far = l->vantages[f->to].name;
    f->summary = text_format(
        "%zu mail%s that a relay between %s and %s accepted %s not seen to leave it in the %.0f seconds "
        "until "
        "the captures ended, although %zu others left it and nothing behind it refused any. No packet was "
        "lost: the relay may hold %s (deferred, filtered), deliver %s elsewhere, or have discarded %s.",
        count, count == 1 ? "" : "s", near, far, count == 1 ? "was" : "were",
        (double)(first->until_ns - first->t_ns) / 1e9, l->relays.items[first->relay].mails,
        count == 1 ? "it" : "them", count == 1 ? "it" : "them", count == 1 ? "it" : "them");
    f->next_step = text_format("Look at the relay's queue (postqueue -p) and in its log for what it accepted "
                               "from this session's address then, and what it says of that mail's queue id.");
    return f->summary && f->next_step ? DP_OK : DP_ERR_NOMEM;
}

static void list_once(struct dp_finding *f, uint32_t id)
{
    for (size_t i = 0; i < f->flow_count; i++)
        if (f->flows[i] == id)
            return;
    f->flows[f->flow_count++] = id;
}

/* The segment behind which the mails of a flow go on, and which way. */
static void place_of(const struct dp_locate *l, const struct flow *flow, struct dp_finding *f)
{
    f->direction = half_forward(flow, 0) ? DP_FORWARD : DP_REVERSE;
    uint32_t low, high;
    span_of(l, flow, &low, &high);
    f->from = (int)(f->direction == DP_FORWARD ? high : low - 1);
    f->to = f->from + 1;
}

/* Of one relay. */
static int draw_overdue(struct dp_locate *l, uint32_t relay, struct dp_report *report)
{
    const struct kept_mail *first = NULL;
    size_t count = 0;
    for (size_t i = 0; i < l->relays.kept_count; i++) {
        const struct kept_mail *k = &l->relays.kept[i];
        if (!k->overdue || k->relay != relay)
            continue;
        count++;
        if (!first || k->t_ns < first->t_ns)
            first = k;
    }
    if (!first)
        return DP_OK;
    struct dp_finding *grown =
        realloc(report->findings, (report->finding_count + 1) * sizeof *report->findings);
    if (!grown)
        return DP_ERR_NOMEM;
    report->findings = grown;
    struct dp_finding *f = &grown[report->finding_count++];
    *f = (struct dp_finding){.code = DP_CODE_STALL,
                             .confidence = OVERDUE_CONFIDENCE,
                             .flows = calloc(count, sizeof *f->flows),
                             .first_ns = first->t_ns,
                             .last_ns = first->until_ns};
    if (!f->flows)
        return DP_ERR_NOMEM;
    for (size_t i = 0; i < l->relays.kept_count; i++)
        if (l->relays.kept[i].overdue && l->relays.kept[i].relay == relay)
            list_once(f, l->relays.kept[i].flow + 1);
    place_of(l, l->flows[first->flow], f);
    return overdue_text(l, f, first, count);
}

int relays_draw(struct dp_locate *l, struct dp_report *report)
{
    int code = DP_OK;
    for (size_t i = 0; i < report->finding_count && code == DP_OK; i++)
        code = explain(l, &report->findings[i]);
    for (uint32_t i = 0; i < l->relays.count && code == DP_OK; i++)
        if (l->relays.items[i].kept)
            code = draw_overdue(l, i, report);
    return code;
}

/* What is known of the mails of one relay; NULL: no memory. */
static char *count_text(const struct relayed *r, const char *near)
{
    if (r->kept)
        return text_format("Of %zu mail%s that a mail relay behind %s took over, %zu had not been seen to "
                           "leave it when the captures ended: it may hold them, which is no loss (see "
                           "postqueue -p there).",
                           r->mails + r->kept, r->mails + r->kept == 1 ? "" : "s", near, r->kept);
    if (r->mails == 1)
        return text_format("A mail relay behind %s took over 1 mail, and it left.", near);
    return text_format("A mail relay behind %s took over %zu mails, and all of them left it.", near,
                       r->mails);
}

static int tell_note(char **summary, char *note)
{
    int code = note ? append(summary, note) : DP_ERR_NOMEM;
    free(note);
    return code;
}

int relays_tell(const struct dp_locate *l, char **summary)
{
    const struct relays *r = &l->relays;
    bool counted = false;
    int code = DP_OK;
    for (size_t i = 0; i < r->count && code == DP_OK; i++)
        if (r->items[i].mails || r->items[i].kept) {
            counted = true;
            code = tell_note(summary, count_text(&r->items[i], l->vantages[seam_of(l, &r->items[i])].name));
        }
    if (r->count == 0 || counted)
        return code;
    const char *near = l->vantages[seam_of(l, &r->items[0])].name;
    return tell_note(
        summary,
        r->items[0].veiled
            ? text_format("The host behind %s encrypts anew: the connections on either side of it have no "
                          "bytes in common and were put together by timing and volume only, so whether all "
                          "content went on in it is not known.",
                          near)
            : text_format("A mail relay behind %s names no queue ids in its replies: some of its mails were "
                          "seen to leave it, whether all did is not known.",
                          near));
}
