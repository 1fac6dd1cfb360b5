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

#include "common/keys/keys.h"

/* The CURVE test pair of ZeroMQ RFC 26. */
#define PUBLIC "Yne@$w-vo<fVvi]a<NY6T1ed:M$fCG*[IaLV{hID"
#define SECRET "D:)Q[IlAW!ahhC2ac:9*A}h:p?([4%wOTJ%JR%cs"

struct place {
    char directory[64];
    char path[96];
};

static int setup(void **state)
{
    struct place *p = calloc(1, sizeof *p);
    if (!p)
        return -1;
    (void)snprintf(p->directory, sizeof p->directory, "/tmp/droppoint-keys-XXXXXX");
    if (!mkdtemp(p->directory))
        return -1;
    (void)snprintf(p->path, sizeof p->path, "%s/key", p->directory);
    *state = p;
    return 0;
}

static int teardown(void **state)
{
    struct place *p = *state;
    (void)unlink(p->path);
    int code = rmdir(p->directory); /* nothing else is left behind */
    free(p);
    return code;
}

static void put(const struct place *p, const char *text, mode_t mode)
{
    FILE *file = fopen(p->path, "w");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
    assert_int_equal(chmod(p->path, mode), 0);
}

static void test_made_once_then_loaded(void **state)
{
    struct place *p = *state;
    struct dp_keypair first, second;
    struct stat st;
    assert_int_equal(dp_keypair_load_or_make(p->path, &first, NULL), DP_OK);
    assert_int_equal(stat(p->path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    assert_int_equal(dp_keypair_load_or_make(p->path, &second, NULL), DP_OK);
    assert_memory_equal(&first, &second, sizeof first);
    assert_int_equal(strlen(first.public_z85), 40);
    dp_keypair_wipe(&first);
    assert_int_equal(first.secret_z85[0], 0);
}

static void test_bad_files_are_refused_and_kept(void **state)
{
    struct place *p = *state;
    static const struct {
        const char *text;
        mode_t mode;
        int code;
    } cases[] = {
        {"public=" PUBLIC "\nsecret=" SECRET "\n", 0600, DP_OK},
        {"# comment\n\nsecret=" SECRET "\npublic=" PUBLIC, 0400, DP_OK},
        {"public=" PUBLIC "\nsecret=" SECRET "\n", 0640, DP_ERR_DENIED},
        {"public=" PUBLIC "\nsecret=" SECRET "\n", 0604, DP_ERR_DENIED},
        {"", 0600, DP_ERR_FORMAT},
        {"public=" PUBLIC "\n", 0600, DP_ERR_FORMAT},
        {"public=" PUBLIC "\nsecret=short\n", 0600, DP_ERR_FORMAT},
        {"public=" SECRET "\nsecret=" SECRET "\n", 0600, DP_ERR_FORMAT}, /* not a pair */
        {"public=" PUBLIC "x\nsecret=" SECRET "\n", 0600, DP_ERR_FORMAT},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct dp_keypair pair = {"", ""};
        struct dp_diag diag = {""};
        (void)unlink(p->path);
        put(p, cases[i].text, cases[i].mode);
        assert_int_equal(dp_keypair_load_or_make(p->path, &pair, &diag), cases[i].code);
        if (cases[i].code == DP_OK) {
            assert_string_equal(pair.public_z85, PUBLIC);
            continue;
        }
        assert_non_null(strstr(diag.text, p->path));
        assert_null(strstr(diag.text, SECRET));
        assert_int_equal(pair.secret_z85[0], 0);
    }
}

static void test_key_that_cannot_be_made(void **state)
{
    (void)state;
    struct dp_keypair pair;
    struct dp_diag diag = {""};
    assert_int_equal(dp_keypair_load_or_make("/nonexistent/key", &pair, &diag), DP_ERR_IO);
    assert_non_null(strstr(diag.text, "/nonexistent/key"));
    assert_int_equal(dp_keypair_load_or_make("/", &pair, &diag), DP_ERR_FORMAT);
}

static void test_public_key_from_text_or_file(void **state)
{
    struct place *p = *state;
    char key[DP_KEY_Z85] = "";
    struct dp_diag diag = {""};
    assert_int_equal(dp_public_key_read(PUBLIC, key, NULL), DP_OK);
    assert_string_equal(key, PUBLIC);
    put(p, "  " PUBLIC "\n", 0644);
    memset(key, 0, sizeof key);
    assert_int_equal(dp_public_key_read(p->path, key, NULL), DP_OK);
    assert_string_equal(key, PUBLIC);
    put(p, PUBLIC PUBLIC "\n", 0644);
    assert_int_equal(dp_public_key_read(p->path, key, &diag), DP_ERR_FORMAT);
    assert_non_null(strstr(diag.text, p->path));
    assert_int_equal(dp_public_key_read("neither", key, &diag), DP_ERR_FORMAT);
    assert_non_null(strstr(diag.text, "neither"));
    /* As long as a key, but a byte beyond ASCII. */
    assert_int_equal(dp_public_key_read("\xc3ne@$w-vo<fVvi]a<NY6T1ed:M$fCG*[IaLV{hID", key, &diag),
                     DP_ERR_FORMAT);
    /* "#####" is more than 32 bits hold. */
    assert_int_equal(dp_public_key_read("########################################", key, &diag),
                     DP_ERR_FORMAT);
}

static void test_fingerprint(void **state)
{
    (void)state;
    char text[DP_FINGERPRINT_TEXT] = "untouched";
    assert_int_equal(dp_key_fingerprint("nonsense", text), DP_ERR_FORMAT);
    assert_string_equal(text, "untouched");
    /* printf of the 32 bytes bb88471d 65e2659b 30c55a53 21cebb5a ab2b70a3 98645c26 dca2b2fc b43fc518,
     * sha256sum. */
    assert_int_equal(dp_key_fingerprint(PUBLIC, text), DP_OK);
    assert_string_equal(text, "ebb3-af4d-d99c-eff3-6e9f-90b5-db3e-450e");
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_made_once_then_loaded),   TEST(test_bad_files_are_refused_and_kept),
        TEST(test_key_that_cannot_be_made), TEST(test_public_key_from_text_or_file),
        cmocka_unit_test(test_fingerprint),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
