"""Every policy in the documentation, whole or in part, is one that `sbc run` would take."""

from pathlib import Path

import pytest
import yaml

from sbc.policy.load import Source, parse_policy
from sbc.policy.problems import PolicyError
from sbc.testing.pages import Block, blocks

ROOT = Path(__file__).resolve().parents[3]
PAGES = [ROOT / "README.md", ROOT / "policies" / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
WHOLE = {"interfaces", "routes"}  # what has these is a policy by itself
# Warnings that pages may have: passwords that are not there, names that no DNS of a test knows.
ALLOWED = ("password", "cannot be read", "resolve", "emergency: true")
NOT_POLICIES = {"howto/monitoring.md": 1}  # Prometheus' configuration


def _policies():
    for page in PAGES:
        for block in blocks(page.read_text("utf-8")):
            if block.language in ("yaml", "yml") and "not a policy" not in block.marks and "file" not in block.marks:
                yield pytest.param(page, block, id=f"{page.relative_to(ROOT)}:{block.line}")


def _files():
    """The files that a page has its reader write, as one policy: the last text of each."""
    for page in PAGES:
        found = {
            block.marks["file"]: block.text
            for block in blocks(page.read_text("utf-8"))
            if block.marks.get("file", "").endswith(".yaml")
        }
        if found:
            yield pytest.param(found, id=str(page.relative_to(ROOT)))


def _merged(page: Path, block: Block) -> str:
    if "onto" not in block.marks:
        return block.text
    policy = yaml.load(_base(page, block.marks["onto"]), yaml.BaseLoader)
    for path in filter(None, (key.strip() for key in block.marks.get("without", "").split(","))):
        *place, name = path.split(".")
        del _at(policy, place)[name]
    _put(
        _at(policy, block.marks["at"].split(".") if "at" in block.marks else []), yaml.load(block.text, yaml.BaseLoader)
    )
    return yaml.safe_dump(policy, sort_keys=False, allow_unicode=True)


def _base(page: Path, name: str) -> str:
    if name == "page":
        found = [one.text for one in blocks(page.read_text("utf-8")) if one.language == "yaml"]
        return next(text for text in found if set(yaml.load(text, yaml.BaseLoader)) >= WHOLE)
    path = ROOT / "policies" / name
    files = sorted(path.glob("*.yaml")) if path.is_dir() else [path]
    return "\n".join(file.read_text("utf-8") for file in files)


def _at(policy, place):
    for name in place:
        policy = policy.setdefault(name, {})
    return policy


def _put(base, more):
    for key, value in more.items():
        if isinstance(value, dict) and isinstance(base.get(key), dict):
            _put(base[key], value)
        elif key == "routes":
            base[key] = [*value, *base.get(key, [])]
        else:
            base[key] = value


def _complaints(policy):
    return [str(warning) for warning in policy.warnings if not any(words in str(warning) for words in ALLOWED)]


@pytest.mark.parametrize(("page", "block"), list(_policies()))
def test_a_policy_of_a_page_is_read(page, block):
    source = Source(f"{page.name}:{block.line}", _merged(page, block).encode())
    if "error" in block.marks:
        with pytest.raises(PolicyError, match=block.marks["error"]):
            parse_policy([source])
        return
    assert _complaints(parse_policy([source])) == []


@pytest.mark.parametrize("files", list(_files()))
def test_the_files_of_a_page_are_one_policy(files):
    assert _complaints(parse_policy([Source(name, text.encode()) for name, text in files.items()])) == []


def test_what_is_no_policy_is_counted():
    found = {
        str(page.relative_to(ROOT / "docs")): count
        for page in PAGES
        if (count := sum("not a policy" in block.marks for block in blocks(page.read_text("utf-8"))))
    }
    assert found == NOT_POLICIES
