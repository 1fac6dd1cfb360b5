/* Compares what the engine says with what is true. docs/campaign.md says by which rules. */
#include <math.h>
#include <stdarg.h>
#include <string.h>

#include "tests/bench/campaign_sim/campaign.h"

/* The stretches that a finding names. */
static uint32_t low_stretch(const struct dp_finding *f)
{
    return f->from == DP_POINT_BEFORE ? 0 : (uint32_t)f->from + 1;
}

static uint32_t high_stretch(const struct sim *s, const struct dp_finding *f)
{
    return f->to == DP_POINT_BEYOND ? s->c.points : (uint32_t)f->to;
}

static bool outer(const struct sim *s, uint32_t stretch)
{
    return stretch == 0 || stretch == s->c.points;
}

static bool covers(const struct sim *s, const struct dp_finding *f, uint32_t stretch)
{
    return low_stretch(f) <= stretch && stretch <= high_stretch(s, f);
}

/* ---- findings ---- */

enum support { SUPPORT_NONE, SUPPORT_MISSES, SUPPORT_TRUE };

/* What only a proxy, or a host that rewrites, does. */
static bool at_proxy(const struct sim *s, const struct expected *t, const struct dp_finding *f)
{
    bool here = s->c.proxy.on && covers(s, f, s->c.proxy.stretch);
    if (f->code == DP_CODE_RESET)
        return here && s->proxy_resets;
    if (f->code == DP_CODE_REFUSED) /* by the kernel of a host whose proxy is gone */
        return here && s->proxy_state == PROXY_CRASHED;
    if (f->code == DP_CODE_STALL)
        return here && s->proxy_state == PROXY_FROZEN && t->any;
    if (f->code == DP_CODE_REWRITE && here && s->c.proxy.tls && s->c.proxy.transparent)
        return true; /* under the same names, the payload is another one */
    if (f->code == DP_CODE_REWRITE)
        for (uint32_t i = low_stretch(f); i <= high_stretch(s, f); i++)
            if ((s->options_removed | s->options_answered) >> i & 1)
                return true;
    return false;
}

/* Whether something really happened where a finding says. */
static enum support supported(const struct sim *s, const struct expected *t, const struct dp_finding *f)
{
    enum support best = SUPPORT_NONE;
    if (f->code == DP_CODE_REJECTED)
        return s->timed_out ? SUPPORT_TRUE : SUPPORT_NONE;
    for (uint32_t i = 0; f->code == DP_CODE_STALL && i < s->flow_count; i++)
        if (s->flows[i].zero_ns)
            return SUPPORT_TRUE;
    if (at_proxy(s, t, f))
        return SUPPORT_TRUE;
    if (f->code != DP_CODE_LOSS) {
        bool right = f->code == t->code && t->any;
        if (f->code == DP_CODE_RESET)
            right = right && covers(s, f, t->stretch);
        if (right)
            return SUPPORT_TRUE;
        return f->code == DP_CODE_RESET && !misses_nothing(s) ? SUPPORT_MISSES : SUPPORT_NONE;
    }
    for (uint32_t i = low_stretch(f); i <= high_stretch(s, f); i++)
        for (int d = 0; d < 2; d++) {
            const struct place_truth *p = &s->truth[i][d];
            if (d != (int)f->direction && !outer(s, i))
                continue;
            if (p->lost)
                return SUPPORT_TRUE;
            if (p->packets.most)
                best = SUPPORT_MISSES;
        }
    return best;
}

static void say(struct judgement *j, const char *format, ...) DP_PRINTF(2, 3);
static void say(struct judgement *j, const char *format, ...)
{
    size_t used = strlen(j->text);
    va_list args;
    va_start(args, format);
    vsnprintf(j->text + used, sizeof j->text - used, format, args);
    va_end(args);
}

static void describe(const struct sim *s, const struct expected *t, const struct dp_report *r,
                     struct judgement *j)
{
    const struct place_truth *p = &s->truth[t->stretch][t->dir];
    say(j, "truth %s", fault_names[s->c.fault]);
    if (t->any)
        say(j, " in %u %s: dropped %llu (certain %llu..%llu, evident %llu)", t->stretch,
            t->dir ? "rev" : "fwd", (unsigned long long)p->lost, (unsigned long long)p->packets.least,
            (unsigned long long)p->packets.most, (unsigned long long)p->evident);
    else
        say(j, " (nothing happened)");
    say(j, "; engine %s:", dp_code_name(r->verdict));
    for (size_t i = 0; i < r->finding_count && i < 5; i++) {
        const struct dp_finding *f = &r->findings[i];
        const char *pattern = dp_pattern_name(f->pattern);
        say(j, " [%s %u-%u %s %s %llu p %.3f]", dp_code_name(f->code), low_stretch(f), high_stretch(s, f),
            f->direction ? "rev" : "fwd", pattern ? pattern : "-", (unsigned long long)f->lost_packets,
            f->confidence);
    }
}

/* ---- patterns and counts ---- */

/* Bursts that lost only a packet or two each look like chance. */
static bool bursts_show(const struct sim *s)
{
    uint64_t hit = 0, lost = 0;
    for (uint32_t b = 0; b < s->burst_count; b++) {
        uint64_t here = 0;
        for (size_t i = 0; i < s->loss_count; i++)
            here += s->losses[i].t_ns >= s->bursts[b].from_ns && s->losses[i].t_ns < s->bursts[b].to_ns;
        hit += here > 0;
        lost += here;
    }
    return lost >= 6 * hit;
}

static bool pattern_fits(const struct sim *s, const struct place_truth *p, const struct dp_finding *f)
{
    enum dp_pattern x = f->pattern;
    switch (s->c.fault) {
    case FAULT_RANDOM:
        return x == DP_PATTERN_RANDOM;
    case FAULT_SIZE:
        return x == DP_PATTERN_SIZE || (p->passed_during + p->passed_after < 5 && x == DP_PATTERN_ALL);
    case FAULT_ALL:
        return x == DP_PATTERN_ALL || (p->passed == 0 && x == DP_PATTERN_HANDSHAKE);
    case FAULT_HANDSHAKE:
        return x == DP_PATTERN_HANDSHAKE;
    case FAULT_FLOWS:
        return x == DP_PATTERN_FLOWS || (p->passed_during < 10 && x == DP_PATTERN_ALL);
    case FAULT_SWALLOW:
        return x == DP_PATTERN_FLOWS || x == DP_PATTERN_ALL;
    case FAULT_FREEZE:
    case FAULT_DEAD:
        return x == DP_PATTERN_ALL || x == DP_PATTERN_FLOWS;
    case FAULT_BURST:
        return x == DP_PATTERN_BURST || (p->passed_after == 0 && x == DP_PATTERN_ALL);
    default:
        return x == DP_PATTERN_RATE;
    }
}

static void judge_counts(const struct sim *s, const struct dp_report *r, struct judgement *j)
{
    j->counts_judged = misses_nothing(s);
    j->packets_right = j->bytes_right = true;
    for (uint32_t i = 0; i < r->segment_count && j->counts_judged; i++)
        for (int d = 0; d < 2; d++) {
            const struct dp_segment_side *side = &r->segments[i].side[d];
            const struct place_truth *p = &s->truth[i + 1][d];
            bool packets = side->lost_packets >= p->packets.least && side->lost_packets <= p->packets.most;
            bool bytes = side->lost_bytes >= p->bytes.least && side->lost_bytes <= p->bytes.most;
            if (!packets || !bytes)
                say(j, " {%u %s: %llu/%llu, true %llu..%llu/%llu..%llu}", i + 1, d ? "rev" : "fwd",
                    (unsigned long long)side->lost_packets, (unsigned long long)side->lost_bytes,
                    (unsigned long long)p->packets.least, (unsigned long long)p->packets.most,
                    (unsigned long long)p->bytes.least, (unsigned long long)p->bytes.most);
            j->packets_right = j->packets_right && packets;
            j->bytes_right = j->bytes_right && bytes;
        }
}

static void judge_first(const struct sim *s, const struct expected *t, const struct dp_finding *f,
                        struct judgement *j)
{
    j->confidence = f->confidence;
    j->first_right = supported(s, t, f) == SUPPORT_TRUE;
    bool other = low_stretch(f) < MAX_STRETCHES && (t->others >> low_stretch(f) & 1);
    bool fits = f->code == t->code || (t->also && f->code == t->also);
    j->located = t->any && fits && (other || covers(s, f, t->stretch));
    j->direction_right = j->located && ((int)f->direction == t->dir || t->either_way || other);
    const struct place_truth *p = &s->truth[t->stretch][t->dir];
    j->pattern_judged = j->located && t->code == DP_CODE_LOSS && j->decidable && misses_nothing(s) &&
                        p->packets.least >= 15 && !outer(s, t->stretch) &&
                        (s->c.fault != FAULT_BURST || bursts_show(s));
    j->pattern_right = j->pattern_judged && pattern_fits(s, p, f);
    j->size_right =
        f->pattern != DP_PATTERN_SIZE || s->c.fault != FAULT_SIZE || f->size_over <= s->c.fault_size;
}

void judge(const struct sim *s, const struct dp_report *r, struct judgement *j)
{
    struct expected t = expect(s);
    *j = (struct judgement){.seed = s->c.seed, .fault = s->c.fault, .confidence = -1, .size_right = true};
    j->dimensions = config_dimensions(&s->c);
    for (uint32_t i = 0; i < s->c.points; i++)
        j->records += s->point[i].count;
    j->lossy = t.any;
    j->decidable = t.any && t.decidable;
    j->inconclusive = r->verdict == DP_CODE_INCONCLUSIVE;
    describe(s, &t, r, j);
    for (size_t i = 0; i < r->finding_count; i++) {
        const struct dp_finding *f = &r->findings[i];
        enum support support = supported(s, &t, f);
        bool sure = f->confidence >= 0.9;
        if (support == SUPPORT_TRUE)
            continue;
        if (support == SUPPORT_MISSES && !sure) {
            j->excused_alarm = true;
            continue;
        }
        j->wrong = true;
        j->wrong_sure = j->wrong_sure || sure;
        j->false_alarm = j->false_alarm || !t.any;
    }
    if (r->finding_count)
        judge_first(s, &t, &r->findings[0], j);
    judge_counts(s, r, j);
}
