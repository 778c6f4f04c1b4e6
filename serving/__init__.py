"""The service: HTTP, the page, and the batches that concurrent requests share."""
