/* The few lines in the clear before TLS: SMTP (RFC 3207), IMAP (RFC 9051), POP3 (RFC 2595). I/O-free. */
#ifndef DROPPOINT_AGENT_PROBE_TLS_STARTTLS_H
#define DROPPOINT_AGENT_PROBE_TLS_STARTTLS_H

#include <stdbool.h>
#include <stddef.h>

enum starttls_protocol { STARTTLS_NONE, STARTTLS_SMTP, STARTTLS_IMAP, STARTTLS_POP3 };

enum starttls_step {
    STARTTLS_WAIT,   /* for more lines */
    STARTTLS_SAY,    /* `say` is to be sent */
    STARTTLS_READY,  /* TLS begins */
    STARTTLS_ABSENT, /* the server does not offer it, or refuses for good */
    STARTTLS_LATER,  /* the server puts it off (421, 454 ...), or turns this host away: no answer to the
                        question */
};

struct starttls {
    enum starttls_protocol protocol;
    int phase; /* 0 greeting, 1 capabilities, 2 STARTTLS */
    const char *say;
};

/* Takes the server's next line. */
enum starttls_step starttls_take(struct starttls *starttls, const char *line, size_t length);

#endif
