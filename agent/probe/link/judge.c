#include "agent/probe/link/judge.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

const char *link_class_name(enum link_class class)
{
    static const char *const names[] = {"ok", "mtu", "duplex", "errors", "down"};
    return names[class];
}

/* What grew, the most telling first. */
static bool judge_errors(const struct link_info *before, const struct link_info *after, char why[300],
                         const char **ret_step)
{
    const struct rtnl_link_stats64 *a = &before->stats, *b = &after->stats;
    const struct {
        uint64_t grown;
        const char *what, *step;
    } counters[] = {
        {b->collisions - a->collisions, "collisions",
         "Collisions mean half duplex: set both ends to negotiate, or both to full duplex."},
        {b->tx_carrier_errors - a->tx_carrier_errors, "carrier errors while sending",
         "The link itself comes and goes: cable, plug, transceiver, the port at the other end."},
        {(b->rx_crc_errors - a->rx_crc_errors) + (b->rx_frame_errors - a->rx_frame_errors),
         "damaged frames received",
         "Frames arrive damaged: cable, transceiver, or a duplex mismatch; look at the other end's "
         "counters."},
        {(b->rx_over_errors - a->rx_over_errors) + (b->rx_fifo_errors - a->rx_fifo_errors) +
             (b->rx_missed_errors - a->rx_missed_errors),
         "packets that the card had no room for (overruns)",
         "The host is too slow in fetching packets: larger rings ('ethtool -G'), more queues, less load on "
         "the CPU that serves "
         "them."},
        {b->tx_fifo_errors - a->tx_fifo_errors, "packets that did not get out in time",
         "The card or its bus is overloaded: look at its driver and firmware."},
        {(b->rx_errors - a->rx_errors) + (b->tx_errors - a->tx_errors), "errors",
         "'ethtool -S' shows the driver's own counters, which say more; look at cable, transceiver and "
         "driver."},
    };
    for (size_t i = 0; i < sizeof counters / sizeof counters[0]; i++)
        if (counters[i].grown) {
            (void)snprintf(why, 300, "%s: %" PRIu64 " %s during the measurement", after->name,
                           counters[i].grown, counters[i].what);
            *ret_step = counters[i].step;
            return true;
        }
    return false;
}

/* A packet that fits into this interface and not into the next one is lost without a word where both bridge.
 */
static bool judge_mtu(const struct link_info *link, const struct link_info *master, char why[300],
                      const char **ret_step)
{
    bool vlan = strcmp(link->kind, "vlan") == 0 || strcmp(link->kind, "macvlan") == 0;
    if (link->lower_mtu && (vlan ? link->mtu > link->lower_mtu : link->mtu != link->lower_mtu) &&
        !link->loopback && (vlan || strcmp(link->kind, "veth") == 0)) {
        (void)snprintf(why, 300, "%s has MTU %u, %s %s has %u", link->name, link->mtu,
                       vlan ? "below it" : "its peer", link->lower_name, link->lower_mtu);
        *ret_step = "Give both ends of a link the same MTU ('ip link set IF mtu N'): larger packets are lost "
                    "without a word.";
        return true;
    }
    if (master && link->mtu != master->mtu && strcmp(master->kind, "bridge") == 0 &&
        link->mtu < master->mtu) {
        (void)snprintf(why, 300, "%s has MTU %u, its bridge %s has %u", link->name, link->mtu, master->name,
                       master->mtu);
        *ret_step =
            "Give all ports of a bridge its MTU: larger packets are lost at the smaller port without a word.";
        return true;
    }
    return false;
}

enum link_class link_judge(const struct link_info *before, const struct link_info *after,
                           const struct link_info *master, bool asked_for, char why[300],
                           const char **ret_step)
{
    bool up = after->flags & IFF_UP;
    *ret_step = "";
    if (!up && asked_for) {
        (void)snprintf(why, 300, "%s is switched off", after->name);
        *ret_step = "'ip link set IF up', if that is not on purpose.";
        return LINK_DOWN;
    }
    if (up && !after->has_carrier && !after->loopback) {
        (void)snprintf(why, 300, "%s is switched on but has no carrier", after->name);
        *ret_step = "Cable, transceiver, or the other end is off: look at the port at the other end.";
        return LINK_DOWN;
    }
    if (up && before->has_stats && after->has_stats && judge_errors(before, after, why, ret_step))
        return LINK_ERRORS;
    if (up && after->duplex == 0) {
        (void)snprintf(why, 300, "%s runs at half duplex", after->name);
        *ret_step =
            "Set both ends to negotiate, or both to full duplex: a mismatch loses packets under load.";
        return LINK_DUPLEX;
    }
    if (up && judge_mtu(after, master, why, ret_step))
        return LINK_MTU;
    (void)snprintf(why, 300, "%s is %s", after->name, up ? "up" : "switched off");
    return LINK_OK;
}
