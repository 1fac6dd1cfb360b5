/* Writes the packets of several vantage points as one pcapng file in corrected time order. */
#ifndef DROPPOINT_CLI_LOCATE_MERGE_H
#define DROPPOINT_CLI_LOCATE_MERGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "collector/locate/report.h"
#include "common/err/err.h"

/* One capture file and what is known of its clock, as the report says it: the offset is to be subtracted,
 * holds at reference_ns (the reference's first packet) and grows by skew_ppm from there on. */
struct dp_merge_input {
    const char *name; /* of the vantage point; becomes the interface's name. Several inputs may share one */
    const char *path;
    int64_t offset_ns;
    double skew_ppm;
    int64_t reference_ns;
    const struct dp_clock_set *sets; /* the clock was set meanwhile; in order of capture */
    size_t set_count;
    bool has_window; /* from when to when it captured, by its own clock */
    int64_t start_ns, end_ns;
};

/* A packet that gets a comment, because it was lost between `from` and `to`. */
struct dp_merge_loss {
    uint32_t input; /* index of the input that saw it last */
    int64_t ts_ns;  /* by that vantage point's own clock, as in its file */
    uint32_t seq;
    uint32_t payload_len;
    uint32_t lost_bytes;
    const char *from, *to; /* names of the segment's ends, "before", "beyond" */
};

/* Writes `out`, which appears whole or not at all, and replaces a file of that name. filter: a pcap-filter
 * expression, or NULL. Files that are cut short are used as far as they go. Packets that stand out of order
 * in a file by less than 256 places come out in order. DP_ERR_USAGE where `out` is one of the inputs, else as
 * dp_capfile_open, dp_capfile_next and dp_capwriter_close. */
int dp_merge_write(const struct dp_merge_input *inputs, size_t count, const struct dp_merge_loss *losses,
                   size_t loss_count, const char *filter, const char *out,
                   struct dp_diag *diag) DP_MUST_CHECK;

/* Whether `out` may be written: DP_ERR_USAGE where that would overwrite one of the captures. For a word
 * before long work. */
int dp_merge_check_out(const char *const *paths, size_t count, const char *out,
                       struct dp_diag *diag) DP_MUST_CHECK;

#endif
