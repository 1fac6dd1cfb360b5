/* Hears ICMP errors in full, for the MPLS labels in them, where raw sockets are permitted. */
#ifndef DROPPOINT_AGENT_PROBE_TRACE_LISTENER_H
#define DROPPOINT_AGENT_PROBE_TRACE_LISTENER_H

#include <uv.h>

#include "agent/probe/net/target.h"
#include "agent/probe/trace/labels.h"

struct trace_listener;
typedef void trace_heard(void *context, const char *from, const struct trace_label *labels, size_t count);

/* NULL where it is not permitted: the trace goes without labels. */
struct trace_listener *trace_listener_open(uv_loop_t *loop, const union dp_address *target,
                                           trace_heard *heard, void *context);
void trace_listener_close(struct trace_listener *listener); /* NULL is fine */

#endif
