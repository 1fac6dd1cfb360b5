/* What the capture process can still do once it parses packets. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent/capture/sandbox.h"

extern void __asan_init(void) __attribute__((weak));
extern void __tsan_init(void) __attribute__((weak));

typedef void (*deed)(void);

static void read_a_file(void)
{
    (void)open("/etc/passwd", O_RDONLY | O_CLOEXEC);
}

static void read_and_write_a_file(void)
{
    (void)open("/dev/null", O_RDWR | O_CLOEXEC);
}

static void write_a_file(void)
{
    if (open("/dev/null", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600) < 0)
        _exit(2);
}

static void open_a_socket(void)
{
    (void)socket(AF_INET, SOCK_STREAM, 0);
}

static void run_a_program(void)
{
    (void)execl("/bin/true", "true", (char *)NULL);
}

static void make_code(void)
{
    (void)mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
}

/* The signal that ends a sealed process that does this; 0: it goes on. */
static int fate_of(deed what)
{
    pid_t child = fork();
    if (child == 0) {
        struct dp_diag diag;
        if (dp_sandbox_drop(0, 0, &diag) != DP_OK || dp_sandbox_seal(&diag) != DP_OK)
            _exit(1);
        what();
        _exit(0);
    }
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    if (WIFSIGNALED(status))
        return WTERMSIG(status);
    assert_int_equal(WEXITSTATUS(status), 0);
    return 0;
}

static void test_sealed(void **state)
{
    (void)state;
    if (__asan_init != NULL || __tsan_init != NULL) {
        print_message("skipped: a sanitizer's build has no system call filter\n");
        skip();
    }
    assert_int_equal(fate_of(write_a_file), 0);
    assert_int_equal(fate_of(read_a_file), SIGSYS);
    assert_int_equal(fate_of(read_and_write_a_file), SIGSYS);
    assert_int_equal(fate_of(open_a_socket), SIGSYS);
    assert_int_equal(fate_of(run_a_program), SIGSYS);
    assert_int_equal(fate_of(make_code), SIGSYS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sealed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
