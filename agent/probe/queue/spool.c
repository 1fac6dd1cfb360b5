#include "agent/probe/queue/spool.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/probe/queue/files.h"

#define FILE_MAX (64 * 1024) /* of a queue file that is read: envelopes come first */
#define DEPTH_MAX 4
#define DOMAINS_MAX 5000
#define REASONS_MAX 20

struct walk {
    struct spool_sum *sum;
    const char *folder;
    int64_t now;
    const char *queue; /* its name */
    bool deferred, unseen;
    const atomic_bool *stop;
    struct dp_diag *diag;
};

typedef void walk_file(struct walk *walk, int dir, const char *path, const char *name);

const char *spool_mta_name(enum spool_mta mta)
{
    static const char *const names[] = {"postfix", "exim", "opensmtpd", "plain"};
    return names[mta];
}

static bool is_folder(const char *path, const char *name)
{
    char whole[4096];
    struct stat about;
    (void)snprintf(whole, sizeof whole, "%.3000s%s%.1000s", path, name[0] ? "/" : "", name);
    return stat(whole, &about) == 0 && S_ISDIR(about.st_mode);
}

const char *spool_usual(void)
{
    static const char *const usual[] = {"/var/spool/postfix", "/var/spool/exim4", "/var/spool/exim",
                                        "/var/spool/smtpd"};
    for (size_t i = 0; i < sizeof usual / sizeof usual[0]; i++)
        if (is_folder(usual[i], ""))
            return usual[i];
    return NULL;
}

/* At most FILE_MAX bytes of a file; NULL where it is gone or no file. */
static char *read_head(int dir, const char *name, size_t *ret_length, struct stat *ret_about)
{
    int fd = openat(dir, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    char *bytes = NULL;
    if (fd >= 0 && fstat(fd, ret_about) == 0 && S_ISREG(ret_about->st_mode) && (bytes = malloc(FILE_MAX))) {
        ssize_t got = read(fd, bytes, FILE_MAX);
        *ret_length = got > 0 ? (size_t)got : 0;
    }
    if (fd >= 0)
        (void)close(fd);
    return bytes;
}

static void count(json_t *object, const char *key)
{
    (void)json_object_set_new(object, key,
                              json_integer(json_integer_value(json_object_get(object, key)) + 1));
}

static void add_destination(struct walk *walk, const char *domain, const struct queue_message *message,
                            int64_t age)
{
    json_t *entry = json_object_get(walk->sum->destinations, domain);
    if (!entry) {
        if (json_object_size(walk->sum->destinations) == DOMAINS_MAX)
            return;
        entry = json_pack("{s:i, s:i, s:{}}", "messages", 0, "oldest_s", 0, "reasons");
        if (!entry || json_object_set_new(walk->sum->destinations, domain, entry))
            return;
    }
    count(entry, "messages");
    if (age > json_integer_value(json_object_get(entry, "oldest_s")))
        (void)json_object_set_new(entry, "oldest_s", json_integer(age));
    json_t *reasons = json_object_get(entry, "reasons");
    if (message->reason[0] &&
        (json_object_get(reasons, message->reason) || json_object_size(reasons) < REASONS_MAX))
        count(reasons, message->reason);
}

static void add_message(struct walk *walk, const struct queue_message *message, int64_t since)
{
    struct spool_sum *sum = walk->sum;
    int64_t age = since && since < walk->now ? walk->now - since : 0;
    char domains[QUEUE_RECIPIENTS_MAX][QUEUE_ADDRESS];
    size_t known = 0;
    sum->messages++;
    count(sum->queues, walk->queue);
    sum->oldest_s = age > sum->oldest_s ? age : sum->oldest_s;
    if (walk->deferred) {
        sum->deferred++;
        sum->oldest_deferred_s = age > sum->oldest_deferred_s ? age : sum->oldest_deferred_s;
    }
    if (walk->unseen) {
        sum->unseen++;
        sum->oldest_unseen_s = age > sum->oldest_unseen_s ? age : sum->oldest_unseen_s;
    }
    for (size_t i = 0; i < message->recipient_count; i++) { // a message counts once for each domain
        size_t k = 0;
        queue_domain(message->recipients[i], domains[known]);
        while (k < known && strcmp(domains[k], domains[known]) != 0)
            k++;
        if (k == known)
            add_destination(walk, domains[known++], message, age);
    }
}

/* Every file below, subfolders by hash included. DP_ERR_DENIED where a folder may not be read. */
static int walk_folder(struct walk *walk, const char *path, int depth, walk_file *take)
{
    DIR *dir = opendir(path);
    const struct dirent *entry;
    int rc = 0;
    if (!dir && errno == EACCES)
        return dp_fail(walk->diag, DP_ERR_DENIED,
                       "%.200s cannot be read: run as root or as the mail server's user", path);
    while (dir && !rc && (entry = readdir(dir))) {
        if (atomic_load(walk->stop)) {
            rc = DP_ERR_TIMEOUT;
            break;
        }
        if (entry->d_name[0] == '.')
            continue;
        char whole[4096];
        (void)snprintf(whole, sizeof whole, "%.3700s/%.255s", path, entry->d_name);
        if (entry->d_type == DT_DIR || (entry->d_type == DT_UNKNOWN && is_folder(whole, "")))
            rc = depth < DEPTH_MAX ? walk_folder(walk, whole, depth + 1, take) : 0;
        else
            take(walk, dirfd(dir), path, entry->d_name);
    }
    if (dir)
        (void)closedir(dir);
    return rc;
}

/* --- Postfix --- */

static void take_postfix(struct walk *walk, int dir, const char *path, const char *name)
{
    struct queue_message message;
    struct stat about;
    size_t length = 0;
    (void)path;
    char *bytes = read_head(dir, name, &length, &about);
    if (bytes && queue_read_postfix((const uint8_t *)bytes, length, &message)) {
        char defer[4096];
        free(bytes);
        size_t reason_length = 0;
        struct stat reason_about;
        (void)snprintf(defer, sizeof defer, "%.3000s/defer/%c/%.255s", walk->folder, name[0], name);
        bytes = walk->deferred ? read_head(AT_FDCWD, defer, &reason_length, &reason_about) : NULL;
        if (walk->deferred && !bytes) {
            (void)snprintf(defer, sizeof defer, "%.3000s/defer/%.255s", walk->folder, name);
            bytes = read_head(AT_FDCWD, defer, &reason_length, &reason_about);
        }
        if (bytes)
            queue_read_postfix_defer(bytes, reason_length, &message);
        add_message(walk, &message, message.arrived ? message.arrived : about.st_mtime);
    }
    free(bytes);
}

/* The master daemon holds a lock on its pid file as long as it lives. */
static int postfix_runs(const char *folder)
{
    char path[4096];
    (void)snprintf(path, sizeof path, "%.3000s/pid/master.pid", folder);
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0)
        return errno == ENOENT ? 0 : -1;
    int rc = flock(fd, LOCK_SH | LOCK_NB) == 0 ? 0 : errno == EWOULDBLOCK ? 1 : -1;
    (void)close(fd);
    return rc;
}

static int read_postfix(struct walk *walk)
{
    static const struct {
        const char *name;
        bool deferred, unseen;
    } queues[] = {{"maildrop", false, true}, {"incoming", false, true}, {"active", false, false},
                  {"deferred", true, false}, {"hold", false, false},    {"corrupt", false, false}};
    int rc = 0;
    walk->sum->running = postfix_runs(walk->folder);
    for (size_t i = 0; i < sizeof queues / sizeof queues[0] && !rc; i++) {
        char path[4096];
        (void)snprintf(path, sizeof path, "%.3000s/%s", walk->folder, queues[i].name);
        walk->queue = queues[i].name;
        walk->deferred = queues[i].deferred;
        walk->unseen = queues[i].unseen;
        (void)json_object_set_new(walk->sum->queues, queues[i].name, json_integer(0));
        rc = walk_folder(walk, path, 0, take_postfix);
    }
    return rc;
}

/* --- Exim --- */

static void take_exim(struct walk *walk, int dir, const char *path, const char *name)
{
    struct queue_message message;
    struct stat about;
    size_t length = strlen(name), size = 0;
    if (length < 3 || strcmp(name + length - 2, "-H") != 0)
        return;
    char *bytes = read_head(dir, name, &size, &about);
    if (bytes && queue_read_exim(bytes, size, &message)) {
        char log[4096];
        free(bytes);
        // the log lies beside the input, in the same subfolder by hash where there is one
        const char *below = strstr(path, "/input");
        (void)snprintf(log, sizeof log, "%.2000s/msglog%.500s/%.*s", walk->folder, below ? below + 6 : "",
                       (int)(length - 2 < 255 ? length - 2 : 255), name);
        bytes = read_head(AT_FDCWD, log, &size, &about);
        if (bytes)
            queue_read_exim_log(bytes, size, &message);
        walk->deferred = message.tried;
        walk->unseen = !message.tried;
        walk->queue = message.tried ? "deferred" : "input";
        add_message(walk, &message, message.arrived);
    }
    free(bytes);
}

/* --- OpenSMTPD --- */

static void take_opensmtpd(struct walk *walk, int dir, const char *path, const char *name)
{
    struct queue_message message;
    struct stat about;
    size_t size = 0;
    (void)path;
    if (strcmp(name, "message") == 0)
        return;
    char *bytes = read_head(dir, name, &size, &about);
    if (bytes && queue_read_opensmtpd(bytes, size, &message)) {
        walk->deferred = message.tried;
        walk->unseen = !message.tried;
        walk->queue = message.tried ? "deferred" : "queue";
        add_message(walk, &message, message.arrived);
    }
    free(bytes);
}

static void take_offline(struct walk *walk, int dir, const char *path, const char *name)
{
    struct queue_message message = {.arrived = 0};
    struct stat about;
    (void)path;
    if (fstatat(dir, name, &about, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(about.st_mode))
        add_message(walk, &message, about.st_mtime);
}

static int read_opensmtpd(struct walk *walk)
{
    char path[4096];
    (void)snprintf(path, sizeof path, "%.3000s/queue", walk->folder);
    int rc = walk_folder(walk, path, 0, take_opensmtpd);
    (void)snprintf(path, sizeof path, "%.3000s/offline", walk->folder);
    walk->queue = "offline"; // what was handed in while the daemon was down
    walk->deferred = false;
    walk->unseen = true;
    return rc ? rc : walk_folder(walk, path, 0, take_offline);
}

/* --- all --- */

static enum spool_mta recognise(const char *folder)
{
    if (is_folder(folder, "deferred") && is_folder(folder, "incoming"))
        return SPOOL_POSTFIX;
    if (is_folder(folder, "input"))
        return SPOOL_EXIM;
    return is_folder(folder, "queue") && (is_folder(folder, "offline") || is_folder(folder, "purge"))
               ? SPOOL_OPENSMTPD
               : SPOOL_PLAIN;
}

int spool_read(const char *folder, int64_t now, const atomic_bool *stop, struct spool_sum *ret_sum,
               struct dp_diag *diag)
{
    struct spool_sum sum = {.queues = json_object(), .destinations = json_object(), .running = -1};
    struct walk walk = {.sum = &sum,
                        .folder = folder,
                        .now = now,
                        .queue = "files",
                        .deferred = true,
                        .stop = stop,
                        .diag = diag};
    char path[4096];
    int rc = sum.queues && sum.destinations ? 0 : DP_ERR_NOMEM;
    if (!rc && !is_folder(folder, ""))
        rc = dp_fail(diag, errno == EACCES ? DP_ERR_DENIED : DP_ERR_NOT_FOUND,
                     "the spool folder %.200s is not there: %s", folder, strerror(errno));
    if (!rc) {
        sum.mta = recognise(folder);
        (void)snprintf(path, sizeof path, "%.3000s/input", folder);
        rc = sum.mta == SPOOL_POSTFIX     ? read_postfix(&walk)
             : sum.mta == SPOOL_EXIM      ? walk_folder(&walk, path, 0, take_exim)
             : sum.mta == SPOOL_OPENSMTPD ? read_opensmtpd(&walk)
                                          : walk_folder(&walk, folder, 0, take_offline);
    }
    if (rc)
        spool_free(&sum);
    else
        *ret_sum = sum;
    return rc;
}

void spool_free(struct spool_sum *sum)
{
    json_decref(sum->queues);
    json_decref(sum->destinations);
    *sum = (struct spool_sum){.queues = NULL};
}
