#include "agent/probe/relay/forms.h"

#include <stdio.h>

#define USER "postmaster" /* RFC 5321 4.5.1: there is one everywhere */
#define STRANGER "droppoint-relay-test@example.org"

void relay_forms(const char *local, const char *remote, const char *literal,
                 struct relay_form ret_forms[RELAY_FORMS])
{
    static const char *const names[RELAY_FORMS] = {"plain",
                                                   "null-sender",
                                                   "own-sender",
                                                   "literal-sender",
                                                   "localhost-sender",
                                                   "sender-without-domain",
                                                   "percent",
                                                   "bang",
                                                   "quoted",
                                                   "quoted-without-domain",
                                                   "source-route",
                                                   "double"};
    for (size_t i = 0; i < RELAY_FORMS; i++) {
        ret_forms[i].name = names[i];
        (void)snprintf(ret_forms[i].from, RELAY_ADDRESS, STRANGER);
        (void)snprintf(ret_forms[i].to, RELAY_ADDRESS, USER "@%s", remote);
    }
    // who sends
    ret_forms[1].from[0] = '\0';
    (void)snprintf(ret_forms[2].from, RELAY_ADDRESS, USER "@%s", local);
    (void)snprintf(ret_forms[3].from, RELAY_ADDRESS, USER "@%s", literal);
    (void)snprintf(ret_forms[4].from, RELAY_ADDRESS, USER "@localhost");
    (void)snprintf(ret_forms[5].from, RELAY_ADDRESS, USER);
    // how the recipient is wrapped
    (void)snprintf(ret_forms[6].to, RELAY_ADDRESS, USER "%%%s@%s", remote, local);
    (void)snprintf(ret_forms[7].to, RELAY_ADDRESS, "%s!" USER "@%s", remote, local);
    (void)snprintf(ret_forms[8].to, RELAY_ADDRESS, "\"" USER "@%s\"@%s", remote, local);
    (void)snprintf(ret_forms[9].to, RELAY_ADDRESS, "\"" USER "@%s\"", remote);
    (void)snprintf(ret_forms[10].to, RELAY_ADDRESS, "@%s:" USER "@%s", local, remote);
    (void)snprintf(ret_forms[11].to, RELAY_ADDRESS, USER "@%s@%s", remote, literal);
}
