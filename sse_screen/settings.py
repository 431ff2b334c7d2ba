"""All settings in one class, read from the environment and one YAML file; unknown keys are refused."""

from __future__ import annotations

import difflib
import os
import shutil
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, InitSettingsSource, PydanticBaseSettingsSource, SettingsConfigDict

from sse_screen.exceptions import InfrastructureError, InputError

ENV_PREFIX = "SSE_SCREEN_"
CONFIG_FILE_VARIABLE = "SSE_SCREEN_CONFIG_FILE"
DEFAULT_CONFIG_FILE = "sse_screen.yaml"


class Settings(BaseSettings):
    """Settings of the platform.

    Sources, the first one that has a key wins: arguments, environment variables (``SSE_SCREEN_`` and the
    key in capitals), the YAML file named by ``SSE_SCREEN_CONFIG_FILE`` or else ``sse_screen.yaml`` in the
    current folder. Relative paths in the file count from the file's folder, all others from the current one.
    """

    model_config = SettingsConfigDict(
        env_prefix=ENV_PREFIX,
        extra="forbid",
        frozen=True,
        hide_input_in_errors=True,
        validate_default=True,
        env_ignore_empty=True,
    )

    database_uri: SecretStr | None = Field(
        None,
        description="MongoDB connection string; unset: the embedded server",
    )
    database_name: str = Field(
        "sse_screen", description="Database that holds everything", pattern=r"^[A-Za-z0-9_-]{1,38}$"
    )
    database_timeout_s: float = Field(
        5.0, description="How long to look for the database, seconds", gt=0, le=600
    )
    database_wait_s: float = Field(
        3600.0,
        description="How long workers wait for a database that has gone away, seconds",
        ge=0,
        le=30 * 86400,
    )
    data_directory: Path = Field(
        Path(".sse_screen"), description="Where the embedded server and caches keep their files"
    )
    work_directory: Path | None = Field(
        None, description="Scratch and outbox of running jobs; unset: work below data_directory"
    )
    embedded_cache_gb: float = Field(
        0.25, description="Memory that the embedded server may use as cache, GB", ge=0.25, le=1024
    )
    workers: int = Field(
        default_factory=lambda: len(os.sched_getaffinity(0)),
        description="Worker processes, one thread each; unset: as many as usable cores",
        ge=1,
        le=4096,
    )
    wall_time_s: float | None = Field(
        None,
        description="Workers stop at a checkpoint before they have run so long, seconds; "
        "unset: until the end of the SLURM job, if there is one",
        gt=0,
    )
    minimum_free_space_gb: float = Field(
        1.0, description="Jobs are refused when a disk they write to has less left, GB", ge=0, le=1e6
    )
    device: str = Field(
        "auto",
        description="Where potentials run: cpu, cuda, cuda:<n>, or auto for a GPU when there is one",
        pattern=r"^(auto|cpu|cuda(:\d+)?)$",
    )
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field(
        "INFO", description="Least severe message that is logged"
    )
    api_host: str = Field("127.0.0.1", description="Address that the API listens on", min_length=1)
    api_port: int = Field(8000, description="Port that the API listens on", ge=1, le=65535)
    api_database_uri: SecretStr | None = Field(
        None, description="Connection string of the API's read-only user; unset: database_uri"
    )
    api_key: SecretStr | None = Field(
        None, description="Key that API clients must send as X-API-Key; needed off the loopback interface"
    )

    @model_validator(mode="before")
    @classmethod
    def _absolute_paths(cls, values: Any) -> Any:
        """Anchor paths now: FireWorks changes the current folder for each job."""
        values = dict(values)
        values["data_directory"] = _absolute(values.get("data_directory") or ".sse_screen")
        work = values.get("work_directory")
        values["work_directory"] = _absolute(work) if work else values["data_directory"] / "work"
        return values

    @field_validator("database_uri", "api_database_uri")
    @classmethod
    def _has_scheme(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and not value.get_secret_value().startswith(("mongodb://", "mongodb+srv://")):
            raise ValueError(
                "must start with mongodb:// or mongodb+srv:// (value not shown: it may be secret)"
            )
        return value

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Order the sources: arguments, environment, YAML file."""
        return init_settings, env_settings, InitSettingsSource(settings_cls, read_config_file(config_file()))

    def environment(self) -> dict[str, str]:
        """Give the environment variables that make a child process see these settings.

        Returns
        -------
        dict
            Variables by name, secrets in clear: pass them to a process, write them nowhere.
        """
        variables = {}
        for name in type(self).model_fields:
            value = getattr(self, name)
            if value is not None:
                plain = value.get_secret_value() if isinstance(value, SecretStr) else value
                variables[ENV_PREFIX + name.upper()] = str(plain)
        return variables


def _absolute(path: str | Path) -> Path:
    return Path(os.path.abspath(Path(path).expanduser()))


def config_file() -> Path | None:
    """Find the configuration file.

    Returns
    -------
    Path or None
        The file named by ``SSE_SCREEN_CONFIG_FILE``, else ``sse_screen.yaml`` in the current folder if it is
        there.

    Raises
    ------
    InputError
        When the variable names a file that does not exist.
    """
    named = os.environ.get(CONFIG_FILE_VARIABLE)
    path = _absolute(named or DEFAULT_CONFIG_FILE)
    if path.is_file():
        return path
    if named:
        raise InputError(f"{CONFIG_FILE_VARIABLE}: there is no file {path}; correct or unset the variable")
    return None


def read_config_file(path: Path | None) -> dict[str, Any]:
    """Read a configuration file, refusing what is no mapping of known keys.

    Parameters
    ----------
    path : Path or None
        YAML file, or None for none.

    Returns
    -------
    dict
        Values by key; relative paths anchored at the file's folder.

    Raises
    ------
    InputError
        When the file cannot be read or parsed, is no mapping, or holds an unknown key.
    """
    if path is None:
        return {}
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read: {error}") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f" in line {mark.line + 1}" if mark else ""
        problem = getattr(error, "problem", "") or ""
        raise InputError(f"{path}: is not valid YAML{where}: {problem}") from None
    if values is None:
        return {}
    if not isinstance(values, dict):
        raise InputError(f"{path}: must hold settings as 'key: value' lines")
    for key in values:
        if key not in Settings.model_fields:
            raise InputError(f"{path}: unknown key {key!r}; {_suggestion(str(key), Settings.model_fields)}")
    for key in ("data_directory", "work_directory"):
        if isinstance(values.get(key), str):
            values[key] = path.parent / Path(values[key]).expanduser()
    return values


def _suggestion(name: str, known: Iterable[str]) -> str:
    known = sorted(known)
    near = difflib.get_close_matches(name, known, n=1)
    if near:
        return f"did you mean {near[0]!r}?"
    return "known keys: " + ", ".join(known)


def _check_environment() -> None:
    known = {ENV_PREFIX + name.upper() for name in Settings.model_fields} | {CONFIG_FILE_VARIABLE}
    for variable in os.environ:
        if variable.upper().startswith(ENV_PREFIX) and variable.upper() not in known:
            raise InputError(
                f"environment variable {variable}: no such setting; {_suggestion(variable.upper(), known)}"
            )


def _describe(error: ValidationError, file: Path | None, arguments: dict[str, Any]) -> str:
    """Say for each refused value where it came from, what it was (no secret) and what is wanted."""
    lines = []
    file_values = read_config_file(file)
    for problem in error.errors():
        key = str(problem["loc"][0]) if problem["loc"] else "settings"
        variable = ENV_PREFIX + key.upper()
        environment = {name.upper(): value for name, value in os.environ.items()}
        if key in arguments:
            source, value = f"argument {key}", arguments[key]
        elif variable in environment:
            source, value = f"environment variable {variable}", environment[variable]
        else:
            source, value = f"{file}: {key}", file_values.get(key)
        secret = key in ("database_uri", "api_database_uri", "api_key")
        shown = "" if secret else f" {str(value)!r} is refused:"
        lines.append(f"{source}:{shown} {problem['msg']}")
    return "; ".join(lines)


def load_settings(**arguments: Any) -> Settings:
    """Read the settings from all sources, turning every fault into one clear message.

    Parameters
    ----------
    **arguments : Any
        Settings that override environment and file.

    Returns
    -------
    Settings
        The checked settings, paths absolute.

    Raises
    ------
    InputError
        For an unknown key or variable, or a refused value; names source, field and value (never a secret).
    """
    _check_environment()
    file = config_file()
    try:
        return Settings(**arguments)
    except ValidationError as error:
        raise InputError(_describe(error, file, arguments)) from None


@lru_cache(maxsize=1)
def get_settings() -> Settings:
    """Give the settings of this process, read once.

    Returns
    -------
    Settings
        See :func:`load_settings`; ``get_settings.cache_clear()`` makes the next call read them again.
    """
    return load_settings()


def check_free_space(settings: Settings) -> None:
    """Refuse to begin work on a disk that is nearly full.

    Parameters
    ----------
    settings : Settings
        ``data_directory`` (embedded server only), ``work_directory`` and ``minimum_free_space_gb``.

    Raises
    ------
    InfrastructureError
        Naming the folder, what is left and the way out.
    """
    folders = {"work_directory": settings.work_directory}
    if settings.database_uri is None:
        folders["data_directory"] = settings.data_directory
    for name, folder in folders.items():
        existing = next(p for p in (folder or Path(), *(folder or Path()).parents) if p.exists())
        free_gb = shutil.disk_usage(existing).free / 1e9
        if free_gb < settings.minimum_free_space_gb:
            raise InfrastructureError(
                f"{name} {folder}: {free_gb:.2f} GB are left on its disk and minimum_free_space_gb is "
                f"{settings.minimum_free_space_gb:g}; free some space or set {name} to another disk"
            )
