#include "agent/capture/sandbox.h"

#include <cap-ng.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_packet.h>
#include <seccomp.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

int dp_sandbox_drop(uint32_t uid, uint32_t gid, struct dp_diag *diag)
{
    if (geteuid() == 0 && uid != 0) {
        capng_clear(CAPNG_SELECT_BOTH);
        int status =
            capng_change_id((int)uid, gid ? (int)gid : -1, CAPNG_DROP_SUPP_GRP | CAPNG_CLEAR_BOUNDING);
        if (status != 0)
            return dp_fail(diag, DP_ERR_DENIED,
                           "droppoint-capture can't become user %u (libcap-ng error %d).", uid, status);
    } else {
        /* The bounding set can be cleared only by who may; without privilege it means nothing. */
        (void)capng_get_caps_process();
        bool bounds = capng_have_capability(CAPNG_EFFECTIVE, CAP_SETPCAP);
        capng_clear(CAPNG_SELECT_BOTH);
        if (capng_apply(bounds ? CAPNG_SELECT_BOTH : CAPNG_SELECT_CAPS) != 0)
            return dp_fail(diag, DP_ERR_DENIED, "droppoint-capture can't drop its capabilities: %s.",
                           strerror(errno));
    }
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
        return dp_fail(diag, DP_ERR_DENIED, "droppoint-capture can't renounce privileges: %s.",
                       strerror(errno));
    return DP_OK;
}

/* Sanitizers bring these; elsewhere the weak names stay without an address. */
extern void __asan_init(void) __attribute__((weak));
extern void __tsan_init(void) __attribute__((weak));

static bool sanitizer_present(void)
{
    return __asan_init != NULL || __tsan_init != NULL;
}

static int allow_calls(scmp_filter_ctx filter)
{
    /* Reading packets, writing messages and the ring, memory, time, ending. */
    static const int calls[] = {
        SCMP_SYS(read),          SCMP_SYS(write),          SCMP_SYS(writev),       SCMP_SYS(pwrite64),
        SCMP_SYS(close),         SCMP_SYS(poll),           SCMP_SYS(ppoll),        SCMP_SYS(recvfrom),
        SCMP_SYS(recvmsg),       SCMP_SYS(getsockopt),     SCMP_SYS(getsockname),  SCMP_SYS(lseek),
        SCMP_SYS(fstat),         SCMP_SYS(newfstatat),     SCMP_SYS(unlink),       SCMP_SYS(unlinkat),
        SCMP_SYS(fsync),         SCMP_SYS(fdatasync),      SCMP_SYS(brk),          SCMP_SYS(munmap),
        SCMP_SYS(mremap),        SCMP_SYS(madvise),        SCMP_SYS(futex),        SCMP_SYS(getrandom),
        SCMP_SYS(clock_gettime), SCMP_SYS(gettimeofday),   SCMP_SYS(nanosleep),    SCMP_SYS(clock_nanosleep),
        SCMP_SYS(rt_sigreturn),  SCMP_SYS(rt_sigprocmask), SCMP_SYS(rt_sigaction), SCMP_SYS(restart_syscall),
        SCMP_SYS(getpid),        SCMP_SYS(gettid),         SCMP_SYS(tgkill),       SCMP_SYS(exit),
        SCMP_SYS(exit_group),
    };
    int status = 0;
    for (size_t i = 0; i < sizeof calls / sizeof calls[0] && status == 0; i++)
        status = seccomp_rule_add(filter, SCMP_ACT_ALLOW, calls[i], 0);
    return status;
}

/* Calls that are safe only with certain arguments. */
static int allow_narrowed(scmp_filter_ctx filter)
{
    /* libpcap asks whether the interface is still there. */
    int status =
        seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(ioctl), 1, SCMP_A1(SCMP_CMP_EQ, SIOCGIFNAME, 0));
    if (status == 0)
        status = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(ioctl), 1,
                                  SCMP_A1(SCMP_CMP_EQ, SIOCGIFFLAGS, 0));
    /* libpcap gives its ring of packets back. */
    if (status == 0)
        status =
            seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(setsockopt), 2,
                             SCMP_A1(SCMP_CMP_EQ, SOL_PACKET, 0), SCMP_A2(SCMP_CMP_EQ, PACKET_RX_RING, 0));
    /* The ring's files: to write, never to read. */
    if (status == 0)
        status = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(openat), 1,
                                  SCMP_A2(SCMP_CMP_MASKED_EQ, O_ACCMODE, O_WRONLY));
    if (status == 0)
        status = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(mmap), 1,
                                  SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));
    if (status == 0)
        status = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(mprotect), 1,
                                  SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));
    if (status == 0)
        status =
            seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(fcntl), 1, SCMP_A1(SCMP_CMP_EQ, F_GETFL, 0));
    return status;
}

int dp_sandbox_seal(struct dp_diag *diag)
{
    if (sanitizer_present())
        return DP_OK;
    scmp_filter_ctx filter = seccomp_init(SCMP_ACT_KILL_PROCESS);
    if (!filter)
        return dp_fail(diag, DP_ERR_NOMEM, "The system call filter can't be made.");
    int status = allow_calls(filter);
    if (status == 0)
        status = allow_narrowed(filter);
    if (status == 0)
        status = seccomp_load(filter);
    seccomp_release(filter);
    if (status != 0)
        return dp_fail(diag, DP_ERR_UNSUPPORTED, "The system call filter can't be put in force: %s.",
                       strerror(-status));
    return DP_OK;
}
