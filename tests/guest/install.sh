# Told by test_units.py: a bare Debian becomes a device, without a network. Its disk is kept for the next story.

. tests/guest/typing.sh
useradd technician
useradd stranger
# What the next one takes away at once is not worth compiling (pip's own switch): here most of an installation's time.
PIP_NO_COMPILE=1 typed install
# Switched on before anybody has said which car it is.
systemctl start modicum.target
systemctl is-active modicum-core modicum-uplink modicum-ecall > before-files || true
# Again, with nothing at work and one of the three that its owner does not want.
systemctl --quiet disable modicum-ecall
bash -eu blocks/upgrade > again.out 2>&1 || true
systemctl is-enabled modicum-core modicum-uplink modicum-ecall > enabled-after || true
systemctl --quiet enable modicum-ecall
typed files
typed addresses
typed keys
# A receiver at a pty instead of a USB port.
mkdir -p /etc/systemd/system/modicum-core.service.d
printf '[Service]\nDeviceAllow=char-pts rw\n' > /etc/systemd/system/modicum-core.service.d/pty.conf
