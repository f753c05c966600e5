"""Build of istatd: Cython kernels and a library for LD_PRELOAD (both optional), the package list, and the page's
third-party files.

What is static stands in pyproject.toml. This file knows the four things that are not: every
.pyx below istat/kernels/native/ is an extension, istat/pagecache/preload/advice.c is a shared library that
is built as one, plugins/ is installed as `istat_plugins`, and
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
from setuptools.command.build_py import build_py

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
# Compilers at a time: the largest kernel takes 350 MB to compile.
COMPILERS = min(4, os.cpu_count() or 1)
NO_KERNELS = "istatd: native kernels were not built ({}); the plain-Python ones will be used, slower."
# What `istat fadvise run` loads into programs: no module of Python, but built, placed and packed as one.
PRELOAD = Extension("istat.pagecache.preload.advice", ["istat/pagecache/preload/advice.c"], libraries=["dl"],
                    optional=True)
NO_PRELOAD = "istatd: advice.c was not built (no working C compiler): `istat fadvise run` will say that it is missing."


def kernels() -> list[Extension]:
    """One optional extension per native kernel; none where Cython is missing."""
    try:
        import Cython  # noqa: F401
    except ImportError:
        print(NO_KERNELS.format("Cython is missing"))
        return []
    # No contraction into fused multiply-add: kernel and twin must give the same bits on every CPU.
    compile_args, link_args = ["-O3", "-ffp-contract=off"], []
    if os.environ.get("ISTAT_ASAN") == "1":
        compile_args += ["-O1", "-g", "-fno-omit-frame-pointer", "-fsanitize=address"]
        link_args += ["-fsanitize=address"]
    return [
        Extension(
            path[: -len(".pyx")].replace("/", "."),
            [path],
            extra_compile_args=compile_args,
            extra_link_args=link_args,
        )
        for path in sorted(glob.glob("istat/kernels/native/**/*.pyx", recursive=True))
    ]


def translated(extensions: list[Extension]) -> list[Extension]:
    """The same kernels, made into C."""
    if not extensions:
        return []
    from Cython.Build import cythonize

    made = list(cythonize(extensions, compiler_directives=DIRECTIVES))
    for extension in made:
        extension.optional = True  # set here: cythonize() drops it
    return made


class BuildKernels(build_ext):
    """build_ext that says in one sentence what it means when a kernel could not be compiled."""

    def initialize_options(self) -> None:
        """Several at a time, unless told otherwise."""
        super().initialize_options()
        self.parallel = COMPILERS

    def finalize_options(self) -> None:
        """Make C of the kernels: not before, as most runs of this file only ask what there is."""
        if self.distribution.ext_modules:
            native = [one for one in self.distribution.ext_modules if one is not PRELOAD]
            self.distribution.ext_modules = [*translated(native), PRELOAD]
        super().finalize_options()

    def run(self) -> None:
        """Build, then look whether every kernel came out."""
        super().run()
        missing = [e.name for e in self.extensions if not os.path.exists(self.get_ext_fullpath(e.name))]
        if PRELOAD.name in missing:
            missing.remove(PRELOAD.name)
            print(NO_PRELOAD)
        if missing:
            print(NO_KERNELS.format("no working C compiler for " + ", ".join(missing)))


class BuildModules(build_py):
    """build_py that leaves the plugins' tests out of what is installed."""

    def find_package_modules(self, package: str, package_dir: str) -> list[tuple[str, str, str]]:
        """(package, module, file) of each module of a package."""
        found = super().find_package_modules(package, package_dir)
        return [one for one in found if not one[1].startswith("test_") and one[1] != "conftest"]


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
    license="MIT",
    packages=packages(),
    package_dir={"istat_plugins": "plugins"},
    package_data={
        "istat": ["py.typed"],
        "istat_server": ["ui/*", "ui/*/*"],
        "": ["sample.toml", "README.md", "*.pxd"],
    },
    ext_modules=[] if "build_ui" in sys.argv else [*kernels(), PRELOAD],
    cmdclass={"build_ext": BuildKernels, "build_py": BuildModules, "build_ui": BuildPage},
    zip_safe=False,
)
