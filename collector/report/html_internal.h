/* The page while it is being written, shared by its parts and by nobody else. */
#ifndef DROPPOINT_COLLECTOR_REPORT_HTML_INTERNAL_H
#define DROPPOINT_COLLECTOR_REPORT_HTML_INTERNAL_H

#include <stdio.h>

#include "collector/report/document.h"
#include "collector/report/html.h"

struct html {
    FILE *to;               /* in memory */
    const json_t *document; /* cleaned of control characters */
    const struct dp_report *report;
    const struct dp_ladder *ladder;
};

/* ---- html_out.c: the only ways for text to get onto the page ---- */
/* Text of our own; numbers. What comes from outside must not be among the arguments. */
void html_print(const struct html *page, const char *format, ...) DP_PRINTF(2, 3);
/* Text from outside, escaped for element content and for attributes in double quotes. */
void html_text(const struct html *page, const char *text);
/* As html_text, with what stands between backquotes as code. */
void html_prose(const struct html *page, const char *text);
/* As html_text, at most so many characters, with an ellipsis where more follow. */
void html_cut(const struct html *page, const char *text, size_t most);
/* As html_cut, of the first `len` bytes. */
void html_part(const struct html *page, const char *text, size_t len, size_t most);
void html_count(const struct html *page, long long number); /* "1,234,567" */
void html_duration(const struct html *page, long long ns);  /* "1.20 ms" */
void html_percent(const struct html *page, double part);    /* "42.2 %" */
/* A vantage point's name. */
void html_vantage(const struct html *page, size_t index);
/* "between A and B" and the like, of a finding. */
void html_place(const struct html *page, const json_t *finding);
/* The first where it is one thing, else the second. */
const char *html_plural(long long number, const char *one, const char *many);

/* ---- the sections, each with its heading; nothing where there is nothing to show ---- */
int html_path(const struct html *page) DP_MUST_CHECK; /* html_path.c: the picture; DP_ERR_NOMEM */
void html_verdict(const struct html *page);           /* html_findings.c */
void html_findings(const struct html *page);
void html_segments(const struct html *page); /* html_tables.c */
void html_vantages(const struct html *page);
void html_flows(const struct html *page);
void html_course(const struct html *page); /* html_charts.c */
/* html_data.c: what the script reads, as one JSON text. DP_ERR_NOMEM. */
int html_data(const struct html *page) DP_MUST_CHECK;
/* html_ladder.c: the ladder for it; the caller's (json_decref). DP_ERR_NOMEM. */
int html_ladder_value(const struct html *page, json_t **ret_value) DP_MUST_CHECK;

/* ---- the page's own parts, put into the program as it is built (html/embed.cmake) ---- */
extern const char dp_html_template[], dp_html_ladder[], dp_html_style[], dp_html_script[];
extern const char dp_html_style_hash[], dp_html_script_hash[]; /* SHA-256, base64 */

#endif
