#!/bin/bash
# The probe of MySQL from mx1: two real MariaDB servers on remote, one replicating from the other.
set -u
here=$(dirname "$(readlink -f "$0")")
. "$here/lab.sh"
. "$here/probe_lib.sh"
secret='s3cret-of-the-db'

db() { # NAME SQL: as root, by the server's own socket
    lab_in remote mariadb -N -S "$LAB_DIR/$1/sock" -u root -e "$2" 2>>"$LAB_DIR/sql.err" || lab_die "SQL on $1: $2: $(tail -1 "$LAB_DIR/sql.err")"
}

db_up() { # NAME PORT ID
    local dir=$LAB_DIR/$1
    mkdir -p "$dir"
    chown mysql "$dir"
    mariadb-install-db --no-defaults --user=mysql --datadir="$dir/data" --auth-root-authentication-method=normal --skip-test-db \
        >"$LAB_DIR/install.log" 2>&1 || lab_die "mariadb-install-db: $(tail -3 "$LAB_DIR/install.log")"
    lab_start "db_$1" remote mariadbd --no-defaults --user=mysql --datadir="$dir/data" --socket="$dir/sock" --port="$2" --server-id="$3" \
        --bind-address=$REMOTE_4 --log-bin=bin --pid-file="$dir/pid" --innodb-buffer-pool-size=16M --innodb-log-file-size=4M --skip-name-resolve
    lab_wait_for 30 lab_in remote mariadb-admin -S "$dir/sock" -u root ping >/dev/null 2>&1 || lab_die "MariaDB: $(tail -5 "${LAB_LOG[db_$1]}")"
}

lab_trap
lab_up || lab_die "no lab"
chmod 755 "$LAB_DIR"
db_up one 3306 1
db_up two 3307 2
printf 'user: probe\npassword: %s\n' "$secret" >"$LAB_DIR/auth"
printf 'user: probe\npassword: wrong-word\n' >"$LAB_DIR/wrong"
chmod 600 "$LAB_DIR/auth" "$LAB_DIR/wrong"
db one "CREATE USER probe IDENTIFIED BY '$secret'; GRANT SELECT, REPLICA MONITOR ON *.* TO probe; CREATE USER repl IDENTIFIED BY 'r'; GRANT REPLICATION SLAVE ON *.* TO repl;
    CREATE DATABASE ops; CREATE TABLE ops.heartbeat (ts TIMESTAMP(6)); INSERT INTO ops.heartbeat VALUES (NOW(6)); CREATE TABLE ops.t (id INT PRIMARY KEY) ENGINE=InnoDB;"
auth="--auth-file $LAB_DIR/auth"
ONE=$REMOTE_4:3306 TWO=$REMOTE_4:3307

probe_expect "a server that is no replica" 0 ok '.data.replica == false and .status == "ok" and (.data.version | contains("MariaDB"))' mysql $auth $ONE
probe_expect "a wrong password" 1 auth-failed 'true' mysql --auth-file "$LAB_DIR/wrong" $ONE
probe_same "the password in the document" "$(grep -c -e wrong-word "$LAB_DIR/probe.json" "$LAB_DIR/probe.err" | grep -vc ':0')" 0
probe_expect "nobody listens" 1 unreachable 'true' mysql $auth $REMOTE_4:9
mkdir -p "/etc/netns/$LAB-mx1"
printf '%s db.example.net\n203.0.113.26 db.example.net\n' $REMOTE_4 >"/etc/netns/$LAB-mx1/hosts"
lab_in remote ip address add 203.0.113.26/24 dev eth0
probe_expect "a name with two addresses, one without server" 1 unreachable \
    '.data.address == "203.0.113.26" and ([.data.addresses[] | select(.class == "ok")][0].version | contains("MariaDB"))' mysql $auth db.example.net:3306
probe_same "the other address alone" "$(printf '%s db.example.net\n' $REMOTE_4 >"/etc/netns/$LAB-mx1/hosts"
    lab_in mx1 "$PROBE_BIN" probe mysql --local --json $auth db.example.net:3306 | jq -c '.results[0] | [.class, (.data.addresses | length), .data.replica]')" \
    '["ok",1,false]'
rm -rf "/etc/netns/$LAB-mx1"
db two "CHANGE MASTER TO MASTER_HOST='$REMOTE_4', MASTER_PORT=3306, MASTER_USER='repl', MASTER_PASSWORD='r', MASTER_LOG_FILE='bin.000001', MASTER_LOG_POS=4; START SLAVE;"
lab_wait_for 20 bash -c "ip netns exec $LAB-remote mariadb -N -S $LAB_DIR/two/sock -u root -e 'SELECT COUNT(*) FROM ops.heartbeat' 2>/dev/null | grep -q 1" || lab_die "no replication"
probe_expect "a replica that keeps up" 0 ok \
    '.data.replica and .data.io_thread == "Yes" and .data.sql_thread == "Yes" and (.data.channels[0].source_position.position > 4)' mysql $auth $TWO
probe_expect "by the heartbeat" 0 ok '.data.lag_s > 0.1' mysql $auth --heartbeat ops.heartbeat $TWO
sleep 1.2
probe_expect "a heartbeat that is old" 1 lagging '.data.lag_s > 1' mysql $auth --heartbeat ops.heartbeat --max-lag 1 $TWO
db one "UPDATE ops.heartbeat SET ts = NOW(6)"
probe_expect "and one that is new" 0 ok '.data.lag_s < 1' mysql $auth --heartbeat ops.heartbeat --max-lag 1 $TWO
probe_refuses "a row to write, and no table" "needs --heartbeat" mysql $auth --write-to $ONE $TWO
written="mysql $auth --heartbeat ops.heartbeat --write-to $ONE"
probe_expect "a primary that this user may not write to" 1 auth-failed '.data.end_to_end.seen == false and (.summary | contains("203.0.113.25:3306"))' $written $TWO
db one "GRANT INSERT, UPDATE ON ops.heartbeat TO probe"
probe_expect "what is written is seen" 0 ok '.data.end_to_end | .seen and .ms < 2000 and .error == null' $written $TWO
probe_same "rows of the table" "$(db one 'SELECT COUNT(*) FROM ops.heartbeat')" 1
db one "DELETE FROM ops.heartbeat"
probe_expect "a table that is empty" 0 ok '.data.end_to_end.seen' $written $TWO
probe_same "rows of the table that was empty" "$(db one 'SELECT COUNT(*) FROM ops.heartbeat')" 1
probe_expect "a primary that is not there" 1 unreachable '.summary | contains("203.0.113.25:9 cannot be asked")' \
    mysql $auth --heartbeat ops.heartbeat --write-to $REMOTE_4:9 $TWO
db one "SET GLOBAL read_only = 1"
probe_expect "a primary that takes no writes" 1 stopped '.summary | contains("takes no writes")' $written $TWO
db one "SET GLOBAL read_only = 0"
probe_expect "no such table" 1 broken '.data.end_to_end.error | contains("nothing")' mysql $auth --heartbeat ops.nothing --write-to $ONE $TWO
db two "STOP SLAVE; SET GLOBAL replicate_ignore_table = 'ops.heartbeat'; START SLAVE"
probe_expect "threads run, and the row does not come" 1 lagging '.data.io_thread == "Yes" and .data.sql_thread == "Yes" and .data.end_to_end.seen == false' \
    $written --max-lag 2 $TWO
db two "STOP SLAVE; SET GLOBAL replicate_ignore_table = ''; START SLAVE"
lab_wait_for 10 bash -c "ip netns exec $LAB-remote mariadb -N -S $LAB_DIR/two/sock -u root -e 'SHOW SLAVE STATUS' | grep -q Yes" || lab_die "no replication any more"
db two "STOP SLAVE SQL_THREAD"
probe_expect "a thread that was stopped" 1 stopped '.data.sql_thread == "No" and .data.io_thread == "Yes"' mysql $auth $TWO
db two "START SLAVE; INSERT INTO ops.t VALUES (7)"
db one "INSERT INTO ops.t VALUES (7)"
lab_wait_for 10 bash -c "ip netns exec $LAB-remote mariadb -N -S $LAB_DIR/two/sock -u root -e 'SHOW SLAVE STATUS' | grep -q Duplicate" || lab_die "no conflict"
probe_expect "a row that stands in the way" 1 broken '.data.last_error | contains("Duplicate entry")' mysql $auth $TWO
db one "CREATE DATABASE old; CREATE TABLE old.sound (id INT) ENGINE=InnoDB; CREATE TABLE old.ill (id INT, KEY (id)) ENGINE=MyISAM;
    INSERT INTO old.ill SELECT seq FROM old.seq_1_to_5000; GRANT SELECT, INSERT ON old.* TO probe; FLUSH TABLES"
probe_expect "tables that are sound" 0 ok '.data.tables | length == 2 and all(.status == "ok" and .repair == "")' mysql $auth --database old --check quick $ONE
db one "FLUSH TABLES old.ill"
dd if=/dev/zero of="$LAB_DIR/one/data/old/ill.MYI" bs=1 seek=3000 count=2000 conv=notrunc 2>/dev/null
probe_expect "a table that is corrupt" 1 broken \
    '[.data.tables[] | select(.table == "ill")][0] | .status == "corrupt" and .engine == "MyISAM" and (.repair | contains("REPAIR TABLE t QUICK"))' \
    mysql $auth --database old --check medium $ONE
probe_refuses "a heartbeat that is none" "DATABASE.TABLE" mysql $auth --heartbeat "a;b" $ONE
probe_refuses "check without database" "needs --database" mysql $auth --check quick $ONE
probe_end
