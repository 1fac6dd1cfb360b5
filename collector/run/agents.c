/* Which agents there are, who may in, and who is here. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "collector/run/run_internal.h"

#define PENDING_MAX 1000
#define PENDING_PER_SECOND 20.0
#define WRITE_EVERY_MS 60000
#define CLOCK_EVERY_MS 5000

static const char *const state_names[] = {"pending", "approved", "revoked"};

struct run_agent *run_agent_keyed(struct dp_run *run, const char *key)
{
    struct run_agent *agent = NULL;
    HASH_FIND_STR(run->agents, key, agent);
    return agent;
}

struct run_agent *run_agent_named(struct dp_run *run, const char *name)
{
    for (struct run_agent *agent = run->agents; agent != NULL; agent = agent->hh.next)
        if (agent->row.state == DP_AGENT_APPROVED && strcmp(agent->row.name, name) == 0)
            return agent;
    return NULL;
}

static void free_interfaces(struct run_agent *agent)
{
    for (size_t i = 0; i < agent->interface_count; i++)
        free(agent->interfaces[i]);
    free(agent->interfaces);
    agent->interfaces = NULL;
    agent->interface_count = 0;
}

static void forget(struct dp_run *run, struct run_agent *agent)
{
    HASH_DEL(run->agents, agent);
    free_interfaces(agent);
    free(agent);
}

void run_agents_free(struct dp_run *run)
{
    struct run_agent *agent, *next;
    HASH_ITER(hh, run->agents, agent, next)
    {
        forget(run, agent);
    }
}

static struct run_agent *add(struct dp_run *run, const struct dp_store_agent *row)
{
    struct run_agent *agent = calloc(1, sizeof *agent);
    if (agent == NULL)
        return NULL;
    agent->row = *row;
    HASH_ADD_STR(run->agents, row.key, agent);
    return agent;
}

static void on_loaded(void *context, int code, const char *text, const struct dp_store_agent *agents,
                      size_t count)
{
    struct dp_run *run = context;
    for (size_t i = 0; i < count && code == DP_OK; i++)
        if (add(run, &agents[i]) == NULL)
            code = DP_ERR_NOMEM;
    run_loaded(run, code, text);
}

void run_agents_load(struct dp_run *run)
{
    int code = dp_store_agents(run->store, on_loaded, run);
    if (code != DP_OK)
        run_loaded(run, code, NULL);
}

static void save(struct dp_run *run, struct run_agent *agent)
{
    agent->written_ms = uv_now(run->loop);
    /* What can't be queued now is saved with the next change; the memory is right. */
    int code = dp_store_agent_put(run->store, &agent->row, NULL, NULL);
    if (code != DP_OK)
        dp_log(run->log, DP_LOG_WARNING, "Agent %s could not be saved: %s", agent->row.fingerprint,
               dp_err_sentence(code));
}

static void seen(struct dp_run *run, struct run_agent *agent, const char *address)
{
    agent->row.last_seen_ns = run_now_ns();
    if (address != NULL)
        snprintf(agent->row.address, sizeof agent->row.address, "%s", address);
    if (uv_now(run->loop) - agent->written_ms >= WRITE_EVERY_MS)
        save(run, agent);
}

/* --- keys that nobody knows --- */

static void drop_oldest_pending(struct dp_run *run)
{
    struct run_agent *oldest = NULL;
    size_t pending = 0;
    for (struct run_agent *agent = run->agents; agent != NULL; agent = agent->hh.next) {
        if (agent->row.state != DP_AGENT_PENDING)
            continue;
        pending++;
        if (oldest == NULL || agent->row.last_seen_ns < oldest->row.last_seen_ns)
            oldest = agent;
    }
    if (pending < PENDING_MAX)
        return;
    if (dp_store_agent_delete(run->store, oldest->row.key, NULL, NULL) == DP_OK)
        forget(run, oldest);
}

/* Anyone can make keys: how many are noted is bounded, and how fast. */
static void note_pending(struct dp_run *run, const char *key, const char *address)
{
    uint64_t now = uv_now(run->loop);
    run->pending_tokens += (double)(now - run->pending_ms) / 1000 * PENDING_PER_SECOND;
    run->pending_ms = now;
    if (run->pending_tokens > PENDING_PER_SECOND)
        run->pending_tokens = PENDING_PER_SECOND;
    if (run->pending_tokens < 1)
        return;
    struct dp_store_agent row = {.state = DP_AGENT_PENDING, .first_seen_ns = run_now_ns()};
    if (dp_key_fingerprint(key, row.fingerprint) != DP_OK)
        return;
    run->pending_tokens -= 1;
    drop_oldest_pending(run);
    snprintf(row.key, sizeof row.key, "%s", key);
    snprintf(row.address, sizeof row.address, "%s", address);
    row.last_seen_ns = row.first_seen_ns;
    struct run_agent *agent = add(run, &row);
    if (agent == NULL)
        return;
    save(run, agent);
    dp_log(run->log, DP_LOG_INFO,
           "An unknown key knocks from %s: %s. `droppoint agent approve %s` lets it in.", address,
           row.fingerprint, row.fingerprint);
}

enum dp_peer_role run_agents_who(struct dp_run *run, const char *key, const char *address)
{
    struct run_agent *agent = run_agent_keyed(run, key);
    if (agent == NULL) {
        note_pending(run, key, address);
        return DP_ROLE_NONE;
    }
    seen(run, agent, address);
    return agent->row.state == DP_AGENT_APPROVED ? DP_ROLE_AGENT : DP_ROLE_NONE;
}

/* --- sessions --- */

static int copy_interfaces(struct run_agent *agent, const Droppoint__AgentHello *hello)
{
    free_interfaces(agent);
    agent->interfaces = calloc(hello->n_interfaces + 1, sizeof *agent->interfaces);
    if (agent->interfaces == NULL)
        return DP_ERR_NOMEM;
    for (size_t i = 0; i < hello->n_interfaces; i++) {
        agent->interfaces[i] = strdup(hello->interfaces[i]);
        if (agent->interfaces[i] == NULL)
            return DP_ERR_NOMEM;
        agent->interface_count++;
    }
    return DP_OK;
}

static void welcome(struct dp_run *run, struct run_agent *agent)
{
    Droppoint__Envelope envelope = DROPPOINT__ENVELOPE__INIT;
    Droppoint__Welcome body = DROPPOINT__WELCOME__INIT;
    body.name = agent->row.name;
    body.heartbeat_ms = HEARTBEAT_MS;
    agent->owed = 0; /* the session before is over, and its credit with it */
    body.credit_bytes = run_credit_for(run, agent);
    envelope.body_case = DROPPOINT__ENVELOPE__BODY_WELCOME;
    envelope.welcome = &body;
    run_send(run, agent->peer, 0, &envelope);
}

void run_agent_hello(struct dp_run *run, struct dp_peer *peer, const Droppoint__AgentHello *hello)
{
    struct run_agent *agent = run_agent_keyed(run, peer->public_z85);
    if (agent == NULL || agent->row.state != DP_AGENT_APPROVED)
        return; /* revoked this very moment */
    if (agent->row.name[0] == '\0') {
        const struct run_agent *other = run_agent_named(run, hello->name);
        if (other != NULL) {
            char text[512];
            snprintf(text, sizeof text,
                     "The name %s belongs to the agent %s. Give this one another: droppoint agent approve %s "
                     "--name "
                     "NAME; or revoke the other.",
                     hello->name, other->row.fingerprint, agent->row.fingerprint);
            run_refuse(run, peer, "name-taken", text);
            return;
        }
        snprintf(agent->row.name, sizeof agent->row.name, "%s", hello->name);
    }
    bool restarted = agent->epoch != hello->epoch;
    agent->peer = peer;
    agent->epoch = hello->epoch;
    peer->owner = agent;
    snprintf(agent->row.software, sizeof agent->row.software, "%.63s", hello->software);
    if (copy_interfaces(agent, hello) != DP_OK)
        dp_log(run->log, DP_LOG_WARNING, "The interfaces of agent %s are not known: out of memory.",
               agent->row.name);
    agent->row.last_seen_ns = run_now_ns();
    save(run, agent);
    dp_log(run->log, DP_LOG_INFO, "Agent %s connected from %s.", agent->row.name, peer->address);
    welcome(run, agent);
    run_probes_agent_back(run, agent);
    if (restarted)
        run_captures_agent_back(run, agent);
}

void run_agent_gone(struct dp_run *run, struct dp_peer *peer)
{
    struct run_agent *agent = peer->owner;
    if (agent == NULL || agent->peer != peer)
        return;
    agent->peer = NULL;
    agent->row.last_seen_ns = run_now_ns();
    if (run->closing)
        return;
    dp_log(run->log, DP_LOG_INFO, "Agent %s is gone.", agent->row.name);
    save(run, agent);
    run_captures_agent_gone(run, agent);
    run_probes_agent_gone(run, agent);
    run_exports_gone(run, NULL, agent);
}

void run_agent_clock(struct dp_run *run, struct dp_peer *peer)
{
    struct run_agent *agent = peer->owner;
    if (agent == NULL)
        return;
    agent->row.last_seen_ns = run_now_ns();
    for (struct run_capture *capture = run->captures; capture != NULL; capture = capture->hh.next) {
        bool news = false;
        for (size_t i = 0; i < capture->vantage_count; i++)
            if (strcmp(capture->vantages[i].row.agent_key, agent->row.key) == 0 &&
                !capture->vantages[i].ended) {
                capture->vantages[i].row.clock_offset_ns = peer->clock_offset_ns;
                capture->vantages[i].row.clock_error_ns = peer->clock_error_ns;
                news = true;
            }
        if (news && capture->phase == PHASE_RUNNING)
            run_capture_clocks(capture);
    }
    if (uv_now(run->loop) - agent->clock_stored_ms < CLOCK_EVERY_MS)
        return;
    agent->clock_stored_ms = uv_now(run->loop);
    if (dp_store_clock_sample(run->store, agent->row.key, peer->clock_measured_ns, peer->clock_offset_ns,
                              peer->clock_error_ns) != DP_OK)
        dp_log(run->log, DP_LOG_DEBUG, "A clock sample of %s was not stored.", agent->row.name);
}

/* --- what the operator asks --- */

static void fill_entry(const struct run_agent *agent, Droppoint__AgentEntry *entry)
{
    droppoint__agent_entry__init(entry);
    entry->name = (char *)agent->row.name;
    entry->fingerprint = (char *)agent->row.fingerprint;
    entry->state = (char *)state_names[agent->row.state];
    entry->connected = agent->peer != NULL;
    entry->address = (char *)agent->row.address;
    entry->last_seen_ns = agent->row.last_seen_ns;
    entry->clock_offset_ns = agent->peer != NULL ? agent->peer->clock_offset_ns : 0;
    entry->clock_error_ns = agent->peer != NULL ? agent->peer->clock_error_ns : -1;
    entry->interfaces = agent->interfaces;
    entry->n_interfaces = agent->peer != NULL ? agent->interface_count : 0;
    entry->software = (char *)agent->row.software;
}

static int by_name(struct run_agent *a, struct run_agent *b)
{
    if (a->row.state != b->row.state)
        return (int)a->row.state - (int)b->row.state;
    int order = strcmp(a->row.name, b->row.name);
    return order != 0 ? order : strcmp(a->row.fingerprint, b->row.fingerprint);
}

void run_agents_list(struct dp_run *run, struct dp_peer *peer, uint64_t request)
{
    HASH_SORT(run->agents, by_name);
    size_t count = HASH_COUNT(run->agents), i = 0;
    Droppoint__AgentEntry *entries = calloc(count + 1, sizeof *entries);
    Droppoint__AgentEntry **pointers = calloc(count + 1, sizeof(Droppoint__AgentEntry *));
    if (entries != NULL && pointers != NULL) {
        for (struct run_agent *agent = run->agents; agent != NULL; agent = agent->hh.next, i++) {
            fill_entry(agent, &entries[i]);
            pointers[i] = &entries[i];
        }
        Droppoint__Envelope envelope = DROPPOINT__ENVELOPE__INIT;
        Droppoint__AgentList list = DROPPOINT__AGENT_LIST__INIT;
        list.n_agents = count;
        list.agents = pointers;
        envelope.body_case = DROPPOINT__ENVELOPE__BODY_AGENT_LIST;
        envelope.agent_list = &list;
        run_send(run, peer, request, &envelope);
    } else {
        run_result(run, peer, request, DP_ERR_NOMEM, "%s", dp_err_sentence(DP_ERR_NOMEM));
    }
    free(entries);
    free(pointers);
}

static void without_dashes(const char *text, char out[DP_FINGERPRINT_TEXT])
{
    size_t len = 0;
    for (; *text != '\0' && len < DP_FINGERPRINT_TEXT - 1; text++)
        if (*text != '-')
            out[len++] = *text;
    out[len] = '\0';
}

/* The agent whose fingerprint begins so. *ret_count tells how many do. */
static struct run_agent *by_fingerprint(struct dp_run *run, const char *text, size_t *ret_count)
{
    char wanted[DP_FINGERPRINT_TEXT], own[DP_FINGERPRINT_TEXT];
    struct run_agent *found = NULL;
    without_dashes(text, wanted);
    *ret_count = 0;
    for (struct run_agent *agent = run->agents; agent != NULL && wanted[0] != '\0'; agent = agent->hh.next) {
        without_dashes(agent->row.fingerprint, own);
        if (strncmp(own, wanted, strlen(wanted)) == 0) {
            found = agent;
            ++*ret_count;
        }
    }
    return found;
}

static void on_saved(void *context, int code, const char *text)
{
    struct run_asker *asker = context;
    run_asker_answer(asker, code, code == DP_OK ? asker->text : text);
}

/* Answers once the change is in the database. */
static void save_and_answer(struct run_agent *agent, struct run_asker *asker)
{
    agent->written_ms = uv_now(asker->run->loop);
    int code = dp_store_agent_put(asker->run->store, &agent->row, on_saved, asker);
    if (code != DP_OK)
        run_asker_answer(asker, code, NULL);
}

static void drop_session(struct dp_run *run, struct run_agent *agent)
{
    if (agent->peer != NULL)
        dp_link_drop(run->link, agent->peer);
}

void run_agent_approve(struct dp_run *run, struct dp_peer *peer, uint64_t request,
                       const Droppoint__AgentApprove *ask)
{
    size_t count = 0;
    struct run_agent *agent = by_fingerprint(run, ask->fingerprint, &count);
    if (count != 1) {
        run_result(
            run, peer, request, count == 0 ? DP_ERR_NOT_FOUND : DP_ERR_USAGE,
            count == 0
                ? "No agent has a fingerprint that begins with %s. `droppoint agent list` shows those that "
                  "wait; one appears there once it has tried to connect."
                : "Several agents have a fingerprint that begins with %s. Give more of it.",
            ask->fingerprint);
        return;
    }
    const struct run_agent *other = ask->name[0] != '\0' ? run_agent_named(run, ask->name) : NULL;
    if (other == NULL && ask->name[0] == '\0' && agent->row.name[0] != '\0')
        other = run_agent_named(run, agent->row.name);
    if (other != NULL && other != agent) {
        run_result(
            run, peer, request, DP_ERR_EXISTS,
            "The name %s belongs to the agent %s. Revoke that one first (droppoint agent revoke %s), or give "
            "another name with --name.",
            other->row.name, other->row.fingerprint, other->row.fingerprint);
        return;
    }
    struct run_asker *asker = run_asker_new(run, peer, request);
    if (asker == NULL)
        return;
    bool renamed = ask->name[0] != '\0' && strcmp(ask->name, agent->row.name) != 0;
    if (renamed)
        snprintf(agent->row.name, sizeof agent->row.name, "%s", ask->name);
    agent->row.state = DP_AGENT_APPROVED;
    snprintf(asker->text, sizeof asker->text, "Approved agent %s%s%s.", agent->row.fingerprint,
             agent->row.name[0] != '\0' ? " as " : "", agent->row.name);
    if (renamed)
        drop_session(run, agent); /* it greets again and learns its name */
    save_and_answer(agent, asker);
}

void run_agent_revoke(struct dp_run *run, struct dp_peer *peer, uint64_t request,
                      const Droppoint__AgentRevoke *ask)
{
    size_t count = 0;
    struct run_agent *agent = run_agent_named(run, ask->agent);
    if (agent == NULL)
        agent = by_fingerprint(run, ask->agent, &count);
    else
        count = 1;
    if (count != 1) {
        run_result(run, peer, request, count == 0 ? DP_ERR_NOT_FOUND : DP_ERR_USAGE,
                   count == 0 ? "There is no agent %s. `droppoint agent list` shows names and fingerprints."
                              : "Several agents have a fingerprint that begins with %s. Give more of it.",
                   ask->agent);
        return;
    }
    struct run_asker *asker = run_asker_new(run, peer, request);
    if (asker == NULL)
        return;
    agent->row.state = DP_AGENT_REVOKED;
    snprintf(asker->text, sizeof asker->text, "Revoked agent %s (%s).",
             agent->row.name[0] != '\0' ? agent->row.name : "without a name", agent->row.fingerprint);
    drop_session(run, agent);
    save_and_answer(agent, asker);
}
