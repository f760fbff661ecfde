"""What is shipped: the wheel holds all that the command needs, and the files agree on it."""

import ast
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest

import bayes_crlm

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def project():
    """The project's metadata."""
    return tomllib.loads((ROOT / "pyproject.toml").read_text())


def run_backend(what, root=ROOT, **settings):
    """Run the build's back end alone, and so without a network."""
    code = (
        f"import os, sys; os.chdir({str(root)!r}); sys.path.insert(0, 'build_backend'); "
        f"import native_backend; print(native_backend.{what})"
    )
    return subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True, **settings
    ).stdout


def uv():
    """The command uv, where it is."""
    return shutil.which("uv") or next((str(path) for path in ROOT.glob(".uv/bin/uv")), None)


def build_with_uv(source, folder, env):
    """Build a wheel in an environment of its own; gives what is printed."""
    call = [uv(), "build", "--wheel", "--python", sys.executable, "--out-dir", str(folder)]
    done = subprocess.run(
        [*call, str(source)], env=env, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


@pytest.fixture(scope="session")
def source(tmp_path_factory):
    """The source distribution, unpacked: what a wheel is built from elsewhere."""
    folder = tmp_path_factory.mktemp("source")
    run_backend(f"build_sdist({str(folder)!r})")
    (path,) = folder.glob("*.tar.gz")
    with tarfile.open(path) as archive:
        archive.extractall(folder, filter="data")
    return folder / path.name.removesuffix(".tar.gz")


@pytest.fixture(scope="session")
def wheel(tmp_path_factory, source):
    """A wheel built from the source distribution."""
    folder = tmp_path_factory.mktemp("wheel")
    if "ziglang" in run_backend("get_requires_for_build_wheel()"):
        build_with_uv(source, folder, dict(os.environ))  # which fetches a compiler
    else:
        run_backend(f"build_wheel({str(folder)!r})", source)
    (path,) = folder.glob("*.whl")
    return path


@pytest.fixture(scope="session")
def unpacked(wheel, tmp_path_factory):
    """The wheel as an installer would lay it out, away from the checkout."""
    folder = tmp_path_factory.mktemp("installed")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)
    return folder


def run_unpacked(unpacked, *arguments):
    """Run the command from the unpacked wheel, with the checkout out of sight."""
    return run_python(unpacked, "-m", "bayes_crlm", *arguments)


def run_code(unpacked, code):
    """Run some lines of Python on the unpacked wheel."""
    return run_python(unpacked, "-c", code)


def run_python(unpacked, *arguments):
    """Run Python on the unpacked wheel, with the checkout out of sight."""
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=unpacked,
        env={**os.environ, "PYTHONPATH": str(unpacked)},
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_wheel_holds_every_module_spec_and_data_file(unpacked):
    tracked = subprocess.run(
        ["git", "ls-files", "bayes_crlm", "models"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    ).stdout.split("\n")
    expected = {re.sub(r"^models/", "bayes_crlm/models/", path) for path in tracked if path}
    shipped = {
        path.relative_to(unpacked).as_posix() for path in unpacked.rglob("*") if path.is_file()
    }
    assert len(expected) > 20
    assert expected <= shipped
    assert any(path.startswith("bayes_crlm/models/") for path in shipped)
    assert "bayes_crlm/datasets/crlm_synthetic.csv" in shipped
    assert any(path.endswith("licenses/LICENSE") for path in shipped)


def test_the_wheel_says_that_it_is_typed(unpacked):
    assert (unpacked / "bayes_crlm" / "py.typed").is_file()


def test_the_source_distribution_holds_what_the_readme_promises(source):
    names = {path.relative_to(source).as_posix() for path in source.rglob("*")}
    promised = {
        "Makefile",
        "uv.lock",
        ".python-version",
        "CONTRIBUTING.md",
        "README.md",
        "scripts/find_python.sh",
        "notebooks/repeat_local_treatment.ipynb",
        "models/os_repeat_local_vs_systemic.toml",
    }
    assert promised <= names
    linked = set(re.findall(r"\]\(((?!https?:)[^)#]+)", (ROOT / "README.md").read_text()))
    assert linked <= names


def test_a_wheel_is_for_a_platform_and_every_python(wheel, unpacked):
    assert re.search(r"-py3-none-(?!any)[a-z0-9_]+\.whl$", wheel.name)
    folder = unpacked / "bayes_crlm" / "inference" / "native"
    assert [path.name for path in folder.glob("_library.*")]
    assert not list(unpacked.rglob("*.cpp"))


def test_the_sources_of_the_library_are_shipped_as_sources(source):
    names = {path.name for path in (source / "native").iterdir()}
    assert names == {path.name for path in (ROOT / "native").iterdir()}
    assert not list((source / "bayes_crlm").rglob("_library.*"))


def test_without_a_compiler_the_build_asks_for_one_of_pypi():
    told = run_backend("get_requires_for_build_wheel()", env={**os.environ, "CXX": "no-compiler"})
    assert "ziglang" in told
    told = run_backend("get_requires_for_build_editable()", env={"PATH": "/nowhere"})
    assert "ziglang" in told


# a fit by the sampler and one without it, in a process that could compile nothing
FIT = """
import numpy as np, pandas as pd
import bayes_crlm as bc
rng = np.random.default_rng(1)
table = pd.DataFrame({"arm": rng.integers(2, size=60), "time": rng.exponential(size=60),
                      "event": rng.integers(2, size=60)})
cohort = bc.read_cohort(table, time="time", event="event")
model = bc.PiecewiseExponential("arm", 0, cutpoints=4)
for engine in ("nuts", "laplace"):
    fitted = model.fit(cohort, engine=engine, draws=200, tune=200, seed=1)
    print(fitted.engine, fitted.hazard_ratios()["median"].round(1).tolist())
"""


def test_a_wheel_fits_without_a_compiler_and_without_a_home(unpacked, tmp_path):
    """Nothing can be written but the system's own folder for temporary files."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", FIT],
        cwd=unpacked,
        env={"PYTHONPATH": str(unpacked), "PATH": "/nowhere", "HOME": "/proc/no-home",
             "NUMBA_CACHE_DIR": "/proc/no-cache", "TMPDIR": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert [line.partition(" ")[0] for line in done.stdout.splitlines()] == ["nuts", "laplace"]


@pytest.mark.slow
@pytest.mark.skipif(not uv(), reason="no uv here")
def test_a_wheel_is_built_where_compilers_are_hidden(source, tmp_path):
    """ziglang from PyPI compiles it: fetched once, hundreds of megabytes."""
    env = {**os.environ, "PATH": "/nowhere"}
    env.pop("CXX", None)
    assert "ziglang" in build_with_uv(source, tmp_path, env)
    (path,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(path) as archive:
        archive.extractall(tmp_path / "unpacked")
    code = "from bayes_crlm.inference.native.library import kernels; print(kernels().name)"
    done = run_code(tmp_path / "unpacked", code)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() in ("baseline", "avx2", "avx512")


def find_python(path, *arguments, home):
    """Run the script that chooses an interpreter, with the commands of one folder and no others."""
    return subprocess.run(
        ["/bin/sh", str(ROOT / "scripts" / "find_python.sh"), *arguments],
        cwd=home,
        env={"PATH": str(path), "HOME": str(home)},
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()


def test_the_build_refuses_another_python_at_once_in_one_sentence(project):
    first, end = re.findall(r"3\.(\d+)", project["project"]["requires-python"])
    for version in ((3, int(first) - 1), (3, int(end))):
        with pytest.raises(subprocess.CalledProcessError) as refusal:
            run_backend(f"check_python({version})")
        said = refusal.value.stderr.strip()
        assert f"needs Python 3.{first} to 3.{int(end) - 1}" in said
        assert f"this is Python 3.{version[1]}" in said and "\n" not in said
    for minor in range(int(first), int(end)):
        assert run_backend(f"check_python((3, {minor}))").strip() == "None"


def test_setup_takes_a_python_that_is_there(tmp_path):
    bin_folder = tmp_path / "bin"
    bin_folder.mkdir()
    (bin_folder / "python3").symlink_to(Path(sys._base_executable).resolve())
    found = find_python(bin_folder, home=tmp_path)
    assert Path(found) == Path(sys._base_executable).resolve()
    assert find_python(bin_folder, "3.2", home=tmp_path) == ""


def test_setup_takes_no_python_of_another_version(tmp_path):
    bin_folder = tmp_path / "bin"
    bin_folder.mkdir()
    # a shim of a version manager fails where its version is not installed
    for name in ("python3", "python3.13", "python"):
        shim = bin_folder / name
        shim.write_text("#!/bin/sh\nexit 1\n")
        shim.chmod(0o755)
    assert find_python(bin_folder, home=tmp_path) == ""


def test_the_metadata_and_the_readme_say_the_same_versions(project):
    assert project["project"]["requires-python"] == ">=3.12,<3.15"
    install = (ROOT / "README.md").read_text().partition("## Install\n")[2]
    assert install.startswith("Python 3.12, 3.13 or 3.14.")


def test_the_wheel_holds_nothing_else(unpacked):
    folders = {path.name for path in unpacked.iterdir()}
    assert folders == {"bayes_crlm", f"bayes_crlm-{bayes_crlm.__version__}.dist-info"}


def test_an_installed_command_lists_the_specs_inside_the_package(unpacked):
    done = run_unpacked(unpacked, "list")
    assert done.returncode == 0, done.stderr
    for path in (ROOT / "models").glob("*.toml"):
        assert path.stem in done.stdout


def test_an_installed_command_checks_the_embedded_cohort(unpacked):
    done = run_unpacked(unpacked, "check", "os_repeat_local_vs_systemic")
    assert done.returncode == 0, done.stderr
    assert "135 patients" in done.stdout


def test_the_command_is_declared(unpacked, project):
    assert project["project"]["scripts"] == {"bayes-crlm": "bayes_crlm.cli:main"}
    (declared,) = unpacked.glob("*.dist-info/entry_points.txt")
    assert "bayes-crlm = bayes_crlm.cli:main" in declared.read_text()


def test_all_files_agree_on_the_version(project):
    version = project["project"]["version"]
    assert bayes_crlm.__version__ == version
    assert f"\nversion: {version}\n" in (ROOT / "CITATION.cff").read_text()
    assert f"\n## [{version}]" in (ROOT / "CHANGELOG.md").read_text()


def test_all_files_agree_on_the_licence(project):
    assert project["project"]["license"] == "Apache-2.0"
    assert "\nlicense: Apache-2.0\n" in (ROOT / "CITATION.cff").read_text()
    text = (ROOT / "LICENSE").read_text()
    assert "Apache License" in text
    assert "APPENDIX: How to apply the Apache License to your work." in text


def test_the_lock_fetches_from_the_public_registry_only():
    hosts = set(re.findall(r"https?://([^/\"]+)", (ROOT / "uv.lock").read_text()))
    assert hosts == {"pypi.org", "files.pythonhosted.org"}
    assert "file://" not in (ROOT / "uv.lock").read_text()


def imported_packages():
    """Packages that the modules import, at the top or where they are used."""
    for path in (ROOT / "bayes_crlm").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                yield from (alias.name.partition(".")[0] for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                yield str(node.module).partition(".")[0]


def test_dependencies_are_those_that_the_package_imports(project):
    extras = [
        each for extra in project["project"]["optional-dependencies"].values() for each in extra
    ]
    names, optional = (
        {re.match(r"[\w-]+", each)[0].lower() for each in listed}
        for listed in (project["project"]["dependencies"], extras)
    )
    # ArviZ is made of arviz_base, arviz_stats and arviz_plots; Jinja escapes with MarkupSafe;
    # pydantic validates by pydantic_core
    parts = {"arviz_base": "arviz", "arviz_stats": "arviz", "arviz_plots": "arviz"}
    parts |= {"markupsafe": "jinja2", "pydantic_core": "pydantic", "tomli_w": "tomli-w"}
    parts |= {"netCDF4": "netcdf4"}
    imported = set(imported_packages()) - {"bayes_crlm"} - set(sys.stdlib_module_names)
    imported = {parts.get(name, name) for name in imported}
    assert imported <= names | optional
    # the rest is imported by pandas and PyTensor to read and compile
    assert names - imported <= {"numba", "openpyxl", "pyarrow", "pytensor"}
