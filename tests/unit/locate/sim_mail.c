#include "tests/unit/locate/sim_mail.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/digest/mail_ids.h"

#define CONTENT_MOST 4096
#define IDS_MOST 64

void sim_relay_path(struct sim *sim)
{
    static const char *const names[] = {"mx1/eth0", "lb1/eth0", "lb1/eth1", "edge1/eth0"};
    sim_end(sim);
    sim_begin(sim, 4);
    for (size_t v = 0; v < 4; v++)
        sim->names[v] = names[v];
}

static void line(struct sim *sim, struct sim_smtp *s, int half, uint16_t app, uint32_t len)
{
    s->t = sim_exchange(sim, s->flow, (struct sim_packet){.half = half, .t = s->t, .len = len, .app = app});
}

struct sim_smtp sim_smtp_open(struct sim *sim, struct sim_flow flow, int64_t t)
{
    struct sim_smtp s = {.flow = sim_flow(sim, flow)};
    s.t = sim_connect(sim, s.flow, t);
    line(sim, &s, 1, 220, 40);
    line(sim, &s, 0, DP_SMTP_EHLO, 22);
    line(sim, &s, 1, 250, 90);
    return s;
}

struct sim_smtp sim_smtp_in(struct sim *sim, int64_t t)
{
    return sim_smtp_open(sim, (struct sim_flow){.far_end = SIM_AT(1), .server_host = 8}, t);
}

struct sim_smtp sim_smtp_out(struct sim *sim, int64_t t)
{
    return sim_smtp_open(sim, (struct sim_flow){.near_end = SIM_AT(2), .client_host = 8}, t);
}

/* ---- what captures read ---- */

/* The same for the same text, as a keyed hash is. */
static uint64_t hash_of(const uint8_t *text, size_t len)
{
    uint64_t h = 14695981039346656037ULL;
    for (size_t i = 0; i < len; i++)
        h = (h ^ text[i]) * 1099511628211ULL;
    return h;
}

/* At each point that a flow crosses, when a packet that is sent at t passes there; code 0: an id. */
static void note(struct sim *sim, uint32_t flow, int64_t t, struct sim_id id, uint16_t code)
{
    const struct sim_flow *f = &sim->flows[flow];
    uint32_t low = f->near_end ? (uint32_t)f->near_end - 1 : 0,
             high = f->far_end ? (uint32_t)f->far_end - 1 : (uint32_t)sim->vantages - 1;
    bool forward = (id.half == 0) != f->client_far;
    for (uint32_t i = 0; i <= high - low; i++) {
        uint32_t v = forward ? low + i : high - i;
        if (code)
            sim_note(sim, flow, v, t, code);
        else
            sim_note_id(sim, flow, v, t, id);
        t += sim->delay[forward ? v : v ? v - 1 : 0];
    }
}

static void content(struct sim *sim, struct sim_smtp *s, const struct sim_mail *mail)
{
    char text[CONTENT_MOST];
    int len = snprintf(text, sizeof text, "%s\r\nHello.\r\n", mail->header ? mail->header : "");
    assert_true(len > 0 && len < CONTENT_MOST);
    uint32_t begin = sim->flows[s->flow].next[0], most = SIM_MSS;
    struct dp_mail_header header;
    dp_mail_begin(&header, begin);
    for (uint32_t at = 0, next; at < (uint32_t)len; at = next) {
        most = at == 0 && mail->first ? mail->first : SIM_MSS;
        next = (uint32_t)len - at > most ? at + most : (uint32_t)len;
        struct dp_mail_id ids[IDS_MOST];
        size_t count = dp_mail_read(&header, begin + at, (const uint8_t *)text + at, next - at, next - at,
                                    ids, IDS_MOST);
        for (size_t i = 0; i < count; i++)
            note(sim, s->flow, s->t,
                 (struct sim_id){0, (uint8_t)ids[i].kind, ids[i].seq, hash_of(ids[i].text, ids[i].len)}, 0);
        line(sim, s, 0, at ? 0 : DP_SMTP_CONTENT, next - at);
    }
}

static void reply(struct sim *sim, struct sim_smtp *s, const char *text)
{
    uint16_t code = (uint16_t)strtoul(text, NULL, 10);
    const uint8_t *id;
    size_t len;
    if (code == 250 && dp_mail_queue_id((const uint8_t *)text, strlen(text), &id, &len))
        note(sim, s->flow, s->t,
             (struct sim_id){1, DP_NOTE_QUEUE_ID, sim->flows[s->flow].next[1], hash_of(id, len)}, 0);
    if (code >= 400)
        note(sim, s->flow, s->t, (struct sim_id){.half = 1}, code);
    line(sim, s, 1, code, (uint32_t)strlen(text));
}

void sim_smtp_mail(struct sim *sim, struct sim_smtp *session, struct sim_mail mail)
{
    line(sim, session, 0, DP_SMTP_MAIL, 38);
    line(sim, session, 1, 250, 14);
    line(sim, session, 0, DP_SMTP_RCPT, 34);
    line(sim, session, 1, 250, 14);
    line(sim, session, 0, DP_SMTP_DATA, 6);
    line(sim, session, 1, 354, 37);
    content(sim, session, &mail);
    line(sim, session, 0, DP_SMTP_END_OF_DATA, 5);
    reply(sim, session, mail.reply ? mail.reply : "250 2.0.0 Ok\r\n");
}

void sim_smtp_quit(struct sim *sim, struct sim_smtp *session)
{
    line(sim, session, 0, DP_SMTP_QUIT, 6);
    line(sim, session, 1, 221, 20);
    session->t = sim_close(sim, session->flow, session->t);
}

/* ---- what tests ask of a report ---- */

int sim_goes_on_as(const struct sim *sim, const struct dp_report *report, uint32_t flow, uint32_t vantage)
{
    for (size_t i = 0; i < report->flow_count; i++) {
        const struct dp_flow_report *f = &report->flows[i];
        if (f->endpoints.client_port != sim->flows[flow].client_port)
            continue;
        for (size_t k = 0; k < f->seen_as_count; k++)
            for (uint32_t other = 0; other < sim->flow_count; other++)
                if (f->seen_as[k].vantage == vantage &&
                    f->seen_as[k].endpoints.client_port == sim->flows[other].client_port)
                    return (int)other;
    }
    return -1;
}

void sim_assert_says(const char *summary, const char *words)
{
    if (!strstr(summary, words))
        print_error("'%s' is not in: %s\n", words, summary);
    assert_non_null(strstr(summary, words));
}

void sim_assert_silent(const char *summary, const char *words)
{
    if (strstr(summary, words))
        print_error("'%s' is in: %s\n", words, summary);
    assert_null(strstr(summary, words));
}
