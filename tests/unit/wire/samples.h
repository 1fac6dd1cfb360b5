/* One valid envelope of each kind, made from the descriptors, so that no kind is forgotten. */
#ifndef DROPPOINT_TESTS_UNIT_WIRE_SAMPLES_H
#define DROPPOINT_TESTS_UNIT_WIRE_SAMPLES_H

#include "common/wire/wire.h"

/* An envelope with this field of it as its body, every field below set to a valid value. Free with
 * droppoint__envelope__free_unpacked. */
Droppoint__Envelope *sample_envelope(const ProtobufCFieldDescriptor *body);

/* A valid value for a string field of this message. */
const char *sample_text(const ProtobufCMessageDescriptor *message, const char *field);

#endif
