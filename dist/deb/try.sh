#!/bin/bash
# Installs the package at $1, uses it, upgrades it to the one at $2, removes it, installs it again and purges it, under a
# systemd of its own in a copy of this machine's file system that vanishes afterwards; and runs the unit for those who
# install by hand.
# The copy is an overlay in a mount namespace, so nothing outside is touched. Needs root, overlayfs and systemd-nspawn;
# exit code 77: no systemd can be booted here.
set -euo pipefail
if [[ -z ${3:-} ]]; then
  base=$(mktemp -d)
  trap 'rmdir "$base"' EXIT
  unshare --mount "$0" "$(realpath "$1")" "$(realpath "$2")" "$base"
  exit
fi

base=$3
root=$base/root
# It goes away with the namespace.
mount -t tmpfs tmpfs "$base"
mkdir "$base"/{upper,work,root}
mount -t overlay overlay -o "lowerdir=/,upperdir=$base/upper,workdir=$base/work" "$root"
cp "$1" "$root/old.deb"
cp "$2" "$root/new.deb"
cp "$(dirname "$0")/../kvred.service" "$root/by-hand.service"
cat >"$root/etc/systemd/system/try.service" <<'UNIT'
[Unit]
SuccessAction=exit-force
FailureAction=exit-force
[Service]
Type=oneshot
ExecStart=/bin/bash -euo pipefail /inside.sh
StandardOutput=file:/said
StandardError=inherit
TimeoutStartSec=120
UNIT

cat >"$root/inside.sh" <<'INSIDE'
export DEBIAN_FRONTEND=noninteractive
trap 'echo "line $LINENO: $BASH_COMMAND"; systemctl status --no-pager --full kvred; journalctl --no-pager -u kvred | tail -n 30' ERR
main_pid() { systemctl show --property MainPID --value kvred; }
value_is() { [[ $(kvred cli GET "$1") == "$2" ]]; }

dpkg --install old.deb
for file in /usr/bin/kvred /usr/share/man/man1/kvred-serve.1.gz /etc/kvred/env \
  /usr/lib/systemd/system/kvred.service /usr/lib/systemd/system/kvred.service.d/package.conf \
  /usr/share/bash-completion/completions/kvred /usr/share/zsh/vendor-completions/_kvred \
  /usr/share/fish/vendor_completions.d/kvred.fish; do
  [[ -s $file ]] || { echo "missing: $file"; exit 1; }
done
[[ $(stat -c '%U %a' /var/lib/kvred) == 'kvred 700' ]]
systemctl is-enabled kvred
systemctl is-active kvred
echo installed

# It runs as its user, and a value survives a crash (after which systemd starts it again), a change of the settings, and
# a restart in which systemd holds the socket.
[[ $(ps -o user= -p "$(main_pid)") == kvred ]]
[[ $(kvred cli SET greeting hello) == OK ]]
systemctl reload kvred
old=$(main_pid)
systemctl kill --signal KILL --kill-whom main kvred
for _ in {1..100}; do [[ $(main_pid) != 0 && $(main_pid) != "$old" ]] && systemctl --quiet is-active kvred && break; sleep 0.1; done
value_is greeting hello
echo KVRED_FSYNC=always >>/etc/kvred/env
systemctl restart kvred
[[ $(kvred cli CONFIG GET appendfsync | tail -n 1) == always ]]
systemctl stop kvred
systemctl start kvred.socket
value_is greeting hello
systemctl is-active kvred
systemctl stop kvred.socket
echo used

old=$(main_pid)
dpkg --install new.deb
[[ $(dpkg-query --show --showformat '${Version}' kvred) != "$(dpkg-deb --field old.deb Version)" ]]
[[ $(main_pid) != "$old" ]]
grep -qx KVRED_FSYNC=always /etc/kvred/env
value_is greeting hello
echo upgraded

dpkg --remove kvred
[[ $(systemctl is-active kvred) != active && ! -e /usr/bin/kvred ]]
[[ -e /etc/kvred/env && -s /var/lib/kvred/kvred.aof ]]
echo removed

# Installed again it is as it was: enabled and so started, or not.
dpkg --install new.deb
systemctl is-enabled kvred
systemctl is-active kvred
value_is greeting hello
systemctl disable kvred
dpkg --remove kvred
dpkg --install new.deb
[[ $(systemctl is-enabled kvred) == disabled && $(systemctl is-active kvred) != active ]]
echo installed-again

# A log that the service refuses is no fault of the package's.
systemctl enable kvred
printf XXXX | dd of=/var/lib/kvred/kvred.aof bs=1 seek=50 conv=notrunc status=none
dpkg --install new.deb 2>&1 | grep 'kvred: it does not start'
echo not-started

dpkg --purge kvred
[[ ! -e /etc/kvred && -s /var/lib/kvred/kvred.aof ]]
[[ ! -L /etc/systemd/system/multi-user.target.wants/kvred.service ]]
echo purged

# The unit by itself, as its head says: a user that systemd makes up, and a password from a file that root alone reads.
dpkg-deb --fsys-tarfile new.deb | tar -x --to-stdout ./usr/bin/kvred >/usr/local/bin/kvred
chmod 755 /usr/local/bin/kvred
rm -rf /var/lib/kvred && userdel kvred
mkdir -p /etc/kvred && (umask 077 && echo secret >/etc/kvred/password)
sed 's/^#\(LoadCredential\|Environment\)/\1/' by-hand.service >/etc/systemd/system/kvred.service
systemctl daemon-reload
systemctl enable --now kvred
hash -r
[[ $(kvred cli PING 2>&1) == NOAUTH* && $(KVRED_PASSWORD=secret kvred cli PING) == PONG ]]
[[ $(ps -o user= -p "$(main_pid)") == kvred && $(stat -Lc %a /var/lib/kvred) == 700 ]]
systemctl stop kvred
[[ $(systemctl show --property Result --value kvred) == success ]]
echo by-hand
INSIDE

# A network with nothing but a loopback, so that the usual port is free.
systemd-nspawn --quiet --directory "$root" --register=no --keep-unit --private-network --boot systemd.unit=try.service \
  >"$base/boot.log" 2>&1 </dev/null && status=0 || status=$?
[[ -s $root/said ]] || { tail -n 20 "$base/boot.log"; exit 77; }
cat "$root/said"
exit "$status"
