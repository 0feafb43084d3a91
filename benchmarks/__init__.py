"""What Segue costs, each measured against the same work done without it."""
