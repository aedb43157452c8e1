# Told by test_gates.py: the same traffic through both gates on a vcan. Leaves STORY.json for each story in $SCRATCH.

mount -t hostfs -o "$1,ro" none /mnt
export PYTHONPATH=/mnt:.
ip link add vcan0 type vcan
ip link set vcan0 mtu 72 up
ip link set vcan0 txqueuelen 1000
for story in courses swaps losses; do
  python3 -m tests.contract.stories $story "$SCRATCH"
done
