/* Any bytes as what a mail server says, in pieces: SMTP, STARTTLS of three protocols, greetings of services.
 */
#include <stdlib.h>
#include <string.h>

#include "agent/probe/net/auth_file.h"
#include "agent/probe/net/lines.h"
#include "agent/probe/services/recognise.h"
#include "agent/probe/smtp/reply.h"
#include "agent/probe/tls/starttls.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void take_lines(const uint8_t *data, size_t size, size_t piece)
{
    static const struct dp_auth auth = {.known = true, .user = "alice", .password = "s3cret"};
    struct dp_lines lines = {.bytes = NULL};
    struct dp_smtp_reply reply = {.code = 0};
    struct starttls s[] = {
        {.protocol = STARTTLS_SMTP}, {.protocol = STARTTLS_IMAP}, {.protocol = STARTTLS_POP3}};
    const char *line;
    size_t length;
    bool cut;
    for (size_t at = 0; at < size; at += piece) {
        if (dp_lines_add(&lines, (const char *)data + at, size - at < piece ? size - at : piece))
            break;
        while (dp_lines_next(&lines, &line, &length, &cut)) {
            char text[DP_LINE_MAX + 1];
            if (length > DP_LINE_MAX || memchr(line, '\n', length))
                abort();
            for (size_t i = 0; i < 3; i++)
                (void)starttls_take(&s[i], line, length);
            if (dp_smtp_reply_line(&reply, line, length) != DP_SMTP_MORE) {
                if (reply.code &&
                    (reply.code < 200 || reply.code > 599 || strlen(reply.text) >= DP_SMTP_TEXT_MAX))
                    abort();
                (void)dp_smtp_offers(&reply, "AUTH", NULL);
                reply = (struct dp_smtp_reply){.code = 0};
            }
            memcpy(text, line, length);
            text[length] = '\0';
            dp_auth_redact(&auth, text);
            if (strstr(text, auth.password))
                abort();
        }
    }
    dp_lines_free(&lines);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    take_lines(data, size, 7);
    take_lines(data, size, 4096);
    const char *protocol = service_by_greeting(data, size);
    (void)service_by_http_answer(data, size);
    (void)service_is_dns(data, size);
    if (protocol && service_capability_question(protocol)) {
        (void)service_capabilities_end(protocol, data, size);
        (void)service_offers_starttls(protocol, data, size);
    }
    return 0;
}
