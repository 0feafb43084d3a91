"""Commands that are not fit, validate, test or predict: one file each."""
