"""Run a sweep: train and evaluate its cells, and write a table, and a figure or a page where the sweep has one.

    sweep.py configs/sat/sweeps/few-shot_cub.py                          # every cell with every seed
    sweep.py configs/sat/sweeps/few-shot_cub.py sat_deit-s_cub_3-shot --seeds 0 1 --gpus 4
    sweep.py configs/benchmarks/imagenette.py            # all methods on real photographs: table, curves, pictures

What is finished is skipped and what was interrupted goes on, so that the same command can be repeated. The table holds
all cells of the sweep that have results with these seeds, in mean and standard deviation. A page, whose pictures and
times take minutes, is made where no cell is named.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", help="sweep file: configs/sat/sweeps/few-shot_cub.py")
    parser.add_argument("cells", nargs="*", metavar="CELL", help="cells to run; default: all")
    parser.add_argument("--seeds", nargs="+", type=int, default=[], help="default: those of the file")
    parser.add_argument("--work-dir", help="folder of the runs; default: work_dirs/NAME")
    parser.add_argument("--out", metavar="DIR", help="folder of table and figure; default: the work dir")
    parser.add_argument(
        "--gpus", type=int, metavar="N", help="run each cell in N processes, as tools/dist_train.sh does"
    )
    parser.add_argument("--table-only", action="store_true", help="run nothing: table and page of what is finished")
    parser.add_argument(
        "--cfg-options",
        nargs="+",
        default=[],
        metavar="KEY=VALUE",
        help="change settings of every cell, as in tools/train.py",
    )
    return parser.parse_args()


def main() -> None:
    args = parse_args()

    from mmwsol.engine.sweep_page import write_page
    from mmwsol.engine.sweep_report import summarize, write_report
    from mmwsol.engine.sweeps import plan_runs, run_sweep
    from mmwsol.utils.sweep_files import read_sweep
    from mmwsol.utils.tool_errors import one_line_errors

    failed = []
    with one_line_errors(args.file, "the same command goes on"):
        sweep = read_sweep(args.file)
        work_dir = args.work_dir or Path("work_dirs", sweep.name)
        every_run = plan_runs(sweep, work_dir, (), args.seeds, args.cfg_options)
        names = [cell.name for cell in sweep.select(args.cells)]
        runs = [] if args.table_only else [run for run in every_run if run.cell.name in names]
        for outcome in run_sweep(runs, args.gpus, every_run):
            print(f"{outcome.run.cell.name}, seed {outcome.run.seed}: {outcome.state} ({outcome.message})", flush=True)
            if outcome.state == "failed":
                failed.append(f"{outcome.run.cell.name}, seed {outcome.run.seed}")
        rows, problems = summarize(every_run)
        files = write_report(sweep, rows, args.out or work_dir)
        if sweep.page is not None and not args.cells:
            files += write_page(sweep, every_run, rows, args.out or work_dir)
    print(next(file for file in files if file.suffix == ".md").read_text(encoding="utf-8"))
    print(f"Written: {', '.join(map(str, files))}")
    if sweep.page is not None and args.cells:
        print("The page of all cells: the same command without cells, --table-only if nothing else is to run.")
    for problem in problems:
        print(f"Left out of the table: {problem}")
    if failed:
        sys.exit(f"{len(failed)} of {len(runs)} runs failed: {'; '.join(failed)}")
    if problems:
        sys.exit(1)


if __name__ == "__main__":
    main()
