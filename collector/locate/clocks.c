/* Fits every vantage point's clock to the reference. */
#include <math.h>
#include <stdlib.h>

#include "collector/locate/engine.h"

#define SOURCES DP_LOCATE_MAX_VANTAGES

static struct dp_clock_source source_of(const struct dp_locate *l, size_t known, size_t sought)
{
    size_t low = known < sought ? known : sought, high = known < sought ? sought : known;
    return (struct dp_clock_source){.pair = &l->clocks[low * l->vantage_count + high],
                                    .a_steps = &l->vantages[low].steps,
                                    .b_steps = &l->vantages[high].steps,
                                    .known_is_b = known > sought};
}

static void place(struct vantage *v, const struct vantage *from, const struct dp_clock_line *line)
{
    v->offset_ns = from->offset_ns + line->offset_ns;
    v->skew = from->skew + line->skew;
    v->error_ns = line->error_ns < 0 || from->error_ns < 0 ? -1 : from->error_ns + (int64_t)line->error_ns;
}

/* By the nearest placed one with which it shares packets of both directions. */
static int by_neighbour(struct dp_locate *l, const bool *placed, size_t index, bool *ret_done)
{
    *ret_done = false;
    for (size_t distance = 1; distance < l->vantage_count && !*ret_done; distance++)
        for (int side = 0; side < 2 && !*ret_done; side++) {
            size_t i = side ? index + distance : index - distance;
            if ((side ? i >= l->vantage_count : distance > index) || !placed[i])
                continue;
            struct dp_clock_source source = source_of(l, i, index);
            struct dp_clock_line line;
            source.origin_ns = l->reference_ns + (int64_t)l->vantages[i].offset_ns;
            int code = dp_clock_fit(&source, 1, &line);
            if (code)
                return code;
            if (!line.two_sided)
                continue;
            place(&l->vantages[index], &l->vantages[i], &line);
            *ret_done = true;
        }
    return DP_OK;
}

/* By all placed ones together: one may bound it from above and another one from below. */
static int by_all(struct dp_locate *l, const bool *placed, size_t index, bool *ret_done)
{
    struct dp_clock_source sources[SOURCES];
    struct dp_clock_line line;
    size_t count = 0;
    int64_t worst = 0;
    *ret_done = false;
    for (size_t i = 0; i < l->vantage_count; i++) {
        const struct vantage *known = &l->vantages[i];
        if (!placed[i] || i == index)
            continue;
        struct dp_clock_source source = source_of(l, i, index);
        if (source.pair->samples == 0)
            continue;
        source.offset_ns = known->offset_ns;
        source.skew = known->skew;
        source.origin_ns = l->reference_ns;
        sources[count++] = source;
        worst = known->error_ns > worst ? known->error_ns : worst;
    }
    int code = dp_clock_fit(sources, count, &line);
    if (code || !line.two_sided)
        return code;
    struct vantage reference = {.error_ns = worst};
    place(&l->vantages[index], &reference, &line);
    *ret_done = true;
    return DP_OK;
}

#define ONE_CLOCK_NS 1e6

/* By what little there is: packets of one direction, the agents' own measurement, or nothing. */
static int by_guess(struct dp_locate *l, size_t index)
{
    struct vantage *v = &l->vantages[index];
    if (v->has_hint) {
        v->offset_ns = (double)v->hint_ns;
        v->skew = 0;
        v->error_ns = v->hint_error_ns;
        return DP_OK;
    }
    const struct vantage *from = &l->vantages[v->host < index ? v->host : index - 1];
    /* One host has one clock, unless its packets show that it does not. */
    struct dp_clock_line line = {.error_ns = v->host < index ? 0 : -1}, own = line;
    for (size_t i = index; i-- > 0;) {
        struct dp_clock_source source = source_of(l, i, index);
        if (source.pair->samples == 0)
            continue;
        from = &l->vantages[i];
        source.origin_ns = l->reference_ns + (int64_t)from->offset_ns;
        int code = dp_clock_fit(&source, 1, &line);
        if (code)
            return code;
        break;
    }
    bool shared = v->host < index && from == &l->vantages[v->host] && fabs(line.offset_ns) < ONE_CLOCK_NS;
    place(v, from, shared ? &own : &line);
    return DP_OK;
}

static int fit_all(struct dp_locate *l)
{
    bool placed[DP_LOCATE_MAX_VANTAGES] = {true};
    for (bool progress = true; progress;) {
        progress = false;
        for (int together = 0; together < 2 && !progress; together++)
            for (size_t i = 1; i < l->vantage_count; i++) {
                bool done = false;
                int code = placed[i]  ? DP_OK
                           : together ? by_all(l, placed, i, &done)
                                      : by_neighbour(l, placed, i, &done);
                if (code)
                    return code;
                placed[i] = placed[i] || done;
                progress = progress || done;
            }
    }
    for (size_t i = 1; i < l->vantage_count; i++) {
        int code = placed[i] ? DP_OK : by_guess(l, i);
        if (code)
            return code;
    }
    return DP_OK;
}

int clocks_fit(struct dp_locate *l)
{
    l->reference_ns = l->vantages[0].any ? l->vantages[0].first_ns : 0;
    int code = DP_OK;
    if (!l->no_clock_correction) {
        code = steps_find(l);
        if (code == DP_OK)
            code = fit_all(l);
    }
    l->clocks_ready = true;
    return code;
}

bool clock_known(const struct dp_locate *l, size_t index)
{
    const struct vantage *v = &l->vantages[index];
    if (index == 0 || l->no_clock_correction || v->has_hint || v->packets == 0 || v->host < index)
        return true;
    for (size_t i = 0; i < l->vantage_count; i++)
        if (i != index &&
            l->clocks[i < index ? i * l->vantage_count + index : index * l->vantage_count + i].samples)
            return true;
    return false;
}
