"""A hundred models in one call: ten seeds, five learning rates and two class weights, then the ten best as one.

Command:   python examples/hundred_models.py [--quick] [--out FOLDER]
Time:      some minutes on two CPU cores; with --quick, four models, about half a minute
Expected:  the ranking by validation, and how well the best model and the ensemble of the ten best do on accounts that
           neither training nor the ranking has seen
"""

import argparse
from pathlib import Path

import hanjax


def main() -> None:
    """Runs the example."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="four models, two epochs")
    parser.add_argument("--out", type=Path, help="a folder for the models; started again, it goes on")
    arguments = parser.parse_args()
    quick = arguments.quick

    market = hanjax.simulate(accounts=80 if quick else 800, conversions=0.3, seed=4)
    vary = {
        "seed": range(2 if quick else 10),
        "learning_rate": [0.003, 0.01] if quick else [0.001, 0.002, 0.005, 0.01, 0.02],
        "positive_weight": [None] if quick else [None, 100.0],
    }
    config = hanjax.Config().replace(epochs=2 if quick else 10, activity_width=16, window_width=8, member_width=8)
    resume = arguments.out is not None and arguments.out.exists()
    population = hanjax.fit_population(market.tables, vary, arguments.out, config=config, resume=resume, progress=True)
    print(population)
    for name, run in (("the best model", population.best), ("the ten best together", population.ensemble(10))):
        print(f"{name}: test AUC {hanjax.evaluate(run, market.tables).metrics['auc']:.3f}")


if __name__ == "__main__":
    main()
