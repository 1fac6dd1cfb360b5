/* The table against the descriptors: every field has a rule of its type, and each rule refuses what it is to
 * refuse. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "common/wire/rules.h"
#include "tests/unit/wire/samples.h"

static const ProtobufCFieldDescriptor *bodies(unsigned *ret_count)
{
    *ret_count = droppoint__envelope__descriptor.n_fields;
    return droppoint__envelope__descriptor.fields;
}

static bool is_body(const ProtobufCFieldDescriptor *field)
{
    return (field->flags & PROTOBUF_C_FIELD_FLAG_ONEOF) != 0;
}

/* A rule's kind suits a field's type; else the field could never be valid, or always. */
static bool kind_suits(const struct dp_field_rule *rule, const ProtobufCFieldDescriptor *field)
{
    switch (field->type) {
    case PROTOBUF_C_TYPE_BOOL:
        return rule->kind == DP_RULE_ANY;
    case PROTOBUF_C_TYPE_MESSAGE:
        return rule->kind == DP_RULE_ANY || rule->kind == DP_RULE_REQUIRED;
    case PROTOBUF_C_TYPE_ENUM:
        return rule->kind == DP_RULE_ENUM;
    case PROTOBUF_C_TYPE_BYTES:
        return rule->kind == DP_RULE_BYTES || rule->kind == DP_RULE_ADDRESS;
    case PROTOBUF_C_TYPE_STRING:
        return rule->kind != DP_RULE_ANY && rule->kind != DP_RULE_NUMBER && rule->kind != DP_RULE_ENUM &&
               rule->kind != DP_RULE_BYTES && rule->kind != DP_RULE_ADDRESS && rule->kind != DP_RULE_REQUIRED;
    default:
        return rule->kind == DP_RULE_NUMBER && rule->min < rule->max;
    }
}

static void check_message(const ProtobufCMessageDescriptor *descriptor)
{
    const struct dp_message_rule *rules = dp_wire_rule(descriptor);
    if (!rules)
        fail_msg("%s has no rules", descriptor->short_name);
    for (unsigned i = 0; i < descriptor->n_fields; i++) {
        const ProtobufCFieldDescriptor *field = &descriptor->fields[i];
        const struct dp_field_rule *rule = &rules->fields[i];
        if (rule->tag != field->id || !kind_suits(rule, field) ||
            (field->label == PROTOBUF_C_LABEL_REPEATED && rule->items == 0))
            fail_msg("%s.%s has no fitting rule", descriptor->short_name, field->name);
        if (field->type == PROTOBUF_C_TYPE_MESSAGE)
            check_message(field->descriptor);
    }
}

static void test_every_field_has_a_rule(void **state)
{
    (void)state;
    check_message(&droppoint__envelope__descriptor);
}

static int unpack_again(Droppoint__Envelope *envelope, struct dp_diag *diag)
{
    uint8_t *bytes;
    size_t len;
    Droppoint__Envelope *back = NULL;
    assert_int_equal(dp_wire_pack(envelope, &bytes, &len), DP_OK);
    int code = dp_wire_unpack(bytes, len, &back, diag);
    if (code == DP_OK) {
        assert_int_equal(back->request, 9);
        assert_int_equal(back->body_case, envelope->body_case);
        droppoint__envelope__free_unpacked(back, NULL);
    }
    free(bytes);
    return code;
}

static void test_a_valid_envelope_of_each_kind_passes(void **state)
{
    (void)state;
    unsigned count;
    const ProtobufCFieldDescriptor *fields = bodies(&count);
    for (unsigned i = 0; i < count; i++) {
        if (!is_body(&fields[i]))
            continue;
        struct dp_diag diag = {""};
        Droppoint__Envelope *envelope = sample_envelope(&fields[i]);
        if (unpack_again(envelope, &diag) != DP_OK)
            fail_msg("%s: %s", fields[i].name, diag.text);
        droppoint__envelope__free_unpacked(envelope, NULL);
    }
}

/* Puts `text` into one string field of the body, and expects it to be refused by name. */
static void expect_text_refused(const ProtobufCFieldDescriptor *body, const ProtobufCFieldDescriptor *field,
                                const char *text)
{
    struct dp_diag diag = {""};
    Droppoint__Envelope *envelope = sample_envelope(body);
    char **at = (char **)(void *)((char *)envelope->ping + field->offset);
    if (field->label == PROTOBUF_C_LABEL_REPEATED)
        at = *(char ***)(void *)at;
    free(*at);
    *at = strdup(text);
    int code = unpack_again(envelope, &diag);
    if (code != DP_ERR_PROTOCOL || !strstr(diag.text, field->name))
        fail_msg("%s.%s = \"%s\": %d %s", body->name, field->name, text, code, diag.text);
    droppoint__envelope__free_unpacked(envelope, NULL);
}

static void test_no_string_field_takes_what_is_not_text(void **state)
{
    (void)state;
    static const char *const bad[] = {"\xff",         "a\xc0\x80",        "a\x01",
                                      "\xed\xa0\x80", "\xf4\x90\x80\x80", "\xe2\x82"};
    unsigned count;
    const ProtobufCFieldDescriptor *fields = bodies(&count);
    for (unsigned i = 0; i < count; i++) {
        const ProtobufCMessageDescriptor *message = fields[i].descriptor;
        for (unsigned f = 0; is_body(&fields[i]) && f < message->n_fields; f++)
            for (size_t b = 0;
                 message->fields[f].type == PROTOBUF_C_TYPE_STRING && b < sizeof bad / sizeof bad[0]; b++)
                expect_text_refused(&fields[i], &message->fields[f], bad[b]);
    }
}

static void test_no_string_field_is_without_bound(void **state)
{
    (void)state;
    unsigned count;
    const ProtobufCFieldDescriptor *fields = bodies(&count);
    char *text = malloc(20001);
    assert_non_null(text);
    memset(text, 'a', 20000);
    text[20000] = '\0';
    for (unsigned i = 0; i < count; i++) {
        const ProtobufCMessageDescriptor *message = fields[i].descriptor;
        for (unsigned f = 0; is_body(&fields[i]) && f < message->n_fields; f++)
            if (message->fields[f].type == PROTOBUF_C_TYPE_STRING &&
                strcmp(message->fields[f].name, "json") != 0)
                expect_text_refused(&fields[i], &message->fields[f], text);
    }
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_field_has_a_rule),
        cmocka_unit_test(test_a_valid_envelope_of_each_kind_passes),
        cmocka_unit_test(test_no_string_field_takes_what_is_not_text),
        cmocka_unit_test(test_no_string_field_is_without_bound),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
