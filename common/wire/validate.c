#include <string.h>

#include "common/wire/rules.h"
#include "common/wire/wire.h"

static bool length_within(const struct dp_field_rule *rule, size_t len)
{
    return len >= (size_t)rule->min && len <= (size_t)rule->max;
}

static bool made_of(const char *text, const char *characters)
{
    return text[strspn(text, characters)] == '\0';
}

static bool word_known(const char *const *words, const char *text)
{
    for (; *words; words++)
        if (strcmp(*words, text) == 0)
            return true;
    return false;
}

static bool string_valid(const struct dp_field_rule *rule, const char *text)
{
    size_t len = strlen(text);
    switch (rule->kind) {
    case DP_RULE_NAME:
        return (len == 0 && rule->min == 0) || dp_wire_label_valid(text, len, false);
    case DP_RULE_ID:
        return (len == 0 && rule->min == 0) || dp_wire_label_valid(text, len, true);
    case DP_RULE_VANTAGE:
        return dp_wire_vantage_valid(text);
    case DP_RULE_INTERFACE:
        return dp_wire_interface_valid(text);
    case DP_RULE_FINGERPRINT:
        return length_within(rule, len) && made_of(text, "0123456789abcdef-");
    case DP_RULE_TOKEN:
        return length_within(rule, len) && made_of(text, "abcdefghijklmnopqrstuvwxyz0123456789-");
    case DP_RULE_WORD:
        return word_known(rule->words, text);
    case DP_RULE_LINE:
        return length_within(rule, len) && dp_wire_text_valid(text, "", false);
    case DP_RULE_TEXT:
        return length_within(rule, len) && dp_wire_text_valid(text, "\n\t", false);
    case DP_RULE_JSON:
        return length_within(rule, len) && dp_wire_text_valid(text, "\n\t\r", true);
    case DP_RULE_ANY:
    case DP_RULE_NUMBER:
    case DP_RULE_ENUM:
    case DP_RULE_BYTES:
    case DP_RULE_ADDRESS:
    case DP_RULE_REQUIRED:
        break;
    }
    return false;
}

static bool bytes_valid(const struct dp_field_rule *rule, const ProtobufCBinaryData *bytes)
{
    if (rule->kind == DP_RULE_ADDRESS)
        return bytes->len == 4 || bytes->len == 16;
    return rule->kind == DP_RULE_BYTES && length_within(rule, bytes->len);
}

static bool number_valid(const struct dp_field_rule *rule, const ProtobufCFieldDescriptor *field,
                         const void *member)
{
    uint64_t wide;
    int32_t narrow;
    switch (field->type) {
    case PROTOBUF_C_TYPE_BOOL:
        return rule->kind == DP_RULE_ANY;
    case PROTOBUF_C_TYPE_ENUM:
        memcpy(&narrow, member, sizeof narrow);
        return rule->kind == DP_RULE_ENUM && narrow != 0 &&
               protobuf_c_enum_descriptor_get_value(field->descriptor, narrow) != NULL;
    case PROTOBUF_C_TYPE_UINT32:
    case PROTOBUF_C_TYPE_FIXED32:
        memcpy(&narrow, member, sizeof narrow);
        wide = (uint32_t)narrow;
        break;
    case PROTOBUF_C_TYPE_SINT32:
    case PROTOBUF_C_TYPE_INT32:
        memcpy(&narrow, member, sizeof narrow);
        return rule->kind == DP_RULE_NUMBER && narrow >= rule->min && narrow <= rule->max;
    case PROTOBUF_C_TYPE_INT64:
        memcpy(&wide, member, sizeof wide);
        return rule->kind == DP_RULE_NUMBER && (int64_t)wide >= rule->min && (int64_t)wide <= rule->max;
    case PROTOBUF_C_TYPE_UINT64:
        memcpy(&wide, member, sizeof wide);
        break;
    default:
        return false;
    }
    return rule->kind == DP_RULE_NUMBER && wide <= INT64_MAX && (int64_t)wide >= rule->min &&
           (int64_t)wide <= rule->max;
}

/* One item: the member itself, or one element of a repeated field. */
static int check_item(const struct dp_field_rule *rule, const ProtobufCMessageDescriptor *message,
                      const ProtobufCFieldDescriptor *field, const void *member, struct dp_diag *diag)
{
    bool valid;
    if (field->type == PROTOBUF_C_TYPE_MESSAGE) {
        const ProtobufCMessage *below;
        memcpy(&below, member, sizeof below);
        if (below)
            return dp_wire_validate(below, diag);
        valid = rule->kind != DP_RULE_REQUIRED;
    } else if (field->type == PROTOBUF_C_TYPE_STRING) {
        const char *text;
        memcpy(&text, member, sizeof text);
        valid = text && string_valid(rule, text);
    } else if (field->type == PROTOBUF_C_TYPE_BYTES) {
        valid = bytes_valid(rule, member);
    } else {
        valid = number_valid(rule, field, member);
    }
    return valid ? DP_OK
                 : dp_fail(diag, DP_ERR_PROTOCOL, "%s: the value of field \"%s\" is not valid.",
                           message->short_name, field->name);
}

static size_t item_size(const ProtobufCFieldDescriptor *field)
{
    switch (field->type) {
    case PROTOBUF_C_TYPE_MESSAGE:
    case PROTOBUF_C_TYPE_STRING:
        return sizeof(void *);
    case PROTOBUF_C_TYPE_BYTES:
        return sizeof(ProtobufCBinaryData);
    case PROTOBUF_C_TYPE_UINT64:
    case PROTOBUF_C_TYPE_INT64:
        return sizeof(uint64_t);
    case PROTOBUF_C_TYPE_BOOL:
        return sizeof(protobuf_c_boolean);
    default:
        return sizeof(uint32_t);
    }
}

static int check_repeated(const struct dp_field_rule *rule, const ProtobufCMessageDescriptor *message,
                          const ProtobufCFieldDescriptor *field, const char *base, struct dp_diag *diag)
{
    size_t count;
    memcpy(&count, base + field->quantifier_offset, sizeof count);
    if (count > rule->items)
        return dp_fail(diag, DP_ERR_PROTOCOL, "%s: field \"%s\" has %zu items, at most %zu are allowed.",
                       message->short_name, field->name, count, rule->items);
    const char *array;
    memcpy(&array, base + field->offset, sizeof array);
    size_t size = item_size(field);
    for (size_t i = 0; i < count; i++) {
        int code = check_item(rule, message, field, array + i * size, diag);
        if (code != DP_OK)
            return code;
    }
    return DP_OK;
}

int dp_wire_validate(const ProtobufCMessage *message, struct dp_diag *diag)
{
    const ProtobufCMessageDescriptor *descriptor = message->descriptor;
    const struct dp_message_rule *rules = dp_wire_rule(descriptor);
    if (!rules)
        return dp_fail(diag, DP_ERR_PROTOCOL, "%s: an unknown message.", descriptor->short_name);
    const char *base = (const char *)message;
    for (unsigned i = 0; i < descriptor->n_fields; i++) {
        const ProtobufCFieldDescriptor *field = &descriptor->fields[i];
        const struct dp_field_rule *rule = &rules->fields[i];
        if (field->flags & PROTOBUF_C_FIELD_FLAG_ONEOF) {
            uint32_t chosen;
            memcpy(&chosen, base + field->quantifier_offset, sizeof chosen);
            if (chosen != field->id)
                continue;
        }
        int code = field->label == PROTOBUF_C_LABEL_REPEATED
                       ? check_repeated(rule, descriptor, field, base, diag)
                       : check_item(rule, descriptor, field, base + field->offset, diag);
        if (code != DP_OK)
            return code;
    }
    return DP_OK;
}
