"""A made-up accelerator, for machines without one: `pytest -p tests.made_accelerator tests/training`.

Its tensors compute on the processor, but as on a GPU they do not mix with those of the processor, and have to be moved
before NumPy sees them. What a GPU computes otherwise, in precision, order and time, it does not show, nor autocast. It
changes a whole process, and stands on an experimental part of torch (`IS_THERE` says whether this torch has it).
"""

from __future__ import annotations

import types
from typing import Any

import torch
from torch.utils import backend_registration
from torch.utils._pytree import tree_leaves, tree_map

IS_THERE = hasattr(backend_registration, "_setup_privateuseone_for_python_backend")
NAME = "made"
_RANDOM = ("randn", "randn_like", "normal_", "uniform_")
_TAKES_INDICES = ("index", "index_put_", "_index_put_impl_")  # which may be on the processor
_random = torch.Generator()


class MadeTensor(torch.Tensor):
    """A tensor on the accelerator; `inner` has its numbers."""

    @staticmethod
    def __new__(cls, inner: torch.Tensor) -> MadeTensor:
        layout = {"strides": inner.stride(), "storage_offset": inner.storage_offset(), "dtype": inner.dtype}
        made = torch.Tensor._make_wrapper_subclass(cls, inner.shape, device=torch.device(NAME, 0), **layout)
        made.inner = inner
        return made

    def numpy(self, **options: Any) -> None:
        raise TypeError(f"a tensor on `{NAME}` is no NumPy array")

    __array__ = numpy

    def tolist(self) -> list:
        return self.cpu().tolist()

    def data_ptr(self) -> int:
        return self.inner.data_ptr()

    def storage(self) -> torch.TypedStorage:
        return self.inner.storage()

    def untyped_storage(self) -> torch.UntypedStorage:
        return self.inner.untyped_storage()

    @classmethod
    def __torch_dispatch__(cls, operation: Any, kinds: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        """Compute on the processor what the accelerator is asked for, unless tensors of both are mixed."""
        kwargs, name = dict(kwargs or {}), operation.overloadpacket.__name__
        tensors = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, torch.Tensor)]
        target = kwargs.get("device")
        if name != "copy_" and target is None:
            _check_not_mixed(name, args, tensors)
        if target is not None:
            kwargs["device"] = torch.device("cpu")
        found = _compute(name, operation, *tree_map(_inner, (args, kwargs)))
        if target is not None and torch.device(target).type != NAME:
            return found
        known = {id(tensor.inner): tensor for tensor in tensors if isinstance(tensor, MadeTensor)}
        return tree_map(lambda leaf: _outer(leaf, known), found)


def _inner(value: Any) -> Any:
    return value.inner if isinstance(value, MadeTensor) else value


def _outer(value: Any, known: dict[int, MadeTensor]) -> Any:
    """What was computed, on the accelerator; what was changed in place is what it was."""
    if not isinstance(value, torch.Tensor):
        return value
    return known[id(value)] if id(value) in known else MadeTensor(value)


def _check_not_mixed(name: str, args: tuple, tensors: list[torch.Tensor]) -> None:
    """Refuse tensors of the processor beside the accelerator's, numbers and indices apart."""
    indices = [id(index) for index in args[1]] if name in _TAKES_INDICES else []
    strangers = [t for t in tensors if not isinstance(t, MadeTensor) and t.ndim > 0 and id(t) not in indices]
    if strangers:
        raise RuntimeError(f"{name}: tensors on `{NAME}` and, of shape {tuple(strangers[0].shape)}, on the processor")


def _compute(name: str, operation: Any, args: tuple, kwargs: dict) -> Any:
    """Random numbers come from the accelerator's own generator."""
    if name not in _RANDOM:
        return operation(*args, **kwargs)
    processors = torch.get_rng_state()
    torch.set_rng_state(_random.get_state())
    found = operation(*args, **kwargs)
    _random.set_state(torch.get_rng_state())
    torch.set_rng_state(processors)
    return found


def pytest_configure() -> None:
    """Give this process the accelerator, on which Accelerate will train."""
    from accelerate import PartialState  # not before the settings for tests are made

    module: Any = types.ModuleType(NAME)
    module.is_available = module.is_initialized = lambda: True
    module._is_in_bad_fork, module.get_amp_supported_dtype = (lambda: False), (lambda: [torch.bfloat16])
    module.current_device, module.device_count = (lambda: 0), (lambda: 1)
    module.manual_seed = module.manual_seed_all = _random.manual_seed
    module.get_rng_state, module.set_rng_state = _random.get_state, _random.set_state
    backend_registration._setup_privateuseone_for_python_backend(NAME, backend_module=module)
    for name, operation in _OPERATIONS.items():
        torch.library.impl(f"aten::{name}", "privateuseone")(operation)
    torch.__future__.set_swap_module_params_on_conversion(True)  # a weight that is moved is still the optimiser's
    torch.inference_mode = lambda mode=True: torch.set_grad_enabled(not mode)  # which made tensors do not know
    PartialState.default_device = property(lambda state: torch.device(NAME, 0))


def _empty(size: Any, *, dtype: Any = None, **options: Any) -> MadeTensor:
    return MadeTensor(torch.empty(size, dtype=dtype))


def _empty_strided(size: Any, stride: Any, *, dtype: Any = None, **options: Any) -> MadeTensor:
    return MadeTensor(torch.empty_strided(size, stride, dtype=dtype))


def _arange(end: Any, *, dtype: Any = None, **options: Any) -> MadeTensor:
    return MadeTensor(torch.arange(end, dtype=dtype))


def _copy_from(source: torch.Tensor, target: torch.Tensor, non_blocking: bool = False) -> torch.Tensor:
    _inner(target).copy_(_inner(source))
    return target


# What torch asks of the accelerator before there is a tensor on it.
_OPERATIONS = {
    "empty.memory_format": _empty,
    "empty_strided": _empty_strided,
    "arange": _arange,
    "_copy_from": _copy_from,
}
