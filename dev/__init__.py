"""What a developer needs on a laptop: the local host, the emulators, the command line. Never deployed."""
