/* YAML configuration by libcyaml: a file, a schema, a struct. Unknown keys, bad values, aliases and second
 * documents are refused; the diag names file, line and key.
 *
 * libcyaml takes "maybe" for true and "96k" for 96. So schemas here have booleans as strict enums over
 * dp_config_booleans, and numbers as strings that dp_config_number reads. */
#ifndef DROPPOINT_COMMON_CONFIG_CONFIG_H
#define DROPPOINT_COMMON_CONFIG_CONFIG_H

#include <cyaml/cyaml.h>
#include <stddef.h>
#include <stdint.h>

#include "common/err/err.h"

#define DP_CONFIG_MAX_BYTES (256 * 1024)

/* Loads `path`. The schema's top is a CYAML_MAPPING with CYAML_FLAG_POINTER, its fields are optional.
 * *ret_data is NULL where the file sets nothing; free it with dp_config_free. DP_ERR_NOT_FOUND (no such
 * file), DP_ERR_IO, DP_ERR_USAGE. */
int dp_config_load(const char *path, const cyaml_schema_value_t *schema, void **ret_data,
                   struct dp_diag *diag) DP_MUST_CHECK;

/* The same from memory; `name` stands for the file in diag. */
int dp_config_parse(const char *name, const void *bytes, size_t len, const cyaml_schema_value_t *schema,
                    void **ret_data, struct dp_diag *diag) DP_MUST_CHECK;

void dp_config_free(const cyaml_schema_value_t *schema, void *data);

/* For CYAML_FIELD_ENUM(key, CYAML_FLAG_OPTIONAL | CYAML_FLAG_STRICT, struct, member, dp_config_booleans,
 * DP_CONFIG_BOOLEANS): the member is an enum dp_config_boolean; unset where the key is absent. */
enum dp_config_boolean { DP_CONFIG_UNSET, DP_CONFIG_FALSE, DP_CONFIG_TRUE };
#define DP_CONFIG_BOOLEANS 4
extern const cyaml_strval_t dp_config_booleans[DP_CONFIG_BOOLEANS];

/* A whole number with an optional KiB, MiB or GiB. NULL text leaves *ret_number as it is. DP_ERR_USAGE with
 * diag naming file, key and bounds. */
int dp_config_number(const char *name, const char *key, const char *text, uint64_t min, uint64_t max,
                     uint64_t *ret_number, struct dp_diag *diag) DP_MUST_CHECK;

#endif
