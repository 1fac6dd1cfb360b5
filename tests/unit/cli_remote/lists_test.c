#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "cli/remote/lists.h"

#define MOMENT 1772370309120000000 /* 2026-03-01 13:05:09.12 UTC */

static void make_agent(Droppoint__AgentEntry *agent, const char *name, const char *state)
{
    static char *interfaces[] = {(char *)"eth0", (char *)"eth1"};
    droppoint__agent_entry__init(agent);
    agent->name = (char *)name;
    agent->fingerprint = (char *)"3f2a-91c0-0000-0000-0000-0000-0000-0001";
    agent->state = (char *)state;
    agent->n_interfaces = 2;
    agent->interfaces = interfaces;
    agent->clock_error_ns = -1;
}

static void assert_json(json_t *document, const char *expected)
{
    assert_non_null(document);
    json_t *wanted = json_loads(expected, 0, NULL);
    assert_non_null(wanted);
    if (!json_equal(document, wanted)) {
        char *text = json_dumps(document, JSON_INDENT(1));
        fail_msg("%s", text);
    }
    json_decref(wanted);
    json_decref(document);
}

static void test_agents_document(void **state)
{
    (void)state;
    Droppoint__AgentEntry known, pending, *entries[] = {&known, &pending};
    Droppoint__AgentList list = DROPPOINT__AGENT_LIST__INIT;
    make_agent(&known, "lb1", "approved");
    known.connected = 1;
    known.address = (char *)"::ffff:192.0.2.7";
    known.last_seen_ns = MOMENT;
    known.clock_offset_ns = -250;
    known.clock_error_ns = 90;
    known.software = (char *)"droppoint-agent 0.1.0";
    make_agent(&pending, "", "pending");
    list.n_agents = 2;
    list.agents = entries;
    assert_json(
        dp_agents_document(&list),
        "{\"schema\": \"droppoint.agents.v1\", \"agents\": ["
        "{\"name\": \"lb1\", \"fingerprint\": \"3f2a-91c0-0000-0000-0000-0000-0000-0001\", \"state\": "
        "\"approved\", \"connected\": true, \"address\": \"192.0.2.7\", \"last_seen\": "
        "\"2026-03-01T13:05:09.120Z\", \"clock_offset_ns\": -250, \"clock_error_ns\": 90, \"interfaces\": "
        "[\"eth0\", \"eth1\"], \"software\": \"droppoint-agent 0.1.0\"},"
        "{\"name\": null, \"fingerprint\": \"3f2a-91c0-0000-0000-0000-0000-0000-0001\", \"state\": "
        "\"pending\", "
        "\"connected\": false, \"address\": null, \"last_seen\": null, \"clock_offset_ns\": null, "
        "\"clock_error_ns\": null, \"interfaces\": [\"eth0\", \"eth1\"], \"software\": null}]}");
}

static void test_paths_document(void **state)
{
    (void)state;
    char *vantages[] = {(char *)"mx1/eth0", (char *)"lb1/eth0"};
    Droppoint__PathEntry path = DROPPOINT__PATH_ENTRY__INIT, *entries[] = {&path};
    Droppoint__PathList list = DROPPOINT__PATH_LIST__INIT;
    assert_json(dp_paths_document(&list), "{\"schema\": \"droppoint.paths.v1\", \"paths\": []}");
    path.name = (char *)"mail-out";
    path.n_vantages = 2;
    path.vantages = vantages;
    list.n_paths = 1;
    list.paths = entries;
    assert_json(dp_paths_document(&list),
                "{\"schema\": \"droppoint.paths.v1\", \"paths\": [{\"name\": \"mail-out\", "
                "\"vantages\": [\"mx1/eth0\", \"lb1/eth0\"]}]}");
}

static void test_captures_document(void **state)
{
    (void)state;
    Droppoint__CaptureEntry capture = DROPPOINT__CAPTURE_ENTRY__INIT, *entries[] = {&capture};
    Droppoint__CaptureList list = DROPPOINT__CAPTURE_LIST__INIT;
    capture.capture_id = (char *)"c1";
    capture.path = (char *)"mail-out";
    capture.started_ns = MOMENT;
    capture.duration_ms = 30000;
    capture.state = (char *)"done";
    capture.verdict = (char *)"loss";
    list.n_captures = 1;
    list.captures = entries;
    assert_json(
        dp_captures_document(&list),
        "{\"schema\": \"droppoint.captures.v1\", \"captures\": [{\"id\": \"c1\", \"path\": \"mail-out\", "
        "\"started_at\": \"2026-03-01T13:05:09.120Z\", \"duration_ms\": 30000, \"state\": \"done\", "
        "\"verdict\": \"loss\", \"summary\": null}]}");
}

static char *printed(int (*print)(FILE *out, const void *list), const void *list)
{
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    assert_int_equal(print(out, list), 0);
    assert_int_equal(fclose(out), 0);
    return text;
}

static int agents_to(FILE *out, const void *list)
{
    return dp_agents_print(list, out);
}

static int paths_to(FILE *out, const void *list)
{
    return dp_paths_print(list, out);
}

static int captures_to(FILE *out, const void *list)
{
    return dp_captures_print(list, out);
}

static void test_agents_for_people(void **state)
{
    (void)state;
    Droppoint__AgentEntry agent, *entries[] = {&agent};
    Droppoint__AgentList list = DROPPOINT__AGENT_LIST__INIT;
    char *text = printed(agents_to, &list);
    assert_non_null(strstr(text, "no agent yet"));
    free(text);
    make_agent(&agent, "lb1", "pending");
    agent.software = (char *)"x\033[2J";
    agent.address = (char *)"\033[2J";
    list.n_agents = 1;
    list.agents = entries;
    text = printed(agents_to, &list);
    assert_non_null(strstr(text, "droppoint agent approve 3f2a-91c0-0000 "));
    assert_null(strchr(text, '\033'));
    free(text);
    agent.state = (char *)"approved";
    text = printed(agents_to, &list);
    assert_null(strstr(text, "agent approve"));
    free(text);
}

static void test_paths_and_captures_for_people(void **state)
{
    (void)state;
    char *vantages[] = {(char *)"mx1/eth0", (char *)"lb1/eth0", (char *)"edge1/eth1"};
    Droppoint__PathEntry path = DROPPOINT__PATH_ENTRY__INIT, *paths[] = {&path};
    Droppoint__PathList list = DROPPOINT__PATH_LIST__INIT;
    path.name = (char *)"mail-out";
    path.n_vantages = 3;
    path.vantages = vantages;
    list.n_paths = 1;
    list.paths = paths;
    char *text = printed(paths_to, &list);
    assert_non_null(strstr(text, "mail-out  mx1/eth0 -> lb1/eth0 -> edge1/eth1\n"));
    free(text);
    Droppoint__CaptureList none = DROPPOINT__CAPTURE_LIST__INIT;
    text = printed(captures_to, &none);
    assert_non_null(strstr(text, "droppoint capture run --path"));
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_agents_document),
        cmocka_unit_test(test_paths_document),
        cmocka_unit_test(test_captures_document),
        cmocka_unit_test(test_agents_for_people),
        cmocka_unit_test(test_paths_and_captures_for_people),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
