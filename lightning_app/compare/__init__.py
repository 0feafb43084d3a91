"""Runs beside each other: read from their folders, told apart from noise, shown on one page."""
