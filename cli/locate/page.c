#include "cli/locate/page.h"

#include <stdlib.h>

#include "cli/locate/run.h"
#include "cli/locate/whole_file.h"
#include "collector/report/html.h"
#include "collector/report/ladder.h"
#include "common/capfile/capfile.h"

/* Reads one vantage point's packets once more, for what the engine does not keep of them. */
static int fill_from(const char *path, uint32_t vantage, struct dp_ladder_filler *filler,
                     struct dp_diag *diag)
{
    struct dp_capfile *file = NULL;
    int code = dp_capfile_open(path, &file, diag);
    while (code == DP_OK) {
        struct dp_capfile_packet packet;
        struct dp_packet decoded;
        code = dp_capfile_next(file, &packet, diag);
        if (code == DP_OK && dp_ladder_wants(filler, vantage, packet.ts_ns) &&
            dp_packet_decode(packet.link_type, packet.data, packet.captured, packet.wire_len, &decoded) ==
                DP_OK)
            dp_ladder_fill(filler, vantage, packet.ts_ns, &decoded);
    }
    dp_capfile_close(file);
    return code == DP_ERR_END ? DP_OK : code;
}

static int fill(const struct dp_locate_args *args, struct dp_ladder *ladder, struct dp_diag *diag)
{
    struct dp_ladder_filler *filler = NULL;
    int code = dp_ladder_fill_begin(ladder, &filler);
    for (uint32_t i = 0; code == DP_OK && i < args->count; i++)
        code = fill_from(args->paths[i], i, filler, diag);
    dp_ladder_fill_end(filler);
    return code;
}

static int collect(const struct dp_locate_args *args, const struct dp_locate_basis *basis,
                   const struct dp_report *report, struct dp_ladder **ret_ladder, struct dp_diag *diag)
{
    struct dp_ladder_maker *maker = NULL;
    struct dp_ladder *ladder = NULL;
    int code = dp_ladder_begin(report, &maker);
    if (code == DP_OK)
        code = dp_locate_run_again(args, basis, dp_ladder_take, maker, diag);
    if (code == DP_OK)
        code = dp_ladder_end(maker, &ladder);
    dp_ladder_maker_free(maker);
    if (code == DP_OK)
        code = fill(args, ladder, diag);
    if (code != DP_OK) {
        dp_ladder_free(ladder);
        return code;
    }
    *ret_ladder = ladder;
    return DP_OK;
}

int dp_locate_page(const struct dp_locate_args *args, const struct dp_locate_basis *basis,
                   const struct dp_report *report, const json_t *document, struct dp_diag *diag)
{
    struct dp_ladder *ladder = NULL;
    char *page = NULL;
    size_t len = 0;
    int code = collect(args, basis, report, &ladder, diag);
    if (code == DP_OK)
        code = dp_report_html(document, report, ladder, &page, &len);
    dp_ladder_free(ladder);
    if (code == DP_OK)
        code = dp_whole_file_put(args->html, page, len, diag);
    free(page);
    return code;
}
