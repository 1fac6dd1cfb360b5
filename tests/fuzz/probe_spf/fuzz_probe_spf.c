/* Any text as an SPF record: lines of the input are the TXT records of the names in the order in which they
 * are asked for. */
#include <stdlib.h>
#include <string.h>

#include "agent/probe/dns/spf.h"
#include "agent/probe/dns/spf_macro.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = malloc(size + 1), out[DP_DNS_NAME];
    struct dp_spf *spf = NULL;
    const char *name;
    uint16_t type;
    unsigned steps = 0;
    if (!text)
        return 0;
    memcpy(text, data, size);
    text[size] = '\0';
    struct dp_spf_names names = {"192.0.2.1", "example.net", "a.example.net"};
    if (dp_spf_expand(text, &names, out) && (!out[0] || strlen(out) > 253))
        abort();
    if (dp_spf_new("example.net", size % 2 ? "192.0.2.1" : "2001:db8::1", &spf)) {
        free(text);
        return 0;
    }
    char *at = text;
    while (dp_spf_wants(spf, &name, &type)) {
        char *line = at;
        at += strcspn(at, "\n");
        if (*at)
            *at++ = '\0';
        struct dp_dns_record record = {.section = DP_DNS_ANSWER, .type = type, .data = line};
        strncpy(record.target, line, sizeof record.target - 1);
        struct dp_dns_message message = {.records = &record, .count = line[0] ? 1 : 0};
        dp_spf_answer(spf, true, &message);
        if (++steps > 1000)
            abort();
    }
    dp_spf_free(spf);
    free(text);
    return 0;
}
