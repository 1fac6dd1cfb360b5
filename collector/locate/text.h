/* Small helpers for the engine's sentences. */
#ifndef DROPPOINT_COLLECTOR_LOCATE_TEXT_H
#define DROPPOINT_COLLECTOR_LOCATE_TEXT_H

#include <stdbool.h>
#include <stdint.h>

#include "collector/locate/engine.h"

#define TEXT_NUMBER 32
/* 54416 -> "54,416" */
const char *text_number(uint64_t value, char text[TEXT_NUMBER]);

/* "198.51.100.9:25": text has room for DP_ENDPOINT_TEXT. */
void endpoint_text(const struct flow *flow, bool server, char *text);

#endif
