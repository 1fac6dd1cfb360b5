/* The pcapng files of an export while they come in: one for each vantage point, private, without a name on
 * the disk, so that nothing is left behind whatever happens. */
#ifndef DROPPOINT_CLI_REMOTE_EXPORT_FILES_H
#define DROPPOINT_CLI_REMOTE_EXPORT_FILES_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/err/err.h"
#include "droppoint.pb-c.h"

struct dp_export_file {
    char *vantage;
    char path[32]; /* opens the file while this object lives */
    int fd;
    uint64_t taken; /* bytes written */
    bool complete;
    char error[512]; /* why it failed; empty: it has not */
};

struct dp_export_files {
    struct dp_export_file *files;
    size_t count;
};

/* Makes an empty file for each vantage point of a locate document, in its order. DP_ERR_FORMAT, DP_ERR_IO. */
int dp_export_files_new(const json_t *document, struct dp_export_files **ret_files,
                        struct dp_diag *diag) DP_MUST_CHECK;

/* Takes in one chunk. *ret_file is the vantage point's file. DP_ERR_PROTOCOL: a vantage point that the
 * capture has not, or a piece that does not follow on; DP_ERR_IO, DP_ERR_FULL: the disk. A chunk that says
 * that its vantage point failed is no failure here; the file's error tells it. */
int dp_export_files_take(struct dp_export_files *files, const Droppoint__ExportChunk *chunk,
                         struct dp_export_file **ret_file, struct dp_diag *diag) DP_MUST_CHECK;

void dp_export_files_free(struct dp_export_files *files); /* NULL is fine */

#endif
