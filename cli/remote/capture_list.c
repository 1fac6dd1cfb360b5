#include <string.h>

#include "cli/locate/whole_file.h"
#include "cli/remote/capture.h"
#include "cli/remote/lists.h"
#include "cli/remote/simple.h"

struct request {
    const char *capture_id;
    bool json;
    int exit_code;
    const char *html; /* NULL: none */
};

static enum dp_take take_list(void *context, const Droppoint__Envelope *envelope)
{
    struct request *request = context;
    if (envelope->body_case != DROPPOINT__ENVELOPE__BODY_CAPTURE_LIST)
        return DP_TAKE_MORE;
    if (request->json)
        request->exit_code = dp_simple_print(dp_captures_document(envelope->capture_list));
    else if (dp_captures_print(envelope->capture_list, stdout))
        request->exit_code = dp_trouble("%s", dp_err_sentence(DP_ERR_NOMEM));
    return DP_TAKE_DONE;
}

int dp_capture_list_command(const struct dp_command *command, int argc, char **argv)
{
    struct dp_remote_options options;
    struct dp_words words;
    uint64_t limit = 20;
    const struct dp_option more[] = {{"--limit", DP_OPTION_NUMBER, &limit, 1, 1000}};
    if (dp_simple_parse(DP_CAPTURE_GROUP, command, argc, argv, &options, more, 1, 0, 0, &words))
        return DP_EXIT_TROUBLE;
    Droppoint__Envelope envelope = DROPPOINT__ENVELOPE__INIT;
    Droppoint__CaptureListRequest list = DROPPOINT__CAPTURE_LIST_REQUEST__INIT;
    list.limit = (uint32_t)limit;
    envelope.body_case = DROPPOINT__ENVELOPE__BODY_CAPTURE_LIST_REQUEST;
    envelope.capture_list_request = &list;
    struct request request = {.json = options.json};
    int exit_code = dp_simple_ask(&options, &envelope, take_list, &request);
    return exit_code ? exit_code : request.exit_code;
}

static enum dp_take take_document(void *context, const Droppoint__Envelope *envelope)
{
    struct request *request = context;
    if (envelope->body_case != DROPPOINT__ENVELOPE__BODY_CAPTURE_DOCUMENT)
        return DP_TAKE_MORE;
    request->exit_code =
        dp_capture_print(request->capture_id, envelope->capture_document->json, request->json, request->html);
    return DP_TAKE_DONE;
}

int dp_capture_show_command(const struct dp_command *command, int argc, char **argv)
{
    struct dp_remote_options options;
    struct dp_words words;
    struct dp_diag diag = {""};
    const char *html = NULL;
    const struct dp_option more[] = {{"--html", DP_OPTION_TEXT, &html, 0, 0}};
    if (dp_simple_parse(DP_CAPTURE_GROUP, command, argc, argv, &options, more, 1, 1, 1, &words) ||
        !dp_capture_id_check(command, words.word[0]))
        return DP_EXIT_TROUBLE;
    int rc = html ? dp_whole_file_check(NULL, 0, html, &diag) : 0;
    if (rc)
        return dp_trouble("%s", dp_reason(&diag, rc));
    Droppoint__Envelope envelope = DROPPOINT__ENVELOPE__INIT;
    Droppoint__CaptureShow show = DROPPOINT__CAPTURE_SHOW__INIT;
    show.capture_id = (char *)words.word[0];
    envelope.body_case = DROPPOINT__ENVELOPE__BODY_CAPTURE_SHOW;
    envelope.capture_show = &show;
    struct request request = {words.word[0], options.json, DP_EXIT_TROUBLE, html};
    int exit_code = dp_simple_ask(&options, &envelope, take_document, &request);
    return exit_code ? exit_code : request.exit_code;
}
