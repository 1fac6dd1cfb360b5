/* A report made by hand, with every kind of field. */
#ifndef DROPPOINT_TESTS_REPORT_SAMPLE_H
#define DROPPOINT_TESTS_REPORT_SAMPLE_H

#include "collector/locate/report.h"

/* Static: not to be freed. */
const struct dp_report *sample_report(void);

#endif
