"""A family whose models are made of models, such as an encoder and a decoder.

Each part is read and written by the family of its own class. Here it is only told where
the part stands: in which field of `config.json`, and behind which prefix of the names.
"""

import dataclasses
import functools
from collections.abc import Mapping

from keras_attention.checkpoints.arguments import argument_defaults
from keras_attention.checkpoints.copies import Buffer
from keras_attention.checkpoints.copies import Copy
from keras_attention.checkpoints.family import Family


@dataclasses.dataclass(frozen=True)
class Part:
    """Where a part of a published model stands, and what it can be.

    Args:
        families: Dict from a class of models to its `Family`.
        arguments: What such a model must be built with.
        fields: Dict of fields of its config that say so there.

    Example:

    >>> Part({}, {"head": "next_token"}, {"is_decoder": True}).arguments
    {'head': 'next_token'}
    """

    families: Mapping
    arguments: Mapping = dataclasses.field(default_factory=dict)
    fields: Mapping = dataclasses.field(default_factory=dict)

    def find(self, config, place):
        """The class and the family of a part.

        Args:
            config: Its config.
            place: Where it was read, for messages.

        Returns:
            Pair of a class and its `Family`.

        Raises:
            ValueError: It is none of those that are known.
        """
        for cls, family in self.families.items():
            if family.owns(config):
                return cls, family
        known = ", ".join(family.model_type for family in self.families.values())
        raise ValueError(
            f"{place} has model_type={config.get('model_type')!r}, which cannot stand "
            f"there. Known: {known}."
        )


@dataclasses.dataclass(frozen=True)
class Plan:
    """A part that is not built yet.

    Args:
        cls: Its class.
        arguments: Dict of its arguments.

    Example:

    >>> Plan(dict, {"units": 3}).build(name="mine")
    {'units': 3, 'name': 'mine'}
    """

    cls: type
    arguments: dict

    def build(self, **more):
        """The model.

        Args:
            **more: More arguments of it.
        """
        return self.cls(**{**self.arguments, **more})


def build_parts(arguments):
    """Builds the models among arguments, which are named after their argument.

    Args:
        arguments: Dict of arguments of a constructor.

    Returns:
        Dict with models in place of each `Plan`.

    Example:

    >>> build_parts({"encoder": Plan(dict, {"units": 3}), "units": 4})
    {'encoder': {'units': 3, 'name': 'encoder', 'dtype': None}, 'units': 4}
    """
    dtype = arguments.get("dtype")
    return {
        name: value.build(name=name, dtype=dtype) if isinstance(value, Plan) else value
        for name, value in arguments.items()
    }


@dataclasses.dataclass(frozen=True)
class FamilyOfParts(Family):
    """How models are published that are made of models.

    Args:
        parts: Dict from the argument that is a model to its `Part`. Its config is the
            field of that name, and its tensors begin with that name and a dot.

    The other arguments are those of `Family`; `rules` are those of what stands between
    the parts.
    """

    parts: Mapping = dataclasses.field(default_factory=dict)

    def __post_init__(self):
        # Their fields are read by their families.
        object.__setattr__(self, "ignored", (*self.ignored, *self.parts))

    def read_arguments(self, config, place, head_is_given=False, body="head=None"):
        """Translates `config.json` into arguments; a part becomes a `Plan`."""
        arguments = {}
        for name, part in self.parts.items():
            inner = config.get(name)
            if not isinstance(inner, dict):
                raise ValueError(f"{place} lacks the field `{name}`.")
            inside = f"{place}: {name}"
            cls, family = part.find(inner, inside)
            inner = {key: v for key, v in inner.items() if part.fields.get(key) != v}
            # What it is here it need not say.
            inner = {**inner, "architectures": None}
            found = family.read_arguments(inner, inside)
            arguments[name] = Plan(cls, {**found, **part.arguments})
        arguments.update(super().read_arguments(config, place, head_is_given, body))
        return arguments

    def write_config(self, arguments, defaults=None):
        """Translates arguments into `config.json`, the parts into fields of it."""
        parts = {}
        for name, part in self.parts.items():
            cls, inner = self._told(arguments, name)
            family = self._family(name, cls)
            for key, value in part.arguments.items():
                if inner[key] != value:
                    raise ValueError(
                        f"The {name} of a published {self.model_type} has "
                        f"{key}={value!r}. Received: {key}={inner[key]!r}."
                    )
            config = family.write_config(inner, argument_defaults(cls))
            parts[name] = {**config, **part.fields}
        config = {**super().write_config(arguments), **parts}
        return self.with_left_out(config, arguments, defaults)

    def is_bare(self, arguments):
        """False: each part is named as it is alone."""
        return False

    def without_prefix(self, name):
        """A published name without the prefix that its part has where it has a head."""
        for part, kinds in self.parts.items():
            if name.startswith(f"{part}."):
                inner = name.removeprefix(f"{part}.")
                for family in kinds.families.values():
                    inner = family.without_prefix(inner)
                return f"{part}.{inner}"
        return name

    def rules_for(self, arguments):
        """The tables of all parts, under the names that they have here."""
        rules = list(super().rules_for(arguments))
        for name in self.parts:
            cls, inner = self._told(arguments, name)
            family = self._family(name, cls)
            rename = family.without_prefix if family.is_bare(inner) else str
            for rule in family.rules_for(inner):
                rules.append(self._placed(rule.renamed(rename), name))
        return rules

    def harmless_for(self, arguments):
        """What the files of all parts may hold besides."""
        found = dict(super().harmless_for(arguments))
        for name in self.parts:
            cls, inner = self._told(arguments, name)
            for key, kind in self._family(name, cls).harmless_for(inner).items():
                if isinstance(kind, Copy):
                    kind = Copy(f"{name}.{kind.of}")
                elif isinstance(kind, Buffer):
                    kind = Buffer(functools.partial(self._values, name, kind))
                found[f"{name}.{key}"] = kind
        return found

    def _placed(self, rule, name):
        """A rule of a part as one of the whole."""
        resize = rule.resize

        def resize_inside(array, saved, arguments):
            saved, arguments = (self._told(a, name)[1] for a in (saved, arguments))
            return resize(array, saved, arguments)

        paths = tuple(f"{name}/{path}" for path in rule.paths_as_written)
        rule = rule.renamed(lambda text: f"{name}.{text}")
        return dataclasses.replace(
            rule,
            path=paths[0] if isinstance(rule.path, str) else paths,
            resize=resize_inside if resize else None,
            sized_by=None,
        )

    def _values(self, name, kind, shape, arguments):
        return kind.values(shape, self._told(arguments, name)[1])

    def _family(self, name, cls):
        """The family of a part."""
        families = self.parts[name].families
        if cls not in families:
            known = ", ".join(each.__name__ for each in families)
            raise ValueError(
                f"The {name} of a published {self.model_type} is one of {known}. "
                f"Received: {cls.__name__}."
            )
        return families[cls]

    @staticmethod
    def _told(arguments, name):
        """The class and the arguments of a part, planned or built."""
        part = arguments[name]
        if isinstance(part, Plan):
            return part.cls, {**argument_defaults(part.cls), **part.arguments}
        return type(part), dict(getattr(part, "_arguments", {}))
