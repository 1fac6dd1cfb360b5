/* Any bytes as an answer of a name server, and as the answers that an SPF record asks for. */
#include <stdlib.h>
#include <string.h>

#include "agent/probe/dns/spf.h"
#include "agent/probe/dns/verdict.h"
#include "agent/probe/net/dns_codec.h"
#include "agent/probe/zone/transfer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Whatever it is answered, the evaluation ends within its limits. */
static void evaluate(const struct dp_dns_message *message, const char *address)
{
    struct dp_spf *spf = NULL;
    const char *name;
    uint16_t type;
    unsigned steps = 0;
    if (dp_spf_new("example.net", address, &spf))
        return;
    while (dp_spf_wants(spf, &name, &type)) {
        struct dp_dns_message copy = *message;
        for (size_t i = 0; i < copy.count; i++) // as if all records were of the type asked for
            copy.records[i].section = DP_DNS_ANSWER;
        dp_spf_answer(spf, ++steps % 7 != 0, &copy);
        if (steps > 1000 || dp_spf_lookups(spf) > DP_SPF_LOOKUPS_MAX + 1 ||
            dp_spf_voids(spf) > DP_SPF_VOIDS_MAX + 1)
            abort();
    }
    dp_spf_free(spf);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct dp_dns_message message;
    (void)zone_transfer_judge(data, size);
    if (dp_dns_read(data, size, &message))
        return 0;
    for (size_t i = 0; i < message.count; i++) {
        const struct dp_dns_record *record = &message.records[i];
        if (!record->data || strlen(record->name) >= DP_DNS_NAME)
            abort();
        for (const char *c = record->data; *c; c++)
            if (*c < ' ' || *c > '~')
                abort();
    }
    struct dns_cell cell = {.done = false};
    struct dp_dns_answer answer = {.message = message};
    dns_cell_take(&cell, &answer, DP_DNS_MX, true);
    dns_cell_free(&cell);
    evaluate(&message, "192.0.2.1");
    evaluate(&message, NULL);
    dp_dns_message_free(&message);
    return 0;
}
