"""Run the benches: ``./seal bench [--rounds N] [--only NAME ...] [--folder D]``; a table on stdout, JSON beside it.

Nothing is asserted. Figures of a busy machine mean little; run it on a quiet one.
"""

from __future__ import annotations

import argparse
import compileall
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from bench import files, installers, lint, log, nodes, packages, policy, service, softhsm, stamps, start, windows
from bench.harness import ROUNDS, Row, table, write

SOURCES = Path(__file__).parents[1] / "src"

BENCHES: dict[str, Callable[[Path, int], list[Row]]] = {
    "start": start.version,
    "tokens": stamps.authority,
    "log": log.growth,
    "many": files.many_small,
    "large": files.one_large,
    "windows": windows.against_osslsigncode,
    "mixed": windows.many_mixed,
    "packages": packages.large,
    "installers": installers.one_installer,
    "service": service.throughput,
    "softhsm": softhsm.throughput,
    "listing": softhsm.listing,
    "nodes": nodes.postgresql,
    "lint": lint.certificates,
    "policy": policy.decisions,
}


def main() -> None:
    """Run the benches asked for, or all."""
    parser = argparse.ArgumentParser(prog="seal bench", description=__doc__)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--only", nargs="*", choices=BENCHES, default=list(BENCHES))
    parser.add_argument("--folder", type=Path, help="where the files to sign are made (2.5 GB)")
    options = parser.parse_args()
    # Installing a package compiles it; a checkout is compiled by its first run, unless PYTHONDONTWRITEBYTECODE is set:
    # then every run would be measured with 80 ms of compiling.
    if not compileall.compile_dir(SOURCES, quiet=1):
        sys.exit(f"{SOURCES} does not compile")
    rows: list[Row] = []
    with tempfile.TemporaryDirectory(prefix="privyseal-bench-") as temporary:
        folder = options.folder or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        for name in options.only:
            fresh = BENCHES[name](folder, options.rounds)
            rows += fresh
            print(table(fresh), flush=True)
    print("\n" + table(rows))
    print(f"\nwritten to {write(rows, Path(__file__).parent / 'results')}")


if __name__ == "__main__":
    main()
