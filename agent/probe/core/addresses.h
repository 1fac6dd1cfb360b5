/* One probe of the same kind for each address of a name. For kinds that by themselves look at one address. */
#ifndef DROPPOINT_AGENT_PROBE_CORE_ADDRESSES_H
#define DROPPOINT_AGENT_PROBE_CORE_ADDRESSES_H

#include <stdbool.h>
#include <stddef.h>

#include "agent/probe/core/parts.h"
#include "agent/probe/net/target.h"

/* dp_parts_rules of addresses; the classes from good to bad, NULL at the end. */
#define DP_ADDRESSES_RULES(from_good_to_bad)                                                                 \
    {                                                                                                        \
        .classes = (from_good_to_bad), .array = "addresses", .at_once = 64                                   \
    }

/* To be called where the name's addresses have come, with what the user wrote as target: true where it is a
 * name. Then the kind has nothing more to do but dp_parts_expire and dp_parts_free. False: a literal address,
 * which is the kind's own matter. `name_option` gets the name where the user gave none ("--servername");
 * NULL: nothing does. */
bool dp_addresses_take(struct dp_probe *probe, const struct dp_parts_rules *rules,
                       const struct dp_host_port *target, const char *name_option,
                       const union dp_address *addresses, size_t count, struct dp_parts **ret_parts);

#endif
