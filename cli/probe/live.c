#include "cli/probe/live.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define ROWS 24 /* where the terminal does not say */
#define COLUMNS 80

struct probe_live {
    const struct dp_probe_kind *kind;
    char title[320], said[400];
    size_t drawn; /* lines that stand on the terminal */
};

bool probe_live_fits(const struct dp_probe_kind *kind)
{
    const char *terminal = getenv("TERM");
    return strcmp(kind->name, "trace") == 0 && isatty(STDERR_FILENO) && terminal && terminal[0] &&
           strcmp(terminal, "dumb") != 0;
}

struct probe_live *probe_live_new(const struct dp_probe_kind *kind, const char *target)
{
    struct probe_live *live = calloc(1, sizeof *live);
    if (!live)
        return NULL;
    live->kind = kind;
    (void)snprintf(live->title, sizeof live->title, "%s to %s", kind->name, target);
    return live;
}

void probe_live_say(struct probe_live *live, const char *text)
{
    (void)snprintf(live->said, sizeof live->said, "%s", text);
}

/* One line, cut to the width: a line that wraps would count as two when the cursor goes up again. */
static void write_line(FILE *out, const char *line, size_t length, size_t columns)
{
    for (size_t i = 0; i < length && i < columns; i++) {
        char c = line[i];
        (void)putc(c >= ' ' && c <= '~' ? c : '?', out);
    }
    (void)fputs("\033[K\n", out); // what was longer before goes
}

char *probe_live_frame(const char *table, size_t drawn, size_t rows, size_t columns, size_t *ret_drawn)
{
    char *text = NULL;
    size_t size = 0, count = 0;
    FILE *out = open_memstream(&text, &size);
    if (!out)
        return NULL;
    if (drawn)
        fprintf(out, "\033[%zuA", drawn);
    (void)putc('\r', out);
    while (*table && count + 1 < rows) { // the cursor stands in a line of its own below
        size_t length = strcspn(table, "\n");
        write_line(out, table, length, columns);
        count++;
        table += length + (table[length] == '\n');
    }
    (void)fputs("\033[J", out);
    if (fclose(out) != 0) {
        free(text);
        return NULL;
    }
    *ret_drawn = count;
    return text;
}

static void put(const char *text)
{
    (void)fputs(text, stderr);
    (void)fflush(stderr);
}

void probe_live_draw(struct probe_live *live, const json_t *data)
{
    struct winsize window = {.ws_row = 0};
    char *table = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&table, &size);
    if (!out)
        return;
    fprintf(out, "%s%s%s\n", live->title, live->said[0] ? ", " : "", live->said);
    live->kind->print(data, out);
    if (fclose(out) == 0) {
        (void)ioctl(STDERR_FILENO, TIOCGWINSZ, &window);
        char *frame = probe_live_frame(table, live->drawn, window.ws_row ? window.ws_row : ROWS,
                                       window.ws_col ? window.ws_col : COLUMNS, &live->drawn);
        if (frame)
            put(frame);
        free(frame);
    }
    free(table);
}

void probe_live_end(struct probe_live *live)
{
    if (!live)
        return;
    char *frame = live->drawn ? probe_live_frame("", live->drawn, ROWS, COLUMNS, &live->drawn) : NULL;
    if (frame)
        put(frame);
    free(frame);
    free(live);
}
