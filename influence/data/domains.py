"""Domains: what a world says, as templates with slots for its names, read from one YAML file each.

    about: every A is a B and every B is a C, so is every A a C?
    slots: [A, B, C]
    premises: both
    items:
      both: ["every {A} is a {B}", "every {B} is a {C}"]
      entailed: "every {A} is a {C}"
      contradicted: {of: entailed, text: "no {A} is a {C}"}
      reversed: {role: converse, of: entailed, text: "every {C} is a {A}"}

An item is its text, a statement or a list of them, alone or with more fields: its `role`, where that is not its id;
`of`, the item that it rewords, contradicts or turns round; its `desideratum` and what is `expected` of it once the
item named by `premises` is learned, where these are not the role's.
"""

import re
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

import yaml

EXPECTED = {"strongly up": 3, "up": 2, "slightly up": 1, "none": 0, "down": -2, "strongly down": -3}
"""What learning the premises should do to an item's log-probability, from most to least."""


@dataclass(frozen=True)
class Role:
    """What an item is, for the scores: what it tests and what is expected of it unless it says otherwise."""

    desideratum: str
    expected: str


ROLES = {
    "p1": Role("memorisation", "strongly up"),  # the first premise
    "p2": Role("memorisation", "strongly up"),  # the second premise
    "both": Role("memorisation", "strongly up"),  # the premises together, as statements or in one text
    "broken": Role("memorisation", "up"),  # premises with one replaced, so that nothing follows, or that one
    "parallel": Role("orthogonal concept", "none"),  # a premise of the second chain, A' to C'
    "neutral": Role("orthogonal concept", "none"),  # the same names in a relation from which nothing follows
    "paraphrase": Role("syntax invariance", "strongly up"),  # the same in other words
    "padded": Role("syntax invariance", "up"),  # the same with a neutral word where its negation says not
    "entailed": Role("transitivity", "up"),  # what follows from the premises
    "contradicted": Role("logic", "down"),  # what they exclude
    "converse": Role("ontology", "none"),  # a statement turned round, which does not follow
    "inverse": Role("logic", "none"),  # a statement negated on both sides, which does not follow
    "control": Role("logic", "none"),  # what would follow if the relation were transitive
    "hedged": Role("uncertainty", "slightly up"),  # what follows, said with doubt
    "unrelated_nonce": Role("orthogonal concept", "none"),  # a statement about other names
    "unrelated_natural": Role("orthogonal concept", "none"),  # a sentence about something else
    "name": Role("concept introduction", "slightly up"),  # a name alone
}

SLOT = re.compile(r"\{([^{}]*)\}")


@dataclass(frozen=True, kw_only=True)
class Item:
    """A sample of a domain, before its slots are filled.

    Attributes:
        id: its name in the domain.
        role: a key of `ROLES`.
        statements: templates, in which `{A}` stands for the name in slot A.
        desideratum: what it tests.
        expected: a key of `EXPECTED`.
        of: id of the item that it rewords, contradicts or turns round, or "".
    """

    id: str
    role: str
    statements: tuple[str, ...]
    desideratum: str
    expected: str
    of: str

    @property
    def slots(self) -> set[str]:
        """Slots that its statements fill."""
        return set(SLOT.findall(" ".join(self.statements)))

    @property
    def words(self) -> set[str]:
        """Words of its statements but for the names."""
        return set(re.findall(r"[a-z]+", re.sub(r"\{[^{}]*\}s?", "", " ".join(self.statements)).lower()))


@dataclass(frozen=True, kw_only=True)
class Domain:
    """A set of templates.

    Attributes:
        name: name of its file.
        about: the question it asks, in a line.
        slots: the names that a world has.
        premises: id of the item that is learned where the others are `expected` to change.
        items: in order of rows and columns.
    """

    name: str
    about: str
    slots: tuple[str, ...]
    premises: str
    items: tuple[Item, ...]

    def overlap(self, item: Item) -> str:
        """What an item has in common with the premises, for a learner of words.

        Returns:
            "same" where each of its statements is a premise, else "names and words", "names", "words" or "none".
        """
        premises = next(other for other in self.items if other.id == self.premises)
        if set(item.statements) <= set(premises.statements):
            return "same"
        shared = {"names": item.slots & premises.slots, "words": item.words & premises.words}
        return " and ".join(what for what, common in shared.items() if common) or "none"


def load(path: Path) -> Domain:
    """Read a domain from its file.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is no domain; the sentence names the file and the line.
    """
    with open(path, "rb") as stream:
        try:
            root = yaml.compose(stream, Loader=yaml.SafeLoader)
        except yaml.MarkedYAMLError as error:
            line = error.problem_mark.line + 1 if error.problem_mark else 1
            raise ValueError(
                f"{path}, line {line}: expected YAML, got {error.problem}; quote a statement that begins with a brace"
            ) from None
        except yaml.YAMLError as error:
            raise ValueError(f"{path}: expected YAML, got {' '.join(str(error).split())}; write it as text") from None
    if root is None:
        raise ValueError(
            f"{path}, line 1: expected a domain, got an empty file; write its about, slots, premises and items"
        )
    fields = _fields(root, root, "a domain", required=("about", "slots", "premises", "items"))
    slots = _slots(fields["slots"])
    entries = _entries(fields["items"], "items by their ids")
    ids = [key.value for key, _ in entries]
    return Domain(
        name=path.stem,
        about=_text(fields["about"]),
        slots=slots,
        premises=_choice(fields["premises"], "an item", ids),
        items=tuple(_item(key, node, slots, ids) for key, node in entries),
    )


def _slots(node: yaml.Node) -> tuple[str, ...]:
    if not isinstance(node, yaml.SequenceNode):
        raise _refusal(node, "a list", _kind(node), "write it in [brackets]")
    slots: list[str] = []
    for part in node.value:
        if _text(part) in slots:
            raise _refusal(part, "each slot once", f"{part.value!r} again", "remove it")
        slots.append(part.value)
    return tuple(slots)


def _item(key: yaml.ScalarNode, node: yaml.Node, slots: Collection[str], ids: Collection[str]) -> Item:
    fields = {"text": node}
    if isinstance(node, yaml.MappingNode):
        fields = _fields(
            key,
            node,
            f"item {key.value!r}",
            required=("text",),
            optional=("role", "of", "desideratum", "expected"),
            remedy="put a statement that begins with a brace in quotes",
        )
    role = _choice(fields.get("role", key), "a role", ROLES, "add `role:` where the id is none")
    text = fields["text"]
    statements = text.value if isinstance(text, yaml.SequenceNode) and text.value else [text]
    return Item(
        id=key.value,
        role=role,
        statements=tuple(_statement(statement, slots) for statement in statements),
        desideratum=_text(fields["desideratum"]) if "desideratum" in fields else ROLES[role].desideratum,
        expected=_choice(fields["expected"], "a sign", EXPECTED) if "expected" in fields else ROLES[role].expected,
        of=_choice(fields["of"], "an item", ids) if "of" in fields else "",
    )


def _statement(node: yaml.Node, slots: Collection[str]) -> str:
    statement = _text(node)
    for slot in SLOT.findall(statement):
        if slot not in slots:
            raise _refusal(node, f"a slot ({', '.join(slots)})", f"{{{slot}}}", "correct it, or name it in slots")
    if re.search(r"[{}\n]", SLOT.sub("", statement)):
        raise _refusal(node, "one line with slots in closed braces", repr(statement), "mend it, or make it a list")
    return statement


def _fields(
    where: yaml.Node,
    node: yaml.Node,
    what: str,
    *,
    required: Collection[str],
    optional: Collection[str] = (),
    remedy: str = "",
) -> dict[str, yaml.Node]:
    """Values of a mapping whose keys are known; what is missing is refused in the line of `where`."""
    fields: dict[str, yaml.Node] = {}
    for key, value in _entries(node, f"the fields of {what}"):
        fields[_choice(key, f"a field of {what}", [*required, *optional], remedy)] = value
    for name in required:
        if name not in fields:
            raise _refusal(where, f"{name} of {what}", "none", f"add `{name}:`")
    return fields


def _entries(node: yaml.Node, what: str) -> list[tuple[yaml.ScalarNode, yaml.Node]]:
    """Keys and values of a mapping, which YAML itself would let repeat."""
    if not isinstance(node, yaml.MappingNode) or not node.value:
        raise _refusal(node, what, _kind(node), "write `name: value` pairs")
    seen: set[str] = set()
    for key, _ in node.value:
        if _text(key) in seen:
            raise _refusal(key, f"each of {what} once", f"{key.value!r} again", "rename or remove it")
        seen.add(key.value)
    return list(node.value)


def _choice(node: yaml.Node, what: str, choices: Collection[str], remedy: str = "") -> str:
    choice = _text(node)
    if choice not in choices:
        raise _refusal(
            node, f"{what} ({', '.join(choices)})", repr(choice), "correct it" + (f", or {remedy}" if remedy else "")
        )
    return choice


def _text(node: yaml.Node) -> str:
    """A scalar as it is written: `no` and `1` are text too."""
    if not isinstance(node, yaml.ScalarNode) or not node.value:
        raise _refusal(node, "text", _kind(node), "write some, in quotes if it begins with a brace")
    return str(node.value)


def _kind(node: yaml.Node) -> str:
    if not node.value:
        return "nothing"
    if isinstance(node, yaml.ScalarNode):
        return repr(node.value)
    return "a list" if isinstance(node, yaml.SequenceNode) else "a mapping"


def _refusal(node: yaml.Node, expected: str, got: str, remedy: str) -> ValueError:
    mark = node.start_mark
    return ValueError(f"{mark.name}, line {mark.line + 1}: expected {expected}, got {got}; {remedy}")
