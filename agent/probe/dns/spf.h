/* Sender Policy Framework, RFC 7208: check_host() as a machine that says which question it needs answered
 * next. I/O-free. */
#ifndef DROPPOINT_AGENT_PROBE_DNS_SPF_H
#define DROPPOINT_AGENT_PROBE_DNS_SPF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/probe/net/dns_codec.h"
#include "common/err/err.h"

#define DP_SPF_LOOKUPS_MAX 10 /* RFC 7208 4.6.4 */
#define DP_SPF_VOIDS_MAX 2

enum dp_spf_result {
    DP_SPF_NONE,
    DP_SPF_NEUTRAL,
    DP_SPF_PASS,
    DP_SPF_FAIL,
    DP_SPF_SOFTFAIL,
    DP_SPF_TEMPERROR,
    DP_SPF_PERMERROR,
};
const char *dp_spf_result_name(enum dp_spf_result result);

struct dp_spf;

/* For mail from postmaster@`domain` by a host of `address` that says `domain` in EHLO. `address` NULL:
 * nothing matches, so that every term is looked at: this counts what the record costs at worst. DP_ERR_USAGE:
 * no address, name too long; DP_ERR_NOMEM. */
int dp_spf_new(const char *domain, const char *address, struct dp_spf **ret_spf) DP_MUST_CHECK;
void dp_spf_free(struct dp_spf *spf); /* NULL is fine */

/* True: *ret_name and *ret_type are to be asked for, and dp_spf_answer tells what came. False: it is over. */
bool dp_spf_wants(const struct dp_spf *spf, const char **ret_name, uint16_t *ret_type);
/* `answered` false: no answer, or one that is none (SERVFAIL and the like). NXDOMAIN is an answer. */
void dp_spf_answer(struct dp_spf *spf, bool answered, const struct dp_dns_message *message);

enum dp_spf_result dp_spf_outcome(const struct dp_spf *spf);
unsigned dp_spf_lookups(const struct dp_spf *spf);
unsigned dp_spf_voids(const struct dp_spf *spf);
const char *dp_spf_record(const struct dp_spf *spf); /* of the domain itself; "" where it has none */
const char *
dp_spf_why(const struct dp_spf *spf); /* a clause with permerror, temperror and what matched; "" else */

#endif
