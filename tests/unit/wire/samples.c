#include "tests/unit/wire/samples.h"

#include <stdlib.h>
#include <string.h>

static const struct {
    const char *message; /* NULL: any */
    const char *field, *text;
} texts[] = {
    {"Refused", "reason", "revoked"},    {"CaptureState", "reason", "duration"},
    {"AgentEntry", "state", "approved"}, {"VantageProgress", "state", "running"},
    {"CaptureEntry", "state", "done"},   {NULL, "phase", "draining"},
    {NULL, "vantage", "mx1/eth0"},       {NULL, "vantages", "mx1/eth0"},
    {"ProbeAgent", "state", "running"},  {NULL, "status", "critical"},
    {NULL, "fingerprint", "3f2a-0001"},  {NULL, "filter", "tcp port 25"},
};

const char *sample_text(const ProtobufCMessageDescriptor *message, const char *field)
{
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        if ((!texts[i].message || strcmp(texts[i].message, message->short_name) == 0) &&
            strcmp(texts[i].field, field) == 0)
            return texts[i].text;
    return "eth0"; /* a name, an id, an interface and a text */
}

static void *sample_message(const ProtobufCMessageDescriptor *descriptor);

static void set_number(const ProtobufCFieldDescriptor *field, char *at)
{
    uint64_t wide = 100;
    /* Signed ones are error codes. */
    int32_t narrow = field->type == PROTOBUF_C_TYPE_ENUM     ? 1
                     : field->type == PROTOBUF_C_TYPE_SINT32 ? -1
                                                             : 100;
    if (field->type == PROTOBUF_C_TYPE_UINT64 || field->type == PROTOBUF_C_TYPE_INT64)
        memcpy(at, &wide, sizeof wide);
    else if (field->type == PROTOBUF_C_TYPE_BOOL)
        *(protobuf_c_boolean *)at = 1;
    else
        memcpy(at, &narrow, sizeof narrow);
}

static void set_item(const ProtobufCMessageDescriptor *message, const ProtobufCFieldDescriptor *field,
                     char *at)
{
    if (field->type == PROTOBUF_C_TYPE_MESSAGE) {
        void *below = sample_message(field->descriptor);
        memcpy(at, &below, sizeof below);
    } else if (field->type == PROTOBUF_C_TYPE_STRING) {
        char *text = strdup(sample_text(message, field->name));
        memcpy(at, &text, sizeof text);
    } else if (field->type == PROTOBUF_C_TYPE_BYTES) {
        ProtobufCBinaryData bytes = {.len = 16, .data = calloc(1, 16)};
        memcpy(at, &bytes, sizeof bytes);
    } else {
        set_number(field, at);
    }
}

static void set_field(const ProtobufCMessageDescriptor *message, const ProtobufCFieldDescriptor *field,
                      char *base)
{
    if (field->label != PROTOBUF_C_LABEL_REPEATED) {
        set_item(message, field, base + field->offset);
        return;
    }
    size_t count = 1; /* of strings or messages: pointers both */
    void **array = calloc(1, sizeof *array);
    set_item(message, field, (char *)array);
    memcpy(base + field->quantifier_offset, &count, sizeof count);
    memcpy(base + field->offset, &array, sizeof array);
}

static void *sample_message(const ProtobufCMessageDescriptor *descriptor)
{
    char *base = calloc(1, descriptor->sizeof_message);
    protobuf_c_message_init(descriptor, base);
    for (unsigned i = 0; i < descriptor->n_fields; i++)
        set_field(descriptor, &descriptor->fields[i], base);
    return base;
}

Droppoint__Envelope *sample_envelope(const ProtobufCFieldDescriptor *body)
{
    Droppoint__Envelope *envelope = calloc(1, sizeof *envelope);
    droppoint__envelope__init(envelope);
    envelope->version = DP_WIRE_VERSION;
    envelope->request = 9;
    envelope->body_case = (Droppoint__Envelope__BodyCase)body->id;
    envelope->ping = sample_message(body->descriptor);
    return envelope;
}
