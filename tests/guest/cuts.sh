# Told by cuts.py: one life of a device, from its power to its power cut. $2: what to put in front of the program's arguments;
# $3: how long it lives where nobody cuts, seconds since core is up. Core runs in the product's own unit, with its user and sandbox. What it
# has lies on this disk alone, the program too; the host gives the log of the bus and the environment's packages.

mount -t hostfs -o "$1,ro" none /mnt
home=/var/lib/modicum-cuts
config=/var/lib/modicum/agent.toml
export PYTHONPATH=/mnt:$home/program

ip link add vcan0 type vcan
ip link set vcan0 mtu 72 up
if [ ! -e $home/made ]; then
  rm -rf $home /var/lib/modicum
  mkdir -p $home/program /etc/systemd/system/modicum-core.service.d
  cp -r systemd/etc/. /etc
  systemd-sysusers /etc/sysusers.d/modicum.conf
  systemd-tmpfiles --create /etc/tmpfiles.d/modicum.conf
  # Another program, which says what it holds, and says it to the host itself: each word is one write.
  cat > /etc/systemd/system/modicum-core.service.d/cuts.conf << EOU
[Unit]
ConditionPathExists=
[Service]
WorkingDirectory=$home/program
Environment=PYTHONPATH=$PYTHONPATH PYTHONUNBUFFERED=1
ExecStart=
ExecStart=/usr/bin/python3 -m tests.guest.cut_core $2 --config $config
StandardOutput=file:/dev/ttyS0
DeviceAllow=/dev/ttyS0 w
StandardError=inherit
EOU
  cp -r --parents agent hw config tests/__init__.py tests/guest/cut* $home/program
  cd $home/program
  python3 -m compileall -q agent hw
  python3 -m tests.guest.cut_device /var/lib/modicum
  chown -R modicum-core:modicum /var/lib/modicum
  systemctl daemon-reload
  touch $home/made
  sync
fi
cd $home/program
canplayer -I "$SCRATCH/drive.log" -l i vcan0=can0 &
systemctl start modicum-core || { journalctl --no-pager -u modicum-core | tail -40; exit 1; }
# Who drives is said once: the trip goes on over each of the cuts.
if [ ! -e $home/driven ]; then
  sleep 2
  python3 -m agent.cli.main profile use driver --config $config > /dev/null
  touch $home/driven
fi
sleep "$3"
systemctl stop modicum-core
[ "$(systemctl show -P Result modicum-core)$(systemctl show -P NRestarts modicum-core)" = success0 ]
