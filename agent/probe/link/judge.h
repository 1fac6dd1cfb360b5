/* What the state and the counters of an interface mean. I/O-free. */
#ifndef DROPPOINT_AGENT_PROBE_LINK_JUDGE_H
#define DROPPOINT_AGENT_PROBE_LINK_JUDGE_H

#include "agent/probe/link/links.h"

/* From good to bad. */
enum link_class { LINK_OK, LINK_MTU, LINK_DUPLEX, LINK_ERRORS, LINK_DOWN };
const char *link_class_name(enum link_class class);

/* `before` and `after` are the same interface at the period's ends; `master` NULL: none. `asked_for`: the
 * user named it, so that one which is switched off on purpose counts as down. Writes one sentence into `why`
 * and what to do into `step`. */
enum link_class link_judge(const struct link_info *before, const struct link_info *after,
                           const struct link_info *master, bool asked_for, char why[300],
                           const char **ret_step);

#endif
