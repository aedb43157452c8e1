# Told by cuts.py: one life of a device, from its power to its power cut. $2: what to put in front of the program's arguments;
# $3: how long it lives where nobody cuts, seconds since core listens. What it has lies on this disk alone, the program too; the host
# gives the log of the bus and the environment's packages.

mount -t hostfs -o "$1,ro" none /mnt
home=/var/lib/modicum-cuts
config=$home/device/agent.toml
export PYTHONPATH=/mnt:$home/program PYTHONUNBUFFERED=1

ip link add vcan0 type vcan
ip link set vcan0 mtu 72 up
if [ ! -e $home/made ]; then
  rm -rf $home
  mkdir -p $home/program
  cp -r --parents agent hw config tests/__init__.py tests/guest/cut* $home/program
  cd $home/program
  python3 -m compileall -q agent hw
  python3 -m tests.guest.cut_device $home/device
  touch $home/made
  sync
fi
cd $home/program
canplayer -I "$SCRATCH/drive.log" -l i vcan0=can0 &
rm -f $home/device/*.sock
python3 -m tests.guest.cut_core $2 --config $config 2>&1 &
core=$!
until [ -S $home/device/control.sock ]; do
  kill -0 $core
  sleep 0.2
done
# Who drives is said once: the trip goes on over each of the cuts.
if [ ! -e $home/driven ]; then
  sleep 2
  python3 -m agent.cli.main profile use driver --config $config > /dev/null
  touch $home/driven
fi
sleep "$3"
kill $core
wait $core
