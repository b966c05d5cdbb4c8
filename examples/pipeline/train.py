"""What each step of a scikit-learn pipeline contributes, on images of digits: all combinations of three steps.

python train.py -m
ablate report outputs/pipeline
"""

import hydra
from omegaconf import DictConfig
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.metrics import f1_score
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MaxAbsScaler
from sklearn.svm import SVC

import ablate


@hydra.main(version_base="1.3", config_path="conf", config_name="config")
@ablate.task(metrics={"test_f1": {"better": "higher", "unit": "%", "label": "F1"}})
def train(cfg: DictConfig, run: ablate.Run) -> dict[str, float]:
    """Fits the pipeline, and returns its F1 on images that the seed holds out."""
    images, labels = load_digits(return_X_y=True)
    split = run.stream("split") % 2**32
    x, x_test, y, y_test = train_test_split(images, labels, train_size=200, random_state=split)
    steps = [MaxAbsScaler()] * cfg.scale + [PCA(cfg.directions, random_state=0)]
    pipeline = make_pipeline(*steps, SVC(**cfg.svm)).fit(x, y)
    return {"test_f1": f1_score(y_test, pipeline.predict(x_test), average="macro")}


if __name__ == "__main__":
    train()
