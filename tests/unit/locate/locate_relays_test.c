/* What a report says of mail relays: how sessions go on behind them, and which mails they keep. */
#include <stdio.h>
#include <string.h>

#include "tests/unit/locate/sim_fixture.h"
#include "tests/unit/locate/sim_mail.h"

#define NONE (-1)

enum { RELAY = 8, OTHER_RELAY = 18 };

/* A session that brings the relay a mail by this number, from t on. */
static struct sim_smtp take_by(struct sim *sim, struct sim_flow flow, int64_t t, unsigned mail)
{
    char header[64], reply[64];
    (void)snprintf(header, sizeof header, "Message-ID: <mail%u@example.org>\r\n", mail);
    (void)snprintf(reply, sizeof reply, "250 2.0.0 Ok: queued as Queue%u\r\n", mail);
    struct sim_smtp s = sim_smtp_open(sim, flow, t);
    sim_smtp_mail(sim, &s, (struct sim_mail){.header = header, .reply = reply});
    sim_smtp_quit(sim, &s);
    return s;
}

/* ... in which it sends the mail on. */
static struct sim_smtp give_by(struct sim *sim, struct sim_flow flow, int64_t t, unsigned mail)
{
    char header[128];
    (void)snprintf(header, sizeof header,
                   "Received: by relay with ESMTP id Queue%u\r\nMessage-ID: <mail%u@example.org>\r\n", mail,
                   mail);
    struct sim_smtp s = sim_smtp_open(sim, flow, t);
    sim_smtp_mail(sim, &s, (struct sim_mail){.header = header});
    sim_smtp_quit(sim, &s);
    return s;
}

static struct sim_smtp take(struct sim *sim, uint8_t relay, int64_t t, unsigned mail)
{
    return take_by(sim, (struct sim_flow){.far_end = SIM_AT(1), .server_host = relay}, t, mail);
}

static struct sim_smtp give(struct sim *sim, uint8_t relay, int64_t t, unsigned mail)
{
    return give_by(sim, (struct sim_flow){.near_end = SIM_AT(2), .client_host = relay}, t, mail);
}

/* Mails [from, to), one each `apart`, that are sent on so much later. */
static void pass(struct sim *sim, uint8_t relay, int64_t t, unsigned from, unsigned to, int64_t apart,
                 int64_t later)
{
    for (unsigned mail = from; mail < to; mail++, t += apart) {
        (void)take(sim, relay, t, mail);
        (void)give(sim, relay, t + later, mail);
    }
}

/* ---- sessions that belong together ---- */

static void test_sessions_are_joined(void **state)
{
    struct sim *sim = *state;
    sim_relay_path(sim);
    uint32_t in[3], out[3];
    for (unsigned i = 0; i < 3; i++) /* all at once, and the last comes out first */
        in[i] = take(sim, RELAY, i * SIM_MS, i).flow;
    for (unsigned i = 0; i < 3; i++)
        out[i] = give(sim, RELAY, SIM_S - i * 100 * SIM_MS, i).flow;
    struct dp_report *r = sim_run(sim, SIM_FILES);
    sim_assert_clean(r);
    assert_int_equal(r->flow_count, 6); /* they stay what they are */
    for (int i = 0; i < 3; i++) {
        assert_int_equal(sim_goes_on_as(sim, r, in[i], 2), out[i]);
        assert_int_equal(sim_goes_on_as(sim, r, in[i], 3), out[i]);
        assert_int_equal(sim_goes_on_as(sim, r, out[i], 0), in[i]);
        assert_int_equal(sim_goes_on_as(sim, r, out[i], 1), in[i]);
    }
    sim_assert_says(r->verdict_summary,
                    "A mail relay behind lb1/eth0 took over 3 mails, and all of them left");
    dp_report_free(r);
}

/* A packet of the message's is lost on either side of the relay. */
static void test_loss_beside_the_relay(void **state)
{
    struct sim *sim = *state;
    for (int behind = 0; behind < 2; behind++) {
        sim_relay_path(sim);
        pass(sim, RELAY, 0, 0, 3, 10 * SIM_MS, 60 * SIM_MS);
        struct sim_smtp s = behind ? sim_smtp_out(sim, SIM_S) : sim_smtp_in(sim, SIM_S);
        uint32_t at = sim->flows[s.flow].next[0];
        sim_send(
            sim, s.flow,
            (struct sim_packet){.t = s.t, .len = 38, .app = DP_SMTP_MAIL, .lost_in = SIM_IN(behind ? 2 : 0)});
        s.t = sim_exchange(
            sim, s.flow,
            (struct sim_packet){.t = s.t + 200 * SIM_MS, .seq = at, .len = 38, .app = DP_SMTP_MAIL});
        s.t = sim_exchange(sim, s.flow, (struct sim_packet){.half = 1, .t = s.t, .len = 14, .app = 250});
        const char *header = "Message-ID: <a1@example.org>\r\n";
        sim_smtp_mail(sim, &s, (struct sim_mail){.header = header});
        struct sim_smtp other = behind ? sim_smtp_in(sim, 100 * SIM_MS) : sim_smtp_out(sim, s.t);
        sim_smtp_mail(sim, &other, (struct sim_mail){.header = header});
        struct dp_report *r = sim_run(sim, SIM_FILES);
        sim_assert_loss_at(sim, r, behind ? 2 : 0, DP_FORWARD);
        assert_int_equal(r->finding_count, 1);
        assert_true(r->findings[0].confidence > 0.8); /* what a relay does is no guess */
        sim_assert_says(r->findings[0].summary,
                        "A mail relay between lb1/eth0 and lb1/eth1 ends these connections; its mails go on");
        dp_report_free(r);
    }
}

/* ---- mails that are kept ---- */

static void test_kept_mail_is_told_of(void **state)
{
    struct sim *sim = *state;
    sim_relay_path(sim);
    pass(sim, RELAY, 0, 0, 3, 10 * SIM_MS, 60 * SIM_MS);
    uint32_t kept = take(sim, RELAY, 35 * SIM_MS, 77).flow;
    struct dp_report *r = sim_run(sim, SIM_FILES);
    sim_assert_clean(r);
    assert_int_equal(sim_goes_on_as(sim, r, kept, 2), NONE);
    sim_assert_says(r->verdict_summary,
                    "Of 4 mails that a mail relay behind lb1/eth0 took over, 1 had not been "
                    "seen to leave it");
    dp_report_free(r);
}

static void test_late_mail_is_not_kept(void **state)
{
    struct sim *sim = *state;
    sim_relay_path(sim);
    uint32_t in = take(sim, RELAY, 0, 77).flow;
    pass(sim, RELAY, 100 * SIM_MS, 0, 5, SIM_S, 60 * SIM_MS);
    uint32_t out = give(sim, RELAY, 300 * SIM_S, 77).flow;
    struct dp_report *r = sim_run(sim, SIM_FILES);
    sim_assert_clean(r);
    assert_int_equal(sim_goes_on_as(sim, r, in, 3), out);
    sim_assert_says(r->verdict_summary, "took over 6 mails, and all of them left it");
    dp_report_free(r);
}

static const struct dp_finding *stall_of(const struct dp_report *r)
{
    for (size_t i = 0; i < r->finding_count; i++)
        if (r->findings[i].code == DP_CODE_STALL)
            return &r->findings[i];
    return NULL;
}

/* As other_side says, everything comes from the far end. */
static void test_overdue_mail(void **state)
{
    struct sim *sim = *state;
    for (int far = 0; far < 2; far++) {
        sim_relay_path(sim);
        struct sim_flow side[2] = {{.far_end = SIM_AT(1), .client_far = far != 0},
                                   {.near_end = SIM_AT(2), .client_far = far != 0}};
        struct sim_flow in = side[far], out = side[1 - far];
        in.server_host = out.client_host = RELAY;
        uint32_t kept = take_by(sim, in, 0, 77).flow;
        int64_t ends = 0;
        for (unsigned mail = 0; mail < 4; mail++) {
            (void)take_by(sim, in, 5 * SIM_S * (mail + 1), mail);
            ends = give_by(sim, out, 5 * SIM_S * (mail + 1) + 60 * SIM_MS, mail).t;
        }
        (void)give_by(sim, out, ends + 10 * SIM_S, 3); /* sent once more */
        struct dp_report *r = sim_run(sim, SIM_FILES);
        sim_assert_losses(sim, r);
        assert_int_equal(r->verdict, DP_CODE_STALL);
        assert_int_equal(r->finding_count, 1);
        const struct dp_finding *f = &r->findings[0];
        assert_true(f->confidence > 0.29 && f->confidence <= 0.3);
        assert_int_equal(f->from, 1);
        assert_int_equal(f->to, 2);
        assert_int_equal(f->direction, far ? DP_REVERSE : DP_FORWARD);
        assert_int_equal(f->lost_packets, 0);
        assert_int_equal(f->flow_count, 1);
        assert_int_equal(r->flows[f->flows[0] - 1].endpoints.client_port, sim->flows[kept].client_port);
        sim_assert_says(f->summary,
                        "1 mail that a relay between lb1/eth0 and lb1/eth1 accepted was not seen to "
                        "leave it in the 30 seconds until the captures ended, although 4 others");
        sim_assert_says(f->next_step, "postqueue -p");
        dp_report_free(r);
    }
}

static void test_two_overdue_mails_of_a_session(void **state)
{
    struct sim *sim = *state;
    sim_relay_path(sim);
    struct sim_smtp s = sim_smtp_in(sim, 0);
    sim_smtp_mail(sim, &s, (struct sim_mail){.reply = "250 2.0.0 Ok: queued as Kept1\r\n"});
    sim_smtp_mail(sim, &s, (struct sim_mail){.reply = "250 2.0.0 Ok: queued as Kept2\r\n"});
    pass(sim, RELAY, 5 * SIM_S, 0, 6, 5 * SIM_S, 60 * SIM_MS);
    struct dp_report *r = sim_run(sim, SIM_FILES);
    assert_int_equal(r->verdict, DP_CODE_STALL);
    assert_int_equal(r->finding_count, 1);
    assert_int_equal(r->findings[0].flow_count, 1);
    sim_assert_says(r->findings[0].summary, "2 mails that a relay");
    dp_report_free(r);
}

/* ---- mails that may be kept for a reason ---- */

/* What overdue mail takes, all but for one thing. */
struct reason {
    unsigned later;        /* mails that leave after it */
    int64_t apart, longer; /* of these; and how long the relay has each */
    unsigned earlier;      /* mails before it, 1 s apart */
    int64_t last_until;    /* the capture at the last point ends then; 0: with the others */
    bool still;            /* both behind the relay go on, as far as is known */
    void (*more)(struct sim *sim);
};

static struct dp_report *run_reason(struct sim *sim, struct reason reason)
{
    sim_relay_path(sim);
    for (int v = 2; v < 4; v++) {
        sim->at[v].capture_to = reason.still ? DP_LOCATE_STILL_RUNNING : v == 3 ? reason.last_until : 0;
        sim->at[v].window = sim->at[v].capture_to != 0;
    }
    int64_t t = reason.earlier * SIM_S;
    pass(sim, RELAY, 0, 100, 100 + reason.earlier, SIM_S, 60 * SIM_MS);
    (void)take(sim, RELAY, t, 77);
    pass(sim, RELAY, t + SIM_S, 0, reason.later, reason.apart, reason.longer);
    if (reason.more)
        reason.more(sim);
    return sim_run(sim, SIM_FILES);
}

static void refusing(struct sim *sim)
{
    struct sim_smtp s = sim_smtp_out(sim, 2 * SIM_S);
    sim_smtp_mail(
        sim, &s,
        (struct sim_mail){.header = "Message-ID: <x@example.org>\r\n", .reply = "451 4.3.0 later\r\n"});
    sim_smtp_quit(sim, &s);
}

static void unreadable(struct sim *sim)
{
    struct sim_smtp s = sim_smtp_out(sim, 2 * SIM_S);
    sim_smtp_mail(sim, &s, (struct sim_mail){.header = "Subject: a\r\n"});
    sim_smtp_quit(sim, &s);
}

/* The second of two has no id, and the one before it, or behind it, does not stand for it. */
static void unreadable_of_several(struct sim *sim)
{
    struct sim_smtp s = sim_smtp_out(sim, 2 * SIM_S);
    sim_smtp_mail(sim, &s, (struct sim_mail){.header = "Message-ID: <x@example.org>\r\n"});
    sim_smtp_mail(sim, &s, (struct sim_mail){.header = "Subject: a\r\n"});
    sim_smtp_mail(sim, &s, (struct sim_mail){.header = "Message-ID: <y@example.org>\r\n"});
    sim_smtp_quit(sim, &s);
}

static void encrypted(struct sim *sim)
{
    struct sim_smtp s = sim_smtp_out(sim, 2 * SIM_S);
    s.t = sim_exchange(sim, s.flow, (struct sim_packet){.t = s.t, .len = 10, .app = DP_SMTP_STARTTLS});
    s.t = sim_exchange(sim, s.flow, (struct sim_packet){.half = 1, .t = s.t, .len = 24, .app = 220});
    s.t = sim_transfer(sim, s.flow, 0, s.t, 3, SIM_MS);
    (void)sim_close(sim, s.flow, s.t);
}

static void unanswered(struct sim *sim)
{
    uint32_t flow =
        sim_flow(sim, (struct sim_flow){.near_end = SIM_AT(2), .client_host = RELAY, .server_host = 10});
    for (int i = 0; i < 4; i++)
        sim_send(sim, flow, (struct sim_packet){.t = SIM_S + i * SIM_S, .seq = 0, .flags = DP_TCP_SYN});
}

static void test_mail_kept_for_a_reason(void **state)
{
    static const struct {
        struct reason reason;
        bool stall;
    } cases[] = {
        {{.later = 6, .apart = 5 * SIM_S, .longer = 60 * SIM_MS}, true},
        /* Hardly any came later. */
        {{.later = 3, .apart = 12 * SIM_S, .longer = 60 * SIM_MS}, true},
        {{.later = 2, .apart = 24 * SIM_S, .longer = 60 * SIM_MS}, false},
        {{.later = 2, .apart = 24 * SIM_S, .longer = 60 * SIM_MS, .earlier = 6}, false},
        /* It may still come. */
        {{.later = 6, .apart = 3 * SIM_S, .longer = 60 * SIM_MS}, false},
        /* The others took long, too. */
        {{.later = 6, .apart = 5 * SIM_S, .longer = 2 * SIM_S}, true},
        {{.later = 6, .apart = 5 * SIM_S, .longer = 3500 * SIM_MS}, false},
        /* No one looked any longer; or no one knows how long. */
        {{.later = 6, .apart = 5 * SIM_S, .longer = 60 * SIM_MS, .last_until = 25 * SIM_S}, true},
        {{.later = 6, .apart = 5 * SIM_S, .longer = 60 * SIM_MS, .last_until = 18 * SIM_S}, false},
        {{.later = 6, .apart = 3 * SIM_S, .longer = 60 * SIM_MS, .still = true}, false},
        /* Something behind the relay explains it. */
        {{.later = 6, .apart = 5 * SIM_S, .longer = 60 * SIM_MS, .more = refusing}, false},
        {{.later = 6, .apart = 5 * SIM_S, .longer = 60 * SIM_MS, .more = unreadable}, false},
        {{.later = 6, .apart = 5 * SIM_S, .longer = 60 * SIM_MS, .more = unreadable_of_several}, false},
        {{.later = 6, .apart = 5 * SIM_S, .longer = 60 * SIM_MS, .more = encrypted}, false},
        {{.later = 6, .apart = 5 * SIM_S, .longer = 60 * SIM_MS, .more = unanswered}, false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct dp_report *r = run_reason(*state, cases[i].reason);
        if ((stall_of(r) != NULL) != cases[i].stall)
            print_error("case %zu: %s\n", i, r->verdict_summary);
        assert_int_equal(stall_of(r) != NULL, cases[i].stall);
        dp_report_free(r);
    }
}

/* All mails came and went at once, and the captures were told to go on. */
static void test_silence_that_was_watched(void **state)
{
    struct sim *sim = *state;
    for (int watched = 0; watched < 2; watched++) {
        sim_relay_path(sim);
        for (size_t v = 0; v < 4; v++) {
            sim->at[v].capture_to = 60 * SIM_S;
            sim->at[v].window = watched != 0;
        }
        (void)take(sim, RELAY, 0, 77);
        pass(sim, RELAY, 100 * SIM_MS, 0, 6, 100 * SIM_MS, 60 * SIM_MS);
        struct dp_report *r = sim_run(sim, SIM_FILES);
        assert_int_equal(stall_of(r) != NULL, watched);
        dp_report_free(r);
    }
}

/* ---- several relays ---- */

static void test_two_relays_side_by_side(void **state)
{
    struct sim *sim = *state;
    sim_relay_path(sim);
    uint32_t in[2], out[2];
    for (unsigned i = 0; i < 2; i++) {
        in[i] = take(sim, i ? OTHER_RELAY : RELAY, i * 5 * SIM_MS, i).flow;
        out[i] = give(sim, i ? OTHER_RELAY : RELAY, 60 * SIM_MS + i * 5 * SIM_MS, i).flow;
    }
    (void)take(sim, RELAY, 100 * SIM_MS, 77);
    pass(sim, OTHER_RELAY, SIM_S, 10, 16, 5 * SIM_S, 60 * SIM_MS);
    struct dp_report *r = sim_run(sim, SIM_FILES);
    for (int i = 0; i < 2; i++)
        assert_int_equal(sim_goes_on_as(sim, r, in[i], 3), out[i]);
    /* How fast one is says nothing of the other. */
    sim_assert_clean(r);
    sim_assert_says(r->verdict_summary, "Of 2 mails that a mail relay behind lb1/eth0 took over, 1 had not");
    sim_assert_says(r->verdict_summary,
                    "A mail relay behind lb1/eth0 took over 7 mails, and all of them left it");
    dp_report_free(r);
}

static void test_two_relays_that_keep_mail(void **state)
{
    struct sim *sim = *state;
    sim_relay_path(sim);
    uint32_t kept[2];
    for (unsigned i = 0; i < 2; i++) {
        uint8_t relay = i ? OTHER_RELAY : RELAY;
        kept[i] = take(sim, relay, i * 5 * SIM_MS, 70 + i).flow;
        pass(sim, relay, SIM_S + i * 5 * SIM_MS, 10 * i, 10 * i + 6, 5 * SIM_S, 60 * SIM_MS);
    }
    struct dp_report *r = sim_run(sim, SIM_FILES);
    assert_int_equal(r->finding_count, 2);
    uint32_t told[2];
    for (int i = 0; i < 2; i++) {
        const struct dp_finding *f = &r->findings[i];
        assert_int_equal(f->code, DP_CODE_STALL);
        assert_int_equal(f->flow_count, 1);
        sim_assert_says(f->summary, "1 mail that a relay");
        sim_assert_says(f->summary, "although 6 others left it");
        told[i] = f->flows[0];
    }
    assert_int_not_equal(told[0], told[1]);
    for (int i = 0; i < 2; i++)
        assert_int_equal(sim_goes_on_as(sim, r, kept[i], 2), NONE);
    dp_report_free(r);
}

/* A server that is not known to hand anything on keeps its mail: it is the recipient's. */
static void test_server_that_is_no_relay(void **state)
{
    struct sim *sim = *state;
    sim_relay_path(sim);
    (void)take(sim, OTHER_RELAY, 0, 77);
    pass(sim, RELAY, SIM_S, 0, 6, 5 * SIM_S, 60 * SIM_MS);
    struct dp_report *r = sim_run(sim, SIM_FILES);
    sim_assert_clean(r);
    sim_assert_says(r->verdict_summary, "took over 6 mails, and all of them left it");
    dp_report_free(r);
}

/* lb1 hands mails to lb2, which keeps one. Each relay adds its line in front of the others. */
static void test_two_relays_in_a_row(void **state)
{
    static const char *const names[] = {"mx1/eth0", "lb1/eth0", "lb1/eth1",
                                        "lb2/eth0", "lb2/eth1", "far/eth0"};
    struct sim *sim = *state;
    for (int overdue = 0; overdue < 2; overdue++) {
        sim_end(sim);
        sim_begin(sim, 6);
        for (size_t v = 0; v < 6; v++)
            sim->names[v] = names[v];
        uint32_t flow[3] = {0};
        for (unsigned mail = 0; mail < 5; mail++) {
            char header[256] = "Message-ID: <0@example.org>\r\n", before[256], reply[64];
            header[13] = (char)('0' + mail);
            int64_t t = mail * (overdue ? 8 * SIM_S : SIM_S);
            for (unsigned i = 0; i < 3; i++) {
                struct sim_flow f = {.near_end = SIM_AT(2 * (int)i),
                                     .far_end = SIM_AT(2 * (int)i + 1),
                                     .client_host = (uint8_t)(1 + i),
                                     .server_host = (uint8_t)(2 + i)};
                if (mail == 1 && i == 2)
                    break;
                struct sim_smtp s = sim_smtp_open(sim, f, t + i * 100 * SIM_MS);
                (void)snprintf(reply, sizeof reply, "250 2.0.0 Ok: queued as Queue%u%u\r\n", i, mail);
                sim_smtp_mail(sim, &s, (struct sim_mail){.header = header, .reply = reply});
                sim_smtp_quit(sim, &s);
                if (mail == 0)
                    flow[i] = s.flow;
                memcpy(before, header, sizeof before);
                (void)snprintf(header, sizeof header, "Received: by a with ESMTP id Queue%u%u\r\n%.150s", i,
                               mail, before);
            }
        }
        struct dp_report *r = sim_run(sim, SIM_FILES);
        for (uint32_t v = 0; v < 6; v++)
            for (uint32_t i = 0; i < 3; i++)
                assert_int_equal(sim_goes_on_as(sim, r, flow[i], v), v / 2 == i ? NONE : (int)flow[v / 2]);
        if (overdue) {
            assert_int_equal(r->verdict, DP_CODE_STALL);
            assert_int_equal(r->findings[0].from, 3);
            sim_assert_says(r->verdict_summary, "between lb2/eth0 and lb2/eth1 accepted");
            sim_assert_says(r->verdict_summary, "although 4 others left it");
        } else {
            sim_assert_clean(r);
            sim_assert_says(r->verdict_summary,
                            "A mail relay behind lb1/eth0 took over 5 mails, and all of them");
            sim_assert_says(r->verdict_summary,
                            "Of 5 mails that a mail relay behind lb2/eth0 took over, 1 had not");
        }
        dp_report_free(r);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SIM_TEST(test_sessions_are_joined),
        SIM_TEST(test_loss_beside_the_relay),
        SIM_TEST(test_kept_mail_is_told_of),
        SIM_TEST(test_late_mail_is_not_kept),
        SIM_TEST(test_overdue_mail),
        SIM_TEST(test_two_overdue_mails_of_a_session),
        SIM_TEST(test_mail_kept_for_a_reason),
        SIM_TEST(test_silence_that_was_watched),
        SIM_TEST(test_two_relays_side_by_side),
        SIM_TEST(test_two_relays_that_keep_mail),
        SIM_TEST(test_server_that_is_no_relay),
        SIM_TEST(test_two_relays_in_a_row),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
