#include "collector/settings.h"

#include <stdio.h>
#include <string.h>

#include "common/config/config.h"

struct settings_file {
    char *bind, *state_directory, *database, *user, *pg_bindir, *operators;
};

#define TEXT (CYAML_FLAG_OPTIONAL | CYAML_FLAG_POINTER)
static const cyaml_schema_field_t fields[] = {
    CYAML_FIELD_STRING_PTR("bind", TEXT, struct settings_file, bind, 1, 255),
    CYAML_FIELD_STRING_PTR("state_directory", TEXT, struct settings_file, state_directory, 1, PATH_MAX - 300),
    CYAML_FIELD_STRING_PTR("database", TEXT, struct settings_file, database, 0, 2047),
    CYAML_FIELD_STRING_PTR("user", TEXT, struct settings_file, user, 1, 63),
    CYAML_FIELD_STRING_PTR("pg_bindir", TEXT, struct settings_file, pg_bindir, 1, PATH_MAX - 300),
    CYAML_FIELD_STRING_PTR("operators", TEXT, struct settings_file, operators, 1, PATH_MAX - 300),
    CYAML_FIELD_END};
static const cyaml_schema_value_t schema = {
    CYAML_VALUE_MAPPING(CYAML_FLAG_POINTER, struct settings_file, fields)};

static void copy(char *to, size_t size, const char *option, const char *file, const char *otherwise)
{
    snprintf(to, size, "%s", option != NULL ? option : file != NULL ? file : otherwise);
}

static int check(const struct collector_settings *settings, struct dp_diag *diag)
{
    if (strncmp(settings->bind, "tcp://", 6) != 0 || strchr(settings->bind + 6, ':') == NULL)
        return dp_fail(diag, DP_ERR_USAGE, "bind: \"%s\" is not of the form tcp://ADDRESS:PORT.",
                       settings->bind);
    if (settings->state_directory[0] != '/')
        return dp_fail(diag, DP_ERR_USAGE, "state_directory: \"%s\" is not an absolute path.",
                       settings->state_directory);
    return DP_OK;
}

int collector_settings_load(const struct collector_options *options, struct collector_settings *ret_settings,
                            struct dp_diag *diag)
{
    static const struct settings_file nothing;
    void *data = NULL;
    int code = dp_config_load(options->config != NULL ? options->config : COLLECTOR_CONFIG_DEFAULT, &schema,
                              &data, diag);
    if (code == DP_ERR_NOT_FOUND && options->config == NULL)
        code = DP_OK; /* everything has a default */
    if (code != DP_OK)
        return code;
    const struct settings_file *file = data != NULL ? data : &nothing;
    struct collector_settings settings;
    char operators[PATH_MAX];
    memset(&settings, 0, sizeof settings);
    copy(settings.bind, sizeof settings.bind, options->bind, file->bind, "tcp://0.0.0.0:9910");
    copy(settings.state_directory, sizeof settings.state_directory, options->state_directory,
         file->state_directory, "/var/lib/droppoint");
    copy(settings.database, sizeof settings.database, options->database, file->database, "");
    copy(settings.user, sizeof settings.user, options->user, file->user, "droppoint");
    copy(settings.pg_bindir, sizeof settings.pg_bindir, NULL, file->pg_bindir, "");
    snprintf(operators, sizeof operators, "%.*s/operators", PATH_MAX - 300, settings.state_directory);
    copy(settings.operators, sizeof settings.operators, NULL, file->operators, operators);
    dp_config_free(&schema, data);
    code = check(&settings, diag);
    if (code == DP_OK)
        *ret_settings = settings;
    return code;
}
