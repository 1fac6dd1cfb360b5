#!/bin/bash
# lb1 ends connections and hands on what they brought in others, that have no stream of bytes in common with them: real Postfix
# as a mail relay, and HAProxy that encrypts anew. Without a fault, with one on either side of it, and with mails that the relay
# holds or makes away with. `droppoint locate` against what nftables really dropped. Argument: a glob of cases. SCENARIO_LONG=1 adds
# the faults (docs/campaign.md).
set -u
here=$(dirname "$(readlink -f "$0")")
. "$here/lab.sh"
. "$here/cases.sh"
bin=${DROPPOINT_BIN:?}
only=${1:-*}
LAB_PORT=25
failed=0 number=0
{ command -v postfix && command -v smtp-sink && command -v swaks && command -v haproxy; } >/dev/null || { echo "skipped: needs Postfix, swaks and HAProxy"; exit 77; }

relay_up() {
    mkdir -p "$LAB_DIR/pf" "$LAB_DIR/spool" "$LAB_DIR/data"
    chmod 755 "$LAB_DIR"
    chown postfix "$LAB_DIR/data"
    cp /etc/postfix/dynamicmaps.cf* "$LAB_DIR/pf/" 2>/dev/null
    cat >"$LAB_DIR/pf/main.cf" <<END
compatibility_level = 3.6
queue_directory = $LAB_DIR/spool
data_directory = $LAB_DIR/data
maillog_file = $LAB_DIR/maillog
maillog_file_prefixes = $LAB_DIR
myhostname = relay.example.net
mydestination =
mynetworks = 192.0.2.0/24
inet_interfaces = 192.0.2.1
inet_protocols = ipv4
smtp_bind_address = 198.51.100.1
relayhost = [$REMOTE_4]
alias_maps =
local_recipient_maps =
smtpd_peername_lookup = no
smtp_dns_support_level = disabled
smtp_tls_security_level = none
smtp_destination_concurrency_limit = 2
header_checks = regexp:{{/^Subject: swallow/ DISCARD}}
END
    sed 's/^\([a-z].*\) y  *\(-\|[0-9]\)/\1 n \2/' /usr/share/postfix/master.cf.dist 2>/dev/null >"$LAB_DIR/pf/master.cf" ||
        cp /etc/postfix/master.cf "$LAB_DIR/pf/master.cf"
    postconf -c "$LAB_DIR/pf" -F '*/*/chroot = n'
    lab_in lb1 postfix -c "$LAB_DIR/pf" start >"$LAB_DIR/postfix.out" 2>&1 || lab_die "postfix: $(cat "$LAB_DIR/postfix.out")"
    lab_wait_for 10 lab_in lb1 bash -c 'exec 3<>/dev/tcp/192.0.2.1/25' || lab_die "postfix does not listen"
}
relay_down() { lab_in lb1 postfix -c "$LAB_DIR/pf" stop >/dev/null 2>&1; }
relay_idle() { # all mails are gone, and all connections closed
    lab_in lb1 postqueue -c "$LAB_DIR/pf" -p | grep -q 'queue is empty' && relay_silent
}
relay_silent() { ! lab_in lb1 ss -Htn state connected "( sport = :$LAB_PORT or dport = :$LAB_PORT )" exclude time-wait | grep -q .; }

sink() { # OPTION...: the server behind the relay
    lab_stop sink
    lab_start sink remote smtp-sink -u nobody "$@" $REMOTE_4:25 100
    lab_wait_for 5 lab_in remote bash -c "exec 3<>/dev/tcp/$REMOTE_4/25" || lab_die "smtp-sink does not listen"
}
many() { lab_in mx1 smtp-source -s 3 -m "$1" -l 100000 -f a@example.org -t b@example.net 192.0.2.1:25; }
one() { # SUBJECT
    lab_in mx1 swaks --server 192.0.2.1 --from a@example.org --to b@example.net --header "Subject: $1" --helo mx1.example.org \
        >"$LAB_DIR/swaks.log" 2>&1 || lab_die "swaks: $(cat "$LAB_DIR/swaks.log")"
}
tls_up() {
    openssl req -x509 -newkey rsa:2048 -nodes -keyout "$LAB_DIR/key.pem" -out "$LAB_DIR/cert.pem" -days 30 -subj /CN=mx.example.net 2>/dev/null
    cat "$LAB_DIR/cert.pem" "$LAB_DIR/key.pem" >"$LAB_DIR/both.pem"
    cat >"$LAB_DIR/haproxy.cfg" <<END
global
    ssl-server-verify none
defaults
    mode tcp
    timeout connect 5s
    timeout client 60s
    timeout server 60s
listen way
    bind 192.0.2.1:465 ssl crt $LAB_DIR/both.pem
    server remote $REMOTE_4:465 ssl
END
    lab_start tls_server remote python3 "$LAB_TOOLS/tls_traffic.py" serve $REMOTE_4 465 "$LAB_DIR/both.pem"
    lab_start haproxy lb1 haproxy -db -f "$LAB_DIR/haproxy.cfg"
    lab_wait_for 10 grep -q ready "${LAB_LOG[tls_server]}" || lab_die "no TLS server: $(cat "${LAB_LOG[tls_server]}")"
    lab_wait_for 10 lab_in lb1 bash -c 'exec 3<>/dev/tcp/192.0.2.1/465' || lab_die "HAProxy: $(cat "${LAB_LOG[haproxy]}")"
}
tls() { lab_in mx1 python3 "$LAB_TOOLS/tls_traffic.py" run 192.0.2.1 465 300000 0.4 0.4 0.4 0.4; }

# What each case does, and what is asked of the answer beside the losses.
seen_across='all(.flows[]; if (.client | startswith("192.0.2.10:")) then .seen_as["lb1/eth1"].server == "203.0.113.25:\($port)"
    else .seen_as["mx1/eth0"].client // "" | startswith("192.0.2.10:") end)'
quiet='[.findings[] | select(.code == "stall")] == []'
traffic_clean() { many 9; }
asks_clean="$seen_across and (.verdict.summary | test(\"took over 9 mails, and all of them left it\"))"
traffic_w1() { lab_fault w1 forward "$(lab_random 30)"; many 15; }
asks_w1="$seen_across and $quiet and (.verdict.summary | test(\"A mail relay between lb1/eth0 and lb1/eth1\"))"
traffic_w2() { lab_fault w2 forward "$(lab_random 30)"; many 15; }
asks_w2=$asks_w1
traffic_held() { many 3; one swallow; many 3; }
asks_held='.findings == [] and .verdict.code == "clean" and (.verdict.summary | test("Of 7 mails .* 1 had not been seen to leave"))'
traffic_gone() { one swallow; many 6; sleep 22; }
asks_gone='.verdict.code == "stall" and (.findings | length == 1) and (.findings[0] | .from == "lb1/eth0" and .to == "lb1/eth1" and
    .direction == "forward" and .confidence <= 0.3 and .lost_packets == 0 and (.summary | test("1 mail that a relay .* 6 others left")))'
traffic_deferred() { many 3; relay_settles; sink -r RCPT; many 3; sleep 22; }
asks_deferred='.verdict.code == "rejected" and ([.findings[].code] | unique == ["rejected"]) and (.findings[0].smtp_reply.text | startswith("4"))'
traffic_veiled() { tls; }
asks_veiled="$seen_across and (.verdict.summary | test(\"timing and volume only\"))"
traffic_veiled_w2() { lab_fault w2 forward "$(lab_random 30)"; tls; }
asks_veiled_w2="$seen_across and .findings[0].confidence <= 0.8 and (.findings[0].summary | test(\"timing and volume only\"))"

relay_settles() { lab_wait_for 60 relay_idle || echo "the relay does not come to rest: $(lab_in lb1 postqueue -c "$LAB_DIR/pf" -p | tail -3)"; }

ask() { # DIR NAME PLACE
    local dir=$1 asks=asks_$2 code right=0
    mapfile -t files < <(lab_files "$dir")
    timeout 60 "$bin/droppoint" locate --json --filter "tcp port $LAB_PORT" "${files[@]}" >"$dir/result.json" 2>"$dir/stderr" </dev/null
    code=$?
    case $3 in
    none | w*) python3 "$LAB_TOOLS/check_locate.py" "$dir" "$dir/result.json" $code >"$dir/wrong" 2>&1 || right=1 ;;
    esac
    jq -e --arg port "$LAB_PORT" "${!asks}" "$dir/result.json" >/dev/null && return $right
    jq -c '.verdict, .findings, [.flows[] | {client, server, seen_as}]' "$dir/result.json" | cut -c1-1200 >>"$dir/wrong"
    return 1
}

case_of() { # NAME PLACE
    local name=$1 place=$2 dir=$LAB_DIR/case_$1 from to kind pattern=random
    # shellcheck disable=SC2254 # a glob on purpose
    case $name in $only) ;; *) return ;; esac
    number=$((number + 1))
    [ "$place" != none ] || pattern=clean
    lab_offload off
    lab_capture_start "$dir" 1600 # a relay's headers are longer than what the lab keeps as a rule
    "traffic_$name" </dev/null >"$dir/traffic.log" 2>&1
    case $name in deferred) ;; veiled*) lab_wait_for 20 relay_silent ;; *) relay_settles ;; esac
    lab_capture_stop
    lab_truth "$dir" >"$dir/truth.json"
    read -r from to kind <<<"$(case_segment "$place")"
    printf '{"place": "%s", "from": "%s", "to": "%s", "kind": "%s", "direction": "forward", "pattern": "%s", "offload": "off", "ip": 4, "host_drops": 0}\n' \
        "$place" "$from" "$to" "$kind" "$pattern" >"$dir/case.json"
    if ask "$dir" "$name" "$place"; then
        echo "ok   $name"
    else
        failed=$((failed + 1))
        echo "FAIL $name"
        cat "$dir/wrong" "$dir/stderr"
        [ -z "${SCENARIO_SAVE:-}" ] || cp -r "$dir" "$SCENARIO_SAVE/"
    fi
}

lab_trap
lab_up
lab_serve $LAB_MARK_PORT
sink
relay_up
case_of clean none
[ -z "${SCENARIO_LONG:-}" ] || { case_of w1 w1; case_of w2 w2; }
case_of held -
case_of gone -
case_of deferred -
relay_down
LAB_PORT=465
tls_up
case_of veiled none
[ -z "${SCENARIO_LONG:-}" ] || case_of veiled_w2 w2
echo "$number cases, $failed failed"
[ $failed = 0 ] && [ $number -gt 0 ]
