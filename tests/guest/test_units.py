"""The installed device under its systemd, in the guest: docs/vehicle.md typed word by word (install.sh), then a life of it (units.sh)."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from agent.envelope import open_envelope, received_lines
from tests.guest.machine.boot import CUT
from tests.support.guest import needs_guest, run_in_guest
from tests.support.installed import BLOCKS, Desk, installed

pytestmark = [pytest.mark.guest, pytest.mark.timeout(2400)]

STORY_S = 1200
SERVICES = ("core", "uplink", "ecall")
OK = "ok"
REFUSED = {"EACCES", "EPERM", "ENOENT", "EAFNOSUPPORT", "EROFS", "ENXIO"}
"""How a sandbox says no: by right, by a file that is not there for it, by a family that there is not."""
MAY = {
    "core": {
        *("can socket", "database", "key block", "configuration", "VIN", "authority", "control socket", "fix", "receiver's port"),
        *("link socket", "call's control socket"),  # its own; and, as one of the group modicum, the call's
    },
    "uplink": {
        "tcp socket",
        "tcp socket, IPv6",
        "udp socket",
        "broker",
        "an address of the list",
        "configuration",
        "authority",
        "uplink's key",
        "link socket",
    },
    "ecall": {
        *("tcp socket", "tcp socket, IPv6", "udp socket", "broker", "can socket", "call's state", "configuration", "authority"),
        *("VIN", "call's key", "call's control socket", "fix", "an address of the list"),
    },
}
"""Everything else of probe.py is refused."""
SAYS = {"record of a call", "another route there", "scheduling", "capabilities"}
"""What is looked at by itself."""


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Desk:
    needs_guest()
    made = installed(tmp_path_factory.mktemp("desk"))
    run_in_guest("tests/guest/units.sh", made.folder, STORY_S, "--base", str(made.disk))
    return made


def said(desk: Desk, name: str) -> str:
    path: Path = desk.folder / name
    return path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""


def probe(desk: Desk, service: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(said(desk, f"probe-{service}.json"))
    return found


@pytest.mark.parametrize("block", BLOCKS)
def test_each_instruction_works_as_it_stands(desk: Desk, block: str) -> None:
    """Of docs/vehicle.md, in its order, from a bare Debian without a network to one that has nothing left of us."""
    allowed = {"0\n", "1\n"} if block == "doctor" else {"0\n"}  # whether it finds something is not this test's
    assert said(desk, f"{block}.status") in allowed, said(desk, f"{block}.out")


def test_the_whole_device_can_be_looked_into(desk: Desk) -> None:
    """On the installed device: what is on the bus, the receiver, an unlocking, and doctor, which exits with 1 where it found something."""
    looked, doctor = said(desk, "look.out"), json.loads(said(desk, "doctor.json"))
    assert "UNLOCKED: VIN and place are shown for 5 min" in looked
    assert "VIN and place are masked" in looked
    assert "wanted" in looked
    assert "Traceback" not in looked + said(desk, "doctor.out") + said(desk, "doctor.err")
    assert said(desk, "doctor-json.status") == ("" if doctor["healthy"] else "1\n")
    found = {finding["code"] for check in doctor["checks"] for finding in check["findings"]}
    assert found & {"core-silent", "key-missing", "key-wrong", "bus-missing", "bus-down"} == set()


def test_the_exposure_of_the_installed_units(desk: Desk) -> None:
    """By systemd's own measure, with the addresses as section 4 installs them: core 1.1 at most, uplink 1.0, ecall 1.4."""
    assert said(desk, "exposure").split("\n")[:-1] == ["core 0", "uplink 0", "ecall 0"], said(desk, "exposure-uplink")


def test_core_goes_after_the_ignition_and_the_device_does_what_its_integrator_said(desk: Desk) -> None:
    """Not because of a restart by hand, nor while an emergency call stands or began since; where nobody said anything core comes back."""
    assert said(desk, "went-too-early") == ""
    assert said(desk, "after-going").split() == ["inactive", "success", "ignition-off"]
    assert said(desk, "after-call") == "active\n"


@pytest.fixture(scope="module")
def cut(desk: Desk) -> Desk:
    """The power goes when an upgrade has just said that it is done; then the device is switched on again."""
    disk = ("--disk", str(desk.folder / "cut.img"))
    run_in_guest("tests/guest/cut_install.sh", desk.folder, STORY_S, "--base", str(desk.disk), *disk, "--cut-on", "install: done", ends=CUT)
    run_in_guest("tests/guest/cut_after.sh", desk.folder, STORY_S, *disk)
    return desk


def test_an_upgrade_that_agent_toml_does_not_fit_changes_nothing(cut: Desk) -> None:
    """What runs, an emergency call perhaps, goes on; the line to correct is told."""
    assert "unknown key 'unknown'" in said(cut, "unfit.out")
    assert said(cut, "unfit.out").endswith("what was there before is untouched; see above\nstatus 1\n")
    assert said(cut, "unfit-after") == said(cut, "unfit-before") != ""


def test_a_power_cut_right_after_an_upgrade_leaves_a_whole_device(cut: Desk) -> None:
    """No file of ours is empty that was not before, and each service starts."""
    assert said(cut, "empty-etc") == ""
    assert said(cut, "empty-after") == said(cut, "empty-before") != ""
    assert said(cut, "version-after-cut").startswith("modicum")
    assert said(cut, "late") == ""


def test_nothing_was_waited_for_in_vain(desk: Desk) -> None:
    """Each step of the story came to its end in time."""
    assert said(desk, "late") == ""


def test_a_first_installation_that_fails_leaves_nothing_and_says_so(desk: Desk) -> None:
    """Below /etc, /opt and /usr/local; so the next one begins like the first."""
    lines = [line for line in said(desk, "first-failed").splitlines() if not line.startswith(("install: ", "Creating "))]
    told, ended = lines[::2], lines[1::2]
    assert ended == ["status 1"] * 2
    assert all("there was none before, and nothing of it is left but its users" in line for line in told)


def test_an_installation_says_where_swap_is_open(desk: Desk) -> None:
    """With what can be done; and not where nothing is."""
    assert "there is swap, and this kernel cannot keep keys and places out of it" in said(desk, "again.out")
    assert "there is swap" not in said(desk, "install.out")


def test_before_it_is_said_which_car_it_is_nothing_starts(desk: Desk) -> None:
    """Also not by hand: an example's emergency centre is nobody's."""
    assert said(desk, "before-files").split() == ["inactive"] * 3


def test_the_document_s_start_takes_up_what_came_since_the_device_was_switched_on(desk: Desk) -> None:
    """Each is another process afterwards."""
    before, after = (said(desk, f"{when}-start").split() for when in ("before", "after"))
    assert (len(before), len(after), set(before) & set(after)) == (3, 3, set())


def test_a_configuration_that_cannot_be_used_is_told_at_once_and_tried_again(desk: Desk) -> None:
    """Who starts one service is told that it failed; the target waits for none that cannot come. With the file right all come back."""
    of_target, of_core = (line.split() for line in said(desk, "wrong-configuration").splitlines())
    assert of_target[0] == "0", "no answer"
    assert set(of_target[1:]) <= {"failed", "activating"}  # the next attempt
    assert of_core[0] == "1"
    assert said(desk, "after-wrong").split() == ["active"] * 3


def test_after_a_start_of_the_device_each_service_is_there_by_itself(desk: Desk) -> None:
    """Without a bus and without a broker."""
    assert said(desk, "after-boot").split() == ["active"] * 3


def test_a_drive_goes_from_the_bus_to_the_recipient(desk: Desk) -> None:
    """Through three sandboxes and TLS: what was granted can be opened by its recipient, and holds a place of the bench's town."""
    heard = [json.loads(line) for line in said(desk, "heard.jsonl").splitlines()]
    traffic = [one for one in heard if "/real_time_traffic/" in one["topic"]]
    assert traffic, said(desk, "services.log")
    lines = received_lines(open_envelope(bytes.fromhex(traffic[0]["payload"]), desk.recipients["traffic"]), 0)
    assert {line["signal"] for line in lines} & {"Vehicle.CurrentLocation.Latitude", "Vehicle.Speed", "Vehicle.CurrentLocation"}


def test_the_first_drive_shows_what_the_document_says(desk: Desk) -> None:
    """Its lines, once something was acknowledged."""
    seen = said(desk, "drive.out")
    lines = r"bus pt .* [1-9]\d* delivered", r"position \d+ s old", r"plan: [1-9]", r"indicator: collecting", r"lane id:main: online"
    assert [line for line in (*lines, r"acknowledged [1-9]", "real_time_traffic") if not re.search(line, seen)] == [], seen


def test_the_agent_put_no_frame_onto_the_bus(desk: Desk) -> None:
    """A socket that listened all the while heard the car alone: their sandboxes would let core and ecall send, their programs cannot."""
    sent = json.loads(said(desk, "car.out").splitlines()[-1])
    assert len(said(desk, "bus.log").splitlines()) == sent["frames"] > 1000


@pytest.mark.parametrize("service", SERVICES)
def test_each_service_can_do_what_it_needs_and_nothing_else(desk: Desk, service: str) -> None:
    """Tried from inside a sandbox of the very same lines."""
    found = {name: outcome for name, outcome in probe(desk, service).items() if name not in SAYS and isinstance(outcome, str)}
    assert {name for name, outcome in found.items() if outcome == OK} == MAY[service]
    assert {name: outcome for name, outcome in found.items() if outcome != OK and outcome not in REFUSED} == {}


def test_the_emergency_call_may_enter_its_record_and_ask_nothing_else(desk: Desk) -> None:
    """At core's socket for it; the others do not even reach that one."""
    found = probe(desk, "ecall")
    assert (found["record of a call"], found["another route there"]) == ("answer 0", "answer 2")
    assert probe(desk, "uplink")["record of a call"] in REFUSED


def test_core_alone_gets_the_credential(desk: Desk) -> None:
    """Unsealed by systemd, 32 octets; the file that holds it sealed can be read by none of them."""
    assert [probe(desk, service)["credential's length"] for service in SERVICES] == [32, 0, 0]
    assert {probe(desk, service)["sealed credential"] for service in SERVICES} <= REFUSED


@pytest.mark.parametrize("service", SERVICES)
def test_what_a_service_is_given(desk: Desk, service: str) -> None:
    """No capability, no core dump; the emergency call comes first, by the least of the real-time priorities."""
    found = probe(desk, service)
    assert (int(found["capabilities"], 16), found["core dump"], found["scheduling"]) == (0, 0, "rr" if service == "ecall" else "other")


def test_a_technician_may_look_and_drive_and_a_stranger_nothing(desk: Desk) -> None:
    """By the group alone; what is the owner's is refused to both, and so is what only the emergency call may say."""
    technician, stranger = json.loads(said(desk, "technician.json")), json.loads(said(desk, "stranger.json"))
    health = technician.pop("health")
    assert technician == {
        "status": 0,
        "audit.show": 4,
        "audit.ecall": 2,
        "ecall status": 0,
        "agent.toml": True,
        "vin": False,
        "device.key": False,
        "trip": True,
        "policy.accept": 0,
        "profile.add": 0,
        "profile.use": 0,
        "consent.grant": 0,
    }
    assert stranger == {
        "status": 4,
        "audit.show": 4,
        "audit.ecall": 4,
        "ecall status": 4,
        "agent.toml": False,
        "vin": False,
        "device.key": False,
    }
    assert health["clock"]


@pytest.mark.parametrize("user", ["technician", "modicum-uplink"])
def test_no_file_tells_a_technician_or_the_uplink_the_vin(desk: Desk, user: str) -> None:
    """Of all that each can read under /etc, /run and /var, after a drive; root finds it where it was put."""
    assert said(desk, f"vin-{user}") == ""
    assert said(desk, "vin-root") == "/etc/modicum/vin\n"


@pytest.mark.parametrize("service", SERVICES)
def test_one_that_is_killed_comes_back_and_the_others_stay(desk: Desk, service: str) -> None:
    """SIGKILL to each alone."""
    line = next(line for line in said(desk, "killed").splitlines() if line.startswith(f"{service} "))
    before, after = (part.split() for part in line.removeprefix(f"{service} ").split(":"))
    same = {name: one == other != "0" for name, one, other in zip(SERVICES, before, after, strict=True)}
    assert same == {name: name != service for name in SERVICES}


def test_one_that_is_asked_to_end_beside_systemd_comes_back(desk: Desk) -> None:
    """SIGTERM to each, after which each ends with 0."""
    assert said(desk, "after-term").split() == ["active"] * 3


def test_one_that_hangs_is_ended_by_the_watchdog_and_comes_back(desk: Desk) -> None:
    """Each stopped as a whole, so that nothing but systemd's patience tells."""
    before, after = ([int(number) for number in said(desk, f"{when}-watchdog").split()] for when in ("before", "after"))
    assert [now > then for then, now in zip(before, after, strict=True)] == [True] * 3
    assert len(re.findall(r"Watchdog timeout", said(desk, "systemd.log"))) == 3


def test_one_thread_that_hangs_ends_its_service_by_the_vote(desk: Desk) -> None:
    """Held in the kernel while all others work: it is named, and the service is there again."""
    assert re.search(r"a thread hangs: (control|audit|link|link reader) has not looked up for \d+ s", said(desk, "services.log"))


def test_files_belong_to_who_needs_them(desk: Desk) -> None:
    """State for its service alone; sockets for a group of one other."""
    rows = {path: (mode, user, group) for mode, user, group, path in (line.split(" ", 3) for line in said(desk, "files").splitlines())}
    assert rows["/var/lib/modicum/ledger.db"] == ("-rw-------", "modicum-core", "modicum")
    assert rows["/run/modicum/control.sock"] == ("srw-rw----", "modicum-core", "modicum")
    assert rows["/run/modicum-link/link.sock"] == ("srw-rw----", "modicum-core", "modicum-uplink")
    assert rows["/run/modicum-audit/audit.sock"] == ("srw-rw----", "modicum-core", "modicum-ecall")
    assert rows["/run/modicum-ecall/fixes.sock"] == ("srw-rw----", "modicum-ecall", "modicum")
    assert [path for path, (mode, _, _) in rows.items() if path.endswith(".key") and mode[7:] != "---"] == []


def test_the_journal_has_no_value_of_the_car_s(desk: Desk) -> None:
    """Neither the services' nor systemd's: no VIN, no telephone number, no coordinate."""
    log = said(desk, "services.log") + said(desk, "systemd.log")
    assert "modicum.core: running" in log
    assert re.findall(r"WMWTESTCAR\d*|\+86\d+|\b\d{1,3}\.\d{4,}", log) == []


def test_a_release_that_cannot_be_installed_leaves_the_one_before_at_work(desk: Desk) -> None:
    """A wheelhouse without one of its packages: an error, the same programs, the same release."""
    assert said(desk, "install-broken.status") != "0\n"
    assert "what was there before is untouched" in said(desk, "install-broken.out")
    assert said(desk, "before-upgrade") == said(desk, "after-broken")
    assert said(desk, "release-before") == said(desk, "release-broken")


def test_a_release_that_does_not_start_gives_way_to_the_one_before(desk: Desk) -> None:
    """Exit 5; the programs of before run, and under /etc there is nothing of the other: neither what it changed nor what it added."""
    assert said(desk, "install-exiting.status") == "5\n", said(desk, "install-exiting.out")
    assert "the release before is back" in said(desk, "install-exiting.out")
    assert said(desk, "release-exiting") == said(desk, "release-before")
    assert said(desk, "after-exiting").split() == ["active"] * 3
    assert "modicum-uplink.service" in said(desk, "etc-before")
    assert said(desk, "etc-exiting") == said(desk, "etc-before")


def test_an_upgrade_keeps_what_is_the_device_s(desk: Desk) -> None:
    """Another release runs, whatever the installer's umask; agent.toml, drop-ins, rules, ids, public keys and drivers are as before."""
    assert said(desk, "release-before") != said(desk, "release-after")
    assert said(desk, "after-upgrade").split() == ["active"] * 3
    before = said(desk, "kept-before")
    assert [name for name in ("agent.toml", "71-modicum-local.rules", "addresses.conf", "other.conf") if name not in before] == []
    assert re.search(r"\b[0-9a-f]{32,}\b", before.rpartition(".conf")[2]), before
    assert said(desk, "kept-after") == before
    drivers = [[one["name"] for one in json.loads(said(desk, f"drivers-{when}"))["profiles"]] for when in ("before", "after")]
    assert drivers[0] == drivers[1]
    assert "driver" in drivers[0]


def test_an_upgrade_leaves_two_releases(desk: Desk) -> None:
    """The one before and its own; one of a device whose clock was not set goes like the others."""
    releases = [Path(said(desk, f"release-{when}").strip()).name for when in ("before", "after")]
    assert said(desk, "releases").split() == [*releases, "current"]


def test_an_upgrade_starts_nothing_with_the_device_that_its_owner_disabled(desk: Desk) -> None:
    """Also where no service is at work while it is installed."""
    assert "install: done" in said(desk, "again.out")
    assert said(desk, "enabled-after").split() == ["enabled", "enabled", "disabled"]


def test_core_has_ended_when_the_uplink_is_told_to(desk: Desk) -> None:
    """Both are stopped at once, as by a shutdown: what core's end sends still finds its way."""
    core_gone_us, uplink_told_us = map(int, said(desk, "stop-order").split())
    assert 0 < core_gone_us <= uplink_told_us


def test_the_drop_in_against_a_kernel_without_real_time(desk: Desk) -> None:
    """The emergency call runs as any program does."""
    assert "SCHED_OTHER" in said(desk, "scheduling")


def test_udev_can_read_the_rules(desk: Desk) -> None:
    """Ours, and the example for another modem."""
    log = said(desk, "udev.log")
    assert [name for name in ("70-modicum.rules", "71-modicum-local.rules") if f"/etc/udev/rules.d/{name}" not in log] == []
    assert re.findall(r"modicum\S*\.rules:\d+.*", log) == []


def test_uninstalling_leaves_data_and_purging_nothing(desk: Desk) -> None:
    """Programs, units, rules, sockets and links are gone at once; data, keys, certificates and users with --purge."""
    left = [path for path in said(desk, "left").split() if not path.startswith(("/etc/modicum", "/var/lib/modicum"))]
    assert left == [
        "/etc/credstore.encrypted/modicum-credential",
        "/etc/systemd/network/70-modicum-can0.network",
        *(f"/etc/systemd/system/modicum-{unit}.d" for unit in ("core.service", "credential.socket", "ecall.service")),
        *(f"/etc/systemd/system/modicum-{unit}.service.d" for unit in ("power", "uplink")),
        "/etc/udev/rules.d/71-modicum-local.rules",
    ]
    assert said(desk, "left-after-purge") == ""
