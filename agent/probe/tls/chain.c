#include "agent/probe/tls/chain.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "agent/probe/net/handles.h"

#define ANSWER_MS 8000
#define PAUSE_MS 500 /* before a question that was not answered is put again */
#define TRIES 2

struct tls_chain {
    const struct tls_target *target;
    enum tls_version version;
    unsigned *budget;
    tls_chain_done *done;
    void *context;
    struct tls_ask *ask;
    struct dp_timer *timer;
    uint16_t left[TLS_SUITES_MAX]; /* not decided yet, in the order in which they are offered */
    size_t left_count;
    bool reversing; /* the question for the server's preference */
    bool over;
    unsigned tries;
    struct tls_chain_state state;
};

static void put_question(struct tls_chain *chain);

static void finish(struct tls_chain *chain)
{
    chain->over = true;
    dp_timer_start(chain->timer, 0, 0);
}

static void on_time(void *context)
{
    struct tls_chain *chain = context;
    if (chain->over)
        chain->done(chain->context);
    else
        put_question(chain);
}

/* Whether the server's own order counts: all that it takes, turned round, lets it choose again. */
static void ask_for_preference(struct tls_chain *chain)
{
    size_t count = chain->state.count;
    chain->reversing = true;
    chain->left_count = count;
    for (size_t i = 0; i < count; i++)
        chain->left[i] = chain->state.found[count - 1 - i].suite;
    chain->tries = 0;
    put_question(chain);
}

/* No more suites are taken. */
static void all_known(struct tls_chain *chain)
{
    chain->state.complete = true;
    if (chain->state.count > 1)
        ask_for_preference(chain);
    else
        finish(chain);
}

static void take_hello(struct tls_chain *chain, const struct tls_answer *answer)
{
    struct tls_chain_state *state = &chain->state;
    state->spoke_tls = true;
    if (answer->version !=
        tls_version_number(chain->version)) { // it answers in another version: this one it has not
        state->rejected++;
        if (state->offered == TLS_OFFERED_UNKNOWN)
            state->offered = TLS_OFFERED_NO;
        state->complete = true;
        finish(chain);
        return;
    }
    state->accepted++;
    state->offered = TLS_OFFERED_YES;
    if (chain->version == TLS_SSL2) {
        memcpy(state->ssl2, answer->ssl2_suites, sizeof state->ssl2);
        state->ssl2_count = answer->ssl2_count;
        state->complete = true;
        finish(chain);
        return;
    }
    size_t at = 0;
    while (at < chain->left_count && chain->left[at] != answer->suite)
        at++;
    if (at == chain->left_count) { // a suite that was not offered: the server cannot be taken at its word
        (void)snprintf(state->why, sizeof state->why, "the server chose a suite that was not offered");
        state->inconclusive++;
        finish(chain);
        return;
    }
    state->found[state->count++] = (struct tls_found){answer->suite, answer->dh_bits};
    memmove(&chain->left[at], &chain->left[at + 1], (chain->left_count - at - 1) * sizeof chain->left[0]);
    chain->left_count--;
    chain->tries = 0;
    if (chain->left_count)
        put_question(chain);
    else
        all_known(chain);
}

static void take_refusal(struct tls_chain *chain, const char *why)
{
    struct tls_chain_state *state = &chain->state;
    state->rejected++;
    if (state->offered == TLS_OFFERED_UNKNOWN) {
        state->offered = TLS_OFFERED_NO;
        (void)snprintf(state->why, sizeof state->why, "%s", why);
    }
    all_known(chain);
}

/* No answer to the question: once more after a pause, then it stays open. */
static void take_silence(struct tls_chain *chain, const struct tls_got *got)
{
    struct tls_chain_state *state = &chain->state;
    if (++chain->tries < TRIES) {
        dp_timer_start(chain->timer, PAUSE_MS, 0);
        return;
    }
    if (got->outcome == TLS_GOT_CLOSED) { // twice the same: servers that do not know a version hang up
        take_refusal(chain, "the connection is closed where the answer should be");
        return;
    }
    state->inconclusive++;
    (void)snprintf(state->why, sizeof state->why, "%s", got->why);
    finish(chain);
}

static void on_asked(void *context, const struct tls_got *got)
{
    struct tls_chain *chain = context;
    struct tls_got copy = *got;
    tls_ask_free(chain->ask);
    chain->ask = NULL;
    if (chain->reversing) {
        chain->state.server_order =
            copy.outcome == TLS_GOT_HELLO ? copy.answer.suite == chain->state.found[0].suite : -1;
        finish(chain);
        return;
    }
    switch (copy.outcome) {
    case TLS_GOT_HELLO:
        take_hello(chain, &copy.answer);
        break;
    case TLS_GOT_ALERT: {
        const char *name = tls_alert_name(copy.answer.alert);
        chain->state.spoke_tls = true;
        if (copy.answer.alert == 80 && ++chain->tries < TRIES) // internal_error: maybe of this moment only
            dp_timer_start(chain->timer, PAUSE_MS, 0);
        else
            take_refusal(chain, name ? name : "an alert");
        break;
    }
    case TLS_GOT_OTHER:
        chain->state.not_tls = true;
        take_refusal(chain, copy.why);
        break;
    case TLS_GOT_CLOSED:
    case TLS_GOT_NOTHING:
    case TLS_GOT_HANDSHAKE:
        take_silence(chain, &copy);
    }
}

static void put_question(struct tls_chain *chain)
{
    uint8_t random[64], hello[TLS_HELLO_MAX];
    if (!*chain->budget) {
        chain->state.inconclusive++;
        (void)snprintf(chain->state.why, sizeof chain->state.why, "the budget of connections is used up");
        finish(chain);
        return;
    }
    --*chain->budget;
    chain->state.connections++;
    if (getrandom(random, sizeof random, 0) != (ssize_t)sizeof random)
        memset(random, 0x5a, sizeof random);
    size_t length =
        tls_hello_write(chain->version, chain->left, chain->left_count, chain->target->name, random, hello);
    if (!length || tls_ask_start(chain->target, chain->version, hello, length, ANSWER_MS, on_asked, chain,
                                 &chain->ask)) {
        chain->state.inconclusive++;
        finish(chain);
    }
}

int tls_chain_start(const struct tls_target *target, enum tls_version version, unsigned *budget,
                    tls_chain_done *done, void *context, struct tls_chain **ret_chain)
{
    struct tls_chain *chain = calloc(1, sizeof *chain);
    if (!chain)
        return DP_ERR_NOMEM;
    *chain = (struct tls_chain){
        .target = target, .version = version, .budget = budget, .done = done, .context = context};
    chain->state.server_order = -1;
    for (size_t i = 0; i < tls_suite_count && chain->left_count < TLS_SUITES_MAX; i++)
        if (version != TLS_SSL2 && tls_suite_fits(&tls_suites[i], version))
            chain->left[chain->left_count++] = tls_suites[i].number;
    if (dp_timer_new(dp_probe_loop(target->probe), on_time, chain, &chain->timer)) {
        free(chain);
        return DP_ERR_NOMEM;
    }
    put_question(chain);
    *ret_chain = chain;
    return 0;
}

const struct tls_chain_state *tls_chain_state(const struct tls_chain *chain)
{
    return &chain->state;
}

void tls_chain_free(struct tls_chain *chain)
{
    if (!chain)
        return;
    tls_ask_free(chain->ask);
    dp_timer_drop(chain->timer);
    free(chain);
}

static json_t *suite_json(const char *name, uint32_t number, unsigned dh_bits)
{
    const char *why;
    enum tls_strength strength = tls_suite_strength(name, &why);
    if (dh_bits && dh_bits < 2048 && strength != TLS_WEAK) {
        strength = TLS_WEAK;
        why = "short DH key";
    }
    json_t *json = json_pack("{s:s, s:I, s:s, s:s}", "name", name, "number", (json_int_t)number, "strength",
                             tls_strength_name(strength), "why", why);
    if (json && dh_bits)
        (void)json_object_set_new(json, "dh_bits", json_integer(dh_bits));
    return json;
}

json_t *tls_chain_json(enum tls_version version, const struct tls_chain_state *state)
{
    json_t *ciphers = json_array();
    char text[24];
    for (size_t i = 0; i < state->count; i++)
        (void)json_array_append_new(ciphers, suite_json(tls_suite_name(state->found[i].suite, text),
                                                        state->found[i].suite, state->found[i].dh_bits));
    for (size_t i = 0; i < state->ssl2_count; i++) {
        const char *name = NULL;
        for (size_t k = 0; k < TLS_SSL2_SUITES; k++)
            name = tls_ssl2_suites[k].number == state->ssl2[i] ? tls_ssl2_suites[k].name : name;
        (void)snprintf(text, sizeof text, "SSL_CK_0x%06X", (unsigned)state->ssl2[i]);
        (void)json_array_append_new(ciphers, suite_json(name ? name : text, state->ssl2[i], 0));
    }
    return json_pack("{s:s, s:o, s:b, s:o, s:o, s:i, s:i, s:i, s:i, s:s}", "protocol",
                     tls_version_name(version), "offered",
                     state->offered == TLS_OFFERED_UNKNOWN ? json_null()
                                                           : json_boolean(state->offered == TLS_OFFERED_YES),
                     "complete", state->complete, "ciphers", ciphers, "server_order",
                     state->server_order < 0 ? json_null() : json_boolean(state->server_order), "connections",
                     (int)state->connections, "accepted", (int)state->accepted, "rejected",
                     (int)state->rejected, "inconclusive", (int)state->inconclusive, "why", state->why);
}
