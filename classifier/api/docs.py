"""The OpenAPI document as a page: what a person reads who writes a program."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

_METHODS = ("get", "post")


@dataclass(frozen=True)
class Field:
    """One parameter, or one field of a body.

    Attributes:
        name: as it is sent.
        kind: in words: "text, at most 64 characters".
        link: the name of the object that it is, or empty.
        required: whether it must be there.
        about: what it means; may be empty.
        place: "query", "path", "header" or empty.
    """

    name: str
    kind: str
    link: str
    required: bool
    about: str
    place: str = ""


@dataclass(frozen=True)
class Described:
    """One object of the schema, field by field."""

    name: str
    about: str
    fields: list[Field]


@dataclass(frozen=True)
class OneOperation:
    """One method of one address."""

    key: str
    method: str
    path: str
    summary: str
    about: str
    scope: str
    parameters: list[Field]
    body: str
    body_kind: str
    body_fields: list[Field]
    answer: str
    refusals: list[tuple[str, str]]


def operations(schema: dict[str, Any], scopes: dict[str, str]) -> dict[str, list[OneOperation]]:
    """Return every operation by its group, in the order of the document.

    Args:
        schema: the OpenAPI document.
        scopes: the scope of each operation by its ``operationId``.
    """
    groups: dict[str, list[OneOperation]] = {}
    for path, methods in schema["paths"].items():
        for method in _METHODS:
            if method in methods:
                told = methods[method]
                group = groups.setdefault(told["tags"][0], [])
                group.append(_operation(path, method, told, scopes))
    return groups


def objects(schema: dict[str, Any]) -> list[Described]:
    """Return every object of the document with fields, by name."""
    return [
        Described(name, told.get("description", ""), _fields(told))
        for name, told in sorted(schema["components"]["schemas"].items())
        if told.get("properties")
    ]


def _operation(
    path: str, method: str, told: dict[str, Any], scopes: dict[str, str]
) -> OneOperation:
    body, kind, fields = "", "", []
    for kind, content in told.get("requestBody", {}).get("content", {}).items():  # noqa: B007 - there is one
        body = _reference(content["schema"])
        fields = [] if body else _fields(content["schema"])
    good = [
        content["schema"]
        for status, answer in told["responses"].items()
        if int(status) < 300  # noqa: PLR2004 - a good answer
        for content in answer.get("content", {}).values()
    ]
    return OneOperation(
        key=told["operationId"],
        method=method.upper(),
        path=path,
        summary=told["summary"],
        about=told.get("description", ""),
        scope=scopes.get(told["operationId"], ""),
        parameters=[
            Field(
                name=one["name"],
                kind=_kind(one["schema"]),
                link="",
                required=one["required"],
                about=one.get("description", ""),
                place=one["in"],
            )
            for one in told["parameters"]
        ],
        body=body,
        body_kind=kind,
        body_fields=fields,
        answer=_reference(good[0]) if good else "",
        refusals=[
            (str(status), answer["description"])
            for status, answer in told["responses"].items()
            if int(status) >= 400  # noqa: PLR2004 - a refusal
        ],
    )


def _fields(told: dict[str, Any]) -> list[Field]:
    required = told.get("required", [])
    return [
        Field(
            name=name,
            kind=_kind(facts),
            link=_reference(facts),
            required=name in required,
            about=facts.get("description", ""),
        )
        for name, facts in told.get("properties", {}).items()
    ]


def _reference(facts: dict[str, Any]) -> str:
    """Return the name of the object that something is, maybe, or a list of; or nothing."""
    if "$ref" in facts:
        return str(facts["$ref"]).rpartition("/")[2]
    for inner in [*facts.get("anyOf", ()), *facts.get("allOf", ()), facts.get("items")]:
        if inner and (name := _reference(inner)):
            return name
    return ""


def _kind(facts: dict[str, Any]) -> str:
    """Return what kind of value something is, in words."""
    if "anyOf" in facts:
        return " or ".join(_kind(inner) for inner in facts["anyOf"])
    if "$ref" in facts:
        return _reference(facts)
    if "enum" in facts:
        return " | ".join(map(str, facts["enum"]))
    if facts.get("type") == "array":
        return f"list of {_kind(facts['items'])}"
    kind = str(facts.get("format") or facts.get("type", "anything"))
    bounds = [
        f"{words} {facts[name]}"
        for name, words in (
            ("maxLength", "at most"),
            ("minimum", "from"),
            ("maximum", "to"),
        )
        if name in facts
    ]
    return ", ".join([kind.replace("string", "text"), *bounds])
