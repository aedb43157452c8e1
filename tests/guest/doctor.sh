# Told by test_doctor.py: doctor.py, with a vcan0 and a state folder on a file system of its own that can be filled.

mount -t hostfs -o "$1,ro" none /mnt
ip link add vcan0 type vcan
ip link set vcan0 mtu 72 up
PYTHONPATH=/mnt:. python3 tests/guest/doctor.py
