"""What each part of a random forest contributes: an ablation of scikit-learn's, on its images of digits.

python train.py -m
ablate report outputs/forest
"""

from collections.abc import Iterator

import hydra
from omegaconf import DictConfig
from sklearn.datasets import load_digits
from sklearn.ensemble import RandomForestClassifier
from sklearn.model_selection import train_test_split

import ablate


@hydra.main(version_base="1.3", config_path="conf", config_name="config")
@ablate.task
def train(cfg: DictConfig, run: ablate.Run) -> Iterator[dict[str, float]]:
    """Fits a forest, and yields its accuracy: the whole training is one epoch."""
    images, labels = load_digits(return_X_y=True)
    # The stream depends on the seed only, so that all variants of a seed are tested on the same images.
    split = run.stream("split") % 2**32
    x_train, x_test, y_train, y_test = train_test_split(images, labels, test_size=0.3, random_state=split)
    run.describe(data="scikit-learn's digits")
    for _ in run.epochs(1):
        forest = RandomForestClassifier(**cfg.model, random_state=run.stream("trees") % 2**32)
        forest.fit(x_train, y_train)
        yield {"train_accuracy": forest.score(x_train, y_train), "test_accuracy": forest.score(x_test, y_test)}


if __name__ == "__main__":
    train()
