/* The forms of sender and recipient with which one asks a server to relay. I/O-free. */
#ifndef DROPPOINT_AGENT_PROBE_RELAY_FORMS_H
#define DROPPOINT_AGENT_PROBE_RELAY_FORMS_H

#include <stddef.h>

#define RELAY_ADDRESS 600
#define RELAY_FORMS 12

struct relay_form {
    const char *name;                            /* "plain", "percent" ... */
    char from[RELAY_ADDRESS], to[RELAY_ADDRESS]; /* as in MAIL FROM:<> and RCPT TO:<> */
};

/* `local` is a domain of the server's own, `remote` one that it has nothing to do with, `literal` its address
 * in brackets. */
void relay_forms(const char *local, const char *remote, const char *literal,
                 struct relay_form ret_forms[RELAY_FORMS]);

#endif
