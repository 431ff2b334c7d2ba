"""The file of a self-consistent loop: crystal, teacher, student, protocol; and its submission."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from jobflow.managers.fireworks import flow_to_workflow
from pydantic import BaseModel, ConfigDict, Field, PositiveFloat, ValidationError
from pymatgen.core import Structure

from sse_screen.database.blobs import BlobStore
from sse_screen.documents.base import PotentialIdentity
from sse_screen.documents.potential import ALIAS_PATTERN
from sse_screen.documents.self_consistent import LoopProtocol, LoopState
from sse_screen.exceptions import InputError
from sse_screen.potentials import known_potentials
from sse_screen.potentials.classical import is_classical
from sse_screen.structures.checks import check_mobile_ion, check_neutral, is_disordered
from sse_screen.structures.identity import structure_hash
from sse_screen.structures.loading import load_structure
from sse_screen.structures.supercells import supercell_with_minimum_length
from sse_screen.training.students import LinearStudent, Student
from sse_screen.workflows.labelling import AseLabelMaker
from sse_screen.workflows.potentials import check_covered, choose_potential, from_file, store_potential
from sse_screen.workflows.self_consistent import SelfConsistentLoopMaker

if TYPE_CHECKING:
    from fireworks import LaunchPad
    from pymongo.database import Database

_NEUTRAL = 1e-6  # charge units


class LoopFile(BaseModel):
    """Everything that one ``sse-screen loop submit`` adds."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    name: str = Field(pattern=r"^[A-Za-z0-9_.-]{1,64}$", description="Name of the loop")
    crystal: Path = Field(description="CIF, POSCAR …; relative paths count from the loop's file")
    minimum_length_A: PositiveFloat = Field(8.0, description="The crystal is repeated to this width")
    mobile_ion: str = Field("Li", description="Mobile element")
    charge_number: int = Field(1, description="Its charge")
    teacher: str = Field(description="Name, hash or file of the potential that labels")
    student: Student
    protocol: LoopProtocol
    seed: int = Field(1, ge=0, description="Every run's seed is derived from it")
    compare_with_teacher: bool = Field(
        False, description="Run the teacher once as the student is run, and compare their diffusivities"
    )
    register_as: str | None = Field(
        None,
        pattern=ALIAS_PATTERN,
        description="Name of the last student in the registry of potentials; that of the loop when left out",
    )

    @property
    def potential_name(self) -> str:
        """Name that campaigns ask for the last student by."""
        return self.register_as or self.name


def load_loop(path: Path) -> LoopFile:
    """Read and check the file of a loop.

    Parameters
    ----------
    path : Path
        YAML file.

    Returns
    -------
    LoopFile
        Checked fields.

    Raises
    ------
    InputError
        Naming file, field and fault.
    """
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: not a YAML file: {error}") from error
    if not isinstance(content, dict):
        raise InputError(
            f"{path}: expected a mapping with name, crystal, teacher …; see docs/self_consistent.md"
        )
    try:
        found = LoopFile.model_validate(content)
    except ValidationError as error:
        lines = [
            f"{path}: {'.'.join(str(part) for part in problem['loc'])}: {problem['msg']}"
            for problem in error.errors()
        ]
        raise InputError("\n".join(lines)) from None
    found.crystal = path.parent / found.crystal
    found.teacher = from_file(found.teacher, path.parent)
    return found


def loop_cell(file: LoopFile) -> Structure:
    """Build the cell that all runs of a loop are made in.

    Parameters
    ----------
    file : LoopFile
        Crystal and width.

    Returns
    -------
    Structure
        Ordered, neutral, with the mobile ion.

    Raises
    ------
    InputError
        When the crystal is none of these.
    """
    crystal = load_structure(file.crystal)
    check_neutral(crystal, name=file.name)
    if is_disordered(crystal):
        raise InputError(f"{file.name}: {file.crystal} has partial occupancies; give an ordered crystal")
    check_mobile_ion(crystal, file.mobile_ion, file.name)
    crystal.remove_oxidation_states()
    return supercell_with_minimum_length(crystal, file.minimum_length_A)


def check_loop(file: LoopFile) -> tuple[Structure, PotentialIdentity]:
    """Build the crystal and resolve the teacher of a loop.

    Parameters
    ----------
    file : LoopFile
        From :func:`load_loop`.

    Returns
    -------
    cell : Structure
        The simulated cell.
    teacher : PotentialIdentity
        Who labels.

    Raises
    ------
    InputError
        A name that is taken, an unknown teacher, a crystal that it does not cover, or charges of the student
        that are not those of the crystal.
    """
    name = file.potential_name
    if name in known_potentials() or is_classical(name):
        raise InputError(
            f"{file.name}: {name!r} is a potential that comes with the platform; set register_as"
        )
    cell = loop_cell(file)
    teacher = choose_potential(file.teacher)
    check_covered(cell, teacher, file.name)
    if isinstance(file.student, LinearStudent):
        charges = file.student.protocol.charges
        present = {element.symbol: amount for element, amount in cell.composition.items()}
        if set(charges) != set(present):
            raise InputError(
                f"{file.name}: student.protocol.charges has {', '.join(sorted(charges))}, the crystal has "
                f"{', '.join(sorted(present))}"
            )
        total = sum(charges[symbol] * amount for symbol, amount in present.items())
        if abs(total) > _NEUTRAL:
            raise InputError(f"{file.name}: student.protocol.charges: the cell has the charge {total:g}")
    return cell, teacher


def submit_loop(file: LoopFile, database: Database[dict[str, Any]], launchpad: LaunchPad) -> int:
    """Add a loop to the LaunchPad, unless it is there.

    Parameters
    ----------
    file : LoopFile
        From :func:`load_loop`.
    database : pymongo Database
        Gets the weights of a teacher that is a file.
    launchpad : LaunchPad
        Where the workflow goes.

    Returns
    -------
    int
        Workflows added: 1, or 0 when it was submitted before.

    Raises
    ------
    InputError
        As of :func:`check_loop`.
    """
    cell, teacher = check_loop(file)
    material: dict[str, Any] = {
        "material_id": structure_hash(cell),
        "material_name": file.name,
        "mobile_ion": file.mobile_ion,
        "charge_number": file.charge_number,
    }
    maker = SelfConsistentLoopMaker(
        AseLabelMaker(teacher=teacher),
        file.student,
        file.protocol,
        file.name,
        teacher if file.compare_with_teacher else None,
        file.potential_name,
    )
    flow = maker.make(cell, material, file.seed)
    loop_id = maker.first_state(cell, material, file.seed).loop_id
    if launchpad.workflows.find_one({"metadata.submission": loop_id}) is not None:
        return 0
    store_potential(teacher, BlobStore(database))
    flow.update_metadata({"campaign": file.name})
    launchpad.add_wf(flow_to_workflow(flow, metadata={"campaign": file.name, "submission": loop_id}))
    return 1


def latest_state(database: Database[dict[str, Any]], name: str) -> LoopState:
    """Find how far a loop has come.

    Parameters
    ----------
    database : pymongo Database
        Holds the outputs.
    name : str
        Of the loop.

    Returns
    -------
    LoopState
        The latest.

    Raises
    ------
    InputError
        When no loop of that name has begun.
    """
    query = {"output.kind": "self_consistent_state", "output.name": name}
    found = database["outputs"].find(query, {"_id": 0, "output": 1})
    states = [LoopState.model_validate(document["output"]) for document in found]
    if not states:
        raise InputError(f"loop {name!r}: none of this name has begun; see sse-screen status")
    return max(states, key=lambda state: state.progress)
