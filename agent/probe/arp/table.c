#include "agent/probe/arp/table.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void put32(uint8_t *at, uint32_t value)
{
    for (int i = 0; i < 4; i++)
        at[i] = (uint8_t)(value >> (24 - 8 * i));
}

void arp_request_write(const struct arp_mac *own_mac, uint32_t own, uint32_t wanted, uint8_t frame[ARP_FRAME])
{
    static const uint8_t fixed[] = {0x08, 0x06, 0, 1, 0x08, 0, 6, 4, 0, 1}; // ARP; Ethernet, IPv4, request
    memset(frame, 0xff, 6);
    memcpy(frame + 6, own_mac->bytes, 6);
    memcpy(frame + 12, fixed, sizeof fixed);
    memcpy(frame + 22, own_mac->bytes, 6);
    put32(frame + 28, own);
    memset(frame + 32, 0, 6);
    put32(frame + 38, wanted);
}

bool arp_read(const uint8_t *frame, size_t length, uint32_t *ret_address, struct arp_mac *ret_mac,
              bool *ret_lies)
{
    static const uint8_t fixed[] = {0x08, 0x06, 0, 1, 0x08, 0, 6, 4, 0};
    *ret_lies = false;
    if (length < ARP_FRAME || memcmp(frame + 12, fixed, sizeof fixed) != 0 ||
        (frame[21] != 1 && frame[21] != 2))
        return false;
    uint32_t address =
        (uint32_t)frame[28] << 24 | (uint32_t)frame[29] << 16 | (uint32_t)frame[30] << 8 | frame[31];
    if (!address || frame[22] & 1) // a probe (RFC 5227), or a group's address, which nobody may have
        return false;
    *ret_lies = memcmp(frame + 6, frame + 22, 6) != 0;
    memcpy(ret_mac->bytes, frame + 22, 6);
    *ret_address = address;
    return true;
}

static size_t place_of(const struct arp_table *table, uint32_t address)
{
    size_t low = 0, high = table->count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (table->entries[middle].address < address)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

bool arp_table_add(struct arp_table *table, uint32_t address, const struct arp_mac *mac)
{
    size_t at = place_of(table, address);
    if (at == table->count || table->entries[at].address != address) {
        if (table->count == ARP_ENTRIES_MAX)
            return false;
        struct arp_entry *more = realloc(table->entries, (table->count + 1) * sizeof *more);
        if (!more)
            return false;
        table->entries = more;
        memmove(&more[at + 1], &more[at], (table->count - at) * sizeof *more);
        more[at] = (struct arp_entry){.address = address};
        table->count++;
    }
    struct arp_entry *entry = &table->entries[at];
    for (size_t i = 0; i < entry->mac_count; i++)
        if (memcmp(&entry->macs[i], mac, sizeof *mac) == 0)
            return true;
    if (entry->mac_count < ARP_MACS_MAX)
        entry->macs[entry->mac_count++] = *mac;
    return true;
}

const struct arp_entry *arp_table_find(const struct arp_table *table, uint32_t address)
{
    size_t at = place_of(table, address);
    return at < table->count && table->entries[at].address == address ? &table->entries[at] : NULL;
}

void arp_table_free(struct arp_table *table)
{
    free(table->entries);
    *table = (struct arp_table){.entries = NULL};
}

const char *arp_virtual(const struct arp_mac *mac)
{
    const uint8_t *b = mac->bytes;
    static const uint8_t vrrp[] = {0x00, 0x00, 0x5e, 0x00};
    if (memcmp(b, vrrp, 4) == 0 && (b[4] == 1 || b[4] == 2))
        return "VRRP or CARP"; // both count in the same range
    if (b[0] == 0 && b[1] == 0 && b[2] == 0x0c && b[3] == 0x07 && b[4] == 0xac)
        return "HSRP";
    if (b[0] == 0 && b[1] == 0 && b[2] == 0x0c && b[3] == 0x9f && b[4] >= 0xf0)
        return "HSRP";
    if (b[0] == 0 && b[1] == 0x05 && b[2] == 0x73 && b[3] == 0xa0)
        return "HSRP";
    return b[0] == 0 && b[1] == 0x07 && b[2] == 0xb4 ? "GLBP" : NULL;
}

char *arp_mac_text(const struct arp_mac *mac, char text[ARP_MAC_TEXT])
{
    const uint8_t *b = mac->bytes;
    (void)snprintf(text, ARP_MAC_TEXT, "%02x:%02x:%02x:%02x:%02x:%02x", b[0], b[1], b[2], b[3], b[4], b[5]);
    return text;
}

bool arp_mac_parse(const char *text, struct arp_mac *ret_mac)
{
    unsigned b[6];
    char end;
    if (sscanf(text, "%2x:%2x:%2x:%2x:%2x:%2x%c", &b[0], &b[1], &b[2], &b[3], &b[4], &b[5], &end) != 6)
        return false;
    for (int i = 0; i < 6; i++)
        ret_mac->bytes[i] = (uint8_t)b[i];
    return true;
}

static char *address_text(uint32_t address, char text[16])
{
    (void)snprintf(text, 16, "%u.%u.%u.%u", address >> 24, address >> 16 & 255, address >> 8 & 255,
                   address & 255);
    return text;
}

/* MACs that count against each other: a virtual one beside the router's own is how these protocols work. */
static size_t rivals(const struct arp_entry *entry)
{
    size_t count = 0;
    for (size_t i = 0; i < entry->mac_count; i++)
        count += arp_virtual(&entry->macs[i]) == NULL;
    return count;
}

/* Another address of that MAC's, besides `address`; 0: none. */
static uint32_t other_address(const struct arp_table *table, const struct arp_mac *mac, uint32_t address)
{
    for (size_t i = 0; i < table->count; i++)
        for (size_t k = 0; k < table->entries[i].mac_count; k++)
            if (table->entries[i].address != address &&
                memcmp(&table->entries[i].macs[k], mac, sizeof *mac) == 0)
                return table->entries[i].address;
    return 0;
}

static json_t *macs_json(const struct arp_entry *entry)
{
    json_t *list = json_array();
    char text[ARP_MAC_TEXT];
    for (size_t i = 0; i < entry->mac_count; i++)
        (void)json_array_append_new(list, json_string(arp_mac_text(&entry->macs[i], text)));
    return list;
}

static json_t *find_changes(const struct arp_table *table, uint32_t gateway, const json_t *before,
                            bool *ret_gateway)
{
    json_t *changes = json_array(), *value;
    const char *key;
    *ret_gateway = false;
    json_object_foreach((json_t *)(uintptr_t)before, key, value)
    {
        unsigned a, b, c, d;
        struct arp_mac mac;
        char text[ARP_MAC_TEXT];
        if (sscanf(key, "%u.%u.%u.%u", &a, &b, &c, &d) != 4 || !json_is_string(value) ||
            !arp_mac_parse(json_string_value(value), &mac))
            continue;
        uint32_t address = (a & 255) << 24 | (b & 255) << 16 | (c & 255) << 8 | (d & 255);
        const struct arp_entry *now = arp_table_find(table, address);
        // from and to a virtual MAC is a router that joined or left a group
        if (!now || arp_virtual(&mac) || arp_virtual(&now->macs[0]) ||
            memcmp(&now->macs[0], &mac, sizeof mac) == 0)
            continue;
        (void)json_array_append_new(changes, json_pack("{s:s, s:O, s:s}", "address", key, "before", value,
                                                       "now", arp_mac_text(&now->macs[0], text)));
        *ret_gateway = *ret_gateway || address == gateway;
    }
    return changes;
}

struct arp_verdict arp_judge(const struct arp_table *table, uint32_t gateway, const json_t *before)
{
    struct arp_verdict verdict = {.class = "ok", .next_step = "", .duplicates = json_array()};
    char text[16], mac[ARP_MAC_TEXT], other[16];
    bool gateway_changed, gateway_doubled = false;
    const struct arp_entry *first = NULL;
    verdict.changes = find_changes(table, gateway, before, &gateway_changed);
    for (size_t i = 0; i < table->count; i++) {
        const struct arp_entry *entry = &table->entries[i];
        if (rivals(entry) < 2)
            continue;
        first = first ? first : entry;
        gateway_doubled = gateway_doubled || entry->address == gateway;
        (void)json_array_append_new(
            verdict.duplicates,
            json_pack("{s:s, s:o}", "address", address_text(entry->address, text), "macs", macs_json(entry)));
    }
    const struct arp_entry *way_out = arp_table_find(table, gateway);
    uint32_t host = gateway_changed && way_out ? other_address(table, &way_out->macs[0], gateway) : 0;
    if (gateway_doubled || host) {
        verdict.class = "gateway-spoofed";
        verdict.next_step = "Somebody takes the gateway's traffic: find the port of the switch that the MAC "
                            "is behind, and unplug it; "
                            "until then a fixed neighbour entry for the gateway keeps traffic on its way.";
        if (gateway_doubled)
            (void)snprintf(verdict.summary, sizeof verdict.summary,
                           "the gateway %s is claimed by %zu MACs, %s among them",
                           address_text(gateway, text), way_out->mac_count,
                           arp_mac_text(&way_out->macs[1], mac));
        else
            (void)snprintf(verdict.summary, sizeof verdict.summary,
                           "the gateway %s has the MAC %s now, which is the host %s's",
                           address_text(gateway, text), arp_mac_text(&way_out->macs[0], mac),
                           address_text(host, other));
    } else if (first) {
        verdict.class = "duplicate";
        verdict.next_step =
            "Two machines have the same address: find them by their MACs at the switch, and change one.";
        (void)snprintf(verdict.summary, sizeof verdict.summary, "%s is claimed by %zu MACs: %s and another",
                       address_text(first->address, text), first->mac_count,
                       arp_mac_text(&first->macs[0], mac));
    } else if (json_array_size(verdict.changes)) {
        const json_t *change = json_array_get(verdict.changes, 0);
        verdict.class = "changed";
        verdict.next_step = "A new card or machine has the address, or somebody took it: ask whoever runs "
                            "it. The next run takes the "
                            "new MAC for granted.";
        (void)snprintf(verdict.summary, sizeof verdict.summary, "%s had the MAC %s, and has %s now%s",
                       json_string_value(json_object_get(change, "address")),
                       json_string_value(json_object_get(change, "before")),
                       json_string_value(json_object_get(change, "now")),
                       json_array_size(verdict.changes) > 1 ? "; and more" : "");
    } else {
        (void)snprintf(verdict.summary, sizeof verdict.summary, "%zu neighbours, each address with one MAC%s",
                       table->count, gateway && !way_out ? "; the gateway did not answer" : "");
    }
    return verdict;
}

json_t *arp_table_json(const struct arp_table *table, uint32_t gateway)
{
    json_t *list = json_array();
    char text[16], mac[ARP_MAC_TEXT];
    for (size_t i = 0; i < table->count; i++) {
        const struct arp_entry *entry = &table->entries[i];
        const char *virtual = NULL;
        for (size_t k = 0; k < entry->mac_count && !virtual; k++)
            virtual = arp_virtual(&entry->macs[k]);
        (void)json_array_append_new(
            list,
            json_pack("{s:s, s:s, s:o, s:o, s:b}", "address", address_text(entry->address, text), "mac",
                      arp_mac_text(&entry->macs[0], mac), "macs", macs_json(entry), "virtual",
                      virtual ? json_string(virtual) : json_null(), "gateway", entry->address == gateway));
    }
    return list;
}

json_t *arp_shared_json(const struct arp_table *table)
{
    json_t *by_mac = json_object(), *list = json_array(), *addresses;
    char text[16], mac[ARP_MAC_TEXT];
    const char *key;
    for (size_t i = 0; i < table->count; i++)
        for (size_t k = 0; k < table->entries[i].mac_count; k++) {
            (void)arp_mac_text(&table->entries[i].macs[k], mac);
            if (!json_object_get(by_mac, mac))
                (void)json_object_set_new(by_mac, mac, json_array());
            (void)json_array_append_new(json_object_get(by_mac, mac),
                                        json_string(address_text(table->entries[i].address, text)));
        }
    json_object_foreach(by_mac, key, addresses)
    {
        if (json_array_size(addresses) > 1)
            (void)json_array_append_new(list, json_pack("{s:s, s:O}", "mac", key, "addresses", addresses));
    }
    json_decref(by_mac);
    return list;
}

json_t *arp_memory_json(const struct arp_table *table)
{
    json_t *memory = json_object();
    char text[16], mac[ARP_MAC_TEXT];
    for (size_t i = 0; i < table->count; i++)
        if (table->entries[i].mac_count == 1)
            (void)json_object_set_new(memory, address_text(table->entries[i].address, text),
                                      json_string(arp_mac_text(&table->entries[i].macs[0], mac)));
    return memory;
}
