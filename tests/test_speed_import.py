"""`import asgd_lib` is quick, and neither it nor anything that it lists needs torchvision."""

import subprocess
import sys

import asgd_lib

START = "import sys, time; sys.modules['torchvision'] = None; t = time.process_time(); "


def run(code: str) -> str:
    return subprocess.run([sys.executable, "-W", "error", "-c", START + code], check=True, capture_output=True, text=True).stdout


def test_the_import_takes_less_than_two_seconds():
    code = "import asgd_lib; print(time.process_time() - t, 'torch' in sys.modules)"
    seconds, torch = run(code).split()
    assert float(seconds) < 2.0 and torch == "False"  # a few milliseconds: names are loaded when they are first used


def test_every_public_name_can_be_had_without_torchvision():
    out = run("import asgd_lib; [getattr(asgd_lib, name) for name in asgd_lib.__all__]; print(len(asgd_lib.__all__))")
    assert int(out) == len(asgd_lib.__all__)
    refused = subprocess.run([sys.executable, "-c", START + "import torchvision"], capture_output=True, text=True)
    assert refused.returncode and "ModuleNotFoundError" in refused.stderr  # the block does block
