#!/bin/bash
# The probes of mail from mx1 towards remote, where real servers run, and odd ones for what real ones won't do.
set -u
here=$(dirname "$(readlink -f "$0")")
. "$here/lab.sh"
. "$here/probe_lib.sh"
only=${1:-}

rules() {
    lab_in edge1 sh -c 'nft delete table inet probe 2>/dev/null; exit 0'
    [ -z "${1:-}" ] || lab_in edge1 nft "table inet probe { chain f { type filter hook forward priority 0; $1 }; }" || lab_die nft
}

odd_port=4000
odd() { # WHAT: such a server; its address in $at
    odd_port=$((odd_port + 1))
    lab_start "odd_$1" remote python3 "$LAB_TOOLS/odd_smtp.py" $odd_port "$1"
    lab_wait_for 5 lab_in remote bash -c "ss -ltn | grep -q :$odd_port" || lab_die "odd server $1"
    at=$REMOTE_4:$odd_port
}

postfix_up() {
    mkdir -p "$LAB_DIR/pf" "$LAB_DIR/spool" "$LAB_DIR/data"
    chmod 755 "$LAB_DIR"
    chown postfix "$LAB_DIR/data"
    openssl req -x509 -newkey rsa:2048 -nodes -keyout "$LAB_DIR/key.pem" -out "$LAB_DIR/cert.pem" -days 30 \
        -subj /CN=mx.example.net -addext subjectAltName=DNS:mx.example.net,IP:$REMOTE_4 2>/dev/null
    cp /etc/postfix/dynamicmaps.cf* "$LAB_DIR/pf/" 2>/dev/null
    mkdir -p "$LAB_DIR/sasl"
    cat >"$LAB_DIR/pf/main.cf" <<END
compatibility_level = 3.6
queue_directory = $LAB_DIR/spool
data_directory = $LAB_DIR/data
maillog_file = $LAB_DIR/maillog
maillog_file_prefixes = $LAB_DIR
myhostname = mx.example.net
mydestination = example.net
mynetworks = 127.0.0.0/8
inet_interfaces = all
alias_maps =
local_recipient_maps = static:ok
relay_domains =
mailbox_transport = discard:
local_transport = discard:
smtpd_tls_cert_file = $LAB_DIR/cert.pem
smtpd_tls_key_file = $LAB_DIR/key.pem
smtpd_tls_security_level = may
smtpd_recipient_restrictions = check_recipient_access inline:{ { nobody@example.net = 550 5.1.1 no such user }, { later@example.net = 450 4.2.0 mailbox busy } }, reject_unauth_destination
smtpd_relay_restrictions = permit_mynetworks, reject_unauth_destination
message_size_limit = 200000
smtpd_peername_lookup = no
END
    postconf -M -c "$LAB_DIR/pf" 2>/dev/null >/dev/null
    sed 's/^\([a-z].*\) y  *\(-\|[0-9]\)/\1 n \2/' /usr/share/postfix/master.cf.dist 2>/dev/null >"$LAB_DIR/pf/master.cf" ||
        cp /etc/postfix/master.cf "$LAB_DIR/pf/master.cf"
    postconf -c "$LAB_DIR/pf" -F '*/*/chroot = n'
    lab_in remote postfix -c "$LAB_DIR/pf" start >"$LAB_DIR/postfix.out" 2>&1 || lab_die "postfix: $(cat "$LAB_DIR/postfix.out")"
    lab_wait_for 10 lab_in remote bash -c 'exec 3<>/dev/tcp/127.0.0.1/25' || lab_die "postfix does not listen"
}
postfix_down() { lab_in remote postfix -c "$LAB_DIR/pf" stop >/dev/null 2>&1; }

probe_smtp() {
    local secret='Tr0ub4dor&3' file=$LAB_DIR/auth at
    printf 'user: alice\npassword: %s\n' "$secret" >"$file"
    chmod 600 "$file"
    probe_expect "Postfix takes a recipient" 0 accepted \
        '([.data.stages[] | select(.stage == "quit")] | length == 1) and .data.stage == "quit" and ([.data.stages[].stage] | index("rcpt")) and .data.tls.version == "TLSv1.3" and .data.tls.verified == false and (.data.capabilities | any(startswith("SIZE")))' \
        smtp --mail-from a@example.org --rcpt-to you@example.net $REMOTE_4
    SSL_CERT_FILE=$LAB_DIR/cert.pem probe_expect "its certificate holds with its authority known" 0 accepted \
        '.data.tls.verified and .status == "ok"' smtp --rcpt-to you@example.net $REMOTE_4
    probe_expect "Postfix takes a message" 0 accepted \
        '.data.message_bytes == 100000 and ([.data.stages[] | select(.stage == "body")][0].reply.text | contains("queued as"))' \
        smtp --send --size 100000 --mail-from a@example.org --rcpt-to you@example.net $REMOTE_4
    lab_wait_for 5 grep -q 'size=100' "$LAB_DIR/maillog"
    probe_same "the size that Postfix counted, without its own header" \
        "$(sed -n 's/.* size=\([0-9]*\), nrcpt.*/\1/p' "$LAB_DIR/maillog" | tail -1 | awk '{print ($1 > 98000 && $1 < 101000)}')" 1
    probe_expect "in the clear" 0 accepted '.data.tls == null' smtp --no-starttls --rcpt-to you@example.net $REMOTE_4
    probe_expect "no such user" 1 rejected '.data.stage == "rcpt" and ([.data.stages[] | select(.stage == "rcpt")][0].reply | .code == 550 and .enhanced == "5.1.1" and (.text | contains("no such user")))' \
        smtp --rcpt-to nobody@example.net $REMOTE_4
    probe_expect "a foreign domain" 1 rejected '[.data.stages[] | select(.stage == "rcpt")][0].reply.code == 554' \
        smtp --rcpt-to x@example.com $REMOTE_4
    probe_expect "later" 1 deferred '.data.stage == "rcpt"' smtp --rcpt-to later@example.net $REMOTE_4
    probe_expect "too large, announced" 1 rejected '.data.stage == "mail"' smtp --size 300000 --rcpt-to you@example.net $REMOTE_4
    probe_expect "no AUTH offered" 1 auth-failed '.data.stage == "auth"' smtp --auth-file "$file" $REMOTE_4
    probe_same "swaks on the same recipient" \
        "$(lab_in mx1 swaks --server $REMOTE_4 --from a@example.org --to nobody@example.net --quit-after RCPT --hide-all >/dev/null 2>&1; echo $?)" 24
    odd pieces; probe_expect "a greeting in pieces" 0 accepted '[.data.stages[] | select(.stage == "banner")][0].reply.text == "odd.example.net\nlate"' smtp $at
    odd helo_only; probe_expect "HELO after EHLO" 0 accepted '[.data.transcript[] | select(startswith("C: HELO"))] | length == 1' smtp --rcpt-to x@y $at
    odd busy; probe_expect "421 as greeting" 1 deferred '.data.stage == "banner"' smtp $at
    odd closed; probe_expect "554 as greeting" 1 rejected '.data.stage == "banner" and .data.transcript[-1] != null' smtp $at
    odd inject; probe_expect "bytes behind STARTTLS" 1 injection '.data.injected | contains("slipped in")' smtp $at
    odd no_tls; probe_expect "STARTTLS with 454" 1 tls-failed '.data.stage == "starttls"' smtp $at
    odd not_tls; probe_expect "no TLS behind STARTTLS" 1 tls-failed '.data.stage == "starttls"' smtp $at
    odd hang_up; probe_expect "hung up at MAIL" 1 disconnected '.data.stage == "mail" and .data.closed_with == "FIN"' smtp --rcpt-to x@y $at
    odd hang; probe_expect "silence at RCPT" 1 timeout '.data.stage == "rcpt"' smtp --timeout 2 --rcpt-to x@y $at
    odd cut_body; probe_expect "cut in the message" 1 disconnected '.data.stage == "body" and .data.body_bytes_sent > 0' smtp --send --size 3000000 --rcpt-to x@y $at
    odd body_421; probe_expect "421 after the dot" 1 deferred '.data.stage == "body"' smtp --send --rcpt-to x@y $at
    odd talks_ssh; probe_expect "no SMTP at all" 1 rejected '.data.stage == "banner"' smtp $at
    odd silent; probe_expect "never greets" 1 timeout '.data.stage == "banner"' smtp --timeout 1 $at
    odd flood; probe_expect "a flood without line end" 1 rejected 'true' smtp $at
    odd endless; probe_expect "a reply without end" 1 rejected '.data.stage == "ehlo"' smtp $at
    odd auth_454; probe_expect "AUTH with 454" 1 deferred '.data.stage == "auth"' smtp --auth-file "$file" $at
    odd echo_secret; probe_expect "a server that sends the password back" 1 auth-failed '.data.stage == "auth"' smtp --auth-file "$file" $at
    probe_same "the password in the document" "$(grep -c -e "$secret" -e "$(printf %s "$secret" | base64)" "$LAB_DIR/probe.json")" 0
    odd greylist; probe_expect "greylisting, one try" 1 deferred '.data.stage == "rcpt"' smtp --rcpt-to one@y $at
    probe_expect "greylisting, two tries" 0 greylisted '.status == "warning" and .data.tries == 2 and (.next_step | length > 0)' \
        smtp --retry 2 --retry-delay 0.3 --rcpt-to two@y $at
    odd always_450; probe_expect "450 for ever" 1 deferred '.data.tries == 3' smtp --retry 2 --retry-delay 0.2 --rcpt-to x@y $at
    probe_expect "nobody listens" 1 refused '.data.stage == "connect"' smtp $REMOTE_4:9
    rules 'tcp dport 25 drop;'
    probe_expect "dropped on the way" 1 filtered '.data.stage == "connect"' smtp --timeout 1.5 $REMOTE_4
    rules
    chmod 644 "$file"
    probe_refuses "an auth file that others can read" "open to others" smtp --auth-file "$file" $REMOTE_4
    probe_refuses "send to nobody" "needs --rcpt-to" smtp --send $REMOTE_4
}

probe_relay() {
    local box=$LAB_DIR/box
    probe_expect "a server that is closed" 0 closed '(.data.forms | length == 12 and all(.accepted == false)) and .status == "ok"' \
        relay --local-domain example.net $REMOTE_4
    # the same server, wide open: what goes to the remote domain lands in a maildir
    postfix_down
    mkdir -p "$box/new" "$box/cur" "$box/tmp"
    chown -R nobody:nogroup "$box"
    cat >>"$LAB_DIR/pf/main.cf" <<END
mynetworks = 0.0.0.0/0
smtpd_recipient_restrictions = permit_mynetworks, reject
virtual_mailbox_domains = proof.example.org
virtual_mailbox_base = /
virtual_mailbox_maps = static:${box#/}/
virtual_uid_maps = static:$(id -u nobody)
virtual_gid_maps = static:$(id -g nobody)
default_transport = discard:
relay_transport = discard:
END
    lab_in remote postfix -c "$LAB_DIR/pf" start >/dev/null 2>&1
    lab_wait_for 10 lab_in remote bash -c 'exec 3<>/dev/tcp/127.0.0.1/25' || lab_die "postfix does not listen"
    probe_expect "an open one, without proof" 3 open-unproven '.data.accepted > 0 and .data.forms[0].accepted' relay --local-domain example.net $REMOTE_4
    probe_expect "an open one, with proof" 1 open '.data.token | length == 24' \
        relay --local-domain example.net --remote-domain proof.example.org --proof-mailbox "$box" $REMOTE_4
    probe_same "messages in the mailbox" "$(find "$box/new" -type f | wc -l)" 1
    # the same proof in an IMAP account: Dovecot looks at that maildir as mallory's
    local login=$LAB_DIR/proof.login secret='pr00f-of-it'
    printf 'user: mallory\npassword: %s\n' "$secret" >"$login"
    printf 'user: mallory\npassword: wr0ng-pass\n' >"$login.wrong"
    chmod 600 "$login" "$login.wrong"
    [ -z "${LAB_PID[dovecot]:-}" ] || lab_stop dovecot
    dovecot_up "mallory:{PLAIN}$secret" "$box"
    export SSL_CERT_FILE=$LAB_DIR/cert.pem
    proof="relay --local-domain example.net --remote-domain proof.example.org"
    probe_expect "proof in an IMAP account" 1 open '.data.mailbox.folder == "INBOX" and .data.mailbox.tls.verified' \
        $proof --proof-mailbox "imap://$REMOTE_4" --auth-file "$login" $REMOTE_4
    probe_expect "... with TLS at once" 1 open '.data.mailbox.port == 993' $proof --proof-mailbox "imaps://$REMOTE_4/INBOX" --auth-file "$login" $REMOTE_4
    probe_same "the password in the document" "$(grep -c -e "$secret" -e "$(printf %s "$secret" | base64)" "$LAB_DIR/probe.json")" 0
    probe_expect "a message that arrives elsewhere" 3 open-unproven '.summary | contains("nothing arrived")' \
        relay --timeout 6 --local-domain example.net --remote-domain elsewhere.example.org --proof-mailbox "imap://$REMOTE_4" --auth-file "$login" $REMOTE_4
    probe_refuses "an account with another password" "login was answered with NO" $proof --proof-mailbox "imap://$REMOTE_4" --auth-file "$login.wrong" $REMOTE_4
    probe_refuses "a folder that is not there" "opening Nothing was answered with NO" $proof --proof-mailbox "imap://$REMOTE_4/Nothing" --auth-file "$login" $REMOTE_4
    probe_refuses "an account without password" "needs --auth-file" $proof --proof-mailbox "imap://$REMOTE_4" $REMOTE_4
    probe_refuses "an account that is no URL" "is not imap" $proof --proof-mailbox "imap://me@$REMOTE_4" --auth-file "$login" $REMOTE_4
    probe_refuses "nobody listens at the mailbox" "proof-mailbox" $proof --proof-mailbox "imap://$REMOTE_4:9" --auth-file "$login" $REMOTE_4
    unset SSL_CERT_FILE
    odd busy; probe_expect "a server that puts it off" 3 inconclusive '.data.forms | all(.accepted == null)' relay $at
    odd defers_all; probe_expect "all forms put off" 3 inconclusive 'true' relay $at
    probe_expect "nobody listens" 3 inconclusive 'true' relay $REMOTE_4:9
    probe_refuses "a mailbox that is none" "no maildir" relay --remote-domain x.test --proof-mailbox "$LAB_DIR" $REMOTE_4
}

probe_queue() {
    local spool=$LAB_DIR/spool
    export PROBE_HOST=remote
    submit() { # RECIPIENT: hands a message in on remote
        printf 'Subject: x\n\nhello\n' | lab_in remote env MAIL_CONFIG="$LAB_DIR/pf" sendmail -C "$LAB_DIR/pf" -f a@example.net "$1"
    }
    probe_expect "an empty queue" 0 ok '.data.mta == "postfix" and .data.messages == 0 and .data.running' queue "$spool"
    submit x@203.0.113.77.example.com
    submit y@nowhere.invalid
    printf 'relayhost = [203.0.113.25]:9\n' >>"$LAB_DIR/pf/main.cf"
    lab_in remote postfix -c "$LAB_DIR/pf" reload >/dev/null 2>&1
    submit z@example.com
    submit z2@example.com
    # The reason is written first, then the message is moved: all four, with the two that were refused.
    lab_wait_for 20 bash -c "[ \$(grep -rl refused $spool/defer | wc -l) = 2 ] && [ \$(find $spool/deferred -type f | wc -l) -ge 4 ]" ||
        lab_die "nothing deferred"
    probe_expect "deferred mail, fresh" 0 ok \
        '.data.deferred >= 2 and ([.data.destinations[] | select(.domain == "example.com")][0] | .messages == 2 and (.reasons[0].reason | contains("refused")))' queue "$spool"
    probe_same "mailq's count" "$(lab_in remote env MAIL_CONFIG="$LAB_DIR/pf" postqueue -c "$LAB_DIR/pf" -j | grep -c queue_name)" \
        "$(jq '.results[0].data.messages' "$LAB_DIR/probe.json")"
    probe_expect "more than allowed" 1 backlog 'true' queue --max-messages 1 "$spool"
    sleep 1.2
    probe_expect "older than allowed" 1 backlog '.data.oldest_s >= 1' queue --max-age 1 "$spool"
    postfix_down
    lab_wait_for 10 bash -c "! pgrep -f '$LAB_DIR/pf' >/dev/null"
    probe_expect "a server that is down" 1 stuck '.data.running == false' queue "$spool"
    submit w@example.com
    probe_expect "mail that is handed in meanwhile" 1 stuck '.data.queues.maildrop == 1' queue "$spool"
    mkdir -p "$LAB_DIR/exim/input" "$LAB_DIR/exim/msglog" "$LAB_DIR/empty"
    printf '%s-H\nmail 8 8\n<a@example.net>\n%s 0\n-local\nXX\n1\nb@example.org\n\n' 1abcde-000001-AB $(($(date +%s) - 900)) >"$LAB_DIR/exim/input/1abcde-000001-AB-H"
    printf '2026-11-26 10:00:00 b@example.org R=dns T=smtp defer (111): Connection refused\n' >"$LAB_DIR/exim/msglog/1abcde-000001-AB"
    probe_expect "Exim's spool" 1 backlog '.data.mta == "exim" and .data.destinations[0].domain == "example.org" and .data.destinations[0].reasons[0].reason == "Connection refused"' queue "$LAB_DIR/exim"
    probe_expect "a plain folder" 0 ok '.data.mta == "plain" and .data.messages == 0' queue "$LAB_DIR/empty"
    probe_refuses "a folder that is not there" "is not there" queue "$LAB_DIR/nothing"
    unset PROBE_HOST
}

dovecot_up() { # [USER MAILDIR]: after postfix_up, which makes the certificate; alice and mail/alice unless told
    local dir=$LAB_DIR/dovecot mail=${2:-$LAB_DIR/mail/%u}
    mkdir -p "$dir/run" "$LAB_DIR/mail"
    printf '%s\n' "${1:-alice:{PLAIN\}Tr0ub4dor&3}" >"$dir/users"
    chown -R nobody "$LAB_DIR/mail"
    chmod 755 "$dir"
    cat >"$dir/dovecot.conf" <<END
base_dir = $dir/run
state_dir = $dir/run
log_path = $dir/log
protocols = imap pop3
listen = *
ssl = yes
ssl_cert = <$LAB_DIR/cert.pem
ssl_key = <$LAB_DIR/key.pem
disable_plaintext_auth = yes
mail_location = maildir:$mail
first_valid_uid = 1
passdb {
  driver = passwd-file
  args = $dir/users
}
userdb {
  driver = static
  args = uid=nobody gid=nogroup home=$mail
}
END
    lab_start dovecot remote dovecot -F -c "$dir/dovecot.conf"
    lab_wait_for 10 lab_in remote bash -c 'exec 3<>/dev/tcp/127.0.0.1/143' || lab_die "dovecot: $(cat "${LAB_LOG[dovecot]}" "$dir/log")"
}

probe_mailbox() {
    local file=$LAB_DIR/login wrong=$LAB_DIR/wrong secret='Tr0ub4dor&3' at
    printf 'user: alice\npassword: %s\n' "$secret" >"$file"
    printf 'user: alice\npassword: wr0ng-pass\n' >"$wrong"
    chmod 600 "$file" "$wrong"
    dovecot_up
    mkdir -p "$LAB_DIR/mail/alice/new" "$LAB_DIR/mail/alice/cur" "$LAB_DIR/mail/alice/tmp" "$LAB_DIR/mail/alice/.Sent/new" \
        "$LAB_DIR/mail/alice/.Sent/cur" "$LAB_DIR/mail/alice/.Sent/tmp"
    printf 'Subject: x\n\nhello\n' | tee "$LAB_DIR/mail/alice/new/1.a" >"$LAB_DIR/mail/alice/new/2.b"
    chown -R nobody:nogroup "$LAB_DIR/mail"
    export SSL_CERT_FILE=$LAB_DIR/cert.pem
    probe_expect "IMAP: greets and talks" 0 ok '.data.tls.verified and ([.data.stages[].stage] | index("starttls"))' imap $REMOTE_4
    probe_expect "IMAP: lets somebody in" 0 ok '(.data.mailboxes | index("INBOX") and index("Sent")) and .data.stage == "logout"' imap --auth-file "$file" $REMOTE_4
    probe_expect "IMAP with TLS at once" 0 ok '.data.tls.version == "TLSv1.3" and .data.stages[1].stage == "starttls"' imap --auth-file "$file" $REMOTE_4:993
    probe_expect "IMAP: wrong password" 1 auth-failed '.data.stage == "login" and ([.data.stages[] | select(.stage == "login")][0].reply.status == "NO")' \
        imap --auth-file "$wrong" $REMOTE_4
    probe_same "the password in the document" "$(grep -c -e wr0ng-pass -e "$(printf 'wr0ng-pass' | base64)" "$LAB_DIR/probe.json")" 0
    probe_expect "POP3: lets somebody in" 0 ok '.data.messages == 2 and .data.tls.verified' pop3 --auth-file "$file" $REMOTE_4
    probe_expect "POP3 with TLS at once" 0 ok '.data.messages == 2' pop3 --auth-file "$file" $REMOTE_4:995
    probe_expect "POP3: wrong password" 1 auth-failed '.data.stage == "login"' pop3 --auth-file "$wrong" $REMOTE_4
    unset SSL_CERT_FILE
    probe_expect "POP3: a certificate that nobody knows" 0 ok '.data.tls.verified == false and (.data.problems | any(.word == "certificate"))' pop3 $REMOTE_4
    odd talks_ssh; probe_expect "IMAP: something else" 1 disconnected '.data.stage == "banner"' imap $at
    odd silent; probe_expect "POP3: never greets" 1 timeout '.data.stage == "banner"' pop3 --timeout 1 $at
    odd flood; probe_expect "IMAP: a flood" 1 disconnected 'true' imap $at
    probe_expect "IMAP: nobody listens" 1 refused 'true' imap $REMOTE_4:9
    rules 'tcp dport 110 drop;'
    probe_expect "POP3: dropped on the way" 1 filtered 'true' pop3 --timeout 1.5 $REMOTE_4
    rules
}

probe_services() { # what the other tests left running: Postfix, Dovecot; and a few more
    local port='.data.ports[] | select(.port == '
    [ -n "${LAB_PID[dovecot]:-}" ] || dovecot_up
    mkdir -p "$LAB_DIR/web"
    lab_start web remote python3 -m http.server 8080 --bind $REMOTE_4 --directory "$LAB_DIR/web"
    lab_start ssl remote openssl s_server -quiet -accept 8443 -cert "$LAB_DIR/cert.pem" -key "$LAB_DIR/key.pem" -WWW
    lab_wait_for 5 lab_in remote bash -c 'ss -ltn | grep -q :8080 && ss -ltn | grep -q :8443' || lab_die "web servers"
    probe_expect "what is there" 0 ok \
        "([$port 25)][0] | .protocol == \"smtp\" and .starttls and (.tls | not)) and ([$port 143)][0] | .protocol == \"imap\" and .starttls)
         and ([$port 995)][0] | .protocol == \"pop3\" and .tls) and ([$port 8080)][0].protocol == \"http\") and ([$port 8443)][0] | .protocol == \"http\" and .tls)
         and ([$port 3306)][0].class == \"refused\")" services --ports 25,110,143,993,995,8080,8443,3306 $REMOTE_4
    probe_expect "what nobody expected" 1 unexpected "[.data.ports[] | select(.unexpected) | .port] == [8080]" \
        services --ports 25,143,8080 --expect 25,143 $REMOTE_4
    probe_expect "all as declared" 0 ok '.status == "ok"' services --ports 25,143 --expect 25,143 $REMOTE_4
    probe_expect "a declared one is missing" 0 ok '.status == "warning" and .data.missing == [26]' services --ports 25,26 --expect 25,26 $REMOTE_4
    probe_same "nmap's open ports" "$(lab_in mx1 nmap -n -Pn -p 25,26,110,143,993,995,3306,8080,8443 $REMOTE_4 | grep -c ' open ')" 7
    probe_refuses "ports that are none" "ports such as" services --ports 25,x $REMOTE_4
}

# What stands before many a mail server: greylisting by postgrey, and postscreen.
probe_gates() {
    mkdir -p "$LAB_DIR/greylist"
    chown postgrey "$LAB_DIR/greylist"
    : >"$LAB_DIR/nobody_white"
    lab_start postgrey remote postgrey --inet=127.0.0.1:10023 --dbdir="$LAB_DIR/greylist" --delay=2 --auto-whitelist-clients=0 \
        --whitelist-clients="$LAB_DIR/nobody_white" --whitelist-recipients="$LAB_DIR/nobody_white"
    lab_wait_for 10 lab_in remote bash -c 'ss -ltn | grep -q :10023' || lab_die "postgrey: $(cat "${LAB_LOG[postgrey]}")"
    postconf -c "$LAB_DIR/pf" -e "smtpd_recipient_restrictions = reject_unauth_destination, check_policy_service inet:127.0.0.1:10023"
    lab_in remote postfix -c "$LAB_DIR/pf" reload >/dev/null 2>&1
    probe_expect "postgrey, one try" 1 deferred \
        '.data.stage == "rcpt" and ([.data.stages[] | select(.stage == "rcpt")][0].reply | .code == 450 and (.text | contains("Greylisted")))' \
        smtp --mail-from a@example.org --rcpt-to one@example.net $REMOTE_4
    probe_expect "postgrey, too early, then late enough" 0 greylisted '.status == "warning" and .data.tries >= 2' \
        smtp --retry 3 --retry-delay 1.3 --mail-from a@example.org --rcpt-to two@example.net $REMOTE_4
    probe_expect "postgrey knows us now" 0 accepted '.status == "ok" or .status == "warning"' \
        smtp --mail-from a@example.org --rcpt-to two@example.net $REMOTE_4
    postconf -c "$LAB_DIR/pf" -e "smtpd_recipient_restrictions = reject_unauth_destination" "postscreen_greet_wait = 1s" \
        "postscreen_greet_action = enforce" "postscreen_access_list =" "postscreen_cache_map = internal:lab"
    postconf -c "$LAB_DIR/pf" -M "smtp/inet=smtp inet n - n - 1 postscreen" "smtpd/pass=smtpd pass - - n - - smtpd" \
        "tlsproxy/unix=tlsproxy unix - - n - 0 tlsproxy" "dnsblog/unix=dnsblog unix - - n - 0 dnsblog"
    postfix_down
    lab_in remote postfix -c "$LAB_DIR/pf" start >"$LAB_DIR/postfix.out" 2>&1 || lab_die "postfix: $(cat "$LAB_DIR/postfix.out")"
    lab_wait_for 10 lab_in remote bash -c 'exec 3<>/dev/tcp/127.0.0.1/25' || lab_die "postscreen does not listen"
    probe_expect "postscreen, which waits for who talks first" 0 accepted \
        '[.data.stages[] | select(.stage == "banner")][0] | .ms > 900 and (.reply.text | contains("\n"))' smtp --rcpt-to you@example.net $REMOTE_4
    probe_expect "the same to the probe tcp" 0 open '.data.banner | startswith("220-")' tcp --wait 3 "[$REMOTE_6]:25"
    postconf -c "$LAB_DIR/pf" -e "postscreen_pipelining_enable = yes" "postscreen_non_smtp_command_enable = yes" \
        "postscreen_bare_newline_enable = yes" "postscreen_bare_newline_action = enforce"
    lab_in remote postfix -c "$LAB_DIR/pf" reload >/dev/null 2>&1
    probe_expect "postscreen's deep tests, which put off whom they do not know" 0 greylisted \
        '.data.tries == 2 and .status == "warning"' smtp --retry 1 --retry-delay 0.5 --rcpt-to you@example.net $REMOTE_4
    probe_expect "whom it knows" 0 accepted '.data.tries == 1' smtp --rcpt-to you@example.net $REMOTE_4
}

UNPACKED=$(readlink -f "$here/../..")/build/unpacked # by deploy/test: both conflict with Postfix

# mta_up NAME PACKAGE PORT USER...: runs $LAB_DIR/NAME/run on remote, where the package's programs seem to be installed, and its
# users to exist. What it writes stays in $LAB_DIR/NAME.
mta_up() {
    local name=$1 package=$2 port=$3 dir=$LAB_DIR/$1 user id=59990
    shift 3
    [ -d "$UNPACKED/$package" ] || lab_die "no $UNPACKED/$package: deploy/test unpacks it"
    cp /etc/passwd /etc/group "$dir/"
    echo 'nameserver 127.0.0.1' >"$dir/resolv.conf" # where nobody answers, at once
    for user; do
        id=$((id + 1))
        echo "$user:x:$id:$id::/nonexistent:/usr/sbin/nologin" >>"$dir/passwd"
        echo "$user:x:$id:" >>"$dir/group"
    done
    cat >"$dir/start" <<END
set -e
mount -t overlay usr -o lowerdir=$UNPACKED/$package/usr:/usr /usr
mount --bind $dir/passwd /etc/passwd
mount --bind $dir/group /etc/group
mount --bind $dir/resolv.conf /etc/resolv.conf
for place in /var/lib /var/spool /run; do mount -t tmpfs none \$place; done
. $dir/run
END
    lab_start "$name" remote unshare -m bash "$dir/start"
    lab_wait_for 10 lab_in remote bash -c "ss -ltn | grep -q :$port" || lab_die "$name: $(cat "${LAB_LOG[$name]}")"
}

exim_up() {
    local dir=$LAB_DIR/exim_mta
    mkdir -p "$dir/spool/input" "$dir/log"
    cat >"$dir/conf" <<END
spool_directory = $dir/spool
log_file_path = $dir/log/%slog
pid_file_path = $dir/pid
primary_hostname = exim.example.net
local_interfaces = $REMOTE_4
daemon_smtp_ports = 2526
tls_advertise_hosts =
host_lookup =
acl_smtp_rcpt = recipient
begin acl
recipient:
  deny recipients = nobody@far.example.com
       message = no such user
  accept
begin routers
away:
  driver = manualroute
  route_list = * 127.0.0.1::9
  transport = smtp
  self = send
begin transports
smtp:
  driver = smtp
  hosts_try_dane =
begin retry
* * F,2h,1m
END
    cat >"$dir/run" <<END
chown -R Debian-exim:Debian-exim $dir/spool $dir/log
mkdir /var/lib/exim4
install -m 644 $dir/conf /var/lib/exim4/config.autogenerated
exec exim4 -bdf -q1m
END
    mta_up exim_mta exim4-daemon-light 2526 Debian-exim
}

opensmtpd_up() {
    local dir=$LAB_DIR/opensmtpd_mta
    mkdir -p "$dir/spool"
    cat >"$dir/conf" <<END
listen on $REMOTE_4 port 2527
action "away" relay host smtp://127.0.0.1:9
match from any for domain "far.example.com" action "away"
END
    cat >"$dir/run" <<END
mkdir -p /var/lib/opensmtpd/empty /var/spool/smtpd
chmod 711 $dir/spool
mount --bind $dir/spool /var/spool/smtpd
exec smtpd -d -f $dir/conf
END
    mta_up opensmtpd_mta opensmtpd 2527 opensmtpd opensmtpq
}

probe_mtas() {
    local at queue="queue --max-messages 0" greets='[.data.stages[] | select(.stage == "banner")][0].reply.text'
    exim_up
    at=$REMOTE_4:2526
    probe_expect "Exim takes a recipient" 0 accepted "$greets | contains(\"Exim\")" smtp --mail-from a@example.net --rcpt-to b@far.example.com $at
    probe_expect "Exim knows no such user" 1 rejected '.data.stage == "rcpt"' smtp --mail-from a@example.net --rcpt-to nobody@far.example.com $at
    export PROBE_HOST=remote
    probe_expect "Exim's queue, empty" 0 ok '.data.mta == "exim" and .data.messages == 0' $queue "$LAB_DIR/exim_mta/spool"
    unset PROBE_HOST
    probe_expect "Exim takes a message" 0 accepted '.data.stage == "quit"' smtp --send --mail-from a@example.net --rcpt-to b@far.example.com $at
    export PROBE_HOST=remote
    lab_wait_for 60 grep -q 'Connection refused' "$LAB_DIR/exim_mta/log/mainlog" || lab_die "Exim does not try: $(tail -n 5 "$LAB_DIR"/exim_mta/log/*)"
    probe_expect "Exim's queue, deferred" 1 backlog \
        '.data | .mta == "exim" and .deferred == 1 and (.destinations[0] | .domain == "far.example.com" and .reasons[0].reason == "Connection refused")' \
        $queue "$LAB_DIR/exim_mta/spool"
    unset PROBE_HOST
    lab_stop exim_mta
    opensmtpd_up
    at=$REMOTE_4:2527
    probe_expect "OpenSMTPD takes a recipient" 0 accepted "$greets | contains(\"OpenSMTPD\")" smtp --mail-from a@example.net --rcpt-to b@far.example.com $at
    probe_expect "OpenSMTPD is not responsible" 1 rejected '.data.stage == "rcpt"' smtp --mail-from a@example.net --rcpt-to b@elsewhere.example.com $at
    probe_expect "OpenSMTPD takes a message" 0 accepted '.data.stage == "quit"' smtp --send --mail-from a@example.net --rcpt-to b@far.example.com $at
    export PROBE_HOST=remote
    lab_wait_for 60 grep -rq errorline "$LAB_DIR/opensmtpd_mta/spool/queue" || lab_die "OpenSMTPD does not try"
    probe_expect "OpenSMTPD's queue, deferred" 1 backlog \
        '.data | .mta == "opensmtpd" and .deferred == 1 and (.destinations[0] | .domain == "far.example.com" and (.reasons[0].reason | contains("Network error")))' \
        $queue "$LAB_DIR/opensmtpd_mta/spool"
    unset PROBE_HOST
    lab_stop opensmtpd_mta
}

lab_trap
lab_up || lab_die "no lab"
postfix_up
trap 'rc=$?; trap - EXIT; postfix_down; lab_down; exit $rc' EXIT
for kind in ${only:-smtp mailbox services relay queue gates mtas}; do "probe_$kind"; done
probe_end
