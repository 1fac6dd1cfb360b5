/* What an agent has to say of a probe, on its way to the collector: the result, or why there is none. One
 * record is one batch of a stream of probes: "dpr\x01", then one zstd frame of JSON. Free of I/O. */
#ifndef DROPPOINT_COMMON_PROBE_RECORD_PROBE_RECORD_H
#define DROPPOINT_COMMON_PROBE_RECORD_PROBE_RECORD_H

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

#include "common/err/err.h"

#define DP_RECORD_MAX_BYTES (1024 * 1024)     /* packed: a batch of the wire */
#define DP_RECORD_MAX_JSON (16 * 1024 * 1024) /* unpacked */

/* {"started_ns": CLOCK_REALTIME of the agent, "result": {an entry of the document's "results"}} or
 * {"started_ns": ..., "error": dp_err_name, "text": sentence}. New references; NULL when out of memory. */
json_t *dp_probe_record_result(int64_t started_ns, json_t *result);
json_t *dp_probe_record_error(int64_t started_ns, int code, const char *text);

/* *ret_bytes is malloc'd. DP_ERR_NOMEM; DP_ERR_FULL: it is larger than a record may be. */
int dp_probe_record_encode(const json_t *record, uint8_t **ret_bytes, size_t *ret_len) DP_MUST_CHECK;

/* Unpacks and validates: names, types and bounds of all fields, that `data` is an object. *ret_record is a
 * new reference. DP_ERR_FORMAT with diag naming what is wrong; DP_ERR_NOMEM. */
int dp_probe_record_decode(const uint8_t *bytes, size_t len, json_t **ret_record,
                           struct dp_diag *diag) DP_MUST_CHECK;

#endif
