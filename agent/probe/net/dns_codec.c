#include "agent/probe/net/dns_codec.h"

#include <ares.h>
#include <arpa/inet.h>
#include <ctype.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define HEADER 12

struct reader {
    const uint8_t *bytes;
    size_t length, at;
};

static const struct {
    uint16_t number;
    const char *name;
} types[] = {{DP_DNS_A, "A"},      {DP_DNS_NS, "NS"}, {DP_DNS_CNAME, "CNAME"}, {DP_DNS_SOA, "SOA"},
             {DP_DNS_PTR, "PTR"},  {DP_DNS_MX, "MX"}, {DP_DNS_TXT, "TXT"},     {DP_DNS_AAAA, "AAAA"},
             {DP_DNS_SRV, "SRV"},  {DP_DNS_DS, "DS"}, {DP_DNS_TLSA, "TLSA"},   {DP_DNS_CAA, "CAA"},
             {DP_DNS_AXFR, "AXFR"}};

const char *dp_dns_type_name(uint16_t type, char text[16])
{
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++)
        if (types[i].number == type)
            return types[i].name;
    (void)snprintf(text, 16, "TYPE%u", type);
    return text;
}

uint16_t dp_dns_type_number(const char *name)
{
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++)
        if (strcasecmp(types[i].name, name) == 0 && types[i].number != DP_DNS_AXFR)
            return types[i].number;
    if (strncasecmp(name, "TYPE", 4) != 0 || !isdigit((unsigned char)name[4]))
        return 0;
    char *end;
    unsigned long number = strtoul(name + 4, &end, 10);
    return *end || number > 65535 ? 0 : (uint16_t)number;
}

const char *dp_dns_rcode_name(uint16_t rcode, char text[16])
{
    static const char *const names[] = {"NOERROR", "FORMERR", "SERVFAIL", "NXDOMAIN", "NOTIMP", "REFUSED"};
    if (rcode < sizeof names / sizeof names[0])
        return names[rcode];
    (void)snprintf(text, 16, "RCODE%u", rcode);
    return text;
}

static uint16_t get16(const uint8_t *at)
{
    return (uint16_t)(at[0] << 8 | at[1]);
}

static uint32_t get32(const uint8_t *at)
{
    return (uint32_t)get16(at) << 16 | get16(at + 2);
}

/* c-ares bounds names and follows no loops. */
static int read_name(struct reader *reader, char name[DP_DNS_NAME])
{
    char *expanded = NULL;
    long encoded = 0;
    if (reader->at >= reader->length ||
        ares_expand_name(reader->bytes + reader->at, reader->bytes, (int)reader->length, &expanded,
                         &encoded) != ARES_SUCCESS)
        return DP_ERR_FORMAT;
    size_t length = strlen(expanded);
    if (length >= DP_DNS_NAME)
        length = DP_DNS_NAME - 1; // escapes make it longer than a name can be: cut
    for (size_t i = 0; i < length; i++)
        name[i] = (char)(isgraph((unsigned char)expanded[i]) ? tolower((unsigned char)expanded[i]) : '?');
    name[length] = '\0';
    if (length && name[length - 1] == '.')
        name[length - 1] = '\0';
    ares_free_string(expanded);
    reader->at += (size_t)encoded;
    return 0;
}

static char *text_hex(const uint8_t *bytes, size_t length)
{
    char *text = malloc(length * 2 + 1);
    if (!text)
        return NULL;
    text[0] = '\0';
    for (size_t i = 0; i < length; i++)
        (void)snprintf(text + 2 * i, 3, "%02x", bytes[i]);
    return text;
}

static char *text_strings(const uint8_t *bytes, size_t length)
{
    char *text = malloc(length + 1);
    size_t used = 0;
    for (size_t at = 0; text && at < length;) {
        size_t size = bytes[at++];
        if (size > length - at) {
            free(text);
            return NULL;
        }
        for (size_t i = 0; i < size; i++)
            text[used++] = (char)(bytes[at + i] >= ' ' && bytes[at + i] < 127 ? bytes[at + i] : '?');
        at += size;
    }
    if (text)
        text[used] = '\0';
    return text;
}

static char *text_address(int family, const uint8_t *bytes)
{
    char text[INET6_ADDRSTRLEN];
    return inet_ntop(family, bytes, text, sizeof text) ? strdup(text) : NULL;
}

/* A record of a name and numbers in front of it: MX, SRV, NS, CNAME, PTR. */
static char *text_target(struct reader *reader, struct dp_dns_record *record, size_t end, size_t numbers)
{
    char text[DP_DNS_NAME + 32];
    size_t used = 0;
    text[0] = '\0';
    if (end - reader->at < numbers * 2)
        return NULL;
    record->preference = numbers ? get16(reader->bytes + reader->at) : 0;
    for (size_t i = 0; i < numbers; i++, reader->at += 2)
        used += (size_t)snprintf(text + used, sizeof text - used, "%u ", get16(reader->bytes + reader->at));
    if (read_name(reader, record->target) || reader->at > end)
        return NULL;
    (void)snprintf(text + used, sizeof text - used, "%s", record->target[0] ? record->target : ".");
    return strdup(text);
}

static char *text_soa(struct reader *reader, struct dp_dns_record *record, size_t end)
{
    char mailbox[DP_DNS_NAME], text[2 * DP_DNS_NAME + 80];
    if (read_name(reader, record->target) || read_name(reader, mailbox) || reader->at > end ||
        end - reader->at < 20)
        return NULL;
    const uint8_t *at = reader->bytes + reader->at;
    record->serial = get32(at);
    record->refresh = get32(at + 4);
    record->retry = get32(at + 8);
    record->expire = get32(at + 12);
    record->minimum = get32(at + 16);
    (void)snprintf(text, sizeof text, "%s %s %u %u %u %u %u", record->target, mailbox, record->serial,
                   record->refresh, record->retry, record->expire, record->minimum);
    return strdup(text);
}

static char *text_tlsa(const uint8_t *bytes, size_t length)
{
    char *hex = length >= 3 ? text_hex(bytes + 3, length - 3) : NULL;
    char *text = hex ? malloc(strlen(hex) + 24) : NULL;
    if (text)
        (void)snprintf(text, strlen(hex) + 24, "%u %u %u %s", bytes[0], bytes[1], bytes[2], hex);
    free(hex);
    return text;
}

/* The record's data; NULL: not what it claims to be. */
static char *read_data(struct reader *reader, struct dp_dns_record *record, size_t size)
{
    const uint8_t *bytes = reader->bytes + reader->at;
    size_t end = reader->at + size;
    switch (record->type) {
    case DP_DNS_A:
        return size == 4 ? text_address(AF_INET, bytes) : NULL;
    case DP_DNS_AAAA:
        return size == 16 ? text_address(AF_INET6, bytes) : NULL;
    case DP_DNS_NS:
    case DP_DNS_CNAME:
    case DP_DNS_PTR:
        return text_target(reader, record, end, 0);
    case DP_DNS_MX:
        return text_target(reader, record, end, 1);
    case DP_DNS_SRV:
        return text_target(reader, record, end, 3);
    case DP_DNS_SOA:
        return text_soa(reader, record, end);
    case DP_DNS_TXT:
        return text_strings(bytes, size);
    case DP_DNS_TLSA:
        return text_tlsa(bytes, size);
    default:
        return text_hex(bytes, size);
    }
}

static int read_record(struct reader *reader, enum dp_dns_section section, struct dp_dns_record *record)
{
    *record = (struct dp_dns_record){.section = section};
    if (read_name(reader, record->name))
        return DP_ERR_FORMAT;
    if (reader->length - reader->at < 10)
        return DP_ERR_TRUNCATED;
    const uint8_t *at = reader->bytes + reader->at;
    size_t size = get16(at + 8);
    record->type = get16(at);
    record->ttl = get32(at + 4);
    reader->at += 10;
    if (size > reader->length - reader->at)
        return DP_ERR_TRUNCATED;
    size_t end = reader->at + size;
    record->data = read_data(reader, record, size);
    reader->at = end;
    return record->data ? 0 : DP_ERR_FORMAT;
}

static int read_records(struct reader *reader, const uint16_t counts[3], struct dp_dns_message *message)
{
    for (int section = DP_DNS_ANSWER; section <= DP_DNS_ADDITIONAL; section++)
        for (unsigned i = 0; i < counts[section]; i++) {
            if (message->count == DP_DNS_RECORDS_MAX)
                return 0; // enough; nobody has so many
            struct dp_dns_record record;
            int rc = read_record(reader, (enum dp_dns_section)section, &record);
            if (rc)
                return rc;
            void *more = realloc(message->records, (message->count + 1) * sizeof record);
            if (!more) {
                free(record.data);
                return DP_ERR_NOMEM;
            }
            message->records = more;
            message->records[message->count++] = record;
        }
    return 0;
}

int dp_dns_read(const uint8_t *bytes, size_t length, struct dp_dns_message *ret_message)
{
    if (length < HEADER || length > 65535)
        return DP_ERR_TRUNCATED;
    if (!(bytes[2] & 0x80))
        return DP_ERR_FORMAT; // a question
    struct dp_dns_message message = {.id = get16(bytes),
                                     .aa = (bytes[2] & 4) != 0,
                                     .tc = (bytes[2] & 2) != 0,
                                     .rd = (bytes[2] & 1) != 0,
                                     .ra = (bytes[3] & 0x80) != 0,
                                     .rcode = bytes[3] & 15};
    struct reader reader = {bytes, length, HEADER};
    uint16_t counts[3] = {get16(bytes + 6), get16(bytes + 8), get16(bytes + 10)};
    char name[DP_DNS_NAME];
    for (unsigned i = 0; i < get16(bytes + 4); i++) {
        if (read_name(&reader, name))
            return DP_ERR_FORMAT;
        if (reader.length - reader.at < 4)
            return DP_ERR_TRUNCATED;
        reader.at += 4;
    }
    int rc = read_records(&reader, counts, &message);
    if (rc && !(message.tc && rc != DP_ERR_NOMEM)) {
        dp_dns_message_free(&message);
        return rc;
    }
    *ret_message = message;
    return 0;
}

void dp_dns_message_free(struct dp_dns_message *message)
{
    for (size_t i = 0; i < message->count; i++)
        free(message->records[i].data);
    free(message->records);
    *message = (struct dp_dns_message){.count = 0};
}

bool dp_dns_reverse_name(const char *address, char name[DP_DNS_NAME])
{
    uint8_t v4[4], v6[16];
    if (inet_pton(AF_INET, address, v4) == 1) {
        (void)snprintf(name, DP_DNS_NAME, "%u.%u.%u.%u.in-addr.arpa", v4[3], v4[2], v4[1], v4[0]);
        return true;
    }
    if (inet_pton(AF_INET6, address, v6) != 1)
        return false;
    size_t used = 0;
    for (int i = 15; i >= 0; i--)
        used += (size_t)snprintf(name + used, DP_DNS_NAME - used, "%x.%x.", v6[i] & 15, v6[i] >> 4);
    (void)snprintf(name + used, DP_DNS_NAME - used, "ip6.arpa");
    return true;
}

bool dp_dns_serial_newer(uint32_t a, uint32_t b)
{
    uint32_t difference = a - b;
    return difference != 0 && difference < 0x80000000U;
}
