"""The application: everything that answers a request, and nothing that only a laptop needs."""
