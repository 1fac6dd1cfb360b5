/* Whether a name server lets this host transfer a zone: AXFR over TCP (RFC 5936), cut off after the first
 * answer. */
#ifndef DROPPOINT_AGENT_PROBE_ZONE_TRANSFER_H
#define DROPPOINT_AGENT_PROBE_ZONE_TRANSFER_H

#include "agent/probe/core/kind.h"
#include "agent/probe/net/target.h"

enum zone_transfer { ZONE_TRANSFER_UNKNOWN, ZONE_TRANSFER_ALLOWED, ZONE_TRANSFER_REFUSED };

struct zone_transfer_try;
typedef void zone_transfer_done(void *context, enum zone_transfer outcome);

/* `done` comes once, never from within. DP_ERR_NOMEM, DP_ERR_USAGE (zone). */
int zone_transfer_start(struct dp_probe *probe, const union dp_address *server, const char *zone,
                        uint64_t timeout_ms, zone_transfer_done *done, void *context,
                        struct zone_transfer_try **ret_try) DP_MUST_CHECK;
void zone_transfer_drop(struct zone_transfer_try *try); /* NULL is fine */

/* What the first message of the answer says: `bytes` behind the two of the length. I/O-free. */
enum zone_transfer zone_transfer_judge(const uint8_t *bytes, size_t length);

#endif
