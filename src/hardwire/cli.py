"""The command line: thin commands over the Python interface. Errors are one message and an exit code, never a
traceback; progress goes to standard error, results to standard output; `--json` prints results as JSON."""

from __future__ import annotations

import json
import os
import sys
import webbrowser
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from hardwire import __version__
from hardwire._startup import start_lean
from hardwire.errors import HardwireError, UnsupportedError

app = typer.Typer(
    name="hardwire",
    help="Trained neural networks become FPGA firmware that answers in nanoseconds, bit-exact and proven so.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
data_app = typer.Typer(help="Data sets that hardwire makes itself.", no_args_is_help=True)
app.add_typer(data_app, name="data")

out = Console()
err = Console(stderr=True)

Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
Build = Annotated[Path, typer.Argument(help="A build directory made by `hardwire compile`.")]


@contextmanager
def working(what: str) -> Iterator[Callable[[str], None]]:
    """Show what is being done: a live line on a terminal, nothing where standard error is no terminal."""
    with err.status(what) as status:
        yield lambda text: status.update(text[: max(20, err.width - 4)])


def _print_json(value: Any) -> None:
    from hardwire.design import report_text

    sys.stdout.write(report_text(value))


def _print_version(asked: bool) -> None:
    if asked:
        out.print(f"hardwire {__version__}", highlight=False)
        raise typer.Exit


@app.callback()
def _main(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version and stop.", is_eager=True, callback=_print_version)
    ] = False,
) -> None:
    """Options before the command."""


@app.command("compile")
def compile_command(
    model: Annotated[Path, typer.Argument(help="Model file: .keras, .h5, .onnx, .pt2, …")],
    output: Annotated[Path, typer.Option("-o", "--output", help="Build directory to write.")],
    target: Annotated[
        str, typer.Option(help="Device, for example ecp5-85k, ice40-up5k, gowin-gw1nr9, xc7-a35t, xcup-vu13p.")
    ] = "ecp5-85k",
    clock_mhz: Annotated[float | None, typer.Option(help="Contract: clock in MHz.")] = None,
    latency_ns: Annotated[float | None, typer.Option(help="Contract: latency in nanoseconds.")] = None,
    latency_cycles: Annotated[int | None, typer.Option(help="Contract: latency in clock cycles.")] = None,
    calibrate: Annotated[Path | None, typer.Option(help="Inputs (.npy, .npz) to choose a float model's types.")] = None,
    fidelity: Annotated[float, typer.Option(help="Share of the output's variance that calibration keeps.")] = 0.999,
    input_type: Annotated[list[str] | None, typer.Option(help="Input type such as s8.4; once for each input.")] = None,
    output_type: Annotated[list[str] | None, typer.Option(help="Output type, for softmax; once an output.")] = None,
    exact: Annotated[bool, typer.Option("--exact", help="Take every parameter as it stands, round nothing.")] = False,
    weights: Annotated[Path | None, typer.Option(help="Separate weights file.")] = None,
    example: Annotated[Path | None, typer.Option(help="Example inputs, for models that state no shapes.")] = None,
    backend: Annotated[str, typer.Option(help="Output: verilog, vhdl, hls-vitis, …; emulator for none.")] = "verilog",
    effort: Annotated[int, typer.Option(help="Solver effort, 0 to 10: each step takes about four times as long.")] = 1,
    seed: Annotated[int, typer.Option(help="Solver seed.")] = 0,
    as_json: Json = False,
) -> None:
    """Compile a model to hardware that meets the contract, and write a build directory."""
    from hardwire.arrays import load_arrays
    from hardwire.compiler import compile as compile_model
    from hardwire.design import build_folder

    build_folder(output)  # before minutes of work
    with working("starting") as say:
        design = compile_model(
            model,
            example=None if example is None else load_arrays(example),
            weights=weights,
            target=target,
            clock_mhz=clock_mhz,
            latency_ns=latency_ns,
            latency_cycles=latency_cycles,
            calibrate=None if calibrate is None else load_arrays(calibrate),
            input_type=input_type or None,
            output_type=output_type or None,
            exact=exact,
            fidelity=fidelity,
            backend=backend,
            effort=effort,
            seed=seed,
            progress=say,
        )
        say("saving")
        design.save(output)
    _show(design.report_data, output, as_json)


@app.command()
def inspect(
    model: Annotated[Path, typer.Argument(help="Model file: .keras, .h5, .onnx, .pt2, …")],
    weights: Annotated[Path | None, typer.Option(help="Separate weights file.")] = None,
    example: Annotated[Path | None, typer.Option(help="Example inputs, for models that state no shapes.")] = None,
    as_json: Json = False,
) -> None:
    """Show a model's layers, shapes, parameters, types, MACs, EBOPs and unsupported items, before compiling."""
    from hardwire import frontends
    from hardwire.arrays import load_arrays
    from hardwire.network.inspect import layer_rows, summary
    from hardwire.network.survey import survey
    from hardwire.report.terminal import inspection

    with working("reading the model"), survey() as unsupported:
        network = frontends.load(model, example=None if example is None else load_arrays(example), weights=weights)
        rows = layer_rows(network)
    found = {
        "name": network.name,
        "source": dict(network.source),
        "inputs": {name: list(network.shapes[name]) for name in network.inputs},
        "outputs": {name: list(network.shapes[name]) for name in network.outputs},
        "quantised": network.quantised,
        "total": summary(rows),
        "layers": rows,
        "unsupported": [item.as_row() for item in unsupported],
    }
    if as_json:
        _print_json(found)
    else:
        out.print(inspection(found))
    if unsupported:
        raise UnsupportedError(
            f"model {str(model)!r}: {len(unsupported)} unsupported {'item' if len(unsupported) == 1 else 'items'}",
            hint="see the list: each item says why, and what to try",
        )


@app.command()
def predict(
    build: Build,
    x: Annotated[Path, typer.Argument(help="Inputs: .npy, or .npz with x0, x1, …")],
    output: Annotated[Path, typer.Option("-o", "--output", help="Outputs: .npy, or .npz with y0, y1, …")],
    as_json: Json = False,
) -> None:
    """Run the bit-exact emulator on a file of inputs."""
    from hardwire.arrays import load_arrays, save_arrays
    from hardwire.design import load

    with working("emulating") as say:
        arrays = load_arrays(x)
        y = load(build).predict(
            arrays if len(arrays) > 1 else arrays[0],
            progress=lambda done, rows: say(f"emulating: {done:,} of {rows:,} rows"),
        )
        outputs = y if isinstance(y, tuple) else (y,)
        save_arrays(output, outputs)
    result = {"rows": len(outputs[0]), "outputs": [list(y.shape) for y in outputs], "file": str(output)}
    if as_json:
        _print_json(result)
    else:
        out.print(f"{result['rows']:,} rows → {output}", highlight=False)


@app.command()
def verify(
    build: Build,
    x: Annotated[Path | None, typer.Argument(help="Inputs to try; random ones and range edges otherwise.")] = None,
    formal: Annotated[bool, typer.Option("--formal", help="Also prove the circuit, for every input.")] = False,
    vectors: Annotated[int, typer.Option(min=1, help="Vectors to try at least; random ones fill up.")] = 10_000,
    simulator: Annotated[
        str, typer.Option(help="auto, or one for the build's language: verilator, icarus, ghdl, csim.")
    ] = "auto",
    as_json: Json = False,
) -> None:
    """Check interpreter = emulator = RTL (or C++) = netlist (where synthesised), bit for bit."""
    from hardwire.arrays import load_arrays
    from hardwire.design import load
    from hardwire.report.terminal import verification_table
    from hardwire.verification import check

    with working("verifying") as say:
        arrays = None if x is None else load_arrays(x)
        given = arrays if arrays is None or len(arrays) > 1 else arrays[0]
        design = load(build)
        if formal:
            _ = design.built  # raises where there is no circuit to prove
        found = design.verify(given, formal=formal, vectors=vectors, simulator=simulator, progress=say)
    if as_json:
        _print_json(found)
    else:
        out.print(verification_table(found))
    check(found, simulated=True)


@app.command()
def compare(
    model: Annotated[Path, typer.Argument(help="The model that the build was compiled from.")],
    build: Build,
    x: Annotated[Path, typer.Argument(help="Inputs: .npy, or .npz with x0, x1, …")],
    fidelity: Annotated[float, typer.Option(help="Share of a layer's variance below which it is bad.")] = 0.99,
    weights: Annotated[Path | None, typer.Option(help="Separate weights file.")] = None,
    example: Annotated[Path | None, typer.Option(help="Example inputs, for models that state no shapes.")] = None,
    plot: Annotated[Path | None, typer.Option(help="Draw the layers' differences (.svg, .png, .pdf).")] = None,
    as_json: Json = False,
) -> None:
    """Show layer by layer what the float model and the build compute, and name the first bad layer."""
    from hardwire import frontends
    from hardwire.arrays import load_arrays
    from hardwire.comparison import compare as compare_layers
    from hardwire.design import load
    from hardwire.network.prepare import prepare
    from hardwire.report.figure_file import check_suffix, save_figure
    from hardwire.report.plots import layer_differences
    from hardwire.report.terminal import comparison_table

    if plot is not None:
        check_suffix(plot)
    with working("reading the model") as say:
        network = prepare(
            frontends.load(model, example=None if example is None else load_arrays(example), weights=weights)
        )
        design, arrays = load(build), load_arrays(x)
        say("comparing")
        compared = compare_layers(network, design, arrays if len(arrays) > 1 else arrays[0], fidelity=fidelity)
        found = compared.as_dict()
        if plot is not None:
            save_figure(layer_differences(found), plot)
    if as_json:
        _print_json(found)
    else:
        out.print(comparison_table(found))
        if plot is not None:
            out.print(f"plot: {plot}", highlight=False)


@app.command()
def synth(
    build: Build,
    target: Annotated[str | None, typer.Option(help="Another device: the build is scheduled anew for it.")] = None,
    seeds: Annotated[int, typer.Option(min=1, help="Placements to try; the fastest is kept.")] = 1,
    route: Annotated[bool, typer.Option(help="Place and route after synthesis.")] = True,
    attempts: Annotated[
        int, typer.Option(min=1, help="Times to place, scheduling anew, until the contract is met.")
    ] = 6,
    as_json: Json = False,
) -> None:
    """Synthesise, place and route, and hold the contract against the real Fmax."""
    from hardwire.compiler import retarget
    from hardwire.design import load
    from hardwire.errors import ContractError
    from hardwire.report.summary import asked

    design = load(build)
    if target is not None and target != design.target.name:
        with working(f"scheduling for {target}"):
            design = retarget(design, target)
            design.save(build)
    with working("synthesising") as say:
        missed = None
        try:
            design.synthesize(seeds=seeds, route=route, attempts=attempts, progress=say)
        except ContractError as error:
            missed = error
    report = design.report_data
    if missed is not None and "timing" not in report:
        raise missed
    _show(report, build, as_json)
    for k, step in enumerate(report["contract"].get("closing", ()) if not as_json else (), 1):
        out.print(
            f"placement {k}: {step['cycles']} cycles, predicted {step['predicted_mhz']:.1f} MHz, "
            f"reached {step['fmax_mhz']:.1f} MHz: {step['decision']}",
            highlight=False,
        )
    if missed is not None:
        raise missed
    routed = report["contract"].get("routed")
    if routed is not None and not routed["met"]:
        raise ContractError(
            f"place & route reached {routed['fmax_mhz']:.1f} MHz, {routed['latency_ns']:.1f} ns; "
            f"the contract says {asked(report)}",
            hint="more --seeds, or compile again with a tighter --latency-ns so that more is left over",
        )


@app.command()
def export(
    build: Build,
    output: Annotated[Path, typer.Option("-o", "--output", help="Folder to write.")],
    project: Annotated[
        str | None, typer.Option(help="Vendor project or packaging format: vivado, quartus, ipxact, fusesoc, …")
    ] = None,
    backend: Annotated[str | None, typer.Option(help="Output language; the build's own otherwise.")] = None,
    wrapper: Annotated[
        str | None, typer.Option(help="Interface around the core: NAME or NAME:OPTION=VALUE,…; axi_stream for one.")
    ] = None,
    part: Annotated[str | None, typer.Option(help="The vendor's part number; the target's usual one else.")] = None,
    version: Annotated[str, typer.Option(help="Version of the packaged design.")] = "1.0.0",
    as_json: Json = False,
) -> None:
    """Write a build for another tool: in any language, with a wrapper, as a vendor's project or an IP."""
    from hardwire.design import load

    with working("writing"):
        record = load(build).export(
            output, project=project, backend=backend, wrapper=wrapper, part=part, version=version
        )
    if as_json:
        _print_json(record)
        return
    for name in record["files"]:
        out.print(f"  {name}", highlight=False)
    what = " ".join(filter(None, (record["backend"], record["wrapper"], record["project"])))
    out.print(f"{len(record['files'])} files ({what}), top {record['top']} → {output}", highlight=False)


@app.command()
def collect(
    build: Build,
    reports: Annotated[list[Path], typer.Argument(help="Reports of the vendor's tool, or folders that hold them.")],
    as_json: Json = False,
) -> None:
    """Bring a vendor tool's reports into the build's, and hold the contract against them."""
    from hardwire.design import load
    from hardwire.errors import ContractError
    from hardwire.report.summary import asked

    with working("reading"):
        design = load(build)
        found = design.collect(reports)
    for name in sorted({found.get(part, {}).get("design") for part in ("synthesis", "timing")} - {None}):
        if not name.startswith(design.module):
            # A design of the user's own around this one: its figures are the whole's.
            err.print(
                f"note: the reports are of {name!r}, not of {design.module!r} or a wrapper of it", highlight=False
            )
    _show(found, build, as_json)
    routed = found["contract"].get("routed")
    if routed is not None and not routed["met"]:
        raise ContractError(
            f"{found['timing'].get('tool', 'the tool')} reached {routed['fmax_mhz']:.1f} MHz, "
            f"{routed['latency_ns']:.1f} ns; the contract says {asked(found)}",
            hint="other options of the vendor's tool, or compile again with a tighter --latency-ns",
        )


@app.command()
def report(
    build: Build,
    html: Annotated[Path | None, typer.Option(help="Where to write the HTML; BUILD/report.html otherwise.")] = None,
    open_browser: Annotated[bool, typer.Option("--open", help="Open the HTML report in a browser.")] = False,
    as_json: Json = False,
) -> None:
    """Show a build's report in the terminal and write it as HTML."""
    from hardwire.design import load
    from hardwire.report.html import write_html

    with working("reading"):
        design = load(build)
        path = html or build / "report.html"
        write_html(design.report_data, path)
    _show(design.report_data, build, as_json)
    if not as_json:
        out.print(f"HTML: {path}", highlight=False)
    if open_browser:
        webbrowser.open(path.resolve().as_uri())


@app.command()
def doctor(as_json: Json = False) -> None:
    """What is installed, what is missing, and how to get it."""
    from hardwire.doctor import diagnose

    with working("looking around"):
        rows = diagnose()
    if as_json:
        _print_json(rows)
        return
    table = Table("", "part", "for", "found", "how to get it", box=None)
    for row in rows:
        mark = "[green]✓[/]" if row["ok"] else "[yellow]–[/]"
        table.add_row(mark, row["name"], row["purpose"], row["found"] or "missing", "" if row["ok"] else row["hint"])
    out.print(table)


@app.command()
def demo(
    output: Annotated[Path, typer.Option("-o", "--output", help="Build directory.")] = Path("build/demo"),
    seed: Annotated[int, typer.Option(help="Seed of training and splitting.")] = 0,
    as_json: Json = False,
) -> None:
    """Tell the whole story on real physics: jets, training, compiling, proof, simulation, place & route, report."""
    from hardwire.demo import run_demo

    result = run_demo(output, seed=seed, console=err)
    if as_json:
        _print_json(result.report)
    else:
        out.print(result.table)
        out.print(f"report: {output / 'report.html'}", highlight=False)


@app.command("train")
def train_command(
    recipe: Annotated[str, typer.Argument(help="A recipe that ships (jets, particles, …) or a .toml file.")],
    output: Annotated[Path | None, typer.Option("-o", "--output", help="Folder; build/NAME otherwise.")] = None,
    epochs: Annotated[int | None, typer.Option(min=1, help="Epochs instead of the recipe's.")] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Seed instead of the recipe's.")] = None,
    change: Annotated[
        list[str] | None, typer.Option("--set", help="TABLE.FIELD=VALUE instead of the recipe's; as often as needed.")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume/--restart", help="Go on with the folder's run, or anew.")] = True,
    as_json: Json = False,
) -> None:
    """Train for the hardware: from a recipe to a compiled, verified design with its report and plots."""
    from hardwire.train import run
    from hardwire.train.recipes import read
    from hardwire.train.report import result_table

    changes = change or []
    folder = output or Path("build") / read(recipe, changes).name
    with working("starting") as say:
        found = run(recipe, folder, epochs=epochs, seed=seed, changes=changes, resume=resume, progress=say)
    if as_json:
        _print_json(found.summary)
        return
    out.print(result_table(found.summary))
    for note in found.summary["notes"]:
        err.print(f"note: {note}", highlight=False)
    out.print(f"design: {folder / 'design'}   plot: {folder / 'training.svg'}", highlight=False)


@data_app.command()
def particles(
    output: Annotated[Path, typer.Option("-o", "--output", help="File to write (.npz).")],
    n: Annotated[int, typer.Option("-n", help="Number of jets, all classes together.")] = 8_000,
    seed: Annotated[int, typer.Option(help="Same seed, same jets, which are those of `data jets`.")] = 1,
    processes: Annotated[int, typer.Option(help="Processes; 0 for one a core.")] = 0,
    as_json: Json = False,
) -> None:
    """Simulate jets as `data jets` does, and keep the 16 hardest particles of each."""
    from hardwire.datasets import particles as data_set

    _generate(data_set.generate, output, n, seed, processes, as_json)


@data_app.command()
def jets(
    output: Annotated[Path, typer.Option("-o", "--output", help="File to write (.npz).")],
    n: Annotated[int, typer.Option("-n", help="Number of jets, all classes together.")] = 10_000,
    seed: Annotated[int, typer.Option(help="Same seed, same bytes.")] = 1,
    processes: Annotated[int, typer.Option(help="Processes; 0 for one a core.")] = 0,
    as_json: Json = False,
) -> None:
    """Simulate jets of five classes with Pythia 8 and compute the 16 features of the hls4ml benchmark."""
    from hardwire.datasets.jets import generate_jets

    _generate(generate_jets, output, n, seed, processes, as_json)


def _generate(generate: Callable[..., Any], output: Path, n: int, seed: int, processes: int, as_json: bool) -> None:
    from rich.progress import Progress

    with Progress(console=err, transient=True) as bar:
        task = bar.add_task("simulating jets", total=n)
        made = generate(
            n,
            seed=seed,
            processes=processes or os.cpu_count() or 1,
            progress=lambda done, total: bar.update(task, completed=done, total=total),
        )
    made.save(output)
    result = {"jets": len(made.y), "file": str(output), "seed": seed, "classes": list(made.class_names)}
    if as_json:
        _print_json(result)
    else:
        out.print(f"{result['jets']:,} jets → {output}", highlight=False)


def _show(report_data: dict[str, Any], build: Path, as_json: bool) -> None:
    from hardwire.report.terminal import report_table

    if as_json:
        _print_json(report_data)
    else:
        out.print(report_table(report_data))
        out.print(f"build: {build}", highlight=False)


def main() -> None:
    """Entry point of the `hardwire` command."""
    debug = os.environ.get("HARDWIRE_DEBUG") == "1"
    start_lean()
    try:
        status = app(standalone_mode=False)
        if status == 130:  # how typer tells of an interruption
            raise KeyboardInterrupt
    except HardwireError as error:
        if debug:
            raise
        err.print(f"[red]error:[/] {_escaped(error.what)}", highlight=False, soft_wrap=True)
        if error.hint:
            err.print(f"  [cyan]try:[/] {_escaped(error.hint)}", highlight=False, soft_wrap=True)
        sys.exit(error.exit_code)
    except OSError as error:
        if debug:
            raise
        where = "" if error.filename is None else f"{str(error.filename)!r}: "
        err.print(f"[red]error:[/] {_escaped(where)}{error.strerror or error}", highlight=False, soft_wrap=True)
        sys.exit(1)
    except (typer.Abort, KeyboardInterrupt):
        err.print("interrupted; nothing was left half-written", highlight=False)
        sys.exit(130)
    except Exception as error:
        show = getattr(error, "show", None)
        if callable(show):
            # A usage error: it knows how to print itself.
            show()
            sys.exit(getattr(error, "exit_code", 2))
        if debug:
            raise
        text = json.dumps(str(error))
        err.print(
            f"[red]internal error:[/] {type(error).__name__}: {_escaped(text)}\n"
            "  [cyan]try:[/] HARDWIRE_DEBUG=1 for the traceback, and please report it",
            highlight=False,
            soft_wrap=True,
        )
        sys.exit(70)


def _escaped(text: str) -> str:
    return text.replace("[", "\\[")


if __name__ == "__main__":
    main()
