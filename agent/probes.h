/* Probes: prepared, started together with other agents, and ended at the collector's word, as far as the
 * policy allows. Results go to the collector as streams do, by way of the spool. */
#ifndef DROPPOINT_AGENT_PROBES_H
#define DROPPOINT_AGENT_PROBES_H

#include "agent/agent.h"

/* Before the session. DP_ERR_NOMEM, DP_ERR_IO. */
int agent_probes_open(struct agent *agent, struct dp_diag *diag) DP_MUST_CHECK;
/* Ends all that run; the loop has to turn once more. */
void agent_probes_close(struct agent *agent);

void agent_probe_prepare(struct agent *agent, uint64_t request, const Droppoint__ProbePrepare *message);
void agent_probe_start(struct agent *agent, const Droppoint__ProbeStart *message);
void agent_probe_cancel(struct agent *agent, const char *probe_id);

/* The collector is away: what only was prepared is forgotten; what runs goes on, and its result waits in the
 * spool. */
void agent_probes_down(struct agent *agent);

#endif
