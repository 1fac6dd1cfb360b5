#include "cli/remote/export_merge.h"

int dp_export_merge(const struct dp_export_files *files, const char *out, bool force, uint64_t *ret_packets,
                    struct dp_diag *diag)
{
    (void)files;
    (void)out;
    (void)force;
    (void)ret_packets;
    return dp_fail(diag, DP_ERR_UNSUPPORTED, "merging is not built in");
}
