/* Captures: prepared, started and stopped at the collector's word, as far as the policy allows. */
#ifndef DROPPOINT_AGENT_CAPTURES_H
#define DROPPOINT_AGENT_CAPTURES_H

#include "agent/agent.h"

void agent_capture_prepare(struct agent *agent, uint64_t request, const Droppoint__CapturePrepare *message);
void agent_capture_start(struct agent *agent, const Droppoint__CaptureStart *message);
void agent_capture_stop(struct agent *agent, const Droppoint__CaptureStop *message);

/* The collector is back: tells what ended meanwhile. */
void agent_captures_up(struct agent *agent);
/* The collector is away: what only was prepared ends; what runs goes on for AGENT_LOST_MS. */
#define AGENT_LOST_MS 30000
void agent_captures_down(struct agent *agent);

void agent_captures_stop_all(struct agent *agent, const char *reason);
/* Whether a process is still there. */
bool agent_captures_running(const struct agent *agent);
void agent_captures_close(struct agent *agent);

#endif
