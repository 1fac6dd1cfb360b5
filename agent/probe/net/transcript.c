#include "agent/probe/net/transcript.h"

#include <stdlib.h>
#include <string.h>

#include "agent/probe/core/kind.h"

void dp_transcript_add(json_t *transcript, const struct dp_auth *auth, char who, const char *text,
                       size_t length)
{
    char *line = json_array_size(transcript) < DP_TRANSCRIPT_MAX ? malloc(length + 4) : NULL;
    if (!line)
        return;
    line[0] = who;
    line[1] = ':';
    line[2] = ' ';
    for (size_t i = 0; i < length; i++)
        line[3 + i] = text[i] ? text[i] : '?';
    line[3 + length] = '\0';
    dp_auth_redact(auth, line);
    (void)json_array_append_new(transcript, dp_peer_text(line, strlen(line)));
    free(line);
}
