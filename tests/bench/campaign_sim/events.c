/* The queue of events (a binary heap) and the packets' memory. */
#include <stdlib.h>
#include <string.h>

#include "tests/bench/campaign_sim/sim.h"

enum { BLOCK = 512 };

void *grow(struct sim *s, void *items, size_t *room, size_t need, size_t size)
{
    if (need <= *room)
        return items;
    size_t more = *room ? *room * 2 : 64;
    while (more < need)
        more *= 2;
    void *grown = realloc(items, more * size);
    if (!grown) {
        s->failed = true;
        return NULL;
    }
    *room = more;
    return grown;
}

static bool earlier(const struct event *a, const struct event *b)
{
    return a->t_ns != b->t_ns ? a->t_ns < b->t_ns : a->order < b->order;
}

void sim_schedule(struct sim *s, int64_t t, enum event_kind kind, uint32_t a, uint32_t b, struct packet *p)
{
    struct event *items = grow(s, s->events, &s->event_room, s->event_count + 1, sizeof *items);
    if (!items)
        return;
    s->events = items;
    struct event e = {t < s->now ? s->now : t, s->order++, p, a, b, kind};
    size_t i = s->event_count++;
    while (i && earlier(&e, &items[(i - 1) / 2])) {
        items[i] = items[(i - 1) / 2];
        i = (i - 1) / 2;
    }
    items[i] = e;
}

bool sim_take(struct sim *s, struct event *ret_event)
{
    if (s->event_count == 0)
        return false;
    struct event *items = s->events;
    *ret_event = items[0];
    struct event e = items[--s->event_count];
    size_t i = 0, n = s->event_count;
    for (;;) {
        size_t child = 2 * i + 1;
        if (child >= n)
            break;
        if (child + 1 < n && earlier(&items[child + 1], &items[child]))
            child++;
        if (!earlier(&items[child], &e))
            break;
        items[i] = items[child];
        i = child;
    }
    items[i] = e;
    return true;
}

struct packet *packet_new(struct sim *s)
{
    struct packet *p = s->free_packets;
    if (p) {
        s->free_packets = p->next_free;
    } else {
        if (s->block_count == 0 || s->block_used == BLOCK) {
            void **blocks = realloc(s->blocks, (s->block_count + 1) * sizeof *blocks);
            if (!blocks)
                abort(); /* a test program: nothing to save */
            s->blocks = blocks;
            s->blocks[s->block_count] = calloc(BLOCK, sizeof(struct packet));
            if (!s->blocks[s->block_count])
                abort();
            s->block_count++;
            s->block_used = 0;
        }
        p = (struct packet *)s->blocks[s->block_count - 1] + s->block_used++;
    }
    *p = (struct packet){.last_record = NO_RECORD, .last_point = NO_POINT, .ttl = 64};
    return p;
}

void packet_free(struct sim *s, struct packet *p)
{
    p->next_free = s->free_packets;
    s->free_packets = p;
}
