"""Mock of a VASP run: a real vasprun.xml (VASP 6.3.0, diamond, from ASE's test data) with other parameters.

There is no VASP here. The file is what VASP wrote; only the parameters that name the level of theory, and the
number of electronic steps where a test asks for it, are exchanged. OUTCAR holds the run statistics alone.
"""

import re
from pathlib import Path

import ase.test
from pymatgen.io.vasp import Vasprun

REAL = Path(ase.test.__file__).parent / "testdata" / "vasp" / "vasprun_pstress.xml"

OUTCAR = """ vasp.6.3.0 20Jan22 (build Feb 16 2022 17:18:48) complex
 running on    4 total cores
   k-points           NKPTS =     10   k-points in BZ     NKDIM =     10   number of bands    NBANDS=      8
 total plane-waves  NPLWV =   1728
   IBRION =     -1    ionic relax: 0-MD 1-quasi-New 2-CG
 General timing and accounting informations for this job:
 ========================================================

                  Total CPU time used (sec):       12.500
                            User time (sec):       12.000
                          System time (sec):        0.500
                         Elapsed time (sec):       13.000

                   Maximum memory used (kb):       50000.
                   Average memory used (kb):           0.
"""


def real_structure():
    """Diamond as in the file, atoms as they are."""
    return Vasprun(str(REAL), parse_potcar_file=False, parse_dos=False, parse_eigen=False).final_structure


def write_outputs(folder, incar, parameters, metagga=None, divisions=(4, 4, 4), n_steps=None):
    """Write what VASP would have left: vasprun.xml, OUTCAR, CONTCAR and the inputs."""
    text = REAL.read_text(encoding="ISO-8859-1")
    for name, value in parameters.items():
        text, found = re.subn(rf'(name="{name}">)[^<]*(</i>)', rf"\g<1> {value} \g<2>", text)
        assert found, name
    entries = "\n".join(f'  <i{kind} name="{name}">{value}</i>' for name, kind, value in incar)
    text = re.sub(r"<incar>.*?</incar>", f"<incar>\n{entries}\n </incar>", text, flags=re.DOTALL)
    text = re.sub(r"(divisions\">)[^<]*(</v>)", rf"\g<1> {' '.join(map(str, divisions))} \g<2>", text)
    text = text.replace('<generation param="Monkhorst-Pack">', '<generation param="Gamma">')
    text = text.replace("PAW C 22Mar2012", "PAW_PBE C 08Apr2002")
    text = text.replace('name="GGA">--', 'name="GGA">PE')
    if metagga:
        field = f'<i type="string" name="METAGGA">{metagga}</i>'
        text = text.replace('<i type="string" name="GGA">', f'{field}\n   <i type="string" name="GGA">', 1)
    if n_steps:
        step = re.search(r"  <scstep>.*?</scstep>\n", text, flags=re.DOTALL).group()
        text = text.replace(step, step * (n_steps - text.count("<scstep>") + 1), 1)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "vasprun.xml").write_text(text, encoding="ISO-8859-1")
    (folder / "OUTCAR").write_text(OUTCAR)
    real_structure().to(str(folder / "CONTCAR"), fmt="poscar")
    real_structure().to(str(folder / "POSCAR"), fmt="poscar")
    return folder


SCAN_INCAR = [
    ("ENCUT", "", 520.0),
    ("EDIFF", "", 1e-5),
    ("KSPACING", "", 0.2),
    ("ISMEAR", ' type="int"', 0),
    ("SIGMA", "", 0.05),
    ("METAGGA", ' type="string"', "SCAN"),
    ("LASPH", ' type="logical"', "T"),
    ("PREC", ' type="string"', "Accurate"),
]
SCAN_PARAMETERS = {"ENMAX": 520.0, "EDIFF": 1e-5, "ISMEAR": 0, "SIGMA": 0.05, "LASPH": "T", "PREC": "accura"}
SCAN_PARAMETERS["PSTRESS"] = 0.0
PBE_INCAR = [
    ("ENCUT", "", 500.0),
    ("EDIFF", "", 1e-4),
    ("ISMEAR", ' type="int"', 0),
    ("SIGMA", "", 0.05),
    ("GGA", ' type="string"', "PE"),
    ("LASPH", ' type="logical"', "T"),
    ("PREC", ' type="string"', "Accurate"),
]
PBE_PARAMETERS = SCAN_PARAMETERS | {"ENMAX": 500.0, "EDIFF": 1e-4}


def write_scan_outputs(folder, **changes):
    """Outputs of a SCAN single point with the settings of Deng 2025."""
    arguments = {"metagga": "SCAN", "divisions": (13, 13, 13)} | changes
    return write_outputs(folder, SCAN_INCAR, SCAN_PARAMETERS, **arguments)


def write_pbe_outputs(folder, **changes):
    """Outputs of a PBE single point with the settings of Yang 2025."""
    return write_outputs(folder, PBE_INCAR, PBE_PARAMETERS, **({"divisions": (1, 1, 1)} | changes))
