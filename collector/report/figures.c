#include "collector/report/figures.h"

#include <stdio.h>

/* "1,234,567" */
const char *dp_figure_count(long long number, char text[DP_FIGURE_TEXT])
{
    char digits[DP_FIGURE_TEXT];
    int len = snprintf(digits, sizeof digits, "%lld", number < 0 ? 0 : number);
    size_t out = 0;
    for (int i = 0; i < len && out < DP_FIGURE_TEXT - 1; i++) {
        if (i > 0 && (len - i) % 3 == 0)
            text[out++] = ',';
        text[out++] = digits[i];
    }
    text[out] = '\0';
    return text;
}

/* "850 ns", "12.3 us", "1.20 ms", "2.5 s" */
const char *dp_figure_duration(long long ns, char text[DP_FIGURE_TEXT])
{
    double value = (double)ns;
    double size = value < 0 ? -value : value;
    if (size < 1e3)
        (void)snprintf(text, DP_FIGURE_TEXT, "%.0f ns", value);
    else if (size < 1e6)
        (void)snprintf(text, DP_FIGURE_TEXT, "%.1f us", value / 1e3);
    else if (size < 1e9)
        (void)snprintf(text, DP_FIGURE_TEXT, "%.2f ms", value / 1e6);
    else
        (void)snprintf(text, DP_FIGURE_TEXT, "%.3f s", value / 1e9);
    return text;
}

/* A part in per cent: enough digits that a small loss is not shown as none, nor a nearly whole one as all. */
const char *dp_figure_percent(double part, char text[DP_FIGURE_TEXT])
{
    double value = part * 100;
    if (value <= 0)
        (void)snprintf(text, DP_FIGURE_TEXT, "0 %%");
    else if (value < 0.001)
        (void)snprintf(text, DP_FIGURE_TEXT, "<0.001 %%");
    else if (value < 1)
        (void)snprintf(text, DP_FIGURE_TEXT, "%.3f %%", value);
    else if (value >= 100)
        (void)snprintf(text, DP_FIGURE_TEXT, "100 %%");
    else if (value >= 99.9)
        (void)snprintf(text, DP_FIGURE_TEXT, ">99.9 %%");
    else
        (void)snprintf(text, DP_FIGURE_TEXT, "%.1f %%", value);
    return text;
}
