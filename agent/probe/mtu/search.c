#include "agent/probe/mtu/search.h"

void mtu_search_init(struct mtu_search *search, uint32_t floor, uint32_t top)
{
    *search = (struct mtu_search){.fails = top + 1, .floor = floor};
}

size_t mtu_search_next(const struct mtu_search *search, uint32_t *sizes)
{
    size_t count = 0;
    if (!search->passes) { // the least and the most: often that is all
        sizes[count++] = search->floor;
        if (search->fails - 1 > search->floor)
            sizes[count++] = search->fails - 1;
        return count;
    }
    uint32_t open = search->fails - search->passes - 1; // sizes of which nothing is known
    if (!open)
        return 0;
    if (search->hint >= search->passes && search->hint < search->fails) {
        if (search->hint > search->passes)
            sizes[count++] = search->hint;
        if (search->hint + 1 < search->fails)
            sizes[count++] = search->hint + 1;
        return count;
    }
    if (open <= MTU_BATCH) {
        while (count < open) {
            sizes[count] = search->passes + 1 + (uint32_t)count;
            count++;
        }
        return count;
    }
    while (count < MTU_BATCH) {
        sizes[count] = search->passes + (uint32_t)((uint64_t)(open + 1) * (count + 1) / (MTU_BATCH + 1));
        count++;
    }
    return count;
}

void mtu_search_passed(struct mtu_search *search, uint32_t size)
{
    if (size > search->passes)
        search->passes = size;
    if (search->fails <= search->passes) // a path that changed, or a loss that looked like a refusal
        search->fails = search->passes + 1;
}

void mtu_search_failed(struct mtu_search *search, uint32_t size)
{
    if (size < search->fails && size > search->passes)
        search->fails = size;
}

void mtu_search_told(struct mtu_search *search, uint32_t size, uint32_t mtu)
{
    mtu_search_failed(search, size);
    if (mtu >= search->floor && mtu < size)
        search->hint = mtu;
}

uint32_t mtu_clamp(uint32_t size, bool ipv6)
{
    uint32_t headers = ipv6 ? 60 : 40;
    return size > headers ? size - headers : 0;
}
