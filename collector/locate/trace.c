/* Tells what the engine takes for one transmission, as it is settled. */
#include "collector/locate/engine.h"
#include "collector/locate/fate.h"

int trace_transmission(const struct dp_locate *l, const struct transmission *t, enum dp_fate fate)
{
    const struct half *h = &t->flow->half[t->half];
    struct dp_sighting seen[DP_LOCATE_MAX_VANTAGES];
    struct dp_transmission told = {.flow = t->flow->serial,
                                   .half = (uint8_t)t->half,
                                   .direction = direction_of(t),
                                   .has_bytes = t->end > t->start,
                                   .offset = t->end > t->start ? t->start - h->first_position : 0,
                                   .length = (uint32_t)(t->end - t->start),
                                   .duplicate = t->duplicate,
                                   .fate = fate,
                                   .seen = seen};
    for (uint32_t p = t->first; p <= t->last; p++) {
        const struct observation *o = t->seen[p];
        if (!o)
            continue;
        uint32_t v = vantage_at(l, told.direction, p);
        uint32_t number = o->span ? (uint32_t)o->start : o->hash;
        seen[told.seen_count++] =
            (struct dp_sighting){.vantage = v,
                                 .ts_ns = o->ts_ns,
                                 .seq = t->flow->proto == 6 ? number - t->flow->views[v].shift[t->half] : 0,
                                 .payload_len = o->payload,
                                 .ip_len = o->ip_len,
                                 .ip_id = o->ip_id,
                                 .tcp_flags = o->tcp_flags,
                                 .ttl = o->ttl};
    }
    return l->tell(l->tell_context, &told);
}
