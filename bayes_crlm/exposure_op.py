"""`bayes_crlm.exposure_sums` as an operation of PyTensor, with its derivative."""

import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytensor.tensor as pt
from pytensor.gradient import DisconnectedType, disconnected_type
from pytensor.graph.basic import Apply
from pytensor.graph.op import Op
from pytensor.link.numba.dispatch.basic import numba_njit, register_funcify_default_op_cache_key

from bayes_crlm.exposure_sums import __file__ as kernel_file
from bayes_crlm.exposure_sums import exposure_sums

__all__ = ["ExposureSums"]


class ExposureSums(Op):
    """Cumulative hazard of a cohort, its exposure by interval, its slope in the effects.

    Inputs and outputs are those of `bayes_crlm.exposure_sums.exposure_sums`. The first two outputs
    can be differentiated in effects and hazards.
    """

    __props__ = ()

    def make_node(self, *inputs: Any) -> Apply:
        """Make the node of one application."""
        outputs = [pt.dscalar(), pt.dvector(), pt.dvector()]
        return Apply(self, [pt.as_tensor_variable(each) for each in inputs], outputs)

    def perform(self, node: Apply, inputs: Any, output_storage: Any) -> None:
        """Compute the outputs from arrays."""
        for storage, value in zip(output_storage, exposure_sums(*inputs), strict=True):
            storage[0] = np.asarray(value)

    def connection_pattern(self, node: Apply) -> list[list[bool]]:
        """Which outputs depend, for a derivative, on which inputs: effects and hazards only."""
        on_effect, on_hazard = [True, True, True], [True, False, True]
        return [on_effect, on_hazard, *[[False] * 3 for _ in node.inputs[2:]]]

    def pullback(self, inputs: Any, outputs: Any, cotangents: Any) -> list[Any]:
        """Derivative: the cumulative hazard is linear in the hazards.

        The exposures' derivative in the effects, weighted by their cotangents, is that
        of a cumulative hazard with the cotangents as hazards.
        """
        effect, _, *rows = inputs
        of_total, of_exposure, of_slope = cotangents
        if not isinstance(of_slope.type, DisconnectedType):
            raise NotImplementedError("second derivatives are not those of a sampler")
        on_effect: Any = pt.zeros_like(effect)
        on_hazard: Any = disconnected_type()
        if not isinstance(of_total.type, DisconnectedType):
            on_effect = on_effect + of_total * outputs[2]
            on_hazard = of_total * outputs[1]
        if not isinstance(of_exposure.type, DisconnectedType):
            of_cumulative: Any = self(effect, of_exposure, *rows)
            on_effect = on_effect + of_cumulative[2]
        return [on_effect, on_hazard, *[disconnected_type() for _ in rows]]


@register_funcify_default_op_cache_key(ExposureSums)
def compile_exposure_sums(op: ExposureSums, node: Apply, **_: Any) -> tuple[Any, int]:
    """Give PyTensor the compiled kernel, and a version that its cache goes by."""

    @numba_njit
    def kernel(effect, hazard, columns, bounds, within, count, width):  # type: ignore[no-untyped-def]
        return exposure_sums(effect, hazard, columns, bounds, within, count, width)

    # a changed kernel is another function in PyTensor's cache on disk
    return kernel, zlib.crc32(Path(kernel_file).read_bytes())
