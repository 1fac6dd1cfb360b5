/* campaign: many random cases against the locating engine. See docs/campaign.md. */
#include <getopt.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tests/bench/campaign_sim/campaign.h"

enum { CASE_SECONDS = 60 };

struct options {
    uint64_t runs, seed;
    bool verbose, lost, heavy, plain;
    unsigned jobs;
    const char *set, *pcap;
};

struct slot {
    struct judgement judgement;
    uint64_t seed;
    int state; /* 0 not begun, 1 begun, 2 judged, 3 failed */
};

struct board {
    atomic_uint_fast64_t next;
    struct slot slots[];
};

static double milliseconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

static void print_command(const struct sim *s, const char *folder)
{
    printf("droppoint locate");
    for (uint32_t i = 0; i < s->c.points; i++)
        printf(" %s=%s/%u.pcapng", s->c.point[i].name, folder, i);
    printf("\n");
}

/* The packets that the findings list, by time since the beginning, at the point that saw them last. */
static void print_lost(const struct sim *s, const struct dp_report *r)
{
    for (size_t i = 0; i < r->finding_count; i++) {
        const struct dp_finding *f = &r->findings[i];
        printf("  %s\n", f->summary);
        for (size_t k = 0; k < f->packet_count && k < 500; k++) {
            const struct dp_lost_packet *p = &f->packets[k];
            const struct point_config *c = &s->c.point[p->vantage];
            bool set = c->step_ns && p->ts_ns >= point_stamp(c, c->step_at_ns);
            double t =
                (double)(p->ts_ns - EPOCH - c->offset_ns - (set ? c->step_ns : 0)) / 1e9 / (1 + c->skew);
            printf("    %.6f s at %s flow %u seq %u len %u lost %u\n", t, c->name, p->flow, p->seq,
                   p->payload_len, p->lost_bytes);
        }
    }
}

static void print_truth(const struct sim *s)
{
    for (size_t i = 0; i < s->loss_count && i < 500; i++) {
        const struct loss *x = &s->losses[i];
        printf("  true loss %.6f s in %u %s flow %u%s half %u seq %u len %u flags %02x\n",
               (double)x->t_ns / 1e9, x->stretch, x->dir ? "rev" : "fwd", x->flow,
               s->flows[x->flow].udp ? " udp" : "", x->half,
               s->flows[x->flow].isn[x->half] + (uint32_t)x->seq, x->len, x->flags);
    }
}

static int run_case(const struct options *o, uint64_t seed, struct judgement *ret)
{
    struct config c;
    struct sim s;
    struct dp_report *report = NULL;
    config_draw(&c, seed, o->plain);
    if (o->heavy)
        config_make_heavy(&c);
    if (o->set && !config_override(&c, o->set))
        return DP_ERR_USAGE;
    double t0 = milliseconds();
    if (!sim_run(&s, &c, o->pcap)) {
        sim_free(&s);
        return DP_ERR_IO;
    }
    double t1 = milliseconds();
    int code = feed_engine(&s, &report);
    double t2 = milliseconds();
    if (code == DP_OK) {
        judge(&s, report, ret);
        ret->sim_ms = t1 - t0;
        ret->engine_ms = t2 - t1;
    }
    if (code == DP_OK && o->lost) {
        print_truth(&s);
        print_lost(&s, report);
    }
    if (o->pcap)
        print_command(&s, o->pcap);
    dp_report_free(report);
    sim_free(&s);
    return code;
}

static void worker(const struct options *o, struct board *board)
{
    uint64_t i;
    while ((i = atomic_fetch_add(&board->next, 1)) < o->runs) {
        struct slot *slot = &board->slots[i];
        slot->seed = o->seed + i;
        slot->state = 1;
        alarm(CASE_SECONDS);
        slot->state = run_case(o, slot->seed, &slot->judgement) == DP_OK ? 2 : 3;
    }
}

/* Each worker is a process: a case that crashes or hangs is told, and the others go on. */
static void run_all(const struct options *o, struct board *board)
{
    unsigned running = 0;
    for (;;) {
        while (running < o->jobs && atomic_load(&board->next) < o->runs) {
            pid_t pid = fork();
            if (pid == 0) {
                worker(o, board);
                _exit(0);
            }
            if (pid < 0)
                return;
            running++;
        }
        if (running == 0)
            return;
        wait(NULL);
        running--;
    }
}

static const char *remark(const struct judgement *j)
{
    return j->wrong_sure                                               ? "WRONG-SURE"
           : j->false_alarm                                            ? "FALSE-ALARM"
           : j->wrong                                                  ? "wrong"
           : j->decidable && j->confidence < 0                         ? "undecided"
           : j->decidable && !j->located                               ? "elsewhere"
           : j->decidable && !j->direction_right                       ? "direction"
           : j->pattern_judged && !j->pattern_right                    ? "pattern"
           : j->counts_judged && !(j->packets_right && j->bytes_right) ? "counts"
                                                                       : "ok";
}

static void print_line(const struct judgement *j)
{
    printf("%llu %s:", (unsigned long long)j->seed, remark(j));
    for (int i = 0; i < DIMENSIONS; i++)
        if (j->dimensions >> i & 1)
            printf(" %s%s", dimension_names[i], j->dimensions >> i > 1 ? "," : ";");
    printf(" %s\n", j->text);
}

static int sum_up(const struct options *o, const struct board *board)
{
    struct tally *t = tally_new();
    uint64_t broken = 0;
    if (!t)
        return 2;
    for (uint64_t i = 0; i < o->runs; i++) {
        const struct slot *slot = &board->slots[i];
        if (slot->state != 2) {
            printf("seed %llu: %s\n", (unsigned long long)slot->seed,
                   slot->state == 1 ? "CRASHED or took too long" : "the engine failed");
            broken++;
            continue;
        }
        const struct judgement *j = &slot->judgement;
        if (o->verbose)
            print_line(j);
        tally_add(t, j);
    }
    int code = tally_print(stdout, t);
    tally_free(t);
    return broken ? 1 : code;
}

static int run_one(struct options *o)
{
    struct judgement j;
    struct config c;
    config_draw(&c, o->seed, o->plain);
    if (o->heavy)
        config_make_heavy(&c);
    if (o->set && !config_override(&c, o->set)) {
        fprintf(stderr, "campaign: --set %s: not a list of KEY=NUMBER; docs/campaign.md lists the keys\n",
                o->set);
        return 2;
    }
    config_print(stdout, &c);
    int code = run_case(o, o->seed, &j);
    if (code) {
        fprintf(stderr, "campaign: seed %llu: %s\n", (unsigned long long)o->seed, dp_err_sentence(code));
        return 2;
    }
    printf("%llu %s%s: %s\n", (unsigned long long)j.seed, remark(&j), j.decidable ? " (decidable)" : "",
           j.text);
    return strcmp(remark(&j), "ok") != 0;
}

static int usage(void)
{
    fprintf(stderr, "usage: campaign [--runs N] [--seed S] [--jobs J] [--plain] [--heavy] [--verbose] [--set "
                    "KEY=NUMBER,...]\n"
                    "       campaign --only-seed X [--plain] [--heavy] [--verbose] [--set KEY=NUMBER,...] "
                    "[--write-pcap FOLDER]\n");
    return 2;
}

int main(int argc, char **argv)
{
    static const struct option options[] = {
        {"runs", required_argument, NULL, 'n'},      {"seed", required_argument, NULL, 's'},
        {"only-seed", required_argument, NULL, 'x'}, {"jobs", required_argument, NULL, 'j'},
        {"set", required_argument, NULL, 'o'},       {"write-pcap", required_argument, NULL, 'w'},
        {"verbose", no_argument, NULL, 'v'},         {"heavy", no_argument, NULL, 'h'},
        {"plain", no_argument, NULL, 'p'},           {0}};
    struct options o = {.runs = 200, .seed = 1, .jobs = 1};
    bool one = false;
    int c;
    while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
        if (c == 'n')
            o.runs = strtoull(optarg, NULL, 10);
        else if (c == 's' || c == 'x')
            o.seed = strtoull(optarg, NULL, 10), one = c == 'x';
        else if (c == 'j')
            o.jobs = (unsigned)strtoul(optarg, NULL, 10);
        else if (c == 'o')
            o.set = optarg;
        else if (c == 'w')
            o.pcap = optarg;
        else if (c == 'h')
            o.heavy = true;
        else if (c == 'p')
            o.plain = true;
        else if (c == 'v')
            o.verbose = true;
        else
            return usage();
    }
    if (optind != argc || o.runs == 0 || o.runs > 1000000 || o.jobs == 0 || o.jobs > 64 || (o.pcap && !one))
        return usage();
    if (one) {
        o.lost = o.verbose;
        return run_one(&o);
    }
    size_t size = sizeof(struct board) + o.runs * sizeof(struct slot);
    struct board *board = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (board == MAP_FAILED)
        return 2;
    run_all(&o, board);
    int code = sum_up(&o, board);
    munmap(board, size);
    return code;
}
