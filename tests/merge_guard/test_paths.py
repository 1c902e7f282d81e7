"""What a merge can do to paths: odd names, files for folders, links, modes, filters – taken back byte for byte."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.merge_guard.building import Repo, make
from tests.merge_guard.judging import act, judge, prove_mergeable
from tests.merge_guard.kinds import REFUSED, ROLLED_BACK
from tests.merge_guard.snapshot import take

Change = Callable[[Repo], None]


def files(*removed: str, **written: str) -> Change:
    """Remove paths and write others; `__` in a keyword stands for `/`."""

    def change(repo: Repo) -> None:
        for path in removed:
            repo("rm", "-r", "-q", "--", path)
        for path, content in written.items():
            repo.write(path.replace("__", "/"), content)

    return change


def link(path: str, to: str) -> Change:
    def change(repo: Repo) -> None:
        place = repo.top / path
        if place.exists() and not place.is_symlink():
            repo("rm", "-r", "-q", "--", path)
        place.unlink(missing_ok=True)
        place.parent.mkdir(exist_ok=True)
        place.symlink_to(to)

    return change


def mode(path: str) -> Change:
    return lambda repo: (repo.top / path).chmod(0o755)


def odd_names(repo: Repo) -> None:
    for name in (
        "grüße/naïve 文字.txt",
        "tab\there",
        "new\nline",
        'quo"te',
        " leading and trailing ",
        "-dash",
        "*.glob",
    ):
        repo.write(name, f"{name}\n")
    place = os.fsencode(repo.top) + b"/not-utf8-\xff\xfe"
    with open(place, "wb") as file:
        file.write(b"bytes\n")


def big(repo: Repo) -> None:
    repo.write("big.bin", b"\0" * 3_000_000)


START = {"a": "file a\n", "d/one": "1\n", "d/two": "2\n", "keep": "keep\n", "x/y/z": "deep\n"}
CHANGES: dict[str, Change] = {
    "odd names": odd_names,
    "file to folder": files("a", a__inner="now a folder\n"),
    "folder to file": files("d", d="now a file\n"),
    "deep folder to file": files("x", x="flat\n"),
    "file to link": link("a", "keep"),
    "folder to link": link("d", "x"),
    "link to nowhere": link("dangling", "no/such/thing"),
    "executable": mode("keep"),
    "case": files("keep", KEEP="other case\n"),
    "everything gone": files("a", "d", "x", "keep", only="one\n"),
    "empty file": files(empty=""),
    "big file": big,
    "rename": files("d/one", moved__one="1\n"),
}


def prepared(tmp_path: Path, program: str, change: Change, *, backwards: bool) -> Repo:
    """A repository whose topic makes the change; backwards: main has it and topic takes it back."""
    repo = make(tmp_path / "repo", program)
    repo.commit("Start", START)
    if backwards:
        change(repo)
        repo.commit("Changed before")
    repo("switch", "--quiet", "--create", "topic")
    if backwards:
        repo("rm", "-r", "-q", ".")
        repo("checkout", "--quiet", "HEAD~1", "--", ".")
    else:
        change(repo)
    repo.commit("Topic")
    repo("switch", "--quiet", "main")
    return repo


@pytest.mark.parametrize("backwards", [False, True], ids=["there", "back"])
@pytest.mark.parametrize("name", CHANGES)
def test_taken_back(tmp_path: Path, program: str, name: str, backwards: bool) -> None:
    repo = prepared(tmp_path, program, CHANGES[name], backwards=backwards)
    repo.write("untracked.txt", "The user's\n")
    pristine = take(repo)
    repo("merge", "--quiet", "--no-ff", "--no-edit", "topic")
    acted = act(repo)
    assert acted.outcome == ROLLED_BACK, acted.sentence
    judge(repo, acted, pristine)
    assert take(repo).files == pristine.files and take(repo).index == pristine.index
    prove_mergeable(repo, acted, "topic")


CLASHES: dict[str, tuple[str, Change]] = {
    "a file of the user's in a folder that was a file": ("file to folder", files(a__mine="The user's\n")),
    "an ignored one there": ("file to folder", files(a__mine_log="The user's\n")),
    "an edit in a folder that was a file": ("file to folder", files(a__inner="Edited\n")),
    "an edit in a file that was a folder": ("folder to file", files(d="Edited\n")),
    "a link in a folder that was a file": ("file to folder", link("a/link", "keep")),
    "an edit in a program": ("executable", files(keep="Edited\n")),
    "a link of the user's instead of a file": ("rename", link("moved", "x")),
    "a link with another goal": ("file to link", link("a", "x")),
    "a file of an old name": ("rename", files(d__one="The user's\n")),
    "another mode": ("big file", mode("big.bin")),
}


@pytest.mark.parametrize("name", CLASHES)
def test_refused(tmp_path: Path, program: str, name: str) -> None:
    change, clash = CLASHES[name]
    repo = prepared(tmp_path, program, CHANGES[change], backwards=False)
    repo.write(".git/info/exclude", "*_log\n")
    pristine = take(repo)
    repo("merge", "--quiet", "--no-ff", "--no-edit", "topic")
    if name == "a link of the user's instead of a file":
        (repo.top / "moved/one").rename(repo.top / "x/one")
        (repo.top / "moved").rmdir()
    clash(repo)
    acted = act(repo)
    assert acted.outcome == REFUSED, acted.sentence
    assert "touch your work" in acted.sentence
    judge(repo, acted, pristine)


@pytest.mark.parametrize("edit", [False, True], ids=["as checked out", "edited"])
def test_line_endings_and_filters(tmp_path: Path, program: str, edit: bool) -> None:
    repo = make(tmp_path / "repo", program)
    repo("config", "filter.shout.clean", "tr A-Z a-z")
    repo("config", "filter.shout.smudge", "tr a-z A-Z")
    attributes = "*.txt text eol=crlf\n*.shout filter=shout\n"
    repo.commit("Start", {".gitattributes": attributes, "one.txt": "1\r\n", "loud.shout": "QUIET\n"})
    repo("switch", "--quiet", "--create", "topic")
    repo.commit("Topic", {"one.txt": "1\r\n2\r\n", "loud.shout": "NOT QUIET\n", "new.txt": "new\r\n"})
    repo("switch", "--quiet", "main")
    pristine = take(repo)
    assert pristine.files["loud.shout"] == ("file", b"QUIET\n")
    repo("merge", "--quiet", "--no-ff", "--no-edit", "topic")
    if edit:
        # For git it is unchanged: the filter makes the same of it. The bytes are the user's all the same.
        repo.write("loud.shout", "Not Quiet\n")
        repo("update-index", "-q", "--refresh", ok=(0, 1))
        assert repo("diff", "--stat") == ""
    acted = act(repo)
    assert acted.outcome == (REFUSED if edit else ROLLED_BACK), acted.sentence
    judge(repo, acted, pristine)


def test_attributes_that_the_merge_changed(tmp_path: Path, program: str) -> None:
    repo = make(tmp_path / "repo", program)
    repo.commit("Start", {"one.txt": "1\n", "two.txt": "2\n"})
    repo("switch", "--quiet", "--create", "topic")
    repo.write(".gitattributes", "*.txt text eol=crlf\n")
    repo.commit("Topic", {"one.txt": "1\r\n1\r\n"})
    repo("switch", "--quiet", "main")
    pristine = take(repo)
    repo("merge", "--quiet", "--no-ff", "--no-edit", "topic")
    assert (repo.top / "one.txt").read_bytes() == b"1\r\n1\r\n"
    acted = act(repo)
    assert acted.outcome == ROLLED_BACK, acted.sentence
    judge(repo, acted, pristine)


def test_a_submodule_that_came_and_was_checked_out(base: Repo, tmp_path: Path) -> None:
    base("switch", "--quiet", "--create", "vendored")
    base("submodule", "--quiet", "add", Repo(base.top / "lib")("remote", "get-url", "origin"), "vendor")
    base.commit("Vendor")
    base("switch", "--quiet", "main")
    base("merge", "--quiet", "--no-ff", "--no-edit", "vendored")
    base("submodule", "--quiet", "update", "--init")
    base.write("vendor/mine.txt", "The user's\n")
    acted = act(base)
    assert acted.outcome == ROLLED_BACK, acted.sentence
    assert (base.top / "vendor/mine.txt").read_text() == "The user's\n"
    assert (base.top / "vendor/lib.py").exists()


def submodule_for_a_folder(tmp_path: Path, program: str) -> Repo:
    """A repository in which a merge has put a submodule in the place of a folder; it is not checked out yet."""
    library = make(tmp_path / "library", program)
    library.commit("One", {"lib.py": "one\n", "x.log": "the library's\n"})
    repo = make(tmp_path / "repo", program)
    repo.write("vendor/x.log", "old\n")
    repo("add", "--force", "vendor")
    repo.commit("Start", {".gitignore": "*.log\n"})
    repo("switch", "--quiet", "--create", "topic")
    repo("rm", "-r", "-q", "vendor")
    repo("submodule", "--quiet", "add", str(library.top), "vendor")
    repo.commit("Topic")
    shutil.rmtree(repo.top / "vendor")
    repo("switch", "--quiet", "main")
    repo("reset", "--quiet", "--hard")
    repo("merge", "--quiet", "--no-ff", "--no-edit", "topic")
    return repo


def edited_checkout(repo: Repo) -> None:
    repo("submodule", "--quiet", "update", "--init")
    repo.write("vendor/x.log", "The user's\n")


def instead_of_it(make_it: Change) -> Change:
    def change(repo: Repo) -> None:
        (repo.top / "vendor").rmdir()
        make_it(repo)

    return change


IN_PLACE_OF_A_SUBMODULE: dict[str, Change] = {
    "edited in the checkout, and ignored": edited_checkout,
    "a file": instead_of_it(files(vendor="The user's\n")),
    "a link": instead_of_it(link("vendor", "elsewhere")),
}


@pytest.mark.parametrize("name", IN_PLACE_OF_A_SUBMODULE)
def test_what_stands_in_the_place_of_a_submodule_stays(tmp_path: Path, program: str, name: str) -> None:
    repo = submodule_for_a_folder(tmp_path, program)
    IN_PLACE_OF_A_SUBMODULE[name](repo)
    pristine = take(repo)
    acted = act(repo)
    assert acted.outcome == REFUSED, acted.sentence
    judge(repo, acted, pristine)


def test_a_submodule_that_is_not_checked_out_gives_its_folder_back(tmp_path: Path, program: str) -> None:
    repo = submodule_for_a_folder(tmp_path, program)
    acted = act(repo)
    assert acted.outcome == ROLLED_BACK, acted.sentence
    assert (repo.top / "vendor/x.log").read_text() == "old\n" and repo("status", "--porcelain") == ""
