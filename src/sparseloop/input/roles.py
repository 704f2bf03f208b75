"""Roles of tensors: what a machine says for every layer speaks of weights, inputs and outputs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, cast

from sparseloop.input.notation import parse_einsum
from sparseloop.input.records import Record

Role = Literal["weights", "inputs", "outputs"]
Roles = dict[Role, str]
ROLES = ("weights", "inputs", "outputs")


def roles_of(einsum: str, named: Mapping[Role, str]) -> dict[str, str]:
    """Role to tensor: the result is the output, the operands are inputs and weights in this order, unless named otherwise.

    A tensor that has the name of a role is meant itself.
    """
    tensors = [access.name for access in parse_einsum(einsum).tensors]
    left = [name for name in tensors[1:] if name not in named.values()]
    free = [role for role in ("inputs", "weights") if role not in named]
    roles = {"outputs": tensors[0], **dict(zip(free, left, strict=False)), **named}
    return {role: role if role in tensors else name for role, name in roles.items()} | {t: t for t in tensors if t in ROLES}


def in_tensor_names(value: Any, roles: Mapping[str, str]) -> Any:
    """Records with tensors in the place of roles; a role that the einsum lacks is left out, with its features."""
    if isinstance(value, Record):
        changed = {name: _field(name, getattr(value, name), roles) for name in type(value).model_fields}
        changed = {name: new for name, new in changed.items() if new is not getattr(value, name)}
        return value.model_copy(update=changed) if changed else value
    if isinstance(value, dict):
        return {name: in_tensor_names(entry, roles) for name, entry in cast("dict[str, Any]", value).items()}
    return tuple(in_tensor_names(entry, roles) for entry in value)


_LISTS = ("keep", "bypass", "no_temporal_reuse", "no_multicast", "no_forwarding")
_FEATURES = ("skip", "gate", "spatial_skip")


def _field(name: str, value: Any, roles: Mapping[str, str]) -> Any:
    if name in _LISTS and value and any(word in ROLES for word in value):
        return _names(value, roles)
    if name == "formats" and any(word in ROLES for word in value):
        return {roles.get(tensor, tensor): form for tensor, form in value.items() if _known(tensor, roles)}
    if name in _FEATURES and isinstance(value, tuple):
        return tuple(_feature(saf, roles) for saf in cast("tuple[Any, ...]", value) if _applies(saf, roles))
    return value


def _known(word: str, roles: Mapping[str, str]) -> bool:
    """False for a role that no tensor has."""
    return word in roles or word not in ROLES


def _names(words: tuple[str, ...], roles: Mapping[str, str]) -> tuple[str, ...]:
    return tuple(roles.get(word, word) for word in words if _known(word, roles))


def _applies(saf: Any, roles: Mapping[str, str]) -> bool:
    return all(_known(word, roles) for word in (saf.follower, *saf.leaders))


def _feature(saf: Any, roles: Mapping[str, str]) -> Any:
    names = {"follower": roles.get(saf.follower, saf.follower), "leaders": _names(saf.leaders, roles)}
    return saf.model_copy(update=names) if names != {"follower": saf.follower, "leaders": saf.leaders} else saf
