"""Make the helpers of the workflows' tests, and the toys of other subjects' tests, importable."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parent.parent / "training"))
