#include "agent/probe/smtp/reply.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>

#include "agent/probe/core/kind.h"

/* "class.subject.detail" in front of the text, of the code's own class. Returns its length with the blank
 * behind it. */
static size_t enhanced_length(int code, const char *text, size_t length)
{
    size_t at = 0;
    if (length < 5 || text[0] != '0' + code / 100 || (code / 100 != 2 && code / 100 != 4 && code / 100 != 5))
        return 0;
    for (int part = 0; part < 3; part++) {
        size_t begin = at;
        while (at < length && isdigit((unsigned char)text[at]) && at - begin < 3)
            at++;
        if (at == begin || (part < 2 && (at == length || text[at++] != '.')))
            return 0;
    }
    return at == length || text[at] == ' ' ? at : 0;
}

static void add_text(struct dp_smtp_reply *reply, const char *text, size_t length)
{
    size_t used = strlen(reply->text), room = sizeof reply->text - 1 - used;
    if (reply->lines && room) {
        reply->text[used++] = '\n';
        room--;
    }
    if (length > room)
        length = room;
    for (size_t i = 0; i < length; i++)
        reply->text[used + i] = text[i] ? text[i] : '?';
    reply->text[used + length] = '\0';
}

enum dp_smtp_parse dp_smtp_reply_line(struct dp_smtp_reply *reply, const char *line, size_t length)
{
    if (length < 3 || reply->lines == DP_SMTP_LINES_MAX)
        return DP_SMTP_INVALID;
    for (int i = 0; i < 3; i++)
        if (!isdigit((unsigned char)line[i]))
            return DP_SMTP_INVALID;
    int code = (line[0] - '0') * 100 + (line[1] - '0') * 10 + line[2] - '0';
    bool more = length > 3 && line[3] == '-';
    if (code < 200 || code > 599 || (reply->lines && code != reply->code) ||
        (length > 3 && line[3] != ' ' && line[3] != '-'))
        return DP_SMTP_INVALID;
    reply->code = code;
    const char *text = length > 4 ? line + 4 : "";
    size_t rest = length > 4 ? length - 4 : 0;
    size_t enhanced = enhanced_length(code, text, rest);
    if (enhanced && enhanced < sizeof reply->enhanced) {
        memcpy(reply->enhanced, text, enhanced);
        reply->enhanced[enhanced] = '\0';
        size_t skip = enhanced < rest ? enhanced + 1 : enhanced;
        text += skip;
        rest -= skip;
    }
    add_text(reply, text, rest);
    reply->lines++;
    return more ? DP_SMTP_MORE : DP_SMTP_DONE;
}

json_t *dp_smtp_reply_json(const struct dp_smtp_reply *reply)
{
    return json_pack("{s:i, s:o, s:o}", "code", reply->code, "enhanced",
                     reply->enhanced[0] ? json_string(reply->enhanced) : json_null(), "text",
                     dp_peer_text(reply->text, strlen(reply->text)));
}

bool dp_smtp_offers(const struct dp_smtp_reply *ehlo, const char *keyword, const char **ret_parameters)
{
    size_t length = strlen(keyword);
    const char *line = strchr(ehlo->text, '\n'); // the first line is the greeting
    for (; line; line = strchr(line, '\n')) {
        line++;
        // "AUTH=PLAIN" is an old form of some servers
        if (strncasecmp(line, keyword, length) == 0 && strchr(" =\n", line[length])) {
            if (ret_parameters)
                *ret_parameters = line + length;
            return true;
        }
    }
    return false;
}

bool dp_smtp_has_word(const char *parameters, const char *word)
{
    size_t length = strlen(word);
    while (*parameters && *parameters != '\n') {
        size_t skip = strspn(parameters, " =\t");
        size_t size = strcspn(parameters + skip, " \t\n");
        if (size == length && strncasecmp(parameters + skip, word, length) == 0)
            return true;
        parameters += skip + size;
        if (!skip && !size)
            break;
    }
    return false;
}
