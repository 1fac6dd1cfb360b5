/* Quantities as operators write them. */
#ifndef DROPPOINT_COMMON_UNITS_UNITS_H
#define DROPPOINT_COMMON_UNITS_UNITS_H

#include <stdint.h>

#include "common/err/err.h"

/* "30", "30s", "5m", "1h", "500ms", "1.5s" to milliseconds. DP_ERR_USAGE. */
int dp_duration_parse(const char *text, uint64_t *ret_ms) DP_MUST_CHECK;

#endif
