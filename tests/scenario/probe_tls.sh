#!/bin/bash
# The probe of TLS from mx1: OpenSSL, GnuTLS and nginx with good and bad settings on remote, and servers that put it off.
set -u
here=$(dirname "$(readlink -f "$0")")
. "$here/lab.sh"
. "$here/probe_lib.sh"
only=${1:-}
port=4400

certificate() { # NAME DAYS OPTION...: NAME.pem and NAME.key, signed by itself
    local name=$1 days=$2
    shift 2
    openssl req -x509 -newkey "${KEY:-rsa:2048}" ${PKEYOPT:+-pkeyopt $PKEYOPT} -nodes -keyout "$LAB_DIR/$name.key" -out "$LAB_DIR/$name.pem" -days "$days" \
        -subj "/CN=$name.example.net" -addext "subjectAltName=DNS:$name.example.net,IP:$REMOTE_4" "$@" 2>/dev/null || lab_die "certificate $name"
}

serve() { # NAME COMMAND...: its command line has PORT where the port goes; the address in $at
    port=$((port + 1))
    at=$REMOTE_4:$port
    local name=$1
    shift
    lab_start "$name" remote "${@//PORT/$port}"
    lab_wait_for 5 lab_in remote bash -c "ss -ltn | grep -q :$port" || lab_die "$name: $(cat "${LAB_LOG[$name]}")"
}
openssl_server() { # NAME CERTIFICATE OPTION...
    local name=$1 certificate=$2
    shift 2
    serve "$name" openssl s_server -quiet -accept PORT -cert "$LAB_DIR/$certificate.pem" -key "$LAB_DIR/$certificate.key" "$@"
}
# OpenSSL's names of suites, one a line, to IANA's, sorted on one line.
iana() {
    openssl ciphers -stdname 'ALL:COMPLEMENTOFALL:@SECLEVEL=0' | awk '{print $3, $1}' | sort >"$LAB_DIR/names"
    sort -u | join - "$LAB_DIR/names" | awk '{print $2}' | sort | tr '\n' ' '
}
ours() { jq -r ".results[0].data.protocols[] | select(.protocol == \"$1\") | .ciphers[].name" "$LAB_DIR/probe.json" | sort | tr '\n' ' '; }

probe_tls() {
    local at suites
    certificate good 30
    certificate other 30 -addext keyUsage=digitalSignature
    KEY=rsa:1024 certificate short 30
    openssl req -x509 -newkey rsa:2048 -nodes -keyout "$LAB_DIR/wrong.key" -out "$LAB_DIR/wrong.pem" -days 30 -subj /CN=wrong.example.com \
        -addext subjectAltName=DNS:wrong.example.com 2>/dev/null
    openssl req -newkey rsa:2048 -nodes -keyout "$LAB_DIR/expired.key" -out "$LAB_DIR/expired.csr" -subj /CN=x 2>/dev/null
    printf 'subjectAltName=IP:%s\n' "$REMOTE_4" >"$LAB_DIR/ext"
    openssl x509 -req -in "$LAB_DIR/expired.csr" -signkey "$LAB_DIR/expired.key" -out "$LAB_DIR/expired.pem" -days -1 -extfile "$LAB_DIR/ext" 2>/dev/null ||
        lab_die "an expired certificate"
    cat "$LAB_DIR"/{good,wrong,expired,short}.pem >"$LAB_DIR/trust.pem"
    export SSL_CERT_FILE=$LAB_DIR/trust.pem

    openssl_server modern good -min_protocol TLSv1.2 -cipher 'ECDHE+AESGCM:ECDHE+CHACHA20'
    probe_expect "a modern server" 0 ok \
        '([.data.protocols[] | select(.offered) | .protocol] == ["TLSv1.2", "TLSv1.3"]) and (.data.protocols | all(.complete)) and .data.certificate.trusted
         and .data.connections <= 3 + 3 + 6 * 3 and .data.questions.inconclusive == 0' tls $at
    suites=$(ours TLSv1.2)
    probe_same "sslscan's suites of TLS 1.2" "$(lab_in mx1 sslscan --no-colour --tls12 $at 2>/dev/null |
        awk '/^(Accepted|Preferred)/ {print $5}' | iana)" "$suites"
    probe_expect "an authority that is not known" 1 untrusted 'true' tls --servername other.example.net "$(openssl_server other other; echo $at)"
    openssl_server other2 other
    SSL_CERT_FILE=/dev/null probe_expect "an authority that is not known" 1 untrusted '.data.certificate.error | contains("self-signed")' tls $at
    openssl_server wrong wrong
    probe_expect "another name" 1 mismatch '.data.certificate.name_holds == false' tls $at
    probe_expect "the name that it has" 0 ok 'true' tls --servername wrong.example.com $at
    openssl_server expired expired
    probe_expect "a certificate that is over" 1 expired '.data.certificate.days_left < 0' tls $at
    openssl_server short short -cipher 'ALL:@SECLEVEL=0'
    probe_expect "a short key" 1 weak '.data.weaknesses | any(contains("1024 bits"))' tls $at

    openssl_server old good -min_protocol TLSv1 -cipher 'ALL:COMPLEMENTOFALL:@SECLEVEL=0' -serverpref
    probe_expect "old versions, NULL and anonymous suites" 1 weak \
        '(.data.protocols[2] | .protocol == "TLSv1.0" and .offered and (.ciphers | any(.name == "TLS_RSA_WITH_NULL_SHA" and .strength == "weak")))
         and (.data.protocols[4].ciphers | any(.name == "TLS_ECDH_anon_WITH_AES_128_CBC_SHA" and .strength == "weak")) and .data.protocols[4].server_order' tls $at
    probe_same "connections: no more than suites and three for each version" \
        "$(jq '.results[0].data as $d | $d.connections <= ([$d.protocols[].ciphers | length] | add) + 3 * 6' "$LAB_DIR/probe.json")" true
    local version
    for version in TLSv1.0:--tls10 TLSv1.2:--tls12; do
        suites=$(ours ${version%:*} | tr ' ' '\n' | grep -vE 'ARIA|CAMELLIA|CCM|PSK|_anon_|NULL' | sort | tr '\n' ' ')
        probe_same "sslscan's suites of ${version%:*}" "$(lab_in mx1 sslscan --no-colour ${version#*:} $at 2>/dev/null |
            awk '/^(Accepted|Preferred)/ {print $5}' | grep -vE 'ARIA|CAMELLIA|CCM|PSK|^AECDH|^ADH|NULL' | iana)" "$suites"
    done
    serve gnutls gnutls-serv --http --port PORT --x509certfile "$LAB_DIR/good.pem" --x509keyfile "$LAB_DIR/good.key" \
        --priority 'NORMAL:-VERS-ALL:+VERS-TLS1.1:+VERS-SSL3.0:+VERS-TLS1.2:+ARCFOUR-128:+3DES-CBC:+MD5:+SHA1:%COMPAT'
    probe_expect "GnuTLS with RC4 and 3DES" 1 weak \
        '.data.protocols[4].ciphers | any(.name == "TLS_RSA_WITH_3DES_EDE_CBC_SHA" and .strength == "weak")' tls $at
    serve plain python3 "$LAB_TOOLS/odd_smtp.py" PORT pieces
    probe_expect "no TLS at all" 1 no-tls 'true' tls $at
    probe_expect "STARTTLS that is not there" 1 no-tls 'true' tls --starttls smtp $at
    serve busy python3 "$LAB_TOOLS/odd_smtp.py" PORT busy
    probe_expect "421 instead of STARTTLS" 3 inconclusive '.data.protocols | all(.offered == null)' tls --starttls smtp $at
    serve tarpit python3 "$LAB_TOOLS/odd_smtp.py" PORT silent
    probe_expect "a tarpit" 3 inconclusive '.data.protocols | all(.offered == null)' tls --timeout 3 --starttls smtp $at
    probe_expect "nobody listens" 3 inconclusive 'true' tls $REMOTE_4:9
    probe_refuses "a protocol that is none" "one of" tls --starttls ftp $at
}

# nginx with a bad setting and a good one, and every version and suite as testssl.sh finds them.
nginx_up() { # NAME PROTOCOLS CIPHERS
    local dir=$LAB_DIR/nginx_$1
    mkdir -p "$dir"
    port=$((port + 1))
    at=$REMOTE_4:$port
    cat >"$dir/conf" <<END
daemon off; master_process off; pid $dir/pid; error_log $dir/log; user root;
events { worker_connections 64; }
http {
    access_log off; client_body_temp_path $dir/b; proxy_temp_path $dir/p; fastcgi_temp_path $dir/f; uwsgi_temp_path $dir/u; scgi_temp_path $dir/s;
    server {
        listen $at ssl; ssl_certificate $LAB_DIR/good.pem; ssl_certificate_key $LAB_DIR/good.key;
        ssl_protocols $2; ssl_ciphers "$3"; ssl_prefer_server_ciphers on; return 200 ok;
    }
}
END
    lab_start "nginx_$1" remote nginx -c "$dir/conf" -e "$dir/log"
    lab_wait_for 5 lab_in remote bash -c "ss -ltn | grep -q :$port" || lab_die "nginx: $(cat "${LAB_LOG[nginx_$1]}" "$dir/log")"
}

# testssl_says: testssl.sh about the server at $at, kept in testssl.json.
testssl_says() {
    rm -f "$LAB_DIR/testssl.json"
    lab_in mx1 timeout 200 testssl --quiet --nodns none --color 0 --warnings batch -p -E --jsonfile "$LAB_DIR/testssl.json" "$at" >"$LAB_DIR/testssl.out" 2>&1
    [ -s "$LAB_DIR/testssl.json" ] || lab_die "testssl: $(tail -n 5 "$LAB_DIR/testssl.out")"
}
testssl_versions() { jq -r '.[] | select((.id | test("^(SSLv|TLS1)")) and (.finding | startswith("offered"))) | .id' "$LAB_DIR/testssl.json" | sort | tr '\n' ' '; }
testssl_suites() { jq -r ".[] | select(.id | test(\"^cipher-$1_x\")) | .finding | split(\" \") | last" "$LAB_DIR/testssl.json" | sort | tr '\n' ' '; }
our_versions() {
    jq -r '.results[0].data.protocols[] | select(.offered) | .protocol' "$LAB_DIR/probe.json" |
        sed 's/^TLSv1.0$/TLS1/; s/^TLSv1\./TLS1_/' | sort | tr '\n' ' '
}

# A server with all suites: testssl.sh takes minutes for it.
probe_testssl_weak() {
    nginx_up weak "TLSv1 TLSv1.1 TLSv1.2" "ALL:COMPLEMENTOFALL:@SECLEVEL=0"
    probe_expect "nginx with all that OpenSSL has" 1 weak \
        '(.data.weaknesses | any(. == "TLSv1.0 is offered")) and .data.protocols[4].server_order and (.data.protocols[5].offered | not)' tls $at
    testssl_says
    probe_same "testssl.sh's versions" "$(our_versions)" "$(testssl_versions)"
    probe_same "testssl.sh's suites of TLS 1.0" "$(ours TLSv1.0)" "$(testssl_suites tls1)"
    probe_same "testssl.sh's suites of TLS 1.1" "$(ours TLSv1.1)" "$(testssl_suites tls1_1)"
    probe_same "testssl.sh's suites of TLS 1.2" "$(ours TLSv1.2)" "$(testssl_suites tls1_2)"
}
probe_testssl() {
    local at
    certificate good 30
    export SSL_CERT_FILE=$LAB_DIR/good.pem
    [ -z "${SCENARIO_LONG:-}" ] || probe_testssl_weak
    nginx_up modern "TLSv1.2 TLSv1.3" "ECDHE+AESGCM:ECDHE+CHACHA20"
    probe_expect "nginx as it should be" 0 ok '[.data.protocols[] | select(.offered) | .protocol] == ["TLSv1.2", "TLSv1.3"]' tls $at
    testssl_says
    probe_same "testssl.sh's versions" "$(our_versions)" "$(testssl_versions)"
    probe_same "testssl.sh's suites of TLS 1.2" "$(ours TLSv1.2)" "$(testssl_suites tls1_2)"
    probe_same "testssl.sh's suites of TLS 1.3" "$(ours TLSv1.3)" "$(testssl_suites tls1_3)"
}

lab_trap
lab_up || lab_die "no lab"
for kind in ${only:-tls testssl}; do "probe_$kind"; done
probe_end
