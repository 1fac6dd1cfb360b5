#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "common/err/err.h"

static void test_every_code_has_its_own_name(void **state)
{
    (void)state;
    for (int a = DP_ERR_END; a <= DP_OK; a++) {
        assert_string_not_equal(dp_err_name(a), "unknown");
        for (int b = DP_ERR_END; b < a; b++)
            assert_string_not_equal(dp_err_name(a), dp_err_name(b));
    }
    assert_string_equal(dp_err_name(DP_ERR_END - 1), "unknown");
    assert_string_equal(dp_err_name(1), "unknown");
}

static void test_reason_prefers_the_diag(void **state)
{
    (void)state;
    struct dp_diag diag = {""};
    assert_string_equal(dp_reason(&diag, DP_ERR_IO), dp_err_sentence(DP_ERR_IO));
    assert_int_equal(dp_fail(&diag, DP_ERR_IO, "%s: gone", "x.pcap"), DP_ERR_IO);
    assert_string_equal(dp_reason(&diag, DP_ERR_IO), "x.pcap: gone");
    assert_string_equal(dp_reason(NULL, DP_ERR_IO), dp_err_sentence(DP_ERR_IO));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_code_has_its_own_name),
        cmocka_unit_test(test_reason_prefers_the_diag),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
