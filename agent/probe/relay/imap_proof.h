/* Looks for a message in a mailbox by IMAP. */
#ifndef DROPPOINT_AGENT_PROBE_RELAY_IMAP_PROOF_H
#define DROPPOINT_AGENT_PROBE_RELAY_IMAP_PROOF_H

#include <stdbool.h>

#include "agent/probe/core/kind.h"
#include "agent/probe/net/target.h"

#define IMAP_FOLDER_TEXT 200

/* imap://HOST[:PORT][/FOLDER] (STARTTLS where it is offered) or imaps://HOST[/FOLDER] (port 993, TLS at
 * once). */
struct imap_place {
    struct dp_host_port server; /* with its port */
    char folder[IMAP_FOLDER_TEXT];
};

/* Whether a mailbox is meant that way, and not as a folder. */
bool imap_place_meant(const char *mailbox);
/* DP_ERR_USAGE with diag. */
int imap_place_parse(const char *url, struct imap_place *ret_place, struct dp_diag *diag) DP_MUST_CHECK;

struct imap_proof;

struct imap_proof_events {
    void (*ready)(void *context);                             /* logged in, the folder is open */
    void (*done)(void *context, bool found, const char *why); /* the last word; why: where not found */
};

/* Logs in with the probe's --auth-file (or the environment's), and opens the folder. `token` is part of the
 * message's Message-ID and stays the caller's. DP_ERR_USAGE (no credentials, bad URL), and as dp_auth_read.
 */
int imap_proof_start(struct dp_probe *probe, const char *url, const char *token,
                     const struct imap_proof_events *events, void *context, struct imap_proof **ret_proof,
                     struct dp_diag *diag) DP_MUST_CHECK;
/* Looks for the message from now on, until it is found or the proof is dropped. */
void imap_proof_look(struct imap_proof *proof);
/* Adds what is worth knowing of the session to `data`: mailbox {server, folder, tls, problems}. */
void imap_proof_write(struct imap_proof *proof, json_t *data);
void imap_proof_drop(struct imap_proof *proof); /* NULL is fine */

#endif
