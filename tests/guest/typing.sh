# Read by the guest's stories: what stands in the document is typed here, word by word.

cd "$SCRATCH"
printf '#!/bin/sh\nexec "$@"\n' > /usr/local/bin/sudo # the guest is root's alone
chmod 755 /usr/local/bin/sudo

# Runs a block of docs/vehicle.md; leaves BLOCK.out and BLOCK.status, and in `times` how long it took.
typed() {
  local status=0 from=$SECONDS
  bash -eu "$SCRATCH/blocks/$1" > "$SCRATCH/$1.out" 2>&1 || status=$?
  echo "$status" > "$SCRATCH/$1.status"
  echo "$1 $((SECONDS - from))" >> "$SCRATCH/times"
}

# Waits until a command succeeds, SECONDS at most; says in `late` what never did.
until_done() {
  local within=$1 from=$SECONDS
  shift
  until "$@" > /dev/null 2>&1; do
    if ((SECONDS - from > within)); then
      echo "$*" >> "$SCRATCH/late"
      return
    fi
    sleep 0.2
  done
}
