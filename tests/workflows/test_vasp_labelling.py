"""VASP labels through jobflow with atomate2's mocked executable: inputs checked, real outputs parsed."""

import sys
from pathlib import Path

import pytest
from atomate2.utils.testing.vasp import monkeypatch_vasp
from jobflow import run_locally
from pymatgen.io.vasp import Incar, Kpoints

from sse_screen.database.stores import OUTPUTS, job_store
from sse_screen.documents.label import LabelBatchOutput, UnlabelledStructure, unpack_labels
from sse_screen.training.vasp_labels import VaspSettings
from sse_screen.workflows.labelling import store_batch
from sse_screen.workflows.runtime import worker
from sse_screen.workflows.vasp_labelling import VaspLabelMaker

sys.path.insert(0, str(Path(__file__).parents[1] / "training"))

import vasp_mock

DIAMOND = vasp_mock.real_structure()


def reference(folder, write_outputs, incar, kpoints):
    """Lay down what the mock compares the written inputs with, and the outputs it copies."""
    inputs = folder / "inputs"
    inputs.mkdir(parents=True)
    Incar(incar).write_file(inputs / "INCAR")
    if kpoints:
        kpoints.write_file(inputs / "KPOINTS")
    DIAMOND.to(str(inputs / "POSCAR"), fmt="poscar")
    (inputs / "POTCAR.spec").write_text("C")  # no licensed data: the name of the potential alone
    write_outputs(folder / "outputs")


@pytest.fixture
def mock_vasp(monkeypatch, tmp_path):
    chosen = {"ISMEAR": 0, "SIGMA": 0.05, "ISPIN": 1, "NSW": 0, "NELM": 200, "PREC": "Accurate"}
    chosen |= {"ALGO": "Normal", "LASPH": True}
    chosen |= dict.fromkeys(("LREAL", "LDAU", "LELF", "LAECHG", "LCHARG", "LVTOT", "LWAVE"), False)
    scan = chosen | {"METAGGA": "Scan", "ENCUT": 520.0, "KSPACING": 0.2, "EDIFF": 1e-5, "LMIXTAU": True}
    pbe = chosen | {"GGA": "Pe", "ENCUT": 500.0, "EDIFF": 1e-4}
    reference(tmp_path / "scan", vasp_mock.write_scan_outputs, scan, None)
    reference(tmp_path / "pbe", vasp_mock.write_pbe_outputs, pbe, Kpoints())
    monkeypatch.chdir(tmp_path)
    yield from monkeypatch_vasp(monkeypatch, tmp_path, nelect=8)


def run(maker, batch, settings):
    flow = maker.make(batch)
    responses = run_locally(flow, store=job_store(settings), create_folders=True, ensure_success=False)
    outputs = [r.output for by_index in responses.values() for r in by_index.values()]
    return [output for output in outputs if isinstance(output, LabelBatchOutput)]


def batch(*sources, scale=1.0):
    structure = DIAMOND.copy()
    structure.scale_lattice(structure.volume * scale)
    return store_batch(
        UnlabelledStructure(structure=structure.as_dict(), parent_configuration="diamond", source=source)
        for source in sources
    )


@pytest.mark.parametrize("study", ["scan", "pbe"])
def test_a_static_job_runs_and_its_label_is_stored(study, mock_vasp, database, settings_environment):
    settings = VaspSettings.scan() if study == "scan" else VaspSettings.pbe_gamma()
    mock_vasp({"label frame 1": study}, {"label frame 1": {}})
    (output,) = run(VaspLabelMaker(settings), batch("frame 1"), settings_environment)
    assert output.failures == []
    (label,) = unpack_labels(worker().blobs.get(output.packed.sha256))
    assert label.energy_eV == pytest.approx(-20.23985977)
    assert label.level_of_theory.identifier == output.level_identifier == settings.level_of_theory.identifier
    assert (label.parent_configuration, label.source) == ("diamond", "frame 1")
    # the same structure again: no VASP job, the label is there
    (again,) = run(VaspLabelMaker(settings), batch("frame 2"), settings_environment)
    assert (again.n_reused, again.cpu_time_s) == (1, 0.0)
    assert database[OUTPUTS].count_documents({"output.kind": "label_batch"}) >= 2


def test_a_vasp_job_that_fails_costs_its_structure_only(mock_vasp, database, settings_environment):
    settings = VaspSettings.pbe_gamma()
    mock_vasp({"label frame 1": "pbe"}, {"label frame 1": {}})
    structures = []
    for source, scale in (("frame 1", 1.0), ("frame 2", 1.1)):  # the mock has no files for frame 2
        structure = DIAMOND.copy()
        structure.scale_lattice(structure.volume * scale)
        structures.append(
            UnlabelledStructure(structure=structure.as_dict(), parent_configuration="d", source=source)
        )
    (output,) = run(VaspLabelMaker(settings), store_batch(structures), settings_environment)
    assert len(output.labels) == 1
    (failure,) = output.failures
    assert failure.reason == "frame 2: the VASP job failed; see its firework"


def test_vasp_that_ran_something_else_is_no_label(mock_vasp, database, settings_environment):
    mock_vasp({"label frame 1": "pbe", "label frame 2": "scan"}, {
        "label frame 1": {}, "label frame 2": {"check_inputs": ()},
    })  # fmt: skip
    (first,) = run(VaspLabelMaker(VaspSettings.pbe_gamma()), batch("frame 1"), settings_environment)
    assert first.failures == []
    outputs = run(VaspLabelMaker(VaspSettings(functional="r2SCAN")), batch("frame 2"), settings_environment)
    assert outputs == []  # the only structure of the batch has no label, and the job says so
