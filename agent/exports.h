/* Packets of a finding, fetched from the local ring afterwards, as far as the policy lets them leave. */
#ifndef DROPPOINT_AGENT_EXPORTS_H
#define DROPPOINT_AGENT_EXPORTS_H

#include "agent/agent.h"

void agent_export_begin(struct agent *agent, uint64_t request, const Droppoint__ExportRequest *message);
void agent_export_credit(struct agent *agent, const Droppoint__ExportCredit *message);
/* The collector is away: its exports end. */
void agent_exports_down(struct agent *agent);

#endif
