# Told by tests/support/sixty.py: sixty.py, on an interface of its own.

mount -t hostfs -o "$1,ro" none /mnt
export PYTHONPATH=/mnt:.
ip link add vcan0 type vcan
ip link set vcan0 mtu 72 up
python3 -m tests.guest.sixty
