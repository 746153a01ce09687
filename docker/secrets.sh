#!/bin/sh
# Makes the secrets of compose.yaml in docker/secrets: random passwords, and the files that are made from them.
# What is there stays as it is. Passwords go through files and pipes only: nothing of them is in a process list.
set -eu
umask 077
cd "$(dirname "$0")"
command -v openssl >/dev/null || { echo "secrets.sh: openssl is missing; install it" >&2; exit 1; }

mkdir -p secrets
# Others than their owner may read the files, since they are other users in the containers; here the folder is closed.
chmod 700 secrets
cd secrets

# Reads the content; whole or not at all.
keep() {
    cat >".$1"
    [ -s ".$1" ] || { echo "secrets.sh: openssl failed" >&2; exit 1; }
    chmod 444 ".$1"
    mv ".$1" "$1"
    echo "made docker/secrets/$1"
}

for name in postgres_password sweeps_password dashboard_password; do
    [ -e "$name" ] || openssl rand -hex 24 | keep "$name"
done
url="postgresql+psycopg://sweeps:$(cat sweeps_password)"
[ -e storage_url ] || echo "$url@postgresql/sweeps" | keep storage_url
[ -e storage_url_from_here ] ||
    echo "$url@127.0.0.1:${SWEEPS_POSTGRESQL_PORT:-5432}/sweeps" | keep storage_url_from_here
hash=$(openssl passwd -6 -stdin <dashboard_password)
[ -e dashboard_users ] || echo "sweeps:$hash" | keep dashboard_users
echo "the dashboard's user is sweeps, the password in docker/secrets/dashboard_password"
