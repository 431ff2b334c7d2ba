"""Settings: sources, precedence, and one clear message for every fault."""

import os
from pathlib import Path

import pytest

from sse_screen.exceptions import InputError
from sse_screen.settings import ENV_PREFIX, Settings, get_settings, load_settings


@pytest.fixture(autouse=True)
def _clean(monkeypatch, tmp_path):
    for name in list(os.environ):
        if name.startswith(ENV_PREFIX):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    get_settings.cache_clear()
    yield
    get_settings.cache_clear()


def test_defaults(tmp_path):
    settings = load_settings()
    assert settings.database_uri is None
    assert settings.database_name == "sse_screen"
    assert settings.data_directory == tmp_path / ".sse_screen"
    assert settings.work_directory == tmp_path / ".sse_screen" / "work"
    assert settings.workers == len(os.sched_getaffinity(0))
    assert (settings.api_host, settings.api_port) == ("127.0.0.1", 8000)


def test_arguments_beat_environment_beats_file(monkeypatch, tmp_path):
    (tmp_path / "sse_screen.yaml").write_text("workers: 3\napi_port: 9000\ndevice: cuda:1\n")
    monkeypatch.setenv("SSE_SCREEN_API_PORT", "9001")
    monkeypatch.setenv("SSE_SCREEN_DEVICE", "cuda")
    settings = load_settings(device="cpu")
    assert (settings.workers, settings.api_port, settings.device) == (3, 9001, "cpu")


def test_named_file_and_its_relative_paths(monkeypatch, tmp_path):
    folder = tmp_path / "group"
    folder.mkdir()
    (folder / "ours.yaml").write_text("data_directory: data\nwork_directory: scratch\n")
    monkeypatch.setenv("SSE_SCREEN_CONFIG_FILE", "group/ours.yaml")
    settings = load_settings()
    assert settings.data_directory == folder / "data"
    assert settings.work_directory == folder / "scratch"


def test_environment_paths_count_from_current_folder(monkeypatch, tmp_path):
    monkeypatch.setenv("SSE_SCREEN_DATA_DIRECTORY", "here/data")
    assert load_settings().data_directory == tmp_path / "here" / "data"


def test_missing_named_file(monkeypatch):
    monkeypatch.setenv("SSE_SCREEN_CONFIG_FILE", "absent.yaml")
    with pytest.raises(InputError, match=r"SSE_SCREEN_CONFIG_FILE: there is no file .*absent.yaml"):
        load_settings()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("databse_name: x\n", "unknown key 'databse_name'; did you mean 'database_name'"),
        ("zzz: 1\n", "unknown key 'zzz'; known keys: api_database_uri, api_host"),
        ("workers: [\n", "is not valid YAML in line 2"),
        ("- 1\n", "must hold settings as 'key: value' lines"),
        ("workers: 0\n", "sse_screen.yaml: workers: '0' is refused: .*greater than or equal to 1"),
        ("database_name: a.b\n", "sse_screen.yaml: database_name: 'a.b' is refused"),
        ("device: tpu\n", "device: 'tpu' is refused"),
        ("log_level: LOUD\n", "'LOUD' is refused: Input should be 'DEBUG'"),
        ("database_timeout_s: -1\n", "'-1' is refused"),
    ],
)
def test_faulty_file(tmp_path, text, message):
    (tmp_path / "sse_screen.yaml").write_text(text)
    with pytest.raises(InputError, match=message):
        load_settings()


def test_empty_and_unreadable_file(tmp_path):
    file = tmp_path / "sse_screen.yaml"
    file.write_text("# nothing set\n")
    assert load_settings().workers >= 1
    file.write_bytes(b"\xff\xfe\x00broken")
    with pytest.raises(InputError, match="cannot be read"):
        load_settings()


def test_unknown_variable_is_refused(monkeypatch):
    monkeypatch.setenv("SSE_SCREEN_WORKER", "2")
    with pytest.raises(InputError, match="SSE_SCREEN_WORKER: no such setting; did you mean"):
        load_settings()


def test_faulty_variable_names_itself_and_its_value(monkeypatch):
    monkeypatch.setenv("SSE_SCREEN_API_PORT", "http")
    with pytest.raises(InputError, match="environment variable SSE_SCREEN_API_PORT: 'http' is refused"):
        load_settings()


def test_secrets_stay_out_of_messages_and_repr(monkeypatch, tmp_path):
    monkeypatch.setenv("SSE_SCREEN_DATABASE_URI", "mongodb://u:hunter2@h/")
    settings = load_settings()
    assert "hunter2" not in repr(settings)
    assert "hunter2" not in settings.model_dump_json()
    (tmp_path / "sse_screen.yaml").write_text("api_key: [hunter2]\n")
    with pytest.raises(InputError) as caught:
        load_settings()
    assert "hunter2" not in str(caught.value)


def test_database_uri_needs_a_scheme(monkeypatch):
    monkeypatch.setenv("SSE_SCREEN_DATABASE_URI", "user:hunter2@host")
    with pytest.raises(InputError, match=r"SSE_SCREEN_DATABASE_URI: .*must start with mongodb://") as caught:
        load_settings()
    assert "hunter2" not in str(caught.value)


def test_frozen():
    with pytest.raises(ValueError, match="frozen"):
        load_settings().workers = 4


def test_child_process_sees_the_same(monkeypatch, tmp_path):
    settings = load_settings(
        database_uri="mongodb://u:p@h/", data_directory=Path("d"), api_key="k", workers=7
    )
    for name, value in settings.environment().items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir("/")
    again = load_settings()
    assert again == settings
    assert again.database_uri is not None
    assert again.database_uri.get_secret_value() == "mongodb://u:p@h/"


def test_read_once(monkeypatch):
    first = get_settings()
    monkeypatch.setenv("SSE_SCREEN_WORKERS", "5")
    assert get_settings() is first
    get_settings.cache_clear()
    assert get_settings().workers == 5


def test_every_setting_is_described():
    assert all(field.description for field in Settings.model_fields.values())
