"""`modicum open`: what a recipient sees, from files and from a broker, and what it is told when something is wrong."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from agent.cli.main import main
from agent.cli.open_ import Recipient, read_private_key
from agent.envelope import open_envelope
from agent.errors import UsageError
from agent.mqtt.connection import access
from hw.bench.authority import Authority
from tests.support.core import Running
from tests.support.mosquitto import Mosquitto, free_port


def _vin(says: dict[str, Any]) -> dict[str, Any]:
    """What a line has besides where the identity is the VIN."""
    return {} if says["vin"] is None else {"vin": says["vin"]}


VECTORS = json.loads((Path(__file__).parents[3] / "docs" / "vectors" / "envelope.json").read_text())
PRIVATE = bytes.fromhex(VECTORS["recipient_private"])
GOOD = [bytes.fromhex(good["envelope"]) for good in VECTORS["good"]]
SAYS = [[{**line, **_vin(good["says"])} for line in good["says"]["lines"]] for good in VECTORS["good"]]
LINES = [line for lines in SAYS for line in lines]


@pytest.fixture
def key(tmp_path: Path) -> Path:
    path = tmp_path / "traffic.key"
    path.write_bytes(PRIVATE)
    return path


@pytest.fixture
def envelopes(tmp_path: Path) -> list[str]:
    paths = [tmp_path / f"{n}.cbor" for n in range(len(GOOD))]
    for path, data in zip(paths, GOOD, strict=True):
        path.write_bytes(data)
    return [str(path) for path in paths]


def printed(capsys: pytest.CaptureFixture[str]) -> tuple[list[dict[str, Any]], str]:
    out, errors = capsys.readouterr()
    return [json.loads(line) for line in out.splitlines()], errors


def test_envelopes_become_lines(key: Path, envelopes: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """One JSON line per sample, as in received.jsonl, and nothing else on stdout."""
    assert main(["open", "--key", str(key), *envelopes]) == 0
    assert printed(capsys) == (LINES, "")


def test_a_message_counts_once(key: Path, envelopes: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """A redelivered message is recognised by its key, with and without identity."""
    assert main(["open", "--key", str(key), *envelopes, *envelopes]) == 0
    assert printed(capsys) == (LINES, "")


def test_without_identity_the_order_of_arrival_counts() -> None:
    """Two unlinkable messages of a stream are 1 and 2; a repetition does not count."""
    recipient = Recipient(PRIVATE)
    from tests.agent.test_envelope import unlinkable  # noqa: PLC0415  made with the same key

    body = open_envelope(GOOD[2], PRIVATE).body
    second = unlinkable(body=body)
    seqs = [[line["seq"] for line in recipient.lines(data)] for data in (GOOD[2], GOOD[2], second)]
    assert seqs == [[1, 1], [], [2, 2]]


def test_what_cannot_be_opened_is_said_and_the_rest_goes_on(
    key: Path, envelopes: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit 1, a line on stderr for each, every other message on stdout."""
    bad = tmp_path / "bad.cbor"
    bad.write_bytes(bytes.fromhex(VECTORS["bad"][0]["envelope"]))
    assert main(["open", "--key", str(key), envelopes[0], str(bad), *envelopes[1:]]) == 1
    lines, errors = printed(capsys)
    assert lines == LINES
    assert "bad.cbor" in errors
    assert "Traceback" not in errors


def test_only_named_senders_are_believed(key: Path, envelopes: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """With --id a message of anybody else is refused; what has no identity has nobody to be."""
    assert main(["open", "--key", str(key), "--id", "00" * 16, *envelopes]) == 1
    assert printed(capsys)[0] == SAYS[2]
    assert main(["open", "--key", str(key), "--id", VECTORS["id"], *envelopes]) == 0
    assert printed(capsys)[0] == LINES


@pytest.mark.parametrize("form", ["raw", "hex", "pem"])
def test_a_key_is_read_in_three_forms(form: str, tmp_path: Path) -> None:
    """32 bytes, their hex, or PEM."""
    pem = X25519PrivateKey.from_private_bytes(PRIVATE).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    path = tmp_path / "key"
    path.write_bytes({"raw": PRIVATE, "hex": PRIVATE.hex().encode() + b"\n", "pem": pem}[form])
    assert read_private_key(path) == PRIVATE


def test_other_key_files_are_refused(tmp_path: Path) -> None:
    """Another kind of key, other lengths and no file at all: exit 2, not a message that does not open."""
    other = Authority(tmp_path).issue("x").key.read_bytes()
    for content in (b"", b"x" * 31, bytes(33), b"00" * 31, other, b"-----BEGIN nothing"):
        (tmp_path / "key").write_bytes(content)
        with pytest.raises(UsageError):
            read_private_key(tmp_path / "key")
    with pytest.raises(UsageError):
        read_private_key(tmp_path / "absent")


@pytest.mark.parametrize(
    "arguments", [[], ["--broker", "mqtts://localhost", "x"], ["--id", "zz", "x"], ["absent.cbor"], ["--broker", "mqtt://broker.example"]]
)
def test_wrong_arguments_end_with_one_line(key: Path, arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """Exit 2 and what to do."""
    assert main(["open", "--key", str(key), *arguments]) == 2
    lines, errors = printed(capsys)
    assert lines == []
    assert errors.count("\n") == 1


def test_a_broker_that_is_not_there_is_a_network_fault(key: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Exit 5 after the time that was given."""
    assert main(["open", "--key", str(key), "--broker", f"mqtt://127.0.0.1:{free_port()}", "--for", "0.3"]) == 5
    assert "refused" in printed(capsys)[1]


def test_messages_from_a_broker_become_lines(key: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Over TLS with a credential; what came while it was away is kept under its client id; repeated ones count once."""
    authority = Authority(tmp_path / "ca")
    mine, car = authority.issue("traffic"), authority.issue("car-1")
    with Mosquitto(tmp_path, authority, authority.issue("server", ("localhost",))) as broker:
        url = f"mqtts://localhost:{broker.port}"
        credential = ["--ca", str(authority.ca), "--cert", str(mine.cert), "--client-key", str(mine.key), "--client-id", "traffic"]
        listen = ["open", "--key", str(key), "--broker", url, *credential]
        assert main([*listen, "--for", "0.5"]) == 0
        with Running(lambda _: access(url, ca=authority.ca, cert=car.cert, key=car.key)) as uplink:
            uplink.core.todo.extend(enumerate([GOOD[0], *GOOD]))
            uplink.core.open_lane()
            assert uplink.core.run(lambda: len(uplink.core.acked) == 4)
        assert main([*listen, "--count", "3", "--for", "10"]) == 0
    assert printed(capsys) == (LINES, "")
