"""YAML with JSON's scalar forms: the same values whoever reads it, and nothing but ``ConfigError`` for the rest."""

from __future__ import annotations

import contextlib
import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.vault import part
from verifier.appraise.plain import MAX_DEPTH
from verifier.appraise.text import read_documents
from verifier.formats.errors import ConfigError

ROOT = Path(__file__).resolve().parents[3]


def _yaml(text: str | bytes) -> list[Any]:
    data = text.encode() if isinstance(text, str) else text
    return [one.value for one in read_documents("f.yaml", data, json_form=False)]


def _json(text: str) -> list[Any]:
    return [one.value for one in read_documents("f.json", text.encode(), json_form=True)]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("true", True),
        ("false", False),
        ("null", None),
        ("0", 0),
        ("-7", -7),
        ("9007199254740991", 2**53 - 1),
        ("plain text", "plain text"),
        ("ab12", "ab12"),
        ("'yes'", "yes"),
        ('"2026-01-01"', "2026-01-01"),
        ('"0123"', "0123"),
        ("[1, a, {b: c}]", [1, "a", {"b": "c"}]),
        ("|\n  yes\n  no\n", "yes\nno\n"),
    ],
)
def test_scalar_forms_of_json_and_unmistakable_text_are_read(text: str, value: object) -> None:
    assert _yaml(f"a: {text}") == [{"a": value}]


@pytest.mark.parametrize(
    "text",
    [
        *("yes", "No", "ON", "off", "y", "n", "~", "Null", "TRUE", "", "=", "<<", ".inf", "-.INF", ".nan", "nan"),
        *(
            "012",
            "0x1f",
            "0o17",
            "0b1",
            "1_000",
            "+1",
            "-0",
            "1.0",
            "1e3",
            "12e03",
            ".5",
            "12:30:00",
            "9007199254740992",
        ),
        *("2026-01-01", "2026-01-01T00:00:00Z", "12ab", "1.2.3"),
    ],
)
def test_what_yaml_readers_disagree_about_must_be_quoted(text: str) -> None:
    with pytest.raises(ConfigError, match="in quotes"):
        _yaml(f"a: {text}\n")
    assert _yaml(f'a: "{text}"') == [{"a": text}]


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("a: &x 1", "anchor"),
        ("a: &x {b: 1}", "anchor"),
        ("a: *x", "alias"),
        ("a: !!str 1", "tag"),
        ("a: !local {b: 1}", "tag"),
        ("a: ! 1", "tag"),
        ("%YAML 1.1\n---\na: 1", "directive"),
        ("%TAG ! tag:x,2000:\n---\na: 1", "directive"),
        ("a: 1\na: 2", "a"),
        ("1: a", "key"),
        ("true: a", "key"),
        ("[a]: b", "key"),
        ("a: [", "YAML"),
        ("a: b: c", "YAML"),
        ("a: \x01", "YAML"),
        ("a: x\u2028y", "text"),
        ("\ufeffa: 1", "encoding"),
        (b"a: \xff", "encoding"),
        ("- a", "document"),
        ("a", "document"),
        ("", "document"),
        ("# nothing", "document"),
        ("a: " + "[" * 40, "nesting"),
    ],
)
def test_what_no_document_of_ours_needs_is_refused(text: str | bytes, key: str) -> None:
    with pytest.raises(ConfigError) as caught:
        _yaml(text)
    assert caught.value.key == key
    assert caught.value.where.startswith("f.yaml")


def test_error_names_file_line_key_got_and_want() -> None:
    with pytest.raises(ConfigError) as caught:
        _yaml("a: 1\nb:\n  c: yes\n")
    assert str(caught.value).startswith("f.yaml:3: scalar: got 'yes', want true, false, null")


def test_several_documents_are_numbered() -> None:
    found = read_documents("f.yaml", b"a: 1\n---\na: 2\n...\n---\na: 3\n", json_form=False)
    assert [(one.where, one.value) for one in found] == [
        ("f.yaml#1", {"a": 1}),
        ("f.yaml#2", {"a": 2}),
        ("f.yaml#3", {"a": 3}),
    ]


def test_json_holds_one_document_or_an_array() -> None:
    assert _json('{"a": 1}') == [{"a": 1}]
    assert _json('[{"a": 1}, {"a": -2}]') == [{"a": 1}, {"a": -2}]


@pytest.mark.parametrize(
    "text",
    [
        '{"a": 1, "a": 2}',
        '{"a": 1.0}',
        '{"a": 1e3}',
        '{"a": NaN}',
        '{"a": "\\ud800"}',
        '{"\\udfff": 1}',
        "[]",
        "1",
        "{",
        '{"a": 9007199254740992}',
        "[" * 100000,
        '{"a": ' * 20 + "1" + "}" * 20,
        '{"a": ' + "1" * 5000 + "}",
    ],
)
def test_json_is_as_narrow(text: str) -> None:
    with pytest.raises(ConfigError):
        _json(text)


@given(st.binary(max_size=200), st.booleans())
def test_any_bytes_give_documents_or_config_error(data: bytes, json_form: bool) -> None:  # noqa: FBT001
    with contextlib.suppress(ConfigError):
        read_documents("f", data, json_form=json_form)


_LETTERS = st.characters(max_codepoint=0xFFFF, exclude_characters="\x7f", exclude_categories=("Cs",))
_SCALARS = st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | st.text(_LETTERS, max_size=20)
_VALUES = st.recursive(
    _SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(_LETTERS, max_size=8), inner, max_size=4),
    max_leaves=12,
)


@given(st.dictionaries(st.text(_LETTERS, max_size=8), _VALUES, max_size=4))
def test_json_text_is_read_alike_as_json_and_as_yaml(value: dict[str, Any]) -> None:
    r"""JSON is YAML but for surrogate pairs in ``\u`` form and a bare DEL, which YAML does not know."""
    text = json.dumps(value)
    assert _json(text) == [value]
    assert _yaml(text) == [value]


@settings(max_examples=200)
@given(st.text(alphabet="ab:- \n[]{}#&*!|>'\"%@`,?~01.yn", max_size=60))
def test_any_yaml_text_gives_documents_or_config_error(text: str) -> None:
    with contextlib.suppress(ConfigError):
        for one in read_documents("f.yaml", text.encode(), json_form=False):
            json.dumps(one.value)


def test_depth_limit_is_where_it_is_said_to_be() -> None:
    inside = "[" * (MAX_DEPTH - 1) + "]" * (MAX_DEPTH - 1)
    assert _yaml(f"a: {inside}") == _json('{"a": ' + inside + "}")


def test_terraform_reads_the_same_values(tmp_path: Path) -> None:
    """Every document of ``policies/trust`` through Terraform's ``yamldecode``."""
    terraform = part("terraform")
    for file in sorted((ROOT / "policies" / "trust").glob("*.yaml")):
        ours = _yaml(file.read_bytes())
        for index, text in enumerate(file.read_text(encoding="utf-8").split("\n---\n")):
            (tmp_path / f"{file.stem}-{index}.yaml").write_text(text, encoding="utf-8")
        names = [f"{file.stem}-{index}.yaml" for index in range(len(ours))]
        listed = ", ".join(f'yamldecode(file("{name}"))' for name in names)
        done = subprocess.run(
            [terraform, "console"],
            input=f"jsonencode([{listed}])\n",
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        )
        assert json.loads(json.loads(done.stdout.strip().splitlines()[0])) == ours, file.name
