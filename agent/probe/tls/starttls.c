#include "agent/probe/tls/starttls.h"

#include <string.h>
#include <strings.h>

static bool begins(const char *line, size_t length, const char *text)
{
    size_t size = strlen(text);
    return length >= size && strncasecmp(line, text, size) == 0;
}

static enum starttls_step say(struct starttls *s, const char *text)
{
    s->say = text;
    s->phase++;
    return STARTTLS_SAY;
}

static enum starttls_step take_smtp(struct starttls *s, const char *line, size_t length)
{
    if (length < 3 || line[0] < '2' || line[0] > '5')
        return STARTTLS_ABSENT; // no SMTP
    if (length > 3 && line[3] == '-')
        return STARTTLS_WAIT;
    if (line[0] == '4')
        return STARTTLS_LATER;
    if (s->phase == 0)
        return line[0] == '2' ? say(s, "EHLO droppoint.invalid\r\n") : STARTTLS_LATER;
    if (s->phase == 1) // asked for in any case: some servers hide it from strangers and do it all the same
        return say(s, "STARTTLS\r\n");
    return begins(line, length, "220") ? STARTTLS_READY : STARTTLS_ABSENT;
}

static enum starttls_step take_imap(struct starttls *s, const char *line, size_t length)
{
    if (begins(line, length, "* BYE"))
        return STARTTLS_LATER;
    if (s->phase == 0) {
        s->phase = 1;
        return begins(line, length, "* OK") ? say(s, "a STARTTLS\r\n") : STARTTLS_ABSENT;
    }
    if (begins(line, length, "* "))
        return STARTTLS_WAIT;
    return begins(line, length, "a OK") ? STARTTLS_READY : STARTTLS_ABSENT;
}

static enum starttls_step take_pop3(struct starttls *s, const char *line, size_t length)
{
    bool ok = begins(line, length, "+OK");
    if (s->phase == 0) {
        s->phase = 1;
        return ok ? say(s, "STLS\r\n") : begins(line, length, "-ERR") ? STARTTLS_LATER : STARTTLS_ABSENT;
    }
    return ok ? STARTTLS_READY : STARTTLS_ABSENT;
}

enum starttls_step starttls_take(struct starttls *s, const char *line, size_t length)
{
    switch (s->protocol) {
    case STARTTLS_SMTP:
        return take_smtp(s, line, length);
    case STARTTLS_IMAP:
        return take_imap(s, line, length);
    case STARTTLS_POP3:
        return take_pop3(s, line, length);
    case STARTTLS_NONE:
        break;
    }
    return STARTTLS_READY;
}
