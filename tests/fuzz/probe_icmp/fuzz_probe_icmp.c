/* Any bytes as ICMP of either family, as ARP, and as messages of the kernel about interfaces, traced packets,
 * connections. */
#include <stdlib.h>
#include <sys/socket.h>

#include "agent/probe/arp/table.h"
#include "agent/probe/firewall/trace.h"
#include "agent/probe/link/links.h"
#include "agent/probe/net/echo_codec.h"
#include "agent/probe/trace/labels.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const uint8_t target[16] = {203, 0, 113, 25};
    struct trace_label labels[TRACE_LABELS_MAX];
    struct dp_echo_message message;
    struct link_info link;
    struct fw_event event;
    struct fw_connection connection;
    struct arp_mac mac;
    uint32_t address;
    bool lies;
    int ttl;
    if (arp_read(data, size, &address, &mac, &lies) && (size < ARP_FRAME || !address))
        abort();
    size_t header = dp_echo_ip4_header(data, size, &ttl);
    if (header > size)
        abort();
    for (int v6 = 0; v6 < 2; v6++) {
        if (dp_echo_read(v6 ? AF_INET6 : AF_INET, data + header, size - header, &message) &&
            message.payload + message.payload_length != data + size)
            abort();
        if (trace_labels_read(v6, data + header, size - header, labels) > TRACE_LABELS_MAX)
            abort();
        (void)trace_quotes_target(v6, data + header, size - header, target);
    }
    // netlink messages lie at even addresses
    void *aligned = malloc(size ? size : 1);
    if (aligned) {
        for (size_t i = 0; i < size; i++)
            ((uint8_t *)aligned)[i] = data[i];
        if (link_parse(aligned, size, &link) == 0 && !link.name[0])
            abort();
        (void)!fw_event_parse(aligned, size, &event);
        (void)!fw_connection_parse(aligned, size, &connection);
        free(aligned);
    }
    return 0;
}
