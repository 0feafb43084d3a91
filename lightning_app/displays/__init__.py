"""Where a run's pictures, figures and tables are shown: plain files, TensorBoard, Weights & Biases."""
