/* Writes into FOLDER: near and far, a session seen at two places; stuck and swallowed, one whose packets with
 * payload are sent again and again and never reach the far place; large and pieces, one whose large packet is
 * cut up on the way; captures without packets and of a link type that nobody reads. */
#include <stdbool.h>
#include <stdio.h>

#include "common/capfile/capfile.h"
#include "frames.h"

#define T0 INT64_C(1700000000000000000)
#define COUNT(list) (sizeof(list) / sizeof(list)[0])

static const struct frame whole[] = {
    {true, 0x02, 999, 0, 0},        {false, 0x12, 4999, 1000, 0},   {true, 0x10, 1000, 5000, 0},
    {true, 0x18, 1000, 5000, 1000}, {false, 0x10, 5000, 2000, 0},   {true, 0x18, 2000, 5000, 1000},
    {false, 0x10, 5000, 3000, 0},   {true, 0x18, 3000, 5000, 1000}, {false, 0x10, 5000, 4000, 0},
    {true, 0x11, 4000, 5000, 0},    {false, 0x11, 5000, 4001, 0},   {true, 0x10, 4001, 5001, 0},
};

static const struct frame stuck[] = {
    {true, 0x02, 999, 0, 0},        {false, 0x12, 4999, 1000, 0},   {true, 0x10, 1000, 5000, 0},
    {true, 0x18, 1000, 5000, 20},   {false, 0x18, 5000, 1020, 30},  {true, 0x18, 1020, 5030, 1000},
    {true, 0x18, 1020, 5030, 1000}, {true, 0x18, 1020, 5030, 1000}, {true, 0x18, 1020, 5030, 1000},
    {true, 0x18, 1020, 5030, 1000}, {false, 0x11, 5030, 1020, 0},   {true, 0x10, 2020, 5031, 0},
};

/* One large packet at the near place, three at the far one, of which the second was lost. Without flags:
 * nothing. */
static const struct frame large[] = {
    {true, 0x02, 999, 0, 0},
    {false, 0x12, 4999, 1000, 0},
    {true, 0x10, 1000, 5000, 0},
    {true, 0x18, 1000, 5000, 20},
    {false, 0x18, 5000, 1020, 30},
    {true, 0x18, 1020, 5030, 1800},
    {0},
    {0},
    {false, 0x10, 5030, 1620, 0},
    {true, 0x18, 1620, 5030, 600},
    {false, 0x10, 5030, 2820, 0},
    {true, 0x11, 2820, 5030, 0},
    {false, 0x11, 5030, 2821, 0},
    {true, 0x10, 2821, 5031, 0},
};
static const struct frame pieces[] = {
    {true, 0x02, 999, 0, 0},
    {false, 0x12, 4999, 1000, 0},
    {true, 0x10, 1000, 5000, 0},
    {true, 0x18, 1000, 5000, 20},
    {false, 0x18, 5000, 1020, 30},
    {true, 0x10, 1020, 5030, 600},
    {0},
    {true, 0x18, 2220, 5030, 600},
    {false, 0x10, 5030, 1620, 0},
    {true, 0x18, 1620, 5030, 600},
    {false, 0x10, 5030, 2820, 0},
    {true, 0x11, 2820, 5030, 0},
    {false, 0x11, 5030, 2821, 0},
    {true, 0x10, 2821, 5031, 0},
};

struct capture {
    const char *name;
    int link_type;
    const struct frame *frames;
    size_t count;
    int64_t delay; /* from the client's end */
    bool without_large;
};

static const struct capture captures[] = {
    {"near.pcapng", 1, whole, COUNT(whole), 0, false},
    {"far.pcapng", 1, whole, COUNT(whole), 10000, false},
    {"stuck.pcapng", 1, stuck, COUNT(stuck), 0, false},
    {"swallowed.pcapng", 1, stuck, COUNT(stuck), 10000, true},
    {"large.pcapng", 1, large, COUNT(large), 0, false},
    {"pieces.pcapng", 1, pieces, COUNT(pieces), 10000, false},
    {"none1.pcapng", 1, whole, 0, 0, false},
    {"none2.pcapng", 1, whole, 0, 0, false},
    {"usb.pcapng", 220, whole, COUNT(whole), 0, false},
};

static int write_capture(const char *folder, const struct capture *capture)
{
    char path[512];
    (void)snprintf(path, sizeof path, "%s/%s", folder, capture->name);
    struct dp_capwriter *writer = NULL;
    uint32_t interface;
    if (dp_capwriter_open(path, &writer, NULL) != DP_OK ||
        dp_capwriter_interface(writer, capture->name, capture->link_type, 0, &interface) != DP_OK)
        return 1;
    for (size_t i = 0; i < capture->count; i++) {
        const struct frame *frame = &capture->frames[i];
        if (frame->flags == 0)
            continue;
        uint8_t bytes[FRAME_ROOM];
        size_t len = make_frame(frame, bytes);
        int64_t at = T0 + (int64_t)i * 1000000 + (frame->from_client ? capture->delay : -capture->delay);
        if (!(capture->without_large && frame->payload_len >= 1000) &&
            dp_capwriter_packet(writer, 0, at, bytes, len, len, NULL) != DP_OK)
            return 1;
    }
    return dp_capwriter_close(writer, NULL) == DP_OK ? 0 : 1;
}

int main(int argc, char **argv)
{
    if (argc != 2)
        return 2;
    int failed = 0;
    for (size_t i = 0; i < COUNT(captures); i++)
        failed |= write_capture(argv[1], &captures[i]);
    return failed;
}
