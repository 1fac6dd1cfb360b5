/* What session.c is to the protocols of mailboxes, without a network. */
#ifndef DROPPOINT_TESTS_FUZZ_PROBE_MAILBOX_SESSION_STUB_H
#define DROPPOINT_TESTS_FUZZ_PROBE_MAILBOX_SESSION_STUB_H

#include <stdarg.h>
#include <stdio.h>

#include "agent/probe/mailbox/session.h"

#endif
