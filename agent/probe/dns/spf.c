#include "agent/probe/dns/spf.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "agent/probe/dns/spf_macro.h"

#define DEPTH_MAX 12 /* more includes than lookups are allowed */
#define NAMES_MAX 10 /* of one mx or ptr term, RFC 7208 4.6.4 */

enum wait {
    WAIT_RECORD,  /* TXT of the frame's domain */
    WAIT_ADDRESS, /* A or AAAA, of an `a` or `exists` term, or of one of `names` */
    WAIT_MX,
    WAIT_PTR,
};

struct frame {
    char domain[DP_DNS_NAME];
    char *record; /* the terms, terminated one by one */
    char *next;   /* next term */
    char *end;
    const char *redirect;
    char qualifier; /* of the include that led here */
};

struct dp_spf {
    char sender[DP_DNS_NAME];
    char address[INET6_ADDRSTRLEN]; /* "" : nothing matches */
    int family;
    uint8_t bytes[16];
    struct frame frames[DEPTH_MAX];
    size_t depth; /* frames in use */
    enum wait wait;
    char name[DP_DNS_NAME];
    uint16_t type;
    char names[NAMES_MAX][DP_DNS_NAME]; /* still to be looked up, of mx and ptr */
    size_t name_count, name_at;
    bool of_ptr, any_matches; /* exists: whatever the address is */
    char target[DP_DNS_NAME]; /* of ptr */
    unsigned prefix4, prefix6, lookups, voids;
    char qualifier, term[200];
    bool over;
    enum dp_spf_result result;
    char *record;
    char why[300];
};

const char *dp_spf_result_name(enum dp_spf_result result)
{
    static const char *const names[] = {"none",     "neutral",   "pass",     "fail",
                                        "softfail", "temperror", "permerror"};
    return names[result];
}

DP_PRINTF(3, 4) static void end(struct dp_spf *spf, enum dp_spf_result result, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    (void)vsnprintf(spf->why, sizeof spf->why, format, args);
    va_end(args);
    spf->over = true;
    spf->result = result;
}

static void ask(struct dp_spf *spf, enum wait wait, const char *name, uint16_t type)
{
    spf->wait = wait;
    spf->type = type;
    if (spf->name != name)
        (void)snprintf(spf->name, sizeof spf->name, "%s", name);
}

static uint16_t address_type(const struct dp_spf *spf)
{
    return spf->family == AF_INET6 ? DP_DNS_AAAA : DP_DNS_A;
}

static void push(struct dp_spf *spf, const char *domain, char qualifier)
{
    if (spf->depth == DEPTH_MAX) {
        end(spf, DP_SPF_PERMERROR, "includes go deeper than %d", DEPTH_MAX);
        return;
    }
    struct frame *frame = &spf->frames[spf->depth++];
    *frame = (struct frame){.qualifier = qualifier};
    (void)snprintf(frame->domain, sizeof frame->domain, "%s", domain);
    ask(spf, WAIT_RECORD, domain, DP_DNS_TXT);
}

int dp_spf_new(const char *domain, const char *address, struct dp_spf **ret_spf)
{
    struct dp_spf *spf = calloc(1, sizeof *spf);
    if (!spf)
        return DP_ERR_NOMEM;
    spf->family = AF_INET;
    if (address && inet_pton(AF_INET, address, spf->bytes) != 1) {
        spf->family = AF_INET6;
        if (inet_pton(AF_INET6, address, spf->bytes) != 1) {
            free(spf);
            return DP_ERR_USAGE;
        }
    }
    if (strlen(domain) >= sizeof spf->sender) {
        free(spf);
        return DP_ERR_USAGE;
    }
    (void)snprintf(spf->address, sizeof spf->address, "%s", address ? address : "");
    (void)snprintf(spf->sender, sizeof spf->sender, "%s", domain);
    push(spf, domain, '+');
    *ret_spf = spf;
    return 0;
}

void dp_spf_free(struct dp_spf *spf)
{
    if (!spf)
        return;
    for (size_t i = 0; i < spf->depth; i++)
        free(spf->frames[i].record);
    free(spf->record);
    free(spf);
}

static bool prefix_matches(const uint8_t *a, const uint8_t *b, unsigned bits)
{
    unsigned whole = bits / 8, rest = bits % 8;
    if (memcmp(a, b, whole) != 0)
        return false;
    return !rest || (a[whole] ^ b[whole]) >> (8 - rest) == 0;
}

static bool address_matches(const struct dp_spf *spf, const char *text)
{
    uint8_t bytes[16];
    if (!spf->address[0] || inet_pton(spf->family, text, bytes) != 1)
        return false;
    return prefix_matches(spf->bytes, bytes, spf->family == AF_INET ? spf->prefix4 : spf->prefix6);
}

static enum dp_spf_result qualified(char qualifier)
{
    return qualifier == '-'   ? DP_SPF_FAIL
           : qualifier == '~' ? DP_SPF_SOFTFAIL
           : qualifier == '?' ? DP_SPF_NEUTRAL
                              : DP_SPF_PASS;
}

static void run(struct dp_spf *spf);

/* A term of the innermost record matched: an include hands a pass on to the record around it. */
static void matched(struct dp_spf *spf)
{
    enum dp_spf_result result = qualified(spf->qualifier);
    while (spf->depth > 1) {
        struct frame *frame = &spf->frames[--spf->depth];
        char qualifier = frame->qualifier;
        free(frame->record);
        frame->record = NULL;
        if (result != DP_SPF_PASS) {
            run(spf); // the include does not match: on with the next term
            return;
        }
        result = qualified(qualifier);
    }
    end(spf, result, "the term %.150s matches", spf->term);
}

/* The record's terms are through and nothing matched. */
static void exhausted(struct dp_spf *spf)
{
    struct frame *frame = &spf->frames[spf->depth - 1];
    if (frame->redirect) {
        char name[DP_DNS_NAME], qualifier = frame->qualifier;
        struct dp_spf_names names = {spf->address, spf->sender, frame->domain};
        if (!dp_spf_expand(frame->redirect, &names, name)) {
            end(spf, DP_SPF_PERMERROR, "redirect=%.100s names no domain", frame->redirect);
            return;
        }
        if (++spf->lookups > DP_SPF_LOOKUPS_MAX) {
            end(spf, DP_SPF_PERMERROR, "more than %d DNS lookups", DP_SPF_LOOKUPS_MAX);
            return;
        }
        free(frame->record);
        frame->record = NULL;
        spf->depth--;
        push(spf, name, qualifier);
        return;
    }
    if (spf->depth > 1) { // an include that is neutral does not match
        spf->depth--;
        free(frame->record);
        frame->record = NULL;
        run(spf);
        return;
    }
    end(spf, DP_SPF_NEUTRAL, "no term matches");
}

/* "/24//64" behind a term. */
static bool read_prefixes(struct dp_spf *spf, const char *text)
{
    spf->prefix4 = 32;
    spf->prefix6 = 128;
    char *rest = NULL;
    if (text[0] == '/' && isdigit((unsigned char)text[1])) {
        unsigned long bits = strtoul(text + 1, &rest, 10);
        if (bits > 32)
            return false;
        spf->prefix4 = (unsigned)bits;
        text = rest;
    }
    if (text[0] == '/' && text[1] == '/' && isdigit((unsigned char)text[2])) {
        unsigned long bits = strtoul(text + 2, &rest, 10);
        if (bits > 128)
            return false;
        spf->prefix6 = (unsigned)bits;
        text = rest;
    }
    return text[0] == '\0';
}

/* ip4 and ip6: the address and its own prefix length. */
static int literal_matches(struct dp_spf *spf, int family, const char *value, bool *ret_matches)
{
    char address[INET6_ADDRSTRLEN];
    uint8_t bytes[16];
    size_t length = strcspn(value, "/");
    unsigned long bits = family == AF_INET ? 32 : 128, most = bits;
    if (length >= sizeof address)
        return DP_ERR_FORMAT;
    memcpy(address, value, length);
    address[length] = '\0';
    if (value[length]) {
        char *rest = NULL;
        bits = isdigit((unsigned char)value[length + 1]) ? strtoul(value + length + 1, &rest, 10) : most + 1;
        if (bits > most || !rest || *rest)
            return DP_ERR_FORMAT;
    }
    if (inet_pton(family, address, bytes) != 1)
        return DP_ERR_FORMAT;
    *ret_matches =
        spf->address[0] && spf->family == family && prefix_matches(spf->bytes, bytes, (unsigned)bits);
    return 0;
}

/* A term with a DNS lookup; `value` is what follows its name: ":domain/24". */
static void start_lookup(struct dp_spf *spf, const char *mechanism, const char *value)
{
    const struct frame *frame = &spf->frames[spf->depth - 1];
    struct dp_spf_names names = {spf->address[0] ? spf->address : "0.0.0.0", spf->sender, frame->domain};
    char spec[512], name[DP_DNS_NAME];
    bool include = strcmp(mechanism, "include") == 0, exists = strcmp(mechanism, "exists") == 0;
    size_t length = value[0] == ':' ? (include || exists ? strlen(value + 1) : strcspn(value + 1, "/")) : 0;
    // a slash inside of a macro is no prefix length
    if (value[0] == ':' && strchr(value, '{'))
        length = strlen(value + 1);
    if ((include || exists) && !length) {
        end(spf, DP_SPF_PERMERROR, "%s without a domain", mechanism);
        return;
    }
    (void)snprintf(spec, sizeof spec, "%.*s", (int)(length < 500 ? length : 500), value + 1);
    if (!length)
        (void)snprintf(spec, sizeof spec, "%s", frame->domain);
    if (!(length ? dp_spf_expand(spec, &names, name)
                 : snprintf(name, sizeof name, "%.250s", frame->domain) > 0) ||
        !read_prefixes(spf, value + (length ? length + 1 : 0))) {
        end(spf, DP_SPF_PERMERROR, "the term %.150s is malformed", spf->term);
        return;
    }
    if (++spf->lookups > DP_SPF_LOOKUPS_MAX) {
        end(spf, DP_SPF_PERMERROR, "more than %d DNS lookups", DP_SPF_LOOKUPS_MAX);
        return;
    }
    spf->name_count = spf->name_at = 0;
    spf->any_matches = exists;
    spf->of_ptr = false;
    if (include) {
        push(spf, name, spf->qualifier);
    } else if (strcmp(mechanism, "mx") == 0) {
        ask(spf, WAIT_MX, name, DP_DNS_MX);
    } else if (strcmp(mechanism, "ptr") == 0) {
        char reverse[DP_DNS_NAME];
        spf->of_ptr = true;
        (void)snprintf(spf->target, sizeof spf->target, "%s", name);
        if (!dp_dns_reverse_name(names.address, reverse))
            (void)snprintf(reverse, sizeof reverse, "%s", "0.0.0.0.in-addr.arpa");
        ask(spf, WAIT_PTR, reverse, DP_DNS_PTR);
    } else {
        ask(spf, WAIT_ADDRESS, name, exists ? DP_DNS_A : address_type(spf));
    }
}

/* True: go on with the next term. */
static bool take_term(struct dp_spf *spf, const char *term)
{
    static const char *const lookups[] = {"include", "a", "mx", "ptr", "exists"};
    (void)snprintf(spf->term, sizeof spf->term, "%.190s", term);
    size_t word = strspn(term, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.");
    if (term[0] != '-' && term[0] != '~' && word && term[word] == '=') {
        if (strncasecmp(term, "redirect=", 9) == 0)
            spf->frames[spf->depth - 1].redirect = term + 9;
        return true; // other modifiers mean nothing to the result
    }
    spf->qualifier = strchr("+-~?", term[0]) ? *term++ : '+';
    size_t length = strcspn(term, ":/");
    char name[16] = "";
    for (size_t i = 0; i < length && length < sizeof name; i++)
        name[i] = (char)tolower((unsigned char)term[i]);
    const char *value = term + length;
    if (strcmp(name, "all") == 0 && !*value) {
        if (spf->address[0] || spf->depth == 1) {
            matched(spf);
        } else { // counting: an include's `all` ends that record only
            spf->qualifier = '?';
            matched(spf);
        }
        return false;
    }
    if (strcmp(name, "ip4") == 0 || strcmp(name, "ip6") == 0) {
        bool matches = false;
        if (value[0] != ':' ||
            literal_matches(spf, name[2] == '4' ? AF_INET : AF_INET6, value + 1, &matches)) {
            end(spf, DP_SPF_PERMERROR, "the term %.150s is malformed", spf->term);
            return false;
        }
        if (matches)
            matched(spf);
        return !matches;
    }
    for (size_t i = 0; i < sizeof lookups / sizeof lookups[0]; i++)
        if (strcmp(name, lookups[i]) == 0) {
            start_lookup(spf, lookups[i], value);
            return false;
        }
    end(spf, DP_SPF_PERMERROR, "the term %.150s is not known", spf->term);
    return false;
}

/* On with the innermost record. */
static void run(struct dp_spf *spf)
{
    struct frame *frame = &spf->frames[spf->depth - 1];
    while (!spf->over && frame->next < frame->end) {
        char *term = frame->next;
        frame->next += strlen(term) + 1;
        if (term[0] && !take_term(spf, term))
            return;
    }
    if (!spf->over)
        exhausted(spf);
}

static bool is_spf(const char *text)
{
    return strncasecmp(text, "v=spf1", 6) == 0 && (text[6] == ' ' || text[6] == '\0');
}

static void take_record(struct dp_spf *spf, const struct dp_dns_message *message)
{
    struct frame *frame = &spf->frames[spf->depth - 1];
    const char *found = NULL;
    bool outermost = spf->depth == 1 && !spf->record;
    for (size_t i = 0; i < message->count; i++) {
        const struct dp_dns_record *record = &message->records[i];
        if (record->section != DP_DNS_ANSWER || record->type != DP_DNS_TXT || !is_spf(record->data))
            continue;
        if (found) {
            end(spf, DP_SPF_PERMERROR, "%.200s has more than one SPF record", frame->domain);
            return;
        }
        found = record->data;
    }
    if (!found) {
        if (outermost)
            end(spf, DP_SPF_NONE, "no SPF record");
        else
            end(spf, DP_SPF_PERMERROR, "%.200s has no SPF record", frame->domain);
        return;
    }
    if (outermost)
        spf->record = strdup(found);
    frame->record = strdup(found);
    if (!frame->record) {
        end(spf, DP_SPF_TEMPERROR, "out of memory");
        return;
    }
    frame->end = frame->record + strlen(frame->record);
    frame->next = frame->record + 6;
    for (char *c = frame->next; c < frame->end; c++)
        if (*c == ' ')
            *c = '\0';
    // redirect counts only at the end, wherever it stands
    run(spf);
}

static bool under(const char *name, const char *domain)
{
    size_t n = strlen(name), d = strlen(domain);
    return n >= d && strcasecmp(name + n - d, domain) == 0 && (n == d || name[n - d - 1] == '.');
}

static void next_name(struct dp_spf *spf)
{
    if (spf->name_at < spf->name_count)
        ask(spf, WAIT_ADDRESS, spf->names[spf->name_at], address_type(spf));
    else
        run(spf);
}

static void take_addresses(struct dp_spf *spf, const struct dp_dns_message *message)
{
    bool matches = false;
    for (size_t i = 0; i < message->count; i++) {
        const struct dp_dns_record *record = &message->records[i];
        if (record->section == DP_DNS_ANSWER && record->type == spf->type)
            matches =
                matches || (spf->any_matches ? spf->address[0] != '\0' : address_matches(spf, record->data));
    }
    if (matches && spf->of_ptr)
        matches = under(spf->names[spf->name_at], spf->target);
    if (matches) {
        matched(spf);
    } else {
        spf->name_at++;
        next_name(spf);
    }
}

static void take_names(struct dp_spf *spf, const struct dp_dns_message *message)
{
    for (size_t i = 0; i < message->count; i++) {
        const struct dp_dns_record *record = &message->records[i];
        if (record->section != DP_DNS_ANSWER || record->type != spf->type || !record->target[0])
            continue;
        if (spf->name_count == NAMES_MAX) {
            if (spf->of_ptr)
                break; // the rest is ignored
            end(spf, DP_SPF_PERMERROR, "the term %.150s has more than %d MX", spf->term, NAMES_MAX);
            return;
        }
        (void)snprintf(spf->names[spf->name_count++], DP_DNS_NAME, "%s", record->target);
    }
    if (spf->of_ptr)
        spf->prefix4 = 32, spf->prefix6 = 128;
    next_name(spf);
}

bool dp_spf_wants(const struct dp_spf *spf, const char **ret_name, uint16_t *ret_type)
{
    if (spf->over)
        return false;
    *ret_name = spf->name;
    *ret_type = spf->type;
    return true;
}

void dp_spf_answer(struct dp_spf *spf, bool answered, const struct dp_dns_message *message)
{
    if (spf->over)
        return;
    bool ptr_fails = spf->wait == WAIT_PTR && !answered;
    if (!answered && !ptr_fails) {
        end(spf, DP_SPF_TEMPERROR, "no answer for %.200s", spf->name);
        return;
    }
    bool empty = true;
    for (size_t i = 0; !ptr_fails && i < message->count; i++)
        empty =
            empty && !(message->records[i].section == DP_DNS_ANSWER && message->records[i].type == spf->type);
    // the first question, for the domain's own record, is no lookup of a term
    if (empty && !(spf->wait == WAIT_RECORD && spf->depth == 1 && !spf->record) &&
        ++spf->voids > DP_SPF_VOIDS_MAX) {
        end(spf, DP_SPF_PERMERROR, "more than %d lookups without an answer", DP_SPF_VOIDS_MAX);
        return;
    }
    if (ptr_fails) {
        run(spf);
        return;
    }
    switch (spf->wait) {
    case WAIT_RECORD:
        take_record(spf, message);
        break;
    case WAIT_ADDRESS:
        take_addresses(spf, message);
        break;
    case WAIT_MX:
    case WAIT_PTR:
        take_names(spf, message);
        break;
    }
}

enum dp_spf_result dp_spf_outcome(const struct dp_spf *spf)
{
    return spf->result;
}

unsigned dp_spf_lookups(const struct dp_spf *spf)
{
    return spf->lookups;
}

unsigned dp_spf_voids(const struct dp_spf *spf)
{
    return spf->voids;
}

const char *dp_spf_record(const struct dp_spf *spf)
{
    return spf->record ? spf->record : "";
}

const char *dp_spf_why(const struct dp_spf *spf)
{
    return spf->why;
}
