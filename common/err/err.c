#include "common/err/err.h"

#include <stdarg.h>
#include <stdio.h>

static const struct {
    const char *name;
    const char *sentence;
} errors[] = {
    [-DP_OK] = {"ok", "No error."},
    [-DP_ERR_NOMEM] = {"no-memory", "Out of memory."},
    [-DP_ERR_USAGE] = {"usage", "Wrong usage."},
    [-DP_ERR_IO] = {"io", "Input or output failed."},
    [-DP_ERR_FORMAT] = {"format", "The data is not in the expected format."},
    [-DP_ERR_TRUNCATED] = {"truncated", "The data ends too early."},
    [-DP_ERR_RANGE] = {"range", "A value is out of range."},
    [-DP_ERR_UNSUPPORTED] = {"unsupported", "This is not supported."},
    [-DP_ERR_DENIED] = {"denied", "This is not permitted."},
    [-DP_ERR_NOT_FOUND] = {"not-found", "No such thing."},
    [-DP_ERR_EXISTS] = {"exists", "This name is already taken."},
    [-DP_ERR_FILTER] = {"filter", "The filter expression does not compile."},
    [-DP_ERR_INTERFACE] = {"interface", "The network interface cannot be used."},
    [-DP_ERR_FULL] = {"full", "A limit is reached."},
    [-DP_ERR_GAP] = {"gap", "Numbered data is missing."},
    [-DP_ERR_DUPLICATE] = {"duplicate", "This data is already stored."},
    [-DP_ERR_DATABASE] = {"database", "The database answered with an error."},
    [-DP_ERR_UNAVAILABLE] = {"unavailable", "The other side cannot be reached now."},
    [-DP_ERR_TIMEOUT] = {"timeout", "No answer came in time."},
    [-DP_ERR_PROTOCOL] = {"protocol", "The message breaks the protocol."},
    [-DP_ERR_END] = {"end", "There is no more."},
};

#define ERROR_COUNT ((int)(sizeof errors / sizeof errors[0]))

const char *dp_err_name(int code)
{
    return code <= 0 && code > -ERROR_COUNT ? errors[-code].name : "unknown";
}

const char *dp_err_sentence(int code)
{
    return code <= 0 && code > -ERROR_COUNT ? errors[-code].sentence : "An unknown error.";
}

int dp_fail(struct dp_diag *diag, int code, const char *format, ...)
{
    if (diag) {
        va_list args;
        va_start(args, format);
        (void)vsnprintf(diag->text, sizeof diag->text, format, args);
        va_end(args);
    }
    return code;
}

const char *dp_reason(const struct dp_diag *diag, int code)
{
    return diag && diag->text[0] ? diag->text : dp_err_sentence(code);
}
