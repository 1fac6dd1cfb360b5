/* What speaks on a port, by its first words. I/O-free. */
#ifndef DROPPOINT_AGENT_PROBE_SERVICES_RECOGNISE_H
#define DROPPOINT_AGENT_PROBE_SERVICES_RECOGNISE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The protocol of a greeting that comes by itself: "smtp", "ftp", "imap", "pop3", "ssh", "mysql", "vnc",
 * "managesieve"; NULL: not known (yet). */
const char *service_by_greeting(const uint8_t *bytes, size_t length);
/* The protocol of an answer to an HTTP request, or of what is said to it by others. NULL: not known. */
const char *service_by_http_answer(const uint8_t *bytes, size_t length);
/* Whether it is an answer to the DNS question service_dns_question writes, over TCP. */
bool service_is_dns(const uint8_t *bytes, size_t length);
/* What a server's words offer: STARTTLS (STLS) in a list of capabilities. */
bool service_offers_starttls(const char *protocol, const uint8_t *bytes, size_t length);
/* Whether the list of capabilities is whole. */
bool service_capabilities_end(const char *protocol, const uint8_t *bytes, size_t length);
/* The question that gets the capabilities; NULL: the protocol has none. */
const char *service_capability_question(const char *protocol);

#define SERVICE_DNS_QUESTION_BYTES 19
extern const uint8_t service_dns_question[SERVICE_DNS_QUESTION_BYTES];

#define SERVICE_PORTS_MAX 4096
/* "25,80,8000-8010" to ports, without doubles, in rising order; how many, 0: malformed, or too many. */
size_t service_ports_parse(const char *text, uint16_t *ret_ports);

#endif
