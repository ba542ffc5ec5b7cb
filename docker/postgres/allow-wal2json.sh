#!/bin/sh
# Starts PostgreSQL as the official image does, with wal2json allowed. Servers from 15.19, 17.11 and 18.6 on refuse it
# unless output_plugin_libraries lists it; older ones do not start with that setting. So the script tests the server.
set -eu

probe=$(mktemp -d)
touch "$probe/postgresql.conf"
chown -R postgres "$probe"
if gosu postgres postgres -C output_plugin_libraries -D "$probe" > /dev/null 2>&1; then
  set -- "$@" -c "output_plugin_libraries=pgoutput, test_decoding, wal2json"
fi
rm -rf "$probe"

exec docker-entrypoint.sh postgres "$@"
