"""What is shown of a running calculation: its rate and the time that is left."""

import json
import time

from sse_screen.cli.progress import JobsProgress


def test_a_training_shows_epochs_and_time_left(mongo_settings, capsys, monkeypatch):
    folder = mongo_settings.work_directory / "calculations" / "some-training"
    folder.mkdir(parents=True)
    clock = [1000.0]
    monkeypatch.setattr("sse_screen.cli.progress.time.monotonic", lambda: clock[0])

    def beat(done):
        beaten = {"name": "licl epochs", "done": done, "total": 60, "time": time.time()}
        (folder / "progress.json").write_text(json.dumps(beaten))

    progress = JobsProgress(mongo_settings)
    try:
        beat(10)
        progress.update({"RUNNING": 1})
        clock[0] += 20
        beat(20)
        progress.update({"RUNNING": 1})
    finally:
        (folder / "progress.json").unlink()
        folder.rmdir()
    shown = capsys.readouterr().err
    assert "licl epochs 10/60 (starting)" in shown
    assert "licl epochs 20/60 (0.5 steps/s, 1.3 min left)" in shown
    assert shown.count("min left") == 1  # none of all jobs together: those that wait may be of another kind
