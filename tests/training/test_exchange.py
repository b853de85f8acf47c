"""What another emulator's errors make of those by place."""

from dataclasses import replace

import numpy as np
import torch

from dacycle.cycler.bundle import NODES, open_bundle
from dacycle.cycler.training.exchange import LARGEST_CHANGE, changed
from dacycle.cycler.training.forecast_error import ForecastStatistics


def test_errors_by_place_change_as_those_of_the_whole_globe() -> None:
    bundle = open_bundle("default")
    assert bundle.local_error is not None
    assert bundle.local_slope is not None
    slope, error = (torch.as_tensor(values) for values in (bundle.forecast_slope, bundle.forecast_error))
    same = changed(bundle, ForecastStatistics(slope, error))
    np.testing.assert_allclose(same["local_error_covariance"], bundle.local_error, rtol=1e-5, atol=1e-9)
    np.testing.assert_allclose(same["local_slope"], bundle.local_slope, rtol=1e-5, atol=1e-6)
    # Half the standard deviation in one channel at all degrees: a quarter of its variances, half of its covariances.
    root = torch.ones(error.shape[1])
    root[3] = 0.5
    found = changed(bundle, ForecastStatistics(slope + 0.1, error * root[:, None] * root))
    ratio = found["local_error_covariance"] / bundle.local_error
    np.testing.assert_allclose(ratio[:, :, 3, 3], 0.25, rtol=1e-4)
    np.testing.assert_allclose(ratio[:, :, 5, 5], 1.0, rtol=1e-4)
    np.testing.assert_allclose(
        found["local_error_covariance"][:, :, 3, 5], 0.5 * bundle.local_error[:, :, 3, 5], rtol=1e-4, atol=1e-9
    )
    np.testing.assert_allclose(found["local_slope"] - bundle.local_slope, 0.1, atol=1e-5)
    assert found["local_slope"].shape[0] == len(NODES)
    # Symmetric and positive still, and never beyond the bound.
    huge = changed(bundle, ForecastStatistics(slope, 100 * error))["local_error_covariance"]
    np.testing.assert_allclose(huge, LARGEST_CHANGE * bundle.local_error, rtol=1e-4, atol=1e-9)
    assert np.linalg.eigvalsh(found["local_error_covariance"].astype(np.float64)).min() > -1e-6


def test_without_errors_by_place_there_are_none() -> None:
    bundle = replace(open_bundle("default"), local_error=None, local_slope=None)
    found = changed(bundle, ForecastStatistics(torch.as_tensor(bundle.forecast_slope), torch.ones(32, 17, 17)))
    assert set(found) == {"forecast_slope", "forecast_error_covariance"}
