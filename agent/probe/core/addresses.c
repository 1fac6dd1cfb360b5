#include "agent/probe/core/addresses.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

/* This host has no address of that family that could talk to it: the answer would be about this host, not
 * about the target. */
static bool cannot_send(const struct dp_request *request, const union dp_address *address)
{
    char own[DP_ADDRESS_TEXT];
    union dp_address to = *address;
    dp_address_set_port(&to, 9);
    int fd = socket(to.any.sa_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return errno == EAFNOSUPPORT;
    bool reachable = connect(fd, &to.any, dp_address_size(&to)) == 0;
    bool no_address = !reachable && (errno == ENETUNREACH || errno == EADDRNOTAVAIL);
    (void)close(fd);
    return no_address && !dp_outgoing_address(request, to.any.sa_family, own);
}

/* The request of the whole with one address as its target. */
static int make_request(const struct dp_parts *parts, const struct dp_request *whole,
                        const struct dp_host_port *named, const char *name_option,
                        const union dp_address *address, struct dp_request **ret_request,
                        struct dp_diag *diag)
{
    char text[DP_ADDRESS_TEXT], target[DP_ADDRESS_TEXT + 16];
    bool v6 = address->any.sa_family == AF_INET6;
    (void)dp_address_text(address, text);
    if (named->port)
        (void)snprintf(target, sizeof target, v6 ? "[%s]:%u" : "%s:%u", text, named->port);
    else
        (void)snprintf(target, sizeof target, "%s", text);
    int rc = dp_parts_request(parts, NULL, ret_request, diag);
    if (!rc && name_option && !dp_request_given(whole, name_option))
        rc = dp_request_set(*ret_request, name_option, named->host, diag);
    return rc ? rc : dp_request_set_target(*ret_request, target, diag);
}

static json_t *id_json(const union dp_address *address)
{
    char text[DP_ADDRESS_TEXT];
    return json_pack("{s:s, s:s}", "address", dp_address_text(address, text), "family",
                     address->any.sa_family == AF_INET ? "ipv4" : "ipv6");
}

bool dp_addresses_take(struct dp_probe *probe, const struct dp_parts_rules *rules,
                       const struct dp_host_port *target, const char *name_option,
                       const union dp_address *addresses, size_t count, struct dp_parts **ret_parts)
{
    const struct dp_request *whole = dp_probe_request(probe);
    union dp_address literal;
    struct dp_diag diag = {""};
    char note[80] = "";
    size_t usable = 0;
    if (dp_address_parse(target->host, 0, &literal) == 0)
        return false;
    int rc = dp_parts_new(probe, rules, count, ret_parts, &diag);
    if (rc) {
        dp_probe_fail(probe, rc, "%s", dp_reason(&diag, rc));
        return true;
    }
    for (size_t i = 0; i < count; i++)
        usable += !cannot_send(whole, &addresses[i]);
    for (size_t i = 0; i < count; i++) {
        struct dp_request *request = NULL;
        // where none can be sent to, that is the answer
        if (usable && cannot_send(whole, &addresses[i])) {
            dp_parts_skip(*ret_parts, id_json(&addresses[i]),
                          "left out: this host has no address of that family to send from");
            (void)snprintf(note, sizeof note, "; %zu left out, this host has no %s", count - usable,
                           addresses[i].any.sa_family == AF_INET ? "IPv4" : "IPv6");
            continue;
        }
        rc = make_request(*ret_parts, whole, target, name_option, &addresses[i], &request, &diag);
        dp_parts_add(*ret_parts, id_json(&addresses[i]), request, rc, dp_reason(&diag, rc));
    }
    dp_parts_start(*ret_parts, note);
    return true;
}
