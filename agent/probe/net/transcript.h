/* What was said in a dialogue, line by line, without the secrets in it. */
#ifndef DROPPOINT_AGENT_PROBE_NET_TRANSCRIPT_H
#define DROPPOINT_AGENT_PROBE_NET_TRANSCRIPT_H

#include <jansson.h>
#include <stddef.h>

#include "agent/probe/net/auth_file.h"

#define DP_TRANSCRIPT_MAX 400 /* lines; more are left out */

/* Appends "S: text" or "C: text" to the array. NULs become '?', secrets "<hidden>". */
void dp_transcript_add(json_t *transcript, const struct dp_auth *auth, char who, const char *text,
                       size_t length);

#endif
