/* Agents, paths and clock samples. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "collector/store/pg.h"
#include "collector/store/store_internal.h"

static const char *const state_names[] = {"pending", "approved", "revoked"};

/* --- agents --- */

struct agents_job {
    struct dp_job job;
    struct dp_store_agent *agents;
    size_t count;
    dp_store_agents_done *done;
    void *context;
};

static void read_agent(const PGresult *result, int row, struct dp_store_agent *agent)
{
    memset(agent, 0, sizeof *agent);
    dp_pg_copy_text(result, row, 0, agent->key, sizeof agent->key);
    dp_pg_copy_text(result, row, 1, agent->fingerprint, sizeof agent->fingerprint);
    dp_pg_copy_text(result, row, 2, agent->name, sizeof agent->name);
    const char *state = PQgetvalue(result, row, 3);
    agent->state = state[0] == 'a'   ? DP_AGENT_APPROVED
                   : state[0] == 'r' ? DP_AGENT_REVOKED
                                     : DP_AGENT_PENDING;
    agent->first_seen_ns = dp_pg_int(result, row, 4);
    agent->last_seen_ns = dp_pg_int(result, row, 5);
    dp_pg_copy_text(result, row, 6, agent->address, sizeof agent->address);
    dp_pg_copy_text(result, row, 7, agent->software, sizeof agent->software);
}

static int work_agents(PGconn *connection, struct dp_job *job, struct dp_diag *diag)
{
    struct agents_job *own = (struct agents_job *)job;
    PGresult *result = NULL;
    int code =
        dp_pg_query(connection,
                    "SELECT public_key, fingerprint, name, state, first_seen_ns, last_seen_ns, address, "
                    "software FROM agent ORDER BY first_seen_ns",
                    0, NULL, &result, diag);
    if (code != DP_OK)
        return code;
    free(own->agents);
    own->count = (size_t)PQntuples(result);
    own->agents = calloc(own->count + 1, sizeof *own->agents);
    if (own->agents == NULL)
        code = DP_ERR_NOMEM;
    for (size_t i = 0; i < own->count && code == DP_OK; i++)
        read_agent(result, (int)i, &own->agents[i]);
    PQclear(result);
    return code;
}

static void finish_agents(struct dp_job *job)
{
    struct agents_job *own = (struct agents_job *)job;
    own->done(own->context, job->code, job->diag.text, own->agents, job->code == DP_OK ? own->count : 0);
    free(own->agents);
    free(own);
}

int dp_store_agents(struct dp_store *store, dp_store_agents_done *done, void *context)
{
    struct agents_job *job = calloc(1, sizeof *job);
    if (job == NULL)
        return DP_ERR_NOMEM;
    *job = (struct agents_job){
        .job = {.work = work_agents, .finish = finish_agents}, .done = done, .context = context};
    int code = dp_store_submit(store, &job->job);
    if (code != DP_OK)
        free(job);
    return code;
}

struct agent_job {
    struct dp_job job;
    struct dp_store_agent agent;
    dp_store_done *done;
    void *context;
};

static int work_agent_put(PGconn *connection, struct dp_job *job, struct dp_diag *diag)
{
    const struct dp_store_agent *agent = &((struct agent_job *)job)->agent;
    char first[DP_PG_NUMBER], last[DP_PG_NUMBER];
    const char *const values[] = {agent->key,
                                  agent->fingerprint,
                                  agent->name,
                                  state_names[agent->state],
                                  dp_pg_number(first, agent->first_seen_ns),
                                  dp_pg_number(last, agent->last_seen_ns),
                                  agent->address,
                                  agent->software};
    return dp_pg_query(
        connection,
        "INSERT INTO agent (public_key, fingerprint, name, state, first_seen_ns, last_seen_ns, address, "
        "software) VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT (public_key) DO UPDATE SET "
        "name = $3, state = $4, last_seen_ns = $6, address = $7, software = $8",
        8, values, NULL, diag);
}

static int work_agent_delete(PGconn *connection, struct dp_job *job, struct dp_diag *diag)
{
    const char *const values[] = {((struct agent_job *)job)->agent.key};
    return dp_pg_query(connection, "DELETE FROM agent WHERE public_key = $1", 1, values, NULL, diag);
}

static void finish_agent(struct dp_job *job)
{
    struct agent_job *own = (struct agent_job *)job;
    if (own->done != NULL)
        own->done(own->context, job->code, job->diag.text);
    free(own);
}

static int submit_agent(struct dp_store *store, const struct dp_store_agent *agent,
                        int (*work)(PGconn *, struct dp_job *, struct dp_diag *), dp_store_done *done,
                        void *context)
{
    struct agent_job *job = calloc(1, sizeof *job);
    if (job == NULL)
        return DP_ERR_NOMEM;
    *job = (struct agent_job){
        .job = {.work = work, .finish = finish_agent}, .agent = *agent, .done = done, .context = context};
    int code = dp_store_submit(store, &job->job);
    if (code != DP_OK)
        free(job);
    return code;
}

int dp_store_agent_put(struct dp_store *store, const struct dp_store_agent *agent, dp_store_done *done,
                       void *context)
{
    return submit_agent(store, agent, work_agent_put, done, context);
}

int dp_store_agent_delete(struct dp_store *store, const char *key, dp_store_done *done, void *context)
{
    struct dp_store_agent agent = {.state = DP_AGENT_PENDING};
    snprintf(agent.key, sizeof agent.key, "%s", key);
    return submit_agent(store, &agent, work_agent_delete, done, context);
}

/* --- clock samples --- */

struct clock_job {
    struct dp_job job;
    char key[48];
    int64_t at_ns, offset_ns, error_ns;
};

static int work_clock(PGconn *connection, struct dp_job *job, struct dp_diag *diag)
{
    const struct clock_job *own = (const struct clock_job *)job;
    char at[DP_PG_NUMBER], offset[DP_PG_NUMBER], error[DP_PG_NUMBER];
    const char *const values[] = {own->key, dp_pg_number(at, own->at_ns),
                                  dp_pg_number(offset, own->offset_ns), dp_pg_number(error, own->error_ns)};
    /* Each sample takes at most a handful of old ones with it: the table stays bounded without a job of its
     * own. */
    return dp_pg_query(
        connection,
        "WITH old AS (DELETE FROM clock_sample WHERE agent_key = $1 AND at_ns IN (SELECT at_ns FROM "
        "clock_sample WHERE agent_key = $1 AND at_ns < $2::bigint - 2592000000000000 LIMIT 8)) "
        "INSERT INTO clock_sample (agent_key, at_ns, offset_ns, error_ns) VALUES ($1, $2, $3, $4) "
        "ON CONFLICT DO NOTHING",
        4, values, NULL, diag);
}

static void finish_plain(struct dp_job *job)
{
    free(job);
}

int dp_store_clock_sample(struct dp_store *store, const char *agent_key, int64_t at_ns, int64_t offset_ns,
                          int64_t error_ns)
{
    struct clock_job *job = calloc(1, sizeof *job);
    if (job == NULL)
        return DP_ERR_NOMEM;
    *job = (struct clock_job){.job = {.work = work_clock, .finish = finish_plain},
                              .at_ns = at_ns,
                              .offset_ns = offset_ns,
                              .error_ns = error_ns};
    snprintf(job->key, sizeof job->key, "%s", agent_key);
    int code = dp_store_submit(store, &job->job);
    if (code != DP_OK)
        free(job);
    return code;
}

/* --- paths --- */

struct paths_job {
    struct dp_job job;
    struct dp_store_path *paths;
    size_t count;
    dp_store_paths_done *done;
    void *context;
};

static void free_path(struct dp_store_path *path)
{
    for (size_t i = 0; i < path->vantage_count; i++)
        free(path->vantages[i]);
    free(path->vantages);
    *path = (struct dp_store_path){.vantages = NULL};
}

static void free_paths(struct paths_job *own)
{
    for (size_t i = 0; i < own->count; i++)
        free_path(&own->paths[i]);
    free(own->paths);
    own->paths = NULL;
    own->count = 0;
}

static int add_vantage(struct dp_store_path *path, const char *vantage)
{
    char **vantages = realloc(path->vantages, (path->vantage_count + 1) * sizeof *vantages);
    if (vantages == NULL)
        return DP_ERR_NOMEM;
    path->vantages = vantages;
    vantages[path->vantage_count] = strdup(vantage);
    if (vantages[path->vantage_count] == NULL)
        return DP_ERR_NOMEM;
    path->vantage_count++;
    return DP_OK;
}

static int work_paths(PGconn *connection, struct dp_job *job, struct dp_diag *diag)
{
    struct paths_job *own = (struct paths_job *)job;
    PGresult *result = NULL;
    int code = dp_pg_query(connection, "SELECT path, vantage FROM path_vantage ORDER BY path, position", 0,
                           NULL, &result, diag);
    if (code != DP_OK)
        return code;
    free_paths(own);
    int rows = PQntuples(result);
    own->paths = calloc((size_t)rows + 1, sizeof *own->paths);
    if (own->paths == NULL)
        code = DP_ERR_NOMEM;
    for (int row = 0; row < rows && code == DP_OK; row++) {
        const char *name = PQgetvalue(result, row, 0);
        if (own->count == 0 || strcmp(own->paths[own->count - 1].name, name) != 0)
            snprintf(own->paths[own->count++].name, sizeof own->paths->name, "%s", name);
        code = add_vantage(&own->paths[own->count - 1], PQgetvalue(result, row, 1));
    }
    PQclear(result);
    return code;
}

static void finish_paths(struct dp_job *job)
{
    struct paths_job *own = (struct paths_job *)job;
    own->done(own->context, job->code, job->diag.text, own->paths, job->code == DP_OK ? own->count : 0);
    free_paths(own);
    free(own);
}

int dp_store_paths(struct dp_store *store, dp_store_paths_done *done, void *context)
{
    struct paths_job *job = calloc(1, sizeof *job);
    if (job == NULL)
        return DP_ERR_NOMEM;
    *job = (struct paths_job){
        .job = {.work = work_paths, .finish = finish_paths}, .done = done, .context = context};
    int code = dp_store_submit(store, &job->job);
    if (code != DP_OK)
        free(job);
    return code;
}

struct path_job {
    struct dp_job job;
    struct dp_store_path path;
    dp_store_done *done;
    void *context;
};

static int body_path_delete(PGconn *connection, struct dp_job *job, struct dp_diag *diag)
{
    const char *const values[] = {((struct path_job *)job)->path.name};
    return dp_pg_query(connection, "DELETE FROM path WHERE name = $1", 1, values, NULL, diag);
}

static int body_path_put(PGconn *connection, struct dp_job *job, struct dp_diag *diag)
{
    const struct dp_store_path *path = &((struct path_job *)job)->path;
    const char *const name[] = {path->name};
    int code = body_path_delete(connection, job, diag);
    if (code == DP_OK)
        code = dp_pg_query(connection, "INSERT INTO path (name) VALUES ($1)", 1, name, NULL, diag);
    for (size_t i = 0; i < path->vantage_count && code == DP_OK; i++) {
        char position[DP_PG_NUMBER];
        const char *const values[] = {path->name, dp_pg_number(position, (int64_t)i), path->vantages[i]};
        code =
            dp_pg_query(connection, "INSERT INTO path_vantage (path, position, vantage) VALUES ($1, $2, $3)",
                        3, values, NULL, diag);
    }
    return code;
}

static int work_path_put(PGconn *connection, struct dp_job *job, struct dp_diag *diag)
{
    return dp_store_transaction(connection, job, body_path_put, diag);
}

static int work_path_delete(PGconn *connection, struct dp_job *job, struct dp_diag *diag)
{
    return body_path_delete(connection, job, diag);
}

static void finish_path(struct dp_job *job)
{
    struct path_job *own = (struct path_job *)job;
    if (own->done != NULL)
        own->done(own->context, job->code, job->diag.text);
    free_path(&own->path);
    free(own);
}

static int submit_path(struct dp_store *store, const char *name, const char *const *vantages, size_t count,
                       int (*work)(PGconn *, struct dp_job *, struct dp_diag *), dp_store_done *done,
                       void *context)
{
    struct path_job *job = calloc(1, sizeof *job);
    if (job == NULL)
        return DP_ERR_NOMEM;
    *job = (struct path_job){.job = {.work = work, .finish = finish_path}, .done = done, .context = context};
    snprintf(job->path.name, sizeof job->path.name, "%s", name);
    int code = DP_OK;
    for (size_t i = 0; i < count && code == DP_OK; i++)
        code = add_vantage(&job->path, vantages[i]);
    if (code == DP_OK)
        code = dp_store_submit(store, &job->job);
    if (code != DP_OK) {
        free_path(&job->path);
        free(job);
    }
    return code;
}

int dp_store_path_put(struct dp_store *store, const char *name, const char *const *vantages, size_t count,
                      dp_store_done *done, void *context)
{
    return submit_path(store, name, vantages, count, work_path_put, done, context);
}

int dp_store_path_delete(struct dp_store *store, const char *name, dp_store_done *done, void *context)
{
    return submit_path(store, name, NULL, 0, work_path_delete, done, context);
}
