from pathlib import Path

from superserve_cli.errors import BadFile
from superserve_cli.training import checkpoint
from superserve_cli.training.recipe import Recipe


def claim(folder: Path, recipe: Recipe | None, overwrite: bool) -> Path:
    """Where the checkpoint of a build into `folder` lies; raises BadFile when the folder holds something else.

    An unfinished build of the same recipe goes on; an import, without a recipe, never does. With `overwrite` a new one begins; files
    that it does not write stay.
    """
    path = folder / checkpoint.NAME
    try:
        empty = not folder.exists() or not any(folder.iterdir())
        if overwrite:
            path.unlink(missing_ok=True)
    except OSError as error:
        raise BadFile(f"cannot use {folder}: {error.strerror}", hint="choose another folder with --out") from error
    if not (empty or overwrite or (recipe and checkpoint.belongs(path, recipe))):
        what = "an unfinished build of another recipe" if path.exists() else "something already"
        raise BadFile(f"{folder} holds {what}", hint="choose another folder with --out, or take --overwrite")
    return path
