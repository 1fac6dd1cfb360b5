#include <stdarg.h>
#include <string.h>

#include "collector/report/figures.h"
#include "collector/report/html_internal.h"

void html_print(const struct html *page, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    (void)vfprintf(page->to, format, args);
    va_end(args);
}

/* Bytes of the character at `text`; 0 where they are no UTF-8. */
static size_t character(const unsigned char *text)
{
    size_t more = text[0] < 0x80 ? 0 : (text[0] & 0xe0) == 0xc0 ? 1 : (text[0] & 0xf0) == 0xe0 ? 2 : 3;
    if (more == 3 && (text[0] & 0xf8) != 0xf0)
        return 0;
    for (size_t i = 1; i <= more; i++)
        if ((text[i] & 0xc0) != 0x80)
            return 0;
    return more + 1;
}

static void put_character(FILE *to, const char *text, size_t len)
{
    static const struct {
        char character;
        const char *entity;
    } entities[] = {{'<', "&lt;"}, {'>', "&gt;"}, {'&', "&amp;"}, {'"', "&quot;"}, {'\'', "&#39;"}};
    for (size_t i = 0; i < sizeof entities / sizeof entities[0]; i++) {
        if (*text == entities[i].character) {
            (void)fputs(entities[i].entity, to);
            return;
        }
    }
    if ((unsigned char)*text < 0x20 || *text == 0x7f)
        (void)fputs("\xef\xbf\xbd", to);
    else
        (void)fwrite(text, 1, len, to);
}

void html_part(const struct html *page, const char *text, size_t len, size_t most)
{
    const char *end = text + len;
    for (size_t count = 0; text < end; count++) {
        size_t size = character((const unsigned char *)text);
        const char *next = text + (size ? size : 1);
        if (count + 1 == most && next < end) {
            (void)fputs("\xe2\x80\xa6", page->to);
            return;
        }
        if (size == 0)
            (void)fputs("\xef\xbf\xbd", page->to);
        else
            put_character(page->to, text, size);
        text = next;
    }
}

void html_cut(const struct html *page, const char *text, size_t most)
{
    html_part(page, text, strlen(text), most);
}

void html_text(const struct html *page, const char *text)
{
    html_cut(page, text, SIZE_MAX);
}

void html_count(const struct html *page, long long number)
{
    char text[DP_FIGURE_TEXT];
    (void)fputs(dp_figure_count(number, text), page->to);
}

void html_prose(const struct html *page, const char *text)
{
    const char *open, *close;
    while ((open = strchr(text, '`')) != NULL && (close = strchr(open + 1, '`')) != NULL) {
        html_part(page, text, (size_t)(open - text), SIZE_MAX);
        html_print(page, "<code>");
        html_part(page, open + 1, (size_t)(close - open - 1), SIZE_MAX);
        html_print(page, "</code>");
        text = close + 1;
    }
    html_text(page, text);
}

/* Numbers stay with their units. */
static void put_unbroken(const struct html *page, const char *text)
{
    for (; *text; text++) {
        if (*text == ' ')
            (void)fputs("\xc2\xa0", page->to);
        else if (*text == 'u')
            (void)fputs("\xc2\xb5", page->to);
        else
            put_character(page->to, text, 1);
    }
}

void html_duration(const struct html *page, long long ns)
{
    char text[DP_FIGURE_TEXT];
    put_unbroken(page, dp_figure_duration(ns, text));
}

void html_percent(const struct html *page, double part)
{
    char text[DP_FIGURE_TEXT];
    put_unbroken(page, dp_figure_percent(part, text));
}

void html_vantage(const struct html *page, size_t index)
{
    html_text(page, doc_text(json_array_get(json_object_get(page->document, "vantages"), index), "name"));
}

const char *html_plural(long long number, const char *one, const char *many)
{
    return number == 1 ? one : many;
}

void html_place(const struct html *page, const json_t *finding)
{
    const char *from = doc_text(finding, "from"), *to = doc_text(finding, "to");
    if (strcmp(from, "before") == 0) {
        html_print(page, "before <bdi>");
        html_text(page, to);
    } else if (strcmp(to, "beyond") == 0) {
        html_print(page, "beyond <bdi>");
        html_text(page, from);
    } else {
        html_print(page, "between <bdi>");
        html_text(page, from);
        html_print(page, "</bdi> and <bdi>");
        html_text(page, to);
    }
    html_print(page, "</bdi>");
}
