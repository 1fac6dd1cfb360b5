/* Any bytes as a configuration file: an error that names the file, or values. */
#include <stdlib.h>
#include <string.h>

#include "common/config/config.h"

struct settings {
    char *name, *size;
    enum dp_config_boolean ring;
    char **list;
    unsigned list_count;
};

static const cyaml_schema_value_t entry = {CYAML_VALUE_STRING(CYAML_FLAG_POINTER, char, 1, 20)};
static const cyaml_schema_field_t fields[] = {
    CYAML_FIELD_STRING_PTR("name", CYAML_FLAG_OPTIONAL | CYAML_FLAG_POINTER, struct settings, name, 1, 20),
    CYAML_FIELD_STRING_PTR("size", CYAML_FLAG_OPTIONAL | CYAML_FLAG_POINTER, struct settings, size, 1, 20),
    CYAML_FIELD_ENUM("ring", CYAML_FLAG_OPTIONAL | CYAML_FLAG_STRICT, struct settings, ring,
                     dp_config_booleans, DP_CONFIG_BOOLEANS),
    CYAML_FIELD_SEQUENCE("list", CYAML_FLAG_OPTIONAL | CYAML_FLAG_POINTER, struct settings, list, &entry, 0,
                         30),
    CYAML_FIELD_END};
static const cyaml_schema_value_t schema = {CYAML_VALUE_MAPPING(CYAML_FLAG_POINTER, struct settings, fields)};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    void *loaded = NULL;
    struct dp_diag diag = {""};
    uint64_t number = 0;
    int code = dp_config_parse("fuzz.yaml", data, size, &schema, &loaded, &diag);
    if (code == DP_ERR_USAGE && strncmp(diag.text, "fuzz.yaml: ", 11) != 0)
        abort();
    if (code == DP_OK && loaded)
        (void)!dp_config_number("fuzz.yaml", "size", ((struct settings *)loaded)->size, 1, 100, &number,
                                NULL);
    dp_config_free(&schema, loaded);
    return 0;
}
