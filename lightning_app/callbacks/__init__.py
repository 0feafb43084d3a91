"""What the Trainer calls beside the training itself: one concern a file."""
