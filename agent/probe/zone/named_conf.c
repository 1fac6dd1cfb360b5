#include "agent/probe/zone/named_conf.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "agent/probe/zone/named_tokens.h"

#define FILES_MAX 2000 /* all that are read */
#define DEPTH_MAX 16   /* of files within files */
#define LISTS_MAX 1000
#define ZONES_STEP 64

/* Where a statement stands, and so what it may be. */
enum scope { SCOPE_TOP, SCOPE_VIEW, SCOPE_OPTIONS, SCOPE_ZONE };

struct list {
    char name[NAMED_NAME];
    struct named_server servers[NAMED_SERVERS_MAX];
    size_t count;
};

/* A zone as its statement has it, until the whole is read. */
struct statement {
    struct named_zone zone;
    bool has_type, served, elsewhere; /* elsewhere: of another view */
};

struct reader {
    named_load *load;
    void *context;
    struct named_conf conf;
    struct list *lists;
    size_t list_count, zones_room;
    unsigned files, depth;
    char directory[NAMED_PATH]; /* of options */
    char folder[NAMED_PATH];    /* of the first file, where paths begin as long as options say nothing */
    bool listens;               /* options say where */
    struct statement now;
    struct dp_diag *diag;
};

struct source {
    const char *path;
    struct named_tokens tokens;
    struct named_token token; /* the one in hand */
};

DP_PRINTF(3, 4) static int wrong(struct reader *r, const struct source *s, const char *format, ...)
{
    char what[400];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(what, sizeof what, format, args);
    va_end(args);
    return dp_fail(r->diag, DP_ERR_USAGE, "%.300s, line %u: %s", s->path, s->token.line,
                   s->token.kind == NAMED_BAD ? s->token.text : what);
}

static enum named_kind next(struct source *s)
{
    named_next(&s->tokens, &s->token);
    return s->token.kind;
}

static bool is_text(const struct source *s)
{
    return s->token.kind == NAMED_WORD || s->token.kind == NAMED_STRING;
}

static bool is_word(const struct source *s, const char *word)
{
    return s->token.kind == NAMED_WORD && strcasecmp(s->token.text, word) == 0;
}

static int expect(struct reader *r, struct source *s, enum named_kind kind, const char *what)
{
    return next(s) == kind ? 0 : wrong(r, s, "expected %s here", what);
}

/* Up to the semicolon that ends the statement; the token in hand belongs to it. */
static int skip_statement(struct reader *r, struct source *s)
{
    unsigned depth = 0;
    for (;; (void)next(s)) {
        switch (s->token.kind) {
        case NAMED_SEMICOLON:
            if (!depth)
                return 0;
            break;
        case NAMED_OPEN:
            depth++;
            break;
        case NAMED_CLOSE:
            if (!depth--)
                return wrong(r, s,
                             "a brace closes in the middle of a statement; is a ';' missing before it?");
            break;
        case NAMED_END:
            return wrong(r, s, "the file ends in the middle of a statement");
        case NAMED_BAD:
            return wrong(r, s, "no statement");
        default:
            break;
        }
    }
}

/* --- lists of servers --- */

static int read_port(struct reader *r, struct source *s, unsigned *ret_port)
{
    char *end = NULL;
    unsigned long port = next(s) == NAMED_WORD ? strtoul(s->token.text, &end, 10) : 0;
    if (!end || *end || port < 1 || port > 65535)
        return wrong(r, s, "a port is a number from 1 to 65535");
    *ret_port = (unsigned)port;
    return 0;
}

/* "[port N] [dscp N]" before the brace; leaves with the brace in hand. */
static int read_before_list(struct reader *r, struct source *s, unsigned *ret_port)
{
    while (next(s) == NAMED_WORD) {
        int rc = 0;
        if (is_word(s, "port"))
            rc = read_port(r, s, ret_port);
        else if (is_word(s, "dscp") || is_word(s, "source") || is_word(s, "source-v6") || is_word(s, "tls") ||
                 is_word(s, "http"))
            (void)next(s);
        else
            return wrong(r, s, "expected 'port' or '{' here");
        if (rc)
            return rc;
    }
    return s->token.kind == NAMED_OPEN ? 0 : wrong(r, s, "expected '{' here");
}

/* "ADDRESS [port N] [key K] [tls T];" or "NAME;", the first word of which is in hand. */
static int read_member(struct reader *r, struct source *s, unsigned port, struct named_server *ret_server)
{
    int rc = 0;
    if (!is_text(s) || strlen(s->token.text) >= sizeof ret_server->text)
        return wrong(r, s, "expected an address or the name of a list here");
    struct named_server server = {.port = port};
    (void)snprintf(server.text, sizeof server.text, "%s", s->token.text);
    while (!rc && next(s) == NAMED_WORD) {
        if (is_word(s, "port"))
            rc = read_port(r, s, &server.port);
        else if (is_word(s, "key") || is_word(s, "tls"))
            rc = next(s) == NAMED_WORD || s->token.kind == NAMED_STRING ? 0
                                                                        : wrong(r, s, "expected a name here");
        else
            rc = wrong(r, s, "expected 'port', 'key', 'tls' or ';' here");
    }
    if (!rc && s->token.kind != NAMED_SEMICOLON)
        rc = wrong(r, s, "expected ';' here");
    if (!rc)
        *ret_server = server;
    return rc;
}

static int read_servers(struct reader *r, struct source *s, struct named_server servers[NAMED_SERVERS_MAX],
                        size_t *ret_count)
{
    unsigned port = 0;
    size_t count = 0;
    int rc = read_before_list(r, s, &port);
    while (!rc && next(s) != NAMED_CLOSE) {
        struct named_server server;
        rc = read_member(r, s, port, &server);
        if (!rc && count < NAMED_SERVERS_MAX)
            servers[count++] = server;
    }
    if (!rc)
        rc = expect(r, s, NAMED_SEMICOLON, "';'");
    *ret_count = count;
    return rc;
}

static int read_list(struct reader *r, struct source *s)
{
    struct list *list;
    if (!r->lists && !(r->lists = calloc(LISTS_MAX, sizeof *r->lists)))
        return DP_ERR_NOMEM;
    if (r->list_count == LISTS_MAX)
        return wrong(r, s, "more than %d lists of servers", LISTS_MAX);
    list = &r->lists[r->list_count];
    (void)next(s);
    if (!is_text(s) || !s->token.text[0] || strlen(s->token.text) >= sizeof list->name)
        return wrong(r, s, "expected the name of a list here");
    (void)snprintf(list->name, sizeof list->name, "%s", s->token.text);
    int rc = read_servers(r, s, list->servers, &list->count);
    r->list_count += !rc;
    return rc;
}

/* "listen-on [port N] { ... };": the first address where a program on this host reaches the server. */
static int read_listen(struct reader *r, struct source *s)
{
    unsigned port = 0, depth = 1;
    bool negated = false;
    int rc = read_before_list(r, s, &port);
    if (!r->listens)
        r->conf.own.text[0] = '\0'; // no longer where BIND listens by itself
    while (!rc && depth) {
        union dp_address address;
        enum named_kind kind = next(s);
        const char *text = s->token.text;
        if (kind == NAMED_OPEN)
            depth++;
        else if (kind == NAMED_CLOSE)
            depth--;
        else if (kind == NAMED_END || kind == NAMED_BAD)
            rc = wrong(r, s, "the file ends within a list");
        else if (is_word(s, "any") || is_word(s, "localhost") || is_word(s, "localnets"))
            text = "127.0.0.1";
        if (kind == NAMED_WORD && !negated && depth == 1 && !r->listens &&
            dp_address_parse(text, 53, &address) == 0) {
            (void)dp_address_text(&address, r->conf.own.text);
            r->conf.own.port = port;
            r->listens = true;
        }
        negated = kind == NAMED_WORD && strcmp(s->token.text, "!") == 0;
    }
    return rc ? rc : expect(r, s, NAMED_SEMICOLON, "';'");
}

/* --- statements --- */

static int read_body(struct reader *r, struct source *s, enum scope scope, bool in_braces);

static int read_directory(struct reader *r, struct source *s)
{
    (void)next(s);
    if (!is_text(s) || strlen(s->token.text) >= sizeof r->directory)
        return wrong(r, s, "expected a path here");
    (void)snprintf(r->directory, sizeof r->directory, "%s", s->token.text);
    return expect(r, s, NAMED_SEMICOLON, "';'");
}

static int read_file(struct reader *r, const char *path, enum scope scope)
{
    char *text = NULL;
    size_t length = 0;
    if (r->depth == DEPTH_MAX || r->files == FILES_MAX)
        return dp_fail(r->diag, DP_ERR_USAGE, "%.300s: too many files include each other", path);
    int rc = r->load(r->context, path, &text, &length, r->diag);
    if (rc)
        return rc;
    struct source *s = calloc(1, sizeof *s);
    if (s) {
        *s = (struct source){.path = path, .tokens = {.at = text, .end = text + length, .line = 1}};
        r->depth++;
        r->files++;
        rc = read_body(r, s, scope, false);
        r->depth--;
    }
    free(text);
    free(s);
    return s ? rc : DP_ERR_NOMEM;
}

static int read_include(struct reader *r, struct source *s, enum scope scope)
{
    char path[2 * NAMED_PATH];
    (void)next(s);
    if (!is_text(s) || !s->token.text[0])
        return wrong(r, s, "expected the path of a file here");
    const char *from = r->directory[0] ? r->directory : r->folder;
    if (s->token.text[0] == '/')
        (void)snprintf(path, sizeof path, "%s", s->token.text);
    else
        (void)snprintf(path, sizeof path, "%s/%s", from, s->token.text);
    int rc = expect(r, s, NAMED_SEMICOLON, "';'");
    return rc ? rc : read_file(r, path, scope);
}

static int read_type(struct reader *r, struct source *s)
{
    static const char *const others[] = {"hint",     "stub",    "static-stub",     "forward", "mirror",
                                         "redirect", "in-view", "delegation-only", NULL};
    bool known = false;
    (void)next(s);
    bool primary = is_word(s, "primary") || is_word(s, "master");
    bool secondary = is_word(s, "secondary") || is_word(s, "slave");
    for (size_t i = 0; others[i]; i++)
        known = known || is_word(s, others[i]);
    if (!primary && !secondary && !known)
        return wrong(r, s, "no type of zone that BIND knows");
    if (r->now.has_type)
        return wrong(r, s, "the zone has a type already");
    r->now.has_type = true;
    r->now.served = primary || secondary;
    r->now.zone.secondary = secondary;
    return expect(r, s, NAMED_SEMICOLON, "';'");
}

/* The name in hand. Letters are made small, the dot at the end goes. */
static int take_name(struct reader *r, const struct source *s, char name[NAMED_NAME])
{
    size_t length = strlen(s->token.text);
    if (length > 1 && s->token.text[length - 1] == '.')
        length--;
    if (!is_text(s) || !length || length > 253)
        return wrong(r, s, "expected the name of a zone here");
    for (size_t i = 0; i < length; i++) {
        char c = s->token.text[i];
        if (c <= ' ' || c > '~' || strchr("\"{};:[]@", c))
            return wrong(r, s, "the name of a zone has letters, digits, '-', '_', '/' and dots");
        name[i] = (char)(c >= 'A' && c <= 'Z' ? c + 32 : c);
    }
    name[length] = '\0';
    return 0;
}

static int keep_zone(struct reader *r, const struct source *s)
{
    struct named_conf *conf = &r->conf;
    for (size_t i = 0; i < conf->zone_count; i++)
        if (strcmp(conf->zones[i].name, r->now.zone.name) == 0)
            return 0; // of another view
    if (conf->zone_count == NAMED_ZONES_MAX)
        return wrong(r, s, "more than %d zones", NAMED_ZONES_MAX);
    if (conf->zone_count == r->zones_room) {
        size_t room = r->zones_room + ZONES_STEP + r->zones_room / 2;
        struct named_zone *more = realloc(conf->zones, room * sizeof *more);
        if (!more)
            return DP_ERR_NOMEM;
        conf->zones = more;
        r->zones_room = room;
    }
    conf->zones[conf->zone_count++] = r->now.zone;
    return 0;
}

static int read_zone(struct reader *r, struct source *s)
{
    bool in = true;
    (void)next(s);
    r->now = (struct statement){.has_type = false};
    int rc = take_name(r, s, r->now.zone.name);
    unsigned line = s->token.line;
    if (!rc && next(s) == NAMED_WORD) {
        in = is_word(s, "in");
        (void)next(s);
    }
    if (!rc && s->token.kind != NAMED_OPEN)
        rc = wrong(r, s, "expected '{' here");
    if (!rc)
        rc = read_body(r, s, SCOPE_ZONE, true);
    if (!rc)
        rc = expect(r, s, NAMED_SEMICOLON, "';'");
    if (rc)
        return rc;
    s->token.line = line; // what follows is about the statement as a whole
    if (!r->now.has_type && !r->now.elsewhere)
        return wrong(r, s, "the zone has no type");
    bool root = strcmp(r->now.zone.name, ".") == 0;
    return r->now.served && in && !root ? keep_zone(r, s) : 0;
}

static int read_block(struct reader *r, struct source *s, enum scope scope)
{
    while (next(s) == NAMED_WORD || s->token.kind == NAMED_STRING) {
    }
    if (s->token.kind != NAMED_OPEN)
        return wrong(r, s, "expected '{' here");
    int rc = read_body(r, s, scope, true);
    return rc ? rc : expect(r, s, NAMED_SEMICOLON, "';'");
}

static int read_statement(struct reader *r, struct source *s, enum scope scope)
{
    bool zones = scope == SCOPE_TOP || scope == SCOPE_VIEW;
    bool primaries = is_word(s, "primaries") || is_word(s, "masters") || is_word(s, "remote-servers");
    if (is_word(s, "include"))
        return read_include(r, s, scope);
    if (zones && is_word(s, "zone"))
        return read_zone(r, s);
    if (scope == SCOPE_TOP && is_word(s, "view"))
        return read_block(r, s, SCOPE_VIEW);
    if (scope == SCOPE_TOP && is_word(s, "options"))
        return read_block(r, s, SCOPE_OPTIONS);
    if (zones && primaries)
        return read_list(r, s);
    if (scope == SCOPE_OPTIONS && is_word(s, "directory"))
        return read_directory(r, s);
    if (scope == SCOPE_OPTIONS && is_word(s, "listen-on"))
        return read_listen(r, s);
    if (scope == SCOPE_ZONE && is_word(s, "type"))
        return read_type(r, s);
    if (scope == SCOPE_ZONE && primaries)
        return read_servers(r, s, r->now.zone.primaries, &r->now.zone.primary_count);
    r->now.elsewhere = r->now.elsewhere || (scope == SCOPE_ZONE && is_word(s, "in-view"));
    return skip_statement(r, s);
}

static int read_body(struct reader *r, struct source *s, enum scope scope, bool in_braces)
{
    int rc = 0;
    while (!rc) {
        switch (next(s)) {
        case NAMED_WORD:
            rc = read_statement(r, s, scope);
            break;
        case NAMED_SEMICOLON:
            break;
        case NAMED_END:
            return in_braces ? wrong(r, s, "the file ends before its braces close") : 0;
        case NAMED_CLOSE:
            return in_braces ? 0 : wrong(r, s, "a brace closes that was never open");
        default:
            rc = wrong(r, s, "a statement begins with a word");
        }
    }
    return rc;
}

/* --- the whole --- */

static void add_server(struct named_zone *zone, const struct named_server *server)
{
    union dp_address address;
    if (zone->primary_count == NAMED_SERVERS_MAX || dp_address_parse(server->text, 53, &address))
        return;
    for (size_t i = 0; i < zone->primary_count; i++)
        if (strcmp(zone->primaries[i].text, server->text) == 0)
            return;
    zone->primaries[zone->primary_count++] = *server;
}

/* Puts addresses in the place of lists, also of lists in lists. A list that nobody wrote down is left out:
 * BIND itself would not start. */
static void resolve(const struct reader *r, struct named_zone *zone, const struct named_server *server,
                    unsigned depth, unsigned *budget)
{
    union dp_address address;
    if (dp_address_parse(server->text, 53, &address) == 0) {
        add_server(zone, server);
        return;
    }
    if (!*budget || zone->primary_count == NAMED_SERVERS_MAX)
        return;
    --*budget;
    for (size_t i = 0; depth < 4 && i < r->list_count; i++)
        for (size_t k = 0; strcasecmp(r->lists[i].name, server->text) == 0 && k < r->lists[i].count; k++)
            resolve(r, zone, &r->lists[i].servers[k], depth + 1, budget);
}

static void resolve_all(struct reader *r)
{
    for (size_t i = 0; i < r->conf.zone_count; i++) {
        struct named_zone *zone = &r->conf.zones[i];
        struct named_server written[NAMED_SERVERS_MAX];
        unsigned budget = 256; // lists may name each other
        size_t count = zone->secondary ? zone->primary_count : 0;
        memcpy(written, zone->primaries, sizeof written);
        zone->primary_count = 0;
        for (size_t k = 0; k < count; k++)
            resolve(r, zone, &written[k], 0, &budget);
    }
}

int named_conf_read(const char *path, named_load *load, void *context, struct named_conf *ret_conf,
                    struct dp_diag *diag)
{
    struct reader *r = calloc(1, sizeof *r);
    if (!r)
        return DP_ERR_NOMEM;
    *r = (struct reader){.load = load, .context = context, .diag = diag};
    (void)snprintf(r->conf.own.text, sizeof r->conf.own.text, "127.0.0.1"); // where options say nothing
    const char *slash = strrchr(path, '/');
    (void)snprintf(r->folder, sizeof r->folder, "%.*s", slash ? (int)(slash - path) : 1, slash ? path : ".");
    int rc = read_file(r, path, SCOPE_TOP);
    if (!rc) {
        resolve_all(r);
        *ret_conf = r->conf;
    } else {
        named_conf_free(&r->conf);
    }
    free(r->lists);
    free(r);
    return rc;
}

void named_conf_free(struct named_conf *conf)
{
    free(conf->zones);
    *conf = (struct named_conf){.zones = NULL};
}
