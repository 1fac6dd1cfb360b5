#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "common/digest/flows.h"
#include "common/digest/proxy_header.h"
#include "common/digest/room.h"

#define NOTES_PER_PACKET 8 /* a server that pipelines many refusals in one packet says the same in each */

struct dp_digester {
    struct dp_flows *flows;
    uint32_t epoch; /* flows stated in an earlier one are stated again */
    uint8_t key[DP_HASH_KEY_SIZE];
};

_Static_assert(DP_HASH_KEY_SIZE == crypto_shorthash_siphash24_KEYBYTES, "the capture's key is a SipHash key");

int dp_digester_new(const uint8_t key[DP_HASH_KEY_SIZE], struct dp_digester **ret_digester)
{
    struct dp_digester *digester = calloc(1, sizeof *digester);
    if (!digester)
        return DP_ERR_NOMEM;
    int rc = dp_flows_new(&digester->flows);
    if (rc) {
        free(digester);
        return rc;
    }
    memcpy(digester->key, key, DP_HASH_KEY_SIZE);
    digester->epoch = 1;
    *ret_digester = digester;
    return DP_OK;
}

void dp_digester_free(struct dp_digester *digester)
{
    if (!digester)
        return;
    dp_flows_free(digester->flows);
    sodium_memzero(digester->key, sizeof digester->key);
    free(digester);
}

void dp_digester_restate_flows(struct dp_digester *digester)
{
    digester->epoch++;
}

/* How much of the payload the hash covers: lengths that every vantage point can agree on, whatever its snap
 * length. */
static uint8_t covered(const struct dp_packet *packet)
{
    if (packet->payload_len < 64 && packet->payload_captured == packet->payload_len)
        return (uint8_t)packet->payload_len;
    for (uint8_t len = 64; len >= 8; len /= 2)
        if (packet->payload_captured >= len)
            return len;
    return 0;
}

static uint64_t keyed_hash(const struct dp_digester *digester, const uint8_t *bytes, size_t len)
{
    uint8_t out[crypto_shorthash_siphash24_BYTES];
    (void)crypto_shorthash_siphash24(out, bytes, len, digester->key);
    uint64_t hash = 0;
    for (size_t i = sizeof out; i-- > 0;)
        hash = hash << 8 | out[i];
    return hash;
}

static void fill(const struct dp_digester *digester, const struct dp_packet *packet, struct dp_digest *digest)
{
    unsigned bits = (packet->has_timestamps ? DP_DIGEST_HAS_TS : 0U) |
                    (packet->has_ip_id ? DP_DIGEST_HAS_IP_ID : 0U) |
                    (packet->fragment ? DP_DIGEST_FRAGMENT : 0U) |
                    (packet->sack_permitted ? DP_DIGEST_SACK_PERMITTED : 0U) |
                    (packet->options_cut ? DP_DIGEST_OPTIONS_CUT : 0U);
    digest->bits = (uint8_t)bits;
    digest->ttl = packet->ttl;
    digest->hash_len = covered(packet);
    digest->hash = digest->hash_len ? (uint32_t)keyed_hash(digester, packet->payload, digest->hash_len) : 0;
    digest->seq = packet->seq;
    digest->ack = packet->ack;
    digest->payload_len = packet->payload_len;
    digest->ip_len = packet->ip_len;
    digest->tsval = packet->tsval;
    digest->tsecr = packet->tsecr;
    digest->tcp_flags = packet->tcp_flags;
    digest->window = packet->window;
    digest->ip_id = packet->ip_id;
    digest->mss = packet->mss;
    digest->wscale = packet->wscale;
    digest->sack_count = packet->sack_count;
    memcpy(digest->sack, packet->sack, sizeof digest->sack);
    bool icmp = packet->proto == 1 || packet->proto == 58;
    digest->app = 0;
    if (icmp)
        digest->app = (uint16_t)(packet->icmp_type << 8 | packet->icmp_code);
}

/* A fresh note of this packet; NULL where there is no room for more. */
static struct dp_note *note_new(struct dp_batch *batch, const struct dp_digest *digest,
                                enum dp_note_kind kind)
{
    if (batch->note_count == batch->note_room)
        return NULL;
    struct dp_note *note = &batch->notes[batch->note_count++];
    *note = (struct dp_note){
        .ts_ns = digest->ts_ns, .flow = digest->flow, .dir = digest->dir, .kind = (uint8_t)kind};
    return note;
}

static void note_id(const struct dp_digester *digester, const struct dp_digest *digest,
                    const struct dp_mail_id *id, struct dp_batch *batch)
{
    struct dp_note *note = note_new(batch, digest, id->kind);
    if (!note)
        return;
    note->seq = id->seq;
    note->value = keyed_hash(digester, id->text, id->len);
}

static void note_queue_id(const struct dp_digester *digester, struct dp_flow *flow,
                          const struct dp_packet *packet, const struct dp_digest *digest,
                          const struct dp_smtp_reply *reply, struct dp_batch *batch)
{
    struct dp_mail_id id = {.kind = DP_NOTE_QUEUE_ID,
                            .seq = packet->seq + (uint32_t)(reply->begin - packet->payload)};
    bool given = flow->smtp.awaits_queue_id && reply->code == 250 &&
                 dp_mail_queue_id(reply->begin, (size_t)(reply->end - reply->begin), &id.text, &id.len);
    flow->smtp.awaits_queue_id = false;
    if (given)
        note_id(digester, digest, &id, batch);
}

/* Reads the replies of a server's packet; those that refuse become notes. */
static uint16_t read_replies(const struct dp_digester *digester, struct dp_flow *flow,
                             const struct dp_packet *packet, const struct dp_digest *digest,
                             struct dp_batch *batch)
{
    if (flow->smtp.state == DP_SMTP_STATE_TLS || packet->payload_captured == 0)
        return 0;
    uint16_t first = 0;
    size_t notes = 0;
    const uint8_t *at = packet->payload;
    const uint8_t *end = at + packet->payload_captured;
    struct dp_smtp_reply reply;
    while (flow->smtp.state != DP_SMTP_STATE_TLS && dp_smtp_next_reply(&at, end, &reply)) {
        if (first == 0)
            first = reply.code;
        dp_smtp_replied(&flow->smtp, reply.code, packet->seq);
        note_queue_id(digester, flow, packet, digest, &reply, batch);
        if (reply.code < 400 || notes == NOTES_PER_PACKET)
            continue;
        struct dp_note *note = note_new(batch, digest, DP_NOTE_REPLY);
        if (!note)
            continue;
        notes++;
        note->code = reply.code;
        dp_smtp_reply_text(&reply, note->text);
    }
    return first;
}

/* A client's line or content; IDs in a message's header become notes. */
static uint16_t read_client(const struct dp_digester *digester, struct dp_flow *flow,
                            const struct dp_packet *packet, const struct dp_digest *digest,
                            struct dp_batch *batch)
{
    uint16_t app = dp_smtp_client(&flow->smtp, packet);
    struct dp_mail_id ids[NOTES_PER_PACKET];
    size_t count = dp_mail_read(&flow->smtp.header, packet->seq, packet->payload, packet->payload_captured,
                                packet->payload_len, ids, NOTES_PER_PACKET);
    for (size_t i = 0; i < count; i++)
        note_id(digester, digest, &ids[i], batch);
    return app;
}

static uint16_t read_smtp(const struct dp_digester *digester, struct dp_flow *flow,
                          const struct dp_packet *packet, const struct dp_digest *digest,
                          struct dp_batch *batch)
{
    if ((packet->tcp_flags & (DP_TCP_SYN | DP_TCP_ACK)) == DP_TCP_SYN)
        flow->smtp = (struct dp_smtp){0}; /* the ports are used anew */
    if (digest->dir == flow->smtp_server)
        return read_replies(digester, flow, packet, digest, batch);
    return read_client(digester, flow, packet, digest, batch);
}

/* A proxy tells at the beginning of its connection whose it carries on. */
static void read_proxy_header(const struct dp_packet *packet, const struct dp_digest *digest,
                              struct dp_batch *batch)
{
    struct dp_proxy_header header;
    if (packet->proto != 6 || packet->payload_captured < 16 ||
        (packet->payload[0] != 'P' && packet->payload[0] != '\r') ||
        batch->note_count >= DP_BATCH_MAX_NOTES ||
        !dp_proxy_header_read(packet->payload, packet->payload_captured, &header) ||
        dp_batch_room_notes(batch, 1) != DP_OK) /* the packet counts also without its note */
        return;
    struct dp_note *note = note_new(batch, digest, DP_NOTE_PROXIED);
    if (!note)
        return;
    note->seq = packet->seq;
    note->len = header.len;
    note->from = header.from;
    note->to = header.to;
    note->from_port = header.from_port;
    note->to_port = header.to_port;
}

/* Room for all that one packet can add, so that nothing is half done when memory is out. Notes are bounded
 * for each batch: a hostile server can't make a batch too large to send. */
static int make_room(struct dp_batch *batch)
{
    int rc = dp_batch_room_digests(batch, 1);
    if (rc == DP_OK)
        rc = dp_batch_room_flows(batch, 1);
    return rc;
}

static int make_note_room(const struct dp_flow *flow, struct dp_batch *batch)
{
    if (!flow->smtp_port || batch->note_count + NOTES_PER_PACKET > DP_BATCH_MAX_NOTES)
        return DP_OK;
    return dp_batch_room_notes(batch, NOTES_PER_PACKET);
}

int dp_digester_frame(struct dp_digester *digester, int link_type, int64_t ts_ns, const uint8_t *frame,
                      size_t captured, size_t wire_len, struct dp_batch *batch)
{
    struct dp_packet packet;
    if (dp_packet_decode(link_type, frame, captured, wire_len, &packet) != DP_OK) {
        batch->other_packets++;
        return DP_OK;
    }
    int rc = make_room(batch);
    if (rc)
        return rc;
    struct dp_flow *flow;
    uint8_t dir;
    rc = dp_flows_find(digester->flows, &packet, &flow, &dir);
    if (rc == DP_OK)
        rc = make_note_room(flow, batch);
    if (rc)
        return rc;
    if (flow->stated != digester->epoch) {
        batch->flows[batch->flow_count++] = flow->def;
        flow->stated = digester->epoch;
    }
    struct dp_digest *digest = &batch->digests[batch->digest_count++];
    digest->ts_ns = ts_ns;
    digest->flow = flow->def.flow;
    digest->dir = dir;
    fill(digester, &packet, digest);
    if (flow->smtp_port && !packet.fragment)
        digest->app = read_smtp(digester, flow, &packet, digest, batch);
    if (!packet.fragment)
        read_proxy_header(&packet, digest, batch);
    return DP_OK;
}
