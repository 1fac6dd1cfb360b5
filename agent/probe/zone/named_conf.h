/* Which zones a BIND configuration serves, as named.conf says it: zone statements, also in views and in files
 * that are included. What it has no use for is read over. Reads no file by itself. */
#ifndef DROPPOINT_AGENT_PROBE_ZONE_NAMED_CONF_H
#define DROPPOINT_AGENT_PROBE_ZONE_NAMED_CONF_H

#include <stdbool.h>
#include <stddef.h>

#include "agent/probe/net/target.h"
#include "common/err/err.h"

#define NAMED_SERVERS_MAX 16 /* of one zone or list; more are left out */
#define NAMED_ZONES_MAX 5000
#define NAMED_NAME 256
#define NAMED_PATH 4096

struct named_server {
    char text[DP_ADDRESS_TEXT]; /* an address, or the name of a list of primaries */
    unsigned port;              /* 0: not said */
};

struct named_zone {
    char name[NAMED_NAME]; /* lower case, without the dot at the end */
    bool secondary;
    struct named_server primaries[NAMED_SERVERS_MAX]; /* of a secondary; addresses */
    size_t primary_count;
};

struct named_conf {
    struct named_zone *zones; /* each name once; primary and secondary ones of class IN */
    size_t zone_count;
    /* Where the server itself can be asked on this host: the first address that it listens on. "": nowhere
     * that could be told. */
    struct named_server own;
};

/* Gives the text of a file, freed by free(); its errors name the file. */
typedef int named_load(void *context, const char *path, char **ret_text, size_t *ret_length,
                       struct dp_diag *diag);

/* Reads `path` and what it includes. DP_ERR_USAGE: diag names file and line, and tells nothing else of what
 * stands there, as the file may be another one than was meant; DP_ERR_NOMEM; what `load` says. */
int named_conf_read(const char *path, named_load *load, void *context, struct named_conf *ret_conf,
                    struct dp_diag *diag) DP_MUST_CHECK;
void named_conf_free(struct named_conf *conf);

/* named_load for files on disk: regular ones of at most 16 MiB. */
int named_load_file(void *context, const char *path, char **ret_text, size_t *ret_length,
                    struct dp_diag *diag) DP_MUST_CHECK;

#endif
