"""How frontends want to hear it: one sequence of events, told in several formats."""
