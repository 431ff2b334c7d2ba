"""Stores, blobs, indexes and the embedded server."""
