# Told by test_units.py: an upgrade that the device's agent.toml does not fit; then one that does, after whose last word the power goes.

. tests/guest/typing.sh
all_active() { [ "$(systemctl is-active modicum-core modicum-uplink modicum-ecall | grep -cx active)" = 3 ]; }
stands() {
  systemctl show -P MainPID modicum-core modicum-uplink modicum-ecall
  readlink -f /opt/modicum/current
  find /etc /opt/modicum -maxdepth 4 -path '*modicum*' | sort
}
until_done 90 all_active
cp /etc/modicum/agent.toml agent.fits
echo 'unknown = 1' >> /etc/modicum/agent.toml
stands > unfit-before
bash -eu blocks/upgrade > unfit.out 2>&1 || echo "status $?" >> unfit.out
stands > unfit-after
cat agent.fits > /etc/modicum/agent.toml
find /opt/modicum/current/ -type f -size 0 | wc -l > empty-before
bash -eu blocks/upgrade
sleep 60
