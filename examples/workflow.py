"""The whole circle from one file: training, a challenge, drift, and scores of open opportunities.

Command:   python examples/workflow.py [--quick]
Time:      about a minute on two CPU cores; with --quick, which trains no network, about ten seconds
Expected:  each step in a line; the second training keeps every model; then the likeliest of the open opportunities
"""

import argparse
import shutil
import tempfile
from pathlib import Path

import yaml

from hanjax.cli import main as hanjax
from hanjax.simulation.company import simulate_company, write_company

FEATURES = """
features:
  - {name: employees, aspect: growth, source: headcount, expression: employees, how: latest}
  - {name: connections, aspect: social selling, source: connections, expression: sum(connections), look_back: 12W}
"""


def main() -> None:
    """Runs the example."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer accounts, and no network")
    quick = parser.parse_args().quick
    folder = Path(tempfile.mkdtemp())
    write_company(simulate_company(accounts=100 if quick else 600, weeks=90 if quick else 130), folder / "company")
    (folder / "features.yaml").write_text(FEATURES)
    file = folder / "workflow.yaml"
    shutil.copyfile(Path(__file__).with_name("workflow.yaml"), file)
    if quick:
        settings = yaml.safe_load(file.read_text())
        del settings["models"]["network"]
        file.write_text(yaml.safe_dump(settings))
    for options in (["--dry-run"], ["--only", "train"], []):
        print(f"\n$ hanjax run workflow.yaml {' '.join(options)}")
        status = hanjax(["run", str(file), *options])
        print(f"status {status}")
    shutil.rmtree(folder)


if __name__ == "__main__":
    main()
