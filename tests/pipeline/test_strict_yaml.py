"""YAML is read without surprises, and what is written is read back as it was."""

import re

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from pipeline.config.strict_yaml import MAX_BYTES, MAX_VALUES, read_scalar, read_yaml, write_yaml
from pipeline.errors import ConfigError


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-4", 1e-4),  # a text in PyYAML
        ("1E5", 1e5),
        ("-1.5e+3", -1500.0),
        (".5", 0.5),
        ("5.", 5.0),
        ("12", 12),
        ("-7", -7),
        ("+7", 7),
        ("0", 0),
        ("0.5", 0.5),
        ("true", True),
        ("false", False),
        ("null", None),
        ("~", None),
        ("", None),
        # texts that PyYAML takes for something else
        ("on", "on"),
        ("off", "off"),
        ("yes", "yes"),
        ("no", "no"),
        ("True", "True"),
        ("Null", "Null"),
        ("1_000", "1_000"),
        ("0x1F", "0x1F"),
        ("1:30", "1:30"),
        ("2024-01-01", "2024-01-01"),
        ("=", "="),
        # texts for everybody
        ("e5", "e5"),
        ("1e", "1e"),
        ("inf", "inf"),
        ("nan", "nan"),
        ("192.168.0.1", "192.168.0.1"),
    ],
)
def test_a_scalar_means_what_it_looks_like(text: str, value: object) -> None:
    read = read_yaml(f"key: {text}", "graph.yaml").data["key"]
    assert read == value
    assert type(read) is type(value)


@pytest.mark.parametrize("text", ["010", "true", "null", "1e-4", ".inf", "~", "5"])
def test_whatever_is_quoted_is_a_text(text: str) -> None:
    assert read_yaml(f"'{text}'", "graph.yaml").data == text
    assert read_yaml(f'"{text}"', "graph.yaml").data == text


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("010", "010 has a leading zero: write 10, or '010' for a text"),
        ("-007", "-007 has a leading zero: write -7, or '-007' for a text"),
        ("09", "09 has a leading zero: write 9, or '09' for a text"),
        (".inf", ".inf is not a finite number: write '.inf' for a text"),
        ("-.INF", "-.INF is not a finite number: write '-.INF' for a text"),
        (".nan", ".nan is not a finite number: write '.nan' for a text"),
        ("1e999", "1e999 is not a finite number: write '1e999' for a text"),
        ("1" * 5000, "a number of 5000 digits: quote it for a text"),
        ("0" * 31, "a number of 31 digits: quote it for a text"),
        (r'"\ud800"', "half of a surrogate pair is not a character"),
    ],
)
def test_a_scalar_that_could_mean_two_things_is_refused(text: str, problem: str) -> None:
    (finding,) = read_yaml(f"a: 1\nb: {text}", "graph.yaml").findings
    assert (finding.path, finding.line, finding.text) == (("b",), 2, problem)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("a: {b: 1,\n b: 2}", (("a", "b"), 2, "given twice, first in line 1")),
        ("a: 1\n'a': 2", (("a",), 2, "given twice, first in line 1")),
        ("5: x", ((), 1, "the key 5 is no text: write '5'")),
        ("true: x", ((), 1, "the key true is no text: write 'true'")),
        ("~: x", ((), 1, "the key ~ is no text: write '~'")),
        ("010: x", ((), 1, "the key 010 is no text: write '010'")),
        ("? [a, b]\n: x", ((), 1, "a key must be a text, not a list or a mapping")),
        (
            "a: &a {x: 1}\nb:\n  <<: *a",
            (("b",), 3, "merge keys (<<) are not supported: repeat the keys"),
        ),
    ],
)
def test_a_key_that_could_mean_two_things_is_refused(
    text: str, problem: tuple[object, ...]
) -> None:
    (finding,) = read_yaml(text, "graph.yaml").findings
    assert (finding.path, finding.line, finding.text) == problem


def test_the_first_of_two_equal_keys_counts_and_all_findings_come_at_once() -> None:
    document = read_yaml("a: 1\na: 2\nb: 010\nc: .nan\n5: x\n'on': kept", "graph.yaml")
    assert document.data == {"a": 1, "b": None, "c": None, "on": "kept"}
    assert [finding.line for finding in document.findings] == [2, 3, 4, 5]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1\nb: [1, 2", "graph.yaml:2: not valid YAML: expected ',' or ']', but got "
         "'<stream end>' (while parsing a flow sequence, begun in line 2)"),
        ("a:\n\t- b", "graph.yaml:2: a tab cannot indent: use spaces"),
        ("a: b: c", "graph.yaml:1: not valid YAML: mapping values are not allowed here"),
        ("a: 'b", "graph.yaml:1: not valid YAML: found unexpected end of stream "
         "(while scanning a quoted scalar, begun in line 1)"),
        ("a: @b", "graph.yaml:1: not valid YAML: "
         "found character '@' that cannot start any token"),
        ("a: *b", "graph.yaml:1: not valid YAML: found undefined alias 'b'"),
        ("a: 1\n---\nb: 2",
         "graph.yaml:2: a second document begins here: one file holds one graph"),
        ("a: 1\nb: \x07", "graph.yaml:2: the character U+0007 is not allowed"),
        ("a: !!python/object/apply:os.system [id]",
         "graph.yaml:1: the tag !!python/object/apply:os.system is not allowed"),
        ("a: !!str 5", "graph.yaml:1: the tag !!str is not allowed"),
        ("a: ! 5", "graph.yaml:1: the tag ! is not allowed"),
        ("a: !own {}", "graph.yaml:1: the tag !own is not allowed"),
    ],
)  # fmt: skip
def test_broken_yaml_gives_one_line_with_the_place(text: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read_yaml(text, "graph.yaml")
    assert str(caught.value) == message


def billion_laughs() -> str:
    levels = [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 12)]
    return "\n".join(["a0: &a0 [ha]", *levels])


def alias_chain() -> str:
    return "\n".join(["a0: &a0 [x]", *(f"a{n}: &a{n} [*a{n - 1}]" for n in range(1, 3000))])


@pytest.mark.parametrize(
    "text",
    [
        billion_laughs(),
        alias_chain(),
        "a: &a [*a]",
        "[" * 60 + "]" * 60,
        "{a: " * 60 + "}" * 60,
        f"[{', '.join(['x'] * MAX_VALUES)}]",
    ],
    ids=["laughs", "chain", "recursion", "lists", "mappings", "values"],
)
@pytest.mark.timeout(10)
def test_a_document_that_would_explode_is_refused(text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read_yaml(text, "graph.yaml")
    assert re.fullmatch(
        r"graph.yaml:\d+: too large: at most 20000 values, 40 levels deep", str(caught.value)
    )


def test_a_large_file_is_refused_before_it_is_parsed() -> None:
    with pytest.raises(ConfigError, match=r"^graph.yaml: larger than 1 MiB$"):
        read_yaml("#" * (MAX_BYTES + 1), "graph.yaml")


def test_aliases_repeat_a_value_without_sharing_it() -> None:
    data = read_yaml("a: &a {x: [1]}\nb: *a", "graph.yaml").data
    data["a"]["x"].append(2)
    assert data["b"] == {"x": [1]}


def test_lines_are_those_of_keys_and_entries() -> None:
    text = "# comment\na:\n  b:\n    - 1\n    - {c: 2,\n       d: 3}\n"
    assert read_yaml(text, "graph.yaml").lines == {
        (): 2,
        ("a",): 2,
        ("a", "b"): 3,
        ("a", "b", 0): 4,
        ("a", "b", 1): 5,
        ("a", "b", 1, "c"): 5,
        ("a", "b", 1, "d"): 6,
    }


def test_an_empty_document_is_null_and_a_byte_order_mark_is_nothing() -> None:
    assert read_yaml("", "graph.yaml").data is None
    assert read_yaml("\ufeffa: 1", "graph.yaml").data == {"a": 1}


scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(10**20), 10**20),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=12),
    st.sampled_from(["on", "010", "1e-4", ".inf", "~", "", "null", "<<", "=", "a: b", "- a", "#"]),
)
documents = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text("abcn01<~ ", max_size=5), inner, max_size=4)
    ),
    max_leaves=15,
)


@given(documents)
def test_what_is_written_is_read_back_with_its_types_here_and_by_pyyaml(data: object) -> None:
    text = write_yaml(data)
    document = read_yaml(text, "graph.yaml")
    assert document.findings == []
    assert repr(document.data) == repr(data)
    assert repr(yaml.safe_load(text)) == repr(data)


def test_small_floats_are_written_so_that_every_reader_takes_them_for_numbers() -> None:
    assert write_yaml({"a": 1e-5, "b": 1e-4, "c": 2.0}) == "{a: 1.0e-05, b: 0.0001, c: 2.0}\n"


@given(st.text(max_size=8))
def test_every_scalar_is_read_or_refused(text: str) -> None:
    try:
        value = read_scalar(text)
    except ValueError:
        return
    assert value is None or isinstance(value, bool | int | float | str)
