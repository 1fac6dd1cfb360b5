/* The text of a note: printable UTF-8, so that it can go to any terminal or log. Internal to digest. */
#ifndef DROPPOINT_COMMON_DIGEST_NOTE_TEXT_H
#define DROPPOINT_COMMON_DIGEST_NOTE_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/digest/digest.h"

/* Appends `len` bytes to the `used` bytes of `text` as far as they fit, control characters and what is not
 * UTF-8 as
 * '?', and terminates it. Never cuts inside a character. Returns the new length. */
size_t dp_note_text_append(char text[DP_NOTE_TEXT], size_t used, const uint8_t *bytes, size_t len);

/* Whether the bytes could have come from dp_note_text_append. */
bool dp_note_text_valid(const uint8_t *bytes, size_t len);

#endif
