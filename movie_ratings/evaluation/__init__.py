"""How good a model is: figures of merit, baselines, slices, behavioural tests, the noise ceiling."""
