"""The losses of the training: values worked out by hand, and what they must reward."""

import math
from collections.abc import Callable
from types import ModuleType

import pytest
import torch

Load = Callable[[str], ModuleType]


@pytest.fixture
def losses(load: Load) -> ModuleType:
    return load("training.losses")


def unit(*shape: int, seed: int = 0) -> torch.Tensor:
    values = torch.randn(shape, generator=torch.Generator().manual_seed(seed))
    return torch.nn.functional.normalize(values, dim=-1)


def test_a_keypoint_on_a_pixel_is_the_target_of_its_cell_alone(losses: ModuleType) -> None:
    targets = losses.cell_targets(torch.tensor([[1.0, 11.0, 5.0]]), (2, 3, 4))
    assert targets.shape == (2, 65, 3, 4)
    assert targets[1, 5 * 8 + 3, 0, 1] == 1
    assert targets[:, 64].sum() == 2 * 3 * 4 - 1
    assert torch.all(targets.sum(dim=1) == 1)


def test_a_keypoint_between_pixels_is_shared_by_its_neighbours(losses: ModuleType) -> None:
    targets = losses.cell_targets(torch.tensor([[0.0, 3.25, 4.5]]), (1, 1, 1))[0, :64, 0, 0]
    shares = targets.view(8, 8)
    assert shares[4, 3] == pytest.approx(0.375) and shares[5, 3] == pytest.approx(0.375)
    assert shares[4, 4] == pytest.approx(0.125) and shares[5, 4] == pytest.approx(0.125)


def test_a_keypoint_beside_the_next_cell_keeps_its_own_share_only(losses: ModuleType) -> None:
    targets = losses.cell_targets(torch.tensor([[0.0, 7.25, 2.0]]), (1, 1, 2))
    assert targets[0, 2 * 8 + 7, 0, 0] == 1
    assert targets[0, 64, 0, 1] == 1


def test_of_two_keypoints_in_a_cell_the_first_counts(losses: ModuleType) -> None:
    points = torch.tensor([[0.0, 6.0, 1.0], [0.0, 2.0, 3.0]])
    assert losses.cell_targets(points, (1, 1, 1))[0, 1 * 8 + 6, 0, 0] == 1
    assert losses.cell_targets(points.flip(0), (1, 1, 1))[0, 3 * 8 + 2, 0, 0] == 1


def test_no_keypoints_make_the_dustbin_the_target_everywhere(losses: ModuleType) -> None:
    assert torch.all(losses.cell_targets(torch.zeros((0, 3)), (1, 2, 2))[:, 64] == 1)


def test_equal_logits_cost_the_logarithm_of_the_channels(losses: ModuleType) -> None:
    targets = losses.cell_targets(torch.tensor([[0.0, 3.0, 3.0]]), (1, 2, 2))
    loss = losses.detector_loss(torch.zeros(1, 65, 2, 2), targets, torch.ones(1, 2, 2).bool())
    assert float(loss) == pytest.approx(math.log(65), rel=1e-6)


def test_cells_that_are_not_valid_do_not_count(losses: ModuleType) -> None:
    targets = losses.cell_targets(torch.zeros((0, 3)), (1, 1, 2))
    logits = torch.zeros(1, 65, 1, 2)
    logits[0, 64, 0, 0] = 50
    valid = torch.tensor([[[True, False]]])
    assert float(losses.detector_loss(logits, targets, valid)) == pytest.approx(0, abs=1e-6)
    assert float(losses.detector_loss(logits, targets, ~valid)) > 4
    assert float(losses.detector_loss(logits, targets, valid & ~valid)) == 0


def test_hinge_loss_of_one_pair_of_cells_is_as_the_paper_says(losses: ModuleType) -> None:
    a, b = torch.tensor([3.0, 0.0]), torch.tensor([0.6, 0.8])  # their product is 0.6
    first, second = a.view(1, 2, 1, 1), b.view(1, 2, 1, 1)
    valid = torch.ones(1, 1, 1).bool()
    here, far = torch.tensor([3.5, 3.5]), torch.tensor([30.0, 3.5])
    right = losses.hinge_loss(first, second, here.view(1, 1, 1, 2), valid)
    wrong = losses.hinge_loss(first, second, far.view(1, 1, 1, 2), valid)
    assert float(right) == pytest.approx(250 * 0.4)
    assert float(wrong) == pytest.approx(0.4)
    assert float(losses.hinge_loss(first, second, here.view(1, 1, 1, 2), ~valid)) == 0


def test_hinge_loss_is_small_for_equal_views_and_large_for_mixed_ones(
    load: Load, losses: ModuleType
) -> None:
    cell_centres = load("training.homographies").cell_centres
    descriptors = torch.eye(64).view(1, 64, 8, 8)
    places = torch.from_numpy(cell_centres((64, 64)))[None].float()
    valid = torch.ones(1, 8, 8).bool()
    own = losses.hinge_loss(descriptors, descriptors, places, valid)
    mixed = losses.hinge_loss(descriptors, descriptors.flip(1), places, valid)
    assert float(own) < float(mixed)


def test_contrastive_loss_of_orthogonal_descriptors_is_known(losses: ModuleType) -> None:
    count, temperature = 6, 0.5
    descriptors = torch.eye(count)[None]
    points = torch.arange(count)[None, :, None] * torch.tensor([20.0, 0.0])
    valid = torch.ones(1, count).bool()
    found = losses.contrastive_loss(descriptors, descriptors, points, valid, temperature)
    expected = math.log(1 + (count - 1) * math.exp(-1 / temperature))
    assert float(found.loss) == pytest.approx(expected, rel=1e-5)
    assert found.success.all()


def test_points_nearer_than_a_cell_are_no_wrong_matches(losses: ModuleType) -> None:
    descriptors = torch.tensor([[[1.0, 0.0], [1.0, 0.0]]])
    valid = torch.ones(1, 2).bool()
    near = torch.tensor([[[10.0, 10.0], [13.0, 10.0]]])
    far = torch.tensor([[[10.0, 10.0], [40.0, 10.0]]])
    assert float(losses.contrastive_loss(descriptors, descriptors, near, valid, 0.1).loss) == 0
    loss = losses.contrastive_loss(descriptors, descriptors, far, valid, 0.1).loss
    assert float(loss) == pytest.approx(math.log(2))


def test_a_point_that_is_not_there_changes_nothing(losses: ModuleType) -> None:
    first, second = unit(1, 5, 8), unit(1, 5, 8, seed=1)
    points = torch.arange(5)[None, :, None] * torch.tensor([20.0, 9.0])
    valid = torch.tensor([[True, True, True, False, True]])
    found = losses.contrastive_loss(first, second, points, valid, 0.2)
    keep = valid[0]
    alone = losses.contrastive_loss(
        first[:, keep], second[:, keep], points[:, keep], torch.ones(1, 4).bool(), 0.2
    )
    assert float(found.loss) == pytest.approx(float(alone.loss), rel=1e-6)
    assert not found.success[0, 3]
    assert torch.equal(found.success[0, keep], alone.success[0])


def test_a_match_succeeds_only_where_it_is_best_both_ways(losses: ModuleType) -> None:
    first = torch.tensor([[[1.0, 0.0], [0.8, 0.6]]])
    second = torch.tensor([[[0.8, 0.6], [0.0, 1.0]]])  # 0 and 1 both like second 0 best
    points = torch.tensor([[[0.0, 0.0], [50.0, 0.0]]])
    found = losses.contrastive_loss(first, second, points, torch.ones(1, 2).bool(), 0.1)
    assert found.success.tolist() == [[False, False]]


def test_descending_the_contrastive_loss_makes_matches_succeed(losses: ModuleType) -> None:
    first, second = unit(1, 20, 8).requires_grad_(), unit(1, 20, 8, seed=1)
    points = torch.arange(20)[None, :, None] * torch.tensor([20.0, 0.0])
    valid = torch.ones(1, 20).bool()
    before = losses.contrastive_loss(first, second, points, valid, 0.1)
    for _ in range(50):
        found = losses.contrastive_loss(first, second, points, valid, 0.1)
        (gradient,) = torch.autograd.grad(found.loss, first)
        first = torch.nn.functional.normalize(first.detach() - gradient, dim=2).requires_grad_()
    assert before.success.float().mean() < 0.3 < 0.95 < found.success.float().mean()


def test_success_loss_wants_keypoints_where_matches_succeed(losses: ModuleType) -> None:
    logits = torch.zeros(1, 65, 1, 2)
    logits[0, 12, 0, 0] = 20.0  # a keypoint in the left cell
    logits[0, 64, 0, 1] = 20.0  # none in the right one
    points = torch.tensor([[[2.0, 2.0], [11.0, 3.0]]])
    valid = torch.ones(1, 2).bool()
    good = losses.success_loss(logits, points, torch.tensor([[True, False]]), valid)
    bad = losses.success_loss(logits, points, torch.tensor([[False, True]]), valid)
    assert float(good) < 1e-5
    assert float(bad) > 10
    assert float(losses.success_loss(logits, points, valid, ~valid)) == 0


def test_success_loss_reads_the_cells_of_the_points_row_by_row(losses: ModuleType) -> None:
    z = torch.tensor([[[0.5, -1.0, 2.0], [3.0, -4.0, 6.0]]])
    logits = torch.zeros(1, 65, 2, 3)
    logits[:, 64] = math.log(64) - z
    # (x, y) in the cells (row, column) (0, 2), (1, 0) and (1, 1); each side of a cell's border
    points = torch.tensor([[[16.0, 7.4], [7.4, 8.0], [8.0, 15.0]]])
    success, valid = torch.tensor([[False, True, False]]), torch.ones(1, 3).bool()
    costs = [math.log1p(math.exp(v)) for v in (2.0, -3.0, -4.0)]
    for chosen in ([0], [1], [2], [0, 1, 2]):
        mask = torch.zeros_like(valid)
        mask[0, chosen] = True
        found = float(losses.success_loss(logits, points, success, mask))
        assert found == pytest.approx(sum(costs[i] for i in chosen) / len(chosen), rel=1e-5)


def test_hinge_loss_is_told_places_x_first(losses: ModuleType) -> None:
    descriptors = torch.eye(6).view(1, 6, 2, 3)  # every cell is like itself alone
    places = torch.full((1, 2, 3, 2), 1e4)
    places[0, 0, 0] = torch.tensor([19.5, 3.5])  # the cell in row 0, column 2
    valid = torch.zeros(1, 2, 3).bool()
    valid[0, 0, 2] = True
    found = losses.hinge_loss(descriptors, descriptors, places, valid)
    assert float(found) == pytest.approx((250 + 0.8) / 6, rel=1e-5)
