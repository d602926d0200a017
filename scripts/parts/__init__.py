"""The real servers that scripts/services runs, one module each. Standard library only."""
