/* CURVE key pairs (Z85 as ZeroMQ has them), in files with mode 0600, and their fingerprints. */
#ifndef DROPPOINT_COMMON_KEYS_KEYS_H
#define DROPPOINT_COMMON_KEYS_KEYS_H

#include <stddef.h>
#include <stdint.h>

#include "common/err/err.h"

#define DP_KEY_Z85 41 /* 40 characters and the terminator */
#define DP_FINGERPRINT_TEXT                                                                                  \
    48 /* "3f2a-..." : first 16 bytes of SHA-256 of the 32-byte public key, hex in groups of 4 */

struct dp_keypair {
    char public_z85[DP_KEY_Z85];
    char secret_z85[DP_KEY_Z85];
};

/* Loads the pair from `path`, makes it there (mode 0600, atomically) where the file is absent.
 * DP_ERR_DENIED: others can read the file; DP_ERR_FORMAT: not a key file; DP_ERR_IO. */
int dp_keypair_load_or_make(const char *path, struct dp_keypair *ret_pair,
                            struct dp_diag *diag) DP_MUST_CHECK;

/* Reads a public key: the 40 characters themselves, or the name of a file that holds them. DP_ERR_FORMAT,
 * DP_ERR_IO. */
int dp_public_key_read(const char *text_or_path, char ret_z85[DP_KEY_Z85],
                       struct dp_diag *diag) DP_MUST_CHECK;

/* The key's fingerprint. DP_ERR_FORMAT when it is not Z85 of 32 bytes. */
int dp_key_fingerprint(const char *public_z85, char ret_text[DP_FINGERPRINT_TEXT]) DP_MUST_CHECK;

void dp_keypair_wipe(struct dp_keypair *pair);

#endif
