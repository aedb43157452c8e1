# Told by test_units.py: the power goes as soon as an upgrade has said that it is done.

. tests/guest/typing.sh
find /opt/modicum/current/ -type f -size 0 | wc -l > empty-before
bash -eu blocks/upgrade
sleep 60
