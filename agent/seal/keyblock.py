"""The key block: every key that rests on the device, in two slots of one file (docs/formats.md section 1).

Promises: what `add` or `destroy` returned for is on the medium; a write that is cut anywhere leaves a block that opens
with every key that was durable before; after `destroy` neither slot opens what it removed, and a `destroy` cut between
its two writes is completed at the next `open`. While a credential is replaced one slot opens with the old one and the other with
the new one, and an opening with either ends that. The credential is never written. Every write goes to the slot that is
not in use and writes it whole: after a failed one nobody knows what that slot holds, the slot in use is as it was, and the
next attempt writes the same slot again (which also makes its pages dirty again, so that no sync calls them written).
Must never do: decide which keys are needed (agent.seal.keyring does).
"""

from __future__ import annotations

import os
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, get_args

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from agent.body import from_cbor, to_cbor
from agent.errors import ConfigError, DeviceError, IntegrityError, ModicumError, UsageError

FILE_NAME = "keys.block"
SLOT_BYTES = 65_536
SLOTS = 2
KEY_BYTES = 32
SEED_BYTES = 32
NONCE_BYTES = 12
TAG_BYTES = 16
HEAD = struct.Struct(f">Q{SEED_BYTES}s{NONCE_BYTES}s")
LENGTH = struct.Struct(">I")
PLAINTEXT_BYTES = SLOT_BYTES - HEAD.size - TAG_BYTES
DATA_KEYS_MAX = 512
CREDENTIAL_BYTES_MIN = 16
"""It is used without stretching: a password is no credential."""
ROOT_INFO = b"modicum/root/1"
AAD = b"modicum/keyblock/1"
Database = Literal["ledger", "buffer"]
DATABASES: tuple[Database, ...] = get_args(Database)


class KeyBlockFull(ModicumError):
    """No room for one more key; room comes back as keys expire."""


@dataclass(frozen=True, slots=True)
class DataKey:
    """The key of one stream, basis and epoch. `destroy_ms`: on the time axis, when no sample under it may live on."""

    stream: str
    basis_ref: str
    epoch: int
    key: bytes = field(repr=False)
    destroy_ms: int


@dataclass(frozen=True, slots=True)
class Keys:
    """The content of a slot. Never changed in place: a changed copy is written, then used.

    `mark`: SHA-256 of the sealed form of the credential, empty where there is none. `coming`: the databases' next keys, while they
    are given them; else empty.
    """

    device: bytes = field(repr=False)
    ledger: bytes = field(repr=False)
    buffer: bytes = field(repr=False)
    profiles: Mapping[bytes, bytes] = field(default_factory=dict, repr=False)
    data: Mapping[tuple[str, str, int], DataKey] = field(default_factory=dict, repr=False)
    mark: bytes = field(default=b"", repr=False)
    coming: Mapping[str, bytes] = field(default_factory=dict, repr=False)

    def encode(self) -> bytes:
        """Raises KeyBlockFull beyond the limits."""
        data = [[k.stream, k.basis_ref, k.epoch, k.key, k.destroy_ms] for _, k in sorted(self.data.items())]
        profiles = dict(self.profiles)
        often = {"device": self.device, "ledger": self.ledger, "buffer": self.buffer, "profiles": profiles, "data": data}
        seldom = {"mark": self.mark, "coming": dict(self.coming)}
        content = to_cbor(often | {name: value for name, value in seldom.items() if value})
        if len(data) > DATA_KEYS_MAX or len(content) > PLAINTEXT_BYTES - LENGTH.size:
            raise KeyBlockFull("the key block is full", FILE_NAME, "fewer streams or shorter lifetimes; room comes back as keys expire")
        return content

    @classmethod
    def decode(cls, content: bytes) -> Keys:
        """Raises IntegrityError for anything that `encode` would not have written."""
        match from_cbor(content, "the key block"):
            case {"device": device, "ledger": ledger, "buffer": buffer, "profiles": dict() as profiles, "data": list() as data, **more}:
                mark, coming = more.pop("mark", b""), more.pop("coming", {})
                if more or not isinstance(mark, bytes) or not isinstance(coming, dict) or coming.keys() not in (set(), set(DATABASES)):
                    raise _unreadable("its content has another form")
                keys = cls(device, ledger, buffer, profiles, _data_keys(data), mark, coming)
            case _:
                raise _unreadable("its content has another form")
        secrets = [device, ledger, buffer, *profiles.values(), *(key.key for key in keys.data.values())]
        secrets += [*coming.values(), mark or bytes(KEY_BYTES)]
        sound = all(isinstance(secret, bytes) and len(secret) == KEY_BYTES for secret in secrets)
        if not sound or not all(isinstance(name, bytes) for name in profiles) or keys.encode() != content:
            raise _unreadable("its content has another form")
        return keys


def _data_keys(entries: list[object]) -> dict[tuple[str, str, int], DataKey]:
    keys = {}
    for entry in entries:
        match entry:
            case [str() as stream, str() as basis_ref, int() as epoch, bytes() as key, int() as destroy_ms]:
                keys[stream, basis_ref, epoch] = DataKey(stream, basis_ref, epoch, key, destroy_ms)
            case _:
                raise _unreadable("its content has another form")
    return keys


@dataclass(frozen=True, slots=True)
class Slot:
    """A slot that opened."""

    generation: int
    seed: bytes = field(repr=False)
    keys: Keys


def root_key(credential: bytes, seed: bytes) -> bytes:
    """HKDF-SHA256 (RFC 5869): a destroyed seed takes everything under it along."""
    return HKDF(SHA256(), KEY_BYTES, seed, ROOT_INFO).derive(credential)


def seal_slot(slot: Slot, credential: bytes) -> bytes:
    """Exactly SLOT_BYTES. Raises KeyBlockFull."""
    content = slot.keys.encode()
    plaintext = (LENGTH.pack(len(content)) + content).ljust(PLAINTEXT_BYTES, b"\0")
    nonce = os.urandom(NONCE_BYTES)
    sealed = ChaCha20Poly1305(root_key(credential, slot.seed)).encrypt(nonce, plaintext, AAD + slot.generation.to_bytes(8, "big"))
    return HEAD.pack(slot.generation, slot.seed, nonce) + sealed


def open_slot(data: bytes, credential: bytes) -> Slot | None:
    """None where the slot does not open: torn, never written, or another credential."""
    generation, seed, nonce = HEAD.unpack_from(data)
    try:
        aead = ChaCha20Poly1305(root_key(credential, seed))
        plaintext = aead.decrypt(nonce, data[HEAD.size :], AAD + generation.to_bytes(8, "big"))
    except InvalidTag:
        return None
    end = LENGTH.size + LENGTH.unpack_from(plaintext)[0]
    if end > len(plaintext) or any(plaintext[end:]):
        raise _unreadable("its padding is not zero")
    return Slot(generation, seed, Keys.decode(plaintext[LENGTH.size : end]))


class KeyBlock:
    """The open block. Without a file (RAM only) everything works and nothing outlives the process."""

    def __init__(self, fd: int | None, credential: bytes, current: Slot, active: int, *, writable: bool = True) -> None:
        self._fd, self._credential, self._current, self._active = fd, credential, current, active
        self._writable, self._unsettled = writable, False

    @property
    def keys(self) -> Keys:
        """What is durable now."""
        return self._current.keys

    @property
    def generation(self) -> int:
        """Counts writes that succeeded; for people and tests."""
        return self._current.generation

    @property
    def unsettled(self) -> bool:
        """Whether a slot may still hold what `destroy` was to take away."""
        return self._unsettled

    @classmethod
    def create(cls, folder: Path | None, credential: bytes, keys: Keys) -> KeyBlock:
        """A new block, durable on return. Raises UsageError where there is one, ConfigError for a short credential."""
        _long_enough(credential)
        seed = os.urandom(SEED_BYTES)
        slots = [Slot(generation, seed, keys) for generation in range(1, SLOTS + 1)]
        if folder is None:
            return cls(None, credential, slots[-1], SLOTS - 1)
        _write_new(folder, b"".join(seal_slot(slot, credential) for slot in slots))
        return cls.open(folder, credential)

    @classmethod
    def open(cls, folder: Path, credential: bytes, *, read_only: bool = False) -> KeyBlock:
        """Raises IntegrityError when no slot opens, DeviceError when the file cannot be read at all.

        `read_only`: the file is never written, a cut write is left as it is, and every write of this block is refused.
        """
        path = folder / FILE_NAME
        try:
            fd = os.open(path, (os.O_RDONLY if read_only else os.O_RDWR) | os.O_CLOEXEC)
        except OSError as error:
            raise DeviceError(f"the key block cannot be opened: {error.strerror}", str(path), "modicum keys init makes one") from error
        try:
            return cls._from(fd, credential, path, read_only=read_only)
        except BaseException:
            os.close(fd)
            raise

    @classmethod
    def _from(cls, fd: int, credential: bytes, path: Path, *, read_only: bool) -> KeyBlock:
        data = os.pread(fd, SLOTS * SLOT_BYTES + 1, 0)
        if len(data) != SLOTS * SLOT_BYTES:
            raise _unreadable("its size is wrong", str(path))
        slots = [open_slot(data[at : at + SLOT_BYTES], credential) for at in range(0, len(data), SLOT_BYTES)]
        opened = [slot for slot in slots if slot is not None]
        if not opened:
            raise _unreadable("the credential does not open it", str(path))
        current = max(opened, key=lambda slot: slot.generation)
        block = cls(fd, credential, current, slots.index(current), writable=not read_only)
        if not read_only and any(slot is None or slot.seed != current.seed for slot in slots):
            # A write was cut. If it was a destroy, the other slot may still hold what it took away.
            block._write(current.keys, current.seed)
        return block

    def add(self, keys: Keys) -> None:
        """Makes `keys` durable in the other slot, or in both while the block is `unsettled`.

        Raises KeyBlockFull, DeviceError; then it is not known whether `keys` or what was durable before is found at an opening.
        """
        if self._unsettled:
            self.destroy(keys)
        else:
            self._write(keys, self._current.seed)

    def destroy(self, keys: Keys) -> None:
        """Makes `keys` all there is, in both slots and under a new seed.

        Raises DeviceError when that is not certain; the block is `unsettled` then, until a later call wrote both slots.
        """
        seed = os.urandom(SEED_BYTES)
        self._unsettled = True
        for _ in range(SLOTS):
            self._write(keys, seed)
        self._unsettled = False

    def rotate(self, keys: Keys, credential: bytes, put: Callable[[], None]) -> None:
        """Makes `keys` all there is, under another credential and a new seed. `put` puts that credential in the place of the old one.

        Whole or not at all: until `put` did so the old credential opens what was durable before, from then on the new one opens
        `keys`, and an opening with either destroys what the other would have opened. Raises ConfigError for a short credential,
        DeviceError, and what `put` raises; it is not known then which of the two counts, and the block has to be opened anew.
        """
        _long_enough(credential)
        self._credential, seed = credential, os.urandom(SEED_BYTES)
        self._write(keys, seed)
        put()
        self._write(keys, seed)
        self._unsettled = False

    def close(self) -> None:
        """Lets go of the file."""
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None
            self._writable = False

    def _write(self, keys: Keys, seed: bytes) -> None:
        if not self._writable:
            raise DeviceError("the key block is open for reading only, or closed", FILE_NAME, "only the running agent writes it")
        slot = Slot(self._current.generation + 1, seed, keys)
        target = (self._active + 1) % SLOTS
        if self._fd is not None:
            # Where this raises nothing has changed here, so that the next attempt has the same target.
            _put(self._fd, seal_slot(slot, self._credential), target * SLOT_BYTES)
        self._current, self._active = slot, target


def erase(folder: Path) -> None:
    """Overwrites both slots and removes the block, durable on return; nothing to do where there is none. Raises DeviceError."""
    path = folder / FILE_NAME
    (folder / (FILE_NAME + ".new")).unlink(missing_ok=True)
    if path.exists():
        fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
        try:
            for slot in range(SLOTS):
                _put(fd, os.urandom(SLOT_BYTES), slot * SLOT_BYTES)
        finally:
            os.close(fd)
        path.unlink()
    sync_folder(folder)


def _long_enough(credential: bytes) -> None:
    if len(credential) < CREDENTIAL_BYTES_MIN:
        raise ConfigError("the credential is too short", FILE_NAME, f"give at least {CREDENTIAL_BYTES_MIN} random bytes")


def _put(fd: int, data: bytes, at: int) -> None:
    try:
        written = os.pwrite(fd, data, at)
        os.fdatasync(fd)
    except OSError as error:
        raise DeviceError(
            f"the key block cannot be written: {error.strerror}", FILE_NAME, "check the state partition; trying again can help"
        ) from error
    if written != len(data):
        raise DeviceError("the key block was written only in part", FILE_NAME, "check the state partition; trying again can help")


def _write_new(folder: Path, data: bytes) -> None:
    """Whole or not at all: written beside, then renamed."""
    path, beside = folder / FILE_NAME, folder / (FILE_NAME + ".new")
    if path.exists():
        raise UsageError("there is a key block already", str(path), "it is never overwritten; modicum factory-reset removes it")
    fd = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        _put(fd, data, 0)
    finally:
        os.close(fd)
    beside.rename(path)
    sync_folder(folder)


def sync_folder(folder: Path) -> None:
    """Makes names in `folder` durable."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _unreadable(why: str, where: str = FILE_NAME) -> IntegrityError:
    return IntegrityError(f"the key block cannot be read, {why}", where, "check the credential; without it all stays unreadable")
