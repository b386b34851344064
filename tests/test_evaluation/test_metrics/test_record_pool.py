"""Records that are computed in threads: order, equality, errors."""

import threading
import time

import numpy as np
import pytest
from loc_samples import make_sample, random_samples, run

from mmwsol.evaluation.metrics import MaxBoxAcc
from mmwsol.evaluation.metrics.record_pool import RecordPool


def test_order_and_waiting():
    pool, results = RecordPool(3), ["before"]

    def slow(i):
        time.sleep(0.02 * (5 - i))
        return i

    for i in range(5):
        pool.submit(results, i, slow, i)
        if i == 2:
            results.append("between")
    assert len(results) == 7  # nobody waited
    pool.settle(results)
    assert results == ["before", 0, 1, 2, "between", 3, 4]
    pool.submit(results, 9, slow, 5)
    pool.settle(results)
    assert results[-1] == 5
    pool.close()
    pool.submit(results, 9, slow, 5)  # starts again
    pool.close()


def test_the_next_batch_does_not_wait():
    metric, free = MaxBoxAcc(num_threads=1), threading.Event()
    whole = metric.map_to_box.sweep
    metric.map_to_box.sweep = lambda *args: (free.wait(5), whole(*args))[1]
    samples = random_samples(2)
    metric.process(None, samples[:1])  # returns, though its box cannot be there yet
    assert not isinstance(metric.results[0], tuple)
    free.set()
    metric.process(None, samples[1:])
    assert isinstance(metric.results[0], tuple)
    metric.evaluate(2)


def test_threads_change_nothing():
    samples = random_samples(9)
    samples.insert(3, make_sample("none", [], maps=np.zeros((1, 4, 4), np.float32), img_shape=(32, 32)))
    results = []
    for num_threads in (0, 1, 4, None):
        metric = MaxBoxAcc(num_threads=num_threads)
        metric.process(None, samples[:4])
        metric.process(None, samples[4:])
        metric.pool.settle(metric.results)
        assert [record[0] for record in metric.results] == [sample["img_id"] for sample in samples]
        results.append((metric.results.copy(), metric.evaluate(len(samples))))
        assert metric.results == []
    assert all(result == results[0] for result in results)
    assert run(metric, samples, batch=3) == results[0][1]  # once more with the same object


@pytest.mark.parametrize("num_threads", [0, 2])
def test_errors_name_the_image(num_threads):
    samples = random_samples(6)
    samples[2]["pred_maps"]["maps"][0, 0] = np.inf
    metric = MaxBoxAcc(num_threads=num_threads)
    with pytest.raises(ValueError, match="image '2.jpg': a localization map has NaN or infinite values"):
        run(metric, samples)
    if num_threads:
        assert metric.results == []
        with pytest.raises(ValueError, match="image '2.jpg'"):  # also where the last batch has it
            run(metric, samples[:3], batch=3)
    metric = MaxBoxAcc(num_threads=num_threads)
    metric.map_to_box.sweep = lambda *args: {}["missing"]
    with pytest.raises(RuntimeError, match="image '0.jpg': KeyError: 'missing'"):
        run(metric, random_samples(1))
    with pytest.raises(ValueError, match="num_threads must be 0 or more, got -1"):
        MaxBoxAcc(num_threads=-1)
