"""Is a new model worse than the one before, and are the movies that come still those that it was trained on?"""
