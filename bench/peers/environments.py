"""The environments of peers, under `var/bench-peers`: each is made when it is first needed, from its list here."""

import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
HOME = HERE.parents[1] / "var" / "bench-peers"


def environment_of(peer: str) -> Path:
    """Return the folder with the programs of a peer, installed if needed."""
    programs = HOME / peer / "bin"
    mark = HOME / peer / ".installed"
    wanted = (HERE / f"{peer}.txt").read_text()
    if not mark.exists() or mark.read_text() != wanted:
        sys.stderr.write(f"installing {peer} into {HOME / peer}\n")
        subprocess.run([sys.executable, "-m", "venv", str(HOME / peer)], check=True)
        pip = [str(programs / "python"), "-m", "pip", "--disable-pip-version-check", "--quiet", "install"]
        subprocess.run([*pip, "-r", str(HERE / f"{peer}.txt")], check=True)
        mark.write_text(wanted)
    return programs
