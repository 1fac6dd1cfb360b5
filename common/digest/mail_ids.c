#include "common/digest/mail_ids.h"

#include <string.h>
#include <strings.h>

#define HEADER_MOST (64 * 1024)
#define ID_LEAST 5 /* shorter ones are not unique */

void dp_mail_begin(struct dp_mail_header *header, uint32_t seq)
{
    *header = (struct dp_mail_header){.open = true, .next = seq, .begin = seq};
}

static bool blank(uint8_t c)
{
    return c == ' ' || c == '\t';
}

static bool field(const uint8_t *line, size_t len, const char *name)
{
    size_t n = strlen(name);
    return len >= n && strncasecmp((const char *)line, name, n) == 0;
}

static bool add(struct dp_mail_id *ids, size_t most, size_t *count, struct dp_mail_id id)
{
    while (id.len && blank(id.text[0])) {
        id.text++;
        id.len--;
    }
    while (id.len && blank(id.text[id.len - 1]))
        id.len--;
    if (id.len < ID_LEAST || *count == most)
        return false;
    ids[(*count)++] = id;
    return true;
}

static size_t token_len(const uint8_t *at, const uint8_t *end)
{
    size_t len = 0;
    while (at + len < end && at[len] > ' ' && at[len] < 0x7f && at[len] != ';' && at[len] != '(' &&
           at[len] != ')')
        len++;
    return len;
}

/* "... with ESMTP id 4Xyz; ..." (RFC 5321, 4.4) */
static void received_id(const uint8_t *line, size_t len, uint32_t seq, struct dp_mail_id *ids, size_t most,
                        size_t *count)
{
    for (const uint8_t *at = line; at + 4 < line + len; at++)
        if (blank(at[0]) && strncasecmp((const char *)at + 1, "id", 2) == 0 && blank(at[3])) {
            struct dp_mail_id id = {.kind = DP_NOTE_RECEIVED_ID, .text = at + 4, .seq = seq};
            while (id.text < line + len && blank(*id.text))
                id.text++;
            id.len = token_len(id.text, line + len);
            (void)add(ids, most, count, id);
            return;
        }
}

/* One line without its end. */
static void read_line(struct dp_mail_header *header, const uint8_t *line, size_t len, uint32_t seq,
                      struct dp_mail_id *ids, size_t most, size_t *count)
{
    if (len == 0) {
        header->open = false;
        return;
    }
    bool continued = blank(line[0]);
    if (!continued) {
        header->in_received = field(line, len, "Received:");
        header->in_id = field(line, len, "Message-ID:");
    }
    if (header->in_received)
        received_id(line, len, seq, ids, most, count);
    size_t skip = continued ? 0 : strlen("Message-ID:");
    if (header->in_id &&
        add(ids, most, count,
            (struct dp_mail_id){
                .kind = DP_NOTE_MESSAGE_ID, .text = line + skip, .len = len - skip, .seq = seq}))
        header->in_id = false;
}

size_t dp_mail_read(struct dp_mail_header *header, uint32_t seq, const uint8_t *payload, size_t captured,
                    size_t len, struct dp_mail_id *ret_ids, size_t most)
{
    size_t count = 0;
    if (!header->open || len == 0 || (int32_t)(header->next - seq) < 0) {
        header->open = header->open && len == 0; /* a hole: what follows is not read */
        return 0;
    }
    size_t at = header->next - seq; /* sent again: what was read already is skipped */
    while (header->open && at < captured) {
        const uint8_t *newline = memchr(payload + at, '\n', captured - at);
        if (!newline)
            break;
        size_t end = (size_t)(newline - payload);
        size_t text = end > at && payload[end - 1] == '\r' ? end - 1 : end;
        if (!header->mid_line)
            read_line(header, payload + at, text - at, seq + (uint32_t)at, ret_ids, most, &count);
        header->mid_line = false;
        at = end + 1;
    }
    if (at < len) { /* the line goes on in the next packet, or the snap length cut it off */
        header->mid_line = true;
        header->in_received = header->in_id = false;
    }
    header->next = seq + (uint32_t)(at > len ? at : len);
    if (header->next - header->begin > HEADER_MOST)
        header->open = false;
    return count;
}

static const uint8_t *find(const uint8_t *text, size_t len, const char *what)
{
    return memmem(text, len, what, strlen(what));
}

bool dp_mail_queue_id(const uint8_t *reply, size_t len, const uint8_t **ret_text, size_t *ret_len)
{
    const uint8_t *end = reply + len, *at;
    if ((at = find(reply, len, "queued as "))) { /* Postfix */
        at += 10;
    } else if ((at = find(reply, len, " id="))) { /* Exim */
        at += 4;
    } else if ((at = find(reply, len, " Message accepted for delivery")) &&
               at > reply) { /* Sendmail, OpenSMTPD */
        end = at;
        while (at > reply && at[-1] > ' ')
            at--;
    } else {
        return false;
    }
    size_t n = token_len(at, end);
    if (n < ID_LEAST)
        return false;
    *ret_text = at;
    *ret_len = n;
    return true;
}
