#include "agent/probe/smtp/message.h"

#include <stdio.h>
#include <string.h>

void dp_message_init(struct dp_message *message, const char *from, const char *to, const char *message_id,
                     time_t now, uint64_t size)
{
    char date[64];
    struct tm utc;
    *message = (struct dp_message){.size = size};
    (void)gmtime_r(&now, &utc);
    // names of days and months as RFC 5322 has them, whatever the locale
    static const char days[][4] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
    static const char months[][4] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                     "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
    (void)snprintf(date, sizeof date, "%s, %d %s %d %02d:%02d:%02d +0000", days[utc.tm_wday % 7], utc.tm_mday,
                   months[utc.tm_mon % 12], utc.tm_year + 1900, utc.tm_hour, utc.tm_min, utc.tm_sec);
    int length = snprintf(
        message->header, sizeof message->header,
        "Date: %s\r\nFrom: <%.320s>\r\nTo: <%.320s>\r\nMessage-ID: <%.300s>\r\nSubject: droppoint probe\r\n"
        "Auto-Submitted: auto-generated\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; "
        "charset=us-ascii\r\n"
        "\r\n",
        date, from[0] ? from : "postmaster", to, message_id);
    message->header_length = (size_t)length;
    if (!message->size)
        message->size = message->header_length + 53;
    if (message->size < message->header_length)
        message->size = message->header_length;
}

/* Every seventh line begins with a dot, so that stuffing is tried as well. A line that would leave one byte,
 * which cannot hold a line end, takes it along. */
static size_t next_line(struct dp_message *message, char *out)
{
    uint64_t left = message->size - message->done;
    char line[DP_MESSAGE_LINE_MAX];
    int length = snprintf(line, sizeof line, "%sdroppoint probes the path of this mail, line %09llu. ",
                          message->line % 7 == 3 ? "." : "", (unsigned long long)message->line + 1);
    size_t text = (size_t)length;
    message->line++;
    if (left < text + 2)
        text = left > 2 ? (size_t)left - 2 : 0;
    if (left - text - 2 == 1)
        text++; // there is always a blank more to take
    if (text > (size_t)length)
        line[length] = ' ';
    size_t at = 0;
    if (text && line[0] == '.')
        out[at++] = '.';
    memcpy(out + at, line, text);
    at += text;
    memcpy(out + at, "\r\n", 2);
    message->done += text + 2;
    return at + 2;
}

size_t dp_message_next(struct dp_message *message, char *out, size_t room)
{
    size_t length = 0;
    if (!message->done) {
        memcpy(out, message->header, message->header_length);
        length = message->header_length;
        message->done = length;
        if (message->size - message->done == 1)
            message->size++; // one byte is no line
    }
    while (message->done < message->size && length + DP_MESSAGE_LINE_MAX + 8 <= room)
        length += next_line(message, out + length);
    return length;
}
