/* The header of a mail message, RFC 5322: fields, dates, the way that it came. I/O-free. */
#ifndef DROPPOINT_CLI_HEADERS_MESSAGE_H
#define DROPPOINT_CLI_HEADERS_MESSAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/err/err.h"

#define HEADERS_MAX_BYTES (1024 * 1024) /* of the header; more is no message */
#define HEADERS_MAX_FIELDS 2000

struct header_field {
    char *name;  /* as written */
    char *value; /* unfolded, without the blanks around it; control characters are '?' */
};

struct header_list {
    struct header_field *fields;
    size_t count;
};

/* Takes the header off the front of a message; lines end with LF or CRLF, a first line "From " (mbox) is
 * skipped. DP_ERR_FORMAT with diag naming the line: it is no message; DP_ERR_NOMEM. Free with headers_free.
 */
int headers_parse(const char *bytes, size_t length, struct header_list *ret_list,
                  struct dp_diag *diag) DP_MUST_CHECK;
void headers_free(struct header_list *list);
/* The first value of that name, whatever its case; NULL: none. */
const char *headers_find(const struct header_list *list, const char *name);

/* A date and time of RFC 5322 3.3 with its obsolete forms (no weekday, two digits of year, zones by name,
 * comments) to seconds since 1970. False: it is none. */
bool header_date(const char *text, int64_t *ret_seconds);

struct received_hop {
    char from[256], by[256], with[64], id[128], recipient[256]; /* "" where it is not said */
    char address[64];                                           /* of the sender, as the receiver saw it */
    bool has_time;
    int64_t time; /* seconds since 1970 */
};

/* One Received field. What it does not say is left empty. */
void received_parse(const char *value, struct received_hop *ret_hop);

/* Encoded words of RFC 2047 to UTF-8, others as they are; a new text, NULL when out of memory. */
char *header_decode(const char *text);

#endif
