#include "agent/probe/dnsbl/lists.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

static const struct dnsbl_code zen[] = {
    {2, 2, "SBL: a source of spam"},
    {3, 3, "CSS: sends spam in small amounts"},
    {4, 7, "XBL: a hijacked machine or open proxy"},
    {9, 9, "DROP: a net that criminals run"},
    {10, 10, "PBL: not meant to send mail, says its provider"},
    {11, 11, "PBL: not meant to send mail, says Spamhaus"},
};
static const struct dnsbl_code dbl[] = {
    {2, 2, "spam domain"},           {4, 4, "phishing domain"},     {5, 5, "malware domain"},
    {6, 6, "botnet command domain"}, {102, 102, "abused, spam"},    {103, 103, "abused redirector"},
    {104, 104, "abused, phishing"},  {105, 105, "abused, malware"}, {106, 106, "abused, botnet command"},
};
static const struct dnsbl_code plain[] = {{2, 2, "a source of spam"}};
static const struct dnsbl_code mailspike[] = {{10, 10, "worst reputation"},
                                              {11, 11, "very bad reputation"},
                                              {12, 12, "bad reputation"},
                                              {13, 14, "suspicious"}};
static const struct dnsbl_code dronebl[] = {{3, 3, "IRC drone"},
                                            {5, 5, "bottler"},
                                            {6, 6, "unknown worm or spam bot"},
                                            {7, 7, "attacks by DDoS"},
                                            {8, 8, "open SOCKS proxy"},
                                            {9, 9, "open HTTP proxy"},
                                            {10, 10, "proxy chain"},
                                            {13, 13, "tries passwords"},
                                            {14, 14, "open Wingate proxy"},
                                            {15, 15, "compromised router"},
                                            {16, 16, "autorooting worm"},
                                            {17, 17, "botnet address"}};
static const struct dnsbl_code surbl[] = {
    {8, 8, "phishing"}, {16, 16, "malware"}, {64, 64, "spam or abuse"}, {128, 128, "cracked site"}};
static const struct dnsbl_code uribl[] = {{2, 2, "black"}, {4, 4, "grey"}, {8, 8, "red"}};

#define CODES(codes) codes, sizeof(codes) / sizeof((codes)[0])

const struct dnsbl_list dnsbl_lists[] = {
    {"zen.spamhaus.org", DNSBL_IP4 | DNSBL_IP6, CODES(zen), false, NULL},
    {"bl.spamcop.net", DNSBL_IP4, CODES(plain), false, NULL},
    {"b.barracudacentral.org", DNSBL_IP4, CODES(plain), false, NULL},
    {"psbl.surriel.com", DNSBL_IP4, CODES(plain), false, NULL},
    {"bl.mailspike.net", DNSBL_IP4, CODES(mailspike), false, NULL},
    {"dnsbl.dronebl.org", DNSBL_IP4 | DNSBL_IP6, CODES(dronebl), false, NULL},
    {"dnsbl-1.uceprotect.net", DNSBL_IP4, CODES(plain), false, NULL},
    {"dnsbl-2.uceprotect.net", DNSBL_IP4, CODES(plain), false, NULL},
    {"all.s5h.net", DNSBL_IP4 | DNSBL_IP6, CODES(plain), false, NULL},
    {"dbl.spamhaus.org", DNSBL_DOMAIN, CODES(dbl), false, "test"},
    {"multi.surbl.org", DNSBL_DOMAIN, CODES(surbl), true, "test.surbl.org"},
    {"multi.uribl.com", DNSBL_DOMAIN, CODES(uribl), true, "test.uribl.com"},
};
const size_t dnsbl_list_count = sizeof dnsbl_lists / sizeof dnsbl_lists[0];

const struct dnsbl_list *dnsbl_list_find(const char *zone)
{
    for (size_t i = 0; i < dnsbl_list_count; i++)
        if (strcasecmp(dnsbl_lists[i].zone, zone) == 0)
            return &dnsbl_lists[i];
    return NULL;
}

static void add(char *meaning, size_t size, const char *text)
{
    size_t used = strlen(meaning);
    (void)snprintf(meaning + used, size - used, "%s%s", used ? "; " : "", text);
}

enum dnsbl_answer dnsbl_judge(const struct dnsbl_list *list, const char *address, char *meaning, size_t size)
{
    uint8_t octets[4];
    meaning[0] = '\0';
    if (inet_pton(AF_INET, address, octets) != 1 || octets[0] != 127) {
        add(meaning, size, "no answer of a list: a wildcard, or a list that is gone");
        return DNSBL_ERROR;
    }
    if (octets[1] == 255 && octets[2] == 255) {
        add(meaning, size,
            octets[3] == 252 ? "the list says: error in the name of the list"
            : octets[3] == 254
                ? "the list does not answer public resolvers: ask through a resolver of your own"
            : octets[3] == 255 ? "the list says: too many queries"
                               : "the list refuses to answer");
        return DNSBL_ERROR;
    }
    if (octets[1] == 0 && octets[2] == 0 && octets[3] <= 1) {
        add(meaning, size, "the list refuses to answer, or blocks this resolver");
        return DNSBL_ERROR;
    }
    for (size_t i = 0; list && i < list->code_count; i++) {
        const struct dnsbl_code *code = &list->codes[i];
        if (list->bits ? octets[3] & code->first : octets[3] >= code->first && octets[3] <= code->last)
            add(meaning, size, code->meaning);
    }
    if (!meaning[0])
        add(meaning, size, "listed");
    return DNSBL_LISTED;
}

static bool nibbles(const char *address, char *name, size_t size)
{
    uint8_t bytes[16];
    size_t used = 0;
    if (inet_pton(AF_INET6, address, bytes) != 1)
        return false;
    for (int i = 15; i >= 0; i--)
        used += (size_t)snprintf(name + used, size - used, "%x.%x.", bytes[i] & 15, bytes[i] >> 4);
    return true;
}

bool dnsbl_name(unsigned subject, const char *what, const char *zone, char name[DP_DNS_NAME])
{
    char front[DP_DNS_NAME + 1];
    uint8_t octets[4];
    if (subject == DNSBL_IP4) {
        if (inet_pton(AF_INET, what, octets) != 1)
            return false;
        (void)snprintf(front, sizeof front, "%u.%u.%u.%u.", octets[3], octets[2], octets[1], octets[0]);
    } else if (subject == DNSBL_IP6) {
        if (!nibbles(what, front, sizeof front))
            return false;
    } else if ((size_t)snprintf(front, sizeof front, "%s.", what) >= sizeof front) {
        return false;
    }
    return (size_t)snprintf(name, DP_DNS_NAME, "%s%s", front, zone) < DP_DNS_NAME - 2;
}

const char *dnsbl_test_point(const struct dnsbl_list *list, unsigned subject, bool listed)
{
    if (subject == DNSBL_IP4)
        return listed ? "127.0.0.2" : "127.0.0.1";
    if (subject == DNSBL_IP6)
        return listed ? "::ffff:7f00:2" : "::ffff:7f00:1";
    return !listed ? "invalid" : list && list->test_domain ? list->test_domain : "test";
}
