# Told by test_bus.py: life.py, then sixty.py on the interface that it leaves behind.

mount -t hostfs -o "$1,ro" none /mnt
export PYTHONPATH=/mnt:.
python3 -m tests.guest.life
python3 -m tests.guest.sixty
