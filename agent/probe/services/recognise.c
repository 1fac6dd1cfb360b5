#include "agent/probe/services/recognise.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* Length, then a question for the root's SOA without recursion. */
const uint8_t service_dns_question[SERVICE_DNS_QUESTION_BYTES] = {0, 17, 0x64, 0x70, 0, 0, 0, 1, 0, 0,
                                                                  0, 0,  0,    0,    0, 0, 6, 0, 1};

static bool begins(const uint8_t *bytes, size_t length, const char *text)
{
    size_t size = strlen(text);
    return length >= size && memcmp(bytes, text, size) == 0;
}

static bool contains(const uint8_t *bytes, size_t length, const char *text)
{
    size_t size = strlen(text);
    for (size_t i = 0; i + size <= length; i++)
        if (strncasecmp((const char *)bytes + i, text, size) == 0)
            return true;
    return false;
}

/* A packet of MySQL's: three bytes of length, number 0, then protocol 10 and a version, or an error. */
static bool is_mysql(const uint8_t *bytes, size_t length)
{
    if (length < 7 || bytes[3] != 0 || bytes[2] != 0)
        return false;
    return (bytes[4] == 10 && isdigit(bytes[5])) ||
           (bytes[4] == 0xff && bytes[1] < 2 && bytes[6] >= 4 && bytes[6] < 8);
}

const char *service_by_greeting(const uint8_t *bytes, size_t length)
{
    if (is_mysql(bytes, length))
        return "mysql";
    if (begins(bytes, length, "SSH-"))
        return "ssh";
    if (begins(bytes, length, "RFB 0"))
        return "vnc";
    if (!memchr(bytes, '\n', length))
        return NULL; // the line is not whole
    if (begins(bytes, length, "* OK") || begins(bytes, length, "* PREAUTH") || begins(bytes, length, "* BYE"))
        return "imap";
    if (begins(bytes, length, "+OK") || begins(bytes, length, "-ERR"))
        return "pop3";
    if (begins(bytes, length, "\"IMPLEMENTATION\""))
        return "managesieve";
    bool digits = length > 3 && isdigit(bytes[0]) && isdigit(bytes[1]) && isdigit(bytes[2]) &&
                  (bytes[3] == ' ' || bytes[3] == '-');
    if (digits && (contains(bytes, length, "ftp") && !contains(bytes, length, "smtp")))
        return "ftp";
    if (digits && (begins(bytes, length, "220") || begins(bytes, length, "554") ||
                   begins(bytes, length, "421") || begins(bytes, length, "521")))
        return "smtp";
    return NULL;
}

const char *service_by_http_answer(const uint8_t *bytes, size_t length)
{
    if (begins(bytes, length, "HTTP/"))
        return "http";
    if (begins(bytes, length, "-ERR") || begins(bytes, length, "-DENIED") || begins(bytes, length, "-NOAUTH"))
        return "redis";
    return service_by_greeting(bytes, length);
}

bool service_is_dns(const uint8_t *bytes, size_t length)
{
    return length >= 14 && bytes[2] == service_dns_question[2] && bytes[3] == service_dns_question[3] &&
           bytes[4] & 0x80;
}

const char *service_capability_question(const char *protocol)
{
    if (strcmp(protocol, "smtp") == 0)
        return "EHLO droppoint.invalid\r\n";
    if (strcmp(protocol, "imap") == 0)
        return "a CAPABILITY\r\n";
    return strcmp(protocol, "pop3") == 0 ? "CAPA\r\n" : NULL;
}

bool service_offers_starttls(const char *protocol, const uint8_t *bytes, size_t length)
{
    return contains(bytes, length, strcmp(protocol, "pop3") == 0 ? "\nSTLS" : "STARTTLS");
}

bool service_capabilities_end(const char *protocol, const uint8_t *bytes, size_t length)
{
    if (strcmp(protocol, "imap") == 0)
        return contains(bytes, length, "\na ") || begins(bytes, length, "a ");
    if (strcmp(protocol, "pop3") == 0)
        return contains(bytes, length, "\n.\r\n") || begins(bytes, length, "-ERR");
    // SMTP: the last line has a blank behind its code
    const uint8_t *line = bytes;
    for (size_t left = length; left > 4;) {
        const uint8_t *end = memchr(line, '\n', left);
        if (!end)
            return false;
        if (end - line >= 4 && line[3] == ' ')
            return true;
        left -= (size_t)(end + 1 - line);
        line = end + 1;
    }
    return false;
}

static int by_number(const void *a, const void *b)
{
    const uint16_t *x = a, *y = b;
    return *x < *y ? -1 : *x > *y;
}

static bool read_port(const char **at, unsigned long *ret_port)
{
    char *end;
    if (!isdigit((unsigned char)**at))
        return false;
    *ret_port = strtoul(*at, &end, 10);
    *at = end;
    return *ret_port >= 1 && *ret_port <= 65535;
}

size_t service_ports_parse(const char *text, uint16_t *ret_ports)
{
    size_t count = 0, kept = 0;
    for (const char *at = text; *at;) {
        unsigned long first, last;
        if (!read_port(&at, &first))
            return 0;
        last = first;
        if (*at == '-') {
            at++;
            if (!read_port(&at, &last) || last < first)
                return 0;
        }
        if (last - first + 1 > SERVICE_PORTS_MAX - count)
            return 0;
        for (unsigned long port = first; port <= last; port++)
            ret_ports[count++] = (uint16_t)port;
        if (*at == ',')
            at++;
        else if (*at)
            return 0;
    }
    qsort(ret_ports, count, sizeof *ret_ports, by_number);
    for (size_t i = 0; i < count; i++)
        if (!kept || ret_ports[kept - 1] != ret_ports[i])
            ret_ports[kept++] = ret_ports[i];
    return kept;
}
