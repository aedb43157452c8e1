# Told by test_keys.py: modicum-core as a unit of systemd, whose credential comes, stays away, does not open, is another one, comes back.
# Each step leaves STEP.json, what status said, and STEP.profiles in $SCRATCH; what a command said stands in COMMAND.out.

mount -t hostfs -o "$1,ro" none /mnt
export PYTHONPATH=/mnt
CONFIG=/etc/modicum/agent.toml
SEALED=/etc/credstore.encrypted/modicum-credential
HOST_KEY=/var/lib/systemd/credential.secret
KEPT=/var/tmp

modicum() { python3 -m agent.cli.main "$@" --config $CONFIG; }

# Says how the command ended; the story goes on whatever that was.
told() {
  local name=$1 status=0
  shift
  modicum "$@" > "$SCRATCH/$name.out" 2>&1 || status=$?
  echo $status > "$SCRATCH/$name.status"
}

broken() {
  journalctl --no-pager -u modicum-core -u 'modicum-credential*'
  journalctl --no-pager --namespace=modicum
  exit 1
}

# Starts core anew and notes what it says of itself.
step() {
  systemctl restart modicum-core || broken
  python3 -m tests.guest.keys tell "$1" 2> "$SCRATCH/$1.err" || broken
}

modprobe loop
cp -r "$SCRATCH/etc" /etc/modicum
truncate -s 32M $KEPT/state.img
mkfs.ext4 -q $KEPT/state.img
mkdir -p /var/lib/modicum
mount -o loop $KEPT/state.img /var/lib/modicum

# The product's own units, of which only what the guest has elsewhere is another: the program runs from the sources.
cp -r systemd/etc/. /etc
systemd-sysusers /etc/sysusers.d/modicum.conf
systemd-tmpfiles --create /etc/tmpfiles.d/modicum.conf
mkdir -p /etc/systemd/system/modicum-core.service.d
cat > /etc/systemd/system/modicum-core.service.d/sources.conf <<EOU
[Service]
WorkingDirectory=/src
Environment=PYTHONPATH=/mnt
ExecStart=
ExecStart=/usr/bin/python3 -m agent.daemons.core --config $CONFIG
EOU
# The plain way, for comparison: systemd itself refuses to start what has a credential that does not open.
cat > /etc/systemd/system/plain.service <<EOU
[Service]
Type=oneshot
LoadCredentialEncrypted=modicum-credential
ExecStart=/bin/true
EOU
systemctl daemon-reload

step new
told init keys init --json
systemctl stop modicum-core
python3 -m tests.guest.keys live /var/lib/modicum
step lived_in
ls -l /var/lib/modicum > "$SCRATCH/owners"
told rotate_beside keys rotate
told reset_beside factory-reset --yes

mv $SEALED $KEPT/kept
step without
mv $KEPT/kept $SEALED
mv $HOST_KEY $KEPT/host
step moved
systemctl start plain || systemctl show --property=ExecMainStatus plain > "$SCRATCH/plain"
rm -f $HOST_KEY
mv $KEPT/host $HOST_KEY
cp $SEALED $KEPT/kept
head -c 32 /dev/urandom | systemd-creds encrypt --with-key=host --name=modicum-credential - $SEALED
step another
mv $KEPT/kept $SEALED

systemctl stop modicum-core
told rotate keys rotate --json
told show keys show
step rotated
systemctl stop modicum-core
# Shows that what was removed is still seen in the image.
printf 'a control that was removed' > /var/lib/modicum/control
sync
rm /var/lib/modicum/control
told reset factory-reset --yes --json
step reset
systemctl stop modicum-core
umount /var/lib/modicum
cp $KEPT/state.img "$SCRATCH/state.img"
