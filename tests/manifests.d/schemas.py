"""Strict schemas: every field is one that Kubernetes knows, in each version that we say we run on."""

import functools
from collections.abc import Iterator

import kubernetes_validate
from kubernetes_validate import utils

from bundle import CUSTOM_KINDS, Bundle, title

VERSIONS = ("1.30", "1.34", "1.37")

# Otherwise megabytes of definitions are read again for every object.
utils.schema_contents = functools.cache(utils.schema_contents)


def findings(bundle: Bundle, versions: tuple[str, ...] = VERSIONS) -> Iterator[str]:
    for found in bundle.objects:
        if found.get("kind") in CUSTOM_KINDS:
            continue
        for version in versions:
            try:
                used = kubernetes_validate.validate(found, version, strict=True)
            except kubernetes_validate.ValidationError as error:
                path = ".".join(str(part) for part in error.absolute_path)
                yield f"{title(found)}: {version}: {path}: {error.message[:200]}"
            except utils.SchemaNotFoundError as error:
                yield f"{title(found)}: {error.message}"
            else:
                # An unknown version is silently the one before.
                assert used == version, f"no schemas of {version}"
