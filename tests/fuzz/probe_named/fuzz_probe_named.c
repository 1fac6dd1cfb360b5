/* Any bytes as a BIND configuration; what it includes is the bytes behind a line "====", or itself. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "agent/probe/zone/named_conf.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct input {
    const char *first, *second;
    size_t first_length, second_length;
};

static int load(void *context, const char *path, char **ret_text, size_t *ret_length, struct dp_diag *diag)
{
    const struct input *input = context;
    bool top = strcmp(path, "/etc/named.conf") == 0;
    size_t length = top ? input->first_length : input->second_length;
    (void)diag;
    char *text = malloc(length ? length : 1); // of its very size: a byte read behind it shows
    if (!text)
        return DP_ERR_NOMEM;
    if (length)
        memcpy(text, top ? input->first : input->second, length);
    *ret_text = text;
    *ret_length = length;
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char border[] = "\n====\n";
    struct input input = {(const char *)data, "", size, 0};
    const char *found = size ? memmem(data, size, border, sizeof border - 1) : NULL;
    if (found) {
        input.first_length = (size_t)(found - input.first) + 1;
        input.second = found + sizeof border - 1;
        input.second_length = size - (size_t)(input.second - input.first);
    }
    struct named_conf conf;
    struct dp_diag diag = {""};
    int rc = named_conf_read("/etc/named.conf", load, &input, &conf, &diag);
    if (rc) {
        if (rc == DP_ERR_USAGE && !strstr(diag.text, ", line ") && !strstr(diag.text, "too many files"))
            abort();
        return 0;
    }
    for (size_t i = 0; i < conf.zone_count; i++) {
        const struct named_zone *zone = &conf.zones[i];
        union dp_address address;
        if (!zone->name[0] || strlen(zone->name) > 253 || zone->primary_count > NAMED_SERVERS_MAX)
            abort();
        for (size_t k = 0; k < zone->primary_count; k++)
            if (dp_address_parse(zone->primaries[k].text, 53, &address) || zone->primaries[k].port > 65535)
                abort();
    }
    named_conf_free(&conf);
    return 0;
}
