"""Do the notebooks' committed outputs still come out? nbval over all of them, one process per core."""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile

from notebook_kernel import ROOT, asked, cores, environment


def main() -> int:
    _, notebooks = asked(argparse.ArgumentParser(description=__doc__))
    results = ROOT / "results" / "scratch"
    (results / "verdicts").mkdir(parents=True, exist_ok=True)
    jobs = min(cores(), len(notebooks))
    command = [
        *(sys.executable, "-m", "pytest", "--nbval", "--nbval-current-env"),
        *("--nbval-sanitize-with", str(ROOT / "tests" / "sanitize.cfg"), "-p", "file_kernels"),
        *("-n", str(jobs), "--dist", "loadfile", "--durations", "5", "--tb", "short"),
        *(str(path.relative_to(ROOT)) for path in notebooks),
    ]
    with tempfile.TemporaryDirectory(prefix="asgd-") as scratch:
        env = environment(results) | {"JUPYTER_RUNTIME_DIR": scratch, "PYTHONPATH": str(ROOT / "scripts")}
        return subprocess.run(command, cwd=ROOT, env=env, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
