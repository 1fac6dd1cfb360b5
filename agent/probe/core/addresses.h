/* One probe of the same kind for each address of a name, and one result of them all: the worst one's, with an
 * entry for each in data.addresses. For kinds that by themselves look at one address. */
#ifndef DROPPOINT_AGENT_PROBE_CORE_ADDRESSES_H
#define DROPPOINT_AGENT_PROBE_CORE_ADDRESSES_H

#include <stdbool.h>
#include <stddef.h>

#include "agent/probe/core/kind.h"
#include "agent/probe/net/target.h"

struct dp_addresses;

struct dp_addresses_rules {
    const char *const
        *classes;            /* the kind's own from good to bad, NULL at the end: where two have one status */
    const char *name_option; /* gets the name where the user gave none ("--servername"); NULL: nothing does */
};

/* To be called where the name's addresses have come, with what the user wrote as target: true where it is a
 * name. Then the kind has nothing more to do but to call the two below; the probe's result is made here, also
 * where something fails. False: a literal address, which is the kind's own matter. The addresses' ports
 * count as given by the user where `target->port` is one. */
bool dp_addresses_take(struct dp_probe *probe, const struct dp_addresses_rules *rules,
                       const struct dp_host_port *target, const union dp_address *addresses, size_t count,
                       struct dp_addresses **ret_addresses);
/* The kind's expire(): false where `addresses` is NULL. */
bool dp_addresses_expire(struct dp_addresses *addresses);
void dp_addresses_free(struct dp_addresses *addresses); /* NULL is fine */

/* For the kind's print(): a line for each address where there are several. */
void dp_addresses_print(const json_t *data, FILE *out);

#endif
