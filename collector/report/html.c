/* The page as a whole: the template with its marks filled in. */
#include <stdlib.h>
#include <string.h>

#include "collector/report/clean.h"
#include "collector/report/html_internal.h"

static void title(const struct html *page)
{
    const json_t *finding = doc_verdict_finding(page->document);
    html_print(page, "droppoint: ");
    html_text(page, doc_text(json_object_get(page->document, "verdict"), "code"));
    if (!finding)
        return;
    html_print(page, " ");
    const char *from = doc_text(finding, "from"), *to = doc_text(finding, "to");
    html_text(page, from);
    html_print(page, " \xe2\x86\x92 ");
    html_text(page, to);
}

static void ladder(const struct html *page)
{
    if (page->ladder && page->ladder->scene_count > 0)
        html_print(page, "%s", dp_html_ladder);
}

/* Fills in one mark. */
static int fill(const struct html *page, const char *name, size_t len)
{
    static const struct {
        const char *name;
        const char *text;
    } texts[] = {{"style", dp_html_style},
                 {"script", dp_html_script},
                 {"style-hash", dp_html_style_hash},
                 {"script-hash", dp_html_script_hash},
                 {"version", DROPPOINT_VERSION}};
    static const struct {
        const char *name;
        void (*section)(const struct html *page);
    } sections[] = {{"title", title},      {"verdict", html_verdict},   {"findings", html_findings},
                    {"ladder", ladder},    {"segments", html_segments}, {"course", html_course},
                    {"flows", html_flows}, {"vantages", html_vantages}};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        if (strlen(texts[i].name) == len && memcmp(texts[i].name, name, len) == 0) {
            (void)fputs(texts[i].text, page->to);
            return DP_OK;
        }
    for (size_t i = 0; i < sizeof sections / sizeof sections[0]; i++)
        if (strlen(sections[i].name) == len && memcmp(sections[i].name, name, len) == 0) {
            sections[i].section(page);
            return DP_OK;
        }
    if (len == 4 && memcmp(name, "path", len) == 0)
        return html_path(page);
    return html_data(page); /* the only other */
}

static int fill_template(const struct html *page)
{
    const char *text = dp_html_template, *mark;
    int code = DP_OK;
    while (code == DP_OK && (mark = strstr(text, "{{")) != NULL) {
        const char *end = strstr(mark, "}}");
        (void)fwrite(text, 1, (size_t)(mark - text), page->to);
        code = fill(page, mark + 2, (size_t)(end - mark - 2));
        text = end + 2;
    }
    (void)fputs(text, page->to);
    return code;
}

static int write_page(const json_t *document, const struct dp_report *report,
                      const struct dp_ladder *ladder_or_null, char **ret_page, size_t *ret_len)
{
    char *text = NULL;
    size_t len = 0;
    struct html page = {
        .to = open_memstream(&text, &len), .document = document, .report = report, .ladder = ladder_or_null};
    if (!page.to)
        return DP_ERR_NOMEM;
    int code = fill_template(&page);
    bool failed = ferror(page.to) != 0;
    if (fclose(page.to) != 0 || failed)
        code = DP_ERR_NOMEM;
    if (code) {
        free(text);
        return code;
    }
    *ret_page = text;
    *ret_len = len;
    return DP_OK;
}

int dp_report_html(const json_t *document, const struct dp_report *report,
                   const struct dp_ladder *ladder_or_null, char **ret_page, size_t *ret_len)
{
    if (!doc_valid(document))
        return DP_ERR_FORMAT;
    json_t *clean = json_deep_copy(document);
    int code = clean && dp_report_clean(clean) ? write_page(clean, report, ladder_or_null, ret_page, ret_len)
                                               : DP_ERR_NOMEM;
    json_decref(clean);
    return code;
}
