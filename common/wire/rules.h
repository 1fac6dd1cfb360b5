/* What each field of each message may hold: one table, walked by validate.c. Inside of common/wire only. */
#ifndef DROPPOINT_COMMON_WIRE_RULES_H
#define DROPPOINT_COMMON_WIRE_RULES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/err/err.h"
#include "droppoint.pb-c.h"

enum dp_rule_kind {
    DP_RULE_ANY,       /* every value that the type holds (bool, sub-message) */
    DP_RULE_NUMBER,    /* from min to max */
    DP_RULE_ENUM,      /* a named value other than 0 */
    DP_RULE_NAME,      /* dp_wire_name_valid; empty too where min is 0 */
    DP_RULE_VANTAGE,   /* dp_wire_vantage_valid */
    DP_RULE_INTERFACE, /* as in a vantage point */
    DP_RULE_ID, /* [A-Za-z0-9][A-Za-z0-9._-]*, at most 63 bytes: safe as a file name; empty too where min is 0
                 */
    DP_RULE_FINGERPRINT, /* [0-9a-f-], min to max bytes */
    DP_RULE_TOKEN,       /* [a-z0-9-], min to max bytes */
    DP_RULE_WORD,        /* one of `words` */
    DP_RULE_LINE,        /* UTF-8 without control characters, min to max bytes */
    DP_RULE_TEXT,        /* the same, newline and tab allowed */
    DP_RULE_JSON,        /* UTF-8 without C0 control characters other than newline, tab and return */
    DP_RULE_BYTES,       /* min to max bytes */
    DP_RULE_ADDRESS,     /* 4 or 16 bytes */
    DP_RULE_REQUIRED,    /* a sub-message that must be there */
};

struct dp_field_rule {
    uint32_t tag;
    enum dp_rule_kind kind;
    int64_t min, max;
    size_t items;             /* most items of a repeated field */
    const char *const *words; /* ends with NULL */
};

struct dp_message_rule {
    const ProtobufCMessageDescriptor *descriptor;
    const struct dp_field_rule *fields; /* one for each field, ordered by tag as in the descriptor */
};

/* The table; NULL for a message that has none (a test shows that there is no such message). */
const struct dp_message_rule *dp_wire_rule(const ProtobufCMessageDescriptor *descriptor);

/* Checks one message and all below it. DP_ERR_PROTOCOL with diag naming message and field. */
int dp_wire_validate(const ProtobufCMessage *message, struct dp_diag *diag) DP_MUST_CHECK;

/* Whether `text` is UTF-8 (RFC 3629) without control characters; `allowed` lists those that may be there.
 * c1: also U+007F to U+009F may be there. */
bool dp_wire_text_valid(const char *text, const char *allowed, bool c1);

/* Whether `text` is 1 to 63 bytes of [a-z0-9._-] (upper case letters too where `upper`), beginning with a
 * letter or digit. */
bool dp_wire_label_valid(const char *text, size_t len, bool upper);

bool dp_wire_interface_valid(const char *text);

#endif
