/* Captures that show each packet twice: at a bridge and its port, or at all interfaces of a host at once. The
 * second sighting tells nothing new, and would look like a copy that was lost behind it. */
#include "collector/locate/engine.h"

#define APART_NS 200000LL /* both are taken on one packet's way through one host */
#define BACK 64           /* observations between them, at most */
#define SURE 64           /* packets of each half that leave no doubt */
#define ENOUGH 6          /* ... that are looked at, at least */

/* Whether two sightings of one point are the same in all that it recorded. */
static bool alike(const struct observation *a, const struct observation *b)
{
    return a->start == b->start && a->span == b->span && a->ip_id == b->ip_id && a->tsval == b->tsval &&
           a->hash == b->hash && a->hash_len == b->hash_len && a->ip_len == b->ip_len && a->ttl == b->ttl &&
           a->tcp_flags == b->tcp_flags && a->mss == b->mss && a->payload == b->payload;
}

/* The last few observations of a lane that may still be seen again. */
struct recent {
    struct observation *item[BACK];
    size_t count;
};

static struct observation *original_of(const struct recent *r, const struct observation *o)
{
    size_t oldest = r->count > BACK ? r->count - BACK : 0;
    for (size_t i = r->count; i-- > oldest;) {
        struct observation *x = r->item[i % BACK];
        int64_t apart = o->ts_ns - x->ts_ns;
        if (apart > APART_NS)
            return NULL;
        if (apart >= 0 && !(x->marks & MARK_ECHOED) && alike(x, o))
            return x;
    }
    return NULL;
}

/* ---- does a point show all twice? ---- */

static void look(struct lane *lane, uint64_t most, uint64_t *ret_looked, uint64_t *ret_echoes)
{
    struct observation *o, *x;
    struct recent recent = {.count = 0};
    uint64_t looked = 0, echoes = 0;
    struct lane_cursor cursor = lane_from(lane, 0);
    for (; looked < most && (o = lane_next(&cursor)) != NULL; looked++) {
        x = original_of(&recent, o);
        if (x) {
            x->marks |= MARK_ECHOED;
            echoes++;
        } else {
            recent.item[recent.count++ % BACK] = o;
        }
    }
    for (cursor = lane_from(lane, 0); (o = lane_next(&cursor)) != NULL;)
        o->marks &= (uint16_t)~MARK_ECHOED;
    *ret_looked += looked;
    *ret_echoes += echoes;
}

/* Both halves, since a host that sends a packet out twice does so in one direction. A few sightings may be
 * missing: the capture missed them, or they are still to come. */
static enum echoing judge(const uint64_t looked[2], const uint64_t echoes[2])
{
    bool all = true, sure = true;
    for (int half = 0; half < 2; half++) {
        all = all && looked[half] >= ENOUGH && echoes[half] * 20 >= looked[half] * 9;
        sure = sure && looked[half] >= SURE;
        if (looked[half] >= SURE && echoes[half] * 20 < looked[half] * 9)
            return ECHOES_NONE;
    }
    return all ? ECHOES_ALL : sure ? ECHOES_NONE : ECHOES_UNKNOWN;
}

static void look_at_point(struct dp_locate *l, uint32_t vantage)
{
    uint64_t looked[2] = {0}, echoes[2] = {0};
    for (size_t i = 0; i < l->waiting_count; i++)
        for (int half = 0; half < 2; half++) {
            struct half *h = &l->waiting[i]->half[half];
            look(&h->data[vantage], SURE, &looked[half], &echoes[half]);
            look(&h->control[vantage], SURE, &looked[half], &echoes[half]);
            if (looked[0] >= SURE * SURE && looked[1] >= SURE * SURE)
                i = l->waiting_count - 1;
        }
    l->vantages[vantage].echoing = judge(looked, echoes);
}

/* ---- forget the second sightings ---- */

static void drop(struct dp_locate *l, struct lane *lane)
{
    struct observation *o, *x;
    struct recent recent = {.count = 0};
    size_t before = lane->count;
    for (struct lane_cursor cursor = lane_from(lane, 0); (o = lane_next(&cursor)) != NULL;) {
        x = original_of(&recent, o);
        if (x) {
            x->marks |= MARK_ECHOED;
            o->marks |= MARK_SETTLED;
        } else {
            recent.item[recent.count++ % BACK] = o;
        }
    }
    lane_compact(l, lane);
    l->pending -= before - lane->count;
}

void echoes_drop(struct dp_locate *l)
{
    for (uint32_t v = 0; v < l->vantage_count; v++) {
        if (l->vantages[v].echoing == ECHOES_UNKNOWN)
            look_at_point(l, v);
        for (size_t i = 0; l->vantages[v].echoing == ECHOES_ALL && i < l->waiting_count; i++)
            for (int half = 0; half < 2; half++) {
                drop(l, &l->waiting[i]->half[half].data[v]);
                drop(l, &l->waiting[i]->half[half].control[v]);
            }
    }
}
