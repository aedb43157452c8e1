"""Boots the guest, runs one command in it as root under its systemd, and ends with the command's exit status.

    python -m tests.guest.machine.boot [options] -- COMMAND [ARGUMENT ...]      (one single word: a bash line)

In the guest the command's folder is /src (the shared folder, with a layer that is thrown away), /share is that folder
read-only, /scratch ($SCRATCH) the host's folder for results. Other exit statuses: 124 it took too long, 125 it did not
get as far as the command or died in it, 137 the power was cut. The guest is the one that `build` has made.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import os
import random
import resource
import secrets
import select
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

TOO_LONG, NOT_BOOTED, CUT = 124, 125, 137
PR_SET_CHILD_SUBREAPER = 36
OFF_S_MAX = 60
LOOK_S, LOOK_SOON_S = 0.2, 0.02
LAST_WORDS_S = 0.5
"""A machine that is gone may have left this much to read."""
TAIL_BYTES = 8192
CONSOLE_LINES = 25


def guest_folder() -> Path:
    """Where `build` puts what it makes."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return Path(os.environ.get("MODICUM_GUEST_DIR") or cache / "modicum-guest")


def is_built() -> bool:
    """Whether there is a guest to boot."""
    return all((guest_folder() / part).is_file() for part in ("linux.uml", "wide.so", "base.img"))


@dataclass(slots=True)
class Stream:
    """One of the command's outputs, passed on without the mark that ends it. `tail`: its last bytes; `status`: what the mark says."""

    source: int
    target: int
    mark: bytes
    tail: bytes = b""
    status: int | None = None
    _kept: bytes = b""

    def pump(self) -> None:
        """Passes on what there is; what may be the beginning of the mark is kept back."""
        try:
            data = os.read(self.source, 65536)
        except BlockingIOError:
            return
        if self.status is not None or not data:
            return
        self._kept += data
        before, found, after = self._kept.partition(self.mark)
        if not found:
            start = self._kept.rfind(b"\0")
            keep = start if start >= 0 and self.mark.startswith(self._kept[start : start + len(self.mark)]) else len(self._kept)
            ready, self._kept = self._kept[:keep], self._kept[keep:]
        elif b"\n" in after:
            ready, self._kept, self.status = before, b"", int(after.partition(b"\n")[0])
        else:
            return
        self.tail = (self.tail + ready)[-TAIL_BYTES:]
        with contextlib.suppress(BrokenPipeError):
            while ready:
                ready = ready[os.write(self.target, ready) :]

    def is_empty(self) -> bool:
        """Whether nothing is left to be passed on."""
        return not self._kept and not select.select([self.source], [], [], 0)[0]


@dataclass(slots=True)
class Machine:
    """One boot. `folder` holds what is thrown away afterwards."""

    options: argparse.Namespace
    folder: Path
    mark: str = field(default_factory=lambda: f"guest-end-{secrets.token_hex(8)}")
    born_s: float = field(default_factory=time.monotonic)
    began_s: float | None = None
    gone_s: float | None = None
    cut_s: float | None = None
    process: subprocess.Popen[bytes] = field(init=False)
    out: Stream = field(init=False)
    err: Stream = field(init=False)

    def start(self, command: list[str]) -> None:
        """Hands the command over and switches the machine on, on one processor of the host: pinned it is three times as fast."""
        control = self.folder / "control"
        control.mkdir()
        (control / "command").write_text((command[0] if len(command) == 1 else shlex.join(command)) + "\n")
        (control / "mark").write_text(self.mark)
        if self.options.disk:
            (control / "keep").touch()
        processor = random.choice(sorted(os.sched_getaffinity(0))) if self.options.cpu is None else self.options.cpu
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        pipes = [os.pipe() for _ in range(2)]
        for reading, _ in pipes:
            os.set_blocking(reading, False)
        with self.console().open("wb") as console:
            self.process = subprocess.Popen(
                ["taskset", "-c", str(processor), *self._line(control, pipes[0][1], pipes[1][1])],
                stdin=subprocess.DEVNULL,
                stdout=console,
                stderr=console,
                pass_fds=[writing for _, writing in pipes],
                env={"PATH": os.defpath, "HOME": str(self.folder), "TERM": "dumb", "LD_PRELOAD": str(guest_folder() / "wide.so")},
                start_new_session=True,
            )
        for _, writing in pipes:
            os.close(writing)
        mark = b"\0" + self.mark.encode() + b" "
        self.out, self.err = Stream(pipes[0][0], 1, mark), Stream(pipes[1][0], 2, mark)

    def _line(self, control: Path, out: int, err: int) -> list[str]:
        given = self.options
        scratch = Path(given.scratch).resolve() if given.scratch else self.folder / "scratch"
        scratch.mkdir(parents=True, exist_ok=True)
        named = {"ctl": control, "share": Path(given.share).resolve(), "scratch": scratch}
        if any(set(" ,") & set(str(place)) for place in named.values()):
            raise SystemExit("guest: no blank and no comma in a folder's name, please")
        words = [f"guest.{name}={place}" for name, place in named.items()]
        return [
            *(str(guest_folder() / "linux.uml"), f"mem={given.mem}", f"uml_dir={self.folder}/uml", "umid=g", f"ubd0={self._disk()}"),
            *("root=/dev/ubda", "rw", "rootfstype=ext4", "con=null", "con0=null,fd:1", "ssl=null", f"ssl0=null,fd:{out}"),
            *(f"ssl1=null,fd:{err}", "selinux=0", "quiet", "systemd.show_status=auto", *words, *given.append.split()),
        ]

    def _disk(self) -> str:
        """What is written goes into the disk that is kept, made from the base where it is not there yet, else into a layer."""
        base = Path(self.options.base).resolve() if self.options.base else guest_folder() / "base.img"
        if not self.options.disk:
            return f"{self.folder}/layer,{base}"
        disk = Path(self.options.disk).resolve()
        if not disk.exists():
            part = disk.with_name(disk.name + ".part")
            subprocess.run(["cp", "--sparse=always", "--reflink=auto", base, part], check=True)
            part.rename(disk)
        return str(disk)

    def console(self) -> Path:
        """Where the kernel and systemd say what they do."""
        return Path(self.options.console) if self.options.console else self.folder / "console"

    def watch(self) -> int:
        """Passes on what the command says until it, the time or the machine ends; the exit status."""
        streams = {stream.source: stream for stream in (self.out, self.err)}
        while True:
            soon = self.began_s is None or self.cut_s is not None or self.gone_s is not None
            ready, _, _ = select.select(list(streams), [], [], LOOK_SOON_S if soon else LOOK_S)
            for source in ready:
                streams[source].pump()
            ended = self._ended(time.monotonic())
            if ended is not None:
                return ended
            if self.gone_s is not None:  # its pipes are at their end and would be told as ready for ever
                time.sleep(LOOK_SOON_S)

    def _ended(self, now_s: float) -> int | None:
        """The exit status once there is one."""
        self._note_the_beginning(now_s)
        if self.cut_s is not None and now_s >= self.cut_s:
            kill_all(self.process)
            say(f"power cut {time.monotonic() - (self.began_s or now_s):.2f} s after the command began")
            return CUT
        if self.out.status is not None and self.err.status is not None:
            return self.out.status
        if now_s - self.born_s > self.options.timeout:
            say(f"too long: {self.options.timeout:g} s ({'still booting' if self.began_s is None else 'the command was running'})")
            return TOO_LONG
        if self.process.poll() is None:
            return None
        self.gone_s = self.gone_s or now_s
        if now_s - self.gone_s < LAST_WORDS_S and not (self.out.is_empty() and self.err.is_empty()):
            return None
        say(f"the machine went away (status {self.process.returncode})")
        return NOT_BOOTED

    def _note_the_beginning(self, now_s: float) -> None:
        given = self.options
        if self.began_s is None and (self.folder / "control" / "started").exists():
            self.began_s = now_s
            if given.cut_after is not None and given.cut_on is None:
                self.cut_s = now_s + given.cut_after
        if given.cut_on is not None and self.cut_s is None and given.cut_on.encode() in self.out.tail:
            self.cut_s = now_s + (given.cut_after or 0)

    def off(self, status: int) -> None:
        """Waits for a disk that is kept to be left clean; says what the machine last said where it failed."""
        ended_s = time.monotonic()
        if self.options.disk and self.out.status is not None:
            try:
                self.process.wait(OFF_S_MAX)
            except subprocess.TimeoutExpired:
                say(f"no clean end within {OFF_S_MAX} s; killed")
        if status in (TOO_LONG, NOT_BOOTED) and self.out.status is None:
            lines = self.console().read_text("utf-8", "replace").splitlines()[-CONSOLE_LINES:]
            say("the end of its console:\n  " + "\n  ".join(lines))
        if self.options.times and self.began_s is not None:
            took = f"command {ended_s - self.began_s:.2f} s, off {time.monotonic() - ended_s:.2f} s"
            say(f"booted {self.began_s - self.born_s:.2f} s, {took}")


def say(text: str) -> None:
    """A word of the host's, apart from what the command says."""
    sys.stderr.write(f"guest: {text}\n")
    sys.stderr.flush()


def descendants(root: int) -> list[int]:
    """All processes under it: the machine leaves those of its own behind when it is killed."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError, ValueError, IndexError):
                parent = int((entry / "stat").read_bytes().rpartition(b")")[2].split()[1])
                children.setdefault(parent, []).append(int(entry.name))
    found, waiting = [], [root]
    while waiting:
        own = children.get(waiting.pop(), [])
        found += own
        waiting += own
    return found


def kill_all(machine: subprocess.Popen[bytes]) -> None:
    """The plug: the machine's whole group at once, then what is left of it."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(machine.pid, signal.SIGKILL)
    for _ in range(50):
        for process in descendants(os.getpid()):
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            return
        time.sleep(LOOK_SOON_S)


def parsed(arguments: list[str]) -> tuple[argparse.Namespace, list[str]]:
    """The options, and the command after `--`."""
    parser = argparse.ArgumentParser(
        prog="guest", usage="%(prog)s [options] -- COMMAND [ARGUMENT ...]", description=__doc__.splitlines()[0]
    )
    add = parser.add_argument
    add("--timeout", type=float, default=300, metavar="S", help="give up after so long, boot and all")
    add("--share", default=".", metavar="DIR", help="host folder to show (default: this one)")
    add("--scratch", metavar="DIR", help="host folder for results (default: one that is thrown away)")
    add("--base", metavar="IMG", help="root disk to begin with (default: the one that build has made)")
    add("--disk", metavar="IMG", help="keep the root disk here, made from the base if it is not there; else what is written is thrown away")
    add("--cut-after", type=float, metavar="S", help="cut the power so long after the command began")
    add("--cut-on", metavar="TEXT", help="cut it when this stands in the output (with --cut-after: so long after that)")
    add("--mem", default="768M", metavar="SIZE", help="memory (default 768M)")
    add("--cpu", type=int, metavar="N", help="processor of the host (default: one by random)")
    add("--console", metavar="FILE", help="keep what kernel and systemd say")
    add("--append", default="", metavar="WORDS", help="more words for the kernel's command line")
    add("--times", action="store_true", help="say how long boot and command took")
    if "--" not in arguments:
        parser.parse_args(arguments)
        parser.error("no command: it stands after --")
    at = arguments.index("--")
    options = parser.parse_args(arguments[:at])
    if not arguments[at + 1 :]:
        parser.error("no command after --")
    return options, arguments[at + 1 :]


def main(arguments: list[str]) -> int:
    """The exit status."""
    options, command = parsed(arguments)
    if not is_built():
        say(f"there is none in {guest_folder()}: run tests/guest/machine/build once, as root")
        return NOT_BOOTED
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)  # what the machine leaves behind comes to us, to be ended
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler)
    folder = Path(tempfile.mkdtemp(prefix="modicum-guest."))
    machine = Machine(options, folder)
    try:
        machine.start(command)
        status = machine.watch()
        machine.off(status)
    except KeyboardInterrupt:
        return 130
    else:
        return status
    finally:
        if hasattr(machine, "process"):
            kill_all(machine.process)
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
