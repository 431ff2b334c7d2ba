"""Commands of the registry of potentials: list, show, check, name, add, export."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sse_screen.exceptions import InputError

if TYPE_CHECKING:
    from pymongo.database import Database

    from sse_screen.documents.potential import PotentialDoc
    from sse_screen.documents.potential_gates import PotentialGatesOutput
    from sse_screen.documents.training import SetMetrics

app = typer.Typer(
    no_args_is_help=True,
    help="The registry of potentials: what each came from, how good it is.",
)
Which = Annotated[str, typer.Argument(help="Name, alias, or at least 8 digits of the hash of the weights")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON and nothing else")]


@app.command("list", epilog="Example: sse-screen potential list")
def list_potentials(as_json: AsJson = False) -> None:
    """List the registered potentials."""
    import json

    from rich.console import Console

    from sse_screen.cli.printing import print_rows
    from sse_screen.documents.potential import PotentialDoc

    with _registry() as database:
        query = {"deprecated": {"$ne": True}}
        found = [PotentialDoc.model_validate(d) for d in database.potential.find(query, {"_id": 0})]
    found.sort(key=lambda potential: (potential.name, potential.weights_sha256))
    if as_json:
        typer.echo(json.dumps([_summary(potential) for potential in found], indent=1))
        return
    columns = ("name", "weights", "method", "elements", "level of theory", "force error", "gates")
    rows = [_row(potential) for potential in found]
    print_rows(Console(), "potentials", columns, rows, ["level of theory"])


@app.command(epilog="Example: sse-screen potential show licl")
def show(name: Which, as_json: AsJson = False) -> None:
    """Show what a potential came from, its errors and its gates."""
    from rich.console import Console
    from rich.table import Table

    from sse_screen.potentials.registration import find_registered

    with _registry() as database:
        found = find_registered(database, name)
    if as_json:
        typer.echo(found.model_dump_json(indent=1, exclude={"parity", "history"}))
        return
    console = Console()
    parent = "nothing" if found.parent is None else f"{found.parent.name} {found.parent.weights_sha256[:12]}"
    rows = {
        "names": ", ".join(found.names),
        "weights": found.weights_sha256,
        "method": f"{found.method} from {parent}",
        **({} if found.loop_verdict is None else {"loop": found.loop_verdict.replace("_", " ")}),
        "elements": " ".join(found.elements),
        "level of theory": found.level_of_theory,
        "labels": ""
        if found.n_training is None
        else f"{found.n_training} learnt, {found.n_validation or 0} chose the epoch, {found.n_test} tested",
        "gates": found.gate_verdict.replace("_", " "),
    }
    for key, value in rows.items():
        console.print(f"[bold]{key}[/bold]: {value}", highlight=False)
    table = Table(title="errors (RMSE)", title_justify="left")
    for column in ("set", "structures", "energy (meV/atom)", "force (meV/Å)", "stress (GPa)"):
        table.add_column(column)
    for label in ("training", "validation", "test", "unseen_composition", "parent_test"):
        metrics: SetMetrics | None = getattr(found, label)
        if metrics is not None:
            table.add_row(label.replace("_", " "), *_errors(metrics))
    if table.rows:
        console.print(table)
    if found.gates:
        console.print(_gate_table(found.gates))
    for warning in found.warnings:
        console.print(f"note: {warning}", highlight=False)


@app.command(epilog="Example: sse-screen potential check licl")
def check(
    name: Which,
    elements: Annotated[
        str | None, typer.Option(help="Only these, such as Li,P,S (a universal potential covers many)")
    ] = None,
    protocol: Annotated[
        Path | None, typer.Option(help="YAML file with fields of the gate protocol (docs/finetuning.md)")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Put a potential through the gates and store the result; exit status 1 when it fails."""
    from rich.console import Console

    with _registry() as database:
        output = _run_gates(database, name, elements, protocol)
        _rebuild()
    if as_json:
        typer.echo(output.model_dump_json(indent=1))
    else:
        Console().print(_gate_table(output.results))
    if not output.passed:
        raise typer.Exit(1)


@app.command("use", epilog="Example: sse-screen potential use 3f9a41c2 licl-best")
def use(name: Which, alias: Annotated[str, typer.Argument(help="New name for it")]) -> None:
    """Give a potential a name for campaigns; the name moves when another potential had it."""
    from sse_screen.potentials.registration import find_registered, set_alias

    with _registry() as database:
        found = find_registered(database, name)
        set_alias(database, found, alias)
        _rebuild()
    typer.echo(f"{alias} is {found.name} {found.weights_sha256[:12]}", err=True)


@app.command(epilog="Example: sse-screen potential add my.pth.tar mine --elements Li,P,S --level PBE")
def add(
    file: Annotated[
        Path, typer.Argument(help="A fine-tuned CHGNet file, or a MACE model (.model; code in it is run)")
    ],
    name: Annotated[str, typer.Argument(help="What to call it")],
    elements: Annotated[str, typer.Option(help="Elements it was trained on, such as Li,P,S")],
    level: Annotated[str, typer.Option(help="Level of theory of its training labels")],
) -> None:
    """Register a potential that was trained elsewhere."""
    from sse_screen.database.blobs import BlobStore
    from sse_screen.potentials.registration import register_file

    if not file.is_file():
        raise InputError(f"{file}: no such file")
    with _registry() as database:
        identity = register_file(database, BlobStore(database), file, name, _symbols(elements), level)
        _rebuild()
    typer.echo(
        f"{name} is {identity.weights_sha256[:12]}; `sse-screen potential check {name}` is next", err=True
    )


@app.command(epilog="Example: sse-screen potential export licl licl.pth.tar")
def export(name: Which, file: Annotated[Path, typer.Argument(help="File to write")]) -> None:
    """Write a potential's weights to a file, checked against their hash."""
    from sse_screen.database.blobs import BlobStore
    from sse_screen.potentials.registration import find_registered

    with _registry() as database:
        found = find_registered(database, name)
        BlobStore(database).get_file(found.weights_sha256, file)
    typer.echo(f"{file}: {found.name} {found.weights_sha256[:12]}", err=True)


@contextmanager
def _registry() -> Iterator[Database[dict[str, Any]]]:
    """Connect, with the potentials of the packages registered."""
    from sse_screen.database.stores import connect
    from sse_screen.settings import get_settings

    database = connect(get_settings())
    try:
        _rebuild()
        yield database
    finally:
        database.client.close()


def _rebuild() -> None:
    from sse_screen.builders.potential import PotentialBuilder
    from sse_screen.builders.run import run_builder

    run_builder(PotentialBuilder())


def _run_gates(
    database: Database[dict[str, Any]], name: str, elements: str | None, protocol: Path | None
) -> PotentialGatesOutput:
    from jobflow import run_locally
    from rich.console import Console

    from sse_screen.database.stores import job_store
    from sse_screen.documents.training import TrainingOutput
    from sse_screen.potentials.registration import find_registered
    from sse_screen.settings import get_settings
    from sse_screen.workflows.potential_gates import PotentialGatesMaker, gates_of_training

    found = find_registered(database, name)
    maker = PotentialGatesMaker(_protocol(protocol))
    stored = database.outputs.find_one(
        {"output.kind": "training", "output.weights.sha256": found.weights_sha256}, {"output": 1}
    )
    of_loop = database.outputs.find_one(
        {"output.kind": "self_consistent_potential", "output.weights.sha256": found.weights_sha256},
        {"output.test_labels": 1},
    )
    if stored is not None and elements is None:
        job = gates_of_training(maker, TrainingOutput.model_validate(stored["output"]))
    elif of_loop is not None and elements is None:
        labels = [of_loop["output"]["test_labels"]]
        job = maker.make(found.potential, found.parent, [packed for packed in labels if packed])
    else:
        covered = found.elements if elements is None else _symbols(elements)
        if len(covered) > _MANY_ELEMENTS:
            raise InputError(
                f"potential {name!r} covers {len(covered)} elements; name those you need: --elements Li,P,S"
            )
        job = maker.make(found.potential.model_copy(update={"elements": covered}), found.parent)
    with Console(stderr=True).status(f"gates of {name}: dimers, dynamics, errors; about a minute"):
        try:
            answers = run_locally(job, store=job_store(get_settings()), raise_immediately=True, log=False)
        except Exception as error:  # a bad potential can fail in any way
            raise InputError(f"potential {name!r}: the gates could not be run: {error}") from error
    output: PotentialGatesOutput = answers[job.uuid][1].output
    return output


_MANY_ELEMENTS = 12


def _protocol(file: Path | None) -> Any:
    import yaml
    from pydantic import ValidationError

    from sse_screen.documents.potential_gates import GateProtocol

    if file is None:
        return GateProtocol()
    try:
        return GateProtocol.model_validate(yaml.safe_load(file.read_text(encoding="utf-8")) or {})
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise InputError(f"{file}: cannot be read ({error})") from None
    except ValidationError as error:
        lines = [f"{file}: {'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors()]
        raise InputError("\n".join(lines)) from None


def _symbols(elements: str) -> list[str]:
    return sorted({symbol.strip() for symbol in elements.split(",") if symbol.strip()})


def _summary(potential: PotentialDoc) -> dict[str, Any]:
    kept = ("name", "aliases", "weights_sha256", "method", "elements", "level_of_theory", "gate_verdict")
    errors = None if potential.test is None else potential.test.model_dump(mode="json")
    return potential.model_dump(mode="json", include=set(kept)) | {"test": errors}


def _row(potential: PotentialDoc) -> list[str]:
    elements = potential.elements
    return [
        ", ".join(potential.names),
        potential.weights_sha256[:12],
        potential.method,
        " ".join(elements) if len(elements) <= _MANY_ELEMENTS else f"{len(elements)} elements",
        potential.level_of_theory,
        _force_error(potential.test),
        potential.gate_verdict.replace("_", " "),
    ]


def _force_error(metrics: SetMetrics | None) -> str:
    return "" if metrics is None else f"{1000 * metrics.forces.root_mean_square_error:.1f} meV/Å"


def _errors(metrics: SetMetrics) -> list[str]:
    stress = "" if metrics.stress is None else f"{metrics.stress.root_mean_square_error:.3f}"
    return [
        str(metrics.n_structures),
        f"{1000 * metrics.energy.root_mean_square_error:.2f}",
        f"{1000 * metrics.forces.root_mean_square_error:.1f}",
        stress,
    ]


def _gate_table(results: Any) -> Any:
    from rich.table import Table

    table = Table(title="gates", title_justify="left")
    for column in ("gate", "passed", "measured", "limit", "unit", "on what"):
        table.add_column(column, overflow="fold")
    for result in results:
        measured = "" if result.value is None else f"{result.value:.3g}"
        passed = "yes" if result.passed else "NO"
        table.add_row(result.gate, passed, measured, f"{result.limit:g}", result.unit, result.detail)
    return table
