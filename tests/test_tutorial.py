"""What the tutorial says in prose: its script runs as pasted, and the state in one line is the same and saves the lines it is said to."""

import re
import subprocess
import sys
import textwrap
from pathlib import Path

import nbformat

from asgd_lib import load_method
from asgd_lib.conformance import conform

ROOT = Path(__file__).resolve().parents[1]
TEMPLATE = (ROOT / "notebooks" / "my_method.py").read_text()
PROSE = "\n".join(
    cell.source for cell in nbformat.read(ROOT / "notebooks" / "20_add_your_method.ipynb", 4).cells if cell.cell_type == "markdown"
)


def test_the_script_of_the_plain_loop_runs_as_pasted(tmp_path):
    (indented,) = re.findall(r"^   ```python\n(.*?)^   ```", PROSE, re.DOTALL | re.MULTILINE)
    (tmp_path / "loop.py").write_text(textwrap.dedent(indented))
    done = subprocess.run([sys.executable, tmp_path / "loop.py"], cwd=ROOT, capture_output=True, text=True, check=True)
    (entered, apart), (none, far) = re.findall(r"branch entered (\d+) times: (\S+) apart", done.stdout)
    assert int(entered) > 100 and float(apart) < 1e-12
    assert none == "0" and float(far) > 1e-3  # with the branch left out, the comparison fails


def filled(text):
    return len([line for line in text.splitlines() if line.strip()])


def test_a_state_in_one_line_conforms_and_saves_the_lines_that_the_prose_says(tmp_path):
    (line,) = re.findall(r"`(Sent = namedtuple\(.*?\))`", PROSE)
    text = TEMPLATE.replace("from typing import NamedTuple", "from collections import namedtuple").replace("from torch import Tensor\n", "")
    text = re.sub(r"class Sent.*?(?=@dataclass)", f"{line}\n\n\n", text, flags=re.DOTALL)
    (tmp_path / "short.py").write_text(text)
    assert not [f for f in conform(load_method(f"{tmp_path}/short.py:DelayCompensated"), processes=False) if f.problem]
    assert f"saves {'six' if filled(TEMPLATE) - filled(text) == 6 else '?'} of the {filled(TEMPLATE)} lines" in " ".join(PROSE.split())
