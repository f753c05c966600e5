"""Documentation and plugins' folders cannot drift from the code."""

import inspect
import re
import tomllib
from pathlib import Path
from types import ModuleType

import pytest

from istat.plugin import Config, Emit
from istat_agent import hookspecs, reference
from istat_agent.collecting.finding import ENTRY_POINTS
from istat_agent.collecting.loading import definitions_of

ROOT = Path(__file__).parents[2]
FOLDERS = sorted(p.name for p in (ROOT / "plugins").iterdir() if (p / "__init__.py").exists())
FRESH = "run: python -m istat_agent.reference"


@pytest.fixture(autouse=True)
def top_of_the_checkout(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)


def test_page_and_samples_are_fresh() -> None:
    assert reference.main(["--check"]) == 0, FRESH


def test_a_stale_page_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = tmp_path / "collectors.md"
    page.write_text(reference.page().replace("| `cpu.busy` | %", "| `cpu.busy` | s"))
    monkeypatch.setattr(reference, "PAGE", page)
    assert reference.main(["--check"]) == 1
    assert reference.main() == 0
    assert page.read_text() == reference.page()


def test_the_page_has_what_each_readme_tells_its_users() -> None:
    page = reference.page()
    for folder in FOLDERS:
        assert reference.about(folder) in page
    assert "**Safety.** Before each run the script, every folder above it and every link on the way are looked" in page
    assert "../" not in page, "links out of docs/ lead nowhere on the site"


@pytest.mark.parametrize("folder", FOLDERS)
def test_plugin_folder_is_complete(folder: str) -> None:
    path = ROOT / "plugins" / folder
    assert (path / "sample.toml").read_text() == reference.samples()[folder], FRESH
    assert (path / f"test_{folder}.py").exists()
    assert (path / "README.md").read_text().startswith(f"# {folder}\n")


def test_samples_are_valid_and_complete() -> None:
    for _, definition in reference.definitions().values():
        text = reference.sample(definition)
        table = tomllib.loads(text.replace("\n#interval", "\ninterval").replace("\n#timeout", "\ntimeout"))
        live = "\n".join(
            line[1:] if line.startswith("#") and line[1:2] != " " else line for line in text.splitlines()
        )
        options = tomllib.loads(live)["plugins"][definition.name]
        assert table["plugins"][definition.name].keys() <= options.keys()
        found = definition.configure(options)
        assert {s.name: found[s.name] for s in definition.settings} == {s.name: s.default for s in definition.settings}


def test_every_metric_and_option_is_explained() -> None:
    for name, (_, definition) in reference.definitions().items():
        assert definition.help, name
        assert definition.metrics, name
        for part in (*definition.metrics, *definition.settings):
            assert part.help, f"{name}: {part.name}"


def test_examples_of_the_page_are_collectors(tmp_path: Path) -> None:
    text = (ROOT / "docs/adding-a-collector.md").read_text()
    blocks = re.findall(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    examples = [block for block in blocks if "@collector" in block]
    assert len(examples) == 2
    (tmp_path / "totals").write_text("mail 100\nnews 5\n")
    for i, block in enumerate(examples):
        module = ModuleType(f"example{i}")
        exec(compile(block, f"example {i}", "exec"), vars(module))  # noqa: S102 - our own documentation
        (definition,) = definitions_of("docs", module)
        options = {"path": str(tmp_path / "totals")} if definition.settings else {}
        (job,) = definition.start(Config(options))
        job.collect(Emit(1000, 5.0))


def test_the_example_of_a_package_names_the_door() -> None:
    text = (ROOT / "docs/adding-a-collector.md").read_text()
    (block,) = re.findall(r"^```toml\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    assert tomllib.loads(block)["project"]["entry-points"] == {ENTRY_POINTS: {"example": "istat_example.collector"}}


def test_every_hook_is_documented() -> None:
    text = (ROOT / "docs/adding-a-collector.md").read_text()
    hooks = [f for name, f in vars(hookspecs).items() if name.startswith("istat_")]
    assert hooks
    for hook in hooks:
        arguments = ", ".join(inspect.signature(hook).parameters)
        assert f"### `{hook.__name__}({arguments})`" in text
