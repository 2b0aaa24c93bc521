"""`sbc replay --mask`: a recording that can be given away, made of one that cannot."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from sbc.cli.output import printable
from sbc.core.errors import OperatorError
from sbc.runtime.recording.files import Torn, read_life, write_life
from sbc.runtime.recording.frames import Life
from sbc.runtime.recording.masking import MaskError, Masking
from sbc.runtime.recording.replaying import UnfitError


def mask_recording(lives: Mapping[int, Sequence[Path]], target: Path, only: int | None) -> int:
    """All lives or one. Nothing is left where it cannot be done."""
    if target.exists() and any(target.iterdir()):
        raise OperatorError(f"{target}: there is something in it; name another folder")
    masking = Masking(os.urandom(32), os.urandom)
    written = 0
    for number, segments in lives.items():
        if only not in (None, number):
            continue
        torn: list[Torn] = []
        rest = read_life(segments, torn)
        life = next(rest, None)
        if not isinstance(life, Life):
            print(printable(f"life {number}: nothing of it can be read; left out"))
            continue
        try:
            steps = write_life(target, number, masking.life(life, rest))
        except (MaskError, UnfitError) as error:
            raise OperatorError(f"life {number} cannot be masked: {error}") from error
        print(printable(f"life {number}: {steps} frames written to {target}"))
        for where in torn:
            print(printable(f"  {where.words}; what was before is written"))
        written += 1
    if not written:
        raise OperatorError("nothing of the recording can be read, so that there is nothing to mask")
    return 0
