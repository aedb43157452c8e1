"""The keyring: which keys exist, when they are made and when they die.

Forgetting is destroying a key here. Promises: a key is durable before anybody can seal with it; a destroyed key is
gone from RAM before the block on the medium is rewritten, and from the medium on return; where the medium fails, each later
call tries again. Two databases, one device secret, one key per driver profile, one per (stream, basis, epoch).
Must never do: hand a key to a log, a repr or another process.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from agent.seal.keyblock import DATABASES, KEY_BYTES, Database, DataKey, KeyBlock, KeyBlockFull, Keys

__all__ = ["DataKey", "KeyBlockFull", "Keyring", "epoch_length_s"]

NS = 1_000_000_000
EPOCHS_PER_KEEP = 4


def epoch_length_s(keep_s: float) -> int:
    """A quarter of the lifetime, whole seconds, at least one."""
    return max(1, int(keep_s / EPOCHS_PER_KEEP))


class Keyring:
    """All keys of one device. Belongs to one process and one thread."""

    def __init__(self, block: KeyBlock, draw: Callable[[int], bytes] = os.urandom) -> None:
        self._block, self._draw = block, draw
        self._keys = block.keys
        self._made: set[tuple[str, str, int]] = set()
        self._owed = 0

    @classmethod
    def create(
        cls,
        folder: Path | None,
        credential: bytes,
        *,
        device_secret: bytes | None = None,
        mark: bytes = b"",
        draw: Callable[[int], bytes] = os.urandom,
    ) -> Keyring:
        """A new keyring in `folder`, durable on return; without a folder it lives in RAM only.

        `mark`: SHA-256 of the credential's sealed form. `draw`: where the keys of profiles come from; a replay has its own source, so
        that its trim zones lie where they lay.
        Raises UsageError where there is one already, ConfigError for a short credential or device secret.
        """
        secret = os.urandom(KEY_BYTES) if device_secret is None else device_secret
        if len(secret) != KEY_BYTES:
            raise ValueError(f"a device secret has {KEY_BYTES} bytes")
        return cls(KeyBlock.create(folder, credential, Keys(secret, os.urandom(KEY_BYTES), os.urandom(KEY_BYTES), mark=mark)), draw)

    @classmethod
    def open(cls, folder: Path, credential: bytes, *, read_only: bool = False) -> Keyring:
        """Raises IntegrityError when no slot opens with this credential, DeviceError when there is no readable file.

        `read_only`, beside a running agent: the file is never written, and whatever would write it raises DeviceError.
        """
        return cls(KeyBlock.open(folder, credential, read_only=read_only))

    def close(self) -> None:
        """Lets go of the file."""
        self._block.close()

    @property
    def device_secret(self) -> bytes:
        """32 bytes that never leave the device; use `derive`."""
        return self._keys.device

    @property
    def generation(self) -> int:
        """How often the key block was written."""
        return self._block.generation

    @property
    def data_keys(self) -> tuple[DataKey, ...]:
        """Every live data key."""
        return tuple(self._keys.data.values())

    def derive(self, info: bytes, length: int = KEY_BYTES) -> bytes:
        """HKDF-SHA256 (RFC 5869) of the device secret with an empty salt."""
        return HKDF(SHA256(), length, None, info).derive(self._keys.device)

    @property
    def mark(self) -> bytes:
        """SHA-256 of the sealed form that the credential was made with; empty where there was none."""
        return self._keys.mark

    def database_key(self, name: Database) -> bytes:
        """The raw key of that database."""
        return {"ledger": self._keys.ledger, "buffer": self._keys.buffer}[name]

    def coming_key(self, name: Database) -> bytes | None:
        """The key that the database is being given, durable; None while it is given none."""
        return self._keys.coming.get(name)

    def renew(self) -> None:
        """Draws the databases' next keys, durable on return; those of an earlier attempt stay. Raises DeviceError."""
        if not self._keys.coming:
            self._add(replace(self._keys, coming={name: os.urandom(KEY_BYTES) for name in DATABASES}))

    def renewed(self) -> None:
        """Both databases have their next keys: the former ones are destroyed. Raises DeviceError."""
        self._settle(_with_coming(self._keys))

    def rotate(self, credential: bytes, mark: bytes, put: Callable[[], None]) -> None:
        """As `renewed`, and under another credential, which `put` puts in the place of the old one (KeyBlock.rotate).

        The device secret, and so the ids towards recipients, stay. Close the keyring afterwards, whatever came of it.
        """
        self._block.rotate(replace(_with_coming(self._keys), mark=mark), credential, put)

    def data_key(self, stream: str, basis_ref: str, t_ns: int, keep_s: float) -> DataKey:
        """The key for a sample of `t_ns` that may live `keep_s`; made, and durable before this returns, if there is none.

        A shorter lifetime brings the end of an existing key forward; a longer one never puts it off.
        Raises KeyBlockFull, DeviceError.
        """
        length_s = epoch_length_s(keep_s)
        epoch = t_ns // (length_s * NS)
        destroy_ms = epoch * length_s * 1000 + int(keep_s * 1000)
        name = (stream, basis_ref, epoch)
        known = self._keys.data.get(name)
        if known is not None and known.destroy_ms <= destroy_ms:
            return known
        key = DataKey(stream, basis_ref, epoch, known.key if known else os.urandom(KEY_BYTES), destroy_ms)
        self._add(replace(self._keys, data={**self._keys.data, name: key}))
        if known is None:
            self._made.add(name)
        return key

    def find(self, stream: str, basis_ref: str, epoch: int) -> bytes | None:
        """The data key, or None when it was destroyed or never made."""
        known = self._keys.data.get((stream, basis_ref, epoch))
        return None if known is None else known.key

    def ends_ms(self, stream: str, basis_ref: str, epoch: int) -> int | None:
        """When the data key dies, on the axis as it is now (`rebase`); None as with `find`."""
        known = self._keys.data.get((stream, basis_ref, epoch))
        return None if known is None else known.destroy_ms

    def destroy(self, dead: Callable[[DataKey], bool]) -> int:
        """Destroys every data key that is `dead`; how many, with those of earlier calls that failed.

        Raises DeviceError when the medium may still hold one.
        """
        live = {name: key for name, key in self._keys.data.items() if not dead(key)}
        gone = len(self._keys.data) - len(live)
        self._owed += gone
        self._made &= live.keys()
        self._settle(replace(self._keys, data=live) if gone else self._keys)
        gone, self._owed = self._owed, 0
        return gone

    def expire(self, now_ms: int) -> int:
        """Destroys every data key whose time has come. Ask only while the clock is believed."""
        return self.destroy(lambda key: key.destroy_ms <= now_ms)

    def rebase(self, moved_ms: int) -> None:
        """The time axis was moved by so much, beyond what really passed: keys keep what is left of their lives.

        Back: every key ends earlier by it. Forward: the keys that this process made end later by it, at each move anew; those of
        earlier runs are left, because their axis may have been the right one. Durable on return. Raises DeviceError when
        that is not certain: it then counts in RAM already, goes to the medium with the next write, and must not be asked again.
        """
        keys = self._keys.data.items()
        moved = {name: replace(key, destroy_ms=key.destroy_ms + moved_ms) for name, key in keys if moved_ms < 0 or name in self._made}
        if moved_ms and moved:
            self._keys = replace(self._keys, data={**self._keys.data, **moved})
            self._add(self._keys)

    def profile_key(self, profile_id: bytes, *, create: bool = False) -> bytes | None:
        """The key of a driver profile, made and durable on return where `create`; None where there is none."""
        known = self._keys.profiles.get(profile_id)
        if known is None and create:
            known = self._draw(KEY_BYTES)
            self._add(replace(self._keys, profiles={**self._keys.profiles, profile_id: known}))
        return known

    def destroy_profile(self, profile_id: bytes) -> None:
        """Destroys that profile's key: everything sealed under it is gone. Nothing to do where there is none."""
        rest = {name: key for name, key in self._keys.profiles.items() if name != profile_id}
        self._settle(replace(self._keys, profiles=rest) if profile_id in self._keys.profiles else self._keys)

    def _add(self, keys: Keys) -> None:
        self._block.add(keys)
        self._keys = keys

    def _settle(self, keys: Keys) -> None:
        """Makes the medium hold nothing but `keys`; also where an earlier attempt failed and nothing is left to remove here."""
        # First here: should the medium fail, this process at least can read nothing of it any more.
        self._keys = keys
        if keys is not self._block.keys or self._block.unsettled:
            self._block.destroy(keys)


def _with_coming(keys: Keys) -> Keys:
    """The databases' next keys instead of theirs; the same where none come."""
    return replace(keys, ledger=keys.coming.get("ledger", keys.ledger), buffer=keys.coming.get("buffer", keys.buffer), coming={})
