"""CHGNet's parameters as plain arrays, split by what each block of a linear layer multiplies.

CHGNet applies Linear([a_i, b_ij, a_j]) to every edge. The product splits into one per block, so that atoms
and bonds are multiplied once each and only the sums are made for every edge: the same numbers but for the
order of additions.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sse_screen.exceptions import InputError

WIDTH = 64
_REQUIRED = {
    "atom_fea_dim": WIDTH,
    "bond_fea_dim": WIDTH,
    "angle_fea_dim": WIDTH,
    "atom_conv_hidden_dim": WIDTH,
    "bond_conv_hidden_dim": WIDTH,
    "angle_layer_hidden_dim": 0,
    "num_radial": 31,
    "num_angular": 31,
    "update_bond": True,
    "update_angle": True,
    "mlp_first": True,
    "non_linearity": "silu",
    "gMLP_norm": "layer",
    "readout_norm": "layer",
    "mlp_out_bias": False,
    "conv_norm": None,
    "final_mlp": "MLP",
}


@dataclass(frozen=True)
class GatedLayer:
    """One gated MLP; core in the first half of the columns, gate in the second.

    Attributes
    ----------
    blocks : tuple of NDArray
        (64, 128) each: first linear layer, one block an input, in CHGNet's order.
    bias : NDArray
        (128,) of the first linear layer.
    core, gate : NDArray or None
        (64, 64) second linear layers; None where the MLP has one layer.
    bias_second : NDArray or None
        (128,) of the second linear layers.
    norm_scale, norm_shift : NDArray
        (128,) of the two layer norms.
    out : NDArray or None
        (64, 64) linear layer behind the aggregation.
    """

    blocks: tuple[NDArray, ...]
    bias: NDArray
    core: NDArray | None
    gate: NDArray | None
    bias_second: NDArray | None
    norm_scale: NDArray
    norm_shift: NDArray
    out: NDArray | None


@dataclass(frozen=True)
class CHGNetWeights:
    """All parameters of a CHGNet, float32, linear layers as (inputs, outputs).

    Attributes
    ----------
    atom_embedding : NDArray
        (94, 64).
    bond_frequencies, short_frequencies, angle_frequencies : NDArray
        Frequencies of the radial bases of both graphs and of the Fourier basis.
    bond_embedding, bond_weights, short_weights, angle_embedding : NDArray
        Linear layers on the bases: (n_basis, 64).
    atom_layers, bond_layers, angle_layers : tuple of GatedLayer
        Convolutions; the last angle update feeds nothing and is left out.
    readout_scale, readout_shift : NDArray
        (64,) layer norm before the readout.
    readout : tuple of (NDArray, NDArray)
        Weights and biases of the readout MLP.
    magmom_weight, magmom_bias : NDArray
        (64,) and (): site magnetic moments.
    reference_energies : NDArray
        (94,) float64 energy of each element in the composition model, eV.
    cutoff_A, short_cutoff_A : float
        Cutoffs of both graphs.
    smoothness : int
        Exponent p of the cutoff polynomial.
    """

    atom_embedding: NDArray
    bond_frequencies: NDArray
    short_frequencies: NDArray
    angle_frequencies: NDArray
    bond_embedding: NDArray
    bond_weights: NDArray
    short_weights: NDArray
    angle_embedding: NDArray
    atom_layers: tuple[GatedLayer, ...]
    bond_layers: tuple[GatedLayer, ...]
    angle_layers: tuple[GatedLayer, ...]
    readout_scale: NDArray
    readout_shift: NDArray
    readout: tuple[tuple[NDArray, NDArray], ...]
    magmom_weight: NDArray
    magmom_bias: NDArray
    reference_energies: NDArray
    cutoff_A: float
    short_cutoff_A: float
    smoothness: int

    @classmethod
    def from_state(cls, arguments: dict[str, Any], state: dict[str, NDArray]) -> CHGNetWeights:
        """Take the parameters out of a CHGNet's state.

        Parameters
        ----------
        arguments : dict
            ``model_args`` of a CHGNet of the published architecture (64 features, 31 basis functions, layer
            norms, no bias behind aggregations).
        state : dict
            Its ``state_dict`` as arrays, with any values.

        Returns
        -------
        CHGNetWeights
            Copies of the parameters.

        Raises
        ------
        InputError
            Another architecture.
        """
        for key, value in _REQUIRED.items():
            if arguments.get(key, value) != value:
                raise InputError(
                    f"this CHGNet has {key}={arguments[key]!r}; the fast engine knows {key}={value!r} only: "
                    "use variant='stock'"
                )
        n_layers = int(arguments.get("n_conv", 4))
        basis = "bond_basis_expansion.rbf_expansion"
        return cls(
            atom_embedding=_copy(state["atom_embedding.embedding.weight"]),
            bond_frequencies=_copy(state[f"{basis}_ag.frequencies"]),
            short_frequencies=_copy(state[f"{basis}_bg.frequencies"]),
            angle_frequencies=_copy(state["angle_basis_expansion.fourier_expansion.frequencies"]),
            bond_embedding=_copy(state["bond_embedding.weight"].T),
            bond_weights=_copy(state["bond_weights_ag.weight"].T),
            short_weights=_copy(state["bond_weights_bg.weight"].T),
            angle_embedding=_copy(state["angle_embedding.weight"].T),
            atom_layers=tuple(
                _gated(state, f"atom_conv_layers.{k}", "twoBody_atom") for k in range(n_layers)
            ),
            bond_layers=tuple(
                _gated(state, f"bond_conv_layers.{k}", "twoBody_bond") for k in range(n_layers - 1)
            ),
            angle_layers=tuple(
                _gated(state, f"angle_layers.{k}", "twoBody_bond") for k in range(n_layers - 2)
            ),
            readout_scale=_copy(state["readout_norm.weight"]),
            readout_shift=_copy(state["readout_norm.bias"]),
            readout=_readout(state),
            magmom_weight=_copy(state["site_wise.weight"][0]),
            magmom_bias=_copy(state["site_wise.bias"][0]),
            reference_energies=_reference(state),
            cutoff_A=float(arguments.get("atom_graph_cutoff", 6)),
            short_cutoff_A=float(arguments.get("bond_graph_cutoff", 3)),
            smoothness=int(arguments.get("cutoff_coeff", 8)),
        )


def _copy(array: NDArray) -> NDArray:
    return np.array(array, dtype=np.float32, order="C")


def _reference(state: dict[str, Any]) -> NDArray:
    weight = state.get("composition_model.fc.weight")
    return np.zeros(94) if weight is None else np.array(weight[0], dtype=np.float64)


def _readout(state: dict[str, Any]) -> tuple[tuple[NDArray, NDArray], ...]:
    indices = sorted(
        int(k.split(".")[2]) for k in state if k.startswith("mlp.layers.") and k.endswith("weight")
    )
    return tuple(
        (_copy(state[f"mlp.layers.{k}.weight"].T), _copy(state[f"mlp.layers.{k}.bias"])) for k in indices
    )


def _gated(state: dict[str, Any], layer: str, inner: str) -> GatedLayer:
    def both(name: str) -> NDArray:
        """Join core and gate of a parameter along the outputs."""
        return np.concatenate([state[f"{layer}.{inner}.{half}.{name}"] for half in ("mlp_core", "mlp_gate")])

    two_layers = f"{layer}.{inner}.mlp_core.layers.3.weight" in state
    first_name = "layers.0" if two_layers else "layers.1"
    first = both(f"{first_name}.weight").T
    out = state.get(f"{layer}.mlp_out.layers.1.weight")
    second = "layers.3"
    return GatedLayer(
        blocks=tuple(_copy(first[k : k + WIDTH]) for k in range(0, len(first), WIDTH)),
        bias=_copy(both(f"{first_name}.bias")),
        core=_copy(state[f"{layer}.{inner}.mlp_core.{second}.weight"].T) if two_layers else None,
        gate=_copy(state[f"{layer}.{inner}.mlp_gate.{second}.weight"].T) if two_layers else None,
        bias_second=_copy(both(f"{second}.bias")) if two_layers else None,
        norm_scale=_copy(
            np.concatenate([state[f"{layer}.{inner}.{norm}.weight"] for norm in ("bn1", "bn2")])
        ),
        norm_shift=_copy(np.concatenate([state[f"{layer}.{inner}.{norm}.bias"] for norm in ("bn1", "bn2")])),
        out=None if out is None else _copy(out.T),
    )
