/* SMTP replies, RFC 5321 4.2 and RFC 2034. I/O-free. */
#ifndef DROPPOINT_AGENT_PROBE_SMTP_REPLY_H
#define DROPPOINT_AGENT_PROBE_SMTP_REPLY_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#define DP_SMTP_TEXT_MAX 4096 /* of a reply's text that is kept */
#define DP_SMTP_LINES_MAX 256 /* lines of one reply; more is no SMTP */

struct dp_smtp_reply {
    int code;                    /* 200 to 599; 0: nothing yet */
    char enhanced[16];           /* "5.7.1", "" where there is none */
    char text[DP_SMTP_TEXT_MAX]; /* the lines' texts without codes, LF between them */
    size_t lines;
};

enum dp_smtp_parse {
    DP_SMTP_MORE,    /* a line follows */
    DP_SMTP_DONE,    /* the reply is whole */
    DP_SMTP_INVALID, /* this line is no SMTP reply, or of another reply */
};

/* Takes the next line (without line end). Begins anew after DP_SMTP_DONE when `reply` was reset to zero. */
enum dp_smtp_parse dp_smtp_reply_line(struct dp_smtp_reply *reply, const char *line, size_t length);

/* {code, enhanced, text}; enhanced null where there is none. A new reference. */
json_t *dp_smtp_reply_json(const struct dp_smtp_reply *reply);

/* Whether an EHLO reply offers `keyword` (case counts not); *ret_parameters points behind it, to the end of
 * that line. May be NULL. RFC 5321 4.1.1.1. */
bool dp_smtp_offers(const struct dp_smtp_reply *ehlo, const char *keyword, const char **ret_parameters);
/* Whether the parameters (up to the line's end) hold the word, as "PLAIN" in "LOGIN PLAIN". */
bool dp_smtp_has_word(const char *parameters, const char *word);

#endif
