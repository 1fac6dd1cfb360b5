#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/remote/export_files.h"

static struct dp_export_files *two_points(void)
{
    json_t *document =
        json_loads("{\"vantages\": [{\"name\": \"mx1/eth0\"}, {\"name\": \"lb1/eth0\"}]}", 0, NULL);
    struct dp_export_files *files = NULL;
    struct dp_diag diag;
    assert_int_equal(dp_export_files_new(document, &files, &diag), 0);
    json_decref(document);
    return files;
}

static int take(struct dp_export_files *files, const char *vantage, uint64_t offset, const char *data,
                int last, struct dp_export_file **ret_file)
{
    Droppoint__ExportChunk chunk = DROPPOINT__EXPORT_CHUNK__INIT;
    struct dp_diag diag;
    chunk.vantage = (char *)vantage;
    chunk.offset = offset;
    chunk.data.len = strlen(data);
    chunk.data.data = (uint8_t *)data;
    chunk.last = last;
    return dp_export_files_take(files, &chunk, ret_file, &diag);
}

static void test_chunks_become_files(void **state)
{
    (void)state;
    struct dp_export_files *files = two_points();
    struct dp_export_file *file = NULL;
    assert_int_equal(take(files, "lb1/eth0", 0, "abc", 0, &file), 0);
    assert_ptr_equal(file, &files->files[1]);
    assert_int_equal(take(files, "mx1/eth0", 0, "123", 0, &file), 0);
    assert_int_equal(take(files, "lb1/eth0", 3, "de", 0, &file), 0);
    assert_false(file->complete);
    assert_int_equal(take(files, "lb1/eth0", 5, "", 1, &file), 0);
    assert_true(file->complete);
    assert_int_equal(file->taken, 5);
    char text[16] = "";
    FILE *in = fopen(file->path, "r");
    assert_non_null(in);
    assert_int_equal(fread(text, 1, sizeof text, in), 5);
    assert_string_equal(text, "abcde");
    fclose(in);
    struct stat status;
    assert_int_equal(stat(file->path, &status), 0);
    assert_true(S_ISREG(status.st_mode));
    assert_int_equal(status.st_mode & 0777, 0600);
    assert_int_equal(status.st_nlink, 0);
    dp_export_files_free(files);
    dp_export_files_free(NULL);
}

static void test_pieces_that_do_not_follow_on(void **state)
{
    (void)state;
    struct dp_export_files *files = two_points();
    struct dp_export_file *file = NULL;
    assert_int_equal(take(files, "mx1/eth0", 1, "abc", 0, &file), DP_ERR_PROTOCOL);
    assert_int_equal(take(files, "edge1/eth0", 0, "abc", 0, &file), DP_ERR_PROTOCOL);
    assert_int_equal(take(files, "mx1/eth0", 0, "abc", 1, &file), 0);
    assert_int_equal(take(files, "mx1/eth0", 3, "d", 0, &file), DP_ERR_PROTOCOL);
    dp_export_files_free(files);
}

static void test_an_agent_that_fails(void **state)
{
    (void)state;
    struct dp_export_files *files = two_points();
    struct dp_export_file *file = NULL;
    struct dp_diag diag;
    Droppoint__ExportChunk chunk = DROPPOINT__EXPORT_CHUNK__INIT;
    chunk.vantage = (char *)"mx1/eth0";
    chunk.error = (char *)"not-found";
    chunk.error_text = (char *)"the ring is gone";
    chunk.last = 1;
    assert_int_equal(dp_export_files_take(files, &chunk, &file, &diag), 0);
    assert_string_equal(file->error, "the ring is gone");
    assert_false(file->complete);
    dp_export_files_free(files);
}

static void test_documents_without_vantage_points(void **state)
{
    (void)state;
    static const char *const bad[] = {"{}", "{\"vantages\": []}", "{\"vantages\": 5}",
                                      "{\"vantages\": [{\"name\": 1}]}"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        json_t *document = json_loads(bad[i], 0, NULL);
        struct dp_export_files *files = NULL;
        struct dp_diag diag;
        assert_int_equal(dp_export_files_new(document, &files, &diag), DP_ERR_FORMAT);
        assert_null(files);
        json_decref(document);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_chunks_become_files),
        cmocka_unit_test(test_pieces_that_do_not_follow_on),
        cmocka_unit_test(test_an_agent_that_fails),
        cmocka_unit_test(test_documents_without_vantage_points),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
