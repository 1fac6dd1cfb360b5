/* droppoint: finds the subcommand and hands over to it. */
#include <stdio.h>
#include <string.h>

#include "cli/headers/headers_cmd.h"
#include "cli/locate/locate_cmd.h"
#include "cli/probe/probe_cmd.h"
#include "cli/remote/remote.h"

struct command {
    const char *name;
    int (*run)(int argc, char **argv);
    const char *what;
    const char *example;
};

static const struct command commands[] = {
    {"locate", dp_cli_locate, "say where packets get lost, from capture files",
     "droppoint locate mx1/eth0=mx1.pcap lb1/eth1=lb1.pcap"},
    {"agent", dp_cli_agent, "list, approve and revoke agents", "droppoint agent list"},
    {"path", dp_cli_path, "set, list, show and remove paths",
     "droppoint path set mail mx1/eth0 lb1/eth0 lb1/eth1"},
    {"capture", dp_cli_capture, "capture along a path and locate, live", "droppoint capture run --path mail"},
    {"probe", dp_cli_probe,
     "measure actively: reach a port, a host, a service, and say what stands in the way",
     "droppoint probe tcp --local mx.example.net:25"},
    {"headers", dp_cli_headers, "show the way of a mail message and its delays, from its header",
     "droppoint headers message.eml"},
};

static void list_commands(FILE *to)
{
    for (size_t i = 0; i < sizeof commands / sizeof commands[0]; i++)
        (void)fprintf(to, "  %-9s %s\n            %s\n", commands[i].name, commands[i].what,
                      commands[i].example);
}

static void print_help(FILE *to)
{
    (void)fputs("Usage: droppoint COMMAND [options]\n\n"
                "Finds the stretch of the path on which mail or TCP traffic gets lost, with proof.\n\n"
                "Commands:\n",
                to);
    list_commands(to);
    (void)fputs("\n'droppoint COMMAND --help' tells more about one. --version prints the version.\n", to);
}

int main(int argc, char **argv)
{
    if (argc < 2) {
        print_help(stderr);
        return 2;
    }
    const char *name = argv[1];
    if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0 || strcmp(name, "help") == 0) {
        print_help(stdout);
        return 0;
    }
    if (strcmp(name, "--version") == 0) {
        puts("droppoint " DROPPOINT_VERSION);
        return 0;
    }
    for (size_t i = 0; i < sizeof commands / sizeof commands[0]; i++) {
        if (strcmp(name, commands[i].name) == 0)
            return commands[i].run(argc - 1, argv + 1);
    }
    (void)fprintf(stderr, "droppoint: there is no command '%s'. These are known:\n", name);
    list_commands(stderr);
    return 2;
}
