/* Sums up many cases and prints what an engineer needs: rates, and the seeds to look at. */
#include <stdlib.h>

#include "tests/bench/campaign_sim/campaign.h"

enum { LISTED = 40, BUCKETS = 6 };

static const double edges[BUCKETS] = {0.6, 0.75, 0.85, 0.9, 0.99, 1.01};

struct list {
    uint64_t seeds[LISTED];
    uint64_t count;
};

struct calibration {
    struct {
        uint64_t all, right;
    } bucket[BUCKETS];
};

struct row {
    uint64_t cases, decidable, located, pattern_judged, pattern, counts, packets, bytes, undecided;
    uint64_t wrong_sure, wrong, false_alarms;
    struct calibration calibration;
};

struct tally {
    struct row rows[FAULT_KINDS], by_dimension[DIMENSIONS];
    struct list wrong_sure, wrong, false_alarms, not_located, elsewhere, patterns, counts, sizes, direction;
    uint64_t clean, clean_inconclusive, excused, records;
    double engine_ms, sim_ms, engine_most;
    uint64_t engine_most_seed;
};

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

static void add_row(struct row *r, const struct judgement *j)
{
    r->cases++;
    r->decidable += j->decidable;
    r->located += j->decidable && j->located && j->direction_right;
    r->undecided += j->decidable && j->confidence < 0;
    r->pattern_judged += j->pattern_judged;
    r->pattern += j->pattern_right;
    r->counts += j->counts_judged;
    r->packets += j->counts_judged && j->packets_right;
    r->bytes += j->counts_judged && j->bytes_right;
    r->wrong_sure += j->wrong_sure;
    r->wrong += j->wrong && !j->wrong_sure;
    r->false_alarms += j->false_alarm;
    for (int i = 0; i < BUCKETS && j->confidence >= 0; i++)
        if (j->confidence < edges[i]) {
            r->calibration.bucket[i].all++;
            r->calibration.bucket[i].right += j->first_right;
            break;
        }
}

void tally_add(struct tally *t, const struct judgement *j)
{
    add_row(&t->rows[j->fault], j);
    for (int i = 0; i < DIMENSIONS; i++)
        if (j->dimensions >> i & 1)
            add_row(&t->by_dimension[i], j);
    note(&t->not_located, j->seed, j->decidable && j->confidence < 0);
    note(&t->elsewhere, j->seed, j->decidable && j->confidence >= 0 && !j->located);
    note(&t->direction, j->seed, j->decidable && j->located && !j->direction_right);
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

static void print_row(FILE *out, const char *name, const struct row *r)
{
    if (r->cases)
        fprintf(out, "%-11s %6llu %9llu %8.1f%% %9llu %10llu %5llu %6llu %7.1f%% %7.1f%% %7.1f%%\n", name,
                (unsigned long long)r->cases, (unsigned long long)r->decidable,
                percent(r->located, r->decidable), (unsigned long long)r->undecided,
                (unsigned long long)r->wrong_sure, (unsigned long long)r->wrong,
                (unsigned long long)r->false_alarms, percent(r->pattern, r->pattern_judged),
                percent(r->packets, r->counts), percent(r->bytes, r->counts));
}

static void print_head(FILE *out, const char *what)
{
    fprintf(out, "%-11s %6s %9s %9s %9s %10s %5s %6s %8s %8s %8s\n", what, "cases", "decidable", "located",
            "undecided", "wrong-sure", "wrong", "false", "pattern", "packets", "bytes");
}

static void add_up(struct row *sum, const struct row *r)
{
    sum->cases += r->cases;
    sum->decidable += r->decidable;
    sum->located += r->located;
    sum->undecided += r->undecided;
    sum->wrong_sure += r->wrong_sure;
    sum->wrong += r->wrong;
    sum->false_alarms += r->false_alarms;
    sum->pattern += r->pattern;
    sum->pattern_judged += r->pattern_judged;
    sum->packets += r->packets;
    sum->bytes += r->bytes;
    sum->counts += r->counts;
    for (int i = 0; i < BUCKETS; i++) {
        sum->calibration.bucket[i].all += r->calibration.bucket[i].all;
        sum->calibration.bucket[i].right += r->calibration.bucket[i].right;
    }
}

static void print_rows(FILE *out, const struct tally *t, struct row *sum)
{
    print_head(out, "fault");
    for (int i = 0; i < FAULT_KINDS; i++) {
        print_row(out, fault_names[i], &t->rows[i]);
        add_up(sum, &t->rows[i]);
    }
    print_row(out, "all", sum);
    fprintf(out, "\n");
    print_head(out, "dimension");
    for (int i = 0; i < DIMENSIONS; i++)
        print_row(out, dimension_names[i], &t->by_dimension[i]);
}

static void print_calibration(FILE *out, const char *name, const struct row *r)
{
    if (r->cases == 0)
        return;
    fprintf(out, "  %-11s", name);
    for (int i = 0; i < BUCKETS; i++) {
        char text[32];
        snprintf(text, sizeof text, "%llu/%llu", (unsigned long long)r->calibration.bucket[i].right,
                 (unsigned long long)r->calibration.bucket[i].all);
        fprintf(out, " %10s", r->calibration.bucket[i].all ? text : "-");
    }
    fprintf(out, "\n");
}

static void print_calibrations(FILE *out, const struct tally *t, const struct row *sum)
{
    fprintf(out, "\nfirst findings that are right, of all with this confidence\n  %-11s", "");
    for (int i = 0; i < BUCKETS; i++)
        fprintf(out, "  %s%.2f", i ? "to " : "below ", edges[i] > 1 ? 1 : edges[i]);
    fprintf(out, "\n");
    for (int i = 0; i < DIMENSIONS; i++)
        print_calibration(out, dimension_names[i], &t->by_dimension[i]);
    print_calibration(out, "all", sum);
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
    print_calibrations(out, t, &sum);
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
