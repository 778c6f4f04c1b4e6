"""Fitting: the transformer with torch, the linear part with scikit-learn, calibration and decision."""
