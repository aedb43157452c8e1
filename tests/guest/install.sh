# Told by test_units.py: a bare Debian becomes a device, without a network. Its disk is kept for the next story.

. tests/guest/typing.sh
useradd technician
useradd stranger
typed install
# Switched on before anybody has said which car it is.
systemctl start modicum.target
systemctl is-active modicum-core modicum-uplink modicum-ecall > before-files || true
typed files
typed addresses
typed keys
# A receiver at a pty instead of a USB port.
mkdir -p /etc/systemd/system/modicum-core.service.d
printf '[Service]\nDeviceAllow=char-pts rw\n' > /etc/systemd/system/modicum-core.service.d/pty.conf
