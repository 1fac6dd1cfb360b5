#include "common/config/config.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

const cyaml_strval_t dp_config_booleans[DP_CONFIG_BOOLEANS] = {
    {"false", DP_CONFIG_FALSE}, {"no", DP_CONFIG_FALSE}, {"true", DP_CONFIG_TRUE}, {"yes", DP_CONFIG_TRUE}};

/* What libcyaml says about a failure: a message, then a backtrace of where, innermost first. */
struct complaint {
    char message[256];
    char key[64];
    unsigned line;
};

DP_PRINTF(3, 0)
static void on_complaint(cyaml_log_t level, void *context, const char *format, va_list args)
{
    static const char prefix[] = "Load: ";
    struct complaint *complaint = context;
    char text[256];
    (void)level;
    (void)vsnprintf(text, sizeof text, format, args);
    text[strcspn(text, "\n")] = '\0';
    const char *message = strncmp(text, prefix, sizeof prefix - 1) == 0 ? text + sizeof prefix - 1 : text;
    if (strncmp(message, "Backtrace", 9) == 0)
        return;
    unsigned line;
    char key[64];
    if (sscanf(message, " in mapping field '%63[^']' (line: %u", key, &line) == 2) {
        if (complaint->line == 0) {
            complaint->line = line;
            (void)snprintf(complaint->key, sizeof complaint->key, "%s", key);
        }
    } else if (complaint->message[0] == '\0') {
        (void)snprintf(complaint->message, sizeof complaint->message, "%s", message);
    }
}

/* The line on which `key` stands; 0 where no line begins with it. libcyaml does not tell for unknown keys. */
static unsigned line_of(const char *text, size_t len, const char *key)
{
    size_t key_len = strlen(key);
    unsigned line = 1;
    for (const char *p = text, *end = text + len; p < end; line++) {
        const char *stop = memchr(p, '\n', (size_t)(end - p));
        size_t rest = (size_t)((stop ? stop : end) - p);
        size_t blank = 0;
        while (blank < rest && (p[blank] == ' ' || p[blank] == '-'))
            blank++;
        if (rest - blank > key_len && memcmp(p + blank, key, key_len) == 0 && p[blank + key_len] == ':')
            return line;
        p += rest + 1;
    }
    return 0;
}

static int refuse(const char *name, const char *text, size_t len, const struct complaint *complaint,
                  cyaml_err_t error, struct dp_diag *diag)
{
    static const char unknown[] = "Unexpected key: ";
    const char *message = complaint->message[0] ? complaint->message : cyaml_strerror(error);
    if (strncmp(message, unknown, sizeof unknown - 1) == 0) {
        const char *key = message + sizeof unknown - 1;
        unsigned line = line_of(text, len, key);
        return line > 0 ? dp_fail(diag, DP_ERR_USAGE, "%s: line %u: unknown key \"%s\".", name, line, key)
                        : dp_fail(diag, DP_ERR_USAGE, "%s: unknown key \"%s\".", name, key);
    }
    if (complaint->line > 0)
        return dp_fail(diag, DP_ERR_USAGE, "%s: line %u: key \"%s\": %s.", name, complaint->line,
                       complaint->key, message);
    return dp_fail(diag, DP_ERR_USAGE, "%s: %s.", name, message);
}

static cyaml_config_t cyaml_settings(struct complaint *complaint)
{
    return (cyaml_config_t){
        .log_fn = complaint ? on_complaint : NULL,
        .log_ctx = complaint,
        .mem_fn = cyaml_mem,
        .log_level = CYAML_LOG_WARNING,
        .flags = CYAML_CFG_NO_ALIAS, /* a few lines of aliases can stand for gigabytes */
    };
}

int dp_config_parse(const char *name, const void *bytes, size_t len, const cyaml_schema_value_t *schema,
                    void **ret_data, struct dp_diag *diag)
{
    struct complaint complaint = {.line = 0};
    cyaml_config_t settings = cyaml_settings(&complaint);
    cyaml_data_t *data = NULL;
    if (len > DP_CONFIG_MAX_BYTES)
        return dp_fail(diag, DP_ERR_USAGE, "%s: too long for a configuration file.", name);
    if (memchr(bytes, '\0', len))
        return dp_fail(diag, DP_ERR_USAGE, "%s: not a text file.", name);
    cyaml_err_t error = len == 0 ? CYAML_OK : cyaml_load_data(bytes, len, &settings, schema, &data, NULL);
    if (error == CYAML_ERR_OOM)
        return DP_ERR_NOMEM;
    if (error != CYAML_OK || complaint.message[0]) {
        dp_config_free(schema, data);
        return refuse(name, bytes, len, &complaint, error, diag);
    }
    *ret_data = data;
    return DP_OK;
}

static int read_file(const char *path, char **ret_text, size_t *ret_len, struct dp_diag *diag)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return dp_fail(diag, errno == ENOENT ? DP_ERR_NOT_FOUND : DP_ERR_IO, "%s: cannot open: %s.", path,
                       strerror(errno));
    char *text = malloc(DP_CONFIG_MAX_BYTES + 1);
    size_t len = 0;
    ssize_t got = text ? 1 : -1;
    while (got > 0 && len <= DP_CONFIG_MAX_BYTES) {
        got = read(fd, text + len, DP_CONFIG_MAX_BYTES + 1 - len);
        if (got > 0)
            len += (size_t)got;
        else if (got < 0 && errno == EINTR)
            got = 1;
    }
    int error = errno;
    (void)close(fd);
    if (got < 0) {
        free(text);
        return text ? dp_fail(diag, DP_ERR_IO, "%s: cannot read: %s.", path, strerror(error)) : DP_ERR_NOMEM;
    }
    *ret_text = text;
    *ret_len = len;
    return DP_OK;
}

int dp_config_load(const char *path, const cyaml_schema_value_t *schema, void **ret_data,
                   struct dp_diag *diag)
{
    char *text = NULL;
    size_t len = 0;
    int code = read_file(path, &text, &len, diag);
    if (code != DP_OK)
        return code;
    code = dp_config_parse(path, text, len, schema, ret_data, diag);
    free(text);
    return code;
}

void dp_config_free(const cyaml_schema_value_t *schema, void *data)
{
    cyaml_config_t settings = cyaml_settings(NULL);
    if (data)
        (void)cyaml_free(&settings, schema, data, 0);
}

int dp_config_number(const char *name, const char *key, const char *text, uint64_t min, uint64_t max,
                     uint64_t *ret_number, struct dp_diag *diag)
{
    static const struct {
        const char *suffix;
        unsigned shift;
    } units[] = {{"", 0}, {"KiB", 10}, {"MiB", 20}, {"GiB", 30}};
    if (!text)
        return DP_OK;
    char *rest = NULL;
    errno = 0;
    unsigned long long number = strtoull(text, &rest, 10);
    bool valid = text[0] >= '0' && text[0] <= '9' && errno == 0;
    rest += strspn(rest, " ");
    for (size_t i = 0; valid && i < sizeof units / sizeof units[0]; i++) {
        if (strcmp(rest, units[i].suffix) != 0 || number > UINT64_MAX >> units[i].shift)
            continue;
        uint64_t value = (uint64_t)number << units[i].shift;
        if (value < min || value > max)
            break;
        *ret_number = value;
        return DP_OK;
    }
    return dp_fail(diag, DP_ERR_USAGE, "%s: key \"%s\": \"%.40s\" is not a whole number from %llu to %llu.",
                   name, key, text, (unsigned long long)min, (unsigned long long)max);
}
