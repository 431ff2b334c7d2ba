"""Potentials by name."""

import hashlib
from importlib.metadata import files

import pytest

from sse_screen.exceptions import InputError
from sse_screen.potentials import known_potentials, load_calculator, resolve_potential
from sse_screen.potentials.registry import find_potential


def test_the_identity_holds_the_hash_of_the_weights_in_the_wheel():
    (path,) = [f for f in files("chgnet") if f.name == "chgnet_0.3.0_e29f68s314m37.pth.tar"]
    identity = resolve_potential("chgnet")
    assert identity.weights_sha256 == hashlib.sha256(path.locate().read_bytes()).hexdigest()
    assert (identity.name, identity.code, identity.model_version) == ("chgnet", "chgnet", "0.3.0")


def test_every_known_potential_resolves_to_its_own_hash():
    hashes = {name: resolve_potential(name).weights_sha256 for name in known_potentials()}
    assert len(set(hashes.values())) == len(hashes) >= 2


def test_an_unknown_name_is_refused_with_the_known_ones():
    with pytest.raises(
        InputError,
        match=r"'chgnett': neither a known name \(chgnet, chgnet-r2scan, .*garnet-buckingham.*\) nor a file",
    ):
        resolve_potential("chgnett")
    with pytest.raises(InputError, match="chgnet-r2scan"):
        load_calculator("chgnett")


def test_a_file_that_is_no_model_is_refused(tmp_path):
    path = tmp_path / "x.pth.tar"
    weights = find_potential("chgnet").path.read_bytes()
    for content in (b"hello", b"corrupt", b"damaged", b"", b"\x80\x02.", weights[: len(weights) // 2]):
        path.write_bytes(content)
        with pytest.raises(InputError) as refused:
            load_calculator(str(path))
        assert str(refused.value) == f"{path}: damaged, or no CHGNet file"
        assert refused.value.__cause__ is not None


def test_unknown_variant_and_missing_device_are_refused():
    with pytest.raises(InputError, match="variant 'quick'"):
        load_calculator("chgnet", variant="quick")
    with pytest.raises(InputError, match="device 'gpu': known are 'cpu', 'cuda'"):
        load_calculator("chgnet", device="gpu")
    import torch

    if not torch.cuda.is_available():
        with pytest.raises(InputError, match="finds no GPU"):
            load_calculator("chgnet", device="cuda")


def test_a_file_changed_in_place_gets_another_hash(tmp_path):
    path = tmp_path / "weights.pth.tar"
    path.write_bytes(b"one")
    first = resolve_potential(str(path)).weights_sha256
    path.write_bytes(b"another")
    assert resolve_potential(str(path)).weights_sha256 == hashlib.sha256(b"another").hexdigest() != first
