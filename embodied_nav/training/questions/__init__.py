"""Questions about apartments with their truth: toured worlds, candidates, a balanced choice, files."""
