/* Which stage of an SMTP session died: named in the summary of a loss, a reset, a stall and a rejection. */
#include "tests/unit/locate/sim_fixture.h"

#include <string.h>

/* A dialogue as servers have it, one packet for each line. */
struct line {
    int half;
    uint16_t app;
    uint32_t len;
};

enum {
    BANNER,
    EHLO,
    EHLO_250,
    STARTTLS,
    STARTTLS_220,
    AUTH,
    AUTH_235,
    MAIL,
    MAIL_250,
    RCPT,
    RCPT_250,
    DATA,
    DATA_354,
    CONTENT,
    CONTENT_2,
    CONTENT_3,
    DOT,
    DOT_250,
    QUIT,
    QUIT_221,
    LINES
};

static const struct line lines[LINES] = {
    [BANNER] = {1, 220, 40},
    [EHLO] = {0, DP_SMTP_EHLO, 22},
    [EHLO_250] = {1, 250, 90},
    [STARTTLS] = {0, DP_SMTP_STARTTLS, 10},
    [STARTTLS_220] = {1, 220, 24},
    [AUTH] = {0, DP_SMTP_AUTH, 50},
    [AUTH_235] = {1, 235, 30},
    [MAIL] = {0, DP_SMTP_MAIL, 38},
    [MAIL_250] = {1, 250, 14},
    [RCPT] = {0, DP_SMTP_RCPT, 34},
    [RCPT_250] = {1, 250, 14},
    [DATA] = {0, DP_SMTP_DATA, 6},
    [DATA_354] = {1, 354, 37},
    [CONTENT] = {0, DP_SMTP_CONTENT, SIM_MSS},
    [CONTENT_2] = {0, 0, SIM_MSS},
    [CONTENT_3] = {0, 0, SIM_MSS},
    [DOT] = {0, DP_SMTP_END_OF_DATA, 5},
    [DOT_250] = {1, 250, 40},
    [QUIT] = {0, DP_SMTP_QUIT, 6},
    [QUIT_221] = {1, 221, 20},
};

static bool left_out(int i, bool tls)
{
    return i == STARTTLS || i == STARTTLS_220 ? !tls : tls && (i == AUTH || i == AUTH_235);
}

/* The dialogue before a line. */
static int64_t talk_until(struct sim *sim, uint32_t flow, int64_t t, int until, bool tls)
{
    for (int i = 0; i < until; i++)
        if (!left_out(i, tls))
            t = sim_exchange(sim, flow,
                             (struct sim_packet){.half = lines[i].half,
                                                 .t = t,
                                                 .len = lines[i].len,
                                                 .app = tls && i > STARTTLS_220 ? 0 : lines[i].app});
    return t;
}

#define COPIES 4

/* The line is sent four times and lost inside lb1; 30 s later the server gives up. */
static struct dp_report *die_at(struct sim *sim, int line, bool tls)
{
    int64_t t;
    uint32_t other = sim_session(sim, &t), flow = sim_tcp(sim);
    t = sim_connect(sim, flow, t);
    t = talk_until(sim, flow, t, line, tls);
    uint32_t at = sim->flows[flow].next[lines[line].half];
    for (int i = 0; i < COPIES; i++)
        sim_send(sim, flow,
                 (struct sim_packet){.half = lines[line].half,
                                     .t = t + ((1 << i) - 1) * 300 * SIM_MS,
                                     .seq = at,
                                     .len = lines[line].len,
                                     .app = tls && line > STARTTLS_220 ? 0 : lines[line].app,
                                     .lost_in = SIM_IN(1)});
    if (lines[line].half == 0 && line > BANNER) {
        (void)sim_exchange(sim, flow,
                           (struct sim_packet){.half = 1, .t = t + 30 * SIM_S, .len = 40, .app = 421});
        sim_note(sim, flow, 0, t + 30 * SIM_S, 421);
    }
    sim_session_end(sim, other, t + 32 * SIM_S);
    struct dp_report *r = sim_run(sim, SIM_FILES);
    sim_assert_loss_at(sim, r, 1, lines[line].half == 0 ? DP_FORWARD : DP_REVERSE);
    return r;
}

static void assert_says(const struct dp_report *r, const char *words)
{
    const char *summary = r->findings[0].summary;
    if (!strstr(summary, words))
        print_error("\"%s\" does not say \"%s\"\n", summary, words);
    assert_non_null(strstr(summary, words));
}

static void dies(struct sim *sim, int line, bool tls, const char *words)
{
    struct dp_report *r = die_at(sim, line, tls);
    assert_says(r, words);
    assert_says(r, "of the session of 192.0.2.1:40001 with 198.51.100.9:25, copies 1-4, entered ");
    assert_says(r, lines[line].half == 0 ? "entered lb1/eth0 and never left lb1/eth1"
                                         : "entered lb1/eth1 and never left lb1/eth0");
    assert_says(r, "That session got no further.");
    if (lines[line].half == 0)
        assert_says(r, "The server answered 421 4.4.2 timeout exceeded, 30.0 s after the first loss");
    dp_report_free(r);
}

static void test_connect(void **state)
{
    struct sim *sim = *state;
    int64_t t;
    uint32_t other = sim_session(sim, &t), flow = sim_tcp(sim);
    for (int i = 0; i < 4; i++)
        sim_send(
            sim, flow,
            (struct sim_packet){.t = t + ((1 << i) - 1) * SIM_S, .flags = DP_TCP_SYN, .lost_in = SIM_IN(1)});
    sim_session_end(sim, other, t + 10 * SIM_S);
    struct dp_report *r = sim_run(sim, SIM_FILES);
    sim_assert_loss_at(sim, r, 1, DP_FORWARD);
    assert_says(
        r, "the SYN of the session of 192.0.2.1:40001 with 198.51.100.9:25, copies 1-4, entered lb1/eth0 and "
           "never left lb1/eth1. That session got no further.");
    dp_report_free(r);
}

static void test_banner(void **state)
{
    dies(*state, BANNER, false, "For example the banner (stream bytes 0-40)");
}

static void test_ehlo(void **state)
{
    dies(*state, EHLO, false, "For example the EHLO command (stream bytes 0-22)");
}

static void test_reply_to_ehlo(void **state)
{
    dies(*state, EHLO_250, false, "For example the reply to EHLO (stream bytes 40-130)");
}

static void test_starttls(void **state)
{
    dies(*state, STARTTLS, true, "For example the STARTTLS command");
}

static void test_inside_tls_nobody_can_tell(void **state)
{
    dies(*state, MAIL, true, "For example the TLS session behind STARTTLS (stream bytes ");
}

static void test_auth(void **state)
{
    dies(*state, AUTH, false, "For example the AUTH command");
}

static void test_mail(void **state)
{
    dies(*state, MAIL, false, "For example the MAIL command");
}

static void test_rcpt(void **state)
{
    dies(*state, RCPT, false, "For example the RCPT command");
}

static void test_data_command(void **state)
{
    dies(*state, DATA, false, "For example the DATA command");
}

static void test_reply_354(void **state)
{
    dies(*state, DATA_354, false, "For example the reply to DATA");
}

static void test_content_at_its_byte(void **state)
{
    dies(*state, CONTENT_3, false, "For example DATA bytes 2,896-4,344 of the session");
}

static void test_final_dot(void **state)
{
    dies(*state, DOT, false, "For example the final dot");
}

static void test_reply_to_the_message(void **state)
{
    dies(*state, DOT_250, false, "For example the reply to the message");
}

static void test_quit(void **state)
{
    dies(*state, QUIT, false, "For example the QUIT command");
}

/* A loss from which the session recovered, and a refusal that came before it: neither ended it. */
static void test_earlier_refusal_is_not_the_answer_to_a_later_loss(void **state)
{
    struct sim *sim = *state;
    int64_t t;
    uint32_t flow = sim_tcp(sim);
    t = sim_connect(sim, flow, 10 * SIM_MS);
    t = talk_until(sim, flow, t, RCPT_250, false);
    t = sim_exchange(sim, flow, (struct sim_packet){.half = 1, .t = t, .len = 40, .app = 550});
    sim_note(sim, flow, 0, t, 550);
    t += 100 * SIM_MS;
    uint32_t at = sim->flows[flow].next[0];
    for (int i = 0; i < 2; i++)
        sim_send(
            sim, flow,
            (struct sim_packet){
                .t = t + i * 300 * SIM_MS, .seq = at, .len = 34, .app = DP_SMTP_RCPT, .lost_in = SIM_IN(1)});
    t = sim_exchange(sim, flow,
                     (struct sim_packet){.t = t + 900 * SIM_MS, .seq = at, .len = 34, .app = DP_SMTP_RCPT});
    (void)sim_close(sim, flow, t);
    struct dp_report *r = sim_run(sim, SIM_FILES);
    sim_assert_loss_at(sim, r, 1, DP_FORWARD);
    assert_says(r, "the RCPT command");
    assert_null(strstr(r->findings[0].summary, "no further"));
    assert_int_equal(r->findings[0].smtp_code, 0);
    assert_null(r->findings[0].smtp_reply);
    dp_report_free(r);
}

static void test_loss_beyond_names_its_stage(void **state)
{
    struct sim *sim = *state;
    int64_t t;
    uint32_t flow = sim_tcp(sim);
    t = sim_connect(sim, flow, 10 * SIM_MS);
    t = talk_until(sim, flow, t, CONTENT_2, false);
    uint32_t at = sim->flows[flow].next[0];
    for (int i = 0; i < 4; i++) {
        sim_send(sim, flow,
                 (struct sim_packet){.t = t + ((1 << i) - 1) * 300 * SIM_MS, .seq = at, .len = SIM_MSS});
        sim->flows[flow].arrived[0] = at; /* not really */
    }
    (void)sim_exchange(sim, flow, (struct sim_packet){.half = 1, .t = t + 30 * SIM_S, .len = 40, .app = 421});
    struct dp_report *r = sim_run(sim, SIM_FILES);
    assert_int_equal(r->verdict, DP_CODE_LOSS);
    assert_int_equal(r->findings[0].to, DP_POINT_BEYOND);
    assert_says(
        r,
        "DATA bytes 1,448-2,896 of the session of 192.0.2.1:40000 with 198.51.100.9:25, copies 1-3, passed "
        "lb1/eth1 and had to be sent again.");
    dp_report_free(r);
}

/* ---- what is no loss ---- */

static struct dp_report *reset_at(struct sim *sim, int line)
{
    int64_t t;
    uint32_t other = sim_session(sim, &t), flow = sim_tcp(sim);
    t = sim_connect(sim, flow, t);
    t = talk_until(sim, flow, t, line, false);
    sim_send(sim, flow, (struct sim_packet){.half = 1, .t = t, .flags = DP_TCP_RST, .appears_at = SIM_AT(0)});
    sim_session_end(sim, other, t);
    struct dp_report *r = sim_run(sim, SIM_FILES);
    assert_int_equal(r->verdict, DP_CODE_RESET);
    return r;
}

static void test_reset_names_its_stage(void **state)
{
    struct dp_report *r = reset_at(*state, CONTENT_3);
    assert_says(r, "ends the connection at the message's content");
    dp_report_free(r);
}

static void test_reset_before_the_banner(void **state)
{
    struct dp_report *r = reset_at(*state, BANNER);
    assert_says(r, "ends the connection at the banner");
    dp_report_free(r);
}

static void test_reset_instead_of_a_reply(void **state)
{
    struct dp_report *r = reset_at(*state, MAIL_250);
    assert_says(r, "ends the connection at the MAIL command");
    dp_report_free(r);
}

static void test_rejection_names_what_was_refused(void **state)
{
    static const struct {
        int line;
        const char *words;
    } cases[] = {{BANNER, "timeout exceeded (the banner)"},
                 {EHLO_250, "(the reply to EHLO)"},
                 {AUTH_235, "(the reply to AUTH)"},
                 {MAIL_250, "(the reply to MAIL)"},
                 {RCPT_250, "(the reply to RCPT)"},
                 {DATA_354, "(the reply to DATA)"},
                 {CONTENT_3, "(a reply amid the message's content)"},
                 {DOT_250, "(the reply to the message)"}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assert_int_equal(sim_teardown(state), 0);
        assert_int_equal(sim_setup(state), 0);
        struct sim *sim = *state;
        uint32_t flow = sim_tcp(sim);
        int64_t t = sim_connect(sim, flow, 10 * SIM_MS);
        t = talk_until(sim, flow, t, cases[i].line, false);
        (void)sim_exchange(sim, flow, (struct sim_packet){.half = 1, .t = t, .len = 40, .app = 421});
        sim_note(sim, flow, 0, t + 700 * SIM_US, 421);
        (void)sim_close(sim, flow, t + SIM_S);
        struct dp_report *r = sim_run(sim, SIM_FILES);
        assert_int_equal(r->verdict, DP_CODE_REJECTED);
        assert_int_equal(r->findings[0].smtp_code, 421);
        assert_says(r, cases[i].words);
        dp_report_free(r);
    }
}

static void test_stall_names_its_stage(void **state)
{
    struct sim *sim = *state;
    uint32_t flow = sim_tcp(sim);
    int64_t t = sim_connect(sim, flow, 10 * SIM_MS);
    t = talk_until(sim, flow, t, CONTENT_3, false);
    for (int i = 0; i <= 20; i++)
        sim_send(sim, flow, (struct sim_packet){.half = 1, .t = t + i * 100 * SIM_MS, .zero_window = true});
    t = sim_exchange(sim, flow,
                     (struct sim_packet){.t = t + 2100 * SIM_MS, .len = 5, .app = DP_SMTP_END_OF_DATA});
    (void)sim_close(sim, flow, t);
    struct dp_report *r = sim_run(sim, SIM_FILES);
    assert_int_equal(r->verdict, DP_CODE_STALL);
    assert_says(r, "at the message's content");
    dp_report_free(r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SIM_TEST(test_connect),
        SIM_TEST(test_banner),
        SIM_TEST(test_ehlo),
        SIM_TEST(test_reply_to_ehlo),
        SIM_TEST(test_starttls),
        SIM_TEST(test_inside_tls_nobody_can_tell),
        SIM_TEST(test_auth),
        SIM_TEST(test_mail),
        SIM_TEST(test_rcpt),
        SIM_TEST(test_data_command),
        SIM_TEST(test_reply_354),
        SIM_TEST(test_content_at_its_byte),
        SIM_TEST(test_final_dot),
        SIM_TEST(test_reply_to_the_message),
        SIM_TEST(test_quit),
        SIM_TEST(test_earlier_refusal_is_not_the_answer_to_a_later_loss),
        SIM_TEST(test_loss_beyond_names_its_stage),
        SIM_TEST(test_reset_names_its_stage),
        SIM_TEST(test_reset_before_the_banner),
        SIM_TEST(test_reset_instead_of_a_reply),
        SIM_TEST(test_rejection_names_what_was_refused),
        SIM_TEST(test_stall_names_its_stage),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
