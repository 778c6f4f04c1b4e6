"""What is fitted and stored in a checkpoint, and how it is applied. Needs numpy alone."""
