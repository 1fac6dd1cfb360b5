/* Runs many probes of one kind on one loop, at most so many at once, and says how long they took and what
 * they answered. probes KIND COUNT AT_ONCE [--option value ...] TARGET */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <uv.h>

#include "agent/probe/core/prober.h"

#define CLASSES_MAX 20

struct bench {
    uv_loop_t loop;
    struct dp_prober *prober;
    struct dp_request *request;
    unsigned long left, running, done;
    struct {
        char name[32];
        unsigned long count;
    } classes[CLASSES_MAX];
};

static void start_one(struct bench *bench);

static void count_class(struct bench *bench, const char *name)
{
    for (size_t i = 0; i < CLASSES_MAX; i++) {
        if (!bench->classes[i].count)
            (void)snprintf(bench->classes[i].name, sizeof bench->classes[i].name, "%s", name);
        if (strcmp(bench->classes[i].name, name) == 0) {
            bench->classes[i].count++;
            return;
        }
    }
}

static void on_done(void *context, const struct dp_probe_result *result)
{
    struct bench *bench = context;
    count_class(bench, result->code ? dp_err_name(result->code) : result->class);
    bench->running--;
    bench->done++;
    if (bench->left)
        start_one(bench);
}

static void start_one(struct bench *bench)
{
    struct dp_diag diag = {""};
    bench->left--;
    bench->running++;
    int rc = dp_prober_start(bench->prober, bench->request, on_done, NULL, bench, NULL, &diag);
    if (rc) {
        fprintf(stderr, "probes: %s\n", dp_reason(&diag, rc));
        exit(2);
    }
}

static int read_request(int argc, char **argv, struct dp_request **ret_request, struct dp_diag *diag)
{
    int rc = dp_request_new(argv[1], ret_request, diag);
    for (int i = 4; !rc && i < argc - 1; i += 2)
        rc = dp_request_set(*ret_request, argv[i], argv[i + 1], diag);
    if (!rc)
        rc = dp_request_set_target(*ret_request, argv[argc - 1], diag);
    return rc ? rc : dp_request_check(*ret_request, diag);
}

int main(int argc, char **argv)
{
    static struct bench bench;
    struct dp_diag diag = {""};
    struct rlimit limit;
    if (argc < 5) {
        fputs("usage: probes KIND COUNT AT_ONCE [--option value ...] TARGET\n", stderr);
        return 2;
    }
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &limit);
    }
    unsigned long at_once = strtoul(argv[3], NULL, 10);
    bench.left = strtoul(argv[2], NULL, 10);
    int rc = uv_loop_init(&bench.loop) ? DP_ERR_IO : read_request(argc, argv, &bench.request, &diag);
    if (!rc)
        rc = dp_prober_new(&bench.loop, &bench.prober, &diag);
    if (rc) {
        fprintf(stderr, "probes: %s\n", dp_reason(&diag, rc));
        return 2;
    }
    uint64_t begun = uv_hrtime();
    while (bench.left && bench.running < at_once)
        start_one(&bench);
    while (bench.running && uv_run(&bench.loop, UV_RUN_ONCE)) {
    }
    double seconds = (double)(uv_hrtime() - begun) / 1e9;
    printf("{\"kind\": \"%s\", \"probes\": %lu, \"at_once\": %lu, \"seconds\": %.3f, \"per_second\": %.0f, "
           "\"classes\": {",
           argv[1], bench.done, at_once, seconds, (double)bench.done / seconds);
    for (size_t i = 0; i < CLASSES_MAX && bench.classes[i].count; i++)
        printf("%s\"%s\": %lu", i ? ", " : "", bench.classes[i].name, bench.classes[i].count);
    puts("}}");
    dp_prober_close(bench.prober);
    (void)uv_run(&bench.loop, UV_RUN_DEFAULT);
    (void)uv_loop_close(&bench.loop);
    dp_request_free(bench.request);
    return 0;
}
