"""What ``lightning check`` does: reads the files of a run, looks for mistakes, tries a few steps, and reports."""
