#include "cli/remote/live_line.h"

#include <inttypes.h>
#include <stdarg.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "cli/remote/text.h"

#define LINE_EVERY_MS 2000
#define LINE_RARELY_MS 30000
#define LINES_IN_ALL 30
#define REWRITE_EVERY_MS 100
#define MOST_ROWS 8

struct line {
    char *text;
    size_t size, length;
};

DP_PRINTF(2, 3) static void put(struct line *line, const char *format, ...)
{
    if (line->length + 1 >= line->size)
        return;
    va_list args;
    va_start(args, format);
    int length = vsnprintf(line->text + line->length, line->size - line->length, format, args);
    va_end(args);
    if (length > 0)
        line->length += (size_t)length;
    if (line->length >= line->size)
        line->length = line->size - 1;
}

static void put_time(struct line *line, const Droppoint__CaptureProgress *progress, uint64_t duration_ms,
                     uint64_t since_ms)
{
    const char *phase = progress->phase ? progress->phase : "";
    if (!strcmp(phase, "running")) {
        uint64_t elapsed = progress->elapsed_ms + since_ms;
        put(line, "%" PRIu64 " s left", elapsed < duration_ms ? (duration_ms - elapsed + 999) / 1000 : 0);
    } else if (!strcmp(phase, "draining")) {
        put(line, "ended, taking in the rest");
    } else {
        put(line, "preparing");
    }
}

static void put_vantage(struct line *line, const Droppoint__VantageProgress *vantage, bool preparing)
{
    char packets[DP_COUNT_TEXT], dropped[DP_COUNT_TEXT];
    const char *state = vantage->state ? vantage->state : "";
    bool out = !strcmp(state, "absent") || !strcmp(state, "failed") || !strcmp(state, "away");
    put(line, " | %s ", vantage->vantage);
    if (preparing || out)
        put(line, "%s", state);
    if (out && !vantage->packets)
        return;
    if (!preparing)
        put(line, "%s%s", out ? " " : "", dp_count_text(vantage->packets, packets, sizeof packets));
    if (vantage->kernel_dropped)
        put(line, " (kernel dropped %s)", dp_count_text(vantage->kernel_dropped, dropped, sizeof dropped));
}

/* Cuts to `columns` characters, in front of a whole one. */
static void cut(char *text, unsigned columns)
{
    unsigned seen = 0;
    char *at = NULL;
    for (char *c = text; *c; c++) {
        if (((unsigned char)*c & 0xc0) == 0x80)
            continue;
        if (seen + 3 == columns)
            at = c;
        if (++seen > columns && at) {
            memcpy(at, "...", 4);
            return;
        }
    }
}

/* The last separator from which on the text is too long for a line; NULL where all fits, or nothing can be
 * broken.
 */
static char *break_of(char *text, unsigned columns)
{
    unsigned seen = 0;
    char *last = NULL;
    for (char *c = text; *c; c++) {
        if (((unsigned char)*c & 0xc0) == 0x80)
            continue;
        if (!strncmp(c, " | ", 3) && seen <= columns)
            last = c;
        if (++seen > columns)
            return last;
    }
    return NULL;
}

/* Breaks the line at separators, which are as long as the line feed and the indentation that come there. The
 * first break is in front of the vantage points, so that they keep their places while numbers grow. */
static void wrap(char *text, char *vantages, unsigned columns, unsigned rows)
{
    char *at = rows > 1 && *vantages && break_of(text, columns) ? vantages : NULL;
    for (unsigned row = 1; at; at = ++row < rows ? break_of(text, columns) : NULL) {
        memcpy(at, "\n  ", 3);
        text = at + 1;
    }
    cut(text, columns);
}

char *dp_live_render(const Droppoint__CaptureProgress *progress, uint64_t duration_ms, uint64_t since_ms,
                     unsigned columns, unsigned rows, char *text, size_t size)
{
    struct line line = {text, size, 0};
    char packets[DP_COUNT_TEXT], bytes[DP_COUNT_TEXT];
    bool preparing = progress->phase && !strcmp(progress->phase, "preparing");
    text[0] = '\0';
    put_time(&line, progress, duration_ms, since_ms);
    if (!preparing) {
        if (progress->lost_packets)
            put(&line, " | lost %s packet%s, %s bytes",
                dp_count_text(progress->lost_packets, packets, sizeof packets),
                progress->lost_packets == 1 ? "" : "s",
                dp_count_text(progress->lost_bytes, bytes, sizeof bytes));
        else
            put(&line, " | no loss so far");
    }
    size_t head = line.length;
    for (size_t i = 0; i < progress->n_vantages; i++)
        put_vantage(&line, progress->vantages[i], preparing);
    dp_printable(text);
    if (columns >= 4)
        wrap(text, text + head, columns, rows);
    return text;
}

void dp_live_init(struct dp_live *live, FILE *out, uint64_t now_ms)
{
    *live = (struct dp_live){.out = out, .terminal = isatty(fileno(out)) == 1, .last_ms = now_ms};
}

/* One column stays free: writing the last one makes some terminals wrap. */
static void size_of(FILE *out, unsigned *ret_columns, unsigned *ret_rows)
{
    struct winsize size = {0};
    bool known = ioctl(fileno(out), TIOCGWINSZ, &size) == 0;
    *ret_columns = (known && size.ws_col >= 20 ? size.ws_col : 80U) - 1;
    *ret_rows = known && size.ws_row > 1 && size.ws_row <= MOST_ROWS ? size.ws_row - 1U : MOST_ROWS;
}

/* To the beginning of what stands there. */
static void go_back(struct dp_live *live)
{
    if (live->shown > 1)
        fprintf(live->out, "\033[%uA", live->shown - 1);
    fputc('\r', live->out);
}

static void rewrite(struct dp_live *live, const char *text)
{
    go_back(live);
    live->shown = 1;
    for (const char *c = text; *c; c++) {
        if (*c == '\n') {
            fputs("\033[K", live->out);
            live->shown++;
        }
        fputc(*c, live->out);
    }
    fputs("\033[J", live->out);
}

static bool due(const struct dp_live *live, const Droppoint__CaptureProgress *progress, uint64_t duration_ms,
                uint64_t now_ms)
{
    uint64_t since = now_ms - live->last_ms;
    if (live->terminal)
        return since >= REWRITE_EVERY_MS || !live->shown;
    uint64_t every = duration_ms / LINES_IN_ALL;
    every = every < LINE_EVERY_MS ? LINE_EVERY_MS : every > LINE_RARELY_MS ? LINE_RARELY_MS : every;
    return since >= every || (progress->lost_packets && !live->loss_shown && since >= LINE_EVERY_MS);
}

void dp_live_show(struct dp_live *live, const Droppoint__CaptureProgress *progress, uint64_t duration_ms,
                  uint64_t since_ms, uint64_t now_ms)
{
    if (!due(live, progress, duration_ms, now_ms))
        return;
    char text[DP_LIVE_TEXT];
    unsigned columns = 0, rows = 1;
    if (live->terminal)
        size_of(live->out, &columns, &rows);
    dp_live_render(progress, duration_ms, since_ms, columns, rows, text, sizeof text);
    if (live->terminal)
        rewrite(live, text);
    else
        fprintf(live->out, "%s\n", text);
    (void)fflush(live->out);
    live->loss_shown = progress->lost_packets != 0;
    live->last_ms = now_ms;
}

void dp_live_clear(struct dp_live *live)
{
    if (live->shown) {
        go_back(live);
        fputs("\033[J", live->out);
    }
    (void)fflush(live->out);
    live->shown = 0;
}
