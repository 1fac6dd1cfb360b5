/* Compares what the engine says with what is true. docs/campaign.md says by which rules. */
#include <math.h>
#include <stdarg.h>
#include <string.h>

#include "tests/bench/campaign/campaign.h"

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

/* ---- what is true ---- */

struct truth {
    bool any; /* something happened */
    enum dp_code code;
    uint32_t stretch;
    int dir;
    uint8_t others; /* bit i: something of the kind happened in stretch i too */
    bool decidable;
    bool either_way; /* the direction cannot be known */
};

static bool captures_at(const struct sim *s, uint32_t point, int64_t t)
{
    const struct point_config *c = &s->c.point[point];
    const struct point_sim *p = &s->point[point];
    return p->count && p->records[0].t_ns < t && p->records[p->count - 1].t_ns > t && c->miss == MISS_NONE;
}

static bool misses_nothing(const struct sim *s)
{
    for (uint32_t i = 0; i < s->c.points; i++)
        if (s->c.point[i].miss != MISS_NONE)
            return false;
    return true;
}

static void loss_truth(const struct sim *s, struct truth *t)
{
    const struct place_truth *p = &s->truth[t->stretch][t->dir];
    t->code = DP_CODE_LOSS;
    t->any = p->lost > 0;
    if (outer(s, t->stretch)) {
        t->decidable = p->evident >= 5;
        t->either_way = true;
        return;
    }
    uint64_t noise = 0;
    for (uint32_t i = 0; i <= s->c.points; i++)
        for (int d = 0; d < 2; d++)
            if (i != t->stretch || d != t->dir)
                noise += s->truth[i][d].packets.most;
    uint32_t down = t->dir == TO_FAR ? t->stretch : t->stretch - 1;
    uint64_t crossed = s->crossed[t->stretch][0] + s->crossed[t->stretch][1];
    t->decidable =
        p->packets.least >= 3 && p->packets.least > 2 * noise && s->point[down].count >= 5 && crossed >= 10;
}

static void end_truth(const struct sim *s, struct truth *t, enum fault_kind kind)
{
    for (uint32_t i = 0; i < s->c.flows; i++) {
        const struct flow_sim *f = &s->flows[i];
        bool at_server = kind == FAULT_REFUSED || f->stall_side == 1;
        if (kind == FAULT_REFUSED ? !f->refused || f->udp
                                  : f->zero_ns == 0 || s->end_ns - f->zero_ns < 3 * SECOND)
            continue;
        bool far = f->client_far != at_server;
        uint32_t point = far ? s->c.points - 1 : 0;
        t->any = true;
        t->stretch = far ? s->c.points : 0;
        t->others |= (uint8_t)(1u << t->stretch);
        int answer = far ? TO_NEAR : TO_FAR;
        t->dir = kind == FAULT_REFUSED ? answer : 1 - answer;
        int64_t when = kind == FAULT_REFUSED ? f->start_ns : f->zero_ns;
        int64_t until = kind == FAULT_REFUSED ? when + SECOND : when + 3 * SECOND;
        bool seen = misses_nothing(s) && when > s->c.point[point].from_ns && until < s->c.point[point].to_ns;
        t->decidable = t->decidable || seen;
    }
}

static struct truth truth_of(const struct sim *s)
{
    struct truth t = {.stretch = s->c.fault_stretch, .dir = s->c.fault_dir};
    switch (s->c.fault) {
    case FAULT_NONE:
        break;
    case FAULT_RESET:
        t.code = DP_CODE_RESET;
        t.any = s->resets_injected > 0;
        t.either_way = s->c.reset_both;
        t.decidable = t.any;
        for (uint32_t i = 0; i < s->c.points; i++)
            t.decidable = t.decidable && captures_at(s, i, s->reset_done_ns);
        break;
    case FAULT_REFUSED:
    case FAULT_STALL:
        t.code = s->c.fault == FAULT_STALL ? DP_CODE_STALL : DP_CODE_REFUSED;
        end_truth(s, &t, s->c.fault);
        break;
    default:
        loss_truth(s, &t);
        break;
    }
    return t;
}

/* ---- findings ---- */

enum support { SUPPORT_NONE, SUPPORT_MISSES, SUPPORT_TRUE };

/* Whether something really happened where a finding says. */
static enum support supported(const struct sim *s, const struct truth *t, const struct dp_finding *f)
{
    enum support best = SUPPORT_NONE;
    if (f->code == DP_CODE_REJECTED)
        return s->timed_out ? SUPPORT_TRUE : SUPPORT_NONE;
    for (uint32_t i = 0; f->code == DP_CODE_STALL && i < s->c.flows; i++)
        if (s->flows[i].zero_ns)
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

static void describe(const struct sim *s, const struct truth *t, const struct dp_report *r,
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

static void judge_first(const struct sim *s, const struct truth *t, const struct dp_finding *f,
                        struct judgement *j)
{
    j->confidence = f->confidence;
    j->first_right = supported(s, t, f) == SUPPORT_TRUE;
    bool other = low_stretch(f) < MAX_STRETCHES && (t->others >> low_stretch(f) & 1);
    j->located = t->any && f->code == t->code && (other || covers(s, f, t->stretch));
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
    struct truth t = truth_of(s);
    *j = (struct judgement){.seed = s->c.seed, .fault = s->c.fault, .confidence = -1, .size_right = true};
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
