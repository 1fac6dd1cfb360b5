#include "agent/rings.h"

#include <stdio.h>

int agent_ring_root(const char *state_directory, char ret_path[PATH_MAX])
{
    int len = snprintf(ret_path, PATH_MAX, "%s/rings", state_directory);
    return len > 0 && len < PATH_MAX ? DP_OK : DP_ERR_RANGE;
}

int agent_ring_path(const char *state_directory, const char *capture_id, const char *interface,
                    char ret_path[PATH_MAX])
{
    int len = snprintf(ret_path, PATH_MAX, "%s/rings/%s/%s", state_directory, capture_id, interface);
    return len > 0 && len < PATH_MAX ? DP_OK : DP_ERR_RANGE;
}
