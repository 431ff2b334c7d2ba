"""Products of tall matrices with small ones, compiled for this processor.

The products of CHGNet are (rows, 64) by (64, 64) and the like. BLAS libraries, made for large matrices,
reached a third to a half of the processor's rate on them; a tile of rows kept in the vector registers reaches
nearly all of it. Written as LLVM code through numba, so that no compiler is needed.
"""

from __future__ import annotations

from typing import Any

import llvmlite.binding
import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic
from numba.np.arrayobj import make_array
from numpy.typing import NDArray

from sse_screen.potentials.vector_math import plain

_WIDE_REGISTERS = bool(llvmlite.binding.get_host_cpu_features().get("avx512f", False))
_LANES = 16 if _WIDE_REGISTERS else 8
_ROWS = 6
_NARROW = 2 * _LANES
_WIDE = 4 * _LANES if _WIDE_REGISTERS else _NARROW
_CONTRACT = ("contract",)


def _tile(n_rows: int, n_vectors: int, *, add: bool) -> Any:
    """Make the product of ``n_rows`` rows of a with ``n_vectors`` vectors of columns of b, set or added."""

    @intrinsic
    def tile(typing_context: Any, a: Any, row: Any, b: Any, column: Any, out: Any) -> Any:
        """Take two float32 matrices, the first row and column of the tile, and where it goes."""

        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            """Write the tile in LLVM's intermediate form."""
            vector = ir.VectorType(ir.FloatType(), _LANES)
            first, _, second, _, third = signature.args
            arrays = [make_array(kind) for kind in (first, second, third)]  # type: ignore[no-untyped-call]
            values = (arguments[0], arguments[2], arguments[4])
            left, right, result = (make(context, builder, v) for make, v in zip(arrays, values, strict=True))
            row, column = arguments[1], arguments[3]
            depth = builder.extract_value(left.shape, 1)
            width = builder.extract_value(result.shape, 1)

            def number(n: int) -> Any:
                """Give a constant of 64 bits."""
                return ir.Constant(ir.IntType(64), n)

            def place(data: Any, line: Any, v: int) -> Any:
                """Point to the vector with this number in a line."""
                index = builder.add(builder.mul(line, width), builder.add(column, number(v * _LANES)))
                return builder.bitcast(builder.gep(data, [index]), vector.as_pointer())

            new = cgutils.alloca_once
            sums = [[new(builder, vector) for _ in range(n_vectors)] for _ in range(n_rows)]  # type: ignore[no-untyped-call]
            lines = [builder.add(row, number(i)) for i in range(n_rows)]
            for i in range(n_rows):
                for v in range(n_vectors):
                    start = ir.Constant(vector, None)
                    if add:
                        start = builder.load(place(result.data, lines[i], v), align=4)
                    builder.store(start, sums[i][v])
            with cgutils.for_range(builder, depth) as loop:
                columns = [builder.load(place(right.data, loop.index, v), align=4) for v in range(n_vectors)]
                for i in range(n_rows):
                    index = builder.add(builder.mul(lines[i], depth), loop.index)
                    scalar = builder.load(builder.gep(left.data, [index]))
                    nothing, zero = ir.Constant(vector, ir.Undefined), ir.Constant(ir.IntType(32), 0)
                    seed = builder.insert_element(nothing, scalar, zero)
                    mask = ir.Constant(ir.VectorType(ir.IntType(32), _LANES), None)
                    splat = builder.shuffle_vector(seed, nothing, mask)
                    for v in range(n_vectors):
                        product = builder.fmul(splat, columns[v], flags=_CONTRACT)
                        total = builder.fadd(builder.load(sums[i][v]), product, flags=_CONTRACT)
                        builder.store(total, sums[i][v])
            for i in range(n_rows):
                for v in range(n_vectors):
                    builder.store(builder.load(sums[i][v]), place(result.data, lines[i], v), align=4)
            return context.get_dummy_value()

        return types.void(a, types.int64, b, types.int64, out), generate

    return tile


_set_wide, _add_wide = (_tile(_ROWS, _WIDE // _LANES, add=add) for add in (False, True))
_set_wide_row, _add_wide_row = (_tile(1, _WIDE // _LANES, add=add) for add in (False, True))
_set_narrow, _add_narrow = (_tile(_ROWS, 2, add=add) for add in (False, True))
_set_narrow_row, _add_narrow_row = (_tile(1, 2, add=add) for add in (False, True))


@plain
def multiply(a: NDArray, b: NDArray, out: NDArray) -> None:
    """Set out = a b.

    Parameters
    ----------
    a : NDArray
        (n, depth) float32, contiguous.
    b : NDArray
        (depth, width) float32, contiguous; the width a multiple of 32.
    out : NDArray
        (n, width) float32, contiguous.
    """
    n, whole = len(out), len(out) - len(out) % _ROWS
    wide = b.shape[1] - b.shape[1] % _WIDE
    for column in range(0, wide, _WIDE):
        for row in range(0, whole, _ROWS):
            _set_wide(a, row, b, column, out)
        for row in range(whole, n):
            _set_wide_row(a, row, b, column, out)
    for column in range(wide, b.shape[1], _NARROW):
        for row in range(0, whole, _ROWS):
            _set_narrow(a, row, b, column, out)
        for row in range(whole, n):
            _set_narrow_row(a, row, b, column, out)


@plain
def multiply_add(a: NDArray, b: NDArray, out: NDArray) -> None:
    """Set out = out + a b.

    Parameters
    ----------
    a, b, out : NDArray
        As in :func:`multiply`.
    """
    n, whole = len(out), len(out) - len(out) % _ROWS
    wide = b.shape[1] - b.shape[1] % _WIDE
    for column in range(0, wide, _WIDE):
        for row in range(0, whole, _ROWS):
            _add_wide(a, row, b, column, out)
        for row in range(whole, n):
            _add_wide_row(a, row, b, column, out)
    for column in range(wide, b.shape[1], _NARROW):
        for row in range(0, whole, _ROWS):
            _add_narrow(a, row, b, column, out)
        for row in range(whole, n):
            _add_narrow_row(a, row, b, column, out)


def product(a: NDArray, b: NDArray) -> NDArray:
    """Give a b as a new array.

    Parameters
    ----------
    a, b : NDArray
        As in :func:`multiply`.

    Returns
    -------
    NDArray
        (n, width) float32.
    """
    out = np.empty((len(a), b.shape[1]), dtype=np.float32)
    multiply(a, b, out)
    return out
