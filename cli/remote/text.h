/* How the command line writes times, numbers and tables. */
#ifndef DROPPOINT_CLI_REMOTE_TEXT_H
#define DROPPOINT_CLI_REMOTE_TEXT_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "common/err/err.h"

/* Replaces control characters (a line end too) by '?', in place, so that nobody's text can steer the
 * operator's terminal. Returns text. */
char *dp_printable(char *text);

/* Local time with zone, "2026-03-01 14:05:09 CET"; "never" for 0. Cut to fit. Returns text. */
#define DP_TIME_TEXT 48
char *dp_time_text(int64_t ns, char *text, size_t size);
/* UTC for JSON, "2026-03-01T13:05:09.120Z" (RFC 3339). */
char *dp_time_utc(int64_t ns, char *text, size_t size);

/* "500 ms", "1.5 s", "30 s", "5 min", "1 h 30 min". */
char *dp_duration_text(uint64_t ms, char *text, size_t size);

/* 1234567 as "1,234,567". */
#define DP_COUNT_TEXT 28
char *dp_count_text(uint64_t number, char *text, size_t size);

/* A clock offset with its bound: "+1.204 ms +-0.110 ms"; "-" where error_ns is negative (not measured). */
char *dp_offset_text(int64_t offset_ns, int64_t error_ns, char *text, size_t size);

/* A table with a headline; the columns are as wide as their widest cell. */
struct dp_table;
/* heads: `columns` texts that outlive the table. */
int dp_table_new(const char *const *heads, size_t columns, struct dp_table **ret_table) DP_MUST_CHECK;
/* Appends the next cell, row by row; copied, made printable. DP_ERR_NOMEM. */
int dp_table_add(struct dp_table *table, const char *text) DP_MUST_CHECK;
void dp_table_print(const struct dp_table *table, FILE *out);
void dp_table_free(struct dp_table *table); /* NULL is fine */

#endif
