/* What the page's script reads: the document itself and the packet ladder, as one JSON text that no HTML
 * parser can take for anything else. */
#include <string.h>

#include "collector/report/html_internal.h"

/* '<', '>' and '&' stand only inside of strings, where JSON has another way to write them; everything beyond
 * ASCII is written so anyway. */
static int put(const char *text, size_t len, void *to)
{
    for (size_t i = 0; i < len; i++) {
        bool plain = text[i] != '<' && text[i] != '>' && text[i] != '&';
        if ((plain ? fputc(text[i], to) : fprintf(to, "\\u%04x", (unsigned)text[i])) < 0)
            return -1;
    }
    return 0;
}

static bool lossy(const json_t *flow)
{
    return doc_number(flow, "lost_packets") > 0 || doc_number(flow, "lost_bytes") > 0;
}

static bool add_flows(json_t *few, const json_t *flows, bool with_loss)
{
    size_t i;
    json_t *flow;
    bool ok = true;
    json_array_foreach(flows, i, flow)
    {
        if (lossy(flow) == with_loss && json_array_size(few) < DP_HTML_MAX_FLOWS)
            ok = ok && json_array_append(few, flow) == 0;
    }
    return ok;
}

/* The document; of very many flows those with loss, then the first others. NULL: out of memory. */
static json_t *document_value(const struct html *page)
{
    json_t *document = json_copy((json_t *)page->document);
    const json_t *flows = json_object_get(page->document, "flows");
    if (json_array_size(flows) <= DP_HTML_MAX_FLOWS)
        return document;
    json_t *few = json_array();
    bool ok = few && add_flows(few, flows, true) && add_flows(few, flows, false) &&
              json_object_set(document, "flows", few) == 0;
    json_decref(few);
    if (!ok) {
        json_decref(document);
        return NULL;
    }
    return document;
}

int html_data(const struct html *page)
{
    json_t *data = json_object(), *ladder = NULL;
    json_int_t flows = (json_int_t)json_array_size(json_object_get(page->document, "flows"));
    int code = html_ladder_value(page, &ladder);
    if (code == DP_OK &&
        (json_object_set_new(data, "report", document_value(page)) != 0 ||
         json_object_set(data, "ladder", ladder) != 0 ||
         json_object_set_new(data, "flows", json_integer(flows)) != 0 ||
         json_dump_callback(data, put, page->to,
                            JSON_COMPACT | JSON_ENSURE_ASCII | JSON_REAL_PRECISION(12)) != 0))
        code = DP_ERR_NOMEM;
    json_decref(ladder);
    json_decref(data);
    return code;
}
