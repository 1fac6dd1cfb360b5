/* The conversation with the collector: hello and welcome, and who gets which message. */
#ifndef DROPPOINT_AGENT_SESSION_H
#define DROPPOINT_AGENT_SESSION_H

#include "agent/agent.h"

int agent_session_open(struct agent *agent, struct dp_diag *diag) DP_MUST_CHECK;
void agent_session_close(struct agent *agent);

/* Sends while the session is up. DP_ERR_UNAVAILABLE otherwise: the matter comes up again after the next
 * welcome. */
int agent_send(struct agent *agent, Droppoint__Envelope *envelope) DP_MUST_CHECK;

#endif
