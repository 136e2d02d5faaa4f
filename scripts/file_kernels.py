"""Kernels that share nothing: what they have in common by default can go wrong when two start at once.

They talk over socket files instead of ports (two could pick the same free port), and this process's kernels have an
IPython folder of their own (two could make the same new folder; and nobody's start-up files may change a result).
Also a pytest plugin (`-p file_kernels`): nbval then starts such kernels.
"""

import atexit
import functools
import os
import shutil
import tempfile
import uuid
from pathlib import Path

import nbval.kernel
from jupyter_client.asynchronous import AsyncKernelClient
from jupyter_client.manager import AsyncKernelManager, KernelManager
from jupyter_core.paths import jupyter_runtime_dir
from traitlets import default

from asgd_lib.distributed import quiet


class OverFiles:
    """Mixed into a kernel manager: sockets are files in Jupyter's runtime folder, under a name nobody else has."""

    @default("transport")
    def _over_files(self) -> str:
        return "ipc"

    @default("ip")
    def _own_name(self) -> str:
        return os.path.join(jupyter_runtime_dir(), uuid.uuid4().hex[:12])


class FileKernelManager(OverFiles, KernelManager):
    """The kind that nbval starts."""


class AsyncFileKernelManager(OverFiles, AsyncKernelManager):
    """The kind that papermill starts."""

    @default("client_factory")
    def _telling(self) -> type:
        return TellingClient


class TellingClient(AsyncKernelClient):
    """Tells `figures.py` that the kernel answers."""

    async def wait_for_ready(self, timeout: float | None = None) -> None:
        await super().wait_for_ready(timeout)
        quiet.started()


def start_again_once(start):
    """`start`, called a second time if the kernel is gone before its first word: on a busy machine that happens.

    A kernel that dies later, in the middle of a notebook, is a failure.
    """

    @functools.wraps(start)
    def patient(*args, **kwargs):
        try:
            return start(*args, **kwargs)
        except RuntimeError as error:
            if not any(words in str(error) for words in ("died before replying", "didn't respond in")):
                raise
            return start(*args, **kwargs)

    return patient


Path(jupyter_runtime_dir()).mkdir(mode=0o700, parents=True, exist_ok=True)  # where Jupyter has never run there is none
os.environ["IPYTHONDIR"] = tempfile.mkdtemp(prefix="ipython-", dir=jupyter_runtime_dir())
atexit.register(shutil.rmtree, os.environ["IPYTHONDIR"], ignore_errors=True)
nbval.kernel.start_new_kernel = start_again_once(nbval.kernel.start_new_kernel)
nbval.kernel.KernelManager = FileKernelManager
