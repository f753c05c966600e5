"""Build of istatd: Cython kernels (optional), the package list, and the page's third-party files.

What is static stands in pyproject.toml. This file knows the three things that are not: every
istat/kernels/native/*.pyx is an extension, plugins/ is installed as `istat_plugins`, and
`python setup.py build_ui` fetches the chart library of the page from npm.

ISTAT_ASAN=1 in the environment builds the kernels with AddressSanitizer, for the fuzz run.
"""

from __future__ import annotations

import glob
import os
import shutil
import subprocess
import sys

from setuptools import Command, Extension, find_namespace_packages, find_packages, setup
from setuptools.command.build_ext import build_ext

PAGE = "istat_server/ui"
VENDOR = os.path.join(PAGE, "vendor")
# From node_modules/uplot: an ES module, its style sheet, and the licence that must go with them.
VENDOR_FILES = ("dist/uPlot.esm.js", "dist/uPlot.min.css", "LICENSE")
DIRECTIVES = {
    "language_level": 3,
    "boundscheck": False,
    "wraparound": False,
    "cdivision": True,
    "initializedcheck": False,
}
NO_KERNELS = "istatd: native kernels were not built ({}); the plain-Python ones will be used, slower."


def kernels() -> list[Extension]:
    """One optional extension per native kernel; none where Cython is missing."""
    try:
        from Cython.Build import cythonize
    except ImportError:
        print(NO_KERNELS.format("Cython is missing"))
        return []
    # No contraction into fused multiply-add: kernel and twin must give the same bits on every CPU.
    compile_args, link_args = ["-O3", "-ffp-contract=off"], []
    if os.environ.get("ISTAT_ASAN") == "1":
        compile_args += ["-O1", "-g", "-fno-omit-frame-pointer", "-fsanitize=address"]
        link_args += ["-fsanitize=address"]
    extensions = [
        Extension(
            path[: -len(".pyx")].replace("/", "."),
            [path],
            extra_compile_args=compile_args,
            extra_link_args=link_args,
        )
        for path in sorted(glob.glob("istat/kernels/native/*.pyx"))
    ]
    if not extensions:
        return []
    made = list(cythonize(extensions, compiler_directives=DIRECTIVES))
    for extension in made:
        extension.optional = True  # set here: cythonize() drops it
    return made


class BuildKernels(build_ext):
    """build_ext that says in one sentence what it means when a kernel could not be compiled."""

    def run(self) -> None:
        """Build, then look whether every kernel came out."""
        super().run()
        missing = [e.name for e in self.extensions if not os.path.exists(self.get_ext_fullpath(e.name))]
        if missing:
            print(NO_KERNELS.format("no working C compiler for " + ", ".join(missing)))


class BuildPage(Command):
    """Fetch the page's chart library from npm into istat_server/ui/vendor/."""

    description = "fetch the third-party files of the web page (needs npm)"
    user_options = [("dev", None, "also fetch what the page is checked with")]
    boolean_options = ["dev"]

    def initialize_options(self) -> None:
        """Only what the page loads, unless asked for more."""
        self.dev = False

    def finalize_options(self) -> None:
        """Nothing to work out."""

    def run(self) -> None:
        """Run npm as package-lock.json says and copy the few files that the page loads."""
        if shutil.which("npm") is None:
            print("istatd: npm is missing, so the page's chart library was not fetched; all else works.")
            return
        extent = [] if self.dev else ["--omit=dev"]
        subprocess.run(["npm", "ci", *extent, "--ignore-scripts", "--no-audit", "--no-fund"], check=True)
        os.makedirs(VENDOR, exist_ok=True)
        for name in VENDOR_FILES:
            shutil.copy(os.path.join("node_modules/uplot", name), VENDOR)


def packages() -> list[str]:
    """Our packages; the folder plugins/ appears as `istat_plugins`."""
    found = find_packages(include=["istat", "istat.*", "istat_server", "istat_server.*"])
    found += find_packages(include=["istat_agent", "istat_agent.*"])
    if os.path.isdir("plugins"):
        inner = find_namespace_packages("plugins", exclude=["*fixtures*", "*__pycache__*", "*tests*"])
        found += ["istat_plugins", *(f"istat_plugins.{name}" for name in inner)]
    return found


setup(
    packages=packages(),
    package_dir={"istat_plugins": "plugins"},
    package_data={
        "istat": ["py.typed", "*.pxd"],
        "istat.kernels": ["*.pxd", "*.pyi"],
        "istat.kernels.native": ["*.pxd", "*.pyi"],
        "istat_server": ["ui/*", "ui/*/*"],
        "istat_server.ui": ["*.html", "*.js", "*.css", "*.svg", "*/*"],
        "": ["sample.toml", "README.md"],
    },
    ext_modules=[] if "build_ui" in sys.argv else kernels(),
    cmdclass={"build_ext": BuildKernels, "build_ui": BuildPage},
    zip_safe=False,
)
