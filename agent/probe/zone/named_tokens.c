#include "agent/probe/zone/named_tokens.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n' || c == '\f' || c == '\v';
}

static bool begins(const struct named_tokens *t, const char *what)
{
    size_t length = strlen(what);
    return (size_t)(t->end - t->at) >= length && memcmp(t->at, what, length) == 0;
}

static void step(struct named_tokens *t)
{
    t->line += *t->at == '\n';
    t->at++;
}

/* False: a comment that does not end, which began in *ret_line. */
static bool skip_blanks(struct named_tokens *t, unsigned *ret_line)
{
    while (t->at < t->end) {
        if (is_blank(*t->at)) {
            step(t);
        } else if (*t->at == '#' || begins(t, "//")) {
            while (t->at < t->end && *t->at != '\n')
                t->at++;
        } else if (begins(t, "/*")) {
            *ret_line = t->line;
            for (t->at += 2; t->at < t->end && !begins(t, "*/");)
                step(t);
            if (t->at == t->end)
                return false;
            t->at += 2;
        } else {
            break;
        }
    }
    return true;
}

static void bad(struct named_token *token, const char *why)
{
    token->kind = NAMED_BAD;
    (void)snprintf(token->text, sizeof token->text, "%s", why);
}

static void take_string(struct named_tokens *t, struct named_token *token)
{
    size_t length = 0;
    token->kind = NAMED_STRING;
    for (t->at++; t->at < t->end && *t->at != '"'; step(t)) {
        if (*t->at == '\n') {
            bad(token, "the line ends within quotes");
            return;
        }
        if (*t->at == '\\' && t->end - t->at > 1 && t->at[1] != '\n')
            t->at++;
        if (!*t->at || length + 1 == sizeof token->text) {
            bad(token, *t->at ? "what stands in quotes is too long" : "a zero byte: this is no text");
            return;
        }
        token->text[length++] = *t->at;
    }
    if (t->at == t->end) {
        bad(token, "quotes that do not end");
        return;
    }
    t->at++;
    token->text[length] = '\0';
}

static void take_word(struct named_tokens *t, struct named_token *token)
{
    size_t length = 0;
    token->kind = NAMED_WORD;
    for (; t->at < t->end && !is_blank(*t->at) && !strchr("{};\"#", *t->at); t->at++) {
        if (begins(t, "//") || begins(t, "/*"))
            break;
        if (length + 1 == sizeof token->text) {
            bad(token, "a word that is too long");
            return;
        }
        token->text[length++] = *t->at;
    }
    token->text[length] = '\0';
    if (!length) // strchr finds the zero byte too
        bad(token, "a zero byte: this is no text");
}

void named_next(struct named_tokens *t, struct named_token *ret_token)
{
    unsigned begun = t->line;
    bool whole = skip_blanks(t, &begun);
    ret_token->text[0] = '\0';
    ret_token->line = whole ? t->line : begun;
    if (!whole) {
        bad(ret_token, "a comment that does not end");
        return;
    }
    if (t->at == t->end) {
        ret_token->kind = NAMED_END;
        return;
    }
    switch (*t->at) {
    case '{':
        ret_token->kind = NAMED_OPEN;
        t->at++;
        break;
    case '}':
        ret_token->kind = NAMED_CLOSE;
        t->at++;
        break;
    case ';':
        ret_token->kind = NAMED_SEMICOLON;
        t->at++;
        break;
    case '"':
        take_string(t, ret_token);
        break;
    default:
        take_word(t, ret_token);
    }
}
