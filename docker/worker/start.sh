#!/bin/sh
# Runs a TypeScript file of walferry in one process. The password file is made here, because libpq ignores one that others may
# read, and neither an image nor a mounted file of a checkout keeps that mode.
set -eu

if [ -n "${WALFERRY_PASSWORD:-}" ]; then
  (umask 077 && printf '*:*:*:walferry:%s\n' "$WALFERRY_PASSWORD" > "$PGPASSFILE")
  unset WALFERRY_PASSWORD
fi

exec node --import tsx "$@"
