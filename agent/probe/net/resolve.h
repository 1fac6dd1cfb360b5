/* Names to addresses, by c-ares on the loop: hosts file first, then the system's resolvers. */
#ifndef DROPPOINT_AGENT_PROBE_NET_RESOLVE_H
#define DROPPOINT_AGENT_PROBE_NET_RESOLVE_H

#include <stddef.h>
#include <uv.h>

#include "agent/probe/net/target.h"
#include "common/err/err.h"

struct dp_resolver;
struct dp_lookup;

#define DP_ADDRESSES_MAX 64

/* code 0: `addresses` in the order of RFC 6724, ports as asked for, `count` of them (1 or more).
 * DP_ERR_NOT_FOUND: there is no such name, or none of this family; DP_ERR_UNAVAILABLE, DP_ERR_TIMEOUT: no
 * resolver answers. `why` is one sentence. */
typedef void dp_lookup_done(void *context, int code, const char *why, const union dp_address *addresses,
                            size_t count);

int dp_resolver_new(uv_loop_t *loop, struct dp_resolver **ret_resolver, struct dp_diag *diag) DP_MUST_CHECK;
void dp_resolver_free(struct dp_resolver *resolver); /* NULL is fine; lookups that run are dropped */

/* `done` is called later, never from within, once; not at all after dp_lookup_drop. Literal addresses need no
 * resolver. DP_ERR_NOMEM. */
int dp_lookup_start(struct dp_resolver *resolver, const char *name, int family, uint16_t port,
                    dp_lookup_done *done, void *context, struct dp_lookup **ret_lookup) DP_MUST_CHECK;
/* To be called also after `done`; NULL is fine. */
void dp_lookup_drop(struct dp_lookup *lookup);

#define DP_MX_MAX 64

struct dp_mx {
    uint16_t preference;
    char host[DP_HOST_TEXT]; /* "" is the null MX of RFC 7505 */
};

struct dp_mx_lookup;
/* code 0: `list` by preference, `count` 1 or more. DP_ERR_NOT_FOUND: no MX, or no such domain;
 * DP_ERR_UNAVAILABLE, DP_ERR_TIMEOUT: nobody can tell. */
typedef void dp_mx_done(void *context, int code, const char *why, const struct dp_mx *list, size_t count);

/* As dp_lookup_start. */
int dp_mx_start(struct dp_resolver *resolver, const char *domain, dp_mx_done *done, void *context,
                struct dp_mx_lookup **ret_lookup) DP_MUST_CHECK;
void dp_mx_drop(struct dp_mx_lookup *lookup); /* also after `done`; NULL is fine */

#endif
