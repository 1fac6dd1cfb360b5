#include "agent/capture/outbox.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct letter {
    struct letter *next;
    size_t len, sent;
    uint8_t bytes[];
};

struct dp_outbox {
    int fd;
    struct letter *first, *last;
    size_t held;
};

int dp_outbox_new(int fd, struct dp_outbox **ret_outbox)
{
    int flags = fcntl(fd, F_GETFL);
    if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) != 0)
        return DP_ERR_IO;
    struct dp_outbox *outbox = calloc(1, sizeof *outbox);
    if (!outbox)
        return DP_ERR_NOMEM;
    outbox->fd = fd;
    *ret_outbox = outbox;
    return DP_OK;
}

void dp_outbox_free(struct dp_outbox *outbox)
{
    if (!outbox)
        return;
    for (struct letter *letter = outbox->first; letter;) {
        struct letter *next = letter->next;
        free(letter);
        letter = next;
    }
    free(outbox);
}

int dp_outbox_put(struct dp_outbox *outbox, enum dp_pipe_type type, uint32_t records, const void *bytes,
                  size_t len)
{
    struct letter *letter = malloc(sizeof *letter + DP_PIPE_HEADER + len);
    if (!letter)
        return DP_ERR_NOMEM;
    letter->next = NULL;
    letter->sent = 0;
    letter->len = DP_PIPE_HEADER + len;
    dp_pipe_header(type, records, len, letter->bytes);
    if (len)
        memcpy(letter->bytes + DP_PIPE_HEADER, bytes, len);
    if (outbox->last)
        outbox->last->next = letter;
    else
        outbox->first = letter;
    outbox->last = letter;
    outbox->held += letter->len;
    return DP_OK;
}

int dp_outbox_flush(struct dp_outbox *outbox)
{
    while (outbox->first) {
        struct letter *letter = outbox->first;
        ssize_t sent = write(outbox->fd, letter->bytes + letter->sent, letter->len - letter->sent);
        if (sent < 0 && errno == EINTR)
            continue;
        if (sent < 0)
            return errno == EAGAIN ? DP_OK : DP_ERR_UNAVAILABLE;
        letter->sent += (size_t)sent;
        outbox->held -= (size_t)sent;
        if (letter->sent < letter->len)
            continue;
        outbox->first = letter->next;
        if (!outbox->first)
            outbox->last = NULL;
        free(letter);
    }
    return DP_OK;
}

size_t dp_outbox_held(const struct dp_outbox *outbox)
{
    return outbox->held;
}
