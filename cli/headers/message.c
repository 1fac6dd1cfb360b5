#include "cli/headers/message.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static bool is_name_char(unsigned char c)
{
    return c > ' ' && c < 127 && c != ':';
}

static int add_field(struct header_list *list, const char *line, size_t name_length, size_t length)
{
    void *more = realloc(list->fields, (list->count + 1) * sizeof *list->fields);
    if (!more)
        return DP_ERR_NOMEM;
    list->fields = more;
    const char *value = line + name_length + 1;
    size_t size = length - name_length - 1;
    while (size && (*value == ' ' || *value == '\t')) {
        value++;
        size--;
    }
    struct header_field field = {strndup(line, name_length), strndup(value, size)};
    if (!field.name || !field.value) {
        free(field.name);
        free(field.value);
        return DP_ERR_NOMEM;
    }
    list->fields[list->count++] = field;
    return 0;
}

static int continue_field(struct header_field *field, const char *line, size_t length)
{
    size_t before = strlen(field->value);
    while (length && (*line == ' ' || *line == '\t')) {
        line++;
        length--;
    }
    char *longer = realloc(field->value, before + length + 2);
    if (!longer)
        return DP_ERR_NOMEM;
    longer[before] = ' ';
    memcpy(longer + before + 1, line, length);
    longer[before + 1 + length] = '\0';
    field->value = longer;
    return 0;
}

/* Blanks at the end go; what could steer a terminal becomes '?', as do bytes of a NUL's kind. */
static void clean(struct header_list *list)
{
    for (size_t i = 0; i < list->count; i++) {
        char *value = list->fields[i].value;
        size_t length = strlen(value);
        while (length && isspace((unsigned char)value[length - 1]))
            value[--length] = '\0';
        for (char *c = value; *c; c++)
            if ((unsigned char)*c < ' ' || *c == 127)
                *c = *c == '\t' ? ' ' : '?';
    }
}

/* One line of `length` bytes, NULs replaced. */
static int take_line(struct header_list *list, char *line, size_t length, size_t number, struct dp_diag *diag)
{
    for (size_t i = 0; i < length; i++)
        if (!line[i])
            line[i] = '?';
    if (line[0] == ' ' || line[0] == '\t') {
        if (!list->count)
            return dp_fail(diag, DP_ERR_FORMAT, "line %zu: a continuation without a field before it", number);
        return continue_field(&list->fields[list->count - 1], line, length);
    }
    if (number == 1 && length > 5 && memcmp(line, "From ", 5) == 0)
        return 0; // an mbox' own line
    size_t name = 0, end;
    while (name < length && is_name_char((unsigned char)line[name]))
        name++;
    end = name;
    while (end < length && (line[end] == ' ' || line[end] == '\t')) // obsolete: blanks before the colon
        end++;
    if (!name || end == length || line[end] != ':')
        return dp_fail(diag, DP_ERR_FORMAT, "line %zu is no header field: a name, a colon, a value", number);
    if (list->count == HEADERS_MAX_FIELDS)
        return dp_fail(diag, DP_ERR_FORMAT, "more than %d header fields", HEADERS_MAX_FIELDS);
    int rc = add_field(list, line, end, length);
    if (!rc)
        list->fields[list->count - 1].name[name] = '\0';
    return rc;
}

int headers_parse(const char *bytes, size_t length, struct header_list *ret_list, struct dp_diag *diag)
{
    struct header_list list = {.fields = NULL};
    int rc = 0;
    size_t number = 0, taken = 0;
    for (const char *at = bytes, *end = bytes + length; at < end && !rc;) {
        const char *stop = memchr(at, '\n', (size_t)(end - at));
        size_t size = (size_t)((stop ? stop : end) - at);
        size_t text = size && at[size - 1] == '\r' ? size - 1 : size;
        if (!text)
            break; // the body begins
        taken += size;
        number++;
        char *line = malloc(text + 1);
        if (!line) {
            rc = DP_ERR_NOMEM;
            break;
        }
        memcpy(line, at, text);
        line[text] = '\0';
        rc = taken > HEADERS_MAX_BYTES
                 ? dp_fail(diag, DP_ERR_FORMAT, "the header is longer than %d bytes", HEADERS_MAX_BYTES)
                 : take_line(&list, line, text, number, diag);
        free(line);
        at = stop ? stop + 1 : end;
    }
    if (!rc && !list.count)
        rc = dp_fail(diag, DP_ERR_FORMAT, "it has no header fields");
    if (rc) {
        headers_free(&list);
        return rc;
    }
    clean(&list);
    *ret_list = list;
    return 0;
}

void headers_free(struct header_list *list)
{
    for (size_t i = 0; i < list->count; i++) {
        free(list->fields[i].name);
        free(list->fields[i].value);
    }
    free(list->fields);
    *list = (struct header_list){.fields = NULL};
}

const char *headers_find(const struct header_list *list, const char *name)
{
    for (size_t i = 0; i < list->count; i++)
        if (strcasecmp(list->fields[i].name, name) == 0)
            return list->fields[i].value;
    return NULL;
}

/* The text without comments, which nest and may quote a parenthesis; at most `size`. */
static void drop_comments(const char *text, char *out, size_t size)
{
    size_t used = 0, depth = 0;
    for (; *text && used + 1 < size; text++) {
        if (*text == '\\' && text[1]) {
            text++;
            continue;
        }
        if (*text == '(')
            depth++;
        else if (*text == ')' && depth)
            depth--;
        else if (!depth)
            out[used++] = *text;
    }
    out[used] = '\0';
}

static int zone_minutes(const char *zone, bool *ret_known)
{
    static const struct {
        const char *name;
        int hours;
    } names[] = {{"UT", 0},   {"GMT", 0},  {"Z", 0},    {"UTC", 0},  {"EST", -5}, {"EDT", -4},
                 {"CST", -6}, {"CDT", -5}, {"MST", -7}, {"MDT", -6}, {"PST", -8}, {"PDT", -7}};
    *ret_known = true;
    if ((zone[0] == '+' || zone[0] == '-') && strspn(zone + 1, "0123456789") == 4) {
        int digits = atoi(zone + 1);
        int minutes = digits / 100 * 60 + digits % 100;
        return zone[0] == '-' ? -minutes : minutes;
    }
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (strcasecmp(zone, names[i].name) == 0)
            return names[i].hours * 60;
    *ret_known = zone[0] == '\0' || isalpha((unsigned char)zone[0]); // RFC 5322 4.3: others mean -0000
    return 0;
}

/* Days since 1970 of a date of the Gregorian calendar. */
static int64_t days_of(int64_t year, int month, int day)
{
    year -= month <= 2;
    int64_t era = (year >= 0 ? year : year - 399) / 400;
    int64_t of_era = year - era * 400;
    int64_t of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
    return era * 146097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719468;
}

bool header_date(const char *text, int64_t *ret_seconds)
{
    static const char months[][4] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                     "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
    char clean_text[256], month_name[8] = "", zone[16] = "";
    int day, year, hour, minute, second = 0, month = 0;
    drop_comments(text, clean_text, sizeof clean_text);
    const char *at = strchr(clean_text, ',');
    at = at ? at + 1 : clean_text;
    int used = 0;
    if (sscanf(at, " %2d %7[A-Za-z] %d %n", &day, month_name, &year, &used) != 3)
        return false;
    at += used;
    if (sscanf(at, "%2d : %2d : %2d %15s", &hour, &minute, &second, zone) < 3 &&
        sscanf(at, "%2d : %2d %15s", &hour, &minute, zone) < 2)
        return false;
    while (month < 12 && strcasecmp(months[month], month_name) != 0)
        month++;
    year += year < 50 ? 2000 : year < 1000 ? 1900 : 0;
    bool known;
    int offset = zone_minutes(zone, &known);
    if (month == 12 || day < 1 || day > 31 || year < 1970 || year > 9999 || hour < 0 || hour > 23 ||
        minute < 0 || minute > 59 || second < 0 || second > 60 || !known)
        return false;
    *ret_seconds =
        days_of(year, month + 1, day) * 86400 + hour * 3600 + minute * 60 + second - (int64_t)offset * 60;
    return true;
}

static void copy_word(const char *from, size_t length, char *out, size_t size)
{
    length = length < size ? length : size - 1;
    memcpy(out, from, length);
    out[length] = '\0';
}

/* An address in brackets: "[192.0.2.1]", "[IPv6:2001:db8::1]". */
static void find_address(const char *text, char out[64])
{
    for (const char *at = text; (at = strchr(at, '['));) {
        at++;
        size_t length = strcspn(at, "]");
        if (at[length] != ']')
            return;
        const char *begin = strncasecmp(at, "IPv6:", 5) == 0 ? at + 5 : at;
        size_t size = length - (size_t)(begin - at);
        if (size && strspn(begin, "0123456789abcdefABCDEF.:") >= size) {
            copy_word(begin, size, out, 64);
            return;
        }
    }
}

void received_parse(const char *value, struct received_hop *ret_hop)
{
    struct received_hop hop = {.has_time = false};
    const char *date = strrchr(value, ';');
    size_t length = date ? (size_t)(date - value) : strlen(value);
    if (date)
        hop.has_time = header_date(date + 1, &hop.time);
    const struct {
        const char *word;
        char *out;
        size_t size;
    } parts[] = {{"from", hop.from, sizeof hop.from},
                 {"by", hop.by, sizeof hop.by},
                 {"with", hop.with, sizeof hop.with},
                 {"id", hop.id, sizeof hop.id},
                 {"for", hop.recipient, sizeof hop.recipient}};
    size_t depth = 0;
    for (size_t at = 0; at < length;) {
        if (value[at] == '(')
            depth++;
        if (value[at] == ')' && depth)
            depth--;
        size_t word = strcspn(value + at, " \t();");
        bool begins = !depth && word && (at == 0 || strchr(" \t)", value[at - 1]));
        for (size_t i = 0; begins && i < sizeof parts / sizeof parts[0]; i++) {
            if (strlen(parts[i].word) != word || strncasecmp(parts[i].word, value + at, word) != 0 ||
                parts[i].out[0])
                continue;
            const char *next = value + at + word;
            next += strspn(next, " \t");
            copy_word(next, strcspn(next, " \t;()"), parts[i].out, parts[i].size);
            break;
        }
        at += word ? word : 1;
    }
    find_address(value, hop.address);
    *ret_hop = hop;
}

static int hex_value(char c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
                                  : -1;
}

static size_t decode_q(const char *text, size_t length, char *out)
{
    size_t used = 0;
    for (size_t i = 0; i < length; i++) {
        int high = text[i] == '=' && i + 2 < length + 0 ? hex_value(text[i + 1]) : -1;
        int low = high >= 0 ? hex_value(text[i + 2]) : -1;
        if (low >= 0) {
            out[used++] = (char)(high << 4 | low);
            i += 2;
        } else {
            out[used++] = text[i] == '_' ? ' ' : text[i];
        }
    }
    return used;
}

static size_t decode_b(const char *text, size_t length, char *out)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    size_t used = 0;
    unsigned bits = 0, held = 0;
    for (size_t i = 0; i < length && text[i] != '='; i++) {
        const char *digit = strchr(digits, text[i]);
        if (!digit || !text[i])
            continue;
        held = held << 6 | (unsigned)(digit - digits);
        bits += 6;
        if (bits >= 8) {
            bits -= 8;
            out[used++] = (char)(held >> bits & 0xff);
        }
    }
    return used;
}

/* One encoded word "=?charset?Q?text?=" at `at`; its length, 0: none. Other charsets than UTF-8 and ASCII
 * stay encoded. */
static size_t decode_word(const char *at, char *out, size_t *ret_used)
{
    if (strncmp(at, "=?", 2) != 0)
        return 0;
    const char *charset = at + 2, *kind = strchr(charset, '?');
    if (!kind || !kind[1] || kind[2] != '?')
        return 0;
    const char *text = kind + 3, *end = strstr(text, "?=");
    size_t name = (size_t)(kind - charset);
    bool utf8 = (name == 5 && !strncasecmp(charset, "utf-8", 5)) ||
                (name == 8 && !strncasecmp(charset, "us-ascii", 8));
    char letter = (char)toupper((unsigned char)kind[1]);
    if (!end || !utf8 || (letter != 'Q' && letter != 'B') || memchr(text, ' ', (size_t)(end - text)))
        return 0;
    *ret_used =
        letter == 'Q' ? decode_q(text, (size_t)(end - text), out) : decode_b(text, (size_t)(end - text), out);
    return (size_t)(end + 2 - at);
}

char *header_decode(const char *text)
{
    char *out = malloc(strlen(text) + 1);
    size_t used = 0;
    bool after_word = false;
    if (!out)
        return NULL;
    while (*text) {
        size_t got = 0, length;
        size_t blanks = strspn(text, " \t");
        // blanks between two encoded words belong to the encoding
        const char *word = after_word ? text + blanks : text;
        length = decode_word(word, out + used, &got);
        if (length) {
            used += got;
            text = word + length;
            after_word = true;
        } else {
            out[used++] = *text++;
            after_word = false;
        }
    }
    for (size_t i = 0; i < used; i++)
        if ((unsigned char)out[i] < ' ' || out[i] == 127)
            out[i] = '?';
    out[used] = '\0';
    return out;
}
