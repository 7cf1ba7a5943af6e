import pytest

from train.progress import TrainingBar, together


@pytest.mark.parametrize(("batches", "expected"), [(7, 1), (16, 2), (79, 9), (5000, 16)])
def test_an_epoch_is_at_least_eight_calls_where_it_has_as_many_batches(batches, expected):
    assert together(batches) == expected


def test_the_curve_is_of_stretches_though_keras_tells_the_mean_of_the_epoch_and_of_several_batches_at_once():
    bar = TrainingBar("", batches=10, batch_size=4, epochs=80)  # stretches of four batches
    losses = [1.0, 3.0, 2.0, 2.0, 6.0, 6.0, 6.0, 6.0, 9.0, 9.0, *range(10)]
    with bar:
        bar.on_train_begin()
        for epoch in range(2):
            bar.on_epoch_begin(epoch)
            for batch in (1, 3, 5, 7, 9):  # two at once
                so_far = losses[10 * epoch : 10 * epoch + batch + 1]
                bar.on_train_batch_end(batch, {"loss": sum(so_far) / len(so_far)})
    assert bar.loss == pytest.approx(4.5)
    # The third stretch goes over the end of an epoch.
    assert bar.losses == pytest.approx([2.0, 6.0, (9 + 9 + 0 + 1) / 4, 3.5, 7.5], abs=1e-5)
