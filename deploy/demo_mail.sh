# shellcheck shell=bash disable=SC2034,SC2086
# The demo's mail: a Postfix at each end and a BIND with the zones between them. Needs lab.sh; DEMO is a directory that
# everybody may enter, ETC the one whose content `ip netns exec` shows as /etc.
#
# /etc/postfix and /etc/bind of the machine stay untouched: each host of the lab sees its own.

demo_etc() { echo "/etc/netns/$LAB-$1"; }

# demo_postfix_files HOST FQDN: what both mail servers have in common. More main.cf lines come on standard input.
demo_postfix_files() {
    local etc home=$DEMO/$1
    etc=$(demo_etc "$1")/postfix
    mkdir -p "$etc" "$home/queue" "$home/data"
    chown postfix "$home/data"
    cp /etc/postfix/dynamicmaps.cf /etc/postfix/postfix-files "$etc/" 2>/dev/null
    cat - >"$etc/main.cf" <<END
compatibility_level = 3.6
myhostname = $2
queue_directory = $home/queue
data_directory = $home/data
maillog_file = $home/mail.log
maillog_file_prefixes = $DEMO
inet_protocols = ipv4
alias_maps =
alias_database =
biff = no
smtpd_peername_lookup = no
default_process_limit = 100
END
    cat >>"$etc/main.cf" </dev/fd/3
    cat >"$etc/master.cf" <<'END'
smtp      inet  n - n - - smtpd
pickup    unix  n - n 60 1 pickup
cleanup   unix  n - n - 0 cleanup
qmgr      unix  n - n 300 1 qmgr
rewrite   unix  - - n - - trivial-rewrite
bounce    unix  - - n - 0 bounce
defer     unix  - - n - 0 bounce
trace     unix  - - n - 0 bounce
verify    unix  - - n - 1 verify
flush     unix  n - n 1000? 0 flush
proxymap  unix  - - n - - proxymap
smtp      unix  - - n - - smtp
relay     unix  - - n - - smtp
showq     unix  n - n - - showq
error     unix  - - n - - error
retry     unix  - - n - - error
discard   unix  - - n - - discard
local     unix  - n n - - local
virtual   unix  - n n - - virtual
anvil     unix  - - n - 1 anvil
scache    unix  - - n - 1 scache
postlog   unix-dgram n - n - 1 postlogd
END
}

# mx1 sends. Its socket buffer holds a whole message, as on a tuned mail server, so that Postfix waits for the answer
# and not for the socket. It tries as many at once as there are, and does not give up on a destination too early.
demo_mx1_files() {
    demo_postfix_files mx1 mx1.example.com 3<<'END'
mydestination =
mynetworks = 127.0.0.0/8
inet_interfaces = loopback-only
smtp_bind_address = 192.0.2.10
default_destination_concurrency_limit = 50
initial_destination_concurrency = 50
default_destination_concurrency_failed_cohort_limit = 1000
smtp_connection_cache_on_demand = no
smtp_tls_security_level = none
message_size_limit = 10000000
minimal_backoff_time = 1000s
END
}

# remote receives. It is less patient than usual, so that the demo does not have to wait five minutes for its 421.
demo_remote_files() {
    demo_postfix_files remote mx.example.net 3<<END
mydestination =
mynetworks = 127.0.0.0/8
virtual_mailbox_domains = example.net
virtual_mailbox_base = $DEMO/remote
virtual_mailbox_maps = static:inbox/
virtual_uid_maps = static:65534
virtual_gid_maps = static:65534
smtpd_relay_restrictions = reject_unauth_destination
smtpd_timeout = 6s
message_size_limit = 10000000
virtual_mailbox_limit = 0
smtpd_client_connection_count_limit = 0
END
    mkdir -p "$DEMO/remote/inbox"
    chown 65534:65534 "$DEMO/remote/inbox"
}

demo_dns_files() {
    local etc
    etc=$(demo_etc remote)/bind
    mkdir -p "$etc"
    cat >"$etc/named.conf" <<'END'
options {
    directory "/var/cache/bind"; pid-file none; session-keyfile none; recursion no; dnssec-validation no;
    listen-on { 203.0.113.53; }; listen-on-v6 { none; };
};
controls { };
zone "example.net" { type primary; file "/etc/bind/example.net"; };
zone "example.com" { type primary; file "/etc/bind/example.com"; };
END
    cat >"$etc/example.net" <<'END'
$TTL 60
@ SOA ns hostmaster 1 3600 600 86400 60
@ NS ns
@ MX 10 mx
ns A 203.0.113.53
mx A 203.0.113.25
END
    cat >"$etc/example.com" <<'END'
$TTL 60
@ SOA ns hostmaster 1 3600 600 86400 60
@ NS ns
ns A 203.0.113.53
mx1 A 192.0.2.10
END
    chmod -R a+rX "$etc"
}

demo_dns_answers() { grep -q 'all zones loaded' "${LAB_LOG[named]}"; }

demo_mail_up() {
    local host
    for host in mx1 remote; do
        mkdir -p "$(demo_etc $host)"
        echo 'nameserver 203.0.113.53' >"$(demo_etc $host)/resolv.conf"
    done
    demo_mx1_files
    demo_remote_files
    demo_dns_files
    lab_in remote ip address add 203.0.113.53/24 dev eth0
    lab_in mx1 sh -c 'echo "4096 4194304 8388608" >/proc/sys/net/ipv4/tcp_wmem'
    lab_start named remote named -u bind -g -c /etc/bind/named.conf
    lab_wait_for 10 demo_dns_answers || { cat "${LAB_LOG[named]}" >&2; lab_die "the name server does not start"; }
    for host in mx1 remote; do
        lab_in $host postfix start >"$DEMO/$host/start.log" 2>&1 ||
            { cat "$DEMO/$host/start.log" "$DEMO/$host/mail.log" >&2; lab_die "Postfix does not start on $host"; }
    done
    lab_wait_for 10 lab_in mx1 bash -c 'exec 3<>/dev/tcp/127.0.0.1/25' || lab_die "no SMTP on mx1"
    lab_wait_for 10 lab_in remote bash -c 'exec 3<>/dev/tcp/203.0.113.25/25' || lab_die "no SMTP on remote"
}

demo_mail_down() {
    local host
    for host in mx1 remote; do
        [ ! -e "$(demo_etc $host)/postfix/main.cf" ] || lab_in $host postfix stop >/dev/null 2>&1
    done
    return 0
}

# demo_queue SIZE COUNT: that many messages of that many bytes into mx1's queue, where they stay.
demo_queue() {
    lab_in mx1 smtp-source -s 5 -m "$2" -l "$1" -f billing@example.com -t "customer@example.net" \
        -S "invoice, $1 bytes" 127.0.0.1:25 || lab_die "mx1 does not take mail"
}

# Between hold and release what comes in is deferred, and stays so until demo_mail_go. The queue manager that gets the
# flush must not be one that a reload is about to replace; so the release comes well before.
demo_mail_hold() { lab_in mx1 sh -c 'postconf defer_transports=smtp && postfix reload' >/dev/null 2>&1; }
demo_mail_release() { lab_in mx1 sh -c 'postconf defer_transports= && postfix reload' >/dev/null 2>&1; }
demo_mail_go() { lab_in mx1 postqueue -f; }
demo_all_deferred() { [ "$(find "$DEMO/mx1/queue/deferred" -type f | wc -l)" = "$1" ]; }
demo_queued() { find "$DEMO/mx1/queue/active" "$DEMO/mx1/queue/deferred" "$DEMO/mx1/queue/incoming" -type f | wc -l; }
demo_arrived() { find "$DEMO/remote/inbox/new" -type f 2>/dev/null | wc -l; }
