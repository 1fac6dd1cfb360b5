/* Replication from end to end: what is written on the primary, is it seen on the replica. Blocks. */
#ifndef DROPPOINT_AGENT_PROBE_MYSQL_END_TO_END_H
#define DROPPOINT_AGENT_PROBE_MYSQL_END_TO_END_H

#include "agent/probe/mysql/client.h"

/* Sets the newest row of the plan's heartbeat table on plan->primary to the time there (or adds one where the
 * table is empty), and looks for it on the replica until it is there, or plan->patience_s are over. */
void end_to_end(MYSQL *replica, const struct mysql_plan *plan, struct mysql_end_to_end *ret_result);

#endif
