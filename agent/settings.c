#include "agent/settings.h"

#include <ctype.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/config/config.h"
#include "common/wire/wire.h"

#define STATE_DIRECTORY "/var/lib/droppoint-agent"
#define CAPTURE_PROGRAM "/usr/libexec/droppoint/droppoint-capture"
#define SPOOL_DEFAULT (UINT64_C(1) << 30)
#define SPOOL_LEAST (UINT64_C(1) << 20)
#define RING_DEFAULT (UINT64_C(1) << 30)
#define BYTES_MOST (UINT64_C(1) << 44)

struct settings_file {
    char *name, *collector, *collector_key, *state_directory, *policy, *capture_program, *expected_services,
        *spool_bytes, *ring_bytes;
};

#define TEXT (CYAML_FLAG_OPTIONAL | CYAML_FLAG_POINTER)
static const cyaml_schema_field_t fields[] = {
    CYAML_FIELD_STRING_PTR("name", TEXT, struct settings_file, name, 1, 63),
    CYAML_FIELD_STRING_PTR("collector", TEXT, struct settings_file, collector, 1, 290),
    CYAML_FIELD_STRING_PTR("collector_key", TEXT, struct settings_file, collector_key, 1, PATH_MAX - 1),
    CYAML_FIELD_STRING_PTR("state_directory", TEXT, struct settings_file, state_directory, 1, PATH_MAX - 300),
    CYAML_FIELD_STRING_PTR("policy", TEXT, struct settings_file, policy, 1, PATH_MAX - 1),
    CYAML_FIELD_STRING_PTR("capture_program", TEXT, struct settings_file, capture_program, 1, PATH_MAX - 1),
    CYAML_FIELD_STRING_PTR("expected_services", TEXT, struct settings_file, expected_services, 1, 1023),
    CYAML_FIELD_STRING_PTR("spool_bytes", TEXT, struct settings_file, spool_bytes, 1, 30),
    CYAML_FIELD_STRING_PTR("ring_bytes", TEXT, struct settings_file, ring_bytes, 1, 30),
    CYAML_FIELD_END};
static const cyaml_schema_value_t schema = {
    CYAML_VALUE_MAPPING(CYAML_FLAG_POINTER, struct settings_file, fields)};

static void copy(char *to, size_t size, const char *option, const char *file, const char *otherwise)
{
    (void)snprintf(to, size, "%s", option ? option : file ? file : otherwise);
}

/* The host name's first label. */
static void default_name(char name[64])
{
    char host[256] = "";
    (void)gethostname(host, sizeof host - 1);
    host[strcspn(host, ".")] = '\0';
    for (char *p = host; *p; p++)
        *p = (char)tolower((unsigned char)*p);
    (void)snprintf(name, 64, "%.63s", host);
}

/* Beside the agent's own binary, as in a build tree; else where packages put it. */
static void default_capture_program(char path[PATH_MAX])
{
    char self[PATH_MAX - 32];
    ssize_t len = readlink("/proc/self/exe", self, sizeof self - 1);
    if (len > 0) {
        self[len] = '\0';
        char *slash = strrchr(self, '/');
        if (slash)
            slash[1] = '\0';
        (void)snprintf(path, PATH_MAX, "%sdroppoint-capture", self);
        if (access(path, X_OK) == 0)
            return;
    }
    (void)snprintf(path, PATH_MAX, "%s", CAPTURE_PROGRAM);
}

static int check_name(const char *config, const struct agent_settings *settings, struct dp_diag *diag)
{
    if (dp_wire_name_valid(settings->name))
        return DP_OK;
    return dp_fail(diag, DP_ERR_USAGE,
                   "The agent's name \"%s\" is not valid: use lower case letters, digits, '.', '_' and '-' "
                   "(key \"name\" in "
                   "%s, or --name).",
                   settings->name, config);
}

static int find_collector(const char *config, const struct agent_options *options,
                          const struct settings_file *file, struct agent_settings *settings,
                          struct dp_diag *diag)
{
    const char *key = options->collector_key ? options->collector_key : file->collector_key;
    if (strncmp(settings->collector, "tcp://", 6) != 0 || !strchr(settings->collector + 6, ':'))
        return dp_fail(diag, DP_ERR_USAGE,
                       settings->collector[0] ? "%s: key \"collector\": not of the form tcp://HOST:PORT."
                                              : "The collector's address is missing: set \"collector: "
                                                "tcp://HOST:PORT\" in %s, or give --collector.",
                       config);
    if (!key)
        return dp_fail(diag, DP_ERR_USAGE,
                       "The collector's public key is missing: set \"collector_key\" in %s, or give "
                       "--collector-key. The "
                       "collector shows it with \"droppoint-collector --show-key\".",
                       config);
    struct dp_diag why = {""};
    int code = dp_public_key_read(key, settings->collector_z85, &why);
    return code == DP_OK ? code
                         : dp_fail(diag, code, "The collector's public key: %s", dp_reason(&why, code));
}

static int apply(const char *config, const struct agent_options *options, const struct settings_file *file,
                 bool key_only, struct agent_settings *settings, struct dp_diag *diag)
{
    char name[64];
    char program[PATH_MAX];
    default_name(name);
    default_capture_program(program);
    copy(settings->name, sizeof settings->name, options->name, file->name, name);
    copy(settings->collector, sizeof settings->collector, options->collector, file->collector, "");
    copy(settings->state_directory, sizeof settings->state_directory, options->state_directory,
         file->state_directory, STATE_DIRECTORY);
    copy(settings->policy, sizeof settings->policy, NULL, file->policy, "");
    copy(settings->capture_program, sizeof settings->capture_program, NULL, file->capture_program, program);
    copy(settings->expected_services, sizeof settings->expected_services, NULL, file->expected_services, "");
    settings->spool_bytes = SPOOL_DEFAULT;
    settings->ring_bytes = RING_DEFAULT;
    int code = dp_config_number(config, "spool_bytes", file->spool_bytes, SPOOL_LEAST, BYTES_MOST,
                                &settings->spool_bytes, diag);
    if (code == DP_OK)
        code = dp_config_number(config, "ring_bytes", file->ring_bytes, 0, BYTES_MOST, &settings->ring_bytes,
                                diag);
    if (code == DP_OK && !key_only)
        code = check_name(config, settings, diag);
    if (code == DP_OK && !key_only)
        code = find_collector(config, options, file, settings, diag);
    if (code == DP_OK && !key_only && access(settings->capture_program, X_OK) != 0)
        code = dp_fail(diag, DP_ERR_USAGE,
                       "%s cannot be run: set \"capture_program\" in %s to where droppoint-capture is.",
                       settings->capture_program, config);
    return code;
}

int agent_settings_load(const struct agent_options *options, bool key_only,
                        struct agent_settings *ret_settings, struct dp_diag *diag)
{
    static const struct settings_file nothing;
    const char *config = options->config ? options->config : AGENT_CONFIG_DEFAULT;
    void *data = NULL;
    int code = dp_config_load(config, &schema, &data, diag);
    /* The file at the default place may be absent, where options say enough. */
    if (code == DP_ERR_NOT_FOUND && !options->config)
        code = DP_OK;
    struct agent_settings *settings = calloc(1, sizeof *settings);
    if (!settings)
        code = DP_ERR_NOMEM;
    if (code == DP_OK)
        code = apply(config, options, data ? data : &nothing, key_only, settings, diag);
    if (code == DP_OK)
        *ret_settings = *settings;
    free(settings);
    dp_config_free(&schema, data);
    return code;
}
