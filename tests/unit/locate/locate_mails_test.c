/* Mails that a relay between the points 1 and 2 takes over and sends on: which session carries on which. */
#include <stdio.h>

#include "tests/unit/locate/sim_fixture.h"
#include "tests/unit/locate/sim_mail.h"

#define NONE (-1)
#define QUEUED(id) "250 2.0.0 Ok: queued as " id "\r\n"
#define RECEIVED(id)                                                                                         \
    "Received: from mx1.example.org (unknown [192.0.2.1])\r\n\tby lb1.example.net (Postfix) with ESMTP "     \
    "id " id "\r\n\tfor <b@example.net>; Mon,  2 Nov 2026 10:00:00 +0000\r\n"
#define MESSAGE(id) "Message-ID: <" id "@example.org>\r\n"

/* A session for one mail. */
static uint32_t one(struct sim *sim, bool out, int64_t t, struct sim_mail mail)
{
    struct sim_smtp s = out ? sim_smtp_out(sim, t) : sim_smtp_in(sim, t);
    sim_smtp_mail(sim, &s, mail);
    sim_smtp_quit(sim, &s);
    return s.flow;
}

struct hop {
    uint32_t in, out;
};

/* One mail that goes in, and is sent on 60 ms after that began. */
static struct hop deliver(struct sim *sim, int64_t t, struct sim_mail in, struct sim_mail out)
{
    return (struct hop){one(sim, false, t, in), one(sim, true, t + 60 * SIM_MS, out)};
}

static void assert_paired(const struct sim *sim, const struct dp_report *r, struct hop hop)
{
    for (uint32_t v = 0; v < 2; v++) {
        assert_int_equal(sim_goes_on_as(sim, r, hop.out, v), hop.in);
        assert_int_equal(sim_goes_on_as(sim, r, hop.in, v + 2), hop.out);
    }
}

static void assert_apart(const struct sim *sim, const struct dp_report *r, struct hop hop)
{
    for (uint32_t v = 0; v < 4; v++) {
        assert_int_equal(sim_goes_on_as(sim, r, hop.out, v), NONE);
        assert_int_equal(sim_goes_on_as(sim, r, hop.in, v), NONE);
    }
}

/* ---- by what a mail is known ---- */

static void test_queue_id_of_reply_and_received_line(void **state)
{
    struct sim *sim = *state;
    sim_relay_path(sim);
    struct hop hop[2];
    for (int i = 0; i < 2; i++) /* the second is sent on in the same words but for its id */
        hop[i] =
            deliver(sim, i * 10 * SIM_MS, (struct sim_mail){.reply = i ? QUEUED("4XyZ2") : QUEUED("4XyZ1")},
                    (struct sim_mail){.header = i ? RECEIVED("4XyZ2") : RECEIVED("4XyZ1")});
    struct dp_report *r = sim_run(sim, SIM_FILES);
    sim_assert_clean(r);
    assert_int_equal(r->flow_count, 4);
    for (int i = 0; i < 2; i++)
        assert_paired(sim, r, hop[i]);
    sim_assert_says(r->verdict_summary, "behind lb1/eth0 took over 2 mails, and all of them left it");
    sim_assert_silent(r->verdict_summary, "names no queue ids");
    dp_report_free(r);
}

static void test_message_id(void **state)
{
    struct sim *sim = *state;
    sim_relay_path(sim);
    struct hop hop[2];
    for (int i = 0; i < 2; i++) {
        struct sim_mail mail = {.header = i ? MESSAGE("a2") : MESSAGE("a1")};
        hop[i] = deliver(sim, i * 10 * SIM_MS, mail, mail);
    }
    struct dp_report *r = sim_run(sim, SIM_FILES);
    sim_assert_clean(r);
    for (int i = 0; i < 2; i++)
        assert_paired(sim, r, hop[i]);
    sim_assert_says(r->verdict_summary, "A mail relay behind lb1/eth0");
    sim_assert_says(r->verdict_summary, "names no queue ids in its replies");
    sim_assert_silent(r->verdict_summary, "took over");
    dp_report_free(r);
}

/* The relay adds no Received line: its reply's id comes to nothing, but the mail is known to have left. */
static void test_message_id_stands_in_for_the_queue_id(void **state)
{
    struct sim *sim = *state;
    sim_relay_path(sim);
    struct hop hop = deliver(sim, 0, (struct sim_mail){.header = MESSAGE("a1"), .reply = QUEUED("4XyZ1")},
                             (struct sim_mail){.header = MESSAGE("a1")});
    struct dp_report *r = sim_run(sim, SIM_FILES);
    sim_assert_clean(r);
    assert_paired(sim, r, hop);
    sim_assert_says(r->verdict_summary, "took over 1 mail, and it left");
    dp_report_free(r);
}

static void test_neither(void **state)
{
    struct sim *sim = *state;
    sim_relay_path(sim);
    struct hop hop = deliver(sim, 0, (struct sim_mail){.header = "Subject: a\r\n"},
                             (struct sim_mail){.header = "Subject: a\r\n"});
    struct dp_report *r = sim_run(sim, SIM_FILES);
    sim_assert_losses(sim, r);
    assert_int_equal(r->verdict, DP_CODE_INCONCLUSIVE);
    assert_apart(sim, r, hop);
    dp_report_free(r);
}

static void test_neither_beside_one_that_has_an_id(void **state)
{
    struct sim *sim = *state;
    sim_relay_path(sim);
    struct hop plain = deliver(sim, 0, (struct sim_mail){0}, (struct sim_mail){0}),
               known = deliver(sim, 10 * SIM_MS, (struct sim_mail){.reply = QUEUED("4XyZ1")},
                               (struct sim_mail){.header = RECEIVED("4XyZ1")});
    struct dp_report *r = sim_run(sim, SIM_FILES);
    sim_assert_clean(r);
    assert_apart(sim, r, plain);
    assert_paired(sim, r, known);
    sim_assert_says(r->verdict_summary, "took over 1 mail, and it left");
    dp_report_free(r);
}

/* ---- packets begin and end anywhere ---- */

/* The header behind the relay is cut into two packets at each byte. A line that is in two packets is not
 * read; of two that tell the mail one at least is whole. */
static void test_header_over_a_packet_border(void **state)
{
    struct sim *sim = *state;
    static const char header[] = RECEIVED("4XyZ1") MESSAGE("a1");
    for (uint32_t first = 1; first < sizeof header; first++) {
        sim_relay_path(sim);
        struct hop hop = deliver(sim, 0, (struct sim_mail){.header = MESSAGE("a1"), .reply = QUEUED("4XyZ1")},
                                 (struct sim_mail){.header = header, .first = first});
        struct dp_report *r = sim_run(sim, SIM_FILES);
        sim_assert_clean(r);
        assert_paired(sim, r, hop);
        sim_assert_says(r->verdict_summary, "took over 1 mail, and it left");
        dp_report_free(r);
    }
}

static void test_only_line_over_a_packet_border(void **state)
{
    struct sim *sim = *state;
    static const char header[] = "Subject: a\r\n" MESSAGE("a1") "To: b\r\n";
    uint32_t begin = 12, end = (uint32_t)sizeof header - 1 - 7;
    for (uint32_t first = 1; first < sizeof header; first++) {
        sim_relay_path(sim);
        struct hop hop = deliver(sim, 0, (struct sim_mail){.header = MESSAGE("a1")},
                                 (struct sim_mail){.header = header, .first = first});
        struct dp_report *r = sim_run(sim, SIM_FILES);
        if (first <= begin || first >= end)
            assert_paired(sim, r, hop);
        else
            assert_apart(sim, r, hop);
        dp_report_free(r);
    }
}

/* ---- several mails in a session ---- */

static void test_two_mails_of_a_session_leave_in_two(void **state)
{
    struct sim *sim = *state;
    sim_relay_path(sim);
    struct sim_smtp in = sim_smtp_in(sim, 0);
    sim_smtp_mail(sim, &in, (struct sim_mail){.header = MESSAGE("a1"), .reply = QUEUED("4XyZ1")});
    sim_smtp_mail(sim, &in, (struct sim_mail){.header = MESSAGE("a2"), .reply = QUEUED("4XyZ2")});
    sim_smtp_quit(sim, &in);
    uint32_t second = one(sim, true, in.t + SIM_MS, (struct sim_mail){.header = RECEIVED("4XyZ2")});
    uint32_t first = one(sim, true, in.t + 20 * SIM_MS, (struct sim_mail){.header = MESSAGE("a1")});
    struct dp_report *r = sim_run(sim, SIM_FILES);
    sim_assert_clean(r);
    assert_int_equal(sim_goes_on_as(sim, r, first, 0), in.flow);
    assert_int_equal(sim_goes_on_as(sim, r, second, 0), in.flow);
    sim_assert_says(r->verdict_summary, "took over 2 mails, and all of them left it");
    dp_report_free(r);
}

static void test_mails_of_two_sessions_leave_in_one(void **state)
{
    struct sim *sim = *state;
    sim_relay_path(sim);
    uint32_t in[2] = {one(sim, false, 0, (struct sim_mail){.reply = QUEUED("4XyZ1")}),
                      one(sim, false, 5 * SIM_MS, (struct sim_mail){.header = MESSAGE("a2")})};
    struct sim_smtp out = sim_smtp_out(sim, 100 * SIM_MS);
    sim_smtp_mail(sim, &out, (struct sim_mail){.header = RECEIVED("4XyZ1")});
    sim_smtp_mail(sim, &out, (struct sim_mail){.header = MESSAGE("a2")});
    sim_smtp_quit(sim, &out);
    struct dp_report *r = sim_run(sim, SIM_FILES);
    sim_assert_clean(r);
    for (int i = 0; i < 2; i++)
        assert_int_equal(sim_goes_on_as(sim, r, in[i], 3), out.flow);
    dp_report_free(r);
}

/* One of two leaves, and only its Message-ID says so: it stands for its own queue id, not for the other's. */
static void test_one_of_two_mails_leaves(void **state)
{
    struct sim *sim = *state;
    for (int leaves = 0; leaves < 2; leaves++)
        for (int named = 0; named < 2; named++) { /* whether the one that stays has a Message-ID */
            sim_relay_path(sim);
            struct sim_smtp in = sim_smtp_in(sim, 0);
            for (int i = 0; i < 2; i++)
                sim_smtp_mail(sim, &in,
                              (struct sim_mail){.header = i == leaves ? MESSAGE("a1")
                                                          : named     ? MESSAGE("a2")
                                                                      : NULL,
                                                .reply = i ? QUEUED("4XyZ2") : QUEUED("4XyZ1")});
            sim_smtp_quit(sim, &in);
            uint32_t out = one(sim, true, in.t, (struct sim_mail){.header = MESSAGE("a1")});
            struct dp_report *r = sim_run(sim, SIM_FILES);
            sim_assert_clean(r);
            assert_int_equal(sim_goes_on_as(sim, r, out, 0), in.flow);
            sim_assert_says(r->verdict_summary,
                            "Of 2 mails that a mail relay behind lb1/eth0 took over, 1 had "
                            "not been seen to leave it");
            dp_report_free(r);
        }
}

/* A mail that left says nothing of the first one of the next session. */
static void test_id_of_another_session(void **state)
{
    struct sim *sim = *state;
    sim_relay_path(sim);
    struct hop hop = deliver(sim, 0, (struct sim_mail){.header = MESSAGE("a1")},
                             (struct sim_mail){.header = MESSAGE("a1")});
    (void)one(sim, false, 10 * SIM_MS, (struct sim_mail){.reply = QUEUED("4XyZ2")});
    struct dp_report *r = sim_run(sim, SIM_FILES);
    sim_assert_clean(r);
    assert_paired(sim, r, hop);
    sim_assert_says(r->verdict_summary, "Of 1 mail that a mail relay behind lb1/eth0 took over, 1 had not");
    dp_report_free(r);
}

/* ---- what is no such mail ---- */

/* A Message-ID behind the relay before the mail came to it: another mail, by a client that numbers badly. */
static void test_message_id_that_leaves_before_it_comes(void **state)
{
    struct sim *sim = *state;
    sim_relay_path(sim);
    struct sim_mail mail = {.header = MESSAGE("a1")};
    struct hop hop = {.out = one(sim, true, 0, mail), .in = one(sim, false, 200 * SIM_MS, mail)};
    struct dp_report *r = sim_run(sim, SIM_FILES);
    assert_apart(sim, r, hop);
    dp_report_free(r);
}

/* Sessions from either side into the relay, or out of it to either side: neither carries on the other. */
static void test_mail_that_comes_back(void **state)
{
    struct sim *sim = *state;
    for (int leave = 0; leave < 2; leave++) {
        sim_relay_path(sim);
        struct sim_flow near = {.far_end = SIM_AT(1), .client_far = leave != 0},
                        far = {.near_end = SIM_AT(2), .client_far = leave == 0};
        struct sim_smtp in = sim_smtp_open(sim, near, 0), back = sim_smtp_open(sim, far, 100 * SIM_MS);
        sim_smtp_mail(sim, &in, (struct sim_mail){.header = MESSAGE("a1"), .reply = QUEUED("4XyZ1")});
        sim_smtp_mail(sim, &back, (struct sim_mail){.header = RECEIVED("4XyZ1") MESSAGE("a1")});
        struct dp_report *r = sim_run(sim, SIM_FILES);
        assert_apart(sim, r, (struct hop){in.flow, back.flow});
        dp_report_free(r);
    }
}

/* A client cannot give queue ids, nor a server have headers. */
static void test_ids_from_the_wrong_end(void **state)
{
    struct sim *sim = *state;
    for (int wrong = 0; wrong < 4; wrong++) { /* bit 0: before the relay, bit 1: behind it */
        sim_relay_path(sim);
        struct hop hop = deliver(sim, 0, (struct sim_mail){0}, (struct sim_mail){0});
        int half[2] = {wrong & 1 ? 0 : 1, wrong & 2 ? 1 : 0};
        sim_note_id(sim, hop.in, 0, 30 * SIM_MS,
                    (struct sim_id){.half = half[0], .kind = DP_NOTE_QUEUE_ID, .offset = 200, .value = 7});
        sim_note_id(sim, hop.out, 3, 90 * SIM_MS,
                    (struct sim_id){.half = half[1], .kind = DP_NOTE_RECEIVED_ID, .offset = 200, .value = 7});
        struct dp_report *r = sim_run(sim, SIM_FILES);
        if (wrong)
            assert_apart(sim, r, hop);
        else
            assert_paired(sim, r, hop);
        dp_report_free(r);
    }
}

/* An id of some queue is no Message-ID, though they are the same word; and two Received lines, or two
 * replies, hand nothing over. */
static void test_ids_of_another_kind(void **state)
{
    struct sim *sim = *state;
    static const struct {
        const char *in_header, *in_reply, *out_header, *out_reply;
    } cases[] = {{"Message-ID: 4XyZ1\r\n", NULL, RECEIVED("4XyZ1"), NULL},
                 {NULL, QUEUED("4XyZ1"), "Message-ID: 4XyZ1\r\n", NULL},
                 {RECEIVED("4XyZ1"), NULL, RECEIVED("4XyZ1"), NULL},
                 {NULL, QUEUED("4XyZ1"), NULL, QUEUED("4XyZ1")}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        sim_relay_path(sim);
        struct hop hop =
            deliver(sim, 0, (struct sim_mail){.header = cases[i].in_header, .reply = cases[i].in_reply},
                    (struct sim_mail){.header = cases[i].out_header, .reply = cases[i].out_reply});
        struct dp_report *r = sim_run(sim, SIM_FILES);
        assert_apart(sim, r, hop);
        dp_report_free(r);
    }
}

/* A client takes a relay's queue id for its Message-ID: the one and the other are told apart, and both are
 * followed. */
static void test_one_word_for_both_ids(void **state)
{
    struct sim *sim = *state;
    sim_relay_path(sim);
    struct hop hop =
        deliver(sim, 0, (struct sim_mail){.header = "Message-ID: 4XyZ1\r\n", .reply = QUEUED("4XyZ1")},
                (struct sim_mail){.header = "Message-ID: 4XyZ1\r\n" RECEIVED("4XyZ1")});
    struct dp_report *r = sim_run(sim, SIM_FILES);
    sim_assert_clean(r);
    assert_paired(sim, r, hop);
    dp_report_free(r);
}

/* A client that gives all its mails the same Message-ID. */
static void test_id_that_everyone_has(void **state)
{
    struct sim *sim = *state;
    sim_relay_path(sim);
    struct hop hop[40];
    for (int i = 0; i < 40; i++) {
        struct sim_mail mail = {.header = MESSAGE("same")};
        hop[i] = deliver(sim, i * SIM_S, mail, mail);
    }
    struct dp_report *r = sim_run(sim, SIM_FILES);
    sim_assert_losses(sim, r);
    for (int i = 0; i < 40; i++)
        assert_apart(sim, r, hop[i]);
    dp_report_free(r);
}

/* More mails in one session than are remembered: those that are not prove nothing. */
static void test_more_mails_than_are_remembered(void **state)
{
    struct sim *sim = *state;
    sim_relay_path(sim);
    struct sim_smtp in = sim_smtp_in(sim, 0), out = sim_smtp_out(sim, 10 * SIM_MS);
    char queued[64], received[64];
    for (int i = 0; i < 300; i++) {
        (void)snprintf(queued, sizeof queued, "250 Ok: queued as Queue%d\r\n", i);
        (void)snprintf(received, sizeof received, "Received: by lb1 with ESMTP id Queue%d\r\n", i);
        sim_smtp_mail(sim, &in, (struct sim_mail){.reply = queued});
        out.t = in.t > out.t ? in.t : out.t;
        sim_smtp_mail(sim, &out, (struct sim_mail){.header = received});
    }
    struct dp_report *r = sim_run(sim, SIM_FILES);
    sim_assert_clean(r);
    assert_paired(sim, r, (struct hop){in.flow, out.flow});
    sim_assert_says(r->verdict_summary, "took over 256 mails, and all of them left it");
    dp_report_free(r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SIM_TEST(test_queue_id_of_reply_and_received_line),
        SIM_TEST(test_message_id),
        SIM_TEST(test_message_id_stands_in_for_the_queue_id),
        SIM_TEST(test_neither),
        SIM_TEST(test_neither_beside_one_that_has_an_id),
        SIM_TEST(test_header_over_a_packet_border),
        SIM_TEST(test_only_line_over_a_packet_border),
        SIM_TEST(test_two_mails_of_a_session_leave_in_two),
        SIM_TEST(test_mails_of_two_sessions_leave_in_one),
        SIM_TEST(test_one_of_two_mails_leaves),
        SIM_TEST(test_id_of_another_session),
        SIM_TEST(test_message_id_that_leaves_before_it_comes),
        SIM_TEST(test_mail_that_comes_back),
        SIM_TEST(test_ids_from_the_wrong_end),
        SIM_TEST(test_ids_of_another_kind),
        SIM_TEST(test_one_word_for_both_ids),
        SIM_TEST(test_id_that_everyone_has),
        SIM_TEST(test_more_mails_than_are_remembered),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
