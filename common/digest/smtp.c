#include "common/digest/smtp.h"

#include <string.h>
#include <strings.h>

#include "common/digest/note_text.h"

static const struct {
    char name[9];
    uint8_t len;
    uint16_t verb;
} verbs[] = {
    {"HELO", 4, DP_SMTP_HELO}, {"EHLO", 4, DP_SMTP_EHLO}, {"MAIL", 4, DP_SMTP_MAIL},
    {"RCPT", 4, DP_SMTP_RCPT}, {"DATA", 4, DP_SMTP_DATA}, {"BDAT", 4, DP_SMTP_BDAT},
    {"RSET", 4, DP_SMTP_RSET}, {"NOOP", 4, DP_SMTP_NOOP}, {"QUIT", 4, DP_SMTP_QUIT},
    {"VRFY", 4, DP_SMTP_VRFY}, {"AUTH", 4, DP_SMTP_AUTH}, {"STARTTLS", 8, DP_SMTP_STARTTLS},
};

bool dp_smtp_port(uint16_t port)
{
    return port == 25 || port == 587 || port == 2525;
}

static bool ends_with(const uint8_t *at, size_t len, const char *text, size_t text_len)
{
    return len >= text_len && memcmp(at + len - text_len, text, text_len) == 0;
}

/* The lone dot at the payload's end; a QUIT may be pipelined behind it (RFC 2920), as Postfix does. */
static bool ends_data(const struct dp_packet *packet)
{
    size_t len = packet->payload_captured;
    if (len != packet->payload_len)
        return false;
    if (ends_with(packet->payload, len, "\r\n.\r\nQUIT\r\n", 11) ||
        (len == 9 && memcmp(packet->payload, ".\r\nQUIT\r\n", 9) == 0))
        len -= 6;
    return ends_with(packet->payload, len, "\r\n.\r\n", 5) ||
           (len == 3 && memcmp(packet->payload, ".\r\n", 3) == 0);
}

static uint16_t verb_at(const uint8_t *at, size_t len)
{
    for (size_t i = 0; i < sizeof verbs / sizeof verbs[0]; i++) {
        size_t n = verbs[i].len;
        if (len <= n || strncasecmp((const char *)at, verbs[i].name, n) != 0)
            continue;
        if (at[n] == ' ' || (at[n] == '\r' && len > n + 1 && at[n + 1] == '\n'))
            return verbs[i].verb;
    }
    return 0;
}

/* "BDAT 1000 LAST": its content follows the line at once, without waiting for a reply. */
static void begin_chunk(struct dp_smtp *smtp, const struct dp_packet *packet)
{
    const uint8_t *end = memchr(packet->payload, '\n', packet->payload_captured);
    uint32_t size = 0;
    for (const uint8_t *at = packet->payload + 5; at < packet->payload + packet->payload_captured; at++) {
        if (*at < '0' || *at > '9' || size > INT32_MAX / 10 - 1)
            break;
        size = size * 10 + (uint32_t)(*at - '0');
    }
    if (!end)
        return;
    smtp->has_chunk = true;
    smtp->chunk_end = packet->seq + (uint32_t)(end + 1 - packet->payload) + size;
}

uint16_t dp_smtp_client(struct dp_smtp *smtp, const struct dp_packet *packet)
{
    if (smtp->state == DP_SMTP_STATE_TLS || packet->payload_captured == 0)
        return 0;
    if (smtp->has_chunk) {
        if ((int32_t)(packet->seq - smtp->chunk_end) < 0)
            return 0;
        smtp->has_chunk = false;
    }
    bool begins = smtp->state == DP_SMTP_STATE_CONTENT && !smtp->content_begun;
    if (begins) {
        smtp->content_begun = true;
        dp_mail_begin(&smtp->header, packet->seq);
    }
    if (ends_data(packet)) {
        smtp->state = DP_SMTP_STATE_COMMANDS;
        smtp->awaits_queue_id = true;
        return DP_SMTP_END_OF_DATA;
    }
    if (smtp->state == DP_SMTP_STATE_CONTENT)
        return begins ? DP_SMTP_CONTENT : 0;
    uint16_t verb = verb_at(packet->payload, packet->payload_captured);
    if (verb == DP_SMTP_STARTTLS)
        smtp->state = DP_SMTP_STATE_STARTTLS;
    else if (verb == DP_SMTP_BDAT)
        begin_chunk(smtp, packet);
    return verb;
}

/* The code of the reply line at `at`, 0 where there is none. */
static uint16_t code_at(const uint8_t *at, const uint8_t *end)
{
    if (end - at < 4 || at[0] < '2' || at[0] > '5' || at[1] < '0' || at[1] > '9' || at[2] < '0' ||
        at[2] > '9')
        return 0;
    if (at[3] != ' ' && at[3] != '-' && at[3] != '\r')
        return 0;
    return (uint16_t)((at[0] - '0') * 100 + (at[1] - '0') * 10 + (at[2] - '0'));
}

static const uint8_t *line_end(const uint8_t *at, const uint8_t *end)
{
    const uint8_t *newline = memchr(at, '\n', (size_t)(end - at));
    return newline ? newline + 1 : end;
}

bool dp_smtp_next_reply(const uint8_t **at, const uint8_t *end, struct dp_smtp_reply *ret_reply)
{
    uint16_t code = code_at(*at, end);
    if (code == 0)
        return false;
    const uint8_t *line = *at;
    bool more = true;
    while (more && code_at(line, end) == code) {
        more = line[3] == '-';
        line = line_end(line, end);
    }
    *ret_reply = (struct dp_smtp_reply){.code = code, .begin = *at, .end = line};
    *at = line;
    return true;
}

void dp_smtp_replied(struct dp_smtp *smtp, uint16_t code, uint32_t seq)
{
    if (smtp->state == DP_SMTP_STATE_TLS)
        return;
    if (code == 354) {
        if (smtp->state != DP_SMTP_STATE_CONTENT || (int32_t)(seq - smtp->content_seq) > 0)
            smtp->content_begun = false; /* else the same reply, sent again */
        smtp->state = DP_SMTP_STATE_CONTENT;
        smtp->content_seq = seq;
    } else if (smtp->state == DP_SMTP_STATE_STARTTLS) {
        smtp->state = code == 220 ? DP_SMTP_STATE_TLS : DP_SMTP_STATE_COMMANDS;
    } else if (smtp->state == DP_SMTP_STATE_CONTENT && (int32_t)(seq - smtp->content_seq) > 0) {
        smtp->state = DP_SMTP_STATE_COMMANDS;
    }
}

void dp_smtp_reply_text(const struct dp_smtp_reply *reply, char ret_text[DP_NOTE_TEXT])
{
    size_t used = 0;
    ret_text[0] = '\0';
    for (const uint8_t *line = reply->begin; line < reply->end;) {
        const uint8_t *next = line_end(line, reply->end);
        const uint8_t *end = next;
        while (end > line + 3 && (end[-1] == '\n' || end[-1] == '\r'))
            end--;
        if (line != reply->begin)
            used = dp_note_text_append(ret_text, used, (const uint8_t *)" / ", 3);
        if (end > line + 4)
            used = dp_note_text_append(ret_text, used, line + 4, (size_t)(end - line - 4));
        line = next;
    }
}
