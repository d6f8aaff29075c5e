"""What a node pulls."""

import gzip
import io
import pathlib
import tarfile
from collections.abc import Callable, Iterator

from dockerfile import Image

# KH-05: of the whole image, compressed as registries keep it.
COMPRESSED_MAX = 30 << 20


def layers(root: pathlib.Path, image: Image) -> dict[str, int]:
    """The compressed sizes of the base, as one layer, and of the layer with the binary."""
    binary = str(image.binary).lstrip("/")
    return {"base": compressed(root, lambda path: path != binary), "binary": compressed(root, lambda path: path == binary)}


def compressed(root: pathlib.Path, wanted: Callable[[str], bool]) -> int:
    """The size of a layer with the wanted files, by gzip -9."""
    packed = io.BytesIO()
    with gzip.GzipFile(fileobj=packed, mode="wb", compresslevel=9) as zipped, tarfile.open(fileobj=zipped, mode="w|") as tar:
        for path in sorted(root.rglob("*")):
            inside = str(path.relative_to(root))
            if wanted(inside):
                tar.add(path, arcname=inside, recursive=False)
    return packed.getbuffer().nbytes


def findings(sizes: dict[str, int]) -> Iterator[str]:
    if (whole := sum(sizes.values())) > COMPRESSED_MAX:
        yield f"the image has {whole} bytes compressed, of {COMPRESSED_MAX}"
