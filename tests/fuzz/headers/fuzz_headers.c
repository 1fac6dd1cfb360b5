/* Any bytes as a mail message. */
#include <stdlib.h>
#include <string.h>

#include "cli/headers/message.h"
#include "cli/headers/report.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct header_list list;
    if (headers_parse((const char *)data, size, &list, NULL))
        return 0;
    for (size_t i = 0; i < list.count; i++)
        for (const char *c = list.fields[i].value; *c; c++)
            if ((unsigned char)*c < ' ' || *c == 127)
                abort();
    json_t *report = headers_report(&list);
    if (!report)
        abort();
    json_decref(report);
    headers_free(&list);
    return 0;
}
