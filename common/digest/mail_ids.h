/* What lets a message be recognised behind a mail relay: its Message-ID, the queue ID that a server gave it,
 * and the queue IDs in its Received lines (RFC 5321, 5322). Internal to digest; only keyed hashes of them
 * leave the agent. */
#ifndef DROPPOINT_COMMON_DIGEST_MAIL_IDS_H
#define DROPPOINT_COMMON_DIGEST_MAIL_IDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/digest/digest.h"

/* Where the reading of a message's header stands. All zero: not in a header. */
struct dp_mail_header {
    bool open;        /* still in the header */
    bool in_received; /* the lines that follow continue a Received field */
    bool in_id;       /* ... a Message-ID field that was empty so far */
    bool mid_line;    /* the next packet goes on inside a line, which is passed over */
    uint32_t next;    /* sequence number at which the next packet is to go on */
    uint32_t begin;   /* of the header; it is read up to 64 KiB from there */
};

/* A piece of text that identifies the message, and the sequence number of the line that holds it. */
struct dp_mail_id {
    enum dp_note_kind kind;
    const uint8_t *text;
    size_t len;
    uint32_t seq;
};

/* A message's content begins at this sequence number. */
void dp_mail_begin(struct dp_mail_header *header, uint32_t seq);

/* Reads on in a packet's payload, of which `captured` of `len` bytes are here. Returns how many IDs it found,
 * at most `most`. Lines that are not wholly here are passed over. */
size_t dp_mail_read(struct dp_mail_header *header, uint32_t seq, const uint8_t *payload, size_t captured,
                    size_t len, struct dp_mail_id *ret_ids, size_t most);

/* The queue ID in the text of the reply 250 that follows a message (Postfix, Exim, Sendmail, OpenSMTPD);
 * false: none. */
bool dp_mail_queue_id(const uint8_t *reply, size_t len, const uint8_t **ret_text, size_t *ret_len);

#endif
