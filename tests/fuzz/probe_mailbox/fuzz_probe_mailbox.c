/* Any bytes as what a mailbox server says. The first byte tells the protocol and what is asked of the server:
 * 'i' IMAP, 's' IMAP in search of a message, 'p' POP3; in capitals without login. */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "tests/fuzz/probe_mailbox/session_stub.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void on_ready(void *context)
{
    mailbox_imap_search(context);
}

/* As session.c does: the bytes of a literal belong to the line before them. */
static const char *take_literal(struct mailbox_session *s, const char *at, const char *end)
{
    size_t before = strlen(s->held),
           length = (size_t)(end - at) < s->literal ? (size_t)(end - at) : s->literal;
    char *whole = realloc(s->held, before + length + 1);
    if (!whole)
        abort();
    memcpy(whole + before, at, length);
    whole[before + length] = '\0';
    s->held = whole;
    s->literal = 0;
    return at + length;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct dp_auth auths[] = {{.known = false},
                                           {.known = true, .user = "alice", .password = "s3cret"}};
    if (size < 2)
        return 0;
    int kind = tolower(data[0]);
    struct mailbox_session s = {.protocol = kind == 'p' ? &mailbox_pop3 : &mailbox_imap,
                                .auth = &auths[kind == data[0]],
                                .folder = "INBOX",
                                .token = kind == 's' ? "0123456789abcdef" : NULL,
                                .ready = on_ready,
                                .context = &s,
                                .stage = MAILBOX_BANNER,
                                .json = json_object(),
                                .stages = json_array(),
                                .problems = json_array(),
                                .capabilities = json_array(),
                                .mailboxes = json_array()};
    const char *at = (const char *)data + 1, *end = (const char *)data + size;
    while (at < end && !s.over) {
        if (s.literal)
            at = take_literal(&s, at, end);
        const char *newline = memchr(at, '\n', (size_t)(end - at));
        size_t length = newline ? (size_t)(newline - at) : (size_t)(end - at);
        /* Of its own size, so that a byte too far is noticed. */
        char *line = malloc(length ? length : 1);
        if (!line)
            abort();
        memcpy(line, at, length);
        s.protocol->line(&s, line, length && line[length - 1] == '\r' ? length - 1 : length);
        free(line);
        at += length + (newline != NULL);
    }
    free(s.held);
    json_decref(s.json);
    json_decref(s.stages);
    json_decref(s.problems);
    json_decref(s.capabilities);
    json_decref(s.mailboxes);
    return 0;
}
