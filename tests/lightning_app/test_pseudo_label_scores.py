"""What pseudo-labels are worth on the target's validation images: by hand, and in a fit."""

from typing import Any

import pytest
import tiny
import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor, nn

from datamodules import SyntheticStreets
from datamodules.joined_domains import JoinedDomains
from lightning_app.inference import predict_mask
from lightning_app.pseudo_label_scores import PseudoLabelScores, Watch
from lightning_app.segmenter import Segmenter
from strategies import MeanTeacher, SelfTraining, SourceOnly

THRESHOLD = 0.5
"""What half of the pixels reach in the fit below."""


def test_scores_are_those_of_a_count_by_hand() -> None:
    scores = PseudoLabelScores(["road", "sky", "car"])
    first = torch.tensor([[[0, 0, 0, 1]]]), torch.tensor([[[0, 1, 255, 1]]]), torch.tensor([[[0, 0, 0, 1]]])
    second = torch.tensor([[[1, 1], [0, 0]]]), torch.tensor([[[1, 0], [0, 0]]]), torch.tensor([[[1, 255], [0, 255]]])
    scores.update(*first, torch.tensor([[[0, 0, 2, 2]]]))
    scores.update(*second, torch.tensor([[[1, 1], [0, 0]]]))
    assert scores.compute() == pytest.approx(
        {
            "pseudo_labels/precision": 4 / 5,
            "pseudo_labels/precision/road": 2 / 3,
            "pseudo_labels/precision/sky": 2 / 2,
            "pseudo_labels/coverage": 6 / 8,  # the ignored pixel counts
            "agreement": 6 / 8,
        }
    )


def test_it_is_the_label_that_is_judged_and_not_the_likeliest_class() -> None:
    strategy, network = SelfTraining(), nn.Conv2d(3, 2, 1)
    strategy.build(network, ["road", "sky"])  # type: ignore[arg-type]  # it is copied and asked nothing
    strategy.thresholds.copy_(torch.tensor([0.9, 0.3]))
    probabilities = torch.tensor([0.6, 0.4]).view(1, 2, 1, 1)

    def predict(network: nn.Module, watch: Watch | None) -> Tensor:
        assert watch is not None
        watch(probabilities)
        return probabilities.argmax(dim=1)

    seen: list[Tensor] = []
    scores = PseudoLabelScores(["road", "sky"])
    scores.add(strategy, network, network, torch.ones(1, 1, 1, dtype=torch.int64), predict, seen.append)
    assert scores.compute() == {
        "pseudo_labels/precision": 1, "pseudo_labels/precision/sky": 1, "pseudo_labels/coverage": 1
    }  # fmt: skip


def test_what_is_a_share_of_nothing_is_left_out() -> None:
    prediction, mask = torch.zeros(2, 1, 2, 2, dtype=torch.int64)
    scores = PseudoLabelScores(["road", "sky"])
    scores.update(prediction, mask, torch.full((1, 2, 2), 255))
    assert scores.compute() == {"pseudo_labels/coverage": 0}
    scores.reset()
    scores.update(prediction, mask, other=prediction)
    assert scores.compute() == {"agreement": 1}


@pytest.mark.parametrize("infers", ["teacher", "student"])
def test_whichever_of_both_infers_is_judged_and_compared_with_the_other(infers: str) -> None:
    """On two images of more rows than leave a prediction at a time."""
    student: Any = nn.Conv2d(3, 2, 1)
    with torch.no_grad():
        student.weight.copy_(torch.tensor([[3.0, -3, 0], [-3, 3, 0]]).view(2, 3, 1, 1))
    strategy = MeanTeacher(threshold=0.6)
    strategy.build(student, ["road", "sky"])
    teacher = strategy.mean_teacher.network
    with torch.no_grad():
        student.bias.add_(torch.tensor([0.0, 2.0]))
    images = torch.rand(2, 3, 40, 5, generator=torch.Generator().manual_seed(0))
    mask = torch.randint(0, 2, (2, 40, 5), generator=torch.Generator().manual_seed(1))

    def predict(network: nn.Module, watch: Watch | None) -> Tensor:
        found = [predict_mask(network, image, None, "cpu", watch=watch) for image in images]
        return torch.stack([torch.from_numpy(one) for one in found])

    scores = PseudoLabelScores(["road", "sky"])
    network, other = (teacher, student) if infers == "teacher" else (student, teacher)
    prediction = scores.add(strategy, network, student, mask, predict, lambda probabilities: None)
    with torch.no_grad():
        confidence, wanted = network(images).softmax(dim=1).max(dim=1)
        agreed = other(images).argmax(dim=1) == wanted
    assert torch.equal(prediction.long(), wanted) and 0 < agreed.float().mean() < 1
    found, sure = scores.compute(), confidence >= 0.6
    assert found["agreement"] == pytest.approx(float(agreed.float().mean()))
    assert found["pseudo_labels/coverage"] == pytest.approx(float(sure.float().mean()))
    assert found["pseudo_labels/precision"] == pytest.approx(float((wanted == mask)[sure].float().mean()))


def test_what_watches_beside_is_told_of_the_network_that_infers_alone() -> None:
    inferring: Any = nn.Conv2d(3, 2, 1)
    strategy = MeanTeacher()
    strategy.build(inferring, ["road", "sky"])
    told: list[tuple[nn.Module, Tensor]] = []

    def predict(network: nn.Module, watch: Watch | None) -> Tensor:
        if watch is not None:
            watch(torch.full((1, 2, 2, 2), 0.5))
            told.append((network, seen[-1]))
        return torch.zeros(1, 2, 2)

    seen: list[Tensor] = []
    scores = PseudoLabelScores(["road", "sky"])
    scores.add(strategy, inferring, inferring, torch.zeros(1, 2, 2), predict, seen.append)
    assert [network for network, _ in told] == [inferring] and len(seen) == 1


def make_streets(look: Any) -> SyntheticStreets:
    return tiny.KeptStreets(look=look, size=(32, 48), train=10, val=3, test=3)


class Figures(Callback):
    """Keeps what each validation logged beside the scores, and the networks as they were."""

    def __init__(self) -> None:
        self.logged: list[dict[str, float]] = []
        self.networks: list[dict[str, Tensor]] = []
        self.predictions: list[int] = []
        self.hooks: list[Any] = []

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        def note(module: nn.Module, given: Any) -> None:
            self.predictions[-1] += 1

        self.predictions.append(0)
        assert isinstance(pl_module, Segmenter)
        networks = {id(one): one for one in (pl_module.network, pl_module.inference_network("target"))}
        self.hooks = [one.register_forward_pre_hook(note) for one in networks.values()]

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        for hook in self.hooks:
            hook.remove()
        logged = {name.removeprefix("val/"): float(value) for name, value in trainer.callback_metrics.items()}
        self.logged.append({name: one for name, one in logged.items() if "pseudo_labels" in name or "agree" in name})
        self.networks.append({name: value.clone() for name, value in pl_module.state_dict().items()})


def by_hand(segmenter: Segmenter, teacher: nn.Module, streets: SyntheticStreets) -> dict[str, float]:
    """The figures of a validation of whole images, by one class after another."""
    student = segmenter.network.eval()
    confident, right, ids, agreed, counted = [], [], [], [], []
    for name in streets.names("val"):
        image = torch.from_numpy(streets.read_image(name)).movedim(-1, 0)[None] / 255
        mask = torch.from_numpy(streets.read_mask(name)).long()
        with torch.no_grad():
            confidence, prediction = teacher(image).softmax(dim=1)[0].max(dim=0)
            agreed.append(student(image)[0].argmax(dim=0) == prediction)
        confident.append(confidence >= THRESHOLD)
        right.append(prediction == mask)
        ids.append(prediction)
        counted.append(mask != 255)
    sure, hit, of, agree, labelled = (torch.stack(one) for one in (confident, right, ids, agreed, counted))
    wanted = {
        "target/pseudo_labels/coverage": sure.float().mean(),
        "target/pseudo_labels/precision": hit[sure & labelled].float().mean(),
        "target/unsupervised/teacher_agreement": agree.float().mean(),
    }
    for number, name in enumerate(segmenter.classes):
        chosen = sure & labelled & (of == number)
        if chosen.any():
            wanted[f"target/pseudo_labels/precision/{name}"] = hit[chosen].float().mean()
    return {name: float(value) for name, value in wanted.items()}


def test_a_fits_validation_logs_them_for_the_target(make_trainer: Any) -> None:
    strategy, figures, streets = MeanTeacher(threshold=THRESHOLD), Figures(), make_streets("dusk")
    segmenter, data = tiny.make_segmenter(strategy), tiny.make_data(workers=0, target=streets)
    make_trainer(max_steps=2, val_check_interval=1, callbacks=[figures], num_sanity_val_steps=1).fit(segmenter, data)
    sanity, *logged = figures.logged
    assert not sanity and len(logged) == 2
    names = set.union(*(set(one) for one in logged))
    assert {
        "target/pseudo_labels/coverage",
        "target/pseudo_labels/precision",
        "target/unsupervised/teacher_agreement",
    } < names
    assert not any(name.startswith("source") for name in names)
    # Three source images, and three of the target by both networks.
    assert figures.predictions[1] == 3 + 3 + 3
    for found, state in zip(logged, figures.networks[1:], strict=True):
        segmenter.load_state_dict(state)
        wanted = by_hand(segmenter, strategy.mean_teacher.network.eval(), streets)
        assert 0.05 < wanted["target/pseudo_labels/coverage"] < 0.95
        assert wanted["target/unsupervised/teacher_agreement"] < 1 or found is logged[0]
        assert {name: found[name] for name in wanted} == pytest.approx(wanted, abs=2e-3)


def test_a_sanity_check_leaves_nothing_in_the_scores_without_labels(make_trainer: Any) -> None:
    logged = []
    for steps in (0, 2):
        segmenter = tiny.make_segmenter(SourceOnly())
        trainer = make_trainer(max_steps=1, val_check_interval=1, num_sanity_val_steps=steps)
        trainer.fit(segmenter, tiny.make_data(workers=0))
        logged.append(segmenter.unsupervised)
    assert logged[0] and logged[0] == logged[1]


def test_an_evaluation_has_none_of_them(make_trainer: Any) -> None:
    segmenter = tiny.make_segmenter(MeanTeacher(threshold=THRESHOLD))
    found = make_trainer().validate(segmenter, tiny.make_data(workers=0), verbose=False)[0]
    assert any(name.endswith("target/miou") for name in found)
    assert not [name for name in found if "pseudo_labels" in name or "agreement" in name]


def test_a_strategy_without_pseudo_labels_pays_and_logs_nothing(make_trainer: Any) -> None:
    segmenter, figures = tiny.make_segmenter(SourceOnly()), Figures()
    make_trainer(max_steps=1, val_check_interval=1, callbacks=[figures]).fit(segmenter, tiny.make_data(workers=0))
    assert figures.logged == [{}] and figures.predictions == [3 + 3]
    assert not segmenter.pseudo_label_scores.update_called


def test_parts_of_a_joined_target_count_together(make_trainer: Any) -> None:
    segmenter, figures = tiny.make_segmenter(MeanTeacher(threshold=0.0)), Figures()
    data = tiny.make_data(workers=0, target=JoinedDomains([make_streets("fog"), make_streets("dusk")]))
    make_trainer(max_steps=1, val_check_interval=1, callbacks=[figures]).fit(segmenter, data)
    assert figures.logged[0]["target/pseudo_labels/coverage"] == 1
    assert figures.predictions == [3 + (3 + 3) * 2]
