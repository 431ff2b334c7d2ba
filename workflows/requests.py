"""What a campaign asks for, without the potential: made into flows once there is one."""

from __future__ import annotations

from typing import Any, Literal

from jobflow import Flow
from pydantic import Field, field_validator
from pymatgen.core import Structure

from sse_screen.documents.base import Document, PotentialIdentity
from sse_screen.documents.extension import ExtensionRule
from sse_screen.documents.molecular_dynamics import MolecularDynamicsProtocol
from sse_screen.documents.relaxation import RelaxationProtocol
from sse_screen.workflows.extension import ExtensionMaker
from sse_screen.workflows.molecular_dynamics import DiffusionFlowMaker, MolecularDynamicsMaker
from sse_screen.workflows.relaxation import RelaxationMaker


class _Request(Document):
    structure: dict[str, Any] = Field(description="Ordered unit cell, pymatgen as_dict")

    @field_validator("structure", mode="before")
    @classmethod
    def _as_dict(cls, value: Any) -> Any:
        return value.as_dict() if isinstance(value, Structure) else value  # jobflow revives it


class DiffusionRequest(_Request):
    """The diffusion of one ion in one crystal."""

    kind: Literal["diffusion"] = "diffusion"
    material_name: str = Field(description="Name in the campaign")
    mobile_ion: str = Field(description="Mobile element")
    charge_number: int = Field(description="Its charge in units of e")
    composition_spaces: list[str] = Field(description="Spaces whose hull the relaxed crystal belongs to")
    relaxation: RelaxationProtocol
    dynamics: MolecularDynamicsProtocol
    minimum_length_A: float = Field(description="Smallest perpendicular width of the supercell")
    temperatures_K: list[float]
    replicas: int
    seed: int
    extension: ExtensionRule | None = None
    stop_early: bool = True

    def flow(self, potential: PotentialIdentity) -> Flow:
        """Compose the flow.

        Parameters
        ----------
        potential : PotentialIdentity
            Of all steps.

        Returns
        -------
        Flow
            Relaxation and runs.
        """
        dynamics = MolecularDynamicsMaker(
            potential, self.dynamics, self.minimum_length_A, stop_early=self.stop_early
        )
        maker = DiffusionFlowMaker(
            relaxation=RelaxationMaker(potential, self.relaxation),
            dynamics=dynamics,
            extension=None if self.extension is None else ExtensionMaker(dynamics, self.extension),
            temperatures_K=tuple(self.temperatures_K),
            replicas=self.replicas,
            seed=self.seed,
        )
        structure = Structure.from_dict(self.structure)
        return maker.make(
            structure, self.material_name, self.mobile_ion, self.charge_number, self.composition_spaces
        )


class HullEntryRequest(_Request):
    """The energy of one crystal on the hull of its spaces."""

    kind: Literal["hull_entry"] = "hull_entry"
    name: str = Field(description="Name in the campaign")
    composition_spaces: list[str] = Field(description="Spaces whose hull it belongs to")
    relaxation: RelaxationProtocol

    def flow(self, potential: PotentialIdentity) -> Flow:
        """Compose the flow.

        Parameters
        ----------
        potential : PotentialIdentity
            Of the relaxation.

        Returns
        -------
        Flow
            The relaxation.
        """
        made = RelaxationMaker(potential, self.relaxation).make(
            Structure.from_dict(self.structure), self.name, self.composition_spaces
        )
        made.name = f"{self.name} relaxation"
        return Flow([made], name=f"{self.name} hull entry")
