"""Files for those who run plain FireWorks (rlaunch, qlaunch) instead of ``sse-screen launch``."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import yaml

from sse_screen.database.stores import database_uri, launchpad
from sse_screen.settings import ENV_PREFIX, Settings

_QUEUE_TEMPLATE = """\
#!/bin/bash -l

#SBATCH --nodes=$${nodes}
#SBATCH --ntasks=$${ntasks}
#SBATCH --cpus-per-task=$${cpus_per_task}
#SBATCH --time=$${walltime}
#SBATCH --partition=$${queue}
#SBATCH --account=$${account}
#SBATCH --job-name=$${job_name}
#SBATCH --output=$${job_name}-%j.out
#SBATCH --error=$${job_name}-%j.error

$${pre_rocket}
cd $${launch_dir}
$${rocket_launch}
$${post_rocket}
"""


def write_fireworks_files(settings: Settings, folder: Path) -> list[Path]:
    """Write the files, readable by their owner only since they may hold the database's password.

    Parameters
    ----------
    settings : Settings
        Where the database is.
    folder : Path
        Made when missing (mode 0700).

    Returns
    -------
    list of Path
        Files written.
    """
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    pad = launchpad(settings).to_dict()
    uri = database_uri(settings)
    store = {
        "uri": uri,
        "database": settings.database_name,
        "collection_name": "outputs",
        "type": "MongoURIStore",
    }
    template = folder / "slurm_template.txt"
    prefix = Path(sys.executable).parent
    here = folder.resolve()
    config_files = f"JOBFLOW_CONFIG_FILE={here}/jobflow.yaml SSE_SCREEN_CONFIG_FILE={here}/sse_screen.yaml"
    setup = f"source {prefix}/activate; export OMP_NUM_THREADS=1 {config_files}"
    files: dict[str, Any] = {
        "my_launchpad.yaml": pad,
        "my_fworker.yaml": {"name": "sse-screen", "category": "", "query": "{}", "env": {}},
        "my_qadapter.yaml": {
            "_fw_name": "CommonAdapter",
            "_fw_q_type": "SLURM",
            "_fw_template_file": str(template.resolve()),
            "rocket_launch": f"rlaunch -l {here}/my_launchpad.yaml -w {here}/my_fworker.yaml rapidfire",
            "nodes": 1,
            "ntasks": 1,
            "cpus_per_task": 1,
            "walltime": "24:00:00",
            "queue": "CHANGE_ME",
            "account": "CHANGE_ME",
            "job_name": "sse-screen",
            "pre_rocket": setup,
            "post_rocket": None,
        },
        "sse_screen.yaml": _as_file(settings),
        "jobflow.yaml": {"JOB_STORE": {"docs_store": store}},
    }
    written = [_private(template, _QUEUE_TEMPLATE)]
    written += [_private(folder / name, yaml.safe_dump(content)) for name, content in files.items()]
    return written


def _as_file(settings: Settings) -> dict[str, Any]:
    """Give the settings as the content of a file, so that jobs find the same database and folders."""
    prefix = len(ENV_PREFIX)
    return {name[prefix:].lower(): value for name, value in settings.environment().items()}


def _private(path: Path, text: str) -> Path:
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as handle:
        handle.write(text)
    return path
