#!/bin/bash
# The probes of DNS from mx1: BIND as resolver on mx1, BIND as primary and as second server on remote.
set -u
here=$(dirname "$(readlink -f "$0")")
. "$here/lab.sh"
. "$here/probe_lib.sh"
only=${1:-}
SECOND_4=203.0.113.26
NSD_RECORDS='@ NS ns3
ns3 A 203.0.113.27'

# zone FILE SERIAL [EXTRA]: example.net as the primary has it, with records in addition.
zone() {
    cat >"$1" <<END
\$TTL 300
@ SOA ns1 hostmaster $2 3600 600 86400 60
@ NS ns1
@ NS ns2
@ MX 10 mx1
@ MX 20 mx2
@ A 203.0.113.80
@ TXT "v=spf1 ip4:203.0.113.0/24 include:_spf.example.net mx -all"
_spf TXT "v=spf1 a:mx1.example.net ip4:192.0.2.0/24 ~all"
_dmarc TXT "v=DMARC1; p=reject"
ns1 A $REMOTE_4
ns2 A $SECOND_4
mx1 A 203.0.113.10
mx2 A 203.0.113.11
www A 203.0.113.81
${3:-}
END
}

# bind NAME HOST ADDRESS ZONES: named there with these zone statements.
bind_up() {
    local dir=$LAB_DIR/bind_$1
    mkdir -p "$dir"
    cat >"$dir/named.conf" <<END
options {
    directory "$dir"; pid-file none; session-keyfile "$dir/key"; listen-on { $3; }; listen-on-v6 { none; };
    dnssec-validation no; ${5:-recursion no;} allow-query { any; }; ${6:-}
    notify no;
};
controls { };
$4
END
    lab_start "bind_$1" "$2" named -g -n 1 -c "$dir/named.conf"
    lab_wait_for 10 lab_in "$2" dig +short +time=1 +tries=1 @"$3" -c ch -t txt version.bind >/dev/null || lab_die "$(tail -5 "${LAB_LOG[bind_$1]}")"
}

servers_up() {
    local extra z
    lab_in remote ip address add $SECOND_4/24 dev eth0
    mkdir -p "/etc/netns/$LAB-mx1"
    echo "nameserver 127.0.0.1" >"/etc/netns/$LAB-mx1/resolv.conf"
    zone "$LAB_DIR/one" 2026010101
    zone "$LAB_DIR/two" 2026010101
    zone "$LAB_DIR/differs" 2026010101 'other A 203.0.113.99'
    extra=$(cat <<'END'
@ MX 5 alias
alias CNAME mx1
END
    )
    zone "$LAB_DIR/bad" 2026010101 "$extra"
    cat >"$LAB_DIR/nullmx" <<'END'
$TTL 300
@ SOA ns1.example.net. h 1 3600 600 86400 60
@ NS ns1.example.net.
@ MX 0 .
END
    { echo '$TTL 300'; echo '@ SOA ns1.example.net. h 1 3600 600 86400 60'; echo '@ NS ns1.example.net.'
        echo -n '@ TXT "v=spf1'; for i in 1 2 3 4 5 6 7 8 9 10 11; do echo -n " a:a$i.deep.test"; done; echo ' -all"'
        for i in 1 2 3 4 5 6 7 8 9 10 11; do echo "a$i A 192.0.2.$i"; done; } >"$LAB_DIR/deep"
    { echo '$TTL 300'; echo '@ SOA ns1.example.net. h 1 3600 600 86400 60'; echo '@ NS ns1.example.net.'
        for i in $(seq 40); do echo "big TXT \"$(printf 'x%.0s' $(seq 100))$i\""; done; } >"$LAB_DIR/big"
    { echo '$TTL 300'; echo '@ SOA ns1.example.net. h 1 3600 600 86400 60'; echo '@ NS ns1.example.net.'
        echo '10 PTR mx1.example.net.'; echo '11 PTR nowhere.example.net.'; } >"$LAB_DIR/reverse"
    zone "$LAB_DIR/sec" 7
    zone "$LAB_DIR/nsdzone" 2026010101 "$NSD_RECORDS"
    bind_up one remote $REMOTE_4 "
        zone nsd.test { type primary; file \"$LAB_DIR/nsdzone\"; };
        zone sec.test { type primary; file \"$LAB_DIR/sec\"; allow-transfer { $SECOND_4; }; };
        zone example.net { type primary; file \"$LAB_DIR/one\"; };
        zone differs.test { type primary; file \"$LAB_DIR/one\"; };
        zone bad.test { type primary; file \"$LAB_DIR/bad\"; };
        zone null.test { type primary; file \"$LAB_DIR/nullmx\"; };
        zone deep.test { type primary; file \"$LAB_DIR/deep\"; };
        zone big.test { type primary; file \"$LAB_DIR/big\"; };
        zone lame.test { type primary; file \"$LAB_DIR/one\"; };
        zone refused.test { type primary; file \"$LAB_DIR/one\"; };
        zone 113.0.203.in-addr.arpa { type primary; file \"$LAB_DIR/reverse\"; };"
    bind_up two remote $SECOND_4 "
        zone example.net { type primary; file \"$LAB_DIR/two\"; };
        zone bad.test { type primary; file \"$LAB_DIR/bad\"; };
        zone differs.test { type primary; file \"$LAB_DIR/differs\"; };
        zone refused.test { type primary; file \"$LAB_DIR/one\"; allow-query { none; }; };
        zone nsd.test { type secondary; primaries { $REMOTE_4; }; };
        zone sec.test { type secondary; primaries { $REMOTE_4; }; transfer-source $SECOND_4; };
        zone broken.test { type primary; file \"$LAB_DIR/none\"; };
        zone lame.test { type forward; forward only; forwarders { $REMOTE_4; }; };" "recursion yes; allow-recursion { any; };"
    local zones=''
    for z in example.net bad.test null.test deep.test big.test lame.test refused.test sec.test nsd.test 113.0.203.in-addr.arpa differs.test; do
        zones+="zone $z { type static-stub; server-addresses { $REMOTE_4; }; };"
    done
    zones+="zone broken.test { type static-stub; server-addresses { $SECOND_4; }; };"
    bind_up resolver mx1 127.0.0.1 "$zones zone \".\" { type hint; file \"/dev/null\"; };" "recursion yes;" "qname-minimization off;"
}

probe_dns() {
    local dig
    probe_expect "one and the same everywhere" 0 consistent \
        '(.data.servers | length == 3) and .data.zone == "example.net" and .data.spf.lookups == 3 and .data.spf.voids == 0
         and .data.spf.result == "valid" and (.data.dmarc.record | startswith("v=DMARC1")) and .status == "warning"
         and ([.data.addresses[] | select(.address == "203.0.113.10")][0].forward_confirmed)
         and ([.data.addresses[] | select(.address == "203.0.113.11")][0].forward_confirmed | not)
         and (.data.problems | any(.word == "ptr-unconfirmed")) and (.data.differences == [])
         and ([.data.servers[] | select(.role == "authoritative")] | all(.aa))' dns example.net
    dig=$(lab_in mx1 dig +short MX example.net | sort | tr '\n' ' ')
    probe_same "dig's MX" "$(jq -r '.results[0].data.servers[0].answers[].data' "$LAB_DIR/probe.json" | sort | sed 's/$/./' | tr '\n' ' ')" "$dig"
    probe_same "SPF for this host's own address" "$(jq -r '.results[0].data.spf.evaluations[0].result' "$LAB_DIR/probe.json")" pass
    probe_expect "one type, with a named server" 0 consistent \
        '.status == "ok" and (.data.servers | any(.role == "named")) and .data.servers[0].answers[0].data == "203.0.113.81"' \
        dns --type A --server $SECOND_4 www.example.net
    probe_expect "servers that differ" 1 inconsistent \
        '.data.differences[0].views | length == 2' dns --type A other.differs.test
    probe_expect "no such name" 1 nxdomain '.data.servers | all(.rcode == "NXDOMAIN")' dns --type A nothing.example.net
    probe_expect "no such record" 0 nodata '.status == "warning"' dns --type AAAA www.example.net
    probe_expect "a zone that does not load" 1 servfail '.data.servers[0].rcode == "SERVFAIL"' dns --type A broken.test
    probe_expect "a server that refuses" 1 refused '.data.servers | any(.rcode == "REFUSED")' dns --type A www.refused.test
    probe_expect "a server that is lame" 1 lame \
        '[.data.servers[] | select(.server | startswith("203.0.113.26"))][0].aa == false' dns --type A www.lame.test
    probe_expect "an MX that is an alias" 0 consistent '.status == "warning" and (.data.problems | any(.word == "mx-cname"))' dns bad.test
    probe_expect "a null MX" 0 consistent '.data.problems | any(.word == "null-mx")' dns null.test
    probe_expect "SPF with eleven lookups" 0 consistent '(.data.problems | any(.word == "spf-permerror")) and .data.spf.lookups == 11' dns deep.test
    probe_expect "an answer that needs TCP" 0 consistent '.data.servers | all(.transport == "tcp")' dns --type TXT big.big.test
    lab_in edge1 nft "table inet probe { chain f { type filter hook forward priority 0; ip daddr $SECOND_4 drop; }; }"
    probe_expect "a server that is silent" 1 timeout '.data.servers | any(.error == "no answer")' dns --type A --timeout 6 www.example.net
    lab_in edge1 nft delete table inet probe
    probe_expect "no server at that address" 1 timeout '.data.servers | any(.rcode == null)' dns --type A --server $REMOTE_4:5399 --timeout 6 www.example.net
    probe_refuses "a type that nobody knows" "is\|type" dns --type NONSENSE example.net
    probe_refuses "a server that is no address" "an address" dns --server ns.example.net example.net
}

probe_zone() {
    lab_wait_for 10 lab_in mx1 bash -c "dig +short +norecurse @$SECOND_4 SOA sec.test | grep -q ." || lab_die "no transfer"
    probe_expect "a secondary that has all" 0 in-sync \
        '(.data.servers | length == 2 and all(.serial == 7 and .behind == 0 and .aa)) and ([.data.servers[] | select(.server | startswith("203.0.113.25"))][0].transfer_refused)' zone sec.test
    zone "$LAB_DIR/sec" 9
    kill -HUP "$(pgrep -P "${LAB_PID[bind_one]}" named || echo "${LAB_PID[bind_one]}")"
    lab_wait_for 10 lab_in mx1 bash -c "dig +short @$REMOTE_4 SOA sec.test | grep -q ' 9 '" || lab_die "no reload"
    probe_expect "a secondary that is behind" 1 behind \
        '[.data.servers[] | select(.server | startswith("203.0.113.26"))][0] | .behind == 2 and .serial == 7 and .refresh == 3600' zone sec.test
    probe_same "dig's serials" "$(jq -r '.results[0].data.servers[].serial' "$LAB_DIR/probe.json" | sort | tr '\n' ' ')" \
        "$(for s in $REMOTE_4 $SECOND_4; do lab_in mx1 dig +short +norecurse @$s SOA sec.test | cut -d' ' -f3; done | sort | tr '\n' ' ')"
    probe_expect "a zone that may be transferred" 0 in-sync '.data.servers | all(.transfer_refused == false)' zone example.net
    probe_expect "a server that is lame" 1 lame '.data.servers | any(.state == "lame")' zone lame.test
    lab_in edge1 nft "table inet probe { chain f { type filter hook forward priority 0; ip daddr $SECOND_4 drop; }; }"
    probe_expect "a server that is silent" 1 unreachable '.data.servers | any(.serial == null)' zone --timeout 7 example.net
    lab_in edge1 nft delete table inet probe
    probe_refuses "no zone of its own" "lies in example.net" zone www.example.net
    probe_refuses "no zone at all" "which zone" zone
}

# reload FILE SERIAL ZONE [EXTRA]: BIND on remote reads this zone anew.
reload() {
    zone "$1" "$2" "${4:-}"
    kill -HUP "$(pgrep -P "${LAB_PID[bind_one]}" named || echo "${LAB_PID[bind_one]}")"
    lab_wait_for 10 lab_in mx1 bash -c "dig +short @$REMOTE_4 SOA $3 | grep -q ' $2 '" || lab_die "no reload of $3"
}

# Zones as BIND's own configuration lists them, on the host of the secondary.
probe_named() {
    local conf=$LAB_DIR/bind_two/named.conf own=$LAB_DIR/lists.conf
    export PROBE_HOST=remote
    mkdir -p "/etc/netns/$LAB-remote"
    echo "nameserver $SECOND_4" >"/etc/netns/$LAB-remote/resolv.conf"
    lab_wait_for 10 lab_in mx1 bash -c "dig +short +norecurse @$SECOND_4 SOA sec.test | grep -q ." || lab_die "no transfer"
    reload "$LAB_DIR/sec" 9 sec.test
    probe_same "zones that named-checkconf counts" \
        "$(lab_in remote "$PROBE_BIN" probe zone --local --json --named-conf "$conf" | jq -r '.results[0].data.zones[].zone' | sort | tr '\n' ' ')" \
        "$(named-checkconf -l "$conf" | awk '$4 ~ /^(primary|secondary|master|slave)$/ {print $1}' | sort | tr '\n' ' ')"
    probe_expect "a secondary, by its own configuration" 1 behind \
        '(.data.zones | length == 1) and .data.zones[0].type == "secondary" and .data.zone == "sec.test" and (.data.servers | any(.behind == 2)) and .data.zones[0].class == "behind"' \
        zone --named-conf "$conf" sec.test
    printf 'include "%s";\n' "$conf" >"$own"
    probe_expect "all of them, by an include" 1 lame \
        '([.data.zones[].class] | index("in-sync") and index("behind") and index("lame")) and (.summary | contains("zones"))' zone --named-conf "$own"
    probe_expect "no more time than was given" 1 lame '.data.zones | length == 7' zone --timeout 9 --named-conf "$own"
    printf '\nzone "x.test" {\n type primry;\n};\n' >"$own"
    probe_refuses "a word that BIND does not know" "lists.conf, line 3: no type" zone --named-conf "$own"
    printf 'zone "x.test" { type primary }' >"$own"
    probe_refuses "a semicolon that is missing" "lists.conf, line 1: expected ';'" zone --named-conf "$own"
    probe_refuses "a file that is not there" "nothing.conf" zone --named-conf "$LAB_DIR/nothing.conf"
    mkfifo "$LAB_DIR/pipe"
    probe_refuses "a pipe" "no regular file" zone --named-conf "$LAB_DIR/pipe"
    probe_refuses "a zone that is not in it" "no primary or secondary zone" zone --named-conf "$conf" other.test
    unset PROBE_HOST
}

# NSD as a secondary of BIND: another server's word for the same things.
probe_nsd() {
    local dir=$LAB_DIR/nsd there='[.data.servers[] | select(.server | startswith("203.0.113.27"))][0]'
    mkdir -p "$dir"
    lab_in remote ip address add 203.0.113.27/24 dev eth0
    cat >"$dir/nsd.conf" <<END
server:
  ip-address: 203.0.113.27
  username: ""
  chroot: ""
  zonesdir: "$dir"
  database: ""
  pidfile: "$dir/pid"
  xfrdfile: "$dir/xfrd"
  xfrdir: "$dir"
  zonelistfile: "$dir/list"
  logfile: "$dir/log"
  verbosity: 2
remote-control:
  control-enable: no
zone:
  name: nsd.test
  request-xfr: AXFR $REMOTE_4@53 NOKEY
  allow-notify: $REMOTE_4 NOKEY
zone:
  name: example.net
  request-xfr: AXFR $REMOTE_4@53 NOKEY
  provide-xfr: 192.0.2.10 NOKEY
END
    lab_start nsd remote nsd -d -c "$dir/nsd.conf"
    local zone
    for zone in nsd.test example.net; do # it asks for its zones one after the other
        lab_wait_for 20 lab_in mx1 bash -c "dig +short +norecurse @203.0.113.27 SOA $zone | grep -q ." ||
            lab_die "NSD, $zone: $(cat "${LAB_LOG[nsd]}" "$dir/log" | tail -n 5)"
    done
    probe_expect "NSD has all" 0 in-sync \
        "(.data.servers | length == 3 and all(.aa and .behind == 0)) and $there.transfer_refused and $there.name == \"ns3.nsd.test\"" zone nsd.test
    probe_expect "NSD lets us transfer" 0 in-sync "$there.transfer_refused == false" zone --server 203.0.113.27 example.net
    reload "$LAB_DIR/nsdzone" 2026010105 nsd.test "$NSD_RECORDS"
    probe_expect "NSD was not told" 1 behind "$there | .serial == 2026010101 and .behind == 4" zone nsd.test
    probe_same "dig's serial" "$(jq "[.results[0] | $there.serial][0]" "$LAB_DIR/probe.json")" \
        "$(lab_in mx1 dig +short +norecurse @203.0.113.27 SOA nsd.test | cut -d' ' -f3)"
    probe_expect "a zone that NSD does not have" 1 lame "$there | .state == \"lame\" and .rcode == \"REFUSED\"" zone --server 203.0.113.27 bad.test
}

probe_dnsbl() {
    local lists=$LAB_DIR/bl
    chmod 755 "$LAB_DIR" # rbldnsd gives its privileges up
    printf '127.0.0.2\n192.0.2.99 :127.0.0.4:stolen machine\n' >"$lists.good"
    printf '127.0.0.2 :127.255.255.254:public resolver\n0.0.0.0/0 :127.255.255.254:no\n' >"$lists.error"
    printf '0.0.0.0/0\n' >"$lists.all"
    printf '192.0.2.99\n' >"$lists.untested"
    printf '127.0.0.2\n192.0.2.99 :10.1.2.3:wildcard\n' >"$lists.outside"
    printf '.test :127.0.0.2:\nspam.example :127.0.0.2:advertised in spam\n' >"$lists.domains"
    printf '::ffff:7f00:2\n2001:db8:66::/48\n' >"$lists.six"
    lab_start rbldnsd remote rbldnsd -n -b $REMOTE_4/5300 good.test:ip4set:"$lists.good" error.test:ip4set:"$lists.error" \
        all.test:ip4set:"$lists.all" untested.test:ip4set:"$lists.untested" outside.test:ip4set:"$lists.outside" \
        domains.test:dnset:"$lists.domains" six.test:ip6trie:"$lists.six"
    lab_wait_for 5 lab_in mx1 dig +short +time=1 +tries=1 @$REMOTE_4 -p 5300 2.0.0.127.good.test >/dev/null || lab_die "$(cat "${LAB_LOG[rbldnsd]}")"
    local at="--server $REMOTE_4:5300"
    probe_expect "listed" 1 listed '.data.lists[0] | .listed and .usable and .codes[0].code == "127.0.0.4" and (.reason | contains("stolen"))' \
        dnsbl $at --list good.test 192.0.2.99
    probe_expect "not listed" 0 clean '.data.lists[0] | .listed == false and .usable and .codes == []' dnsbl $at --list good.test 192.0.2.1
    probe_expect "an error code is no listing" 3 unknown '.data.lists[0].listed == null' dnsbl $at --list error.test 192.0.2.99
    probe_expect "a list that lists all" 3 unknown '.data.lists[0].usable == false' dnsbl $at --list all.test 192.0.2.99
    probe_expect "a list without test point" 3 unknown '.data.lists[0].usable == false' dnsbl $at --list untested.test 192.0.2.99
    probe_expect "an answer outside of 127/8" 3 unknown '.data.lists[0].listed == null' dnsbl $at --list outside.test 192.0.2.99
    probe_expect "a list that is not there" 3 unknown '.data.lists[0].usable == false' dnsbl $at --list absent.test 192.0.2.99
    probe_expect "one good, one in error" 1 listed '.data.lists | length == 2' dnsbl $at --list error.test --list good.test 192.0.2.99
    probe_expect "a domain" 1 listed '.data.lists[0].listed' dnsbl $at --list domains.test spam.example
    probe_expect "another domain" 0 clean '.data.lists[0].usable' dnsbl $at --list domains.test ham.example
    probe_expect "IPv6" 1 listed '.data.lists[0].usable' dnsbl $at --list six.test 2001:db8:66::25
    probe_expect "this host's own addresses" 0 clean '.data.lists[0].subject == "192.0.2.10"' dnsbl $at -4 --list good.test
    probe_refuses "neither address nor domain" "neither an address" dnsbl $at nonsense
}

probe_mx() { # the probe smtp with a domain: every MX, every address
    local a
    for a in 10 11; do lab_in remote ip address add 203.0.113.$a/24 dev eth0; done
    lab_start mx remote python3 "$LAB_TOOLS/odd_smtp.py" 25 pieces
    lab_wait_for 5 lab_in remote bash -c "ss -ltn | grep -q :25" || lab_die "no mail server"
    probe_expect "a domain, both MX take mail" 0 accepted \
        '(.data.mx | map(.host) == ["mx1.example.net", "mx2.example.net"]) and (.data.servers | length == 2 and all(.class == "accepted")) and .data.servers[1].preference == 20' \
        smtp example.net
    lab_in edge1 nft 'table inet probe { chain f { type filter hook forward priority 0; ip daddr 203.0.113.11 tcp dport 25 reject with tcp reset; }; }'
    probe_expect "the worst MX gives the class" 1 refused \
        '[.data.servers[].class] == ["accepted", "refused"] and .data.host == "mx2.example.net" and (.summary | contains("others take it"))' smtp example.net
    lab_in edge1 nft delete table inet probe
    probe_expect "a domain that takes no mail" 1 rejected '.data.null_mx' smtp null.test
    probe_expect "a host without MX" 0 accepted '.data.mx == [] and .data.host == "mx1.example.net"' smtp mx1.example.net
    probe_refuses "a domain that is none" "has no" smtp nothing.example.net
}

lab_trap
lab_up || lab_die "no lab"
trap 'rc=$?; trap - EXIT; rm -rf "/etc/netns/$LAB-mx1" "/etc/netns/$LAB-remote"; lab_down; exit $rc' EXIT
servers_up
for kind in ${only:-dns zone nsd named dnsbl mx}; do "probe_$kind"; done
probe_end
