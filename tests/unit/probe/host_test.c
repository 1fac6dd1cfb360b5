#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "agent/probe/arp/table.h"
#include "agent/probe/firewall/rules.h"
#include "agent/probe/firewall/trace.h"

/* As the kernel sends them: a rule that drops, and a connection whose destination is replaced. */
static const _Alignas(4) uint8_t traced[] = {
    0x01, 0x00, 0x00, 0x00, 0x0a, 0x00, 0x01, 0x00, 0x70, 0x72, 0x6f, 0x62, 0x65, 0x00, 0x00, 0x00,
    0x08, 0x00, 0x02, 0x00, 0x6f, 0x77, 0x6e, 0x00, 0x0c, 0x00, 0x03, 0x00, 0x00, 0x00, 0x00, 0x00,
    0x00, 0x00, 0x00, 0x07, 0x08, 0x00, 0x04, 0x00, 0x00, 0x00, 0x00, 0x03, 0x0c, 0x00, 0x05, 0x80,
    0x08, 0x00, 0x01, 0x00, 0x00, 0x00, 0x00, 0x00, 0x08, 0x00, 0x06, 0x00, 0x00, 0x00, 0x00, 0x63};
static const _Alignas(4) uint8_t tracked[] = {
    0x02, 0x00, 0x00, 0x00, 0x34, 0x00, 0x01, 0x80, 0x14, 0x00, 0x01, 0x80, 0x08, 0x00, 0x01, 0x00,
    0xc0, 0x00, 0x02, 0x0a, 0x08, 0x00, 0x02, 0x00, 0xcb, 0x00, 0x71, 0x19, 0x1c, 0x00, 0x02, 0x80,
    0x05, 0x00, 0x01, 0x00, 0x06, 0x00, 0x00, 0x00, 0x06, 0x00, 0x02, 0x00, 0x0f, 0xa0, 0x00, 0x00,
    0x06, 0x00, 0x03, 0x00, 0x00, 0x19, 0x00, 0x00, 0x34, 0x00, 0x02, 0x80, 0x14, 0x00, 0x01, 0x80,
    0x08, 0x00, 0x01, 0x00, 0xcb, 0x00, 0x71, 0x1a, 0x08, 0x00, 0x02, 0x00, 0xc0, 0x00, 0x02, 0x0a,
    0x1c, 0x00, 0x02, 0x80, 0x05, 0x00, 0x01, 0x00, 0x06, 0x00, 0x00, 0x00, 0x06, 0x00, 0x02, 0x00,
    0x09, 0xdd, 0x00, 0x00, 0x06, 0x00, 0x03, 0x00, 0x0f, 0xa0, 0x00, 0x00};

static void test_events(void **state)
{
    (void)state;
    struct fw_event event;
    assert_int_equal(fw_event_parse(traced, sizeof traced, &event), 0);
    assert_string_equal(event.table, "probe");
    assert_string_equal(event.chain, "own");
    assert_int_equal(event.handle, 7);
    assert_int_equal(event.id, 99);
    assert_int_equal(event.step, FW_RULE);
    assert_int_equal(event.verdict, FW_DROP);
    assert_string_equal(fw_family_name(event.family), "inet");
    assert_int_equal(fw_event_parse(traced, 3, &event), DP_ERR_FORMAT);
    assert_int_equal(fw_event_parse(traced, 4, &event), DP_ERR_FORMAT);
    struct fw_connection c;
    assert_int_equal(fw_connection_parse(tracked, sizeof tracked, &c), 0);
    assert_string_equal(c.original.destination, "203.0.113.25");
    assert_int_equal(c.original.destination_port, 25);
    assert_string_equal(c.reply.source, "203.0.113.26");
    assert_int_equal(c.reply.source_port, 2525);
    assert_int_equal(c.original.protocol, 6);
    assert_int_equal(fw_connection_parse(tracked, 20, &c), DP_ERR_FORMAT);
}

static void test_rules(void **state)
{
    (void)state;
    json_t *before =
        json_loads("{\"nftables\": [{\"rule\": {\"family\": \"inet\", \"table\": \"t\", \"chain\": \"c\", "
                   "\"handle\": 4, "
                   "\"expr\": [{\"counter\": {\"packets\": 5, \"bytes\": 50}}, {\"reject\": null}]}}]}",
                   0, NULL);
    json_t *after = json_deep_copy(before);
    struct fw_event event = {.family = 1, .table = "t", .chain = "c", .handle = 4};
    const json_t *rule = fw_rule_find(after, &event);
    assert_non_null(rule);
    assert_true(fw_rule_rejects(rule));
    assert_false(fw_rule_redirects(rule));
    event.family = 2; // the same names in another family
    assert_null(fw_rule_find(after, &event));
    json_t *grown = fw_counters_grown(before, after);
    assert_int_equal(json_array_size(grown), 0);
    json_decref(grown);
    json_t *counter = json_object_get(json_array_get(json_object_get(rule, "expr"), 0), "counter");
    assert_int_equal(json_object_set_new(counter, "packets", json_integer(8)), 0);
    grown = fw_counters_grown(before, after);
    assert_int_equal(json_integer_value(json_object_get(json_array_get(grown, 0), "packets")), 3);
    json_decref(grown);
    json_decref(before);
    json_decref(after);
}

#define GATEWAY 0xc0000201U

static void add(struct arp_table *table, uint32_t address, const char *mac)
{
    struct arp_mac parsed;
    assert_true(arp_mac_parse(mac, &parsed));
    assert_true(arp_table_add(table, address, &parsed));
}

static void check(const struct arp_table *table, const char *before, const char *class)
{
    json_t *memory = before ? json_loads(before, 0, NULL) : NULL;
    struct arp_verdict verdict = arp_judge(table, GATEWAY, memory);
    assert_string_equal(verdict.class, class);
    json_decref(verdict.changes);
    json_decref(verdict.duplicates);
    json_decref(memory);
}

static void test_arp(void **state)
{
    (void)state;
    uint8_t frame[ARP_FRAME];
    struct arp_mac own = {{2, 0, 0, 0, 0, 9}}, mac;
    uint32_t address;
    bool lies;
    arp_request_write(&own, 0xc000020aU, GATEWAY, frame);
    assert_true(arp_read(frame, sizeof frame, &address, &mac, &lies));
    assert_int_equal(address, 0xc000020aU);
    assert_false(lies);
    frame[6] ^= 4;
    assert_true(arp_read(frame, sizeof frame, &address, &mac, &lies));
    assert_true(lies);
    assert_false(arp_read(frame, ARP_FRAME - 1, &address, &mac, &lies));
    frame[22] |= 1; // a group's address
    assert_false(arp_read(frame, sizeof frame, &address, &mac, &lies));

    struct arp_table table = {.entries = NULL};
    add(&table, 0xc0000233U, "02:00:00:00:00:33");
    add(&table, GATEWAY, "02:00:00:00:00:01");
    add(&table, GATEWAY, "02:00:00:00:00:01");
    assert_int_equal(table.count, 2);
    check(&table, NULL, "ok");
    check(&table, "{\"192.0.2.51\": \"02:00:00:00:00:33\", \"192.0.2.99\": \"02:00:00:00:00:99\"}", "ok");
    check(&table, "{\"192.0.2.51\": \"02:00:00:00:00:44\"}", "changed");
    check(&table, "{\"192.0.2.1\": \"02:00:00:00:00:44\"}", "changed"); // another router, nobody else's card
    check(&table, "{\"192.0.2.1\": \"00:00:5e:00:01:05\"}", "ok");      // it left a VRRP group
    check(&table, "{\"192.0.2.1\": 7, \"x\": \"y\"}", "ok");
    add(&table, 0xc0000234U, "02:00:00:00:00:01"); // the gateway's card has another address too
    check(&table, NULL, "ok");
    check(&table, "{\"192.0.2.1\": \"02:00:00:00:00:44\"}", "gateway-spoofed");
    add(&table, GATEWAY, "00:00:5e:00:01:05");
    check(&table, NULL, "ok");
    add(&table, 0xc0000233U, "02:00:00:00:00:55");
    check(&table, NULL, "duplicate");
    add(&table, GATEWAY, "02:00:00:00:00:66");
    check(&table, NULL, "gateway-spoofed");
    json_t *memory = arp_memory_json(&table); // what two claim is not taken for granted
    assert_null(json_object_get(memory, "192.0.2.51"));
    assert_non_null(json_object_get(memory, "192.0.2.52"));
    json_decref(memory);
    arp_table_free(&table);
}

static void test_virtual(void **state)
{
    (void)state;
    static const char *const known[] = {"00:00:5e:00:01:01", "00:00:5e:00:02:ff", "00:00:0c:07:ac:01",
                                        "00:00:0c:9f:f0:01", "00:07:b4:00:01:02"};
    struct arp_mac mac;
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        assert_true(arp_mac_parse(known[i], &mac));
        assert_non_null(arp_virtual(&mac));
    }
    assert_true(arp_mac_parse("00:00:5e:00:03:01", &mac));
    assert_null(arp_virtual(&mac));
    assert_false(arp_mac_parse("00:00:5e:00:03", &mac));
    assert_false(arp_mac_parse("00:00:5e:00:03:01:02", &mac));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_events), cmocka_unit_test(test_rules),
                                       cmocka_unit_test(test_arp), cmocka_unit_test(test_virtual)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
