/* The kinds of probe. Each lives in the folder of its name. */
#ifndef DROPPOINT_AGENT_PROBE_KINDS_H
#define DROPPOINT_AGENT_PROBE_KINDS_H

#include "agent/probe/core/kind.h"

extern const struct dp_probe_kind dp_probe_arp;
extern const struct dp_probe_kind dp_probe_dns;
extern const struct dp_probe_kind dp_probe_dnsbl;
extern const struct dp_probe_kind dp_probe_firewall;
extern const struct dp_probe_kind dp_probe_imap;
extern const struct dp_probe_kind dp_probe_link;
extern const struct dp_probe_kind dp_probe_mtu;
extern const struct dp_probe_kind dp_probe_mysql;
extern const struct dp_probe_kind dp_probe_ping;
extern const struct dp_probe_kind dp_probe_pop3;
extern const struct dp_probe_kind dp_probe_queue;
extern const struct dp_probe_kind dp_probe_relay;
extern const struct dp_probe_kind dp_probe_services;
extern const struct dp_probe_kind dp_probe_smtp;
extern const struct dp_probe_kind dp_probe_tcp;
extern const struct dp_probe_kind dp_probe_tls;
extern const struct dp_probe_kind dp_probe_trace;
extern const struct dp_probe_kind dp_probe_zone;

#endif
