#include "cli/remote/export_files.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int open_private(struct dp_export_file *file, struct dp_diag *diag)
{
    char name[512];
    const char *directory = getenv("TMPDIR");
    if (!directory || !directory[0] || strlen(directory) > 400)
        directory = "/var/tmp"; /* larger than /tmp, which may live in memory */
    (void)snprintf(name, sizeof name, "%s/droppoint-export-XXXXXX", directory);
    file->fd = mkostemp(name, O_CLOEXEC);
    if (file->fd < 0)
        return dp_fail(diag, DP_ERR_IO,
                       "a temporary file can't be made in %s: %s. TMPDIR names another directory", directory,
                       strerror(errno));
    (void)unlink(name);
    (void)snprintf(file->path, sizeof file->path, "/proc/self/fd/%d", file->fd);
    return 0;
}

int dp_export_files_new(const json_t *document, struct dp_export_files **ret_files, struct dp_diag *diag)
{
    const json_t *vantages = json_object_get(document, "vantages");
    size_t count = json_array_size(vantages);
    if (!count)
        return dp_fail(diag, DP_ERR_FORMAT, "the capture's document names no vantage points");
    struct dp_export_files *files = calloc(1, sizeof *files);
    if (files)
        files->files = calloc(count, sizeof *files->files);
    if (!files || !files->files) {
        free(files);
        return dp_fail(diag, DP_ERR_NOMEM, "%s", dp_err_sentence(DP_ERR_NOMEM));
    }
    int rc = 0;
    for (size_t i = 0; !rc && i < count; i++) {
        const char *name = json_string_value(json_object_get(json_array_get(vantages, i), "name"));
        struct dp_export_file *file = &files->files[files->count++];
        file->fd = -1;
        if (!name)
            rc = dp_fail(diag, DP_ERR_FORMAT, "the capture's document has a vantage point without a name");
        else if (!(file->vantage = strdup(name)))
            rc = dp_fail(diag, DP_ERR_NOMEM, "%s", dp_err_sentence(DP_ERR_NOMEM));
        else
            rc = open_private(file, diag);
    }
    if (rc) {
        dp_export_files_free(files);
        return rc;
    }
    *ret_files = files;
    return 0;
}

static int write_all(struct dp_export_file *file, const uint8_t *data, size_t length, struct dp_diag *diag)
{
    while (length) {
        ssize_t done = write(file->fd, data, length);
        if (done < 0 && errno == EINTR)
            continue;
        if (done < 0)
            return dp_fail(
                diag, errno == ENOSPC ? DP_ERR_FULL : DP_ERR_IO,
                "the packets of %s can't be written to a temporary file: %s. TMPDIR names another directory",
                file->vantage, strerror(errno));
        data += done;
        length -= (size_t)done;
        file->taken += (uint64_t)done;
    }
    return 0;
}

int dp_export_files_take(struct dp_export_files *files, const Droppoint__ExportChunk *chunk,
                         struct dp_export_file **ret_file, struct dp_diag *diag)
{
    struct dp_export_file *file = NULL;
    for (size_t i = 0; i < files->count && !file; i++)
        if (!strcmp(files->files[i].vantage, chunk->vantage))
            file = &files->files[i];
    if (!file)
        return dp_fail(diag, DP_ERR_PROTOCOL, "packets came of %s, which is not in the capture's document",
                       chunk->vantage);
    if (chunk->error && chunk->error[0]) {
        (void)snprintf(file->error, sizeof file->error, "%s",
                       chunk->error_text && chunk->error_text[0] ? chunk->error_text : chunk->error);
        *ret_file = file;
        return 0;
    }
    if (file->complete || chunk->offset != file->taken)
        return dp_fail(diag, DP_ERR_PROTOCOL,
                       "a piece of the packets of %s does not follow on (at byte %llu, not %llu)",
                       file->vantage, (unsigned long long)chunk->offset, (unsigned long long)file->taken);
    int rc = write_all(file, chunk->data.data, chunk->data.len, diag);
    if (rc)
        return rc;
    file->complete = chunk->last;
    *ret_file = file;
    return 0;
}

void dp_export_files_free(struct dp_export_files *files)
{
    if (!files)
        return;
    for (size_t i = 0; i < files->count; i++) {
        free(files->files[i].vantage);
        if (files->files[i].fd >= 0)
            (void)close(files->files[i].fd);
    }
    free(files->files);
    free(files);
}
