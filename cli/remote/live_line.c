#include "cli/remote/live_line.h"

#include <inttypes.h>
#include <stdarg.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "cli/remote/text.h"

#define LINE_EVERY_MS 2000
#define REWRITE_EVERY_MS 100

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
    bool out = !strcmp(state, "absent") || !strcmp(state, "failed");
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

char *dp_live_render(const Droppoint__CaptureProgress *progress, uint64_t duration_ms, uint64_t since_ms,
                     unsigned columns, char *text, size_t size)
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
    for (size_t i = 0; i < progress->n_vantages; i++)
        put_vantage(&line, progress->vantages[i], preparing);
    dp_printable(text);
    if (columns >= 4)
        cut(text, columns);
    return text;
}

void dp_live_init(struct dp_live *live, FILE *out, uint64_t now_ms)
{
    *live = (struct dp_live){.out = out, .terminal = isatty(fileno(out)) == 1, .last_ms = now_ms};
}

static unsigned columns_of(FILE *out)
{
    struct winsize size = {0};
    if (ioctl(fileno(out), TIOCGWINSZ, &size) || size.ws_col < 20)
        return 80;
    return size.ws_col;
}

void dp_live_show(struct dp_live *live, const Droppoint__CaptureProgress *progress, uint64_t duration_ms,
                  uint64_t since_ms, uint64_t now_ms)
{
    uint64_t every = live->terminal ? REWRITE_EVERY_MS : LINE_EVERY_MS;
    if (now_ms - live->last_ms < every && !(live->terminal && !live->shown))
        return;
    char text[DP_LIVE_TEXT];
    /* One column stays free: writing the last one makes some terminals wrap. */
    unsigned columns = live->terminal ? columns_of(live->out) - 1 : 0;
    dp_live_render(progress, duration_ms, since_ms, columns, text, sizeof text);
    if (live->terminal)
        fprintf(live->out, "\r%s\033[K", text);
    else
        fprintf(live->out, "%s\n", text);
    (void)fflush(live->out);
    live->shown = live->terminal;
    live->last_ms = now_ms;
}

void dp_live_clear(struct dp_live *live)
{
    if (live->shown)
        fprintf(live->out, "\r\033[K");
    (void)fflush(live->out);
    live->shown = false;
}
