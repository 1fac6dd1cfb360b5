/* A directory of the test's own, and batches whose content their number determines. */
#ifndef DROPPOINT_TESTS_UNIT_SPOOL_PLACE_H
#define DROPPOINT_TESTS_UNIT_SPOOL_PLACE_H

#include "agent/spool/spool.h"

#define ROOMY ((uint64_t)256 * 1024 * 1024)

struct place {
    char directory[64];
};

int set_up(void **state);
int tear_down(void **state);

struct dp_spool *open_spool(const struct place *place, uint64_t epoch, uint64_t max_bytes);
/* Appends the batch that must get this number. */
int append(struct dp_spool *spool, uint64_t stream, uint64_t expected);
/* Reads the batch and compares every byte. */
void check_batch(struct dp_spool *spool, uint64_t epoch, uint64_t stream, uint64_t number);
int read_code(struct dp_spool *spool, uint64_t epoch, uint64_t stream, uint64_t number);
struct dp_spool_stream_info info_at(struct dp_spool *spool, size_t index);

#endif
