/* Live captures of packets that travel inside of something, on a veth pair: what the kernel strips, lets
 * through and cuts off. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "cli/remote/capture.h"
#include "tests/unit/capture/harness.h"
#include "tests/unit/packet/hello.h"
#include "tests/unit/packet/wraps.h"

enum { ETHERNET = 1 };

/* Sends frames that veth1 captures. */
static int sender_new(void)
{
    int fd = socket(AF_PACKET, SOCK_RAW, 0);
    assert_true(fd >= 0);
    struct sockaddr_ll address = {.sll_family = AF_PACKET, .sll_ifindex = (int)if_nametoindex("veth0")};
    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
    return fd;
}

static void send_frame(int fd, const struct frame *frame)
{
    assert_int_equal(send(fd, frame->bytes, frame->len, 0), (ssize_t)frame->len);
}

static struct frame hello_to(uint8_t family, uint8_t port)
{
    struct frame packet = {.len = 0};
    if (family == 4)
        frame_hello4(&packet);
    else
        frame_hello6(&packet);
    packet.bytes[(family == 4 ? 20 : 40) + 3] = port;
    return packet;
}

/* Every encapsulation that Ethernet carries, around a packet to `port`; both IP versions, bare ones too. How
 * many were sent comes back. */
static unsigned send_all(int fd, uint8_t port)
{
    unsigned sent = 0;
    for (uint8_t family = 4; family <= 6; family += 2) {
        struct frame packet = hello_to(family, port), bare = {.len = 0};
        inner_ethernet(&bare, &packet, family);
        send_frame(fd, &bare);
        sent++;
        for (size_t i = 0; i < wrap_count; i++) {
            struct frame frame = {.len = 0};
            if (wraps[i].link_type != ETHERNET)
                continue;
            wraps[i].around(&frame, &packet, family);
            send_frame(fd, &frame);
            sent++;
        }
    }
    return sent;
}

static void world_with_veth(void)
{
    world_new();
    shell("ip link add veth0 type veth peer name veth1 && ip link set veth0 up && ip link set veth1 up");
}

static struct dp_capture_spec spec_on_veth(const char *filter)
{
    struct dp_capture_spec spec = spec_for("veth1", filter);
    spec.snaplen = DP_CAPTURE_SNAPLEN;
    return spec;
}

static void stop(struct seen *seen)
{
    dp_capture_stop(seen->process, "stopped");
    wait_for(seen, &seen->ended);
}

static void test_what_the_filter_asks_for_is_inside(void **state)
{
    (void)state;
    struct seen seen;
    seen_new(&seen);
    struct dp_capture_spec spec = spec_on_veth("tcp port 25");
    start(&seen, &spec);
    int fd = sender_new();
    unsigned sent = send_all(fd, 25);
    (void)send_all(fd, 80);
    stop(&seen);
    assert_int_equal(seen.counts.packets, sent);
    assert_int_equal(seen.digests, sent);
    assert_int_equal(seen.other, 0);
    for (size_t i = 0; i < seen.batch.digest_count; i++) {
        assert_true(seen.batch.digests[i].flow < 2); /* the packet's, over IPv4 and IPv6, and nobody else's */
        assert_int_equal(seen.batch.digests[i].seq, 1000);
        assert_int_equal(seen.batch.digests[i].hash, seen.batch.digests[0].hash);
        assert_int_equal(seen.batch.digests[i].hash_len, 5);
    }
    (void)close(fd);
    seen_free(&seen);
}

/* The host's own filter is about what is on the wire. */
static void test_own_filter_is_sovereign(void **state)
{
    (void)state;
    struct seen seen;
    seen_new(&seen);
    struct dp_capture_spec spec = spec_on_veth("tcp port 25");
    spec.own_filter = "tcp or udp port 4789";
    start(&seen, &spec);
    int fd = sender_new();
    (void)send_all(fd, 25);
    (void)send_all(fd, 80);
    stop(&seen);
    /* Bare, and with one tag that the kernel takes off; by VXLAN, once with such a tag around. */
    assert_int_equal(seen.digests, 2 * (1 + 2 + 1));
    (void)close(fd);
    seen_free(&seen);
}

/* With the snap length that captures have unless told: two tags, IPv6, UDP, VXLAN, Ethernet, IPv6, TCP with
 * all its options, and the bytes of the payload that the hash covers. */
static void test_default_snap_length_is_enough(void **state)
{
    (void)state;
    struct seen seen;
    seen_new(&seen);
    struct dp_capture_spec spec = spec_on_veth("tcp port 25");
    start(&seen, &spec);
    int fd = sender_new();
    size_t payload = 900, tcp = 60 + payload;
    struct frame frame = {.len = 0};
    outer_ethernet(&frame, 0x88a8);
    frame_32(&frame, 0x00648100);
    frame_32(&frame, 0x000586dd);
    outer_ipv6(&frame, 17, 8 + 8 + 14 + 40 + tcp);
    frame_udp(&frame, 51000, 4789, 8 + 14 + 40 + tcp);
    frame_32(&frame, 0x08000000);
    frame_32(&frame, 42U << 8);
    frame_ethernet(&frame, 0x86dd);
    frame_ipv6(&frame, 6, tcp);
    frame_tcp(&frame, 40000, 25, DP_TCP_ACK,
              "\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01"
              "\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x08\x0a\0\0\0\x07\0\0\0\x05",
              40);
    assert_true(frame.len + 64 <= DP_CAPTURE_SNAPLEN);
    frame_zeros(&frame, payload);
    send_frame(fd, &frame);
    stop(&seen);
    assert_int_equal(seen.digests, 1);
    assert_int_equal(seen.batch.digests[0].hash_len, 64);
    assert_int_equal(seen.batch.digests[0].payload_len, payload);
    assert_int_equal(seen.batch.digests[0].tsval, 7);
    (void)close(fd);
    seen_free(&seen);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_the_filter_asks_for_is_inside),
        cmocka_unit_test(test_own_filter_is_sovereign),
        cmocka_unit_test(test_default_snap_length_is_enough),
    };
    if (!live_possible())
        return 0;
    world_with_veth();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
