/* Numbers as a person reads them. Each writes to `text` and returns it. */
#ifndef DROPPOINT_COLLECTOR_REPORT_FIGURES_H
#define DROPPOINT_COLLECTOR_REPORT_FIGURES_H

#define DP_FIGURE_TEXT 32

/* "1,234,567"; negative numbers become 0. */
const char *dp_figure_count(long long number, char text[DP_FIGURE_TEXT]);

/* "850 ns", "12.3 us", "1.20 ms", "2.500 s" */
const char *dp_figure_duration(long long ns, char text[DP_FIGURE_TEXT]);

/* A part (0 to 1) in per cent: "0 %", "0.012 %", "42.2 %", ">99.9 %". */
const char *dp_figure_percent(double part, char text[DP_FIGURE_TEXT]);

#endif
