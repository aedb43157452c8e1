# Told by test_units.py: the installed device is switched on, drives, is looked into, crashes, hangs, is upgraded and taken away.

. tests/guest/typing.sh
services=(core uplink ecall)
python=/opt/modicum/current/bin/python
pids() { for service in "${services[@]}"; do systemctl show -P MainPID "modicum-$service"; done | tr '\n' ' '; }
restarts() { for service in "${services[@]}"; do systemctl show -P NRestarts "modicum-$service"; done | tr '\n' ' '; }
states() { systemctl is-active "${services[@]/#/modicum-}"; }
all_active() { [ "$(states | grep -cx active)" = 3 ]; } # systemctl itself is content with one
told_of_it() { journalctl --namespace=modicum -o cat | grep -q 'a thread hangs'; }
rules_and_units() { find /etc -path '*modicum*' -type f -not -path '/etc/modicum/*' -exec sha256sum {} + | sort -k 2; }
changed() { [ "$(systemctl show -P MainPID "modicum-$1")" != "$2" ] && systemctl is-active "modicum-$1"; }

# -- switched on: each started by itself, without a bus and without a broker ------------------------------------------------------------
until_done 90 all_active
states > after-boot || true

# -- a drive --------------------------------------------------------------------------------------------------------------------------
typed bus
mosquitto -c broker.conf > broker.log 2>&1 &
until_done 20 grep -q running broker.log
"$python" /share/tests/guest/listener.py listener.pem listener.key > heard.jsonl 2> listener.err &
PYTHONPATH=/share "$python" -m hw.bench.receiver --link /dev/modicum-nmea > receiver.out 2>&1 &
until_done 30 grep -q ready receiver.out
chown modicum-core "$(readlink -f /dev/modicum-nmea)"
candump -L -r 4000000 can0 > bus.log 2> /dev/null &
heard=$!
PYTHONPATH=/share "$python" -m hw.bench.car --interface socketcan --channel can0 > car.out 2>&1 &
car=$!
pids > before-start
typed start
pids > after-start
typed look
runuser -u technician -- "$python" /share/tests/guest/asker.py drive > technician.json 2> technician.err || true
runuser -u stranger -- "$python" /share/tests/guest/asker.py look > stranger.json 2> stranger.err || true
until_done 150 grep -q real_time_traffic heard.jsonl
typed drive
typed policy
typed doctor
modicum doctor --json > doctor.json 2> doctor.err || echo $? > doctor-json.status

for user in technician modicum-uplink root; do
  runuser -u "$user" -- grep -rlsF -f - /etc /run /var < vin > "vin-$user" || true # not as an argument: journald keeps those
done

# -- inside each sandbox: a program with the unit's own lines, beside the unit ----------------------------------------------------------
# With the drop-in of addresses: one that it names is reached, one beside it is not.
ip address add 203.0.113.7/32 dev lo
ip address add 198.51.100.7/32 dev lo
install -m 644 /share/tests/guest/probe.py /opt/probe.py
mknod -m 600 /dev/probe c 4 64
for service in "${services[@]}"; do
  chown "modicum-$service" /dev/probe
  unit=/run/systemd/system/modicum-probe-$service.service
  mkdir -p /run/systemd/system
  sed -e "s|^ExecStart=.*|ExecStart=$python /opt/probe.py $service|" -e 's/^Type=.*/Type=oneshot/' -e 's/^Restart=.*/Restart=no/' \
    -e '/^WatchdogSec=/d' -e "s|^LogNamespace=.*|StandardOutput=file:$SCRATCH/probe-$service.json|" \
    "/etc/systemd/system/modicum-$service.service" > "$unit"
  [ "$service" = core ] || sed /^#/d /share/systemd/examples/addresses.conf >> "$unit"
  systemctl daemon-reload
  systemctl start "modicum-probe-$service" || true
done
until_done 60 all_active

# -- killed, each alone ---------------------------------------------------------------------------------------------------------------
for service in "${services[@]}"; do
  before=$(pids)
  pid=$(systemctl show -P MainPID "modicum-$service")
  kill -9 "$pid"
  until_done 60 changed "$service" "$pid"
  echo "$service $before: $(pids)" >> killed
done

# -- asked to end by somebody beside systemd: no reason to stay away -------------------------------------------------------------------
for service in "${services[@]}"; do
  pid=$(systemctl show -P MainPID "modicum-$service")
  kill "$pid"
  until_done 60 changed "$service" "$pid"
done
until_done 60 all_active
states > after-term || true

# -- a configuration that cannot be used: told to whoever starts it, and tried again by itself ------------------------------------------
cp /etc/modicum/agent.toml agent.kept
echo 'no TOML' >> /etc/modicum/agent.toml
for line in "restart modicum.target" "start modicum-core"; do
  status=0
  timeout 120 systemctl $line > /dev/null 2>&1 || status=$?
  echo $status $(states) >> wrong-configuration
done
cat agent.kept > /etc/modicum/agent.toml
until_done 120 all_active
states > after-wrong || true

# -- stopped whole: only the watchdog can tell ------------------------------------------------------------------------------------------
restarts > before-watchdog
for service in "${services[@]}"; do
  pid=$(systemctl show -P MainPID "modicum-$service")
  kill -STOP "$pid"
  echo "$service $pid" >> stopped
done
while read -r service pid; do until_done 90 changed "$service" "$pid"; done < stopped
restarts > after-watchdog
journalctl --no-pager -o cat -u modicum-core -u modicum-uplink -u modicum-ecall > systemd.log

# -- one thread alone, held in the kernel: only the vote can tell -----------------------------------------------------------------------
# A socket's thread waits in poll(2); from now on its next one takes for ever.
pid=$(systemctl show -P MainPID modicum-core)
strace -qq -f -e trace=poll -o polls.log -p "$pid" &
of_a_thread() { awk -v main="$pid" '$1 != main && /poll/ { found = 1 } END { exit !found }' polls.log; }
until_done 20 of_a_thread
kill $! && wait $! || true
thread=$(awk -v main="$pid" '$1 != main && /poll/ { print $1; exit }' polls.log)
strace -qq -o strace.log -e trace=poll -e inject=poll:delay_enter=300s -p "$thread" &
holder=$!

# Meanwhile: systemd's own measure of the units as they lie there; and a release that does not start, with other units. It needs the
# packages again, for that it is installed at all.
for limit in core:11 uplink:10 ecall:14; do
  status=0
  systemd-analyze security --no-pager --threshold="${limit#*:}" "modicum-${limit%:*}.service" > "exposure-${limit%:*}" 2>&1 || status=$?
  echo "${limit%:*} $status" >> exposure
done
mkdir exiting
cp -r /share/systemd /share/requirements /share/config wheelhouse exiting/
"$python" /share/tests/guest/exiting.py exiting/wheelhouse
echo '# of the release that exits' >> exiting/systemd/etc/systemd/system/modicum-uplink.service
echo '# of the release that exits' > exiting/systemd/etc/tmpfiles.d/modicum-more.conf

until_done 120 told_of_it
kill "$holder" || true # who is held does not even end
until_done 60 changed core "$pid"

# -- what was left out of memory, and who the files belong to ---------------------------------------------------------------------------
journalctl --namespace=modicum --no-pager -o cat > services.log
find /var/lib/modicum /var/lib/modicum-ecall /etc/modicum /run/modicum* -printf '%M %u %g %p\n' | sort -k 4 > files
for service in "${services[@]}"; do systemctl show -P MemoryCurrent -P TasksCurrent "modicum-$service" | tr '\n' ' '; done > memory

# -- a release that cannot be installed, one that can, and the end ----------------------------------------------------------------------
kill "$car" && wait "$car" || true
sleep 1
kill "$heard"
pids > before-upgrade
readlink -f /opt/modicum/current > release-before
mv wheelhouse/msgspec-*.whl .
cp wheelhouse/SHA256SUMS . && sed -i /msgspec/d wheelhouse/SHA256SUMS
typed install-broken
mv msgspec-*.whl SHA256SUMS wheelhouse/
pids > after-broken
readlink -f /opt/modicum/current > release-broken
rules_and_units > etc-before
PIP_NO_COMPILE=1 typed install-exiting # nothing of it stays
rules_and_units > etc-exiting
readlink -f /opt/modicum/current > release-exiting
until_done 90 all_active
states > after-exiting || true

# What is the device's, and is not to be touched.
install -m 644 /share/systemd/examples/71-modicum-local.rules /etc/udev/rules.d
printf '[Service]\nCPUSchedulingPolicy=other\n' > /etc/systemd/system/modicum-ecall.service.d/other.conf
mkdir /etc/systemd/system/modicum-credential.socket.d /opt/modicum/19700101T000100
printf '[Socket]\nBacklog=8\n' > /etc/systemd/system/modicum-credential.socket.d/test.conf
kept() {
  sha256sum /etc/modicum/agent.toml /etc/udev/rules.d/71-modicum-local.rules /etc/systemd/system/modicum*.d/*.conf
  modicum keys show
}
until_done 60 modicum profile list
modicum profile list --json > drivers-before
kept > kept-before
(umask 077; typed upgrade)
readlink -f /opt/modicum/current > release-after
states > after-upgrade || true
kept > kept-after
modicum profile list --json > drivers-after
chrt -p "$(systemctl show -P MainPID modicum-ecall)" > scheduling 2>&1
ls /opt/modicum > releases
udevadm test /sys/class/tty/tty0 > udev.log 2>&1 || true

# -- stopped as at a shutdown ---------------------------------------------------------------------------------------------------------
systemctl stop modicum.target modicum-ecall modicum-uplink modicum-core # the first tells all; the others are waited for
systemctl show -P InactiveEnterTimestampMonotonic modicum-core > stop-order
systemctl show -P ActiveExitTimestampMonotonic modicum-uplink >> stop-order
systemctl start modicum.target

# -- the car is off and stays off: core goes by itself, not while a call stands; then what the integrator has said is done ----------------
said=/etc/systemd/system/modicum-power.service.d
mkdir -p $said
printf '[Service]\nExecStart=\nExecStart=/bin/touch /run/went\n' > $said/test.conf
printf '\n[power]\noff_delay_s = 10\n' >> /etc/modicum/agent.toml
systemctl daemon-reload
systemctl stop modicum-ecall # from now on its folder is this story's
systemctl restart modicum-core
(while sleep 1; do cansend can0 130#0000000000000000; done) & # it says so: with a bus that is silent core would stay for an hour
off=$!
[ ! -e /run/went ] || echo "a restart by hand" >> went-too-early
touch /run/modicum-ecall/call
sleep 15
[ ! -e /run/went ] || echo "during a call" >> went-too-early
rm /run/modicum-ecall/call
until_done 60 test -e /run/went
{ systemctl show -P ActiveState modicum-core; systemctl show -P Result modicum-core; } > after-going
cat /run/modicum/gone >> after-going
kill "$off"
# A call that begins while core ends: core is back instead.
rm /run/went
touch /run/modicum-ecall/call
systemctl start modicum-power || true
until_done 60 systemctl is-active modicum-core
systemctl show -P ActiveState modicum-core > after-call
[ ! -e /run/went ] || echo "though a call began" >> went-too-early
# It goes after that call; where nobody has said what then, it comes back. Now without [power], so that it stays.
mv $said/test.conf $said/test.off
cat agent.kept > /etc/modicum/agent.toml
systemctl daemon-reload
pid=$(systemctl show -P MainPID modicum-core)
rm /run/modicum-ecall/call
until_done 60 changed core "$pid"

rm -f /run/systemd/system/modicum-probe-* /dev/modicum-nmea # the story's own
typed uninstall
find / -xdev \( -name '*modicum*' -o -group modicum -o -group modicum-core -o -group modicum-uplink -o -group modicum-ecall \) \
  -not -path '/var/log/*' -not -path "/proc/*" 2> /dev/null | sort > left
find /run /dev /var/log/journal -name '*modicum*' 2> /dev/null | sort >> left
typed purge
find / -xdev -name '*modicum*' -not -path '/var/log/*' 2> /dev/null | sort > left-after-purge
grep -h modicum /etc/passwd /etc/group >> left-after-purge || true
