#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "agent/probe/mysql/judge.h"

static struct mysql_state replica(const char *io, const char *sql, const char *sql_error, const char *lag)
{
    struct mysql_state state = {.is_replica = true, .channel_count = 1, .heartbeat_lag_s = -1};
    struct mysql_channel *c = &state.channels[0];
    c->lag_s = -1;
    mysql_take_column(c, "Slave_IO_Running", io);
    mysql_take_column(c, "Replica_SQL_Running", sql);
    mysql_take_column(c, "Last_SQL_Error", sql_error);
    mysql_take_column(c, "Seconds_Behind_Master", lag);
    mysql_take_column(c, "Read_Source_Log_Pos", "1234");
    mysql_take_column(c, "Unknown_Column", "x");
    return state;
}

static void check(const struct mysql_state *state, const char *class)
{
    struct mysql_verdict v = mysql_judge("db:3306", state, 60);
    assert_string_equal(v.class, class);
    assert_int_equal(v.next_step[0] == 0, strcmp(class, "ok") == 0);
}

static void test_end_to_end(void **state)
{
    (void)state;
    static const struct {
        enum mysql_end_to_end_fault fault;
        const char *class, *said;
    } faults[] = {{MYSQL_WRITE_UNREACHABLE, "unreachable", "one:3306 cannot be asked: why"},
                  {MYSQL_WRITE_DENIED, "auth-failed", "one:3306 lets this user write no"},
                  {MYSQL_WRITE_READ_ONLY, "stopped", "one:3306 takes no writes"},
                  {MYSQL_WRITE_FAILED, "broken", "one:3306 could not write"},
                  {MYSQL_READ_FAILED, "broken", "could not be looked for"}};
    struct mysql_state s = replica("Yes", "Yes", "", "0");
    s.end_to_end = (struct mysql_end_to_end){.asked = true, .seen = true, .ms = 12, .primary = "one:3306"};
    check(&s, "ok");
    assert_non_null(strstr(mysql_judge("db:3306", &s, 60).summary, "seen on db:3306 after 12 ms"));
    s.end_to_end.seen = false;
    check(&s, "lagging");
    for (size_t i = 0; i < sizeof faults / sizeof faults[0]; i++) {
        s.end_to_end.fault = faults[i].fault;
        (void)strcpy(s.end_to_end.error, "why");
        check(&s, faults[i].class);
        assert_non_null(strstr(mysql_judge("db:3306", &s, 60).summary, faults[i].said));
    }
    /* A thread that stands says more than a row that does not come. */
    struct mysql_end_to_end asked = s.end_to_end;
    s = replica("Yes", "No", "Duplicate entry", NULL);
    s.end_to_end = asked;
    check(&s, "broken");
    s = replica("No", "Yes", "", NULL);
    s.end_to_end = asked;
    check(&s, "stopped");
}

static void test_replication(void **state)
{
    (void)state;
    struct mysql_state s = {.heartbeat_lag_s = -1};
    check(&s, "ok");
    s = replica("Yes", "Yes", "", "0");
    check(&s, "ok");
    assert_int_equal(s.channels[0].source_position, 1234);
    s = replica("Yes", "Yes", "", "61");
    check(&s, "lagging");
    s.heartbeat_lag_s = 1; // the row knows better than the server
    check(&s, "ok");
    s.heartbeat_lag_s = 90;
    check(&s, "lagging");
    s = replica("Yes", "Yes", "", NULL);
    check(&s, "ok");
    s = replica("No", "Yes", "", NULL);
    check(&s, "stopped");
    s = replica("Connecting", "Yes", "", NULL);
    check(&s, "stopped");
    s = replica("Yes", "No", "", NULL);
    check(&s, "stopped");
    s = replica("Yes", "No", "Duplicate entry", NULL);
    check(&s, "broken");
    s = replica("Yes", "Yes", "", "0");
    s.corrupt = 1;
    check(&s, "broken");
}

static void test_tables(void **state)
{
    (void)state;
    assert_string_equal(mysql_check_status("status", "OK"), "ok");
    assert_string_equal(mysql_check_status("status", "Table is already up to date"), "ok");
    assert_string_equal(mysql_check_status("error", "Corrupt"), "corrupt");
    assert_string_equal(mysql_check_status("status", "Operation failed"), "corrupt");
    assert_string_equal(mysql_check_status("warning", "1 client is using the table"), "warning");
    assert_string_equal(mysql_check_status("note", "The storage engine for the table doesn't support check"),
                        "unsupported");
    assert_non_null(strstr(mysql_repair("MyISAM", "Found 3 keys of 4"), "QUICK"));
    assert_non_null(strstr(mysql_repair("MyISAM", "Can't find file: 't.MYI' index"), "USE_FRM"));
    assert_non_null(strstr(mysql_repair("Aria", "x"), "aria_chk"));
    assert_non_null(strstr(mysql_repair("InnoDB", "x"), "innodb_force_recovery"));
}

static void test_names(void **state)
{
    (void)state;
    assert_true(mysql_name_ok("mail_2026-a$"));
    static const char *const bad[] = {
        "",    "a.b", "a`b",      "a'b",
        "a b", "a;b", "\xc3\xa4", "0123456789012345678901234567890123456789012345678901234567890123x"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_false(mysql_name_ok(bad[i]));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_replication), cmocka_unit_test(test_end_to_end),
                                       cmocka_unit_test(test_tables), cmocka_unit_test(test_names)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
