"""A family of published checkpoints: its `config.json`, its names, its table of rules.

One `Family` is all that is written for a model to be read from published files and
written as one: see `keras_attention/checkpoints/families`.
"""

import dataclasses
import re
import warnings
from collections.abc import Callable
from collections.abc import Mapping

from keras_attention.checkpoints.copies import Beside
from keras_attention.checkpoints.copies import Copy
from keras_attention.checkpoints.fields import find
from keras_attention.checkpoints.fields import FIXED
from keras_attention.checkpoints.fields import flattened
from keras_attention.checkpoints.fields import IGNORED
from keras_attention.checkpoints.fields import place_at
from keras_attention.checkpoints.fields import UNREAD
from keras_attention.checkpoints.rules import renaming

# Where a published `config.json` keeps arguments that it has no field for.
OUR_FIELD = "keras_attention"
# Arguments that are no part of a published model.
NEVER_PUBLISHED = frozenset({"name", "dtype", "seed"})
# PyTorch's names of parameters that were renamed once.
OLD_SPELLING = ((r"LayerNorm\.gamma$", "LayerNorm.weight"),)
OLD_SPELLING += ((r"LayerNorm\.beta$", "LayerNorm.bias"),)


@dataclasses.dataclass(frozen=True)
class Family:
    """How the checkpoints of one family are published.

    Args:
        model_type: As in `config.json`.
        architectures: Dict from the published class of a model to our arguments for
            it, such as `{"head": "classification"}`. The first is the model without a
            head, and the one for a file that names none.
        fields: List of `Field`.
        rules: List of `Rule`, for all heads; or a function from the arguments of a
            model to that list.
        fixed: Dict from a field to the one value of it that is known. A file may leave
            it out.
        ignored: Names of fields that change nothing in what the model computes.
        prefix: What stands before all names but those of heads, where there is a head.
        harmless: Dict from published names, patterns as in a `Rule` and without the
            prefix, that need no place in the model, to what they are: a `Copy`, a
            `Beside`, a `Buffer`, or `UNUSED`; or a function from the arguments of the
            published model to that dict.
        beside: Arguments that the published layout cannot say and that change nothing
            in what a trained model computes. They are kept in a field of ours.
        read: Function from `config.json` to arguments that fields cannot express.
        write: Function from arguments to those fields.
        is_ours: Function from `config.json` to whether it is of this family, where no
            model_type says so.
        module_names: Dict from parts of published names to those of the modules of
            today's transformers, where these differ; see `renaming`.

    Example:

    >>> from keras_attention.checkpoints.fields import Field
    >>> family = Family(
    ...     model_type="tiny",
    ...     architectures={"TinyModel": {}},
    ...     fields=(Field("hidden_size", "hidden_dim", 8),),
    ...     rules=(),
    ... )
    >>> family.write_config({"hidden_dim": 4})
    {'architectures': ['TinyModel'], 'model_type': 'tiny', 'hidden_size': 4}
    >>> family.read_arguments({"model_type": "tiny"}, "config.json")
    {'hidden_dim': 8}
    """

    model_type: str
    architectures: Mapping
    fields: tuple
    rules: tuple | Callable
    fixed: Mapping = dataclasses.field(default_factory=dict)
    ignored: tuple = ()
    prefix: str = ""
    harmless: Mapping | Callable = dataclasses.field(default_factory=dict)
    beside: tuple = ()
    read: Callable | None = None
    write: Callable | None = None
    is_ours: Callable | None = None
    module_names: Mapping = dataclasses.field(default_factory=dict)

    def owns(self, config):
        """Whether a `config.json` is of this family.

        Args:
            config: What it holds.
        """
        if self.is_ours is not None:
            return self.is_ours(config)
        if "model_type" in config:
            return config["model_type"] == self.model_type
        return any(
            name in self.architectures for name in config.get("architectures", ())
        )

    def read_arguments(self, config, place, head_is_given=False, body="head=None"):
        """Translates `config.json` into arguments of our model.

        Args:
            config: What it holds.
            place: Where it was read, for messages.
            head_is_given: Whether the head need not be known, because another is asked
                for.
            body: The argument that asks for none, for messages.

        Returns:
            Dict.

        Raises:
            ValueError: A field is missing, unknown, or has a value unknown here.
        """
        place = f"{place} (model_type {self.model_type!r})"
        self._check_fields(config, place)
        arguments = dict(self._architecture(config, place, head_is_given, body))
        for field in self.fields:
            arguments[field.argument] = field.read(config, place)
        if self.read is not None:
            arguments.update(self.read(config))
        arguments.update(config.get(OUR_FIELD, {}))
        return arguments

    def _check_fields(self, config, place):
        """Refuses fields that may count and are not known."""
        fields = {field.name for field in self.fields}
        known = fields | IGNORED | {*self.ignored, OUR_FIELD}
        fixed = {**FIXED, **self.fixed}
        flat = flattened(config, {name.split(".")[0] for name in fields if "." in name})
        unknown, unread = [], []
        for name, value in sorted(flat.items()):
            last = name.split(".")[-1]
            if name in known or name in fixed or last in IGNORED or value is None:
                continue
            if not last.startswith("_"):
                (unread if last in UNREAD else unknown).append(f"{name}={value!r}")
        if unknown:
            raise ValueError(
                f"{place} has fields that are not known here: {', '.join(unknown)}. "
                "They may change what the model computes. Remove them from the file "
                "if they do not."
            )
        if unread:
            warnings.warn(
                f"{place} has fields that no model reads, ignored: "
                f"{', '.join(unread)}.",
                stacklevel=5,
            )
        for name, value in fixed.items():
            found = find(config, name, value)
            if name not in known and found != value:
                raise ValueError(
                    f"{place} has {name}={found!r}, which this library does not "
                    f"compute. It knows {name}={value!r}."
                )

    def knows_head(self, config):
        """Whether all heads that a `config.json` may name are known.

        Args:
            config: What it holds.
        """
        names = config.get("architectures") or self.architectures
        return any(name in self.architectures for name in names)

    def _architecture(self, config, place, head_is_given, body):
        first, *_ = self.architectures
        names = config.get("architectures") or [first]
        for name in names:
            if name in self.architectures:
                wanted = self.architectures[name]
                return {key: _alternatives(value)[0] for key, value in wanted.items()}
        if head_is_given:
            wanted = self.architectures[first]
            return {key: _alternatives(value)[0] for key, value in wanted.items()}
        raise ValueError(
            f"{place} is a {names[0]}, which is not known here. Known: "
            f"{', '.join(self.architectures)}. Pass {body} to load it without its head."
        )

    def write_config(self, arguments, defaults=None):
        """Translates the arguments of our model into `config.json`.

        Args:
            arguments: Dict of all arguments.
            defaults: Those of the constructor, to compare what would be read again.

        Returns:
            Dict.

        Raises:
            ValueError: An argument cannot be published.
        """
        config = {}
        if self.is_ours is None:
            config["architectures"] = [self.architecture_of(arguments)]
            config["model_type"] = self.model_type
        for field in self.fields:
            place_at(config, field.name, field.write(arguments[field.argument]))
        if self.write is not None:
            config.update(self.write(arguments))
        return self.with_left_out(config, arguments, defaults)

    def with_left_out(self, config, arguments, defaults):
        """A `config.json` with the arguments that would not come back from it.

        Args:
            config: What is written so far.
            arguments: Dict of all arguments.
            defaults: Those of the constructor; `None` leaves the config as it is.

        Returns:
            Dict, with these arguments in a field of ours.

        Raises:
            ValueError: One of them changes what the model computes.
        """
        if defaults is None:
            return config
        back = {**defaults, **self.read_arguments(config, "config.json")}
        left_out = {}
        for name, value in arguments.items():
            if name in NEVER_PUBLISHED or not _is_plain(value) or back[name] == value:
                continue
            if value is None and defaults[name] is None:
                continue  # what the file says was left to the model
            if name not in self.beside:
                raise ValueError(
                    f"{name}={value!r} cannot be said in the config.json of "
                    f"model_type {self.model_type!r}, which gives {back[name]!r}. Save "
                    "the model with `save` as a `.keras` file."
                )
            left_out[name] = value
        return {**config, OUR_FIELD: left_out} if left_out else config

    def publishes(self, arguments, defaults=None):
        """Whether a model with these arguments can be written as this family.

        Args:
            arguments: Dict of all arguments.
            defaults: Those of the constructor.
        """
        try:
            self.write_config(arguments, defaults)
        except ValueError:
            return False
        return True

    def architecture_of(self, arguments):
        """The published class of a model with these arguments.

        Args:
            arguments: Dict of all arguments.

        Returns:
            Its name.

        Raises:
            ValueError: There is none.
        """
        for name, wanted in self.architectures.items():
            if all(arguments[k] in _alternatives(v) for k, v in wanted.items()):
                return name
        first, *_ = self.architectures.values()
        raise ValueError(
            "No published class has "
            + ", ".join(f"{key}={arguments[key]!r}" for key in first)
            + f". Known: {', '.join(self.architectures)}. Save the model with `save` as"
            " a `.keras` file."
        )

    def is_bare(self, arguments):
        """Whether a model has no head, so that its names have no prefix.

        Args:
            arguments: Dict of all arguments.
        """
        first, *_ = self.architectures
        return self.architecture_of(arguments) == first

    def like(self, *, model_type, renamed, classes, defaults=None, **changes):
        """A family that is as this one but for its names and a few rules.

        Args:
            model_type: That of the other.
            renamed: Dict from parts of published names to those of the other.
            classes: Pair: the beginning of the classes here and there.
            defaults: Dict from fields to other defaults.
            **changes: Other parts of a `Family`, which replace those here.

        Returns:
            A `Family`.

        Example:

        >>> from keras_attention.checkpoints.fields import Field
        >>> bert = Family(
        ...     model_type="bert",
        ...     architectures={"BertModel": {}},
        ...     fields=(Field("vocab_size", "vocabulary_size", 30522),),
        ...     rules=(),
        ...     prefix="bert.",
        ... )
        >>> roberta = bert.like(
        ...     model_type="roberta",
        ...     renamed={"bert.": "roberta."},
        ...     classes=("Bert", "Roberta"),
        ...     defaults={"vocab_size": 50265},
        ... )
        >>> list(roberta.architectures), roberta.prefix
        (['RobertaModel'], 'roberta.')
        """

        rename = renaming(renamed)

        def rules(arguments):
            return [rule.renamed(rename) for rule in self.rules_for(arguments)]

        def harmless(arguments):
            return {
                rename(name): dataclasses.replace(kind, of=rename(kind.of))
                if isinstance(kind, Beside | Copy)
                else kind
                for name, kind in self.harmless_for(arguments).items()
            }

        defaults = defaults or {}
        fields = tuple(
            field.with_default(defaults.get(field.name, field.default))
            for field in self.fields
        )
        architectures = {
            name.replace(*classes): wanted
            for name, wanted in self.architectures.items()
        }
        whole = {
            "fields": fields,
            "rules": rules,
            "harmless": harmless,
            "architectures": architectures,
            "prefix": rename(self.prefix),
        }
        return dataclasses.replace(self, model_type=model_type, **{**whole, **changes})

    def without_prefix(self, name):
        """A published name as it is in a model without a head, in today's spelling.

        Args:
            name: Name of a published tensor.

        Returns:
            The name.
        """
        for pattern, replacement in OLD_SPELLING:
            name = re.sub(pattern, replacement, name)
        return name.removeprefix(self.prefix)

    def rules_for(self, arguments):
        """The table of rules for a model with these arguments.

        Args:
            arguments: Dict of all arguments.

        Returns:
            Rules.
        """
        return self.rules(arguments) if callable(self.rules) else self.rules

    def harmless_for(self, arguments):
        """What a file may hold besides, for a model with these arguments.

        Args:
            arguments: Dict of all arguments.

        Returns:
            Dict from patterns of names to what they are.
        """
        return self.harmless(arguments) if callable(self.harmless) else self.harmless


def _alternatives(value):
    """The values that one published class has, the one that is read first."""
    return value if isinstance(value, tuple) else (value,)


def _is_plain(value):
    """Whether JSON can hold it; tokenizers and the like are files of their own."""
    if isinstance(value, list):
        return all(map(_is_plain, value))
    return value is None or isinstance(value, bool | int | float | str)
