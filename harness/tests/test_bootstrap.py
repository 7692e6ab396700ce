"""ci/run and its shell parts: what they say and do on machines that lack something. Nothing is installed here."""

from __future__ import annotations

import shlex
import shutil
import sys
from pathlib import Path

import pytest

from harness.process import PIPE, Completed, run, spawn, wait

ROOT = Path(__file__).resolve().parents[2]
BOOTSTRAP, DOCTOR = (shlex.quote(f"{ROOT}/ci/{name}.sh") for name in ("bootstrap", "doctor"))
TOOLS = ("sh", "sed", "uname", "id", "cksum", "cut", "date", "tail", "mkdir", "rm", "ln", "flock", "env", "touch")


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


class Machine:
    """A machine made up of a few directories: a Debian with apt's lists, without root, without sudo, lacking all."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.bin = directory / "bin"
        self.lists = directory / "lists"
        self.checkout = directory / "a checkout é"
        self.log = directory / "log"
        for path in (self.bin, self.lists, self.checkout, directory / "home"):
            path.mkdir()
        for tool in (*TOOLS, "chmod", "setpriv"):
            found = shutil.which(tool)
            assert found is not None
            (self.bin / tool).symlink_to(found)
        (self.lists / "some_main_binary-amd64_Packages").touch()
        (self.checkout / "pyproject.toml").write_text("[project]\n")
        self.log.touch()
        self.is_called("debian", "", "Debian GNU/Linux 13 (trixie)")
        self.program("id", "echo 1000")

    def is_called(self, name: str, like: str, pretty: str) -> None:
        text = f'ID={name}\nID_LIKE="{like}"\nPRETTY_NAME="{pretty}"\n'
        (self.directory / "os-release").write_text(text)

    def program(self, name: str, script: str) -> None:
        path = self.bin / name
        path.unlink(missing_ok=True)
        path.write_text(f"#!{shutil.which('sh')}\n{script}\n")
        path.chmod(0o755)

    def script(self, script: str) -> list[str]:
        """The command line for `script` with ci/bootstrap.sh sourced, and its needs cut down to two programs."""
        lines = [
            f"set -eu; root={shlex.quote(str(self.checkout))}; . {BOOTSTRAP}; find_cache",
            f"programs={self.directory}/programs os_release={self.directory}/os-release apt_lists={self.lists}",
            "needs() { echo run program first one f-one a-one s-one; echo run program second two f-two a-two s-two; }",
            f'fill_venv() {{ echo fill >>{self.log}; mkdir -p "$venv/bin"; touch "$venv/bin/python"; '
            'chmod +x "$venv/bin/python"; }',
            script,
        ]
        return [str(self.bin / "sh"), "-c", "\n".join(lines)]

    @property
    def environment(self) -> dict[str, str]:
        return {"PATH": str(self.bin), "HOME": str(self.directory / "home"), "LC_ALL": "C", "LOG": str(self.log)}

    def run(self, script: str) -> Completed:
        return run(self.script(script), timeout=30, environment=self.environment)

    def has(self, *programs: str) -> None:
        (self.directory / "programs").mkdir(exist_ok=True)
        for name in programs:
            path = self.directory / "programs" / name
            path.touch()
            path.chmod(0o755)


def test_without_root_and_sudo_the_command_line_is_said(machine: Machine) -> None:
    machine.has("second")
    done = machine.run("provide run")
    assert done.exit_status == 1
    assert done.stdout == ""
    assert done.stderr == "ci/run: lacking: first. Run as root: apt-get install --no-install-recommends one\n"


def test_empty_package_lists_are_part_of_what_is_lacking(machine: Machine) -> None:
    for file in machine.lists.iterdir():
        file.unlink()
    machine.has("first", "second")
    done = machine.run("needs() { echo 'run lists apt - - - -'; }; provide run")
    assert done.exit_status == 1
    assert done.stderr == "ci/run: lacking: apt's package lists. Run as root: apt-get update\n"


@pytest.mark.parametrize(
    ("name", "like", "pretty", "command"),
    [
        ("fedora", "", "Fedora Linux 41", "dnf install f-one f-two"),
        ("rocky", "rhel centos fedora", "Rocky Linux 9.4", "dnf install f-one f-two"),
        ("arch", "", "Arch Linux", "pacman -S a-one a-two"),
        ("opensuse-leap", "suse opensuse", "openSUSE Leap 15.6", "zypper install s-one s-two"),
        ("void", "", "Void", "install what Debian calls one two"),
    ],
)
def test_other_distributions_are_told_what_to_install(
    machine: Machine, name: str, like: str, pretty: str, command: str
) -> None:
    machine.is_called(name, like, pretty)
    machine.program("id", "echo 0")
    done = machine.run("provide run")
    assert done.exit_status == 1
    assert "lacking: first, second" in done.stderr
    assert f"this is {pretty}" in done.stderr
    assert "not verified" in done.stderr
    assert done.stderr.rstrip().endswith(command)


def test_stale_package_lists_are_read_anew(machine: Machine) -> None:
    # the mirror has the package only once the lists are new
    machine.program("id", "echo 0")
    machine.program(
        "apt-get",
        f"""echo "$@" >>$LOG
case "$*" in
*update) touch {machine.directory}/new ;;
*) [ -e {machine.directory}/new ] || {{ echo 'E: 404 Not Found'; exit 100; }}; """
        f"""ln -s {machine.bin}/sh {machine.directory}/programs/first ;;
esac""",
    )
    machine.has("second")
    done = machine.run("provide run")
    assert done.exit_status == 0, done.stderr
    calls = [line.split("--no-install-recommends ")[1] for line in machine.log.read_text().splitlines() if "-q" in line]
    assert calls == ["install one", "update", "install one"]
    assert "installing 1 packages (one) ... failed" in done.stderr
    assert "404 Not Found" in done.stderr


def test_an_installation_that_leaves_something_lacking_is_a_failure(machine: Machine) -> None:
    machine.program("sudo", 'shift; exec "$@"')
    machine.program("true", "")
    machine.program("apt-get", 'echo "$@" >>$LOG')
    machine.has("second")
    done = machine.run("provide run")
    assert done.exit_status == 1
    assert done.stderr.rstrip().endswith("still lacking after the installation: first")


def test_an_old_python_is_named(machine: Machine) -> None:
    machine.program("python3", "echo 3.9.2")
    machine.has("first", "second")
    done = machine.run(f"system_python={machine.bin}/python3; provide run")
    assert done.exit_status == 1
    assert "Python 3.11 or newer is needed" in done.stderr
    assert "is 3.9.2" in done.stderr


MAKE = 'python_version=3.13.5; find_venv || make_venv; echo "$venv"'


def test_the_environment_is_made_once(machine: Machine) -> None:
    first, second = machine.run(MAKE), machine.run(MAKE)
    assert first.stdout == second.stdout == f"{machine.checkout}/.venv\n"
    assert "installing Python packages" in first.stderr
    assert second.stderr == ""
    assert machine.log.read_text() == "fill\n"


@pytest.mark.parametrize("change", ["pyproject", "python", "place"])
def test_the_environment_is_made_anew_when_what_it_was_made_for_changes(machine: Machine, change: str) -> None:
    machine.run(MAKE)
    make = MAKE
    if change == "pyproject":
        (machine.checkout / "pyproject.toml").write_text("[project]\nname = 'other'\n")
    elif change == "python":
        make = MAKE.replace("3.13.5", "3.14.0")
    else:
        machine.checkout = machine.checkout.rename(machine.directory / "elsewhere")
    assert machine.run(make).exit_status == 0
    assert machine.log.read_text() == "fill\nfill\n"


def test_an_environment_whose_making_was_killed_is_made_anew(machine: Machine) -> None:
    killed = machine.run('fill_venv() { mkdir "$venv/bin"; touch "$venv/bin/half"; kill -9 $$ 0; }\n' + MAKE)
    assert killed.exit_status == -9
    assert (machine.checkout / ".venv/bin/half").exists()
    done = machine.run(MAKE)
    assert done.exit_status == 0, done.stderr
    assert not (machine.checkout / ".venv/bin/half").exists()


def test_an_environment_that_cannot_be_filled_is_no_environment(machine: Machine) -> None:
    failed = machine.run("fill_venv() { echo 'no such package'; return 1; }\n" + MAKE)
    assert failed.exit_status == 1
    assert "no such package" in failed.stderr
    assert machine.run("python_version=3.13.5; find_venv").exit_status == 1


def test_parallel_runs_make_one_environment(machine: Machine) -> None:
    command = machine.script(MAKE)
    children = [spawn(command, environment=machine.environment, stderr=PIPE) for _ in range(4)]
    for child in children:
        child.communicate(timeout=30)
        assert wait(child, "ci/bootstrap.sh", timeout=30) == 0
    assert machine.log.read_text() == "fill\n"


def test_a_relative_cache_is_made_absolute(machine: Machine) -> None:
    done = machine.run("cd /usr; CHAINPROOF_CACHE=tmp/x; find_cache; echo $CHAINPROOF_CACHE")
    assert done.stdout == "/usr/tmp/x\n"


def test_the_doctor_needs_no_python(machine: Machine) -> None:
    machine.has("first")
    done = machine.run(
        f"system_python=/nowhere/python3; . {DOCTOR};"
        " needs() { echo venv import libvirt a b c d; echo run program second two b c d; }; doctor"
    )
    assert done.exit_status == 1
    assert done.stderr == ""
    lines = dict(line.split(maxsplit=1) for line in done.stdout.splitlines())
    assert lines["distribution"].startswith("Debian GNU/Linux 13 (trixie)")
    assert lines["Python"] == "not installed (/nowhere/python3)"
    assert lines["missing"] == "libvirt of Python, second"
    assert lines["verdict"] == "a run is not possible as things are"


def test_every_need_has_a_name_on_every_distribution() -> None:
    table = run(["sh", "-c", f". {BOOTSTRAP}; needs"], timeout=30).check().stdout
    rows = [line.split() for line in table.splitlines()]
    assert rows
    assert {len(row) for row in rows} == {7}
    assert {row[0] for row in rows} == {"venv", "unit", "run", "trees", "clients"}
    assert {row[1] for row in rows} == {"import", "program", "library", "lists", "keyring"}


def test_a_verb_that_is_not_there_is_a_usage_error() -> None:
    done = run([str(ROOT / "ci/run"), "frobnicate"], timeout=30)
    assert done.exit_status == 2
    assert done.stdout == ""
    assert done.stderr.startswith("ci/run: there is no verb frobnicate\nusage: ci/run VERB")


def test_no_verb_is_a_usage_error_and_help_is_none() -> None:
    bare, asked = run([str(ROOT / "ci/run")], timeout=30), run([str(ROOT / "ci/run"), "help"], timeout=30)
    assert (bare.exit_status, asked.exit_status) == (2, 0)
    assert bare.stderr == asked.stdout
    assert (bare.stdout, asked.stderr) == ("", "")


def test_a_wrong_option_for_pytest_is_a_usage_error_here_too() -> None:
    command = [sys.executable, "-m", "harness.run", "unit", "--no-such-option"]
    done = run(command, timeout=60, directory=ROOT)
    assert done.exit_status == 2
    assert "--no-such-option" in done.stderr


def test_without_home_the_cache_is_where_the_user_database_says(machine: Machine) -> None:
    machine.program("getent", "echo user:x:1000:1000::/somewhere/else:/bin/sh")
    done = run(machine.script("echo $cache"), timeout=30, environment={"PATH": str(machine.bin)})
    assert done.stdout == "/somewhere/else/.cache/chainproof\n", done.stderr


def test_without_any_home_a_cache_is_asked_for(machine: Machine) -> None:
    machine.program("getent", "exit 2")
    done = run(machine.script("echo $cache"), timeout=30, environment={"PATH": str(machine.bin)})
    assert (done.exit_status, done.stdout) == (1, "")
    assert done.stderr == "ci/run: there is no home directory: set CHAINPROOF_CACHE\n"
