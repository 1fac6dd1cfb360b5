/* Many flows that react: what is lost is sent again after a timeout, acknowledgements follow what arrives. A
 * fault decides over each packet in one segment, in order of time. */
#ifndef DROPPOINT_TESTS_UNIT_LOCATE_SIM_LOAD_H
#define DROPPOINT_TESTS_UNIT_LOCATE_SIM_LOAD_H

#include "tests/unit/locate/sim.h"

struct sim_crossing {
    int64_t t;
    uint32_t flow;
    enum dp_direction direction;
    uint32_t ip_len;
    uint16_t flags;
};

struct sim_load {
    uint32_t flows;
    int64_t begin, spread; /* the flows begin within so long */
    uint32_t packets;      /* of data, of each flow */
    int64_t apart;         /* between a flow's packets, on average */
    uint32_t train;        /* so many packets back to back; 0 as 1 */
    uint32_t small;        /* percent of the packets that are shorter than full */
    int64_t until;         /* nobody sends after this; 0: until all is done */
    int segment;
    bool (*drop)(struct sim *sim, void *context, const struct sim_crossing *crossing);
    void *context;
};

/* Runs the load to its end. A trickle of data in the reverse direction shows that all captures run on.
 */
void sim_load(struct sim *sim, const struct sim_load *load);

#endif
