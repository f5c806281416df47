#!/usr/bin/env bash
# Entry point of the stand-in postgres:15 image (see make-base-images.sh). Understands what our compose file uses of
# the official image: POSTGRES_PASSWORD (needed), POSTGRES_USER, POSTGRES_DB, PGDATA. A first start makes the cluster;
# a later one finds it again. Arguments go to the server.
set -euo pipefail

if ((EUID == 0)); then
    mkdir -p "$PGDATA"
    chown -R postgres:postgres "$PGDATA" /var/run/postgresql
    chmod 700 "$PGDATA"
    exec setpriv --reuid=postgres --regid=postgres --init-groups "$0" "$@"
fi

user=${POSTGRES_USER:-postgres}
database=${POSTGRES_DB:-$user}

make_cluster() {
    : "${POSTGRES_PASSWORD:?set a password for the first start}"
    initdb --username="$user" --pwfile=<(printf '%s\n' "$POSTGRES_PASSWORD") \
        --auth-local=trust --auth-host=scram-sha-256 --encoding=UTF8 --locale=C.UTF-8
    echo 'host all all all scram-sha-256' >>"$PGDATA/pg_hba.conf"
    echo "listen_addresses = '*'" >>"$PGDATA/postgresql.conf"
    if [[ "$database" == postgres ]]; then return; fi
    # Nobody else can connect while the database is made: no address is listened on.
    pg_ctl start --silent --wait --options="-c listen_addresses=''"
    psql --quiet --username="$user" --dbname=postgres --set=name="$database" <<<'CREATE DATABASE :"name"'
    pg_ctl stop --silent --wait --mode=fast
}

if [[ ! -s "$PGDATA/PG_VERSION" ]]; then make_cluster; fi
exec "$@"
