/* What the kernel's packet filter says of packets that it traces: messages of nf_tables. I/O-free. */
#ifndef DROPPOINT_AGENT_PROBE_FIREWALL_TRACE_H
#define DROPPOINT_AGENT_PROBE_FIREWALL_TRACE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/err/err.h"

#define FW_NAME 128

enum fw_step { FW_RULE, FW_RETURN, FW_POLICY };
enum fw_verdict { FW_CONTINUE, FW_ACCEPT, FW_DROP, FW_OTHER };

struct fw_event {
    uint32_t id;    /* of the packet */
    uint8_t family; /* NFPROTO_INET 1, IPV4 2, ARP 3, NETDEV 5, BRIDGE 7, IPV6 10 */
    char table[FW_NAME], chain[FW_NAME];
    uint64_t handle; /* of the rule; 0: none */
    enum fw_step step;
    enum fw_verdict verdict;
};

/* One NFT_MSG_TRACE message from its nfgenmsg on. DP_ERR_FORMAT. */
int fw_event_parse(const void *bytes, size_t length, struct fw_event *ret_event) DP_MUST_CHECK;
/* "inet", "ip" ... */
const char *fw_family_name(uint8_t family);

/* A connection as the kernel tracks it, both ways. */
struct fw_tuple {
    uint8_t family; /* AF_INET, AF_INET6 */
    uint8_t protocol;
    char source[64], destination[64];
    uint16_t source_port, destination_port;
};
struct fw_connection {
    struct fw_tuple original, reply;
};
/* One IPCTNL_MSG_CT_NEW message from its nfgenmsg on. DP_ERR_FORMAT. */
int fw_connection_parse(const void *bytes, size_t length, struct fw_connection *ret_connection) DP_MUST_CHECK;

#endif
