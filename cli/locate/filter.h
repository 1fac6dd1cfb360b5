/* A pcap-filter expression, compiled for each link type that is met. */
#ifndef DROPPOINT_CLI_LOCATE_FILTER_H
#define DROPPOINT_CLI_LOCATE_FILTER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/err/err.h"

struct dp_filter;

/* expression NULL or empty: everything passes. Copied. */
int dp_filter_new(const char *expression, struct dp_filter **ret_filter) DP_MUST_CHECK;
void dp_filter_free(struct dp_filter *filter); /* NULL is fine */

/* Whether a frame passes. DP_ERR_FILTER where the expression does not compile for this link type, with
 * libpcap's words. */
int dp_filter_match(struct dp_filter *filter, int link_type, const uint8_t *frame, size_t captured,
                    size_t wire_len, bool *ret_match, struct dp_diag *diag) DP_MUST_CHECK;

/* Compiles for Ethernet where no frame has been looked at, so that a bad expression is found also with empty
 * files. */
int dp_filter_check(struct dp_filter *filter, struct dp_diag *diag) DP_MUST_CHECK;

/* libpcap's name of a link type, or NULL. */
const char *dp_filter_link_type_name(int link_type);

#endif
