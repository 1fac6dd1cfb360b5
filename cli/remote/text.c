#include "cli/remote/text.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define SECOND_NS 1000000000

char *dp_printable(char *text)
{
    for (char *c = text; *c; c++) {
        unsigned char byte = (unsigned char)*c;
        /* C1 control characters arrive in UTF-8 as C2 80 to C2 9F. */
        if (byte == 0xc2 && (unsigned char)c[1] >= 0x80 && (unsigned char)c[1] < 0xa0)
            c[0] = c[1] = '?';
        else if (byte < 0x20 || byte == 0x7f)
            *c = '?';
    }
    return text;
}

/* Seconds, rounded down also before 1970. */
static time_t seconds_of(int64_t ns, int *ret_ms)
{
    int64_t seconds = ns / SECOND_NS, rest = ns % SECOND_NS;
    if (rest < 0) {
        seconds--;
        rest += SECOND_NS;
    }
    *ret_ms = (int)(rest / 1000000);
    return (time_t)seconds;
}

char *dp_time_text(int64_t ns, char *text, size_t size)
{
    int ms;
    time_t seconds = seconds_of(ns, &ms);
    struct tm local;
    if (!ns || !localtime_r(&seconds, &local) || !strftime(text, size, "%Y-%m-%d %H:%M:%S %Z", &local))
        (void)snprintf(text, size, "never");
    return text;
}

char *dp_time_utc(int64_t ns, char *text, size_t size)
{
    int ms;
    time_t seconds = seconds_of(ns, &ms);
    struct tm utc;
    char whole[32];
    if (!gmtime_r(&seconds, &utc) || !strftime(whole, sizeof whole, "%Y-%m-%dT%H:%M:%S", &utc))
        whole[0] = '\0';
    (void)snprintf(text, size, "%s.%03dZ", whole, ms);
    return text;
}

char *dp_duration_text(uint64_t ms, char *text, size_t size)
{
    uint64_t seconds = ms / 1000, minutes = seconds / 60;
    if (ms < 1000)
        (void)snprintf(text, size, "%" PRIu64 " ms", ms);
    else if (ms < 60000 && ms % 1000)
        (void)snprintf(text, size, "%" PRIu64 ".%" PRIu64 " s", seconds, ms % 1000 / 100);
    else if (ms < 60000)
        (void)snprintf(text, size, "%" PRIu64 " s", seconds);
    else if (minutes < 60 && seconds % 60)
        (void)snprintf(text, size, "%" PRIu64 " min %" PRIu64 " s", minutes, seconds % 60);
    else if (minutes < 60)
        (void)snprintf(text, size, "%" PRIu64 " min", minutes);
    else if (minutes % 60)
        (void)snprintf(text, size, "%" PRIu64 " h %" PRIu64 " min", minutes / 60, minutes % 60);
    else
        (void)snprintf(text, size, "%" PRIu64 " h", minutes / 60);
    return text;
}

char *dp_count_text(uint64_t number, char *text, size_t size)
{
    char digits[24];
    size_t length = (size_t)snprintf(digits, sizeof digits, "%" PRIu64, number), out = 0;
    for (size_t i = 0; i < length && out + 2 < size; i++) {
        if (i && (length - i) % 3 == 0)
            text[out++] = ',';
        text[out++] = digits[i];
    }
    text[out] = '\0';
    return text;
}

char *dp_offset_text(int64_t offset_ns, int64_t error_ns, char *text, size_t size)
{
    if (error_ns < 0)
        (void)snprintf(text, size, "-");
    else
        (void)snprintf(text, size, "%+.3f ms \xc2\xb1%.3f ms", (double)offset_ns / 1e6,
                       (double)error_ns / 1e6);
    return text;
}

struct dp_table {
    const char *const *heads;
    size_t columns, count, room;
    char **cells;
};

int dp_table_new(const char *const *heads, size_t columns, struct dp_table **ret_table)
{
    struct dp_table *table = calloc(1, sizeof *table);
    if (!table)
        return DP_ERR_NOMEM;
    table->heads = heads;
    table->columns = columns;
    *ret_table = table;
    return 0;
}

int dp_table_add(struct dp_table *table, const char *text)
{
    if (table->count == table->room) {
        size_t room = table->room ? 2 * table->room : 64;
        char **cells = realloc(table->cells, room * sizeof *cells);
        if (!cells)
            return DP_ERR_NOMEM;
        table->cells = cells;
        table->room = room;
    }
    char *copy = strdup(text && text[0] ? text : "-");
    if (!copy)
        return DP_ERR_NOMEM;
    table->cells[table->count++] = dp_printable(copy);
    return 0;
}

/* Characters, not bytes: continuation bytes of UTF-8 take no room. */
static int width_of(const char *text)
{
    int width = 0;
    for (; *text; text++)
        width += ((unsigned char)*text & 0xc0) != 0x80;
    return width;
}

static void print_cell(FILE *out, const char *text, int width, int last)
{
    if (last)
        fprintf(out, "%s\n", text);
    else
        fprintf(out, "%s%*s  ", text, width - width_of(text), "");
}

void dp_table_print(const struct dp_table *table, FILE *out)
{
    int *widths = calloc(table->columns, sizeof *widths);
    if (!widths)
        return;
    for (size_t i = 0; i < table->columns; i++)
        widths[i] = width_of(table->heads[i]);
    for (size_t i = 0; i < table->count; i++) {
        int width = width_of(table->cells[i]);
        if (width > widths[i % table->columns])
            widths[i % table->columns] = width;
    }
    for (size_t i = 0; i < table->columns; i++)
        print_cell(out, table->heads[i], widths[i], i + 1 == table->columns);
    for (size_t i = 0; i < table->count; i++)
        print_cell(out, table->cells[i], widths[i % table->columns], (i + 1) % table->columns == 0);
    free(widths);
}

void dp_table_free(struct dp_table *table)
{
    if (!table)
        return;
    for (size_t i = 0; i < table->count; i++)
        free(table->cells[i]);
    free(table->cells);
    free(table);
}
