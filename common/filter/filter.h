/* A pcap-filter expression, compiled for each link type that is met. pcap-filter looks at a frame's outermost
 * headers; that would be one packet at a vantage point where it travels as it is and another where a VLAN tag
 * or a tunnel carries it. So the question is put to the innermost packet, wherever it travels inside of
 * something. */
#ifndef DROPPOINT_CLI_LOCATE_FILTER_H
#define DROPPOINT_CLI_LOCATE_FILTER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/err/err.h"

struct dp_filter;

enum dp_filter_level {
    DP_FILTER_INNERMOST, /* the packet that is followed; as captured where only that has what the expression
                            names (vlan) */
    DP_FILTER_OUTERMOST, /* as captured */
    DP_FILTER_EITHER,
};

/* expression NULL or empty: everything passes. Copied. */
int dp_filter_new(const char *expression, enum dp_filter_level level,
                  struct dp_filter **ret_filter) DP_MUST_CHECK;
void dp_filter_free(struct dp_filter *filter); /* NULL is fine */

/* Whether a frame passes. DP_ERR_FILTER where the expression does not compile for this link type, with
 * libpcap's words. */
int dp_filter_match(struct dp_filter *filter, int link_type, const uint8_t *frame, size_t captured,
                    size_t wire_len, bool *ret_match, struct dp_diag *diag) DP_MUST_CHECK;

/* Of the frames so far, by DP_FILTER_INNERMOST, that did not pass: */
struct dp_filter_counts {
    uint64_t only_outside; /* as captured they would have */
    uint64_t cut;          /* the snap length cut the innermost headers, or those before them */
};
struct dp_filter_counts dp_filter_counts(const struct dp_filter *filter);

/* Compiles for Ethernet where no frame has been looked at, so that a bad expression is found also with empty
 * files. */
int dp_filter_check(struct dp_filter *filter, struct dp_diag *diag) DP_MUST_CHECK;

/* For a capture, where the kernel looks at frames as they come: the expression for the kernel, which lets
 * everything through that carries packets, and dp_filter_confirm for what comes through. `own` is the host's
 * own filter, NULL or blank: none; only what it lets through as captured is looked at. `expression` as above.
 * *ret_text is malloc'd. DP_ERR_NOMEM. */
int dp_filter_for_kernel(const char *own, const char *expression, char **ret_text) DP_MUST_CHECK;

/* Compiles for the only link type that will be met, so that dp_filter_confirm opens and allocates nothing.
 * DP_ERR_FILTER. */
int dp_filter_prepare(struct dp_filter *filter, int link_type, struct dp_diag *diag) DP_MUST_CHECK;

/* Whether a frame that the kernel let through belongs to what was asked for. So does one that is cut off. */
bool dp_filter_confirm(struct dp_filter *filter, int link_type, const uint8_t *frame, size_t captured,
                       size_t wire_len);

/* libpcap's name of a link type, or NULL. */
const char *dp_filter_link_type_name(int link_type);

#endif
