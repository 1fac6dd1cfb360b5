/* What holds for every report, whatever came in. */
#ifndef DROPPOINT_TESTS_FUZZ_LOCATE_CHECK_H
#define DROPPOINT_TESTS_FUZZ_LOCATE_CHECK_H

#include "collector/locate/locate.h"

/* Aborts where the report contradicts itself. */
void check_report(const struct dp_report *report, size_t vantages);

#endif
