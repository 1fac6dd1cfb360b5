/* The capture files of a run: reads them side by side, digests them and feeds the engine. */
#ifndef DROPPOINT_CLI_LOCATE_INPUTS_H
#define DROPPOINT_CLI_LOCATE_INPUTS_H

#include <stdbool.h>
#include <stddef.h>

#include "cli/locate/args.h"
#include "collector/locate/locate.h"
#include "common/err/err.h"

struct dp_inputs;

/* Opens every file. `outermost`: the filter is about the frames as captured, else about the innermost
 * packets. DP_ERR_* with diag naming the file and the next step. */
int dp_inputs_open(const struct dp_locate_args *args, bool outermost, struct dp_inputs **ret_inputs,
                   struct dp_diag *diag) DP_MUST_CHECK;
void dp_inputs_close(struct dp_inputs *inputs); /* NULL is fine */

/* Reads all files to their ends and feeds `locate`. Called again and again: returns DP_OK after some packets,
 * so that the caller can show progress, DP_ERR_END when all is fed. */
int dp_inputs_step(struct dp_inputs *inputs, struct dp_locate *locate, struct dp_diag *diag) DP_MUST_CHECK;

/* For the progress line: packets read of a vantage point, and the part of all bytes that is read (0 to 1). */
uint64_t dp_inputs_packets(const struct dp_inputs *inputs, size_t vantage);
double dp_inputs_progress(const struct dp_inputs *inputs);

/* Time of the first packet that was digested at the first vantage point, to which clocks refer; 0 where there
 * is none. */
int64_t dp_inputs_reference_ns(const struct dp_inputs *inputs);

/* Once all is read: nothing passed the filter at any vantage point, but by their outermost headers some
 * packets of each would have. Then it must be those that the filter names. */
bool dp_inputs_only_outermost(const struct dp_inputs *inputs);

/* The warning about a vantage point's file once all is read ("lb1.pcap: ends inside ..."); NULL where there
 * is none. Lives as long as the inputs. There may be several: `number` counts from 0. */
const char *dp_inputs_warning(const struct dp_inputs *inputs, size_t vantage, size_t number);

#endif
