# Told by test_vcan.py: the bench on a SocketCAN interface that is missing, down, up, without CAN FD, and lost for a second.
# Each step leaves STEP.out, STEP.err and STEP.status in $SCRATCH.

mount -t hostfs -o "$1,ro" none /mnt
export PYTHONPATH=/mnt

bench() {
  local step=$1 status=0
  shift
  python3 -m agent.cli.main bench "$@" > "$SCRATCH/$step.out" 2> "$SCRATCH/$step.err" || status=$?
  echo $status > "$SCRATCH/$step.status"
}

# Returns when the car of this step has driven for so many seconds, or soon after it did not start.
driven() {
  until [ -s "$SCRATCH/$1.log" ] || [ -e "$SCRATCH/$1.status" ]; do sleep 0.1; done
  sleep "$2"
}

listen() {
  candump -D -L -r 4000000 vcan0 > "$SCRATCH/$1.candump" 2> /dev/null &
  listener=$!
}

ip link add vcan0 type vcan
bench missing --bus socketcan:vcan7
bench down

ip link set vcan0 mtu 72 up
listen full
{
  driven full 9
  cansend vcan0 6F3#DEADBEEF
  for list in sff eff fil; do cp "/proc/net/can/rcvlist_$list" "$SCRATCH/full.$list"; done
} &
bench full --scenario "$SCRATCH/asked.toml" --seconds 16 --noise 300 --record "$SCRATCH/full.log" --out "$SCRATCH/full" --json
cp /sys/class/net/vcan0/statistics/tx_packets "$SCRATCH/full.tx"
kill $listener; wait

ip link set vcan0 down; ip link set vcan0 mtu 16; ip link set vcan0 up
listen short
{ driven short 2; ip link set vcan0 down; sleep 1; ip link set vcan0 up; } &
bench short --bus socketcan:vcan0 --receiver quectel --scenario "$SCRATCH/asked.toml" --seconds 16 --record "$SCRATCH/short.log" \
  --out "$SCRATCH/short" --json
kill $listener; wait
