# Told by test_units.py: a bare Debian becomes a device, without a network. Its disk is kept for the next story.

. tests/guest/typing.sh
# One that fails half way, twice: another Python that has nothing to install, and users' folders that cannot be made. Nothing was there.
ours() { find /etc /opt /usr/local/bin -name '*modicum*' 2> /dev/null; }
mkdir stand-in
cat > stand-in/python << 'END'
#!/bin/sh
[ "$2" != venv ] || for last; do :; done
[ "$2" != venv ] || install -D -m 755 "$0" "$last/bin/python"
[ "$2" != venv ] || install -D -m 755 /bin/true "$last/bin/modicum"
END
printf '#!/bin/sh\nexit 1\n' > stand-in/systemd-tmpfiles
chmod 755 stand-in/*
for _ in 1 2; do
  PYTHON=$PWD/stand-in/python PATH=$PWD/stand-in:$PATH systemd/install --wheelhouse wheelhouse || echo "status $?"
  ours
done >> first-failed 2>&1

useradd technician
useradd stranger
# What the next one takes away at once is not worth compiling (pip's own switch): here most of an installation's time.
PIP_NO_COMPILE=1 typed install
# Switched on before anybody has said which car it is.
systemctl start modicum.target
systemctl is-active modicum-core modicum-uplink modicum-ecall > before-files || true
# Again, with nothing at work and one of the three that its owner does not want.
systemctl --quiet disable modicum-ecall
# Meanwhile there is swap, and no memory controller to be seen.
dd if=/dev/zero of=/opt/swap bs=1M count=4 status=none
mkswap -q /opt/swap
swapon /opt/swap
mount --bind /dev/null /sys/fs/cgroup/cgroup.controllers
bash -eu blocks/upgrade > again.out 2>&1 || true
umount /sys/fs/cgroup/cgroup.controllers
swapoff /opt/swap
rm /opt/swap
systemctl is-enabled modicum-core modicum-uplink modicum-ecall > enabled-after || true
systemctl --quiet enable modicum-ecall
typed files
typed addresses
typed keys
# A receiver at a pty instead of a USB port.
mkdir -p /etc/systemd/system/modicum-core.service.d
printf '[Service]\nDeviceAllow=char-pts rw\n' > /etc/systemd/system/modicum-core.service.d/pty.conf
