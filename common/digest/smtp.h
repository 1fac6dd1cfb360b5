/* SMTP in the clear (RFC 5321), as far as a packet's payload shows it: verbs, reply codes and the end of
 * data, never content. Internal to digest. */
#ifndef DROPPOINT_COMMON_DIGEST_SMTP_H
#define DROPPOINT_COMMON_DIGEST_SMTP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/digest/digest.h"
#include "common/digest/mail_ids.h"

enum dp_smtp_state {
    DP_SMTP_STATE_COMMANDS,
    DP_SMTP_STATE_CONTENT,  /* after a 354: what the client sends is the message */
    DP_SMTP_STATE_STARTTLS, /* the client asked for TLS */
    DP_SMTP_STATE_TLS,      /* encrypted: nothing more to read */
};

/* What is remembered of one connection. All zero: a new one. */
struct dp_smtp {
    uint8_t state;        /* dp_smtp_state */
    bool has_chunk;       /* a BDAT was seen (RFC 3030) */
    uint32_t chunk_end;   /* sequence number at which its content ends */
    bool content_begun;   /* the first packet of the content was seen */
    uint32_t content_seq; /* of the 354, so that older replies sent again don't end the content */
    bool awaits_queue_id; /* a message is complete: the next reply takes it over */
    struct dp_mail_header header;
};

/* Whether SMTP servers listen on this port without TLS from the start. */
bool dp_smtp_port(uint16_t port);

/* Reads a client's payload. Returns a dp_smtp_verb or 0. */
uint16_t dp_smtp_client(struct dp_smtp *smtp, const struct dp_packet *packet);

/* One reply of a server, all lines of it that are in the packet. */
struct dp_smtp_reply {
    uint16_t code;
    const uint8_t *begin, *end;
};

/* The reply at *at, which moves behind it; false: none there. Several replies follow each other where the
 * client pipelines. */
bool dp_smtp_next_reply(const uint8_t **at, const uint8_t *end, struct dp_smtp_reply *ret_reply);

/* Remembers what a reply in a packet with this sequence number means for the connection. */
void dp_smtp_replied(struct dp_smtp *smtp, uint16_t code, uint32_t seq);

/* The reply's lines without code and line end, joined by " / ". */
void dp_smtp_reply_text(const struct dp_smtp_reply *reply, char ret_text[DP_NOTE_TEXT]);

#endif
