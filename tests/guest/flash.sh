# Told by tests/benchmarks/flash.py, for 600 simulated seconds each.
mount -t hostfs -o "$1,ro" none /mnt
PYTHONPATH=/mnt:. python3 -m tests.guest.flash 600
