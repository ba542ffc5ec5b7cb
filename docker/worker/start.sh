#!/bin/sh
# Runs a command of walferry in one process. The password file is created here, because libpq ignores one that
# others may read, and neither an image nor a mounted file of a checkout keeps that mode.
set -eu

if [ -n "${WALFERRY_PASSWORD:-}" ]; then
  # A colon or a backslash in a password must be escaped there.
  marked=$(printf '%s' "$WALFERRY_PASSWORD" | sed 's/[\\:]/\\&/g')
  (umask 077 && printf '*:*:*:walferry:%s\n' "$marked" > "$PGPASSFILE")
  unset WALFERRY_PASSWORD
fi

# Less memory for short-lived objects: workers/options.ts.
exec node --max-semi-space-size=4 /walferry/scripts/walferry.mjs "$@"
