/* Sums up many cases and prints what an engineer needs: rates, and the seeds to look at. */
#include <stdlib.h>

#include "tests/bench/campaign/campaign.h"

enum { LISTED = 40, BUCKETS = 6 };

struct list {
    uint64_t seeds[LISTED];
    uint64_t count;
};

struct row {
    uint64_t cases, decidable, located, direction, pattern_judged, pattern, counts, packets, bytes, undecided;
};

struct tally {
    struct row rows[FAULT_KINDS];
    struct list wrong_sure, wrong, false_alarms, not_located, elsewhere, patterns, counts, sizes, direction;
    uint64_t clean, clean_inconclusive, excused, records;
    struct {
        uint64_t all, right;
    } calibration[BUCKETS];
    double engine_ms, sim_ms, engine_most;
    uint64_t engine_most_seed;
};

static const double edges[BUCKETS] = {0.6, 0.75, 0.85, 0.9, 0.99, 1.01};

struct tally *tally_new(void)
{
    return calloc(1, sizeof(struct tally));
}

void tally_free(struct tally *t)
{
    free(t);
}

static void note(struct list *l, uint64_t seed, bool yes)
{
    if (!yes)
        return;
    if (l->count < LISTED)
        l->seeds[l->count] = seed;
    l->count++;
}

void tally_add(struct tally *t, const struct judgement *j)
{
    struct row *r = &t->rows[j->fault];
    bool found = j->located && j->direction_right;
    r->cases++;
    if (j->decidable) {
        r->decidable++;
        r->located += found;
        r->undecided += j->confidence < 0;
        note(&t->not_located, j->seed, j->confidence < 0);
        note(&t->elsewhere, j->seed, j->confidence >= 0 && !j->located);
        note(&t->direction, j->seed, j->located && !j->direction_right);
    }
    r->direction += j->decidable && j->direction_right;
    r->pattern_judged += j->pattern_judged;
    r->pattern += j->pattern_right;
    r->counts += j->counts_judged;
    r->packets += j->counts_judged && j->packets_right;
    r->bytes += j->counts_judged && j->bytes_right;
    note(&t->wrong_sure, j->seed, j->wrong_sure);
    note(&t->wrong, j->seed, j->wrong && !j->wrong_sure);
    note(&t->false_alarms, j->seed, j->false_alarm);
    note(&t->patterns, j->seed, j->pattern_judged && !j->pattern_right);
    note(&t->counts, j->seed, j->counts_judged && !(j->packets_right && j->bytes_right));
    note(&t->sizes, j->seed, !j->size_right);
    if (!j->lossy) {
        t->clean++;
        t->clean_inconclusive += j->inconclusive;
        t->excused += j->excused_alarm && !j->false_alarm;
    }
    for (int i = 0; i < BUCKETS && j->confidence >= 0; i++)
        if (j->confidence < edges[i]) {
            t->calibration[i].all++;
            t->calibration[i].right += j->first_right;
            break;
        }
    t->engine_ms += j->engine_ms;
    t->sim_ms += j->sim_ms;
    t->records += j->records;
    if (j->engine_ms > t->engine_most) {
        t->engine_most = j->engine_ms;
        t->engine_most_seed = j->seed;
    }
}

static double percent(uint64_t part, uint64_t all)
{
    return all ? 100.0 * (double)part / (double)all : 100.0;
}

static void print_list(FILE *out, const char *what, const struct list *l)
{
    fprintf(out, "%-52s %llu", what, (unsigned long long)l->count);
    for (uint64_t i = 0; i < l->count && i < LISTED; i++)
        fprintf(out, "%s%llu", i ? " " : ": ", (unsigned long long)l->seeds[i]);
    fprintf(out, "%s\n", l->count > LISTED ? " ..." : "");
}

static void print_rows(FILE *out, const struct tally *t, struct row *sum)
{
    fprintf(out, "%-10s %6s %9s %9s %9s %9s %9s %9s\n", "fault", "cases", "decidable", "located", "undecided",
            "pattern", "packets", "bytes");
    for (int i = 0; i < FAULT_KINDS; i++) {
        const struct row *r = &t->rows[i];
        if (r->cases == 0)
            continue;
        fprintf(out, "%-10s %6llu %9llu %8.1f%% %9llu %8.1f%% %8.1f%% %8.1f%%\n", fault_names[i],
                (unsigned long long)r->cases, (unsigned long long)r->decidable,
                percent(r->located, r->decidable), (unsigned long long)r->undecided,
                percent(r->pattern, r->pattern_judged), percent(r->packets, r->counts),
                percent(r->bytes, r->counts));
        sum->cases += r->cases;
        sum->decidable += r->decidable;
        sum->located += r->located;
        sum->undecided += r->undecided;
        sum->pattern += r->pattern;
        sum->pattern_judged += r->pattern_judged;
        sum->packets += r->packets;
        sum->bytes += r->bytes;
        sum->counts += r->counts;
    }
    fprintf(out, "%-10s %6llu %9llu %8.1f%% %9llu %8.1f%% %8.1f%% %8.1f%%\n", "all",
            (unsigned long long)sum->cases, (unsigned long long)sum->decidable,
            percent(sum->located, sum->decidable), (unsigned long long)sum->undecided,
            percent(sum->pattern, sum->pattern_judged), percent(sum->packets, sum->counts),
            percent(sum->bytes, sum->counts));
}

int tally_print(FILE *out, const struct tally *t)
{
    struct row sum = {0};
    print_rows(out, t, &sum);
    fprintf(
        out,
        "\nclean cases %llu, of these inconclusive %llu, unsure about packets that a capture missed %llu\n",
        (unsigned long long)t->clean, (unsigned long long)t->clean_inconclusive,
        (unsigned long long)t->excused);
    print_list(out, "WRONG with confidence of 0.9 or more", &t->wrong_sure);
    print_list(out, "wrong with less", &t->wrong);
    print_list(out, "false alarms on clean cases", &t->false_alarms);
    print_list(out, "decidable, but nothing found", &t->not_located);
    print_list(out, "decidable, but the first finding is elsewhere", &t->elsewhere);
    print_list(out, "decidable, but the wrong direction", &t->direction);
    print_list(out, "wrong pattern", &t->patterns);
    print_list(out, "wrong size bound", &t->sizes);
    print_list(out, "wrong counts", &t->counts);
    fprintf(out, "\nconfidence of the first finding against truth\n");
    for (int i = 0; i < BUCKETS; i++)
        if (t->calibration[i].all)
            fprintf(out, "  %.2f to %.2f: %5llu findings, %.1f%% right\n", i ? edges[i - 1] : 0,
                    edges[i] > 1 ? 1 : edges[i], (unsigned long long)t->calibration[i].all,
                    percent(t->calibration[i].right, t->calibration[i].all));
    double cases = sum.cases ? (double)sum.cases : 1;
    fprintf(out,
            "\ntime per case: simulation %.1f ms, engine %.1f ms (most %.0f ms, seed %llu); %.0f records\n",
            t->sim_ms / cases, t->engine_ms / cases, t->engine_most, (unsigned long long)t->engine_most_seed,
            (double)t->records / cases);
    bool met =
        t->wrong_sure.count == 0 && t->false_alarms.count == 0 && percent(sum.located, sum.decidable) >= 97;
    fprintf(out, "goals %s\n", met ? "met" : "NOT met");
    return met ? 0 : 1;
}
