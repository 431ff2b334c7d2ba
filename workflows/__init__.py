"""Jobflow Makers and Flows."""
