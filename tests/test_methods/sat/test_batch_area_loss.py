"""BatchAreaLoss: of a batch, not of its images; over ranks equal to one process with the whole batch."""

import json

import pytest
import torch
from ranks import run_ranks

from mmwsol.methods.sat import BatchAreaLoss


def maps_of(areas):
    """Make maps (B, 2, 2) of mean areas (B,)."""
    return areas[:, None, None] + torch.tensor([[-0.05, 0.05], [0.05, -0.05]])


def test_absolute_value_of_the_batch_mean():
    maps = maps_of(torch.tensor([0.1, 0.5]))
    assert BatchAreaLoss(0.25)(maps).item() == pytest.approx(0.05, abs=1e-7)
    assert BatchAreaLoss(0.25, loss_weight=2.0)(maps[:, None]).item() == pytest.approx(0.1, abs=1e-7)


@pytest.mark.parametrize(("target", "sign"), [(0.25, 1.0), (0.4, -1.0)])
def test_gradient(target, sign):
    areas = torch.tensor([0.1, 0.5], requires_grad=True)
    BatchAreaLoss(target)(maps_of(areas)).backward()
    torch.testing.assert_close(areas.grad, torch.tensor([sign, sign]) / 2)


def test_target_is_a_fraction():
    with pytest.raises(ValueError, match="target must be a fraction of the frame, 0 to 1, got 25"):
        BatchAreaLoss(25)


class Areas(torch.nn.Module):
    """A model whose parameters are the areas of five images."""

    def __init__(self):
        super().__init__()
        self.areas = torch.nn.Parameter(torch.tensor([0.1, 0.5, 0.2, 0.4, 0.05]))

    def forward(self, indices):
        return maps_of(self.areas[indices])


def rank_work(rank, folder):
    """Record, for even and uneven shares of a batch, the mean loss of the ranks and DDP's gradient."""
    records = {}
    for shares, sync in (([[0], [1]], True), ([[0], [1]], False), ([[0, 1, 2], [4]], True)):
        model = torch.nn.parallel.DistributedDataParallel(Areas())
        loss = BatchAreaLoss(0.25, sync=sync)(model(torch.tensor(shares[rank])))
        loss.backward()
        value = loss.detach().clone()
        torch.distributed.all_reduce(value)
        records[f"{shares} {sync}"] = [value.item() / 2, model.module.areas.grad.tolist()]
    if rank == 0:
        (folder / "records.json").write_text(json.dumps(records))


def test_ranks(tmp_path):
    """Per-rank: -1 and +1, which cancel the constraint; synchronised: the sign of the global mean on both ranks."""
    run_ranks(rank_work, 2, tmp_path)
    records = json.loads((tmp_path / "records.json").read_text())
    value, grad = records["[[0], [1]] True"]
    assert value == pytest.approx(0.05, abs=1e-7)
    assert grad == pytest.approx([0.5, 0.5, 0, 0, 0], abs=1e-7)  # rank r: +1, averaged over two ranks
    value, grad = records["[[0], [1]] False"]
    assert value == pytest.approx(0.2, abs=1e-7)
    assert grad == pytest.approx([-0.5, 0.5, 0, 0, 0], abs=1e-7)

    model = Areas()  # uneven shares: as one process with all four images
    loss = BatchAreaLoss(0.25)(model(torch.tensor([0, 1, 2, 4])))
    loss.backward()
    value, grad = records["[[0, 1, 2], [4]] True"]
    assert value == pytest.approx(loss.item(), abs=1e-7)
    assert grad == pytest.approx(model.areas.grad.tolist(), abs=1e-7)
