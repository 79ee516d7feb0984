"""Every code block of README and documentation is run, or checked where running it would take minutes."""

from __future__ import annotations

import contextlib
import io
import os
import re
import shutil
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from hwgen.config import make_config
from hwgen.openhls._csim import ap_types_folder
from hwgen.openhls._ports_file import load_ports
from tests.docs.blocks import ROOT, Block, blocks_of, check_cpp, check_shell
from tests.equivalence.conftest import run_cli
from tests.pymodel.importers import peers

pytestmark = [pytest.mark.slow, pytest.mark.rtl, pytest.mark.xdist_group("docs_blocks")]  # the build is made once

PAGES = (
    "README.md",
    "CONTRIBUTING.md",
    "hls/README.md",
    *(f"docs/{p.name}" for p in sorted((ROOT / "docs").glob("*.md"))),
)
#: The digits example, small: what `make demo` leaves in `out/digits`.
TINY = {
    "train.epochs": 3, "train.qat_epochs": 1, "train.prune.edges": 60, "hardware.synth": "false", "hardware.vectors": 50,
    "hardware.rtl_vectors": 300,
}  # fmt: skip
#: Where a configuration in a page is a part of one.
REST: dict[str, Any] = {"data": {"source": "digits"}, "model": {"widths": [64, 8, 10]}}
#: Names that a page takes for granted.
GIVEN: dict[str, Callable[[], dict[str, Any]]] = {
    "docs/importing.md": lambda: {"peer": peers.chain(lambda n, m: peers.KANLinear(n, m), [3, 4, 2])},
}
#: What the blocks of a page may refuse to be checked for.
REASONS = re.compile(r"takes minutes|(is|are) yours|runs it|calls, with arguments|another training|vendor's tool")


@pytest.fixture(scope="session")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder `out/digits` of a quick build of `examples/digits.yaml`."""
    out = tmp_path_factory.mktemp("docs") / "out" / "digits"
    options = [part for key, value in TINY.items() for part in ("--set", f"{key}={value}")]
    result = run_cli("build", ROOT / "examples" / "digits.yaml", "--out", out, "--quiet", *options)
    assert result.returncode == 0, result.stderr
    return out


@pytest.fixture
def place(digits: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with what a page names: the build, the examples, the C++ library."""
    (tmp_path / "out").mkdir()
    shutil.copytree(digits, tmp_path / "out" / "digits")
    shutil.copytree(ROOT / "examples", tmp_path / "examples", ignore=shutil.ignore_patterns("notebooks"))
    shutil.copytree(ROOT / "hls", tmp_path / "hls", ignore=shutil.ignore_patterns("bin"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


class Player:
    """Runs the blocks of one page, in order: Python in one namespace, the shell in one folder."""

    def __init__(self, page: str, place: Path) -> None:
        self.names: dict[str, Any] = GIVEN[page]() if page in GIVEN else {}
        self.place = place
        self.folder = place
        self.printed = ""

    def python(self, block: Block) -> None:
        """Execute a Python block."""
        code = compile("\n" * (block.line - 1) + block.code, block.page, "exec")
        out = io.StringIO()
        with contextlib.redirect_stdout(out), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # hls4ml's, while it is imported
            exec(code, self.names)
        self.printed = out.getvalue()

    def sh(self, block: Block) -> None:
        """Run a shell block where the one before it ended, with this environment's programs first on PATH."""
        path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
        environment = {**os.environ, "PATH": path, "PYTHON": sys.executable, "COLUMNS": "200"}
        script = f"set -e\n{block.code}\npwd > {self.place}/.folder\n"
        done = subprocess.run(
            ["bash", "-c", script], cwd=self.folder, env=environment, capture_output=True, text=True, timeout=300
        )
        assert done.returncode == 0, f"{block}: {done.stdout}{done.stderr}"
        self.folder = Path((self.place / ".folder").read_text().strip())
        self.printed = done.stdout + done.stderr

    def text(self, block: Block) -> None:
        """Expect every line of the block in what was printed last."""
        for line in block.code.splitlines():
            assert line.strip() in self.printed, f"{block}: {line!r} is not in\n{self.printed}"


def check_yaml(block: Block, place: Path) -> None:
    """Expect a configuration, a part of one, or an interface file."""
    document = yaml.safe_load(block.code)
    if "ports" in document:
        (place / "ports.yaml").write_text(block.code)
        load_ports(place / "ports.yaml")
        return
    make_config({**REST, **document}, place)


def check_compiles(block: Block, place: Path) -> None:
    """Compile C++ without running it; structs of a config that the text leaves to the reader may be missing."""
    opaque = sorted(
        set(re.findall(r"typedef (layers_\d+_\w+) \w+;", block.code)) - set(re.findall(r"struct (\w+)", block.code))
    )
    source = '#include "kan4ml/kan4ml.h"\n' + "".join(f"struct {name} {{}};\n" for name in opaque) + block.code
    (place / "block.cpp").write_text(source)
    command = [
        "g++",
        "-std=c++11",
        "-fsyntax-only",
        "-w",
        "-I",
        str(ROOT / "hls"),
        "-I",
        str(ap_types_folder()),
        "block.cpp",
    ]
    done = subprocess.run(command, cwd=place, capture_output=True, text=True)
    assert done.returncode == 0, f"{block}: {done.stderr}"


@pytest.mark.parametrize("page", PAGES)
def test_every_block_runs_or_is_checked(page: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    blocks = blocks_of(page, (ROOT / page).read_text(encoding="utf-8"))
    runs = any(block.language in ("python", "sh") and not block.mark for block in blocks)
    player = Player(page, request.getfixturevalue("place") if runs else tmp_path)
    torch.manual_seed(0)
    for block in blocks:
        if block.mark in ("not run", "shown"):
            assert REASONS.search(block.reason), f"{block}: {block.reason!r} is no reason"
        if block.mark == "file":
            (player.place / block.reason).write_text(block.code, encoding="utf-8")
        if block.language == "python" and block.mark == "not run":
            compile(block.code, str(block), "exec")
        elif block.language == "sh" and block.mark == "not run":
            assert check_shell(block) > 0
        elif block.language == "cpp" and block.mark == "not run":
            assert check_cpp(block) > 0
        elif block.mark == "shown" or block.language == "none":
            continue
        elif block.language == "yaml":
            check_yaml(block, player.place)
        elif block.language == "cpp":
            check_compiles(block, player.place)
        else:
            getattr(player, block.language)(block)


def test_the_readme_has_the_two_commands_and_stays_short() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert len(text.splitlines()) < 200
    assert "make demo" in blocks_of("README.md", text)[0].code
    assert "make test" in blocks_of("README.md", text)[0].code
    assert "![" in text


def test_pages_link_to_files_that_exist() -> None:
    for page in (*PAGES, "CHANGELOG.md"):
        for target in re.findall(r"\]\(([^)#:\s]+)(?:#[^)]*)?\)", (ROOT / page).read_text(encoding="utf-8")):
            if not target.startswith("generated/"):
                assert ((ROOT / page).parent / target).exists(), f"{page} links to {target}"


def test_pages_name_files_that_exist() -> None:
    """A path in backticks that starts with a folder of the project is there, or is what a command writes."""
    tops = {"bench", "docs", "examples", "hls", "hwgen", "pymodel", "sim", "tests"}
    for page in PAGES:
        for path in re.findall(r"`((?:\w+/)+[\w.*-]*)`", (ROOT / page).read_text(encoding="utf-8")):
            top = path.split("/")[0]
            if top in tops and "NAME" not in path and "firmware" not in path:
                assert list(ROOT.glob(path.rstrip("/"))), f"{page} names {path}"


def make(language: str, code: str, mark: str = "", reason: str = "") -> Block:
    return Block("page.md", 1, language, code, mark, reason)


@pytest.mark.parametrize(
    ("code", "problem"),
    [
        ("kan4ml build a.yaml --outt b\n", "No such option"),
        ("kan4ml bild a.yaml\n", "no command 'bild'"),
        ("kan4ml prove\n", "Missing argument"),
        ("make tset\n", "no target 'tset'"),
        ("pip install 'kan4ml[fpga]'\n", "no extra 'fpga'"),
        ("python bench/absent.py\n", r"there is no bench/absent\.py"),
        ("rm -rf out\n", "no command that can be checked"),
    ],
)
def test_a_wrong_command_is_found_without_running_it(code: str, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        check_shell(make("sh", code))


def test_what_is_wrong_in_a_block_is_found(tmp_path: Path) -> None:
    player = Player("page.md", tmp_path)
    with pytest.raises(ValueError, match="'kan_dens'"):
        check_cpp(make("cpp", "kan4ml::kan_dens<int>(x);"))
    with pytest.raises(AssertionError):
        check_compiles(make("cpp", "struct a { static const unsigned n_in = ; };"), tmp_path)
    with pytest.raises(NameError):
        player.python(make("python", "print(undefined_name)"))
    player.python(make("python", "print('one\\ntwo')"))
    player.text(make("text", "two\n"))
    with pytest.raises(AssertionError, match="three"):
        player.text(make("text", "three\n"))
    with pytest.raises(AssertionError):
        player.sh(make("sh", "false\necho after\n"))
    with pytest.raises(ValueError, match="a block is one of"):
        blocks_of("page.md", "```\nx\n```\n")
    with pytest.raises(ValueError, match="never closed"):
        blocks_of("page.md", "```sh\nx\n")
