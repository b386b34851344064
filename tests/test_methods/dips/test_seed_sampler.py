"""Sampling of pixel labels."""

import pytest
import torch

from mmwsol.methods.dips import SeedSampler
from mmwsol.methods.dips.seed_sampler import IGNORE

MAPS = torch.arange(1, 17).view(1, 4, 4) / 16.0  # rising in reading order


def region(*rows):
    mask = torch.zeros(1, 4, 4, dtype=torch.bool)
    mask[0, list(rows)] = True
    return mask


def places(labels, value):
    return (labels[0].flatten() == value).nonzero().flatten().tolist()


def test_foreground_is_the_highest_part_of_the_region():
    sampler = SeedSampler(num_fg=99, num_bg=0, fg_fraction=0.5, kernel_size=1)
    labels = sampler(MAPS, region(0, 1))
    assert places(labels, 1) == [4, 5, 6, 7] and places(labels, 0) == []
    assert len(places(SeedSampler(3, 0, fg_fraction=0.5, kernel_size=1)(MAPS, region(0, 1)), 1)) == 3


def test_background_is_the_lowest_part_of_the_image():
    sampler = SeedSampler(num_fg=0, num_bg=99, bg_fraction=0.25, kernel_size=1)
    assert places(sampler(MAPS, region(0, 1)), 0) == [0, 1, 2, 3]  # inside the region too
    sampler.exclude_boxes = "selected"
    assert places(sampler(MAPS, region(0, 1)), 0) == [8, 9, 10, 11]
    sampler.exclude_boxes = "all"
    assert places(sampler(MAPS, region(0), region(0, 1, 2)), 0) == [12, 13, 14, 15]
    assert places(sampler(MAPS, region(0), region(0, 1, 2, 3)), 0) == []
    with pytest.raises(ValueError, match="set all_boxes=True"):
        sampler(MAPS, region(0))


def test_dilation_and_overlap():
    labels = SeedSampler(99, 99, fg_fraction=0.25, bg_fraction=0.25)(MAPS, region(2, 3))
    # Rows 0 and 3 are drawn (the upper quarter of the region is two pixels), then grow by one pixel.
    assert places(labels, 0) == [0, 1, 2, 3, 4, 5, 6, 7]
    assert places(labels, 1) == [9, 10, 11, 13, 14, 15]
    labels = SeedSampler(99, 99, fg_fraction=1.0, bg_fraction=0.5)(MAPS, region(2))
    assert places(labels, IGNORE) == list(range(4, 12)) and places(labels, 1) == [12, 13, 14, 15]


def test_empty_region_gives_background_only():
    labels = SeedSampler()(MAPS, region())
    assert places(labels, 1) == [] and places(labels, 0)


def test_images_of_a_batch_have_their_own_numbers():
    maps = MAPS.expand(3, 4, 4)
    regions = torch.cat([region(), region(0), region(0, 1, 2, 3)])
    drawn = SeedSampler(99, 99, fg_fraction=0.5).draw_foreground(maps, regions)
    assert drawn.flatten(1).sum(1).tolist() == [0, 2, 8]
    drawn = SeedSampler(5, 99, fg_fraction=0.5).draw_foreground(maps, regions)
    assert drawn.flatten(1).sum(1).tolist() == [0, 2, 5]


def test_number_of_pixels_is_rounded_as_in_the_official_code():
    mask = torch.zeros(1, 20, 20, dtype=torch.bool)
    mask.view(-1)[:100] = True
    sampler = SeedSampler(999, 0, fg_fraction=0.29)
    assert sampler.draw_foreground(torch.rand(1, 20, 20), mask).sum() == 29  # int(.29 * 100) is 28
    mask.view(-1)[:300] = True
    sampler.fg_fraction = 0.57
    assert sampler.draw_foreground(torch.rand(1, 20, 20), mask).sum() == 171


@pytest.mark.parametrize("method", ["weighted", "uniform"])
def test_draws_follow_the_weights(method):
    """One pixel is drawn: its probability is its share of the map."""
    torch.manual_seed(0)
    times = 20_000
    maps = MAPS.expand(times, -1, -1)
    sampler = SeedSampler(1, 1, fg_fraction=1, bg_fraction=1, fg_method=method, bg_method=method)
    everywhere = torch.ones(times, 4, 4, dtype=torch.bool)
    weights = MAPS[0].flatten() if method == "weighted" else torch.ones(16)
    lower = (1 - MAPS[0].flatten()) if method == "weighted" else torch.ones(16)
    for draw, weight in ((sampler.draw_foreground, weights), (sampler.draw_background, lower)):
        count = draw(maps, everywhere).flatten(1).double().sum(0)
        expected = times * (weight / weight.sum()).double()
        chi2 = ((count - expected)[expected > 1] ** 2 / expected[expected > 1]).sum()
        assert chi2 < 37.7  # 99.9 % for 15 degrees of freedom
        assert count[expected <= 1].sum() <= 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (dict(num_fg=-1), "num_fg must not be negative, got -1"),
        (dict(bg_fraction=2), "bg_fraction must be a fraction"),
        (dict(fg_method="best"), "fg_method must be one of"),
        (dict(exclude_boxes="some"), "exclude_boxes must be one of"),
        (dict(kernel_size=2), "kernel_size must be odd, got 2"),
    ],
)
def test_errors(options, message):
    with pytest.raises(ValueError, match=message):
        SeedSampler(**options)
