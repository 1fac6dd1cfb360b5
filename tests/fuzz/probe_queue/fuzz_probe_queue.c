/* Any bytes as queue files of each mail server, and as their logs. */
#include <stdlib.h>
#include <string.h>

#include "agent/probe/queue/files.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(const struct queue_message *message)
{
    char domain[QUEUE_ADDRESS];
    if (message->recipient_count > QUEUE_RECIPIENTS_MAX || strlen(message->reason) >= QUEUE_REASON ||
        message->arrived < 0)
        abort();
    for (size_t i = 0; i < message->recipient_count; i++) {
        for (const char *c = message->recipients[i]; *c; c++)
            if (*c < ' ' || *c > '~')
                abort();
        queue_domain(message->recipients[i], domain);
        if (!domain[0])
            abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct queue_message message;
    const char *text = (const char *)data;
    if (queue_read_postfix(data, size, &message))
        check(&message);
    queue_read_postfix_defer(text, size, &message);
    if (queue_read_exim(text, size, &message))
        check(&message);
    queue_read_exim_log(text, size, &message);
    if (queue_read_opensmtpd(text, size, &message))
        check(&message);
    return 0;
}
