/* Who claims which address on a net, and what that means. ARP: RFC 826. I/O-free. */
#ifndef DROPPOINT_AGENT_PROBE_ARP_TABLE_H
#define DROPPOINT_AGENT_PROBE_ARP_TABLE_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ARP_FRAME 42 /* Ethernet and ARP headers */
#define ARP_ENTRIES_MAX 8192
#define ARP_MACS_MAX 4 /* of one address that are kept */
#define ARP_MAC_TEXT 18

struct arp_mac {
    uint8_t bytes[6];
};

struct arp_entry {
    uint32_t address; /* host byte order */
    struct arp_mac macs[ARP_MACS_MAX];
    size_t mac_count;
};

struct arp_table {
    struct arp_entry *entries; /* by address, rising */
    size_t count;
};

/* A request "who has `wanted`, tell `own`", to all. */
void arp_request_write(const struct arp_mac *own_mac, uint32_t own, uint32_t wanted,
                       uint8_t frame[ARP_FRAME]);
/* Who says to have which address, in a frame of the wire: the sender of an answer or of a request. False: no
 * ARP for IPv4 over Ethernet, a sender without address, or one whose Ethernet address differs from what ARP
 * says (*ret_lies set). */
bool arp_read(const uint8_t *frame, size_t length, uint32_t *ret_address, struct arp_mac *ret_mac,
              bool *ret_lies);

/* False when out of memory, or full. */
bool arp_table_add(struct arp_table *table, uint32_t address, const struct arp_mac *mac);
const struct arp_entry *arp_table_find(const struct arp_table *table, uint32_t address);
void arp_table_free(struct arp_table *table);

/* "VRRP", "HSRP", "GLBP", "CARP"; NULL: an ordinary one. Bonds use an address of one of their own cards. */
const char *arp_virtual(const struct arp_mac *mac);
char *arp_mac_text(const struct arp_mac *mac, char text[ARP_MAC_TEXT]);
bool arp_mac_parse(const char *text, struct arp_mac *ret_mac);

/* What was seen last time: an object of address to MAC; NULL: nothing is known. */
struct arp_verdict {
    const char *class;
    char summary[400];
    const char *next_step;
    json_t *changes, *duplicates; /* new references: [{address, before, now}], [{address, macs}] */
};
struct arp_verdict arp_judge(const struct arp_table *table, uint32_t gateway, const json_t *before);
/* [{address, mac, macs, virtual, gateway}]. New references. */
json_t *arp_table_json(const struct arp_table *table, uint32_t gateway);
/* MACs that have several addresses: [{mac, addresses}]; no fault by itself. */
json_t *arp_shared_json(const struct arp_table *table);
/* Address to MAC, to be remembered: of addresses that one MAC alone claims. */
json_t *arp_memory_json(const struct arp_table *table);

#endif
