"""A cheap exact potential for tests of long runs: atoms on springs, with the cell's stress left out."""

from ase import Atoms
from ase.calculators.calculator import Calculator, all_changes


class Springs(Calculator):
    """Each atom on a spring at its site; energies in eV, stiffness in eV/Å²."""

    implemented_properties = ("energy", "forces")

    def __init__(self, sites, stiffness=1.0):
        super().__init__()
        self.sites, self.stiffness = sites, stiffness

    def calculate(self, atoms=None, properties=None, system_changes=all_changes):
        super().calculate(atoms, properties, system_changes)
        away = self.atoms.positions - self.sites
        self.results = {
            "energy": 0.5 * self.stiffness * float((away**2).sum()),
            "forces": -self.stiffness * away,
        }


def crystal(n=2):
    """Give a simple cubic crystal of n³ lithium atoms and its springs."""
    atoms = Atoms("Li", cell=[3.0] * 3, pbc=True) * (n, n, n)
    return atoms, Springs(atoms.get_positions())
