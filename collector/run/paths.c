/* Paths: ordered lists of vantage points, kept in memory and in the database. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "collector/run/run_internal.h"

static void free_path(struct run_path *path)
{
    for (size_t i = 0; i < path->vantage_count; i++)
        free(path->vantages[i]);
    free(path->vantages);
    free(path);
}

void run_paths_free(struct dp_run *run)
{
    struct run_path *path, *next;
    HASH_ITER(hh, run->paths, path, next)
    {
        HASH_DEL(run->paths, path);
        free_path(path);
    }
}

struct run_path *run_path_named(struct dp_run *run, const char *name)
{
    struct run_path *path = NULL;
    HASH_FIND_STR(run->paths, name, path);
    return path;
}

static int put(struct dp_run *run, const char *name, char *const *vantages, size_t count)
{
    struct run_path *path = calloc(1, sizeof *path);
    if (path == NULL)
        return DP_ERR_NOMEM;
    snprintf(path->name, sizeof path->name, "%s", name);
    path->vantages = calloc(count + 1, sizeof *path->vantages);
    for (size_t i = 0; path->vantages != NULL && i < count; i++)
        if ((path->vantages[i] = strdup(vantages[i])) != NULL)
            path->vantage_count++;
    if (path->vantages == NULL || path->vantage_count != count) {
        free_path(path);
        return DP_ERR_NOMEM;
    }
    struct run_path *before = run_path_named(run, name);
    if (before != NULL) {
        HASH_DEL(run->paths, before);
        free_path(before);
    }
    HASH_ADD_STR(run->paths, name, path);
    return DP_OK;
}

static void on_loaded(void *context, int code, const char *text, const struct dp_store_path *paths,
                      size_t count)
{
    struct dp_run *run = context;
    for (size_t i = 0; i < count && code == DP_OK; i++)
        code = put(run, paths[i].name, paths[i].vantages, paths[i].vantage_count);
    run_loaded(run, code, text);
}

void run_paths_load(struct dp_run *run)
{
    int code = dp_store_paths(run->store, on_loaded, run);
    if (code != DP_OK)
        run_loaded(run, code, NULL);
}

static void on_stored(void *context, int code, const char *text)
{
    struct run_asker *asker = context;
    run_asker_answer(asker, code, code == DP_OK ? asker->text : text);
}

/* A vantage point whose agent nobody knows is no error, the agent may come later; but it is said. */
static void warn_unknown(struct dp_run *run, const Droppoint__PathEntry *path, char *text, size_t size)
{
    size_t len = (size_t)snprintf(text, size, "Path %s has %zu vantage point%s.", path->name,
                                  path->n_vantages, path->n_vantages == 1 ? "" : "s");
    for (size_t i = 0; i < path->n_vantages && len < size; i++) {
        char agent[64];
        snprintf(agent, sizeof agent, "%.*s", (int)strcspn(path->vantages[i], "/"), path->vantages[i]);
        if (run_agent_named(run, agent) == NULL)
            len += (size_t)snprintf(text + len, size - len,
                                    "\nNo approved agent is named %s (yet): %s can't be captured.", agent,
                                    path->vantages[i]);
    }
}

void run_path_set(struct dp_run *run, struct dp_peer *peer, uint64_t request, const Droppoint__PathSet *ask)
{
    const Droppoint__PathEntry *entry = ask->path;
    if (entry->n_vantages == 0 || entry->n_vantages > MAX_VANTAGES) {
        run_result(run, peer, request, DP_ERR_USAGE, "A path has 1 to %d vantage points, not %zu.",
                   MAX_VANTAGES, entry->n_vantages);
        return;
    }
    for (size_t i = 0; i < entry->n_vantages; i++)
        for (size_t j = 0; j < i; j++)
            if (strcmp(entry->vantages[i], entry->vantages[j]) == 0) {
                run_result(run, peer, request, DP_ERR_USAGE,
                           "%s is in the path twice. Name each vantage point once.", entry->vantages[i]);
                return;
            }
    struct run_asker *asker = run_asker_new(run, peer, request);
    if (asker == NULL)
        return;
    warn_unknown(run, entry, asker->text, sizeof asker->text);
    int code = put(run, entry->name, entry->vantages, entry->n_vantages);
    if (code == DP_OK)
        code = dp_store_path_put(run->store, entry->name, (const char *const *)entry->vantages,
                                 entry->n_vantages, on_stored, asker);
    if (code != DP_OK)
        run_asker_answer(asker, code, NULL);
}

void run_path_remove(struct dp_run *run, struct dp_peer *peer, uint64_t request,
                     const Droppoint__PathRemove *ask)
{
    struct run_path *path = run_path_named(run, ask->name);
    if (path == NULL) {
        run_result(run, peer, request, DP_ERR_NOT_FOUND,
                   "There is no path %s. `droppoint path list` shows those there are.", ask->name);
        return;
    }
    struct run_asker *asker = run_asker_new(run, peer, request);
    if (asker == NULL)
        return;
    snprintf(asker->text, sizeof asker->text, "Removed path %s.", ask->name);
    HASH_DEL(run->paths, path);
    free_path(path);
    int code = dp_store_path_delete(run->store, ask->name, on_stored, asker);
    if (code != DP_OK)
        run_asker_answer(asker, code, NULL);
}

static int by_name(struct run_path *a, struct run_path *b)
{
    return strcmp(a->name, b->name);
}

void run_paths_list(struct dp_run *run, struct dp_peer *peer, uint64_t request, const char *name)
{
    HASH_SORT(run->paths, by_name);
    size_t room = HASH_COUNT(run->paths), count = 0;
    Droppoint__PathEntry *entries = calloc(room + 1, sizeof *entries);
    Droppoint__PathEntry **pointers = calloc(room + 1, sizeof(Droppoint__PathEntry *));
    if (entries != NULL && pointers != NULL) {
        for (struct run_path *path = run->paths; path != NULL; path = path->hh.next) {
            if (name[0] != '\0' && strcmp(name, path->name) != 0)
                continue;
            droppoint__path_entry__init(&entries[count]);
            entries[count].name = path->name;
            entries[count].n_vantages = path->vantage_count;
            entries[count].vantages = path->vantages;
            pointers[count] = &entries[count];
            count++;
        }
        Droppoint__Envelope envelope = DROPPOINT__ENVELOPE__INIT;
        Droppoint__PathList list = DROPPOINT__PATH_LIST__INIT;
        list.n_paths = count;
        list.paths = pointers;
        envelope.body_case = DROPPOINT__ENVELOPE__BODY_PATH_LIST;
        envelope.path_list = &list;
        if (count == 0 && name[0] != '\0')
            run_result(run, peer, request, DP_ERR_NOT_FOUND,
                       "There is no path %s. `droppoint path list` shows those there are.", name);
        else
            run_send(run, peer, request, &envelope);
    } else {
        run_result(run, peer, request, DP_ERR_NOMEM, "%s", dp_err_sentence(DP_ERR_NOMEM));
    }
    free(entries);
    free(pointers);
}
