#include "agent/probe/queue/files.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void copy_clean(char *out, size_t size, const char *text, size_t length)
{
    size_t used = 0;
    for (size_t i = 0; i < length && used + 1 < size; i++)
        out[used++] = (char)(text[i] >= ' ' && text[i] < 127 ? text[i] : '?');
    out[used] = '\0';
}

static void add_recipient(struct queue_message *message, const char *text, size_t length)
{
    if (message->recipient_count < QUEUE_RECIPIENTS_MAX && length)
        copy_clean(message->recipients[message->recipient_count++], QUEUE_ADDRESS, text, length);
}

static int64_t number_of(const char *text, size_t length)
{
    int64_t number = 0;
    size_t i = 0;
    while (i < length && text[i] == ' ')
        i++;
    for (; i < length && isdigit((unsigned char)text[i]) && number < INT64_MAX / 100; i++)
        number = number * 10 + (text[i] - '0');
    return number;
}

/* Takes a record off; false at the end or where it does not fit. Lengths have seven bits a byte, the least
 * first. */
static bool next_record(const uint8_t **at, size_t *left, uint8_t *ret_type, const char **ret_data,
                        size_t *ret_length)
{
    size_t length = 0, used = 1;
    if (*left < 2)
        return false;
    for (unsigned shift = 0; used < *left && shift <= 28; shift += 7) {
        uint8_t byte = (*at)[used++];
        length |= (size_t)(byte & 0x7f) << shift;
        if (!(byte & 0x80)) {
            if (length > *left - used)
                return false;
            *ret_type = **at;
            *ret_data = (const char *)*at + used;
            *ret_length = length;
            *at += used + length;
            *left -= used + length;
            return true;
        }
    }
    return false;
}

bool queue_read_postfix(const uint8_t *bytes, size_t length, struct queue_message *ret_message)
{
    struct queue_message *message = ret_message;
    const char *data;
    size_t size;
    uint8_t type;
    bool any = false;
    *message = (struct queue_message){.arrived = 0};
    while (next_record(&bytes, &length, &type, &data, &size)) {
        if (!strchr("CTcfALSFODRMNXpoIqwezB<ndLEQKxrtPVgahlyviWu%", type))
            return any && message->recipient_count;
        any = true;
        if (type == 'T')
            message->arrived = number_of(data, size);
        else if (type == 'R')
            add_recipient(message, data, size);
    }
    return any && (message->arrived || message->recipient_count);
}

void queue_read_postfix_defer(const char *text, size_t length, struct queue_message *message)
{
    for (size_t at = 0; at < length;) {
        const char *line = text + at, *end = memchr(line, '\n', length - at);
        size_t size = end ? (size_t)(end - line) : length - at;
        if (size > 7 && memcmp(line, "reason=", 7) == 0) {
            copy_clean(message->reason, sizeof message->reason, line + 7, size - 7);
            message->tried = true;
        }
        at += size + 1;
    }
}

/* The next line, without its end; false at the end. */
static bool next_line(const char **at, size_t *left, const char **ret_line, size_t *ret_length)
{
    if (!*left)
        return false;
    const char *end = memchr(*at, '\n', *left);
    *ret_line = *at;
    *ret_length = end ? (size_t)(end - *at) : *left;
    size_t taken = *ret_length + (end != NULL);
    *at += taken;
    *left -= taken;
    return true;
}

/* Who got it already stands in a tree: "XX" for none, else lines of two letters and an address. */
static bool is_tree_line(const char *line, size_t length)
{
    return length >= 2 && (line[0] == 'X' || line[0] == 'Y' || line[0] == 'N') &&
           (line[1] == 'X' || line[1] == 'Y' || line[1] == 'N');
}

bool queue_read_exim(const char *text, size_t length, struct queue_message *ret_message)
{
    struct queue_message *message = ret_message;
    char done[QUEUE_RECIPIENTS_MAX][QUEUE_ADDRESS];
    size_t done_count = 0, size, number = 0;
    const char *line;
    *message = (struct queue_message){.arrived = 0};
    while (number < 4 && next_line(&text, &length, &line, &size)) {
        number++;
        if (number == 1 && (size < 8 || memcmp(line + size - 2, "-H", 2) != 0))
            return false;
        if (number == 3 && (size < 2 || line[0] != '<'))
            return false;
        if (number == 4)
            message->arrived = number_of(line, size);
    }
    if (!message->arrived)
        return false;
    bool more;
    while ((more = next_line(&text, &length, &line, &size)) && size && line[0] == '-') {
    }
    while (more && is_tree_line(line, size)) {
        if (line[0] != 'X' && size > 3 && done_count < QUEUE_RECIPIENTS_MAX)
            copy_clean(done[done_count++], QUEUE_ADDRESS, line + 3, size - 3);
        more = next_line(&text, &length, &line, &size);
    }
    int64_t count = more ? number_of(line, size) : 0;
    for (int64_t i = 0; i < count && next_line(&text, &length, &line, &size); i++) {
        char address[QUEUE_ADDRESS];
        size_t word = 0;
        while (word < size && line[word] != ' ')
            word++;
        copy_clean(address, sizeof address, line, word);
        bool delivered = false;
        for (size_t k = 0; k < done_count; k++)
            delivered = delivered || strcmp(done[k], address) == 0;
        if (!delivered)
            add_recipient(message, address, strlen(address));
    }
    return true;
}

void queue_read_exim_log(const char *text, size_t length, struct queue_message *message)
{
    const char *line;
    size_t size;
    while (next_line(&text, &length, &line, &size)) {
        const char *defer = memmem(line, size, " defer (", 8);
        if (!defer)
            defer = memmem(line, size, "== ", 3);
        if (!defer)
            continue;
        message->tried = true;
        const char *colon = memmem(defer, size - (size_t)(defer - line), "): ", 3);
        const char *reason = colon ? colon + 3 : defer;
        copy_clean(message->reason, sizeof message->reason, reason, size - (size_t)(reason - line));
    }
}

bool queue_read_opensmtpd(const char *text, size_t length, struct queue_message *ret_message)
{
    struct queue_message *message = ret_message;
    const char *line;
    size_t size;
    bool version = false;
    *message = (struct queue_message){.arrived = 0};
    while (next_line(&text, &length, &line, &size)) {
        const char *colon = memchr(line, ':', size);
        if (!colon)
            continue;
        size_t key = (size_t)(colon - line), value_at = key + 1;
        while (value_at < size && line[value_at] == ' ')
            value_at++;
        const char *value = line + value_at;
        size_t value_size = size - value_at;
        if (key == 7 && memcmp(line, "version", 7) == 0)
            version = true;
        else if (key == 4 && memcmp(line, "dest", 4) == 0)
            add_recipient(message, value, value_size);
        else if (key == 5 && memcmp(line, "ctime", 5) == 0)
            message->arrived = number_of(value, value_size);
        else if ((key == 8 && memcmp(line, "last-try", 8) == 0) ||
                 (key == 5 && memcmp(line, "retry", 5) == 0))
            message->tried =
                message->tried || number_of(value, value_size) > 0; /* 6.8 sets the latter only */
        else if (key == 9 && memcmp(line, "errorline", 9) == 0)
            copy_clean(message->reason, sizeof message->reason, value, value_size);
    }
    return version && message->recipient_count;
}

void queue_domain(const char *address, char domain[QUEUE_ADDRESS])
{
    const char *at = strrchr(address, '@');
    size_t used = 0;
    for (const char *c = at ? at + 1 : "(local)"; *c && *c != '>' && used + 1 < QUEUE_ADDRESS; c++)
        domain[used++] = (char)tolower((unsigned char)*c);
    domain[used] = '\0';
    if (!used)
        (void)snprintf(domain, QUEUE_ADDRESS, "(local)");
}
