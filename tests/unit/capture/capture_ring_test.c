/* The ring of packets: written by a real capture, read back for an export, kept under its bounds. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <dirent.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent/capture/ring.h"
#include "common/capfile/capfile.h"
#include "tests/unit/capture/harness.h"

#define FILTER "udp and dst portrange 9000-9999"

static char root[64];  /* of the test */
static char ring[128]; /* of the capture in it */
static char out[128];  /* an exported file */

static int set_up(void **state)
{
    (void)state;
    (void)snprintf(root, sizeof root, "/tmp/dp-ring-XXXXXX");
    assert_non_null(mkdtemp(root));
    assert_int_equal(chmod(root, 0755), 0);
    (void)snprintf(ring, sizeof ring, "%s/rings/c1/eth0", root);
    (void)snprintf(out, sizeof out, "%s/out.pcapng", root);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    char command[128];
    (void)snprintf(command, sizeof command, "rm -rf %s", root);
    shell(command);
    return 0;
}

/* UDP from a fixed port to a fixed port on 127.0.0.1. */
static void send_flow(uint16_t from, uint16_t to_port, unsigned packets, size_t payload)
{
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in here = {
        .sin_family = AF_INET, .sin_port = htons(from), .sin_addr.s_addr = htonl(0x7f000001)};
    struct sockaddr_in there = {
        .sin_family = AF_INET, .sin_port = htons(to_port), .sin_addr.s_addr = htonl(0x7f000001)};
    char bytes[1400];
    memset(bytes, 'x', sizeof bytes);
    assert_int_equal(bind(fd, (struct sockaddr *)&here, sizeof here), 0);
    for (unsigned i = 0; i < packets; i++)
        assert_int_equal(sendto(fd, bytes, payload, 0, (struct sockaddr *)&there, sizeof there), payload);
    (void)close(fd);
}

static struct dp_ring_flow flow_of(uint16_t a_port, uint16_t b_port)
{
    return (struct dp_ring_flow){
        .proto = 17,
        .a = {4, {127, 0, 0, 1}},
        .b = {4, {127, 0, 0, 1}},
        .a_port = a_port,
        .b_port = b_port,
    };
}

/* Exports to a file; how many pieces came. */
static unsigned export_to_file(const struct dp_ring_export_options *options, char *left_out, size_t size)
{
    struct dp_ring_export *export = NULL;
    struct dp_diag diag = {""};
    int code = dp_ring_export_open(options, &export, &diag);
    if (code != DP_OK)
        fail_msg("%s", diag.text);
    int fd = open(out, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    const uint8_t *bytes = NULL;
    size_t len = 0;
    unsigned pieces = 0;
    while ((code = dp_ring_export_next(export, &bytes, &len, &diag)) == DP_OK) {
        assert_true(len > 0 && len <= DP_RING_PIECE);
        assert_int_equal(write(fd, bytes, len), len);
        pieces++;
    }
    assert_int_equal(code, DP_ERR_END);
    (void)snprintf(left_out, size, "%s", dp_ring_export_left_out(export));
    dp_ring_export_close(export);
    (void)close(fd);
    return pieces;
}

struct content {
    unsigned packets, long_ones; /* more than 42 bytes captured: headers of Ethernet, IPv4 and UDP */
    int64_t last_ns;
    uint64_t bytes;
};

static struct content content_of(const char *path)
{
    struct dp_capfile *file = NULL;
    struct dp_diag diag = {""};
    struct dp_capfile_packet packet;
    struct content content = {0};
    struct stat st;
    if (dp_capfile_open(path, &file, &diag) != DP_OK)
        fail_msg("%s", diag.text);
    int code;
    while ((code = dp_capfile_next(file, &packet, &diag)) == DP_OK) {
        assert_true(packet.ts_ns >= content.last_ns);
        content.last_ns = packet.ts_ns;
        content.packets++;
        content.long_ones += packet.captured > 42;
    }
    assert_int_equal(code, DP_ERR_END);
    assert_false(dp_capfile_stats(file)->cut_short);
    dp_capfile_close(file);
    assert_int_equal(stat(path, &st), 0);
    content.bytes = (uint64_t)st.st_size;
    return content;
}

static void test_export_returns_the_flows_packets(void **state)
{
    (void)state;
    struct seen seen;
    char text[256];
    seen_new(&seen);
    struct dp_capture_spec spec = spec_for("lo", FILTER);
    spec.ring_bytes = 64 * 1024 * 1024;
    spec.ring_directory = ring;
    start(&seen, &spec);
    send_flow(9100, 9200, 3000, 60);
    send_flow(9101, 9200, 1000, 60);
    send_flow(9200, 9100, 500, 60); /* the first one's other direction */
    struct dp_ring_flow flow = flow_of(9200, 9100);
    struct dp_ring_export_options options = {
        .directory = ring, .vantage = "mx1/eth0", .flows = &flow, .flow_count = 1};
    turn(&seen, 1500);
    (void)export_to_file(&options, text, sizeof text); /* while it runs */
    assert_int_equal(content_of(out).packets, 3500);
    dp_capture_stop(seen.process, "stopped");
    wait_for(&seen, &seen.ended);
    assert_string_equal(seen.text, "");
    assert_int_equal(seen.digests, 4500);
    seen_free(&seen);

    assert_true(export_to_file(&options, text, sizeof text) > 3);
    assert_string_equal(text, "");
    struct content content = content_of(out);
    assert_int_equal(content.packets, 3500);
    assert_int_equal(content.long_ones, 3500);
    options.cut_payload = true;
    (void)export_to_file(&options, text, sizeof text);
    content = content_of(out);
    assert_int_equal(content.packets, 3500);
    assert_int_equal(content.long_ones, 0);
    options.flow_count = 0;
    options.cut_payload = false;
    (void)export_to_file(&options, text, sizeof text);
    assert_int_equal(content_of(out).packets, 4500);
    options.max_bytes = 100000;
    (void)export_to_file(&options, text, sizeof text);
    content = content_of(out);
    assert_true(content.bytes <= 100000 && content.bytes > 99000);
    assert_non_null(strstr(text, "size bound"));
    options.directory = "/nonexistent";
    struct dp_ring_export *export = NULL;
    struct dp_diag diag = {""};
    assert_int_equal(dp_ring_export_open(&options, &export, &diag), DP_ERR_NOT_FOUND);
}

static void test_ring_keeps_its_bound(void **state)
{
    (void)state;
    struct seen seen;
    char text[256];
    seen_new(&seen);
    struct dp_capture_spec spec = spec_for("lo", FILTER);
    spec.ring_bytes = 1024 * 1024;
    spec.ring_directory = ring;
    start(&seen, &spec);
    send_flow(9100, 9200, 20000, 60);
    dp_capture_stop(seen.process, "stopped");
    wait_for(&seen, &seen.ended);
    assert_int_equal(seen.digests, 20000);
    seen_free(&seen);
    uint64_t bytes = 0;
    unsigned files = 0;
    struct stat st;
    assert_int_equal(stat(ring, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0700);
    DIR *directory = opendir(ring);
    for (struct dirent *entry; (entry = readdir(directory)) != NULL;) {
        if (entry->d_name[0] == '.')
            continue;
        assert_int_equal(fstatat(dirfd(directory), entry->d_name, &st, 0), 0);
        assert_int_equal(st.st_mode & 0777, 0600);
        bytes += (uint64_t)st.st_size;
        files++;
    }
    (void)closedir(directory);
    assert_int_equal(files, 8);
    assert_true(bytes <= 1024 * 1024 && bytes > 800 * 1024);
    struct dp_ring_export_options options = {.directory = ring, .vantage = "mx1/eth0"};
    (void)export_to_file(&options, text, sizeof text);
    assert_true(content_of(out).packets > 6000); /* the newest, in order */
    /* A file that is cut and one that is damaged cost what they held. */
    unsigned whole = content_of(out).packets;
    char command[512];
    (void)snprintf(command, sizeof command,
                   "cd %s && set -- ring-* && truncate -s 60000 $1 && tr '\\0' '\\377' </dev/zero | "
                   "dd of=$2 bs=400 count=1 seek=150 iflag=fullblock conv=notrunc status=none",
                   ring);
    shell(command);
    (void)export_to_file(&options, text, sizeof text);
    assert_true(content_of(out).packets < whole && content_of(out).packets > whole * 6 / 8);
    assert_true(text[0]);
}

static void test_full_disk_ends_the_capture(void **state)
{
    (void)state;
    char small[128];
    (void)snprintf(small, sizeof small, "%s/small", root);
    assert_int_equal(mkdir(small, 0700), 0);
    assert_int_equal(mount("none", small, "tmpfs", 0, "size=3m"), 0);
    struct seen seen;
    seen_new(&seen);
    struct dp_capture_spec spec = spec_for("lo", FILTER);
    spec.ring_bytes = 64 * 1024 * 1024;
    spec.ring_directory = small;
    start(&seen, &spec);
    for (int i = 0; i < 60 && !seen.ended; i++) {
        send_flow(9100, 9200, 2000, 60);
        turn(&seen, 20);
    }
    wait_for(&seen, &seen.ended);
    assert_string_equal(seen.reason, "disk");
    assert_non_null(strstr(seen.text, "No space left on device"));
    assert_int_equal(seen.digests, seen.counts.packets); /* what was captured is delivered */
    assert_true(seen.digests > 10000);
    seen_free(&seen);
    assert_int_equal(umount(small), 0);
}

static void test_ring_directory_of_somebody_else(void **state)
{
    (void)state;
    char other[128];
    (void)snprintf(other, sizeof other, "%s/other", root);
    assert_int_equal(mkdir(other, 0700), 0);
    struct seen seen;
    struct dp_diag diag = {""};
    seen_new(&seen);
    struct dp_capture_spec spec = spec_for("lo", FILTER);
    spec.ring_bytes = 1024 * 1024;
    spec.ring_directory = other;
    spec.uid = spec.gid = 65534;
    assert_int_equal(prepare(&seen, &spec, &diag), DP_OK);
    wait_for(&seen, &seen.ended);
    assert_true(seen.ready_code == DP_ERR_DENIED || seen.ready_code == DP_ERR_IO);
    assert_non_null(strstr(seen.ready_text, "Permission denied"));
    seen_free(&seen);
}

/* As the package installs it: the program has the capability, its user has none. */
static void as_ordinary_user(const char *program)
{
    char directory[160];
    (void)snprintf(directory, sizeof directory, "%s/user", root);
    if (mkdir(directory, 0700) != 0 || chown(directory, 65534, 65534) != 0 || setgid(65534) != 0 ||
        setuid(65534) != 0)
        _exit(2);
    (void)setenv("DP_TEST_PROGRAM", program, 1);
    struct seen seen;
    seen_new(&seen);
    struct dp_capture_spec spec = spec_for("lo", FILTER);
    spec.ring_bytes = 1024 * 1024;
    spec.ring_directory = directory;
    start(&seen, &spec);
    pid_t pid = capture_pid(getpid());
    if (status_value(pid, "CapPrm", 16) != 0 || status_value(pid, "NoNewPrivs", 10) != 1)
        _exit(3);
    send_flow(9100, 9200, 100, 60);
    dp_capture_stop(seen.process, "stopped");
    wait_for(&seen, &seen.ended);
    _exit(seen.digests == 100 && !seen.text[0] ? 0 : 4);
}

static void test_ordinary_user_with_file_capability(void **state)
{
    (void)state;
    char program[160], command[1024];
    (void)snprintf(program, sizeof program, "%s/droppoint-capture", root);
    (void)snprintf(command, sizeof command, "cp %s %s && chmod 755 %s && setcap cap_net_raw+ep %s",
                   DP_CAPTURE_PROGRAM, program, program, program);
    shell(command);
    pid_t child = fork();
    if (child == 0)
        as_ordinary_user(program);
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    (void)snprintf(command, sizeof command, "setcap -r %s", program);
    shell(command);
    child = fork();
    if (child == 0) {
        if (setgid(65534) != 0 || setuid(65534) != 0)
            _exit(2);
        (void)setenv("DP_TEST_PROGRAM", program, 1);
        struct seen seen;
        struct dp_diag diag = {""};
        seen_new(&seen);
        struct dp_capture_spec spec = spec_for("lo", FILTER);
        if (prepare(&seen, &spec, &diag) != DP_OK)
            _exit(3);
        wait_for(&seen, &seen.ended);
        _exit(seen.ready_code == DP_ERR_DENIED && strstr(seen.ready_text, "needs CAP_NET_RAW") ? 0 : 4);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
}

static void test_ring_outlives_the_agent(void **state)
{
    (void)state;
    int tell[2];
    char text[256], done = 0;
    assert_int_equal(pipe(tell), 0);
    pid_t agent = fork();
    if (agent == 0) {
        struct seen seen;
        seen_new(&seen);
        struct dp_capture_spec spec = spec_for("lo", FILTER);
        spec.ring_bytes = 1024 * 1024;
        spec.ring_directory = ring;
        start(&seen, &spec);
        send_flow(9100, 9200, 700, 60);
        turn(&seen, 400);
        (void)!write(tell[1], &done, 1);
        for (;;)
            turn(&seen, 1000);
    }
    assert_int_equal(read(tell[0], &done, 1), 1);
    assert_int_equal(kill(agent, SIGKILL), 0);
    assert_int_equal(waitpid(agent, NULL, 0), agent);
    (void)usleep(500000); /* the capture process notices by itself */
    struct dp_ring_export_options options = {.directory = ring, .vantage = "mx1/eth0"};
    (void)export_to_file(&options, text, sizeof text);
    assert_string_equal(text, "");
    assert_int_equal(content_of(out).packets, 700);
    (void)close(tell[0]);
    (void)close(tell[1]);
}

static void make_ring(const char *name, int age_s, int bytes)
{
    char command[512];
    (void)snprintf(
        command, sizeof command,
        "mkdir -p %s/rings/%s/eth0 && head -c %d /dev/zero > %s/rings/%s/eth0/ring-000001.pcapng && "
        "touch -d '-%d seconds' %s/rings/%s/eth0/* %s/rings/%s/eth0 %s/rings/%s",
        root, name, bytes, root, name, age_s, root, name, root, name, root, name);
    shell(command);
}

static bool there(const char *name)
{
    char path[128];
    (void)snprintf(path, sizeof path, "%s/rings/%s", root, name);
    return access(path, F_OK) == 0;
}

static void test_trim_deletes_the_oldest(void **state)
{
    (void)state;
    char rings[128];
    (void)snprintf(rings, sizeof rings, "%s/rings", root);
    struct dp_diag diag = {""};
    uint64_t left = 1;
    assert_int_equal(dp_ring_trim(rings, 0, &left, &diag), DP_OK); /* none there yet */
    assert_int_equal(left, 0);
    make_ring("old", 300, 100000);
    make_ring("older", 600, 100000);
    make_ring("new", 10, 100000);
    struct seen seen;
    seen_new(&seen);
    struct dp_capture_spec spec = spec_for("lo", FILTER);
    spec.ring_bytes = 1024 * 1024;
    spec.ring_directory = ring; /* c1 */
    start(&seen, &spec);
    send_flow(9100, 9200, 6000, 60);
    turn(&seen, 1500); /* they are in its files */
    assert_int_equal(dp_ring_trim(rings, 1000000, &left, &diag), DP_OK);
    assert_true(there("older"));
    assert_int_equal(left, 300000); /* what is still being written is not among them */
    assert_int_equal(dp_ring_trim(rings, 210000, &left, &diag), DP_OK);
    assert_true(!there("older") && there("old") && there("new"));
    assert_int_equal(dp_ring_trim(rings, 0, &left, &diag), DP_OK);
    assert_true(!there("old") && !there("new") && there("c1/eth0/ring-000001.pcapng"));
    assert_int_equal(left, 0);
    /* A second interface of the same capture, which has ended there. */
    char command[512];
    (void)snprintf(command, sizeof command,
                   "mkdir %s/c1/eth1 && head -c 100000 /dev/zero >%s/c1/eth1/ring-000001.pcapng", rings,
                   rings);
    shell(command);
    assert_int_equal(dp_ring_trim(rings, 0, &left, &diag), DP_OK);
    assert_int_equal(left, 100000);
    assert_true(there("c1/eth1"));
    dp_capture_stop(seen.process, "stopped");
    wait_for(&seen, &seen.ended);
    seen_free(&seen);
    assert_int_equal(dp_ring_trim(rings, 0, &left, &diag), DP_OK);
    assert_false(there("c1"));
}

int main(void)
{
    if (!live_possible())
        return 0;
    world_new();
    if (unshare(CLONE_NEWNS) != 0 || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0) {
        perror("mount namespace");
        return 1;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_export_returns_the_flows_packets, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_ring_keeps_its_bound, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_full_disk_ends_the_capture, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_ring_directory_of_somebody_else, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_ordinary_user_with_file_capability, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_ring_outlives_the_agent, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_trim_deletes_the_oldest, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
