/* What answers of several name servers to the same questions come to. I/O-free. */
#ifndef DROPPOINT_AGENT_PROBE_DNS_VERDICT_H
#define DROPPOINT_AGENT_PROBE_DNS_VERDICT_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "agent/probe/net/dns_query.h"

enum dns_role { DNS_SYSTEM, DNS_NAMED, DNS_AUTHORITATIVE };

/* From good to bad: the worst of all cells comes first in the verdict, after those that stand for no trouble
 * with a server. */
enum dns_state { DNS_ANSWERS, DNS_NODATA, DNS_NXDOMAIN, DNS_LAME, DNS_REFUSED, DNS_SERVFAIL, DNS_TIMEOUT };

struct dns_server {
    char address[DP_ADDRESS_TEXT]; /* with port */
    char name[DP_DNS_NAME];        /* of an authoritative one */
    enum dns_role role;
};

struct dns_question {
    char name[DP_DNS_NAME];
    uint16_t type;
    bool of_domain; /* of the target itself, not of a name below it: its NXDOMAIN is the target's */
};

/* One server's answer to one question. */
struct dns_cell {
    bool done;
    enum dns_state state;
    uint16_t rcode;
    bool aa, tcp;
    double rtt_ms;
    uint32_t ttl;      /* least of the answers */
    char *canonical;   /* sorted data, LF between; owned */
    json_t *answers;   /* [{data, ttl}]; owned */
    const char *error; /* static; NULL: none */
};

/* Fills the cell from an answer. */
void dns_cell_take(struct dns_cell *cell, const struct dp_dns_answer *answer, uint16_t type,
                   bool authoritative);
/* Nobody waits for it any more: no answer. */
void dns_cell_expire(struct dns_cell *cell);
void dns_cell_free(struct dns_cell *cell);

struct dns_verdict {
    const char *class;
    char summary[500];
    const char *next_step;
    json_t *differences; /* new reference: [{name, type, views: [{servers: [], answers: []}]}] */
};

/* `cells` has a row for each server and a column for each question. */
struct dns_verdict dns_judge(const char *target, const struct dns_server *servers, size_t server_count,
                             const struct dns_question *questions, size_t question_count,
                             const struct dns_cell *cells);

/* {server, role, name, rcode, aa, rtt_ms, transport, ttl, answers, questions}; the first question's at the
 * top. */
json_t *dns_server_json(const struct dns_server *server, const struct dns_question *questions,
                        size_t question_count, const struct dns_cell *row);

#endif
