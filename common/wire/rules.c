/* The table: every field of every message in proto/droppoint.proto, in its order. tests/unit/wire shows that
 * none is missing. */
#include "common/wire/rules.h"
#include "common/wire/wire.h"

#define TEXT_MAX 4096
#define FILTER_MAX 4096
#define NARROWED_MAX (3 * FILTER_MAX) /* the agent's filter and the requested one */
#define SNAPLEN_MIN 64
#define SNAPLEN_MAX 262144
#define DURATION_MAX_MS (24LL * 3600 * 1000)
#define VANTAGES_MAX 64
#define INTERFACES_MAX 1024
#define FLOWS_MAX 10000
#define LIST_MAX 10000
#define BATCH_MAX (1024 * 1024)
#define RECORDS_MAX 65536
#define CREDIT_MAX (1LL << 40)
#define OPTION_NAME_MAX 63
#define OPTION_VALUE_MAX 1024
#define OPTIONS_MAX 1024
#define PROBE_AGENTS_MAX 1024

static const char *const refusals[] = {"revoked",      "name-taken",      "version",
                                       "not-an-agent", "not-an-operator", NULL};
static const char *const endings[] = {"",          "duration",       "stopped", "packets", "disk",
                                      "interface", "collector-lost", "crash",   NULL};
static const char *const agent_states[] = {"pending", "approved", "revoked", NULL};
static const char *const vantage_states[] = {"preparing", "ready",  "running", "ended",
                                             "failed",    "absent", "away",    NULL};
static const char *const phases[] = {"preparing", "running", "draining", NULL};
static const char *const probe_states[] = {"preparing", "ready", "running", "away", "done", "failed", NULL};
static const char *const probe_statuses[] = {"ok", "warning", "critical", "unknown", NULL};
static const char *const asked_probe_statuses[] = {"", "ok", "warning", "critical", "unknown", NULL};
static const char *const capture_states[] = {"running", "done", "failed", "aborted", NULL};

/* Version and presence of a body are checked before. */
static const struct dp_field_rule envelope[] = {
    {.tag = 1, .kind = DP_RULE_NUMBER, .max = UINT32_MAX}, /* version */
    {.tag = 2, .kind = DP_RULE_NUMBER, .max = INT64_MAX},  /* request */
    {.tag = 10, .kind = DP_RULE_ANY},                      /* agent_hello */
    {.tag = 11, .kind = DP_RULE_ANY},                      /* welcome */
    {.tag = 12, .kind = DP_RULE_ANY},                      /* refused */
    {.tag = 13, .kind = DP_RULE_ANY},                      /* ping */
    {.tag = 14, .kind = DP_RULE_ANY},                      /* pong */
    {.tag = 15, .kind = DP_RULE_ANY},                      /* capture_prepare */
    {.tag = 16, .kind = DP_RULE_ANY},                      /* capture_ready */
    {.tag = 17, .kind = DP_RULE_ANY},                      /* capture_start */
    {.tag = 18, .kind = DP_RULE_ANY},                      /* capture_stop */
    {.tag = 19, .kind = DP_RULE_ANY},                      /* capture_state */
    {.tag = 20, .kind = DP_RULE_ANY},                      /* stream_open */
    {.tag = 21, .kind = DP_RULE_ANY},                      /* stream_data */
    {.tag = 22, .kind = DP_RULE_ANY},                      /* stream_ack */
    {.tag = 23, .kind = DP_RULE_ANY},                      /* stream_resume */
    {.tag = 24, .kind = DP_RULE_ANY},                      /* stream_close */
    {.tag = 25, .kind = DP_RULE_ANY},                      /* credit */
    {.tag = 26, .kind = DP_RULE_ANY},                      /* export_request */
    {.tag = 27, .kind = DP_RULE_ANY},                      /* export_chunk */
    {.tag = 28, .kind = DP_RULE_ANY},                      /* export_credit */
    {.tag = 29, .kind = DP_RULE_ANY},                      /* probe_prepare */
    {.tag = 30, .kind = DP_RULE_ANY},                      /* probe_ready */
    {.tag = 31, .kind = DP_RULE_ANY},                      /* probe_start */
    {.tag = 32, .kind = DP_RULE_ANY},                      /* probe_cancel */
    {.tag = 40, .kind = DP_RULE_ANY},                      /* operator_hello */
    {.tag = 41, .kind = DP_RULE_ANY},                      /* result */
    {.tag = 42, .kind = DP_RULE_ANY},                      /* agent_list_request */
    {.tag = 43, .kind = DP_RULE_ANY},                      /* agent_list */
    {.tag = 44, .kind = DP_RULE_ANY},                      /* agent_approve */
    {.tag = 45, .kind = DP_RULE_ANY},                      /* agent_revoke */
    {.tag = 46, .kind = DP_RULE_ANY},                      /* path_set */
    {.tag = 47, .kind = DP_RULE_ANY},                      /* path_list_request */
    {.tag = 48, .kind = DP_RULE_ANY},                      /* path_list */
    {.tag = 49, .kind = DP_RULE_ANY},                      /* path_remove */
    {.tag = 50, .kind = DP_RULE_ANY},                      /* capture_run */
    {.tag = 51, .kind = DP_RULE_ANY},                      /* capture_cancel */
    {.tag = 52, .kind = DP_RULE_ANY},                      /* capture_progress */
    {.tag = 53, .kind = DP_RULE_ANY},                      /* capture_done */
    {.tag = 54, .kind = DP_RULE_ANY},                      /* capture_list_request */
    {.tag = 55, .kind = DP_RULE_ANY},                      /* capture_list */
    {.tag = 56, .kind = DP_RULE_ANY},                      /* capture_show */
    {.tag = 57, .kind = DP_RULE_ANY},                      /* capture_document */
    {.tag = 58, .kind = DP_RULE_ANY},                      /* capture_export */
    {.tag = 59, .kind = DP_RULE_ANY},                      /* probe_run */
    {.tag = 60, .kind = DP_RULE_ANY},                      /* probe_progress */
    {.tag = 61, .kind = DP_RULE_ANY},                      /* probe_result */
    {.tag = 62, .kind = DP_RULE_ANY},                      /* probe_done */
    {.tag = 63, .kind = DP_RULE_ANY},                      /* probe_list_request */
    {.tag = 64, .kind = DP_RULE_ANY},                      /* probe_list */
    {.tag = 65, .kind = DP_RULE_ANY},                      /* probe_show */
};

static const struct dp_field_rule agent_hello[] = {
    {.tag = 1, .kind = DP_RULE_NAME, .min = 1},                     /* name */
    {.tag = 2, .kind = DP_RULE_NUMBER, .min = 1, .max = INT64_MAX}, /* epoch */
    {.tag = 3, .kind = DP_RULE_LINE, .max = 128},                   /* software */
    {.tag = 4, .kind = DP_RULE_INTERFACE, .items = INTERFACES_MAX}, /* interfaces */
};

static const struct dp_field_rule welcome[] = {
    {.tag = 1, .kind = DP_RULE_NAME},                            /* name */
    {.tag = 2, .kind = DP_RULE_NUMBER, .min = 10, .max = 60000}, /* heartbeat_ms */
    {.tag = 3, .kind = DP_RULE_NUMBER, .max = CREDIT_MAX},       /* credit_bytes */
};

static const struct dp_field_rule refused[] = {
    {.tag = 1, .kind = DP_RULE_WORD, .words = refusals}, /* reason */
    {.tag = 2, .kind = DP_RULE_TEXT, .max = TEXT_MAX},   /* text */
};

static const struct dp_field_rule ping[] = {
    {.tag = 1, .kind = DP_RULE_NUMBER, .max = INT64_MAX}, /* number */
    {.tag = 2, .kind = DP_RULE_NUMBER, .max = INT64_MAX}, /* sent_ns */
};

static const struct dp_field_rule pong[] = {
    {.tag = 1, .kind = DP_RULE_NUMBER, .max = INT64_MAX}, /* number */
    {.tag = 2, .kind = DP_RULE_NUMBER, .max = INT64_MAX}, /* ping_sent_ns */
    {.tag = 3, .kind = DP_RULE_NUMBER, .max = INT64_MAX}, /* received_ns */
    {.tag = 4, .kind = DP_RULE_NUMBER, .max = INT64_MAX}, /* sent_ns */
};

static const struct dp_field_rule capture_prepare[] = {
    {.tag = 1, .kind = DP_RULE_ID, .min = 1},                                   /* capture_id */
    {.tag = 2, .kind = DP_RULE_VANTAGE},                                        /* vantage */
    {.tag = 3, .kind = DP_RULE_INTERFACE},                                      /* interface */
    {.tag = 4, .kind = DP_RULE_LINE, .max = FILTER_MAX},                        /* filter */
    {.tag = 5, .kind = DP_RULE_NUMBER, .min = SNAPLEN_MIN, .max = SNAPLEN_MAX}, /* snaplen */
    {.tag = 6, .kind = DP_RULE_NUMBER, .min = 1, .max = DURATION_MAX_MS},       /* duration_ms */
    {.tag = 7, .kind = DP_RULE_NUMBER, .max = INT64_MAX},                       /* max_packets */
    {.tag = 8, .kind = DP_RULE_NUMBER, .max = INT64_MAX},                       /* ring_bytes */
    {.tag = 9, .kind = DP_RULE_BYTES, .min = 16, .max = 16},                    /* hash_key */
};

static const struct dp_field_rule capture_ready[] = {
    {.tag = 1, .kind = DP_RULE_ID, .min = 1},              /* capture_id */
    {.tag = 2, .kind = DP_RULE_VANTAGE},                   /* vantage */
    {.tag = 3, .kind = DP_RULE_ANY},                       /* ok */
    {.tag = 4, .kind = DP_RULE_TOKEN, .max = 31},          /* error */
    {.tag = 5, .kind = DP_RULE_TEXT, .max = TEXT_MAX},     /* error_text */
    {.tag = 6, .kind = DP_RULE_LINE, .max = NARROWED_MAX}, /* filter */
    {.tag = 7, .kind = DP_RULE_NUMBER, .max = 65535},      /* link_type */
};

static const struct dp_field_rule capture_start[] = {
    {.tag = 1, .kind = DP_RULE_ID, .min = 1}, /* capture_id */
};

static const struct dp_field_rule capture_stop[] = {
    {.tag = 1, .kind = DP_RULE_ID, .min = 1},     /* capture_id */
    {.tag = 2, .kind = DP_RULE_TOKEN, .max = 31}, /* reason */
};

static const struct dp_field_rule capture_state[] = {
    {.tag = 1, .kind = DP_RULE_ID, .min = 1},             /* capture_id */
    {.tag = 2, .kind = DP_RULE_VANTAGE},                  /* vantage */
    {.tag = 3, .kind = DP_RULE_ANY},                      /* running */
    {.tag = 4, .kind = DP_RULE_NUMBER, .max = INT64_MAX}, /* packets */
    {.tag = 5, .kind = DP_RULE_NUMBER, .max = INT64_MAX}, /* kernel_dropped */
    {.tag = 6, .kind = DP_RULE_NUMBER, .max = INT64_MAX}, /* started_ns */
    {.tag = 7, .kind = DP_RULE_NUMBER, .max = INT64_MAX}, /* ended_ns */
    {.tag = 8, .kind = DP_RULE_WORD, .words = endings},   /* reason */
    {.tag = 9, .kind = DP_RULE_TEXT, .max = TEXT_MAX},    /* error_text */
};

static const struct dp_field_rule stream_open[] = {
    {.tag = 1, .kind = DP_RULE_NUMBER, .min = 1, .max = INT64_MAX}, /* epoch */
    {.tag = 2, .kind = DP_RULE_NUMBER, .min = 1, .max = INT64_MAX}, /* stream */
    {.tag = 3, .kind = DP_RULE_ENUM},                               /* kind */
    {.tag = 4, .kind = DP_RULE_ID, .min = 1},                       /* capture_id */
    {.tag = 5, .kind = DP_RULE_VANTAGE},                            /* vantage */
};

static const struct dp_field_rule stream_data[] = {
    {.tag = 1, .kind = DP_RULE_NUMBER, .min = 1, .max = INT64_MAX}, /* epoch */
    {.tag = 2, .kind = DP_RULE_NUMBER, .min = 1, .max = INT64_MAX}, /* stream */
    {.tag = 3, .kind = DP_RULE_NUMBER, .min = 1, .max = INT64_MAX}, /* number */
    {.tag = 4, .kind = DP_RULE_NUMBER, .max = UINT32_MAX},          /* crc32c */
    {.tag = 5, .kind = DP_RULE_NUMBER, .max = RECORDS_MAX},         /* records */
    {.tag = 6, .kind = DP_RULE_BYTES, .min = 1, .max = BATCH_MAX},  /* payload */
};

static const struct dp_field_rule stream_ack[] = {
    {.tag = 1, .kind = DP_RULE_NUMBER, .min = 1, .max = INT64_MAX}, /* epoch */
    {.tag = 2, .kind = DP_RULE_NUMBER, .min = 1, .max = INT64_MAX}, /* stream */
    {.tag = 3, .kind = DP_RULE_NUMBER, .max = INT64_MAX},           /* number */
};

static const struct dp_field_rule stream_resume[] = {
    {.tag = 1, .kind = DP_RULE_NUMBER, .min = 1, .max = INT64_MAX}, /* epoch */
    {.tag = 2, .kind = DP_RULE_NUMBER, .min = 1, .max = INT64_MAX}, /* stream */
    {.tag = 3, .kind = DP_RULE_NUMBER, .min = 1, .max = INT64_MAX}, /* next */
};

static const struct dp_field_rule stream_close[] = {
    {.tag = 1, .kind = DP_RULE_NUMBER, .min = 1, .max = INT64_MAX}, /* epoch */
    {.tag = 2, .kind = DP_RULE_NUMBER, .min = 1, .max = INT64_MAX}, /* stream */
    {.tag = 3, .kind = DP_RULE_NUMBER, .max = INT64_MAX},           /* last */
};

static const struct dp_field_rule credit[] = {
    {.tag = 1, .kind = DP_RULE_NUMBER, .max = CREDIT_MAX}, /* bytes */
};

static const struct dp_field_rule flow_key[] = {
    {.tag = 1, .kind = DP_RULE_NUMBER, .max = 255},   /* proto */
    {.tag = 2, .kind = DP_RULE_ADDRESS},              /* a */
    {.tag = 3, .kind = DP_RULE_ADDRESS},              /* b */
    {.tag = 4, .kind = DP_RULE_NUMBER, .max = 65535}, /* a_port */
    {.tag = 5, .kind = DP_RULE_NUMBER, .max = 65535}, /* b_port */
};

static const struct dp_field_rule export_request[] = {
    {.tag = 1, .kind = DP_RULE_ID, .min = 1},             /* capture_id */
    {.tag = 2, .kind = DP_RULE_VANTAGE},                  /* vantage */
    {.tag = 3, .kind = DP_RULE_ANY, .items = FLOWS_MAX},  /* flows */
    {.tag = 4, .kind = DP_RULE_NUMBER, .max = INT64_MAX}, /* max_bytes */
};

static const struct dp_field_rule export_chunk[] = {
    {.tag = 1, .kind = DP_RULE_ID, .min = 1},             /* capture_id */
    {.tag = 2, .kind = DP_RULE_VANTAGE},                  /* vantage */
    {.tag = 3, .kind = DP_RULE_NUMBER, .max = INT64_MAX}, /* offset */
    {.tag = 4, .kind = DP_RULE_BYTES, .max = BATCH_MAX},  /* data */
    {.tag = 5, .kind = DP_RULE_ANY},                      /* last */
    {.tag = 6, .kind = DP_RULE_TOKEN, .max = 31},         /* error */
    {.tag = 7, .kind = DP_RULE_TEXT, .max = TEXT_MAX},    /* error_text */
};

static const struct dp_field_rule export_credit[] = {
    {.tag = 1, .kind = DP_RULE_ID, .min = 1},             /* capture_id */
    {.tag = 2, .kind = DP_RULE_VANTAGE},                  /* vantage */
    {.tag = 3, .kind = DP_RULE_NUMBER, .max = INT64_MAX}, /* taken */
};

static const struct dp_field_rule operator_hello[] = {
    {.tag = 1, .kind = DP_RULE_LINE, .max = 128}, /* software */
};

static const struct dp_field_rule result[] = {
    {.tag = 1, .kind = DP_RULE_NUMBER, .min = -1000},  /* code */
    {.tag = 2, .kind = DP_RULE_TEXT, .max = TEXT_MAX}, /* text */
};

static const struct dp_field_rule agent_entry[] = {
    {.tag = 1, .kind = DP_RULE_NAME},                                       /* name */
    {.tag = 2, .kind = DP_RULE_FINGERPRINT, .min = 1, .max = 47},           /* fingerprint */
    {.tag = 3, .kind = DP_RULE_WORD, .words = agent_states},                /* state */
    {.tag = 4, .kind = DP_RULE_ANY},                                        /* connected */
    {.tag = 5, .kind = DP_RULE_LINE, .max = 63},                            /* address */
    {.tag = 6, .kind = DP_RULE_NUMBER, .max = INT64_MAX},                   /* last_seen_ns */
    {.tag = 7, .kind = DP_RULE_NUMBER, .min = INT64_MIN, .max = INT64_MAX}, /* clock_offset_ns */
    {.tag = 8, .kind = DP_RULE_NUMBER, .min = -1, .max = INT64_MAX},        /* clock_error_ns */
    {.tag = 9, .kind = DP_RULE_INTERFACE, .items = INTERFACES_MAX},         /* interfaces */
    {.tag = 10, .kind = DP_RULE_LINE, .max = 128},                          /* software */
};

static const struct dp_field_rule agent_list[] = {
    {.tag = 1, .kind = DP_RULE_ANY, .items = LIST_MAX}, /* agents */
};

static const struct dp_field_rule agent_approve[] = {
    {.tag = 1, .kind = DP_RULE_FINGERPRINT, .min = 1, .max = 47}, /* fingerprint */
    {.tag = 2, .kind = DP_RULE_NAME},                             /* name */
};

static const struct dp_field_rule agent_revoke[] = {
    {.tag = 1, .kind = DP_RULE_NAME, .min = 1}, /* agent */
};

static const struct dp_field_rule path_entry[] = {
    {.tag = 1, .kind = DP_RULE_NAME, .min = 1},                 /* name */
    {.tag = 2, .kind = DP_RULE_VANTAGE, .items = VANTAGES_MAX}, /* vantages */
};

static const struct dp_field_rule path_set[] = {
    {.tag = 1, .kind = DP_RULE_REQUIRED}, /* path */
};

static const struct dp_field_rule path_list_request[] = {
    {.tag = 1, .kind = DP_RULE_NAME}, /* name */
};

static const struct dp_field_rule path_list[] = {
    {.tag = 1, .kind = DP_RULE_ANY, .items = LIST_MAX}, /* paths */
};

static const struct dp_field_rule path_remove[] = {
    {.tag = 1, .kind = DP_RULE_NAME, .min = 1}, /* name */
};

static const struct dp_field_rule capture_run[] = {
    {.tag = 1, .kind = DP_RULE_NAME, .min = 1},                                 /* path */
    {.tag = 2, .kind = DP_RULE_LINE, .max = FILTER_MAX},                        /* filter */
    {.tag = 3, .kind = DP_RULE_NUMBER, .min = 1, .max = DURATION_MAX_MS},       /* duration_ms */
    {.tag = 4, .kind = DP_RULE_NUMBER, .min = SNAPLEN_MIN, .max = SNAPLEN_MAX}, /* snaplen */
    {.tag = 5, .kind = DP_RULE_ANY},                                            /* partial */
    {.tag = 6, .kind = DP_RULE_NUMBER, .max = INT64_MAX},                       /* max_packets */
};

static const struct dp_field_rule capture_cancel[] = {
    {.tag = 1, .kind = DP_RULE_ID, .min = 1}, /* capture_id */
};

static const struct dp_field_rule vantage_progress[] = {
    {.tag = 1, .kind = DP_RULE_VANTAGE},                       /* vantage */
    {.tag = 2, .kind = DP_RULE_WORD, .words = vantage_states}, /* state */
    {.tag = 3, .kind = DP_RULE_NUMBER, .max = INT64_MAX},      /* packets */
    {.tag = 4, .kind = DP_RULE_NUMBER, .max = INT64_MAX},      /* kernel_dropped */
    {.tag = 5, .kind = DP_RULE_TEXT, .max = TEXT_MAX},         /* text */
};

static const struct dp_field_rule capture_progress[] = {
    {.tag = 1, .kind = DP_RULE_ID, .min = 1},               /* capture_id */
    {.tag = 2, .kind = DP_RULE_WORD, .words = phases},      /* phase */
    {.tag = 3, .kind = DP_RULE_ANY, .items = VANTAGES_MAX}, /* vantages */
    {.tag = 4, .kind = DP_RULE_NUMBER, .max = INT64_MAX},   /* lost_packets */
    {.tag = 5, .kind = DP_RULE_NUMBER, .max = INT64_MAX},   /* lost_bytes */
    {.tag = 6, .kind = DP_RULE_NUMBER, .max = UINT32_MAX},  /* elapsed_ms */
};

static const struct dp_field_rule capture_done[] = {
    {.tag = 1, .kind = DP_RULE_ID},                               /* capture_id */
    {.tag = 2, .kind = DP_RULE_NUMBER, .min = -1000},             /* code */
    {.tag = 3, .kind = DP_RULE_TEXT, .max = TEXT_MAX},            /* text */
    {.tag = 4, .kind = DP_RULE_JSON, .max = DP_WIRE_MAX_MESSAGE}, /* json */
};

static const struct dp_field_rule capture_list_request[] = {
    {.tag = 1, .kind = DP_RULE_NUMBER, .max = LIST_MAX}, /* limit */
};

static const struct dp_field_rule capture_entry[] = {
    {.tag = 1, .kind = DP_RULE_ID, .min = 1},                   /* capture_id */
    {.tag = 2, .kind = DP_RULE_NAME},                           /* path */
    {.tag = 3, .kind = DP_RULE_NUMBER, .max = INT64_MAX},       /* started_ns */
    {.tag = 4, .kind = DP_RULE_NUMBER, .max = DURATION_MAX_MS}, /* duration_ms */
    {.tag = 5, .kind = DP_RULE_WORD, .words = capture_states},  /* state */
    {.tag = 6, .kind = DP_RULE_TOKEN, .max = 31},               /* verdict */
    {.tag = 7, .kind = DP_RULE_TEXT, .max = TEXT_MAX},          /* summary */
};

static const struct dp_field_rule capture_list[] = {
    {.tag = 1, .kind = DP_RULE_ANY, .items = LIST_MAX}, /* captures */
};

static const struct dp_field_rule capture_show[] = {
    {.tag = 1, .kind = DP_RULE_ID, .min = 1}, /* capture_id */
};

static const struct dp_field_rule capture_document[] = {
    {.tag = 1, .kind = DP_RULE_ID, .min = 1},                     /* capture_id */
    {.tag = 2, .kind = DP_RULE_JSON, .max = DP_WIRE_MAX_MESSAGE}, /* json */
};

static const struct dp_field_rule capture_export[] = {
    {.tag = 1, .kind = DP_RULE_ID, .min = 1}, /* capture_id */
    {.tag = 2, .kind = DP_RULE_ANY},          /* all_flows */
};

static const struct dp_field_rule probe_option[] = {
    {.tag = 1, .kind = DP_RULE_LINE, .min = 2, .max = OPTION_NAME_MAX}, /* name */
    {.tag = 2, .kind = DP_RULE_LINE, .max = OPTION_VALUE_MAX},          /* value */
};

static const struct dp_field_rule probe_prepare[] = {
    {.tag = 1, .kind = DP_RULE_ID, .min = 1},                  /* probe_id */
    {.tag = 2, .kind = DP_RULE_TOKEN, .min = 1, .max = 31},    /* kind */
    {.tag = 3, .kind = DP_RULE_LINE, .max = OPTION_VALUE_MAX}, /* target */
    {.tag = 4, .kind = DP_RULE_ANY, .items = OPTIONS_MAX},     /* options */
};

static const struct dp_field_rule probe_ready[] = {
    {.tag = 1, .kind = DP_RULE_ID, .min = 1},          /* probe_id */
    {.tag = 2, .kind = DP_RULE_ANY},                   /* ok */
    {.tag = 3, .kind = DP_RULE_TOKEN, .max = 31},      /* error */
    {.tag = 4, .kind = DP_RULE_TEXT, .max = TEXT_MAX}, /* error_text */
};

static const struct dp_field_rule probe_start[] = {
    {.tag = 1, .kind = DP_RULE_ID, .min = 1},             /* probe_id */
    {.tag = 2, .kind = DP_RULE_NUMBER, .max = INT64_MAX}, /* at_ns */
    {.tag = 3, .kind = DP_RULE_NUMBER, .max = 5000},      /* in_ms */
};

static const struct dp_field_rule probe_cancel[] = {
    {.tag = 1, .kind = DP_RULE_ID, .min = 1}, /* probe_id */
};

static const struct dp_field_rule probe_run[] = {
    {.tag = 1, .kind = DP_RULE_NAME, .min = 1, .items = PROBE_AGENTS_MAX}, /* agents */
    {.tag = 2, .kind = DP_RULE_TOKEN, .min = 1, .max = 31},                /* kind */
    {.tag = 3, .kind = DP_RULE_LINE, .max = OPTION_VALUE_MAX},             /* target */
    {.tag = 4, .kind = DP_RULE_ANY, .items = OPTIONS_MAX},                 /* options */
};

static const struct dp_field_rule probe_agent[] = {
    {.tag = 1, .kind = DP_RULE_NAME, .min = 1},              /* agent */
    {.tag = 2, .kind = DP_RULE_WORD, .words = probe_states}, /* state */
    {.tag = 3, .kind = DP_RULE_TEXT, .max = TEXT_MAX},       /* text */
};

static const struct dp_field_rule probe_progress[] = {
    {.tag = 1, .kind = DP_RULE_ID, .min = 1},                   /* probe_id */
    {.tag = 2, .kind = DP_RULE_ANY, .items = PROBE_AGENTS_MAX}, /* agents */
};

static const struct dp_field_rule probe_result[] = {
    {.tag = 1, .kind = DP_RULE_ID, .min = 1},                     /* probe_id */
    {.tag = 2, .kind = DP_RULE_JSON, .max = DP_WIRE_MAX_MESSAGE}, /* json */
};

static const struct dp_field_rule probe_done[] = {
    {.tag = 1, .kind = DP_RULE_ID},                               /* probe_id */
    {.tag = 2, .kind = DP_RULE_NUMBER, .min = -1000},             /* code */
    {.tag = 3, .kind = DP_RULE_TEXT, .max = TEXT_MAX},            /* text */
    {.tag = 4, .kind = DP_RULE_JSON, .max = DP_WIRE_MAX_MESSAGE}, /* json */
};

static const struct dp_field_rule probe_list_request[] = {
    {.tag = 1, .kind = DP_RULE_TOKEN, .max = 31},                    /* kind */
    {.tag = 2, .kind = DP_RULE_LINE, .max = OPTION_VALUE_MAX},       /* target */
    {.tag = 3, .kind = DP_RULE_NAME},                                /* agent */
    {.tag = 4, .kind = DP_RULE_WORD, .words = asked_probe_statuses}, /* status */
    {.tag = 5, .kind = DP_RULE_NUMBER, .max = LIST_MAX},             /* limit */
    {.tag = 6, .kind = DP_RULE_ANY},                                 /* changes */
};

static const struct dp_field_rule probe_entry[] = {
    {.tag = 1, .kind = DP_RULE_ID, .min = 1},                  /* probe_id */
    {.tag = 2, .kind = DP_RULE_TOKEN, .min = 1, .max = 31},    /* kind */
    {.tag = 3, .kind = DP_RULE_LINE, .max = OPTION_VALUE_MAX}, /* target */
    {.tag = 4, .kind = DP_RULE_NAME},                          /* agent */
    {.tag = 5, .kind = DP_RULE_NUMBER, .max = INT64_MAX},      /* started_ns */
    {.tag = 6, .kind = DP_RULE_NUMBER, .max = INT64_MAX},      /* duration_us */
    {.tag = 7, .kind = DP_RULE_WORD, .words = probe_statuses}, /* status */
    {.tag = 8, .kind = DP_RULE_TOKEN, .min = 1, .max = 31},    /* class */
    {.tag = 9, .kind = DP_RULE_TEXT, .max = TEXT_MAX},         /* summary */
};

static const struct dp_field_rule probe_list[] = {
    {.tag = 1, .kind = DP_RULE_ANY, .items = LIST_MAX}, /* entries */
};

static const struct dp_field_rule probe_show[] = {
    {.tag = 1, .kind = DP_RULE_ID, .min = 1}, /* probe_id */
};

static const struct dp_message_rule messages[] = {
    {&droppoint__envelope__descriptor, envelope},
    {&droppoint__agent_hello__descriptor, agent_hello},
    {&droppoint__welcome__descriptor, welcome},
    {&droppoint__refused__descriptor, refused},
    {&droppoint__ping__descriptor, ping},
    {&droppoint__pong__descriptor, pong},
    {&droppoint__capture_prepare__descriptor, capture_prepare},
    {&droppoint__capture_ready__descriptor, capture_ready},
    {&droppoint__capture_start__descriptor, capture_start},
    {&droppoint__capture_stop__descriptor, capture_stop},
    {&droppoint__capture_state__descriptor, capture_state},
    {&droppoint__stream_open__descriptor, stream_open},
    {&droppoint__stream_data__descriptor, stream_data},
    {&droppoint__stream_ack__descriptor, stream_ack},
    {&droppoint__stream_resume__descriptor, stream_resume},
    {&droppoint__stream_close__descriptor, stream_close},
    {&droppoint__credit__descriptor, credit},
    {&droppoint__flow_key__descriptor, flow_key},
    {&droppoint__export_request__descriptor, export_request},
    {&droppoint__export_chunk__descriptor, export_chunk},
    {&droppoint__export_credit__descriptor, export_credit},
    {&droppoint__operator_hello__descriptor, operator_hello},
    {&droppoint__result__descriptor, result},
    {&droppoint__agent_list_request__descriptor, NULL},
    {&droppoint__agent_entry__descriptor, agent_entry},
    {&droppoint__agent_list__descriptor, agent_list},
    {&droppoint__agent_approve__descriptor, agent_approve},
    {&droppoint__agent_revoke__descriptor, agent_revoke},
    {&droppoint__path_entry__descriptor, path_entry},
    {&droppoint__path_set__descriptor, path_set},
    {&droppoint__path_list_request__descriptor, path_list_request},
    {&droppoint__path_list__descriptor, path_list},
    {&droppoint__path_remove__descriptor, path_remove},
    {&droppoint__capture_run__descriptor, capture_run},
    {&droppoint__capture_cancel__descriptor, capture_cancel},
    {&droppoint__vantage_progress__descriptor, vantage_progress},
    {&droppoint__capture_progress__descriptor, capture_progress},
    {&droppoint__capture_done__descriptor, capture_done},
    {&droppoint__capture_list_request__descriptor, capture_list_request},
    {&droppoint__capture_entry__descriptor, capture_entry},
    {&droppoint__capture_list__descriptor, capture_list},
    {&droppoint__capture_show__descriptor, capture_show},
    {&droppoint__capture_document__descriptor, capture_document},
    {&droppoint__capture_export__descriptor, capture_export},
    {&droppoint__probe_option__descriptor, probe_option},
    {&droppoint__probe_prepare__descriptor, probe_prepare},
    {&droppoint__probe_ready__descriptor, probe_ready},
    {&droppoint__probe_start__descriptor, probe_start},
    {&droppoint__probe_cancel__descriptor, probe_cancel},
    {&droppoint__probe_run__descriptor, probe_run},
    {&droppoint__probe_agent__descriptor, probe_agent},
    {&droppoint__probe_progress__descriptor, probe_progress},
    {&droppoint__probe_result__descriptor, probe_result},
    {&droppoint__probe_done__descriptor, probe_done},
    {&droppoint__probe_list_request__descriptor, probe_list_request},
    {&droppoint__probe_entry__descriptor, probe_entry},
    {&droppoint__probe_list__descriptor, probe_list},
    {&droppoint__probe_show__descriptor, probe_show},
};

const struct dp_message_rule *dp_wire_rule(const ProtobufCMessageDescriptor *descriptor)
{
    for (size_t i = 0; i < sizeof messages / sizeof messages[0]; i++)
        if (messages[i].descriptor == descriptor)
            return &messages[i];
    return NULL;
}
