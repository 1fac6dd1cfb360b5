/* The locating engine: digests of several vantage points in, verdict out. Free of I/O, clocks and globals;
 * one engine serves one run, by one thread. It works while the data comes in, so that live and offline runs
 * are the same. */
#ifndef DROPPOINT_COLLECTOR_LOCATE_LOCATE_H
#define DROPPOINT_COLLECTOR_LOCATE_LOCATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "collector/locate/report.h"
#include "common/digest/digest.h"
#include "common/err/err.h"

#define DP_LOCATE_MAX_VANTAGES 64

struct dp_locate;

struct dp_locate_options {
    bool no_clock_correction; /* take the timestamps as they are */
    uint64_t table_seed;      /* random: keeps tables even when packets are made to collide; 0 in tests */
};

/* names: vantage points in path order, near end first, 1 to DP_LOCATE_MAX_VANTAGES of them; copied.
 * DP_ERR_RANGE, DP_ERR_NOMEM. */
int dp_locate_new(const char *const *names, size_t count, const struct dp_locate_options *options,
                  struct dp_locate **ret_locate) DP_MUST_CHECK;
void dp_locate_free(struct dp_locate *locate); /* NULL is fine */

/* Feeds one vantage point's next records. Batches of one vantage point come in its order of capture; those of
 * different ones in any order, best roughly by time. DP_ERR_RANGE for a flow that was never defined,
 * DP_ERR_NOMEM. */
int dp_locate_feed(struct dp_locate *locate, uint32_t vantage, const struct dp_batch *batch) DP_MUST_CHECK;

/* Says from when to when a vantage point captured, by its own clock, where that is known for sure (live
 * captures, pcapng statistics). Without it, silence at the end of a capture may mean that it was over. */
/* end_ns DP_LOCATE_STILL_RUNNING: the capture goes on; say again when it ended. */
#define DP_LOCATE_STILL_RUNNING (INT64_MAX / 2)
void dp_locate_window(struct dp_locate *locate, uint32_t vantage, int64_t start_ns, int64_t end_ns);

/* Says that a vantage point certainly captured at these moments: packets that are not fed (filtered out, not
 * IP) show it. */
void dp_locate_alive(struct dp_locate *locate, uint32_t vantage, int64_t first_ns, int64_t last_ns);

/* Says that everything that a vantage point saw up to `ts_ns` (its own clock) has been fed; INT64_MAX at its
 * end. Keeps memory small while one point is silent. A point that has shown no packet yet gets on only where
 * its clock is known: by dp_locate_clock_hint, or as that of its host. */
void dp_locate_advance(struct dp_locate *locate, uint32_t vantage, int64_t ts_ns);

/* Says how many packets the capture itself dropped in all, where known. Gaps in batches say when. */
void dp_locate_capture_dropped(struct dp_locate *locate, uint32_t vantage, uint64_t dropped);

/* A second source for a vantage point's clock: offset against the first vantage point as measured over the
 * network, with its error bound. Used where the traffic itself says less. */
void dp_locate_clock_hint(struct dp_locate *locate, uint32_t vantage, int64_t offset_ns, int64_t error_ns);

/* Losses known so far, for the live line; without those that the next point's capture may have dropped
 * itself.
 */
struct dp_locate_progress {
    uint64_t packets[DP_LOCATE_MAX_VANTAGES];
    uint64_t lost_packets, lost_bytes;
};
/* Settles what is complete by now, so that the progress is fresh; feeding does so by itself only now and
 * then. Worth a call about twice a second while a person watches. DP_ERR_NOMEM. */
int dp_locate_settle(struct dp_locate *locate) DP_MUST_CHECK;
void dp_locate_progress(const struct dp_locate *locate, struct dp_locate_progress *ret_progress);

/* No more data comes: settles what is open and draws the verdict. To be called once. The report is the
 * caller's. */
int dp_locate_finish(struct dp_locate *locate, struct dp_report **ret_report) DP_MUST_CHECK;

#endif
