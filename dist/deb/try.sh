#!/bin/bash
# Installs, uses, removes and purges the package at $1 in a copy of this machine's file system that vanishes afterwards:
# an overlay, in a mount namespace of its own, so that nothing outside is touched. Needs root and overlayfs.
set -euo pipefail
deb=$(realpath "$1")
if [[ -z ${2:-} ]]; then
  base=$(mktemp -d)
  trap 'rmdir "$base"' EXIT
  unshare --mount --pid --fork "$0" "$deb" "$base"
  exit
fi

base=$2
# It goes away with the namespace.
mount -t tmpfs tmpfs "$base"
mkdir "$base"/{upper,work,root}
mount -t overlay overlay -o "lowerdir=/,upperdir=$base/upper,workdir=$base/work" "$base/root"
mount -t proc proc "$base/root/proc"
mount --rbind /dev "$base/root/dev"
mount -t tmpfs tmpfs "$base/root/run"
mkdir -p "$base/root/tmp" && cp "$deb" "$base/root/kvred.deb"

chroot "$base/root" bash -euo pipefail <<'INSIDE'
exec 2>&1
export DEBIAN_FRONTEND=noninteractive KVRED_PORT=16380
# The machine at hand may be newer or older than the one that built it; what is tested are our files and scripts.
dpkg --install kvred.deb
for file in /usr/bin/kvred /usr/share/man/man1/kvred-serve.1.gz /etc/kvred/env \
  /usr/lib/systemd/system/kvred.service /usr/lib/systemd/system/kvred.service.d/package.conf \
  /usr/share/bash-completion/completions/kvred /usr/share/zsh/vendor-completions/_kvred \
  /usr/share/fish/vendor_completions.d/kvred.fish; do
  [[ -s $file ]] || { echo "missing: $file"; exit 1; }
done
[[ $(stat -c '%U %a' /var/lib/kvred) == 'kvred 700' ]]
if command -v systemd-analyze >/dev/null; then systemd-analyze verify /usr/lib/systemd/system/kvred.service; fi
echo installed

# As the unit starts it, less systemd.
setpriv --reuid kvred --regid kvred --clear-groups kvred serve --dir /var/lib/kvred 2>/tmp/kvred.log &
for _ in {1..100}; do grep -q ready /tmp/kvred.log && break; sleep 0.1; done
[[ $(kvred cli SET k v) == OK && $(kvred cli GET k) == v ]]
kill -TERM $! && wait $!
kvred aof check /var/lib/kvred/kvred.aof
echo used

dpkg --remove kvred
[[ ! -e /usr/bin/kvred && -e /etc/kvred/env && -s /var/lib/kvred/kvred.aof ]]
echo removed
dpkg --purge kvred
[[ ! -e /etc/kvred && -s /var/lib/kvred/kvred.aof ]]
echo purged
INSIDE
