#include "agent/probe/trace/labels.h"

#include <string.h>

#define ICMP_HEADER 8
#define QUOTED_LEAST 128 /* with extensions, RFC 4884 5.1 */
#define CLASS_MPLS 1
#define TYPE_INCOMING_STACK 1

static bool has_extensions(bool v6, const uint8_t *bytes, size_t length)
{
    if (length < ICMP_HEADER)
        return false;
    return v6 ? bytes[0] == 1 || bytes[0] == 3 : bytes[0] == 3 || bytes[0] == 11 || bytes[0] == 12;
}

/* Where the extension begins; old routers leave the length out and mean 128 bytes. */
static size_t extension_at(bool v6, const uint8_t *bytes)
{
    size_t quoted = v6 ? (size_t)bytes[4] * 8 : (size_t)bytes[5] * 4;
    return ICMP_HEADER + (quoted ? quoted : QUOTED_LEAST);
}

/* Ones' complement over the whole extension comes to zero; a checksum of 0 says that none was made. */
static bool checksum_holds(const uint8_t *bytes, size_t length)
{
    uint32_t sum = 0;
    if (!bytes[2] && !bytes[3])
        return true;
    for (size_t i = 0; i + 1 < length; i += 2)
        sum += (uint32_t)bytes[i] << 8 | bytes[i + 1];
    while (sum >> 16)
        sum = (sum & 0xffff) + (sum >> 16);
    return sum == 0xffff;
}

size_t trace_labels_read(bool v6, const uint8_t *bytes, size_t length, struct trace_label *ret_labels)
{
    size_t count = 0;
    if (!has_extensions(v6, bytes, length))
        return 0;
    size_t at = extension_at(v6, bytes);
    if (at + 4 > length || bytes[at] >> 4 != 2 || !checksum_holds(bytes + at, length - at))
        return 0;
    for (at += 4; at + 4 <= length;) {
        size_t size = (size_t)(bytes[at] << 8 | bytes[at + 1]);
        if (size < 4 || size > length - at)
            return count;
        if (bytes[at + 2] == CLASS_MPLS && bytes[at + 3] == TYPE_INCOMING_STACK)
            for (size_t entry = at + 4; entry + 4 <= at + size && count < TRACE_LABELS_MAX; entry += 4) {
                const uint8_t *e = bytes + entry;
                ret_labels[count++] =
                    (struct trace_label){.label = (uint32_t)e[0] << 12 | (uint32_t)e[1] << 4 | e[2] >> 4,
                                         .traffic_class = e[2] >> 1 & 7,
                                         .bottom = e[2] & 1,
                                         .ttl = e[3]};
            }
        at += (size + 3) / 4 * 4;
    }
    return count;
}

bool trace_quotes_target(bool v6, const uint8_t *bytes, size_t length, const uint8_t *target)
{
    size_t header = v6 ? 40 : 20, at = ICMP_HEADER + (v6 ? 24 : 16);
    return length >= ICMP_HEADER + header && bytes[ICMP_HEADER] >> 4 == (v6 ? 6 : 4) &&
           memcmp(bytes + at, target, v6 ? 16 : 4) == 0;
}
