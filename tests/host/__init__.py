"""The local host: what it does as Azure does, and how it starts and stops."""
