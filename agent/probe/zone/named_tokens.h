/* Words of a BIND configuration: comments left out, lines counted. I/O-free. */
#ifndef DROPPOINT_AGENT_PROBE_ZONE_NAMED_TOKENS_H
#define DROPPOINT_AGENT_PROBE_ZONE_NAMED_TOKENS_H

#include <stddef.h>

#define NAMED_WORD_MAX 1024

enum named_kind {
    NAMED_END,
    NAMED_WORD,
    NAMED_STRING, /* in quotes */
    NAMED_OPEN,
    NAMED_CLOSE,
    NAMED_SEMICOLON,
    NAMED_BAD, /* text says what is wrong */
};

struct named_token {
    enum named_kind kind;
    unsigned line;
    char text[NAMED_WORD_MAX];
};

struct named_tokens {
    const char *at, *end;
    unsigned line; /* 1 at the start */
};

void named_next(struct named_tokens *tokens, struct named_token *ret_token);

#endif
