"""The log of what was served: its format, its folder, and how it is read."""
