# Told by test_units.py: what the next start finds after cut_install.sh.

. tests/guest/typing.sh
all_active() { [ "$(systemctl is-active modicum-core modicum-uplink modicum-ecall | grep -cx active)" = 3 ]; }
until_done 90 all_active
find /opt/modicum/current/ -type f -size 0 | wc -l > empty-after
find /etc -path '*modicum*' -type f -size 0 > empty-etc
readlink -f /opt/modicum/current > release-after-cut
modicum --version > version-after-cut
