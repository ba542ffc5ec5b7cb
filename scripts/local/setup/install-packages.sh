#!/bin/sh
# Installs Debian packages without touching the machine's services: no package's own PostgreSQL cluster is created,
# started, stopped or restarted, and installed packages are not upgraded. Run as root: install-packages.sh PACKAGE…
set -eu

export DEBIAN_FRONTEND=noninteractive
# Ubuntu's needrestart would restart unrelated services after the installation.
export NEEDRESTART_SUSPEND=1

policy=/usr/sbin/policy-rc.d
policy_kept=/usr/sbin/policy-rc.d.before-walferry
clusters=/etc/postgresql-common/createcluster.conf
clusters_kept=/etc/postgresql-common/createcluster.conf.before-walferry

# Also undoes what a killed earlier run could not undo.
restore() {
  if [ -e "$policy" ] && grep -qs 'walferry set-up' "$policy"; then rm -f "$policy"; fi
  if [ -e "$policy_kept" ]; then mv -f "$policy_kept" "$policy"; fi
  if [ -e "$clusters_kept" ]; then mv -f "$clusters_kept" "$clusters"; fi
}

install() {
  apt-get install -y -q --no-install-recommends --no-upgrade \
    -o DPkg::Lock::Timeout=300 -o Dpkg::Options::=--force-confold -o Dpkg::Use-Pty=0 "$@"
}

restore
trap restore EXIT
trap 'exit 130' INT TERM HUP

# 101 means "forbidden": packages ask before they start, stop or restart a service.
if [ -e "$policy" ]; then mv "$policy" "$policy_kept"; fi
printf '#!/bin/sh\n# walferry set-up\nexit 101\n' > "$policy"
chmod 755 "$policy"

case " $* " in
  *" postgresql-"*)
    # This file must exist before the first server package is configured, which would create a cluster.
    if [ ! -e "$clusters" ]; then install postgresql-common; fi
    if [ -e "$clusters" ]; then
      cp -p "$clusters" "$clusters_kept"
      printf '\ncreate_main_cluster = false\n' >> "$clusters"
    fi
    ;;
esac

install "$@"
