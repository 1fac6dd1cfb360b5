/* Mails through a relay: one connection brings them, others carry them on, later, in another order, with more
 * headers in front. A relay names its queue id in its reply, and again in the Received line that it adds; the
 * Message-ID stays as it was. What was taken over and never seen to leave is no loss by itself: relays hold
 * mail. */
#include <stdlib.h>

#include "collector/locate/grow.h"
#include "collector/locate/relays.h"

#define SHARED_MOST 64            /* flows that an id in common still tells something of */
#define PATIENCE_NS 20000000000LL /* a relay that can send does so sooner, as a rule */
#define PATIENCE_TRANSITS 10      /* ... by far, as the others went */
#define OVERTAKEN_LEAST 3         /* later mails that left before it */
#define STAGES_SURE 256           /* of more the first ones may be forgotten */

struct tag {
    uint64_t value;
    int64_t t_ns; /* reference clock */
    uint32_t flow;
    uint8_t kind;   /* dp_note_kind */
    bool message;   /* a Message-ID, else an id of some relay's queue */
    bool goes_on;   /* another flow carries it on */
    int64_t out_ns; /* when that was; of the first */
};

struct tags {
    struct tag *items;
    size_t count, room;
};

static int gather(const struct dp_locate *l, struct tags *tags)
{
    for (uint32_t i = 0; i < l->flow_count; i++) {
        const struct flow *flow = l->flows[i];
        for (size_t k = 0; k < flow->mail_count; k++) {
            const struct mail_mark *m = &flow->mails[k];
            if ((m->kind == DP_NOTE_QUEUE_ID) != (m->half == 1))
                continue;
            int code = dp_grow(&tags->items, &tags->room, tags->count + 1, sizeof *tags->items);
            if (code)
                return code;
            tags->items[tags->count++] = (struct tag){.value = m->value,
                                                      .t_ns = to_reference(l, m->vantage, m->ts_ns),
                                                      .flow = i,
                                                      .kind = m->kind,
                                                      .message = m->kind == DP_NOTE_MESSAGE_ID};
        }
    }
    return DP_OK;
}

static int by_value(const void *a, const void *b)
{
    const struct tag *x = a, *y = b;
    if (x->message != y->message)
        return x->message ? 1 : -1;
    if (x->value != y->value)
        return x->value < y->value ? -1 : 1;
    if (x->flow != y->flow)
        return x->flow < y->flow ? -1 : 1;
    return x->t_ns < y->t_ns ? -1 : x->t_ns > y->t_ns;
}

/* Whether mails of `from` can go on in `to`: the server of the one and the client of the other lie towards
 * each other. */
static bool follows(const struct dp_locate *l, const struct flow *from, const struct flow *to)
{
    uint32_t segment = 0;
    if (!relays_apart(l, from, to, &segment))
        return false;
    bool from_near = from->seen_at[segment];
    return (from->guessed_orientation || half_forward(from, 0) == from_near) &&
           (to->guessed_orientation || half_forward(to, 0) == from_near);
}

static int pair(struct dp_locate *l, struct tag *in, const struct tag *out)
{
    bool right =
        in->message ? in->t_ns < out->t_ns : in->kind == DP_NOTE_QUEUE_ID && out->kind == DP_NOTE_RECEIVED_ID;
    if (!right || in->flow == out->flow || !follows(l, l->flows[in->flow], l->flows[out->flow]))
        return DP_OK;
    if (!in->goes_on || out->t_ns < in->out_ns)
        in->out_ns = out->t_ns;
    in->goes_on = true;
    return relays_add(&l->relays, in->flow, out->flow, false);
}

static int pair_all(struct dp_locate *l, struct tags *tags)
{
    struct tag *t = tags->items;
    for (size_t i = 0, j; i < tags->count; i = j) {
        for (j = i + 1; j < tags->count && t[j].message == t[i].message && t[j].value == t[i].value; j++)
            ;
        for (size_t a = i; a < j && j - i <= SHARED_MOST; a++)
            for (size_t b = i; b < j; b++) {
                int code = pair(l, &t[a], &t[b]);
                if (code)
                    return code;
            }
    }
    return DP_OK;
}

/* ---- what did not come out ---- */

static int by_flow_and_time(const void *a, const void *b)
{
    const struct tag *x = a, *y = b;
    if (x->flow != y->flow)
        return x->flow < y->flow ? -1 : 1;
    if (x->t_ns != y->t_ns)
        return x->t_ns < y->t_ns ? -1 : 1;
    return (int)x->kind - (int)y->kind;
}

/* A mail that a host took over came out if either of its ids did: of the Message-IDs of its connection its
 * own is the last before the reply. */
static void settle_ids(struct tags *tags)
{
    const struct tag *message = NULL;
    for (size_t i = 0; i < tags->count; i++) {
        struct tag *t = &tags->items[i];
        if (message && message->flow != t->flow)
            message = NULL;
        if (t->message) {
            message = t;
        } else if (t->kind == DP_NOTE_QUEUE_ID) {
            if (message && message->goes_on && !t->goes_on) {
                t->goes_on = true;
                t->out_ns = message->out_ns;
            }
            message = NULL;
        }
    }
}

/* A flow that goes to a host that is known to hand mails on, by the flow that told so; NULL: it does not. */
static struct relayed *relay_of(const struct dp_locate *l, const struct flow *flow)
{
    for (size_t i = 0; i < l->relays.count; i++) {
        struct relayed *r = &l->relays.items[i];
        if (!r->veiled && relays_same_server(l->flows[r->from], flow))
            return r;
    }
    return NULL;
}

/* Whether a connection shows an id of each mail in it. */
static bool all_read(const struct flow *flow)
{
    if (flow->mail_count == MAIL_MARKS_MOST || flow->stage_count >= STAGES_SURE)
        return false;
    for (size_t i = 0; i < flow->stage_count; i++) {
        const struct stage_mark *s = &flow->stages[i];
        uint64_t next = UINT64_MAX;
        bool read = false;
        if (s->app == DP_SMTP_STARTTLS)
            return false;
        if (s->app != DP_SMTP_CONTENT || s->half != 0)
            continue;
        for (size_t k = 0; k < flow->stage_count; k++) {
            const struct stage_mark *other = &flow->stages[k];
            if (other->app == DP_SMTP_CONTENT && other->half == 0 && other->position > s->position &&
                other->position < next)
                next = other->position;
        }
        for (size_t k = 0; k < flow->mail_count; k++)
            read = read || (flow->mails[k].half == 0 && flow->mails[k].position >= s->position &&
                            flow->mails[k].position < next);
        if (!read)
            return false;
    }
    return true;
}

/* Whether something behind the relay explains that it holds mail, or may have been the mail itself. */
static bool excused(const struct dp_locate *l, const struct flow *flow)
{
    uint32_t segment;
    for (size_t i = 0; i < l->flow_count; i++) {
        const struct flow *other = l->flows[i];
        if (other->proto == 6 && relays_apart(l, flow, other, &segment) &&
            (other->smtp_code >= 400 || !other->established || !all_read(other)))
            return true;
    }
    return false;
}

/* Until when everything behind the relay was watched. */
static int64_t watched_until(const struct dp_locate *l, const struct flow *behind)
{
    int64_t until = INT64_MAX;
    for (uint32_t v = 0; v < l->vantage_count; v++)
        if (behind->seen_at[v]) {
            int64_t end = capture_end(&l->vantages[v]);
            end = end < DP_LOCATE_STILL_RUNNING ? end : l->vantages[v].last_ns;
            end = to_reference(l, v, end);
            until = end < until ? end : until;
        }
    return until;
}

static bool overdue(const struct dp_locate *l, const struct tags *tags, const struct tag *t, int64_t until)
{
    int64_t longest = 0;
    size_t overtaken = 0;
    for (size_t i = 0; i < tags->count; i++) {
        const struct tag *other = &tags->items[i];
        if (other->kind != DP_NOTE_QUEUE_ID || !other->goes_on ||
            !relays_same_server(l->flows[other->flow], l->flows[t->flow]))
            continue; /* how fast another relay is says nothing of this one */
        longest = other->out_ns - other->t_ns > longest ? other->out_ns - other->t_ns : longest;
        overtaken += other->t_ns > t->t_ns;
    }
    return overtaken >= OVERTAKEN_LEAST && until - t->t_ns > PATIENCE_NS &&
           (until - t->t_ns) / PATIENCE_TRANSITS > longest && !excused(l, l->flows[t->flow]);
}

static int count_kept(struct dp_locate *l, struct tags *tags)
{
    struct relays *r = &l->relays;
    if (tags->count)
        qsort(tags->items, tags->count, sizeof *tags->items, by_flow_and_time);
    settle_ids(tags);
    for (size_t i = 0; i < tags->count; i++) {
        const struct tag *t = &tags->items[i];
        struct relayed *relay = t->kind == DP_NOTE_QUEUE_ID ? relay_of(l, l->flows[t->flow]) : NULL;
        if (!relay)
            continue;
        if (t->goes_on) {
            relay->mails++;
            continue;
        }
        int64_t until = watched_until(l, l->flows[relay->to]);
        int code = dp_grow(&r->kept, &r->kept_room, r->kept_count + 1, sizeof *r->kept);
        if (code)
            return code;
        relay->kept++;
        r->kept[r->kept_count++] = (struct kept_mail){.flow = t->flow,
                                                      .relay = (uint32_t)(relay - r->items),
                                                      .t_ns = t->t_ns,
                                                      .until_ns = until,
                                                      .overdue = overdue(l, tags, t, until)};
    }
    return DP_OK;
}

int mails_pair(struct dp_locate *l)
{
    struct tags tags = {0};
    int code = gather(l, &tags);
    if (tags.count)
        qsort(tags.items, tags.count, sizeof *tags.items, by_value);
    if (code == DP_OK)
        code = pair_all(l, &tags);
    if (code == DP_OK && l->relays.count)
        code = count_kept(l, &tags);
    free(tags.items);
    return code;
}
